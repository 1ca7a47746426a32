"""Good files of every format with some bytes changed: they are read, or refused in one sentence.

TL1BENCH_FUZZ=100000 tries so many, drawn anew each time; otherwise 2,000, always the same.
"""

from __future__ import annotations

import gzip
import io
import lzma
import os
import tarfile
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import hostile_data
import hostile_models
import hostile_networks
import pytest
import test_hostile_networks as graphs
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tl1bench as tl
from tl1bench import config, datasets
from tl1bench.errors import Tl1benchError
from tl1bench.measuring.graphs import read_graph, write_floor
from tl1bench.tracing.program import load_program

COUNT = int(os.environ.get("TL1BENCH_FUZZ", "2000"))
Parts = dict[str, bytes]


@dataclass(frozen=True)
class Format:
    """A good file's parts, how they become the file's bytes, and how it is read."""

    share: float
    name: str
    parts: Callable[[Path], Parts]
    pack: Callable[[Parts], bytes]
    read: Callable[[Path], object]


def whole(parts: Parts) -> bytes:
    return parts["whole"]


def zipped(parts: Parts) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as target:
        for name, part in parts.items():
            target.writestr(name, part)
    return content.getvalue()


def unzipped(content: bytes) -> Parts:
    with zipfile.ZipFile(io.BytesIO(content)) as source:
        return {name: source.read(name) for name in source.namelist()}


def a_network(folder: Path) -> Parts:
    path = graphs.write(folder / "good.safetensors", graphs.GOOD)
    return {"whole": path.read_bytes()}


def a_model(folder: Path) -> Parts:
    proto = hostile_models.model(tensors=(hostile_models.outside("good.bin"),))
    path = hostile_models.of(proto, lambda f: (f / "good.bin").write_bytes(b"1234"))(folder)
    return {"whole": path.read_bytes()}


def a_data_set(_: Path) -> Parts:
    arrays = hostile_data.arrays()
    return unzipped(hostile_data.npz({n: hostile_data.npy(a) for n, a in arrays.items()}))


def a_table(_: Path) -> Parts:
    rows = "".join(f"{n},{n / 7},{'ab'[n % 2]},train\n{n},1e3,a,test\n" for n in range(6))
    return {"whole": f"x,y,kind,split\n{rows}".encode()}


def the_settings(_: Path) -> Parts:
    return {"whole": (Path(__file__).parents[2] / "reports/smoke/params.yaml").read_bytes()}


def an_archive(_: Path) -> Parts:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        member = tarfile.TarInfo("cifar-10-batches-py/data_batch_1")
        member.size = 3000
        archive.addfile(member, io.BytesIO(bytes(3000)))
    return {"whole": content.getvalue()}


def measure(path: Path) -> None:
    read_graph(path)
    write_floor(path, path.with_name("floor.onnx"))


def own(path: Path) -> None:
    datasets.read_user("own", path, path.with_name(f"digests-{os.urandom(8).hex()}"))


def mirrored(path: Path) -> None:
    datasets.fetch("cifar10", path.with_name("data"), path.parent)


# An exported program takes as long as a hundred of the others.
FORMATS = (
    Format(0.25, "f.safetensors", a_network, whole, tl.load_compacted),
    Format(0.02, "f.pt2", lambda _: hostile_networks.good(), zipped, load_program),
    Format(0.01, "g.pt2", lambda _: hostile_networks.good(), zipped, tl.load_compacted),
    Format(0.20, "f.onnx", a_model, whole, measure),
    Format(0.15, "f.npz", a_data_set, zipped, own),
    Format(0.02, "g.npz", a_data_set, lambda parts: zipped(parts)[:-30], own),
    Format(0.10, "f.csv", a_table, whole, own),
    Format(0.10, "params.yaml", the_settings, whole, config.load),
    Format(0.09, "cifar-10-python.tar.gz", an_archive, lambda p: gzip.compress(whole(p)), mirrored),
    Format(
        0.06, "cifar-10-batches-py.tar.xz", an_archive, lambda p: lzma.compress(whole(p)), mirrored
    ),
)
TOKENS = (
    b"", b"-1", b"0", b"9" * 25, b"1e400", b"nan", b"null", b"true", b'"', b"'", b"\\", b"\n",
    b"\0", b"[", b"{", b"]", b"}", b",", b":", b"&a ", b"*a", b"<<: ", b"!!python/none:",
    b"..",
    b"/", b"__class__", b"\xff", b"\x80", b"\x7f\xff\xff\xff", b"\xff" * 8, b"(", b")", b"%", b"#",
)  # fmt: skip


def answer(form: Format, path: Path) -> str:
    """Return the sentence by which a file is refused; nothing when it is read."""
    try:
        form.read(path)
    except Tl1benchError as error:
        return str(error)
    return ""


@st.composite
def edits(draw: st.DrawFn) -> list[tuple[float, float, int, bytes]]:
    """Draw changes: which part, where in it, how many bytes go, and what comes."""
    place = st.floats(0, 1, exclude_max=True)
    new = st.one_of(st.sampled_from(TOKENS), st.binary(max_size=6))
    return draw(st.lists(st.tuples(place, place, st.integers(0, 9), new), min_size=1, max_size=3))


def changed(parts: Parts, changes: list[tuple[float, float, int, bytes]]) -> Parts:
    found = dict(parts)
    for part, place, gone, new in changes:
        name = list(found)[int(part * len(found))]
        start = int(place * len(found[name]))
        found[name] = found[name][:start] + new + found[name][start + gone :]
    return found


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: f"{form.name}-{form.pack.__name__}")
def test_a_changed_file_is_read_or_refused_in_one_sentence(
    form: Format, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = form.parts(tmp_path)
    path = tmp_path / form.name
    monkeypatch.chdir(tmp_path)
    path.write_bytes(form.pack(good))

    @settings(
        max_examples=max(1, int(form.share * COUNT)),
        deadline=None,
        database=None,
        derandomize="TL1BENCH_FUZZ" not in os.environ,
        suppress_health_check=list(HealthCheck),
    )
    @given(edits())
    def tried(changes: list[tuple[float, float, int, bytes]]) -> None:
        path.write_bytes(form.pack(changed(good, changes)))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            said = answer(form, path)
        assert "\n" not in said
        assert len(said) < 2000

    tried()
