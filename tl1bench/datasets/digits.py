"""Digits: 1,797 handwritten digits, 8 × 8 values from 0 to 16, shipped with scikit-learn.

E. Alpaydin, C. Kaynak, "Optical recognition of handwritten digits", UCI (1998); the test part.
It has no official split: every fifth image of each class is for testing, 1,442 + 355 in all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from tl1bench.datasets import _idx
from tl1bench.datasets._fifths import every_fifth
from tl1bench.datasets._recipe import Piece, Recipe, Request, Source, Unavailable, idx_digests


@final
@dataclass(frozen=True)
class _ScikitLearn(Source):
    title: ClassVar[str] = "scikit-learn"

    def get(self, request: Request) -> Mapping[str, Piece]:
        """Read the table in scikit-learn and split it."""
        try:
            from sklearn.datasets import load_digits
        except ImportError as error:
            raise Unavailable(f"cannot be imported: {error}") from None
        values, labels = load_digits(return_X_y=True)
        images = values.reshape(-1, 8, 8).astype(np.uint8)
        labels = labels.astype(np.uint8)
        test = every_fifth(labels)
        arrays = (images[~test], labels[~test], images[test], labels[test])
        return {
            name: Piece(_idx.serialise(array), f"{name} (from scikit-learn's digits)")
            for name, array in zip(request.files, arrays, strict=True)
        }


RECIPE = Recipe(
    files=idx_digests(
        train=(
            "6c79919002e3ed11143953d311140d576ca9ddd7c446e4f6b3f180db3f338586",
            "997d8237ea59870b42f811eaad3e13914b38ab6a9a5e9ad6affdff0f34e7cfdc",
        ),
        test=(
            "88da4b2d933ed942b8ea93f24d8e589c9c9c227961c9f5667c8e9f8f818b642b",
            "6ff66f7ef309c514bc431118f706c8249a50930d6256e9191340a2d710351535",
        ),
    ),
    scale=1 / 16,
    labels=tuple("0123456789"),
    sources=(_ScikitLearn(),),
    mend="install scikit-learn anew",
)
