"""Reading the arrays in two published pickles without letting a pickle run anything."""

from __future__ import annotations

import pickle  # nosec B403
import warnings
from typing import Any, Protocol

import numpy as np

# What the published files name: all of it builds arrays, none of it calls out.
_ADMITTED = {
    ("numpy.core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
}


class Readable(Protocol):
    """What an unpickler reads from."""

    def read(self, size: int = ..., /) -> bytes: ...

    def readline(self) -> bytes: ...


class _ArraysOnly(pickle.Unpickler):
    """An unpickler that knows three names of NumPy and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        """Return an admitted name; refuse every other."""
        try:
            return _ADMITTED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"the pickle names {module}.{name}") from None


def arrays(stream: Readable) -> Any:
    """Return what a Python 2 pickle of arrays, tuples, dicts and byte strings holds.

    Call it only on bytes whose digest has been checked. Raises pickle.UnpicklingError when the
    pickle names anything but NumPy's array and type constructors.
    """
    with warnings.catch_warnings():
        # NumPy >= 2.4 warns of `align=0`, which these files from before Python 3 contain.
        warnings.simplefilter("ignore")
        return _ArraysOnly(stream, encoding="bytes").load()
