"""Which results may be compared: those of rivals, over the classes that they share."""

import itertools

import numpy as np
import pandas as pd

from bench.choices.tasks import LEAVE_ONE_CLASS_OUT, ONE_CLASS
from bench.judging.intervals import mean_interval
from bench.reporting.frames import WIDEST, placed


def without_unsound(aurocs: pd.DataFrame) -> pd.DataFrame:
    """The AUROC frame without figures of the published protocol or parts of it, if any are left.

    If none are, those of the protocol that measured most: it cannot be compared with another one.
    """
    protocols = aurocs["protocol"]
    kept = "sound" if (protocols == "sound").any() else protocols.mode()[0]
    return aurocs[protocols == kept]


def rivals(aurocs: pd.DataFrame) -> pd.DataFrame:
    """The AUROC frame without unsound figures, and without models that know more than others.

    Where all know more than normal images, only those of the most frequent family.
    """
    aurocs = without_unsound(aurocs)
    know_more = aurocs["family"].isin(["labelled", "pretrained"])
    if not know_more.all():
        return aurocs[~know_more]
    return aurocs[aurocs["family"] == aurocs["family"].mode()[0]]


def dependence(aurocs: pd.DataFrame) -> str:
    """Why classes are not independent samples, so that a test over them is optimistic; or ""."""
    tasks = set(aurocs["task"])
    if LEAVE_ONE_CLASS_OUT in tasks:
        return "classes share most of their training images"
    return "classes share test images" if ONE_CLASS in tasks else ""


def dependence_note(dependence: str) -> str:
    """The sentence below tables of tests where `dependence` names a reason for it, else nothing."""
    samples = "Tests take classes for independent samples"
    return f" {samples}, but {dependence}: p is too small." if dependence else ""


def comparable(aurocs: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The AUROC frame split into tables by title: one for all, or one for each data set and task.

    One for all suits models that have results in all of them; else it would be full of gaps.
    """
    groups = dict(list(aurocs.groupby(["dataset", "task"], sort=False)))
    common = set(shared(aurocs).index)
    if len(groups) < 2 or all(common & set(group["row"]) for group in groups.values()):
        return {"": aurocs}
    return {", ".join(name): placed(group)[[*aurocs]] for name, group in groups.items()}


def gapless(table: pd.DataFrame) -> pd.DataFrame:
    """The largest part of a table (classes by models) without gaps, if possible of several models.

    It leaves out a model that lacks so many classes that it would cost the other models more cells
    than it adds.
    """
    known = table.notna().to_numpy()
    fullest = known[:, np.argsort(-known.sum(axis=0), kind="stable")]
    # The classes that the first two models have, the first three, …
    rows = list(np.logical_and.accumulate(fullest, axis=1).T[1:])
    rows += [a & b for a, b in itertools.combinations(known.T, 2)] or list(known.T)
    blocks = [(known[classes].all(axis=0), classes) for classes in rows if classes.any()]
    if not blocks:
        return table.iloc[:0]
    models, classes = max(blocks, key=lambda cut: (cut[0].sum() * cut[1].sum(), cut[0].sum()))
    return table.loc[classes, models]


def shared(aurocs: pd.DataFrame) -> pd.DataFrame:
    """AUROC of the classes (rows) that rivals share, by model (columns): see `gapless`.

    Models that are no rivals, such as pretrained ones, are there too where they have these classes.
    """
    table = aurocs.pivot(index="row", columns="column", values="auroc")
    table = table.loc[aurocs["row"].unique()]
    common = gapless(table.loc[:, table.columns.isin(rivals(aurocs)["column"])])
    whole = table.columns[table.loc[common.index].notna().all()]
    return table.loc[common.index, whole if len(common) else common.columns]


def class_means(aurocs: pd.DataFrame) -> pd.DataFrame:
    """Each model's mean over the shared classes and its 95 % interval over these, the best first.

    Columns mean, low, high; of a single class, that class's own interval. Intervals are cut to
    [0, 1]; those that are too wide to tell anything (WIDEST) are NaN.
    """
    table = shared(aurocs)
    if len(table) == 1:
        only = aurocs[aurocs["row"] == table.index[0]].set_index("column")
        means = only.loc[table.columns, ["auroc", "low", "high"]].rename(columns={"auroc": "mean"})
    else:
        rows = {column: mean_interval(table[column]) for column in table if len(table)}
        means = pd.DataFrame.from_dict(rows, orient="index", columns=["mean", "low", "high"])
    means[["low", "high"]] = means[["low", "high"]].clip(0, 1)
    wide = means["high"] - means["low"] > WIDEST
    means.loc[wide, ["low", "high"]] = np.nan
    return means.sort_values("mean", ascending=False, kind="stable")
