"""Stage 0a: verify one data set and write what it is, so that a change of content is noticed."""

from __future__ import annotations

from tl1bench import files
from tl1bench.config import Config
from tl1bench.pipeline import loading


def run(config: Config, name: str) -> None:
    """Write `data/<name>.json`: digest, shapes and class counts."""
    data = loading.dataset(config, name)
    files.write_json(
        config.build / "data" / f"{name}.json",
        {
            "sha256": loading.digest(data),
            "input_shape": list(data.input_shape),
            "classes": data.classes,
            "train": len(data.y_train),
            "test": len(data.y_test),
        },
    )
