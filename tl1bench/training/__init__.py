"""The one training room: loop and path, compaction while training, proof that nothing changed.

`loop` trains one network at one λ by a `schedule`; `path` makes one sparser step by step by any
`method`, with a branch at each step, and leaves `points`. Both cut dead units out as they go
(`shrinker`, `shrinking`, `slicing`). `equality` proves on data that a compact network is the same.
"""

from tl1bench.training.augmentation import Augmentation
from tl1bench.training.evaluation import error_pct, predictions
from tl1bench.training.examples import Examples
from tl1bench.training.loop import Trained, train
from tl1bench.training.process import choose_device, prepare_process
from tl1bench.training.schedule import Schedule

__all__ = [
    "Augmentation",
    "Examples",
    "Schedule",
    "Trained",
    "choose_device",
    "error_pct",
    "predictions",
    "prepare_process",
    "train",
]
