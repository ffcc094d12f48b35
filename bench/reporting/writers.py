"""Tables as Markdown, LaTeX and CSV, and safe file names.

We escape texts ourselves: pandas' LaTeX escapes no caption, tabulate's Markdown nothing.
"""

import re
from dataclasses import dataclass
from typing import Any

import pandas as pd

_MARKDOWN = {ord(c): f"\\{c}" for c in r"\`*<>|&#~$"}
_LATEX = {ord(c): f"\\{c}" for c in "&%$#_{}"} | {
    ord("\\"): r"\textbackslash{}",
    ord("~"): r"\textasciitilde{}",
    ord("^"): r"\textasciicircum{}",
    ord("<"): r"\textless{}",
    ord(">"): r"\textgreater{}",
    ord("|"): r"\textbar{}",
    ord("±"): r"$\pm$",
    ord("["): "{[}",  # after a line's end, \\ would take a bracket for its option
}


@dataclass(frozen=True)
class Table:
    """A table as readers see it (frame), a note to it, and its figures in full (data, or frame)."""

    name: str
    title: str
    frame: pd.DataFrame
    note: str = ""
    data: pd.DataFrame | None = None
    footer: int = 0  # so many last rows stay last when the page sorts
    heat: bool = False  # the page colours the cells by their AUROC

    def as_text(self) -> pd.DataFrame:
        """Every cell as text on one line: floats to three places, what is missing as a dash."""
        return self.frame.map(cell).rename(columns=cell)

    def csv(self) -> str:
        return (self.frame if self.data is None else self.data).to_csv(index=False)

    def markdown(self) -> str:
        frame = self.as_text().map(markdown_escape).rename(columns=markdown_escape)
        table = frame.to_markdown(index=False, disable_numparse=True)
        return (
            "\n\n".join(
                filter(
                    None, [f"**{markdown_escape(self.title)}**", table, markdown_escape(self.note)]
                )
            )
            + "\n"
        )

    def latex(self) -> str:
        """A table environment; needs \\usepackage{booktabs}."""
        frame = self.as_text().map(latex_escape).rename(columns=latex_escape)
        caption = latex_escape(f"{self.title}. {self.note}")
        return frame.to_latex(
            index=False, escape=False, caption=caption, label=f"tab:{self.name}", position="htbp"
        )


def cell(value: Any) -> str:
    if pd.isna(value):
        return "–"
    return f"{value:.3f}" if isinstance(value, float) else " ".join(str(value).split())


def markdown_escape(text: str) -> str:
    return text.translate(_MARKDOWN)


def latex_escape(text: str) -> str:
    return text.translate(_LATEX)


def file_names(names: list[str]) -> list[str]:
    """A file name for each name: no two alike, also where a file system ignores capitals."""
    stems: list[str] = []
    for name in names:
        stem = plain = re.sub(r"[^\w.-]+", "_", name)[:100]
        number = 2
        while stem.lower() in map(str.lower, stems):
            stem, number = f"{plain}_{number}", number + 1
        stems.append(stem)
    return stems
