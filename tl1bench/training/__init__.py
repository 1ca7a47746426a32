"""The one training room: schedule, loop, compaction while training, proof that nothing changed."""

from tl1bench.training.loop import (
    Examples,
    Schedule,
    Trained,
    choose_device,
    error_pct,
    predictions,
    prepare_process,
    shifted,
    train,
)

__all__ = [
    "Examples",
    "Schedule",
    "Trained",
    "choose_device",
    "error_pct",
    "predictions",
    "prepare_process",
    "shifted",
    "train",
]
