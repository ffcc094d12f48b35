"""Figures for a paper: one column (3.5 inches) wide, readable at that size, colours that the colour-blind can tell apart."""

import io
from collections.abc import Iterator
from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from bench.metrics import roc
from bench.reporting.tables import Scores
from bench.statistics import ALPHA, Comparison

WIDTH = 3.5  # inches, a column of most two-column papers
# Okabe & Ito's palette; lines differ in dashes too, for print in grey
COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"]
DASHES = ["-", "--", "-.", ":"]
NORMAL, ABNORMAL = COLOURS[:2]
PANELS = 10  # in one figure; more classes make more figures
STYLE = {
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "legend.fontsize": 7,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
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
    contents = {}
    for kind, metadata in (("pdf", {"CreationDate": None}), ("png", {"Software": None})):  # the same bytes every time
        buffer = io.BytesIO()
        figure.savefig(buffer, format=kind, metadata=metadata)
        contents[kind] = buffer.getvalue()
    return Drawing(name, caption, **contents)


def histograms(finals: pd.DataFrame, scores: Scores) -> Iterator[Drawing]:
    """For each model and class: the scores of normal and of abnormal test images, of the lowest seed.

    Seeds are not pooled, since each trained network has a score scale of its own.
    """
    for (column, row), group in finals.groupby(["column", "row"], sort=False):
        run = group.sort_values("seed").iloc[0]
        frame = scores.get((run["study"], run["trial"]))
        if frame is None:
            continue
        values, abnormal = frame["scores"].to_numpy(float), frame["labels"].to_numpy() == 1
        low, high = np.quantile(values, [0.002, 0.998])
        edges = np.histogram_bin_edges(values, bins=40, range=(low, high))
        with mpl.rc_context(STYLE):
            figure, axes = single(2.2)
            for mask, colour, label, hatch in (
                (~abnormal, NORMAL, "normal", ""),
                (abnormal, ABNORMAL, "abnormal", "////"),
            ):
                heights = np.histogram(np.clip(values[mask], edges[0], edges[-1]), edges, density=True)[0]
                axes.stairs(heights, edges, color=colour, fill=True, alpha=0.25)
                axes.stairs(
                    heights, edges, color=colour, linewidth=1.2, label=f"{label} (n = {mask.sum()})", hatch=hatch
                )
            axes.set_xlabel("anomaly score")
            axes.set_ylabel("density")
            axes.set_title(f"{column}, {row} (seed {run['seed']:.0f}, AUROC {run['test_auroc']:.3f})")
            axes.legend()
            caption = (
                f"{column}, {row}: scores of seed {run['seed']:.0f}; the outermost bins hold all that lies beyond."
            )
            yield drawn(f"histogram_{column}_{row}", caption, figure)


def roc_curves(finals: pd.DataFrame, scores: Scores) -> Iterator[Drawing]:
    """One panel a class: every seed as a thin line, each model's mean over seeds (at equal FPR) as a thick one."""
    grid = np.linspace(0, 1, 201)
    curves: dict[tuple[str, str], list[np.ndarray]] = {}
    for run in finals.itertuples():
        frame = scores.get((run.study, run.trial))
        if frame is not None:
            fpr, tpr = roc(frame["labels"], frame["scores"])
            curves.setdefault((run.row, run.column), []).append(np.interp(grid, fpr, tpr))

    def panel(axes: Axes, row: str, look: dict[str, dict]) -> None:
        axes.plot([0, 1], [0, 1], color="0.7", linewidth=0.6)
        for column, style in look.items():
            for tpr in (runs := curves.get((row, column), [])):
                axes.plot(np.append(0, grid), np.append(0, tpr), **style | {"linewidth": 0.4, "alpha": 0.6})
            if runs:
                axes.plot(np.append(0, grid), np.append(0, np.mean(runs, axis=0)), linewidth=1.4, **style)

    kept = finals[[key in curves for key in zip(finals["row"], finals["column"], strict=True)]]
    caption = "ROC curves. Thin: one seed; thick: the mean over seeds; grey: chance."
    yield from panels("roc", caption, kept, panel, "false positive rate", "true positive rate")


def learning_curves(finals: pd.DataFrame, epochs: pd.DataFrame) -> Iterator[Drawing]:
    """One panel a class: validation signal by epoch, mean over seeds with their range; the chosen epochs as dots."""
    epochs = epochs[epochs.get("kind", "final") == "final"] if len(epochs) else epochs
    signal = next((n for n in ("val_auroc", "objective") if n in epochs and epochs[n].notna().any()), None)
    if signal is None or epochs["epoch"].max() < 2:
        return

    def panel(axes: Axes, row: str, look: dict[str, dict]) -> None:
        here = epochs[epochs["row"] == row]
        for column, style in look.items():
            by_epoch = here[here["column"] == column].groupby("epoch")[signal].agg(["mean", "min", "max"])
            axes.fill_between(
                by_epoch.index, by_epoch["min"], by_epoch["max"], color=style["color"], alpha=0.15, linewidth=0
            )
            axes.plot(by_epoch.index, by_epoch["mean"], linewidth=1.2, **style)
        axes.xaxis.get_major_locator().set_params(integer=True)

    name = {"val_auroc": "validation AUROC"}.get(signal, "validation objective")
    caption = f"Learning curves of the final runs: {name}, mean over seeds and their range."
    yield from panels("learning", caption, finals, panel, "epoch", name)


def critical_differences(comparison: Comparison) -> Iterator[Drawing]:
    """Average ranks on a line; a bar joins models that the test does not tell apart."""
    if len(comparison.ranks) < 2 or comparison.classes < 3:
        return
    import scikit_posthocs

    ranks = comparison.ranks.set_index("model")["average_rank"]
    p = pd.DataFrame(1.0, index=ranks.index, columns=ranks.index)
    for pair in comparison.pairs.dropna().itertuples():
        p.loc[pair.better, pair.worse] = p.loc[pair.worse, pair.better] = pair.p_holm
    with mpl.rc_context(STYLE):
        figure, axes = single(0.8 + 0.16 * len(ranks))
        scikit_posthocs.critical_difference_diagram(
            ranks, p, alpha=ALPHA, ax=axes, label_fmt_left="{label} ({rank:.2f}) ", label_fmt_right=" ({rank:.2f}) {label}",
            label_props={"size": 7}, marker_props={"s": 10}, elbow_props={"linewidth": 0.7}, color_palette=dict.fromkeys(ranks.index, "black"),
        )  # fmt: skip
        caption = (
            f"Average rank over {comparison.classes} classes (1 is best). A bar joins models that are not told apart "
            f"(Wilcoxon, Holm, p ≥ {ALPHA}); classes share training images."
        )
        yield drawn("critical_difference", caption, figure)


def single(height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.add_subplot()


def panels(name: str, caption: str, finals: pd.DataFrame, panel, xlabel: str, ylabel: str) -> Iterator[Drawing]:
    """Figures of one panel a class, with one legend of models."""
    rows, columns = list(dict.fromkeys(finals["row"])), list(dict.fromkeys(finals["column"]))
    look = {
        column: {"color": COLOURS[i % len(COLOURS)], "linestyle": DASHES[i // len(COLOURS) % len(DASHES)]}
        for i, column in enumerate(columns)
    }
    for start in range(0, len(rows), PANELS):
        these = rows[start : start + PANELS]
        across = min(2, len(these))
        down = -(-len(these) // across)
        with mpl.rc_context(STYLE):
            figure = Figure(figsize=(WIDTH, down * (1.45 if across > 1 else 2.6) + 0.5), layout="constrained")
            grid = figure.subplots(down, across, sharex=True, sharey=True, squeeze=False)
            for axes, row in zip(grid.flat, these, strict=False):
                panel(axes, row, look)
                axes.set_title(row)
            for axes in grid.flat[len(these) :]:
                axes.set_visible(False)
            figure.supxlabel(xlabel, size=8)
            figure.supylabel(ylabel, size=8)
            handles = [mpl.lines.Line2D([], [], **style) for style in look.values()]
            figure.legend(handles, columns, loc="outside lower center", ncols=2 if len(columns) > 1 else 1)
            yield drawn(f"{name}_{start // PANELS + 1}" if start else name, caption, figure)
