"""What changes with an amount that a study varies, and between data sets."""

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import NullLocator

from bench.reporting.drawing import Drawing
from bench.reporting.fair import gapless, rivals, shared, without_unsound
from bench.reporting.figures import Looks, looks_of, panels
from bench.reporting.frames import COUNTS, mixed, span, without_amounts
from bench.reporting.headline import detail
from bench.reporting.writers import Table, cell


class Curve(NamedTuple):
    """How figures over an amount are shown."""

    name: str  # of files
    title: str
    axis: str
    column: str  # what the axis has


CURVES = {  # by the amount, which a study may vary
    "limit_train": Curve(
        "images", "How many training images does a model need?", "images trained on", "n_train"
    ),
    "contamination": Curve(
        "contamination",
        "How much contamination does a model tolerate?",
        "share of the training images that is abnormal",
        "contamination",
    ),
    "limit_anomalies": Curve(
        "anomalies",
        "How many anomalies does a good choice need?",
        "abnormal validation images",
        "n_val_abnormal",
    ),
}
ROOM = 0.09  # of an axis, between two of its numbers
ASIDE = 0.01  # of an axis, between two models' points of the same amount


def data_of(aurocs: pd.DataFrame) -> pd.Series:
    """Each row's data set, with its task where the data set has results of several."""
    tasks = aurocs.groupby("dataset")["task"].transform("nunique") > 1
    return aurocs["dataset"].where(~tasks, aurocs["dataset"] + ", " + aurocs["task"])


def points_of(aurocs: pd.DataFrame, amount: str) -> tuple[pd.DataFrame, list[str]]:
    """The points of the curves, and the columns left out for want of a shared class.

    `aurocs`: the AUROC by study, model and class (frames.auroc). A point is a row for a data set
    (several tasks of one count as data sets), a model that was trained with several amounts
    (`model`: the column without the amount) and one of these (`x`: as the figure's axis has it).
    COUNTS, auroc, low and high are means over the classes that the points of a data set share. An
    interval is thus as wide as the classes' intervals on average: it could be narrower only if
    classes did not share test images.
    """
    models = without_amounts(aurocs, [amount])
    runs = aurocs.assign(model=models, dataset=data_of(aurocs))
    for name in ("protocol", "family", "select_on"):  # points of a curve differ in the amount alone
        several_of = {key[:2] for key in mixed(runs, ["dataset", "model", "row"], name)}
        runs["model"] = [
            f"{model} ({value})" if (dataset, model) in several_of else model
            for dataset, model, value in runs[["dataset", "model", name]].itertuples(index=False)
        ]
    several = runs.groupby(["dataset", "model"])[amount].transform("nunique") > 1
    drawn = runs[several].dropna(subset=CURVES[amount].column)  # older rows lack COUNTS
    drawn = drawn[drawn.groupby(["dataset", "model"])[amount].transform("nunique") > 1]
    tables = []
    for _, group in drawn.groupby("dataset", sort=False):
        table = group.pivot(index="row", columns="column", values="auroc")
        common = table.dropna() if table.notna().all(axis=1).any() else gapless(table)
        tables.append(group[group["row"].isin(common.index) & group["column"].isin(common)])
    known = pd.concat(tables) if tables else runs[:0]
    left_out = runs.loc[several, "column"].drop_duplicates()
    left_out = left_out[~left_out.isin(known["column"])]
    figures = known.groupby(["dataset", "model", amount], sort=False).agg(
        **{name: (name, "mean") for name in COUNTS},
        classes=("row", "size"),
        seeds=("seeds", "min"),
        **{name: (name, lambda part: part.mean(skipna=False)) for name in ("auroc", "low", "high")},
    )
    points = figures.reset_index()
    points["x"] = points[CURVES[amount].column].astype(float)
    return points.sort_values("x", kind="stable"), left_out.tolist()


def amount_tables(aurocs: pd.DataFrame) -> Iterator[Table]:
    """For each amount that a study varies: its values by models."""
    for amount, curve in CURVES.items():
        points, left_out = points_of(aurocs, amount)
        if points.empty:
            continue
        points = points.sort_values("dataset", key=lambda d: pd.factorize(d)[0], kind="stable")
        ends = points[["auroc", "low", "high"]].itertuples(index=False, name=None)
        points["text"] = [
            f"{cell(mean)} {detail(math.nan, low, high, '')}".strip() for mean, low, high in ends
        ]
        rows = ["dataset", amount] if points["dataset"].nunique() > 1 else [amount]
        models = list(points["model"].unique())
        counted = curve.column if curve.column in COUNTS else "n_train"
        counts = points.groupby(rows, sort=False)[counted].mean()
        frame = counts.map("{:.0f}".format, na_action="ignore").to_frame()
        frame = frame.join(points.pivot(index=rows, columns="model", values="text")[models])
        titles = {"dataset": "data set", "limit_train": "images kept", "n_train": "trained on"}
        titles |= {"limit_anomalies": "anomalies", "n_val_abnormal": "that chose"}
        frame = frame.reset_index().replace({amount: {"": "all"}}).rename(columns=titles)
        note = note_on(points, left_out)
        if amount == "limit_train":
            note += " Images kept: of all classes, and some of them only validate."
        rows = points.drop(columns=["x", "text"])
        yield Table(f"auroc_by_{curve.name}", curve.title, frame, note, rows)


def note_on(points: pd.DataFrame, left_out: list[str]) -> str:
    """What the points and their intervals are, and the columns left out for want of classes."""
    classes, seeds = span(points["classes"]), span(points["seeds"])
    parts = "test images" if seeds == "1" else "seeds and test images"
    without = f" Too few classes for {'; '.join(left_out)}." if left_out else ""
    return (
        f"Test AUROC, mean over {classes} class(es) and {seeds} seed(s). Intervals: the "
        f"classes' 95 % ones over {parts}, averaged, which is rather too wide.{without}"
    )


def amount_drawings(aurocs: pd.DataFrame) -> Iterator[Drawing]:
    """For each amount that a study varies: a panel per data set, a line per model."""
    for amount, curve in CURVES.items():
        points, left_out = points_of(aurocs, amount)
        if points.empty:
            continue
        places = points.rename(columns={"model": "column", "dataset": "row"})
        places = places.assign(data="", **{"class": places["row"]})
        looks = looks_of(places)
        panel = panel_of(points, looks, "linear" if amount == "contamination" else "log")
        caption = f"{curve.title} {note_on(points, left_out)}"
        name, axis = f"curve_{curve.name}", curve.axis
        yield from panels(name, caption, places, panel, looks, xlabel=axis, ylabel="test AUROC")


def panel_of(points: pd.DataFrame, looks: Looks, scale: str) -> Callable[[Axes, str], None]:
    """A function that draws one data set's lines, with intervals, over a linear or log axis.

    Models are a little apart, since one interval would hide another.
    """
    transform: Callable[[Any], Any] = np.log if scale == "log" else np.asarray
    inverse: Callable[[Any], Any] = np.exp if scale == "log" else np.asarray
    amounts = np.sort(points["x"].unique())
    places = transform(amounts)
    ticks = inverse(with_room(places))
    step = ASIDE * (places[-1] - places[0])

    def panel(axes: Axes, dataset: str) -> None:
        lines = points[points["dataset"] == dataset]
        for number, (model, look) in enumerate(looks.items()):
            line = lines[lines["model"] == model]
            x = inverse(transform(line["x"]) + step * (number - (len(looks) - 1) / 2))
            ends = [line["auroc"] - line["low"], line["high"] - line["auroc"]]
            bars: Any = look | {"marker": "o", "markersize": 3, "linewidth": 1.2}
            axes.errorbar(x, line["auroc"], ends, capsize=2, elinewidth=0.7, **bars)
        axes.set_xscale(scale)
        axes.set_xticks(ticks, [f"{t:,.0f}" if scale == "log" else f"{t:g}" for t in ticks])
        axes.xaxis.set_minor_locator(NullLocator())

    return panel


def with_room(places: np.ndarray) -> list[float]:
    """Those of the ordered places on an axis that have room for a number below it."""
    labelled = [float(places[0])]
    for place in places:
        if place - labelled[-1] >= ROOM * (places[-1] - places[0]):
            labelled.append(float(place))
    return labelled


def dataset_table(aurocs: pd.DataFrame) -> Table | None:
    """Data sets by models: means over the classes that all models have; then over data sets.

    Several tasks of a data set count one by one. Nothing where no model has results on several.
    `aurocs`: the AUROC by study, model and class (frames.auroc).
    """
    aurocs = without_unsound(aurocs)
    if aurocs["dataset"].nunique() < 2:
        return None
    unfair = sorted(set(aurocs["column"]) - set(rivals(aurocs)["column"]))
    tables = {name: shared(group) for name, group in aurocs.groupby(data_of(aurocs), sort=False)}
    means = pd.DataFrame({name: table.mean() for name, table in tables.items()}).T
    if (means.notna().sum() < 2).all():
        return None
    means = means[[column for column in aurocs["column"].unique() if column in means]]
    counts = [len(table) for table in tables.values()]
    frame = means.rename_axis("data set").reset_index()
    frame.insert(1, "classes", [str(count) for count in counts])
    whole = means.dropna(axis=1).mean().to_dict()
    last = {"data set": "mean", "classes": str(sum(counts))} | whole
    return Table(
        "auroc_by_dataset",
        "AUROC by data set and model",
        pd.concat([frame, pd.DataFrame([last])], ignore_index=True),
        "Mean over the classes that a data set's models share (without those that lack many), and "
        "over data sets, each of which counts alike."
        + (f" No fair rivals, as they know more: {', '.join(unfair)}." if unfair else ""),
        frame,
        groups=[""] * len(means) + ["over all data sets"],
        heat=(0.5, 0.5),
    )
