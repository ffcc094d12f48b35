"""Studies' rows and scores as the frames that tables and figures are made of."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from bench.choices.errors import UserError
from bench.choices.tasks import SOUND
from bench.judging import metrics
from bench.judging.intervals import Run, auroc_interval, mean_interval
from bench.judging.selection import SIGNALS
from bench.results.columns import COLUMNS
from bench.results.reading import Results

PUBLISHED = Path(__file__).parents[2] / "results" / "published"
# Means are over the seeds within these.
KEY = ["study", "dataset", "task", "protocol", "select_on", "model", "class"]
KEY += ["limit_train", "contamination"]
# What a column is called after, where results of one row and model differ in it.
AMOUNTS = {"limit_train": ", {} images", "contamination": ", contamination {}"}
# The report speaks of these; an older study's rows lack some of them.
EXPECTED = [name for name in COLUMNS if "*" not in name] + ["protocol_selection", "test_auroc"]
# A protocol's choices that make a figure another one; in evaluation mode the order does not.
DECISIVE = ("scoring_mode", "selection", "test_pool")
WIDEST = 0.5  # an interval that leaves half of the scale open tells nothing

# By study and trial: scores, labels (1: abnormal), part_*.
Scores = Mapping[tuple[str, str], pd.DataFrame]


class Caution(NamedTuple):
    """A warning. `kind`: what to count where there are several, as in "3 {kind}"."""

    kind: str
    line: str


def join(studies: Mapping[str, Results]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """All studies' trials and epochs, each row with its study, its place and what chose it.

    Superseded runs, of a study that has grown since, are left out.
    `row` and `column` are its place in a table: a column names the model, and besides it only that
    in which two results of one row would differ. `signal` is the column of the figure that chose:
    the objective where an older row does not name it.
    """
    trials, epochs = (
        pd.concat(
            [getattr(s, part).assign(study=name) for name, s in studies.items()], ignore_index=True
        )
        for part in ("trials", "epochs")
    )
    trials = trials.reindex(columns=list(dict.fromkeys([*trials.columns, *KEY, *EXPECTED])))
    epochs = epochs.reindex(
        columns=list(dict.fromkeys([*epochs.columns, "study", "trial", "epoch"]))
    )
    trials = trials[trials["role"] != "superseded"].reset_index(drop=True)
    trials["contamination"] = trials["contamination"].fillna(0.0)  # rows of an earlier version
    for name in AMOUNTS:
        trials[name] = [f"{amount:.15g}" if pd.notna(amount) else "" for amount in trials[name]]
    trials[KEY] = trials[KEY].astype(object).where(trials[KEY].notna(), "").astype(str)
    named = trials.reindex(columns=["protocol", *(f"protocol_{name}" for name in DECISIVE)])
    trials["protocol"] = list(map(protocol_label, named.to_dict("records")))
    columns = {name: signal.column for name, signal in SIGNALS.items()}
    trials["signal"] = trials["select_on"].map(columns).fillna("objective")
    trials.loc[trials["protocol_selection"] == "test", "signal"] = "test_auroc"
    trials = placed(trials)
    places = trials[["study", "trial", "row", "column", "signal"]]
    return trials, epochs.merge(places, on=["study", "trial"])


def placed(results: pd.DataFrame) -> pd.DataFrame:
    """The results with `row` and `column`, their places in one table of them all (see `join`)."""
    results = results.assign(row=results["class"], column=results["model"])
    for name in ("task", "dataset"):
        if results[name].nunique() > 1:
            results["row"] = results[name] + ": " + results["row"]
    for name in AMOUNTS:
        if places_differ(results, name):
            results["column"] += [amount_label(name, amount) for amount in results[name]]
    for name in ("protocol", "select_on", "study"):
        if places_differ(results, name):
            results["column"] += " (" + results[name] + ")"
    return results


def comparable(aurocs: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The AUROC frame by what stands in a table of its own: all of it, or each data set and task.

    One table for all suits models that have results in all of them; else it would be full of gaps.
    """
    groups = dict(list(aurocs.groupby(["dataset", "task"], sort=False)))
    common = set(shared(aurocs).index)
    if len(groups) < 2 or all(common & set(group["row"]) for group in groups.values()):
        return {"": aurocs}
    return {", ".join(name): placed(group) for name, group in groups.items()}


def protocol_label(row: Mapping[str, Any]) -> str:
    """A row's protocol, with the choices of its own that are no part of a sound one."""
    if row["protocol"] != "sound":
        return str(row["protocol"])
    values = {name: row[f"protocol_{name}"] for name in DECISIVE}
    others = [f"{k} {v}" for k, v in values.items() if pd.notna(v) and v != getattr(SOUND, k)]
    return f"sound but {', '.join(others)}" if others else "sound"


def places_differ(trials: pd.DataFrame, name: str) -> bool:
    """Whether results of one place in a table differ in this column."""
    different = trials[["row", "column", name]].drop_duplicates()
    return bool(different.duplicated(["row", "column"]).any())


def amount_label(name: str, amount: str) -> str:
    """What a number of training images, or a contamination, adds to a column's name."""
    return AMOUNTS[name].format(amount) if amount else ""


def without_unsound(aurocs: pd.DataFrame) -> pd.DataFrame:
    """The AUROC frame without figures of the published protocol or parts of it, if any are left."""
    unsound = is_unsound(aurocs["protocol"])
    return aurocs if unsound.all() else aurocs[~unsound]


def is_unsound(protocols: pd.Series) -> pd.Series:
    """Which of these protocols' labels are not of the sound one; an early row has none."""
    return ~protocols.isin(["sound", ""])


def rivals(aurocs: pd.DataFrame) -> pd.DataFrame:
    """The same without models that know more than normal images, where there are others."""
    aurocs = without_unsound(aurocs)
    know_more = aurocs["family"].isin(["labelled", "pretrained"])
    return aurocs if know_more.all() else aurocs[~know_more]


def tested(trials: pd.DataFrame) -> pd.DataFrame:
    """The winners' final runs that have a test result, by class: `2` before `10`."""
    winners = (trials["role"] == "winner") & (trials["status"] != "error")
    finals = trials[winners & trials["test_auroc"].notna()]
    return finals.sort_values("row", key=lambda names: names.map(natural), kind="stable")


def natural(name: str) -> str:
    """What sorts names with the numbers in them by size."""
    return re.sub(r"\d+", lambda digits: digits[0].zfill(9), name)


def read_scores(
    studies: Mapping[str, Results], finals: pd.DataFrame
) -> tuple[Scores, list[Caution]]:
    """Every final run's scores, and warnings.

    A warning names a run whose scores cannot be used or do not give the AUROC in its row, or a
    study that is kept without any scores.
    """
    without = [study for study in finals["study"].unique() if not studies[study].has_scores]
    scores = {}
    warnings = [
        Caution(
            "studies' scores were not kept",
            f"{study}: its scores were not kept: its figures are those of its rows, "
            "without intervals, curves and histograms",
        )
        for study in without
    ]
    for run in finals[~finals["study"].isin(without)].to_dict("records"):
        study, trial = run["study"], run["trial"]
        try:
            frame = studies[study].scores(trial)
            area = metrics.auroc(frame["labels"], frame["scores"])
        except (UserError, ValueError) as error:
            line = f"{study}: the scores of trial {trial} cannot be used ({error})"
            warnings.append(Caution("runs have scores that cannot be used", line))
            continue
        scores[study, trial] = frame
        if abs(area - run["test_auroc"]) > 1e-6:
            line = f"{study}: trial {trial}: its scores give AUROC {area:.4f}, its row "
            line += f"{run['test_auroc']:.4f}"
            warnings.append(Caution("runs have scores that do not give their row's AUROC", line))
    return scores, warnings


def auroc(finals: pd.DataFrame, scores: Scores) -> tuple[pd.DataFrame, list[Caution]]:
    """One row per study, model and class, and warnings.

    The columns: family, row, column, n_train (images trained on), seeds, auroc (the mean over
    them), sd, low and high (the 95 % interval), and what there are too few of where this tells
    nothing: "seeds" or "images".
    """
    rows, warnings = [], []
    for key, group in finals.groupby([*KEY, "row", "column"], sort=False):
        runs = [scores[k] for k in zip(group["study"], group["trial"], strict=True) if k in scores]
        values, low, high, lacking = group["test_auroc"], np.nan, np.nan, ""
        try:
            if len(runs) == len(group):
                pairs = [(run["labels"], run["scores"]) for run in runs]
                _, low, high = auroc_interval(pairs)
                lacking = too_few(pairs, high - low)
        except ValueError as error:
            line = f"{key[-1]}, {key[-2]}: no confidence interval ({error})"
            warnings.append(Caution("results have no confidence interval", line))
        family = group["family"].iloc[0]
        mean, sd, n_train = values.mean(), values.std(), group["n_train"].mean()
        rows.append((*key, family, n_train, len(group), mean, sd, low, high, lacking))
    columns = [*KEY, "row", "column", "family", "n_train", "seeds", "auroc", "sd", "low", "high"]
    columns.append("too_few")
    return pd.DataFrame(rows, columns=columns), warnings


def too_few(runs: Sequence[Run], width: float) -> str:
    """What an interval of this width lacks: images, where one run's alone is too wide, or seeds."""
    if width <= WIDEST:
        return ""
    _, low, high = auroc_interval(runs[:1])
    return "images" if high - low > WIDEST else "seeds"


def published(aurocs: pd.DataFrame) -> pd.DataFrame:
    """The published figures for an AUROC frame's data, task and classes, with source and caveat."""
    frames = []
    for path in sorted(PUBLISHED.glob("*.csv")):
        origin = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        # no digit after it: cifar100 is not cifar10
        pattern = re.escape(origin["dataset"]) + r"(?!\d)"
        same_data = aurocs["dataset"].str.contains(pattern, case=False)
        same_task = aurocs["task"] == origin["task"]
        rows = aurocs.loc[same_data & same_task, ["dataset", "task", "class", "row"]]
        figures = pd.read_csv(path).rename(columns={"abnormal_class": "class"})
        figures = figures.assign(source=origin["source"], caveat=origin["caveat"])
        frames.append(rows.drop_duplicates("row").merge(figures, on="class"))
    table = pd.concat(frames, ignore_index=True)
    return table.assign(column=table["model"] + ", published figure")


def variance_shares(scores: pd.DataFrame) -> dict[str, float]:
    """Each part's share of the score's variance, by its name.

    A score is a weighted sum of its parts, so least squares gives the weights back. A share is the
    covariance of the weighted part with the score over the score's variance: shares add up to 1,
    and a part that goes against the others has a negative one. NaN where all scores are alike or
    are no such sum.
    """
    names = [name for name in map(str, scores) if name.startswith("part_")]
    if not names:
        return {}
    # Column by column: pandas takes ten times as long for several.
    table = np.column_stack([scores[name].to_numpy(float) for name in (*names, "scores")])
    table -= table.mean(axis=0)
    parts, score = table[:, :-1], table[:, -1]
    scale = parts.std(axis=0)
    parts /= np.where(scale == 0, 1, scale)
    weighted = parts * np.linalg.lstsq(parts, score)[0]
    with np.errstate(invalid="ignore"):  # 0 / 0 where all scores are alike
        shares = score @ weighted / (score @ score)
    adds_up = abs(shares.sum() - 1) < 0.01
    return {
        name.removeprefix("part_"): float(share) if adds_up else np.nan
        for name, share in zip(names, shares, strict=True)
    }


def shared(aurocs: pd.DataFrame) -> pd.DataFrame:
    """AUROC of classes (rows) by model (columns): the largest part of the table without a gap.

    A model that lacks so many classes that the others would lose more by them is left out.
    """
    table = aurocs.pivot(index="row", columns="column", values="auroc")
    table = table.loc[aurocs["row"].unique()]
    fullest = table.columns[np.argsort(-table.notna().sum(), kind="stable")]
    parts = [
        table[fullest[:count]].dropna() for count in range(min(2, len(fullest)), len(fullest) + 1)
    ]
    largest = max(reversed(parts), key=lambda part: part.size)
    return largest[table.columns.intersection(largest.columns)]


def class_means(aurocs: pd.DataFrame) -> pd.DataFrame:
    """Each model's mean over the shared classes and its 95 % interval over these, the best first.

    Columns mean, low, high; of a single class, that class's own interval. No interval lies outside
    [0, 1], and none is given that tells nothing.
    """
    table = shared(aurocs)
    if len(table) == 1:
        only = aurocs[aurocs["row"] == table.index[0]].set_index("column")
        means = only.loc[table.columns, ["auroc", "low", "high"]].set_axis(
            ["mean", "low", "high"], axis=1
        )
    else:
        rows = {column: mean_interval(table[column]) for column in table if len(table)}
        means = pd.DataFrame.from_dict(rows, orient="index", columns=["mean", "low", "high"])
    means[["low", "high"]] = means[["low", "high"]].clip(0, 1)
    wide = means["high"] - means["low"] > WIDEST
    means.loc[wide, ["low", "high"]] = np.nan
    return means.sort_values("mean", ascending=False, kind="stable")
