"""A figure's two files, and what all figures look like: usable in a paper as they are."""

import io
import re
from dataclasses import dataclass
from typing import Any

from fontTools import subset
from matplotlib.figure import Figure

WIDTH = 3.5  # inches, a column of most two-column papers
# Okabe & Ito's palette, which the colour-blind can tell apart
COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"]
FONTS = "system-ui, DejaVu Sans, sans-serif"  # the page's, so that a figure on it has the same
STYLE: Any = {
    "font.family": "DejaVu Sans",  # what a PDF embeds
    "svg.fonttype": "none",  # text as text
    **dict.fromkeys(("font.size", "axes.titlesize", "axes.labelsize"), 8),
    **dict.fromkeys(("legend.fontsize", "xtick.labelsize", "ytick.labelsize"), 7),
    "axes.titley": 1.0,  # fixed: finding a free place would take a tenth of a report's time
    **dict.fromkeys(("axes.spines.top", "axes.spines.right", "legend.frameon"), False),
    "axes.linewidth": 0.6,
    "pdf.fonttype": 42,  # TrueType: journals refuse Type 3 fonts
    "svg.hashsalt": "report",  # the same bytes every time
    "text.parse_math": False,  # a class may be called $x
}


@dataclass(frozen=True)
class Drawing:
    """A figure as its two files' contents."""

    name: str
    caption: str
    pdf: bytes
    svg: bytes
    wide: bool = False  # more than a column: the page gives it a whole line


# Fonts' layout tables, which a PDF does not need: subsetting them takes a tenth of a report's time.
dropped: list[str] = getattr(subset.Options, "_drop_tables_default", [])
dropped += ["GSUB", "GPOS", "GDEF"]


def drawn(name: str, caption: str, figure: Figure) -> Drawing:
    pdf, svg = io.BytesIO(), io.BytesIO()
    figure.savefig(pdf, format="pdf", metadata={"CreationDate": None})  # the same bytes every time
    figure.savefig(svg, format="svg", metadata={"Date": None})
    short = re.sub(rb' d="[^"]*"', shorter, svg.getvalue())
    short = re.sub(rb">\s+<", b"><", short)  # a tenth of it is indentation
    text = short.replace(b"font-family: 'DejaVu Sans'", f"font-family: {FONTS}".encode())
    return Drawing(name, caption, pdf.getvalue(), text, wide=figure.get_figwidth() > WIDTH)


def shorter(path: re.Match[bytes]) -> bytes:
    """An SVG path rounded to a hundredth of a point, which nobody sees: less than half the size."""
    rounded = re.sub(rb"(\.\d\d)\d+", rb"\1", path[0])
    # Without curves, every later point is the end of a line, with its L or without.
    curved = re.search(rb"[CQ]", rounded)
    return rounded if curved else rounded.replace(b"\nL ", b"")
