"""What can go wrong through no fault of the code: one sentence each, never a traceback."""

from collections.abc import Iterator
from contextlib import contextmanager

# Where a package is had under another name than it is imported by.
_PACKAGES = {"PIL": "pillow", "sklearn": "scikit-learn", "yaml": "pyyaml"}


def printable(text: str) -> str:
    r"""Return `text` on one line; what a terminal would obey or hide is written as `\x1b`."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


class Tl1benchError(Exception):
    """Bad input or a bad surrounding; the message says what, where and how to mend it.

    The command line prints the message alone and exits with status 2. Whatever names it quotes, it
    is one line that a terminal shows and does not obey.
    """

    def __str__(self) -> str:
        return printable(super().__str__())


class ConfigError(Tl1benchError):
    """A key or value in params.yaml (or on the command line) cannot be accepted."""


class MissingPackageError(ConfigError):
    """What was asked for needs an optional package that is not installed; others go on."""


class DataError(Tl1benchError):
    """A data set is missing, altered, or cannot be obtained."""


class CompactionError(Tl1benchError):
    """A network cannot be compacted exactly; the message names the reason."""


class ExportError(Tl1benchError):
    """A network cannot be exported to ONNX, or the exported file does not compute the same."""


class MeasurementError(Tl1benchError):
    """A measurement could not be taken as the protocol demands."""


@contextmanager
def needed_by(what: str) -> Iterator[None]:
    """Say in one sentence that `what`, done inside, needs a package that is not installed.

    Raises
    ------
    MissingPackageError
        A module of another package is not there.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        module = (error.name or "").partition(".")[0]
        if module in ("", __name__.partition(".")[0]):
            raise
        package = _PACKAGES.get(module, module)
        raise MissingPackageError(
            f"{what} needs the package {package}, which is not installed: pip install {package}."
        ) from error
