"""Torchvision's classifiers, all of them."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

# Networks whose attention windows or patches fix the size of the image.
_SIZES = {"inception_v3": 80, "maxvit_t": 224}


def names() -> tuple[str, ...]:
    """Return the names of all classifiers."""
    from torchvision import models

    return tuple(models.list_models(module=models))


def build(name: str) -> tuple[nn.Module, tuple[Tensor, ...]]:
    """Return the network with random weights, and two images as small as it takes."""
    import torch
    from torchvision import models

    size, options = _SIZES.get(name, 64), dict[str, Any]()
    if name in ("googlenet", "inception_v3"):
        options["init_weights"] = False
    if name.startswith("vit_"):
        size = options["image_size"] = 2 * int(name.split("_")[-1])
    network = models.get_model(name, weights=None, num_classes=10, **options)
    return network, (torch.randn(2, 3, size, size),)
