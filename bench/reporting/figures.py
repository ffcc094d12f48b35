"""Figures for a paper: one column wide, readable at that size, in colours that the colour-blind can tell apart."""

import io
import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from bench.metrics import roc
from bench.reporting.tables import Scores
from bench.statistics import ALPHA, Comparison

WIDTH = 3.5  # inches, a column of most two-column papers
# Okabe & Ito's palette; lines differ in dashes too, for print in grey
COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"]
DASHES = ["-", "--", "-.", ":"]
NORMAL, ABNORMAL = COLOURS[:2]
Looks = dict[str, dict[str, Any]]  # a model's colour and dashes
PANELS = 10  # in one figure; more classes make more figures
STYLE: Any = {
    # Times-like, as most papers; its small file also halves the time that a PDF takes. DejaVu for what it lacks
    "font.family": ["STIXGeneral", "DejaVu Sans"],
    **dict.fromkeys(("font.size", "axes.titlesize", "axes.labelsize"), 9),
    **dict.fromkeys(("legend.fontsize", "xtick.labelsize", "ytick.labelsize"), 8),
    **dict.fromkeys(("axes.spines.top", "axes.spines.right", "legend.frameon"), False),
    "axes.linewidth": 0.6,
    "pdf.fonttype": 42,  # TrueType: journals refuse Type 3 fonts
    "savefig.dpi": 200,
    "text.parse_math": False,  # a class may be called $x
}


@dataclass(frozen=True)
class Drawing:
    """A figure as its two files' contents."""

    name: str
    caption: str
    pdf: bytes
    png: bytes


def drawn(name: str, caption: str, figure: Figure) -> Drawing:
    pdf, png = io.BytesIO(), io.BytesIO()
    figure.savefig(pdf, format="pdf", metadata={"CreationDate": None})  # the same bytes every time
    figure.savefig(png, format="png")
    return Drawing(name, caption, pdf.getvalue(), png.getvalue())


def histograms(finals: pd.DataFrame, scores: Scores) -> Iterator[Drawing]:
    """For each model and class: the scores of normal and of abnormal test images, of the lowest seed.

    Seeds are not pooled, since each trained network has a score scale of its own.
    """
    for (column, row), group in finals.groupby(["column", "row"], sort=False):
        run = group.sort_values("seed").iloc[0]
        if (frame := scores.get((run["study"], run["trial"]))) is None:
            continue
        values, abnormal = frame["scores"].to_numpy(float), frame["labels"].to_numpy() == 1
        low, high = np.quantile(values, [0.002, 0.998])
        edges = np.histogram_bin_edges(values, bins="rice", range=(low, high))
        looks = ((~abnormal, NORMAL, "normal", ""), (abnormal, ABNORMAL, "abnormal", "////"))
        with mpl.rc_context(STYLE):
            figure = Figure(figsize=(WIDTH, 2.2))
            axes = figure.add_axes((0.14, 0.18, 0.84, 0.7))
            for mask, colour, name, hatch in looks:
                heights = np.histogram(np.clip(values[mask], edges[0], edges[-1]), edges, density=True)[0]
                axes.stairs(heights, edges, color=colour, fill=True, alpha=0.25)
                axes.stairs(heights, edges, color=colour, label=f"{name} (n = {mask.sum()})", hatch=hatch, linewidth=1)
            axes.set(xlabel="anomaly score", ylabel="density")
            axes.set_title(f"{column}, {row} (seed {run['seed']:.0f}, AUROC {run['test_auroc']:.3f})")
            axes.set_ylim(0, axes.get_ylim()[1] * 1.2)  # room for the legend
            axes.legend(loc="upper center", ncols=2)
            caption = f"{column}, {row}: scores of seed {run['seed']:.0f}. The outermost bins hold what lies beyond."
            yield drawn(f"histogram_{column}_{row}", caption, figure)


def roc_curves(finals: pd.DataFrame, scores: Scores) -> Iterator[Drawing]:
    """One panel a class: every seed as a thin line, each model's mean over seeds (at equal FPR) as a thick one."""
    grid = np.linspace(0, 1, 201)
    x = np.append(0, grid)  # every curve starts at (0, 0)
    curves: dict[tuple[str, str], list[np.ndarray]] = {}
    for run in finals.to_dict("records"):
        if (frame := scores.get((run["study"], run["trial"]))) is not None:
            fpr, tpr = roc(frame["labels"], frame["scores"])
            curves.setdefault((run["row"], run["column"]), []).append(np.append(0, np.interp(grid, fpr, tpr)))

    def panel(axes: Axes, row: str, looks: Looks) -> None:
        axes.plot([0, 1], [0, 1], color="0.7", linewidth=0.6)
        for column, look in looks.items():
            if runs := curves.get((row, column)):
                axes.plot(x, np.transpose(runs), color=look["color"], linewidth=0.4, alpha=0.6)
                axes.plot(x, np.mean(runs, axis=0), **look, linewidth=1.4)

    kept = finals[[key in curves for key in zip(finals["row"], finals["column"], strict=True)]]
    caption = "ROC curves. Thin: one seed; thick: the mean over seeds; grey: chance."
    yield from panels("roc", caption, kept, panel, xlabel="false positive rate", ylabel="true positive rate")


def learning_curves(finals: pd.DataFrame, epochs: pd.DataFrame) -> Iterator[Drawing]:
    """One panel a class: the validation signal by epoch, mean over seeds with their range."""
    epochs = epochs.merge(finals[["study", "trial"]])
    signal = next((name for name in ("val_auroc", "objective") if name in epochs and epochs[name].notna().any()), None)
    if signal is None or epochs["epoch"].max() < 2:
        return

    def panel(axes: Axes, row: str, looks: Looks) -> None:
        for column, look in looks.items():
            here = epochs[(epochs["row"] == row) & (epochs["column"] == column)]
            curve = here.groupby("epoch")[signal].agg(["mean", "min", "max"])
            axes.fill_between(curve.index, curve["min"], curve["max"], color=look["color"], alpha=0.15, linewidth=0)
            axes.plot(curve.index, curve["mean"], **look, linewidth=1.2)
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))

    name = "validation AUROC" if signal == "val_auroc" else "validation objective"
    caption = f"Learning curves of the final runs: {name}, mean over seeds and their range."
    yield from panels("learning", caption, finals, panel, xlabel="epoch", ylabel=name)


def critical_differences(comparison: Comparison) -> Iterator[Drawing]:
    """Average ranks on a line; a bar joins models that the test does not tell apart."""
    if len(comparison.ranks) < 2 or comparison.classes < 3:
        return
    import scikit_posthocs

    ranks = comparison.ranks.set_index("model")["average_rank"]
    p = pd.DataFrame(1.0, index=ranks.index, columns=ranks.index)
    for pair in comparison.pairs.dropna().to_dict("records"):
        p.loc[pair["better"], pair["worse"]] = p.loc[pair["worse"], pair["better"]] = pair["p_holm"]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 0.7 + 0.15 * len(ranks)), layout="constrained")
        axes = figure.add_subplot(title="average rank")
        looks = {"label_props": {"size": 8}, "marker_props": {"s": 10}, "elbow_props": {"linewidth": 0.7}}
        labels = {"label_fmt_left": "{label} ({rank:.2f}) ", "label_fmt_right": " ({rank:.2f}) {label}"}
        black = dict.fromkeys(ranks.index, "black")
        scikit_posthocs.critical_difference_diagram(
            ranks, p, alpha=ALPHA, ax=axes, color_palette=black, **looks, **labels
        )
        caption = (
            f"Average rank over {comparison.classes} classes (1 is best). A bar joins models that are not told apart "
            f"(Wilcoxon, Holm, p ≥ {ALPHA}); classes share training images."
        )
        yield drawn("critical_difference", caption, figure)


def panels(
    name: str,
    caption: str,
    finals: pd.DataFrame,
    panel: Callable[[Axes, str, Looks], None],
    *,
    xlabel: str,
    ylabel: str,
) -> Iterator[Drawing]:
    """Figures of one panel a class, with one legend of models above."""
    rows, columns = list(dict.fromkeys(finals["row"])), list(dict.fromkeys(finals["column"]))
    turns = zip(columns, itertools.cycle(COLOURS), itertools.cycle(DASHES), strict=False)
    looks: Looks = {column: {"color": colour, "linestyle": dashes} for column, colour, dashes in turns}
    for start in range(0, len(rows), PANELS):
        these = rows[start : start + PANELS]
        across = min(2, len(these))
        down = math.ceil(len(these) / across)
        with mpl.rc_context(STYLE):
            legend = 0.2 * math.ceil(len(columns) / 2)
            height = down * (2.3 if across == 1 else 1.35) + legend + 0.45
            # margins in inches, fixed: a layout engine would take most of a report's time
            top, bottom = 1 - (legend + 0.3) / height, 0.45 / height
            margins = {"left": 0.16, "right": 0.98, "top": top, "bottom": bottom, "wspace": 0.12, "hspace": 0.4}
            figure = Figure(figsize=(WIDTH, height))
            grid = figure.subplots(down, across, sharex=True, sharey=True, squeeze=False, gridspec_kw=margins)
            for axes, row in zip(grid.flat, these, strict=False):
                panel(axes, row, looks)
                axes.set_title(row)
            for axes in grid.flat[len(these) :]:
                axes.set_visible(False)
                grid[-2, 1].tick_params(labelbottom=True)  # its column ends there
            figure.supxlabel(xlabel, size=9, y=0.05 / height, va="bottom")
            figure.supylabel(ylabel, size=9, x=0.01)
            handles = [Line2D([], [], label=column, **look) for column, look in looks.items()]
            figure.legend(handles=handles, loc="upper center", borderaxespad=0.2, ncols=min(2, len(columns)))
            yield drawn(name if start == 0 else f"{name}_{start // PANELS + 1}", caption, figure)
