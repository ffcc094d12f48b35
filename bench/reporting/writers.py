"""Tables as Markdown, LaTeX and CSV, and safe file names.

We escape texts ourselves: pandas' LaTeX escapes no caption, tabulate's Markdown nothing.
"""

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from tabulate import tabulate

_MARKDOWN = {ord(c): f"\\{c}" for c in r"\`*<>|&#~$[]"}
_AT_AN_EDGE = re.compile(r"(?<![^\W_])_|_(?![^\W_])")  # of a word: an underscore begins italics
_LATEX = {ord(c): f"\\{c}" for c in "&%$#_{}"} | {
    ord("\\"): r"\textbackslash{}",
    ord("~"): r"\textasciitilde{}",
    ord("^"): r"\textasciicircum{}",
    ord("<"): r"\textless{}",
    ord(">"): r"\textgreater{}",
    ord("|"): r"\textbar{}",
    ord("±"): r"$\pm$",
    ord("["): "{[}",  # after a line's end, \\ would take a bracket for its option, or a star
    ord("*"): "{*}",
}

NUMBER = re.compile(r"–|[-+<]?[\d.,]+(?: .*)?")
ROWS_ON_A_PAGE = 40
WIDE = r"""%% needs \usepackage{booktabs,graphicx}
\begin{table*}[htbp]
\centering
\caption{%s}
%s
\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%%
%s}
\par\smallskip\footnotesize %s
\end{table*}
"""
LONG = r"""%% needs \usepackage{booktabs,longtable}, one column, and perhaps a page on its side
{\scriptsize\setlength{\tabcolsep}{2pt}
%s
%s\par}
"""


@dataclass(frozen=True)
class Table:
    """A table as readers see it (frame), a note to it, and its figures in full (data, or frame)."""

    name: str
    title: str
    frame: pd.DataFrame
    note: str = ""
    data: pd.DataFrame | None = None
    details: pd.DataFrame | None = None  # of each cell: small print in LaTeX, on demand on the page
    legend: str = ""  # what the details are
    groups: Sequence[str] = ()  # the name of each row's group; a group's rows follow one another
    heat: tuple[float, float] | None = None  # middle, distance: how the page shades figures
    study: str = ""  # the report's first: LaTeX labels of two reports must differ in one paper

    def as_text(self) -> pd.DataFrame:
        """Every cell as text on one line: floats to three places, what is missing as a dash."""
        return self.frame.map(cell).rename(columns=cell)

    def blocks(self) -> Iterator[tuple[str, int, int]]:
        """Each group's name, first row and end (excluded); a single group gets an empty name."""
        start = 0
        for name, rows in itertools.groupby(self.groups or [""] * len(self.frame)):
            end = start + len(list(rows))
            yield name if len(set(self.groups)) > 1 else "", start, end
            start = end

    def numeric(self) -> list[bool]:
        """Which columns have only numbers, and are set flush right."""
        columns = self.as_text().to_numpy().T  # two may have one name
        return [all(map(NUMBER.fullmatch, cells)) for cells in columns]

    def csv(self) -> str:
        return (self.frame if self.data is None else self.data).to_csv(index=False)

    def markdown(self) -> str:
        frame = self.as_text().map(markdown_escape).rename(columns=markdown_escape)
        rows = []
        for name, start, end in self.blocks():
            if name:
                rows.append([f"*{name}*"] + [""] * (frame.shape[1] - 1))
            rows += frame.to_numpy()[start:end].tolist()
        table = tabulate(rows, list(frame), tablefmt="pipe", disable_numparse=True)
        hint = f"On the page, in the .tex and .csv file also: {self.legend}." if self.legend else ""
        title = markdown_escape(self.title)
        note = markdown_escape(" ".join(filter(None, [self.note, hint])))
        return "\n\n".join(filter(None, [f"**{title}**", table, note])) + "\n"

    def latex(self) -> str:
        """A table as wide as the text at most, or one that goes on over pages if it is long.

        Its first line names the packages that it needs. The title is the caption, the note follows.
        """
        frame = self.as_text()
        kinds = ["r" if numbers else "l" for numbers in self.numeric()]
        frame = frame.map(latex_escape).rename(columns=latex_escape)
        caption = latex_escape(self.title if self.title.endswith("?") else f"{self.title}.")
        if self.details is not None:
            pairs = zip(frame.to_numpy(), self.details.to_numpy(), strict=True)
            stacked = [list(map(latex_stack, *pair)) for pair in pairs]
            frame = pd.DataFrame(stacked, columns=frame.columns)
            caption = f"{caption} Small: {latex_escape(self.legend)}."
        anchor = re.sub(r"[^\w.+-]+", "-", f"{self.study} {self.name}".strip())
        label, note = rf"\label{{tab:{anchor}}}", latex_escape(self.note)
        long = len(frame) > ROWS_ON_A_PAGE
        lines = frame.to_latex(
            index=False, escape=False, longtable=long, column_format="".join(kinds)
        ).splitlines(keepends=True)
        first = lines.index("\\endlastfoot\n" if long else "\\midrule\n") + 1
        for name, start, _ in reversed(list(self.blocks())):
            if name:
                rule = "\\midrule\n" if start else ""
                head = rf"\multicolumn{{{frame.shape[1]}}}{{l}}{{\emph{{{name}}}}} \\"
                lines.insert(first + start, f"{rule}{head}\n")
        if long:
            lines.insert(1, rf"\caption{{{caption}}} {label} \\" + "\n")
            return LONG % ("".join(lines), note)
        return WIDE % (caption, label, "".join(lines), note)


def cell(value: Any) -> str:
    if pd.isna(value):
        return "–"
    # Rounding first and adding 0 turns a small negative number into 0.000, not -0.000.
    return (
        f"{round(value, 3) + 0:.3f}" if isinstance(value, float) else " ".join(str(value).split())
    )


def markdown_escape(text: str) -> str:
    return _AT_AN_EDGE.sub(r"\_", text.translate(_MARKDOWN))


def latex_escape(text: str) -> str:
    return re.sub(r"(?<![\w.-])-(?=[\d.])", "$-$", text.translate(_LATEX))


def latex_stack(text: str, details: str) -> str:
    """An escaped text, and the lines of its details in small print below it."""
    small = [rf"\\\tiny {latex_escape(line)}" for line in details.splitlines()]
    return "".join([r"\shortstack{", text, *small, "}"]) if small else text


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
