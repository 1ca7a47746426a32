"""A folder of images in class folders, `cat/1.png`, `dog/2.png`, or below `train/` and `test/`."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tl1bench.datasets._fifths import every_fifth

ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".pgm", ".ppm", ".tif", ".tiff", ".webp")
_FEWEST = 5


def digest(folder: Path) -> str:
    """Return the sha256 over the names and contents of the images below `folder`."""
    sha = hashlib.sha256()
    for path, _ in _listed(folder):
        content = path.read_bytes()
        sha.update(f"{path.relative_to(folder).as_posix()} {len(content)}\n".encode())
        sha.update(content)
    return sha.hexdigest()


def read(folder: Path, size: int | None) -> dict[str, NDArray[Any]]:
    """Return x_train, y_train, x_test and y_test, images as bytes (n, channels, height, width).

    Without `train/` and `test/` every fifth image of each class, by name, is for testing. Raises
    ValueError where images differ in size and no `size` is given, or a class has too few.
    """
    found = list(_listed(folder))
    if not found:
        raise ValueError(
            "the folder holds no images in folders named after their classes, such as cat/1.png"
        )
    images = [_image(path, folder, size) for path, _ in found]
    grey = all(image.shape[2] == 1 or _is_grey(image) for image in images)
    _refuse_sizes(images, [path.relative_to(folder) for path, _ in found])
    x = np.stack([_channels(image, grey) for image in images])
    y = np.array([label for _, label in found])
    if _has_parts(folder):
        test = np.array([path.relative_to(folder).parts[0] == "test" for path, _ in found])
    else:
        labels, counts = np.unique(y, return_counts=True)
        if counts.min() < _FEWEST:
            raise ValueError(
                f"class '{labels[counts.argmin()]}' has {counts.min()} images; {_FEWEST} are "
                "needed to train, validate and test"
            )
        test = every_fifth(y)
    return {"x_train": x[~test], "y_train": y[~test], "x_test": x[test], "y_test": y[test]}


def _has_parts(folder: Path) -> bool:
    return sorted(p.name for p in folder.iterdir() if p.is_dir()) == ["test", "train"]


def _listed(folder: Path) -> Iterator[tuple[Path, str]]:
    """Yield each image and its class, in the order of their names."""
    roots = [folder / "train", folder / "test"] if _has_parts(folder) else [folder]
    for root in roots:
        for kind in sorted(p for p in root.iterdir() if p.is_dir()):
            for path in sorted(kind.iterdir()):
                if path.suffix.lower() in ENDINGS:
                    yield path, kind.name


def _image(path: Path, folder: Path, size: int | None) -> NDArray[np.uint8]:
    """Return one image as bytes (height, width, channels), 1 or 3 of them."""
    from PIL import Image, UnidentifiedImageError

    named = path.relative_to(folder)
    try:
        with Image.open(io.BytesIO(path.read_bytes())) as opened:
            image = opened.convert("L" if opened.mode in ("1", "L", "I;16") else "RGB")
    except UnidentifiedImageError:  # it would name the stream, not the file
        raise ValueError(f"{named} is no readable image (of no format that is known)") from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ValueError(f"{named} is no readable image ({error})") from None
    if size is not None:
        image = image.resize((size, size), Image.Resampling.BILINEAR)
    values = np.asarray(image, dtype=np.uint8)
    return values if values.ndim == 3 else values[:, :, None]


def _is_grey(image: NDArray[np.uint8]) -> bool:
    return bool((image == image[:, :, :1]).all())


def _refuse_sizes(images: list[NDArray[np.uint8]], names: list[Path]) -> None:
    first = images[0].shape[:2]
    for image, name in zip(images, names, strict=True):
        if image.shape[:2] != first:
            (h, w), (other_h, other_w) = first, image.shape[:2]
            raise ValueError(
                f"the images differ in size: {names[0]} has {h} × {w} pixels, {name} has "
                f"{other_h} × {other_w}; give the side that all are resized to by `size: 32`"
            )


def _channels(image: NDArray[np.uint8], grey: bool) -> NDArray[np.uint8]:
    """Return an image as (channels, height, width): one channel where all images are grey."""
    kept = image[:, :, :1] if grey else np.broadcast_to(image, (*image.shape[:2], 3))
    return np.ascontiguousarray(kept.transpose(2, 0, 1))
