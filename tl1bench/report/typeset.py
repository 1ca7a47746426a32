"""A table as numbers and as printed text: CSV, Markdown, LaTeX."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd


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
        return self.frame.to_csv(index=False, lineterminator="\n")

    def markdown(self) -> str:
        """Return the printed text as a Markdown table with its title and note."""
        body = [
            [f"**{text}**" if (i, j) in self.bold else text for j, text in enumerate(row)]
            for i, row in enumerate(self.rows)
        ]
        lines = [self.header, tuple("---" for _ in self.header), *body]
        table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
        return f"### {self.title}\n\n{table}\n\n{self.note}\n"

    def latex(self) -> str:
        """Return the printed text as a LaTeX table; needs `booktabs`."""
        body = [
            " & ".join(
                rf"\textbf{{{_tex(text)}}}" if (i, j) in self.bold else _tex(text)
                for j, text in enumerate(row)
            )
            for i, row in enumerate(self.rows)
        ]
        head = " & ".join(_tex(text) for text in self.header)
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
}


def _tex(text: str) -> str:
    return "".join(_TEX.get(character, character) for character in text)
