"""What a network makes of examples: its predictions, and how many are wrong."""

from __future__ import annotations

import torch
from torch import nn

from tl1bench.training.examples import Examples

# Small enough to stay in a core's cache: a batch of 1,000 takes a quarter longer.
_EVALUATION_BATCH = 500


@torch.no_grad()
def predictions(model: nn.Module, examples: Examples) -> torch.Tensor:
    """Return the predicted class of every example, in evaluation mode."""
    was_training = model.training
    model.eval()
    rows = torch.arange(len(examples), device=examples.y.device)
    classes = [model(examples.batch(r)[0]).argmax(1) for r in rows.split(_EVALUATION_BATCH)]
    model.train(was_training)
    return torch.cat(classes)


def error_pct(model: nn.Module, examples: Examples) -> float:
    """Return the share of wrong predictions in percent."""
    wrong = (predictions(model, examples) != examples.y).sum()
    return 100.0 * float(wrong) / len(examples)
