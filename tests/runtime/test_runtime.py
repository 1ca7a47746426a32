from __future__ import annotations

import gc
import json
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import onnxruntime
import pytest
from onnx import helper
from onnx_graphs import linear, save

from tl1bench.errors import MeasurementError
from tl1bench.runtime import Plan, available, bind, feed, open_session, time_models


@pytest.fixture
def elsewhere():
    """Runs a call in a thread of its own: a session flushes denormals in its opener's thread."""
    with ThreadPoolExecutor(1) as pool:
        yield lambda *args, **kwargs: pool.submit(*args, **kwargs).result()


def python(code, *arguments) -> str:
    """Runs code in a fresh process and returns what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    return done.stdout


class Machine:
    """A clock that only calls move: call `k` takes `costs[k]` ns, a first call 100 ns more."""

    def __init__(self, *costs: int) -> None:
        self.now, self.costs, self.made = 0, costs, []
        self.slow = lambda made: False

    def clock(self) -> int:
        return self.now

    def call(self, k: int) -> None:
        assert not gc.isenabled()
        self.now += self.costs[k] + (100 if k not in self.made else 0)
        self.made.append(k)

    def time(self, plan: Plan, seed: int = 0):
        calls = [lambda k=k: self.call(k) for k in range(len(self.costs))]
        return time_models(calls, self.probe, plan, np.random.default_rng(seed), self.clock)

    def probe(self) -> None:
        """Takes 5 ns, and 9 while the machine is slow."""
        self.now += 9 if self.slow(len(self.made)) else 5


def plan(**changes) -> Plan:
    return Plan(**{"rounds_min": 3, "rounds_max": 3, "budget_s": 0.0, "calls": 4, **changes})


def test_timing_reads_what_the_clock_says():
    timing = Machine(20, 7).time(plan())
    assert timing.first_ns.tolist() == [120, 107]
    assert timing.samples_ns.shape == (2, 3, 4)
    assert (timing.samples_ns == np.array([20, 7])[:, None, None]).all()


def test_a_burst_is_probed_on_both_sides_and_the_slower_one_is_kept():
    machine = Machine(20)
    # Of the bursts' calls 51 to 68 (2 settling, 4 timed), slow is from within the second on.
    machine.slow = lambda made: made > 51 + 6 + 3
    assert machine.time(plan()).probe_ns.tolist() == [[5, 9, 9]]
    machine = Machine(20)
    machine.slow = lambda made: made < 51 + 2 + 1
    assert machine.time(plan()).probe_ns.tolist() == [[9, 5, 5]]


def test_every_round_visits_every_model_in_a_shuffled_order():
    machine = Machine(1, 1, 1)
    machine.time(plan(rounds_min=40, rounds_max=40, warmup=50))
    assert machine.made[: 3 * 51] == [0] * 51 + [1] * 51 + [2] * 51
    bursts = np.array(machine.made[3 * 51 :]).reshape(40, 3, 2 + 4)  # settling, then timed
    assert (bursts == bursts[:, :, :1]).all()
    orders = {tuple(order) for order in bursts[:, :, 0]}
    assert all(sorted(order) == [0, 1, 2] for order in orders)
    assert len(orders) == 6


def test_the_order_comes_from_the_seed_alone():
    def order(seed):
        machine = Machine(1, 1, 1)
        machine.time(plan(rounds_min=9, rounds_max=9), seed)
        return machine.made

    assert order(1) == order(1) != order(2)


def test_rounds_fill_the_budget_between_their_limits():
    wide = Plan(rounds_min=4, rounds_max=64, budget_s=1.0)
    assert wide.rounds([0.001, 0.0015]) == 40  # (2 + 8) calls of both take 25 ms
    assert wide.rounds([0.1]) == 4
    assert wide.rounds([1e-6]) == 64
    assert wide.rounds([0.0]) == 64
    assert Plan(4, 64, 1.0, settle_s=0.005).rounds([0.001, 0.0]) == 55  # 8 + 5 + 5 ms


def test_a_share_of_time_is_spent_running_each_model():
    machine = Machine(1000, 10)
    machine.time(plan(share_s=60e-6))
    made = np.array(machine.made[2 * 51 :])
    spent = [(made == k).sum() * cost for k, cost in enumerate(machine.costs)]
    assert spent[0] == 3 * (20 + 4) * 1000
    assert spent[1] == 3 * (2000 + 4) * 10


def test_garbage_is_collected_again_after_a_failure():
    def fail():
        raise RuntimeError("broken model")

    with pytest.raises(RuntimeError, match="broken model"):
        time_models([fail], fail, plan(), np.random.default_rng(0))
    assert gc.isenabled()


def test_a_session_has_the_protocols_options(tmp_path, elsewhere):
    session = elsewhere(open_session, linear(tmp_path / "m.onnx"), 2, arena=False)
    options = session.get_session_options()
    assert options.intra_op_num_threads == 2
    assert options.inter_op_num_threads == 1
    assert options.enable_cpu_mem_arena is False
    assert options.graph_optimization_level == onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    assert options.get_session_config_entry("session.set_denormal_as_zero") == "1"
    assert session.get_providers() == ["CPUExecutionProvider"]


@pytest.mark.parametrize("threads", [1, 2])
def test_denormals_are_flushed_to_zero_in_every_session_of_a_worker(tmp_path, threads):
    shape = {"x": ["batch", 4]}
    nodes = [helper.make_node("Add", ["x", "x"], ["y"])]
    path = save(tmp_path / "m.onnx", nodes, {}, shape, {"y": ["batch", 4]})
    # In a process of its own: onnxruntime heeds the option of a process's first session only.
    code = (
        "import sys, numpy as np; from tl1bench.runtime import bind, open_session\n"
        "x = {'x': np.full((1, 4), 1e-39, dtype=np.float32)}\n"
        f"print([float(bind(open_session(sys.argv[1], {threads}), x)()[0].max()) for _ in 'ab'])"
    )
    assert python(code, path) == "[0.0, 0.0]\n"


def test_inputs_are_made_up_for_the_batch(tmp_path, elsewhere):
    session = elsewhere(open_session, linear(tmp_path / "m.onnx"))
    made = feed(session, 3, seed=1)["x"]
    assert made.shape == (3, 8)
    assert made.dtype == np.float32
    assert 0 <= made.min() < made.max() < 1
    assert np.array_equal(made, feed(session, 3, seed=1)["x"])
    assert not np.array_equal(made, feed(session, 3, seed=2)["x"])
    assert bind(session, {"x": made})()[0].shape == (3, 8)


@pytest.mark.parametrize(
    ("shape", "words"),
    [([1, 8], "fixed batch of 1"), (["batch", "features"], "only its first axis")],
)
def test_inputs_of_another_shape_are_refused(tmp_path, elsewhere, shape, words):
    nodes = [helper.make_node("Relu", ["x"], ["y"])]
    path = save(tmp_path / "m.onnx", nodes, {}, {"x": shape}, {"y": shape})
    session = elsewhere(open_session, path)
    with pytest.raises(MeasurementError, match=words):
        feed(session, 2)


def test_a_file_that_is_no_model_is_refused(tmp_path):
    (tmp_path / "m.onnx").write_text("no model")
    with pytest.raises(MeasurementError, match=r"m\.onnx cannot be run on CPUExecutionProvider"):
        open_session(tmp_path / "m.onnx")


def test_a_provider_that_is_not_installed_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(MeasurementError, match="has no CUDAExecutionProvider"):
        open_session(linear(tmp_path / "m.onnx"), provider="cuda")
    with pytest.raises(MeasurementError, match="choose one of cpu, cuda"):
        open_session(linear(tmp_path / "m.onnx"), provider="abacus")


def test_what_is_available_is_what_onnxruntime_has(monkeypatch):
    both = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: both)
    assert available() == ("cpu", "cuda")
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: both[1:])
    assert available() == ("cpu",)


def test_a_cuda_session_is_asked_for_without_a_way_out(tmp_path, monkeypatch):
    every = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    asked = []

    class Session:
        def __init__(self, _, options, providers):
            entry = options.get_session_config_entry
            asked.append((providers, entry("session.disable_cpu_ep_fallback")))
            asked.append(options.intra_op_num_threads)

        def get_providers(self):
            return every

    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: every)
    monkeypatch.setattr(onnxruntime, "InferenceSession", Session)
    monkeypatch.setattr(
        onnxruntime, "preload_dlls", lambda: asked.append("libraries"), raising=False
    )
    open_session(tmp_path / "m.onnx", threads=1, provider="cuda")
    assert asked == ["libraries", (["CUDAExecutionProvider"], "1"), 1]


def test_a_silent_fall_back_to_another_provider_is_refused(tmp_path, monkeypatch, elsewhere):
    every = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    plain = onnxruntime.InferenceSession
    asked = []

    def falling_back(path, options, providers):
        asked.extend(providers)
        options.get_session_config_entry("session.disable_cpu_ep_fallback")
        return plain(path, providers=["CPUExecutionProvider"])

    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: every)
    monkeypatch.setattr(onnxruntime, "InferenceSession", falling_back)
    monkeypatch.delattr(onnxruntime, "preload_dlls", raising=False)
    with pytest.raises(MeasurementError, match="fell back from CUDA"):
        elsewhere(open_session, linear(tmp_path / "m.onnx"), provider="cuda")
    assert asked == ["CUDAExecutionProvider"]


def test_on_a_device_inputs_and_outputs_stay_there(monkeypatch):
    done = []

    class Binding:
        def bind_ortvalue_input(self, name, value):
            done.append(("input", name, value))

        def bind_output(self, name, device):
            done.append(("output", name, device))

        def synchronize_outputs(self):
            done.append("synchronized")

    class Session:
        def get_outputs(self):
            return [type("Node", (), {"name": "y"})]

        def io_binding(self):
            return Binding()

        def run_with_iobinding(self, _):
            done.append("run")

    class OrtValue:
        @staticmethod
        def ortvalue_from_numpy(array, device, number):
            return array, device, number

    monkeypatch.setattr(onnxruntime, "OrtValue", OrtValue)
    call = bind(Session(), {"x": "array"}, "cuda")
    assert done == [("input", "x", ("array", "cuda", 0)), ("output", "y", "cuda")]
    call()
    assert done[2:] == ["run", "synchronized"]


def worker(folder, job, then=""):
    """Does a job in a fresh process by calling main, and returns what `then` prints."""
    (folder / "job.json").write_text(json.dumps(job))
    code = (
        "import sys; from pathlib import Path; from tl1bench.runtime.__main__ import main; "
        f"main(Path(sys.argv[1])); {then}"
    )
    return python(code, folder), json.loads((folder / "result.json").read_text())


def test_the_worker_times_models_and_imports_numpy_and_onnxruntime_only(tmp_path):
    job = {
        "task": "time",
        "models": [str(linear(tmp_path / "a.onnx")), str(linear(tmp_path / "b.onnx", 64))],
        "batch": 2,
        "threads": 1,
        "provider": "cpu",
        "probe": str(tmp_path / "a.onnx"),
        "seed": [0, 1],
        "plan": {"rounds_min": 2, "rounds_max": 2, "budget_s": 0.0},
    }
    names = "sorted({m.partition('.')[0] for m in sys.modules} - sys.stdlib_module_names)"
    printed, result = worker(tmp_path, job, f"print({names})")
    large = set(re.findall(r"'([a-z]\w+)'", printed))
    assert large >= {"numpy", "onnxruntime", "tl1bench"}
    assert not large & {"torch", "onnx", "pandas", "scipy", "psutil", "tabulate", "pydantic"}
    samples = np.load(tmp_path / "samples.npy")
    assert samples.shape == (2, 2, 8)
    assert (samples > 0).all()
    assert np.load(tmp_path / "probes.npy").shape == (2, 2)
    assert len(result["first_ns"]) == 2
    # So short a run may fall into a moment in which onnxruntime's own threads end.
    assert 0 < result["on_cpu"] <= os.cpu_count()


def test_the_worker_says_in_one_sentence_why_it_refused(tmp_path):
    job = {"task": "inspect", "models": [str(tmp_path / "no.onnx")], "batches": [1]}
    _, result = worker(tmp_path, {**job, "provider": "cpu"})
    assert list(result) == ["error"]
    assert "no.onnx cannot be run" in result["error"]
    assert "\n" not in result["error"]


@pytest.mark.parametrize("arena", [True, False])
def test_memory_is_measured_with_the_arena_asked_for(tmp_path, monkeypatch, elsewhere, arena):
    from tl1bench.runtime import __main__ as worker_process

    opened = []

    def opening(path, threads, provider, **options):
        opened.append(options)
        return open_session(path, threads, provider, **options)

    monkeypatch.setattr(worker_process, "open_session", opening)
    job = {"model": linear(tmp_path / "m.onnx"), "threads": 1, "provider": "cpu", "batch": 1}
    result = elsewhere(worker_process.measure_memory, tmp_path, {**job, "runs": 3, "arena": arena})
    assert opened == [{"arena": arena}]
    assert 0 < result["uss_empty_mib"] <= result["uss_run_mib"] < result["hwm_mib"]
    assert result["uss_load_mib"] <= result["uss_peak_mib"] < result["hwm_mib"]


def test_a_worker_with_torch_in_it_refuses(tmp_path, monkeypatch):
    from tl1bench.runtime.__main__ import main

    (tmp_path / "job.json").write_text(json.dumps({"task": "inspect", "models": []}))
    monkeypatch.setitem(sys.modules, "torch", sys)
    main(tmp_path)
    assert "torch" in json.loads((tmp_path / "result.json").read_text())["error"]
