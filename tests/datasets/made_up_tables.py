"""One small table, and the forms in which people have such a table."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

import numpy as np

ROWS = 240
NAMES = ("income", "rate", "temp", "score")


def values() -> tuple[list[list[str]], list[str]]:
    """Return four columns of numbers on four scales, as texts by row, and a class for each row."""
    draw = np.random.default_rng(16)
    x = draw.normal(size=(ROWS, 4)) * (600, 1e-3, 50, 1) + (20000, 0, 0, 5)
    kinds = np.digitize((x[:, 0] - 20000) / 600 + x[:, 3] - 5, (-0.5, 1.6))
    return (
        [[f"{value:.6g}" for value in row] for row in x],
        [("low", "mid", "high")[kind] for kind in kinds],
    )


def written(
    rows: Sequence[Sequence[str]], header: Sequence[str] | None = None, separator: str = ","
) -> str:
    """Return rows as text."""
    text = io.StringIO()
    writer = csv.writer(text, delimiter=separator, lineterminator="\n")
    writer.writerows([header, *rows] if header else rows)
    return text.getvalue()


def forms() -> dict[str, bytes]:
    """Return the table in every form, by what is unusual about it."""
    x, y = values()
    rows = [[*numbers, kind] for numbers, kind in zip(x, y, strict=True)]
    header = [*NAMES, "class"]
    plain = written(rows, header)

    def with_column(name: str, column: Sequence[str]) -> str:
        more = [[*n, cell, kind] for n, cell, kind in zip(x, column, y, strict=True)]
        return written(more, [*NAMES, name, "class"])

    def with_gaps(mark: str) -> str:
        draw = np.random.default_rng(17)
        holes = draw.random((ROWS, 4)) < 0.07
        gaps = [[mark if hole else cell for hole, cell in zip(h, n, strict=True)]
                for h, n in zip(holes, x, strict=True)]  # fmt: skip
        return written([[*n, kind] for n, kind in zip(gaps, y, strict=True)], header)

    count = range(ROWS)
    texts = {
        "plain": plain,
        "bom": "\ufeff" + plain,
        "booleans": with_column("smoker", [str(i % 3 > 0) for i in count]),
        "categories": with_column("city", [("Oslo", "Bergen", "Tromsø")[i % 3] for i in count]),
        "constant_column": with_column("site", ["1"] * ROWS),
        "dates": with_column("day", [f"2024-{i % 12 + 1:02}-{i % 28 + 1:02}" for i in count]),
        "free_text": with_column("remark", [f"patient {i} was well" for i in count]),
        "mixed": with_column("dose", ["12 kg" if i == 7 else str(i) for i in count]),
        "decimal_comma": written(
            [[cell.replace(".", ",") for cell in row] for row in rows], header, ";"
        ),
        "duplicate_names": written(rows, ["a", "a", "b", "c", "class"]),
        "index_column": written([[str(i), *row] for i, row in enumerate(rows)], ["", *header]),
        "row_names": written([[str(i), *row] for i, row in enumerate(rows, 1)], header),
        "label_first": written([[row[-1], *row[:-1]] for row in rows], ["class", *NAMES]),
        "missing": with_gaps(""),
        "question_marks": with_gaps("?"),
        "na": with_gaps("NA"),
        "no_header": written(rows),
        "rare_class": written([[*rows[0][:-1], "rare"], *rows[1:]], header),
        "regression": written([[*n, f"{i / 7:.4f}"] for i, n in enumerate(x)], [*NAMES, "price"]),
        "semicolon": written(rows, header, ";"),
        "tabs": written(rows, header, "\t"),
        "blanks": written(rows, header, " "),
        "sorted_by_class": written(sorted(rows, key=lambda row: row[-1]), header),
    }
    return {
        **{name: text.encode() for name, text in texts.items()},
        "latin1": written(rows, ["Größe", *header[1:]]).encode("cp1252"),
        "utf16": plain.encode("utf-16"),
    }
