"""A table as numbers and as printed text: CSV, Markdown, LaTeX."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import pandas as pd

from tl1bench.errors import printable


@dataclass(frozen=True)
class Table:
    """A table as numbers (`frame`) and as printed text (`rows`), `bold` being (row, column)."""

    name: str
    title: str
    note: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    bold: frozenset[tuple[int, int]]
    frame: pd.DataFrame

    def csv(self) -> str:
        """Return the numbers, unrounded."""
        frame = self.frame.rename(columns=_cell)
        for name in frame.select_dtypes(exclude=["number", "bool"]):
            frame[name] = frame[name].map(_cell)
        return frame.to_csv(index=False, lineterminator="\n")

    def markdown(self) -> str:
        """Return the printed text as a Markdown table with its title and note."""
        body = [
            [
                f"**{_markdown(text)}**" if (i, j) in self.bold else _markdown(text)
                for j, text in enumerate(row)
            ]
            for i, row in enumerate(self.rows)
        ]
        lines = [tuple(map(_markdown, self.header)), tuple("---" for _ in self.header), *body]
        table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
        return f"### {_markdown(self.title)}\n\n{table}\n\n{_markdown(self.note)}\n"

    def latex(self) -> str:
        """Return the printed text as a LaTeX table; needs `booktabs`."""
        body = [
            " & ".join(
                rf"\textbf{{{_tex(text)}}}" if (i, j) in self.bold else _tex(text)
                for j, text in enumerate(row)
            )
            for i, row in enumerate(self.rows)
        ]
        # Behind a rule or the end of a row a bracket or a star would be an option of it.
        head, *body = (
            f"{{}}{line}" if line.startswith(("[", "*")) else line
            for line in (" & ".join(_tex(text) for text in self.header), *body)
        )
        columns = "l" + "r" * (len(self.header) - 1)
        return "\n".join(
            [
                r"% needs \usepackage{booktabs}",
                r"\begin{table*}",
                r"\scriptsize\setlength{\tabcolsep}{3pt}",
                rf"\caption{{{_tex(self.title)}. {_tex(self.note)}}}",
                rf"\begin{{tabular}}{{{columns}}}",
                r"\toprule",
                rf"{head} \\",
                r"\midrule",
                *(rf"{line} \\" for line in body),
                r"\bottomrule",
                r"\end{tabular}",
                r"\end{table*}",
                "",
            ]
        )


_TEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "_": r"\_",
    "#": r"\#",
    "$": r"\$",
    "{": r"\{",
    "}": r"\}",
    "^": r"\^{}",
    "~": r"\~{}",
    "±": r"$\pm$",
    "×": r"$\times$",
    "λ": r"$\lambda$",
    "Δ": r"$\Delta$",
    "µ": r"$\mu$",
    "ℓ": r"$\ell$",
    "−": r"$-$",
    "–": "--",
    "✓": r"$\bullet$",
    "≤": r"$\leq$",
    "σ": r"$\sigma$",
    "²": r"$^2$",
}


# What means something inside a line of Markdown; a bracket does where a link's address follows.
_MARKDOWN = re.compile(r"[\\`*|&<>~]|(?<=\])[\[(:]")


def _tex(text: str) -> str:
    return "".join(_TEX.get(character, character) for character in printable(text))


def _markdown(text: str) -> str:
    return _MARKDOWN.sub(r"\\\g<0>", printable(text).strip())


def _cell(value: Any) -> Any:
    """Return text on one line, with an apostrophe before what a spreadsheet would compute."""
    if not isinstance(value, str):
        return value
    text = printable(value)
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text
