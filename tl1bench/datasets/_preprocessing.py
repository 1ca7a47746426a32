"""How a table's columns become a network's inputs, as plain data: applied without a library."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tl1bench.datasets._options import Reading
from tl1bench.datasets._tables.columns import Column
from tl1bench.errors import DataError
from tl1bench.tasks import Target

FORMAT = "tl1bench preprocessing 1"
"""What the stored form calls itself."""

METADATA = "tl1bench.preprocessing"
"""Under which key an ONNX file's metadata hold the stored form."""


@dataclass(frozen=True)
class Output:
    """One input of the network, made from one column v of the table.

    ``value``: (v − mean) / scale, with `fill` for v where v is missing (None: it must not be).
    ``missing``: 1 where v is missing, else 0. ``is``: 1 where v is one of `values`, else 0, None
    among them standing for a missing v. ``is not``: 1 where v is none of `values`, which holds for
    a text never seen, too.
    """

    column: str
    what: str
    fill: float | None = None
    mean: float = 0.0
    scale: float = 1.0
    values: tuple[str | None, ...] = ()

    @property
    def name(self) -> str:
        """What the input is called."""
        if self.what == "value":
            return self.column
        if self.what == "is":
            return f"{self.column} = {self.values[0] if self.values[0] is not None else 'missing'}"
        return f"{self.column} {'missing' if self.what == 'missing' else '= other'}"

    def of(self, v: NDArray[np.float64], column: Column) -> NDArray[np.float64]:
        """Return the input for values or codes `v` (n,) of `column`."""
        gaps = np.isnan(v)
        if self.what == "value":
            filled = v if self.fill is None else np.where(gaps, self.fill, v)
            return (filled - self.mean) / self.scale
        if self.what == "missing":
            return gaps.astype(np.float64)
        among = np.zeros(len(v), dtype=np.bool_)
        for value in self.values:
            among |= gaps if value is None else v == column.values.index(value)
        return (among if self.what == "is" else ~among).astype(np.float64)


@dataclass(frozen=True)
class Preprocessing:
    """All that turns a table into inputs, and outputs into classes or numbers.

    `columns` of the table, `outputs` in the order of the network's inputs, `label`: the column that
    was learned, `classes`: what the network's outputs stand for, `reading`: how its file is read,
    `target`: how the one output stands for a number, where there are no classes.
    """

    columns: tuple[Column, ...]
    outputs: tuple[Output, ...]
    label: str
    classes: tuple[str, ...]
    reading: Reading = dataclasses.field(default_factory=Reading)
    target: Target | None = None

    def apply(self, x: NDArray[np.float64]) -> NDArray[np.float32]:
        """Turn values and codes (n, columns) into inputs (n, outputs).

        Raises
        ------
        DataError
            A value is missing where nothing is to be filled in.
        """
        places = {column.name: i for i, column in enumerate(self.columns)}
        found = np.empty((len(x), len(self.outputs)), dtype=np.float32)
        for i, output in enumerate(self.outputs):
            place = places[output.column]
            found[:, i] = output.of(x[:, place], self.columns[place])
        if np.isnan(found).any():
            row, i = np.argwhere(np.isnan(found))[0]
            raise DataError(
                f"column '{self.outputs[i].column}' has no value in row {row + 1}, and this "
                "network was trained without any gap: fill it first"
            )
        return found

    def told(self) -> tuple[str, ...]:
        """Return what became of the columns where that is no matter of course."""
        lines = []
        for column in self.columns:
            own = [output for output in self.outputs if output.column == column.name]
            if not own:
                lines.append(f"column '{column.name}' is the same in all training rows: left out")
            for output in own:
                if output.what == "missing":
                    filled = next((o.fill for o in own if o.what == "value"), None)
                    becomes = "" if filled is None else f" become {filled:g} and"
                    lines.append(
                        f"missing values of '{column.name}'{becomes} have an input of their own"
                    )
                if output.what == "is not":
                    lines.append(f"rare values of '{column.name}' share an input")
        return tuple(lines)

    def to_json(self) -> dict[str, Any]:
        """Return plain data that `from_json` reads."""
        return {"format": FORMAT, **dataclasses.asdict(self)}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Preprocessing:
        """Read what `to_json` returned.

        Raises
        ------
        DataError
            It is something else.
        """
        try:
            if stored["format"] != FORMAT:
                raise ValueError(f"it is {stored['format']!r}, not {FORMAT!r}")
            reading = Reading(
                **{**stored["reading"], "missing": tuple(stored["reading"]["missing"])}
            )
            found = cls(
                columns=tuple(Column(**_tupled(c)) for c in stored["columns"]),
                outputs=tuple(Output(**_tupled(o)) for o in stored["outputs"]),
                label=stored["label"],
                classes=tuple(stored["classes"]),
                reading=reading,
                target=Target(**stored["target"]) if stored.get("target") else None,
            )
            if not {o.column for o in found.outputs} <= {c.name for c in found.columns}:
                raise ValueError("an input is made of a column that is not listed")
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"this is no stored preprocessing ({error})") from None
        return found


def _tupled(stored: Mapping[str, Any]) -> dict[str, Any]:
    return {**stored, "values": tuple(stored["values"])}
