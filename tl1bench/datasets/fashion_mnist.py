"""Fashion-MNIST: 60,000 + 10,000 pictures of clothes, 28 × 28 bytes.

H. Xiao, K. Rasul, R. Vollgraf, "Fashion-MNIST", arXiv:1708.07747 (2017). Digests: the official
raw IDX files. Debian packed them anew, so only what is inside the gzip files is compared.
"""

from __future__ import annotations

from collections.abc import Sequence

from tl1bench.datasets._recipe import Recipe, idx_digests
from tl1bench.datasets._registries import DebianPackage
from tl1bench.datasets._sources import Mirror, Web, torchvision_dataset


def _addresses() -> Sequence[str]:
    return list(torchvision_dataset("FashionMNIST").mirrors)


RECIPE = Recipe(
    files=idx_digests(
        train=("f4a8712d7a061bf5bd6d2ca38dc4d50a", "9018921c3c673c538a1fc5bad174d6f9"),
        test=("8181f5470baa50b63fa0f6fddb340f0a", "15d484375f8d13e6eb1aabb0c3f46965"),
    ),
    scale=1 / 255,
    labels=(
        "T-shirt/top", "trouser", "pullover", "dress", "coat",
        "sandal", "shirt", "sneaker", "bag", "ankle boot",
    ),
    sources=(
        Mirror(("FashionMNIST", "FashionMNIST/raw", "fashion-mnist")),
        Web(_addresses),
        DebianPackage("dataset-fashion-mnist", "usr/share/datasets/fashion-mnist"),
    ),
    mend="reach the web, install Debian's dataset-fashion-mnist, or give a mirror folder with "
    "FashionMNIST/*-ubyte.gz",
)  # fmt: skip
