"""Packages of other authors, which a method of comparison runs and nobody else needs."""

from __future__ import annotations

import importlib
import warnings
from types import ModuleType

from tl1bench.errors import MissingPackageError


def optional(module: str, package: str, method: str) -> ModuleType:
    """Import `module` of the optional `package`, for `method`.

    Parameters
    ----------
    module
        What is imported.
    package
        Its name where packages are had.
    method
        Who needs it.

    Returns
    -------
    ModuleType
        The module.

    Raises
    ------
    MissingPackageError
        It is not installed.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # theirs, about their own code
            return importlib.import_module(module)
    except ImportError as error:
        raise MissingPackageError(
            f"method {method!r} needs the package {package}, which cannot be imported ({error}): "
            "pip install 'tl1bench[rivals]'."
        ) from error
