"""An ONNX file as a call without arguments, always opened with the same options."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from tl1bench.errors import MeasurementError

PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
FLOATS = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(float16)": np.float16,
}
INTEGERS = {
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(uint8)": np.uint8,
    "tensor(bool)": np.bool_,
}


def available() -> tuple[str, ...]:
    """Return which of `PROVIDERS` the installed onnxruntime can use, cpu first."""
    there = onnxruntime.get_available_providers()
    return tuple(name for name, provider in PROVIDERS.items() if provider in there)


def open_session(
    path: str | Path,
    threads: int = 1,
    provider: str = "cpu",
    *,
    arena: bool = True,
    optimized_to: Path | None = None,
    profile_to: Path | None = None,
) -> onnxruntime.InferenceSession:
    """Open `path` with the protocol's options.

    One operator at a time, every graph optimisation, denormals flushed to zero.

    onnxruntime applies the denormal option once a process, when its first session opens, and by
    changing the opening thread for good, Python's own floats included. So open sessions in a
    process that does nothing else, as workers do.

    Parameters
    ----------
    path
        An ONNX file.
    threads
        Within an operator.
    provider
        A key of `PROVIDERS`.
    arena
        Whether the CPU's allocator keeps its arena.
    optimized_to
        Where the optimised graph is written.
    profile_to
        The prefix of the profiler's file.

    Returns
    -------
    InferenceSession
        On that provider alone.

    Raises
    ------
    MeasurementError
        If onnxruntime cannot open the file, or would run any of it on another provider.
    """
    if provider not in PROVIDERS:
        raise MeasurementError(f"No provider {provider!r}: choose one of {', '.join(PROVIDERS)}.")
    wanted = PROVIDERS[provider]
    if wanted not in onnxruntime.get_available_providers():
        raise MeasurementError(
            f"onnxruntime {onnxruntime.__version__} as installed has no {wanted}: install a build "
            "that has it (onnxruntime-gpu for cuda)."
        )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.enable_cpu_mem_arena = arena
    options.log_severity_level = 3
    options.add_session_config_entry("session.set_denormal_as_zero", "1")
    if provider != "cpu":
        options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
        # CUDA's libraries as pip installs them lie where the loader does not look by itself.
        getattr(onnxruntime, "preload_dlls", _nothing)()
    if optimized_to is not None:
        options.optimized_model_filepath = str(optimized_to)
    if profile_to is not None:
        options.enable_profiling = True
        options.profile_file_prefix = str(profile_to)
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=[wanted])
    except Exception as error:  # onnxruntime's exceptions share no base class but this
        raise MeasurementError(f"{path} cannot be run on {wanted}: {one_line(error)}") from error
    if session.get_providers()[0] != wanted:
        raise MeasurementError(f"{path} fell back from {wanted} to {session.get_providers()[0]}.")
    return session


def feed(
    session: onnxruntime.InferenceSession, batch: int, seed: int = 0
) -> dict[str, NDArray[Any]]:
    """Make inputs up for `session`: uniform in [0, 1) for floats, 0 or 1 for other types.

    Parameters
    ----------
    session
        The first axis of its inputs is the batch; the others must have fixed lengths.
    batch
        How many examples.
    seed
        Of the values.

    Returns
    -------
    dict
        An array a name of an input.

    Raises
    ------
    MeasurementError
        If an input has another free axis, a fixed batch of another size, or a type that cannot be
        made up.
    """
    rng = np.random.default_rng(seed)
    return {
        node.name: _values(node.type, _shape(node.name, node.shape, batch), node.name, rng)
        for node in session.get_inputs()
    }


def fixed_batch(session: onnxruntime.InferenceSession) -> int | None:
    """Return the batch that the inputs of `session` are fixed to, None where it is free."""
    first = [node.shape[0] for node in session.get_inputs() if node.shape]
    return next((int(size) for size in first if isinstance(size, int)), None)


def _shape(name: str, dims: list[int | str | None], batch: int) -> tuple[int, ...]:
    shape = [batch if i == 0 and not isinstance(d, int) else d for i, d in enumerate(dims)]
    fixed = tuple(d for d in shape if isinstance(d, int))
    if len(fixed) < len(shape):
        raise MeasurementError(
            f"Input {name!r} has the shape {dims}: only its first axis, the batch, may be free."
        )
    if fixed and fixed[0] != batch:
        raise MeasurementError(
            f"Input {name!r} has a fixed batch of {fixed[0]} and cannot be measured at {batch}: "
            "export it with a free first axis or measure at that batch."
        )
    return fixed


def _values(kind: str, shape: tuple[int, ...], name: str, rng: np.random.Generator) -> NDArray[Any]:
    if kind in FLOATS:
        return rng.random(shape).astype(FLOATS[kind])
    if kind in INTEGERS:
        return rng.integers(0, 2, shape).astype(INTEGERS[kind])
    raise MeasurementError(f"Input {name!r} is a {kind}, for which no values can be made up.")


def bind(
    session: onnxruntime.InferenceSession,
    inputs: Mapping[str, NDArray[Any]],
    provider: str = "cpu",
) -> Callable[[], object]:
    """Return one inference as a call without arguments.

    Parameters
    ----------
    session
        What runs.
    inputs
        An array a name of an input.
    provider
        The session's.

    Returns
    -------
    callable
        On a device the inputs already lie there and the outputs stay there; the call returns when
        they are complete, so that no copy is timed and nothing is left running.
    """
    names = [node.name for node in session.get_outputs()]
    if provider == "cpu":
        return partial(session.run, names, dict(inputs))
    binding = session.io_binding()
    for name, array in inputs.items():
        value = onnxruntime.OrtValue.ortvalue_from_numpy(array, provider, 0)
        binding.bind_ortvalue_input(name, value)
    for name in names:
        binding.bind_output(name, provider)

    def call() -> None:
        session.run_with_iobinding(binding)
        binding.synchronize_outputs()

    return call


def _nothing() -> None:
    """Stand for what older versions of onnxruntime lack."""


def one_line(error: Exception) -> str:
    """Return an error's message without line breaks."""
    return " ".join(str(error).split())
