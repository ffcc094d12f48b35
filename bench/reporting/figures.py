"""Figures of scores, curves and ranks, a panel per class."""

import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from bench.judging.comparison import ALPHA, Comparison
from bench.judging.metrics import positives, roc
from bench.reporting.drawing import COLOURS, STYLE, WIDTH, Drawing, drawn
from bench.reporting.frames import Scores, with_scores

DASHES = ["-", "--", "-.", ":"]  # lines differ in these too, for print in grey
NORMAL, ABNORMAL = COLOURS[:2]
Looks = dict[str, dict[str, Any]]  # a model's colour and dashes
LONGEST = 22  # letters of a model's name; longer ones get a legend's whole line
LONGEST_TITLE = 18  # letters of a class's name; panels with longer ones get the whole width
PANELS = 10  # in one figure; more classes make more figures
MOST_MODELS_WITH_SEEDS = 4  # with more in a panel, single seeds' curves would hide one another


def looks_of(finals: pd.DataFrame) -> Looks:
    """Every model's colour and dashes, the same in all figures."""
    columns = dict.fromkeys(finals["column"])
    turns = zip(columns, itertools.cycle(COLOURS), itertools.cycle(DASHES), strict=False)
    return {column: {"color": colour, "linestyle": dashes} for column, colour, dashes in turns}


def of_scores(finals: pd.DataFrame, scores: Scores) -> list[Drawing]:
    """All that show final runs' scores."""
    return [
        *histograms(finals, scores),
        *roc_curves(finals, scores),
        *precision_recall_curves(finals, scores),
    ]


def histograms(finals: pd.DataFrame, scores: Scores) -> Iterator[Drawing]:
    """A figure per model, a panel per class: lowest seed's scores of normal and abnormal images.

    Seeds are not pooled, since each trained network has a score scale of its own.
    """
    looks: Looks = {
        "normal": {"color": NORMAL, "linestyle": "-"},
        "abnormal": {"color": ABNORMAL, "linestyle": "--"},
    }
    for column, group in finals.groupby("column", sort=False):
        runs = {run["row"]: run for run in first_seeds(group, scores)}

        def panel(axes: Axes, row: str, runs: dict[str, dict] = runs) -> None:
            run = runs[row]
            frame = scores[run["study"], run["trial"]]
            edges, normal, abnormal = binned(frame, "rice")
            for heights, look in zip((normal, abnormal), looks.values(), strict=True):
                share = heights / max(1, heights.sum())
                face = mpl.colors.to_rgba(look["color"], 0.2)
                axes.stairs(
                    share,
                    edges,
                    fill=True,
                    facecolor=face,
                    edgecolor=look["color"],
                    linestyle=look["linestyle"],
                    linewidth=1,
                )
            axes.set_title(f"{axes.get_title()} ({run['test_auroc']:.3f})")
            axes.set_yticks([])
            axes.xaxis.set_major_locator(MaxNLocator(4))
            axes.ticklabel_format(axis="x", scilimits=(-3, 4))  # -0.00015 would hide the next

        caption = (
            f"{column}: scores of the lowest seed, with its AUROC. The outermost bins hold what "
            "lies beyond; each panel has a scale of its own. Heights are shares of the normal, and of "
            "the abnormal, images."
        )
        rows = group[group["row"].isin(runs)]
        labels = {"xlabel": "anomaly score", "ylabel": "share of images"}
        yield from panels(f"histogram_{column}", caption, rows, panel, looks, share=False, **labels)


def first_seeds(finals: pd.DataFrame, scores: Scores) -> Iterator[dict[str, Any]]:
    """The lowest seed's run of each model and class, where its scores can be read."""
    for _, group in finals.groupby(["column", "row"], sort=False):
        runs = group.sort_values("seed").to_dict("records")
        yield from [run for run in runs if (run["study"], run["trial"]) in scores][:1]


def binned(frame: pd.DataFrame, bins: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Bin edges, and the numbers of normal and of abnormal images in the bins.

    Outliers count in the outermost bins.
    """
    values, is_abnormal = frame["scores"].to_numpy(float), frame["labels"].to_numpy() == 1
    low, high = np.quantile(values, [0.002, 0.998])
    edges = np.histogram_bin_edges(values, bins=bins, range=(low, high))
    values = np.clip(values, edges[0], edges[-1])
    normal, abnormal = values[~is_abnormal], values[is_abnormal]
    return edges, np.histogram(normal, edges)[0], np.histogram(abnormal, edges)[0]


GRID = np.linspace(0, 1, 129)  # from 128 points on, Matplotlib leaves out those on a straight line


def roc_curves(finals: pd.DataFrame, scores: Scores) -> Iterator[Drawing]:
    """A panel per class: each seed as a thin line, a model's mean (at equal FPR) as a thick one.

    Of many models the means alone.
    """

    def curve(frame: pd.DataFrame) -> np.ndarray:
        return np.append(0, np.interp(GRID, *roc(frame["labels"], frame["scores"])))

    labels = {"xlabel": "false positive rate", "ylabel": "true positive rate"}
    x, title = np.append(0, GRID), "ROC curves"
    yield from curves("roc", title, finals, scores, curve, x, lambda share: (0, 1), **labels)


def precision_recall_curves(finals: pd.DataFrame, scores: Scores) -> Iterator[Drawing]:
    """As `roc_curves`, with means at equal recall."""
    labels = {"xlabel": "recall", "ylabel": "precision"}
    title, level = "Precision-recall curves", lambda share: (share, share)
    yield from curves("pr", title, finals, scores, precisions, GRID, level, **labels)


def precisions(frame: pd.DataFrame) -> np.ndarray:
    """The precision at each recall of GRID: that of the highest threshold which reaches it."""
    hits, alarms = positives(frame["labels"], frame["scores"])
    precision = hits[1:] / (hits + alarms)[1:]
    return precision[np.searchsorted(hits[1:] / hits[-1], GRID - 1e-12)]


def curves(
    name: str,
    title: str,
    finals: pd.DataFrame,
    scores: Scores,
    curve: Callable[[pd.DataFrame], np.ndarray],
    x: np.ndarray,
    chance: Callable[[float], tuple[float, float]],
    **labels: Any,
) -> Iterator[Drawing]:
    """Figures with each run's `curve` of its scores, over `x`.

    `chance`: the ends of the line that guessing gives, by the share of abnormal images.
    """
    by_panel: dict[tuple[str, str], list[np.ndarray]] = {}
    shares: dict[str, set[float]] = {}
    for run, frame in with_scores(finals, scores):
        by_panel.setdefault((run["row"], run["column"]), []).append(curve(frame))
        shares.setdefault(run["row"], set()).add(frame["labels"].mean())
    looks = looks_of(finals)
    few = len(looks) <= MOST_MODELS_WITH_SEEDS
    means = "Thin: one seed; thick: the mean over seeds" if few else "Means over seeds"
    if max(map(len, by_panel.values()), default=1) == 1:
        means = "One seed"

    def panel(axes: Axes, row: str) -> None:
        for share in shares[row]:  # of several where studies were tested on different images
            axes.plot([0, 1], chance(share), color="0.7", linewidth=0.6)
        for column, look in looks.items():
            if runs := by_panel.get((row, column)):
                if few:
                    axes.plot(x, np.transpose(runs), color=look["color"], linewidth=0.4, alpha=0.6)
                axes.plot(x, np.mean(runs, axis=0), **look, linewidth=1.4)

    shown = finals[[key in by_panel for key in zip(finals["row"], finals["column"], strict=True)]]
    several = any(len({chance(share) for share in each}) > 1 for each in shares.values())
    grey = "chance, at each share of abnormal images" if several else "chance"
    yield from panels(name, f"{title}. {means}; grey: {grey}.", shown, panel, looks, **labels)


def critical_differences(comparison: Comparison, dependence: str = "") -> Iterator[Drawing]:
    """Average ranks on a line; a bar joins models that the test does not tell apart.

    Nothing for two models, for which the one test is enough, or with too few classes for any test.
    """
    if len(comparison.ranks) < 3 or not comparison.tested:
        return
    import scikit_posthocs

    ranks = comparison.ranks.set_index("model")["average_rank"]
    p = pd.DataFrame(1.0, index=ranks.index, columns=ranks.index)
    for pair in comparison.pairs.to_dict("records"):
        p.loc[pair["better"], pair["worse"]] = p.loc[pair["worse"], pair["better"]] = pair["p_holm"]
    # Room for names on both sides, and the line between them.
    room = 1.4 + 0.13 * max(map(len, ranks.index))
    with mpl.rc_context(STYLE | {"axes.titley": None}):
        figure = Figure(figsize=(max(WIDTH, room), 0.7 + 0.15 * len(ranks)), layout="constrained")
        axes = figure.add_subplot(title="average rank")
        looks = {
            "label_props": {"size": 7},
            "marker_props": {"s": 10},
            "elbow_props": {"linewidth": 0.7},
            "crossbar_props": {"marker": "o", "markersize": 3},
        }
        labels = {"label_fmt_left": "{label} ", "label_fmt_right": " {label}"}
        black = dict.fromkeys(ranks.index, "black")
        drawing = scikit_posthocs.critical_difference_diagram(
            ranks, p, alpha=ALPHA, ax=axes, color_palette=black, **looks, **labels
        )
        for line in itertools.chain.from_iterable(drawing["crossbars"]):
            line.set_xdata(sorted(line.get_xdata()))  # else the order of a set, another each time
        caption = (
            f"Average rank over {comparison.classes} classes (1 is best). A bar joins, at its "
            f"points, models that are not told apart (Wilcoxon, Holm, p ≥ {ALPHA})"
            f"{f'; {dependence}' if dependence else ''}."
        )
        yield drawn("critical_difference", caption, figure)


def panels(
    name: str,
    caption: str,
    finals: pd.DataFrame,
    panel: Callable[[Axes, str], None],
    looks: Looks,
    *,
    xlabel: str,
    ylabel: str,
    share: bool = True,
) -> Iterator[Drawing]:
    """Figures of one panel per class, with one legend above; each data set and task has its own.

    `share`: all panels have the same axes.
    """
    rows = finals[["data", "row", "class"]].drop_duplicates()
    pages = [
        (data, group[start : start + PANELS])
        for data, group in rows.groupby("data", sort=False)
        for start in range(0, len(group), PANELS)
    ]
    for number, (data, page) in enumerate(pages, start=1):
        columns = set(finals.loc[finals["row"].isin(page["row"]), "column"])
        shown = {label: look for label, look in looks.items() if label in columns} or looks
        across = min(2, len(page)) if page["class"].map(len).max() <= LONGEST_TITLE else 1
        down = math.ceil(len(page) / across)
        with mpl.rc_context(STYLE):
            beside = min(2, len(shown)) if max(map(len, shown)) <= LONGEST else 1
            legend = 0.06 + 0.15 * math.ceil(len(shown) / beside) + 0.16 * bool(data)
            foot = 0.45 if share else 0.58  # a scale of its own may have a power of ten below it
            height = down * (2.3 if len(page) == 1 else 1.35) + legend + foot
            # margins in inches, fixed: a layout engine would take most of a report's time
            top, bottom = 1 - (legend + 0.3) / height, foot / height
            left, right = (0.16, 0.98) if share else (0.08, 0.96)
            margins = {"left": left, "right": right, "top": top, "bottom": bottom}
            spaces = {"wspace": 0.12, "hspace": 0.4} if share else {"wspace": 0.16, "hspace": 0.6}
            figure = Figure(figsize=(WIDTH, height))
            layout: Any = {"sharex": share, "sharey": share, "gridspec_kw": margins | spaces}
            grid = figure.subplots(down, across, squeeze=False, **layout)
            for axes, (row, cls) in zip(grid.flat, page[["row", "class"]].to_numpy(), strict=False):
                axes.set_title(cls)
                panel(axes, row)
            for axes in grid.flat[len(page) :]:
                axes.set_visible(False)
                grid[-2, 1].tick_params(labelbottom=True)  # its column ends there
            figure.supxlabel(xlabel, size=9, y=0.05 / height, va="bottom")
            figure.supylabel(ylabel, size=9, x=0.01)
            handles = [Line2D([], [], label=label, **look) for label, look in shown.items()]
            place: Any = {"loc": "upper center", "borderaxespad": 0.2, "title_fontsize": 8}
            figure.legend(handles=handles, ncols=beside, title=data, **place)
            yield drawn(
                name if number == 1 else f"{name}_{number}",
                f"{caption} Of {data}." if data else caption,
                figure,
            )
