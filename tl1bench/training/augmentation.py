"""Small random changes of images: shifts by a few pixels, and mirror images."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn import functional

from tl1bench.kernels.crop import crop


@dataclass(frozen=True)
class Augmentation:
    """Each image moves by up to `shift` pixels in both directions, and half of them are mirrored.

    A crop from an image padded by p pixels is a shift by up to p.

    Parameters
    ----------
    shift
        Largest number of pixels; what comes in at the border is 0.
    flip
        Whether every second image, by chance, is mirrored from left to right.
    """

    shift: int = 0
    flip: bool = False

    def draw(self, count: int, generator: torch.Generator) -> torch.Tensor:
        """Return what happens to each of `count` images: (3, count) of rows, columns, mirrored.

        Parameters
        ----------
        count
            Number of images.
        generator
            CPU generator; not asked for what is not done.

        Returns
        -------
        Tensor
            int64 on the CPU; shifts are counted from −`shift`.
        """
        found = torch.zeros(3, count, dtype=torch.long)
        if self.shift:
            found[:2] = torch.randint(0, 2 * self.shift + 1, (2, count), generator=generator)
        if self.flip:
            found[2] = torch.randint(0, 2, (count,), generator=generator)
        return found

    def pick(
        self, images: torch.Tensor, rows: torch.Tensor, drawn: torch.Tensor, scale: float
    ) -> torch.Tensor:
        """Return images of a set as `drawn`, times `scale`.

        Parameters
        ----------
        images
            (image, channels, height, width), bytes or floats.
        rows
            (n,) which of them.
        drawn
            (3, n) by `draw`, on the device of the set, as `rows`.
        scale
            What pixels are multiplied by.

        Returns
        -------
        Tensor
            (n, channels, height, width) float32.
        """
        found = crop(images, rows, drawn, self.shift, scale)
        # Bytes are moved before they are floats: that is a quarter of the memory.
        return self.apply(images[rows], drawn).float().mul_(scale) if found is None else found

    def apply(self, x: torch.Tensor, drawn: torch.Tensor) -> torch.Tensor:
        """Return the images as `drawn`.

        Parameters
        ----------
        x
            (n, channels, height, width), bytes or floats.
        drawn
            (3, n) on the device of `x`, by `draw`.

        Returns
        -------
        Tensor
            Of the shape and kind of `x`.
        """
        if self.shift:
            height, width = x.shape[2:]
            windows = functional.pad(x, (self.shift,) * 4).unfold(2, height, 1).unfold(3, width, 1)
            each = torch.arange(len(x), device=x.device)
            x = windows[each, :, drawn[0], drawn[1]].contiguous()
        if self.flip:
            x = torch.where(drawn[2].bool()[:, None, None, None], x.flip(3), x)
        return x
