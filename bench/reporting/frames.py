"""Studies' rows and scores as the frames that tables and figures are made of."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench.choices.errors import UserError
from bench.choices.names import natural
from bench.choices.tasks import AMOUNTS, SOUND
from bench.judging import metrics
from bench.judging.intervals import Run, auroc_interval
from bench.judging.selection import SIGNALS
from bench.results.columns import COLUMNS
from bench.results.reading import Results

PUBLISHED = Path(__file__).parents[2] / "results" / "published"
# A mean over seeds is over runs that agree in all of these.
KEY = ["study", "dataset", "task", "protocol", "select_on", "model", "class", *AMOUNTS]
COUNTS = ["n_train", "n_val_abnormal"]  # columns: images that train, anomalies that may choose
# The report speaks of these; an older study's rows lack some of them.
EXPECTED = [name for name in COLUMNS if "*" not in name] + ["protocol_selection", "test_auroc"]
EXPECTED += ["test_auroc_low", "test_auroc_high", "n_test_normal", "n_test_abnormal"]
# The choices of a protocol that change figures. The test images' order is not among them: it
# changes scores in training mode only.
DECISIVE = ("scoring_mode", "selection", "test_pool")
WIDEST = 0.5  # an interval that leaves half of the scale open tells nothing

# By study and trial: scores, labels (1: abnormal), part_*.
Scores = Mapping[tuple[str, str], pd.DataFrame]
# Warnings: lines by what to count where there are several, as in "3 {kind}".
Cautions = dict[str, list[str]]


def join(studies: Mapping[str, Results]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """All studies' trials and epochs, each row with its study, its place and what chose it.

    Runs of a study that has grown are left out where they no longer count, or do not yet.
    `row` and `column` are its place in a table: a column names the model and, where two results
    would share a cell, what tells them apart. `signal` is the column of the signal that chose, or
    `objective` where a row does not name it.
    """
    trials, epochs = (
        pd.concat(
            [getattr(s, part).assign(study=name) for name, s in studies.items()], ignore_index=True
        )
        for part in ("trials", "epochs")
    )
    trials = trials.reindex(columns=trials.columns.union(EXPECTED, sort=False))
    epochs = epochs.reindex(columns=epochs.columns.union(["trial", "epoch"], sort=False))
    counts = ~trials["role"].isin(["superseded", "pending", "undecided"])
    trials = trials[counts].reset_index(drop=True)
    trials["contamination"] = trials["contamination"].fillna(0.0)  # rows of an earlier version
    for name in AMOUNTS:
        trials[name] = [f"{amount:.15g}" if pd.notna(amount) else "" for amount in trials[name]]
    trials[KEY] = trials[KEY].astype(object).where(trials[KEY].notna(), "").astype(str)
    named = trials.reindex(columns=["protocol", *(f"protocol_{name}" for name in DECISIVE)])
    trials["protocol"] = list(map(protocol_label, named.to_dict("records")))
    columns = {name: signal.column for name, signal in SIGNALS.items()}
    trials["signal"] = trials["select_on"].map(columns).fillna("objective")
    trials.loc[trials["protocol_selection"] == "test", "signal"] = "test_auroc"
    trials = placed(trials).copy()  # joined into one block: pandas warns of a hundred
    places = trials[["study", "trial", "row", "column", "signal"]]
    return trials, epochs.merge(places, on=["study", "trial"])


def placed(results: pd.DataFrame) -> pd.DataFrame:
    """The results with `row` and `column`, their places in one table of them all (see `join`).

    `data` is what `row` has before the class: data set and task, where there are several. `search`
    is as `column`, but the same for all runs of a search, whose families can differ (`w_class`).
    """
    apart = [name for name in ("dataset", "task") if results[name].nunique() > 1]
    results = results.assign(
        data=list(map(": ".join, results[apart].to_numpy())),
        row=list(map(": ".join, results[[*apart, "class"]].to_numpy())),
        column=results["model"],
    )
    for name in AMOUNTS:
        if mixed(results, ["dataset", "task", "column"], name):
            results["column"] += [amount_label(name, amount) for amount in results[name]]
    results["column"] = with_value(results, "protocol", results["protocol"])
    searches = [results[key] for key in KEY if key != "class"]
    of_search = results["family"].groupby(searches).transform(alternatives)
    results["search"] = with_value(results, "family", of_search)
    results["column"] = with_value(results, "family", results["family"].fillna("unknown family"))
    for name in ("select_on", "study"):
        if mixed(results, ["row", "column"], name):
            for place in ("search", "column"):
                results[place] += " (" + results[name] + ")"
    return results


def alternatives(values: pd.Series) -> str:
    """The different families: `GAN or labelled`; runs that failed have none."""
    return " or ".join(sorted(set(values.dropna()))) or "unknown family"


def with_value(results: pd.DataFrame, name: str, values: pd.Series) -> list[str]:
    """The columns, with the value appended to those whose results differ in `name`."""
    several = set(mixed(results, ["column"], name))
    return [
        f"{column} ({value})" if column in several else column
        for column, value in zip(results["column"], values, strict=True)
    ]


def protocol_label(row: Mapping[str, Any]) -> str:
    """A row's protocol, with those of its choices that differ from the sound protocol's."""
    if row["protocol"] != "sound":
        return str(row["protocol"])
    values = {name: row[f"protocol_{name}"] for name in DECISIVE}
    others = [f"{k} {v}" for k, v in values.items() if pd.notna(v) and v != getattr(SOUND, k)]
    return f"sound but {', '.join(others)}" if others else "sound"


def mixed(results: pd.DataFrame, within: list[str], name: str) -> list[Any]:
    """The groups by `within` whose results differ in this column, so that no mean joins them."""
    counts = results.dropna(subset=name).groupby(within)[name].nunique()
    return counts.index[counts > 1].tolist()


def without_amounts(results: pd.DataFrame, amounts: Iterable[str] = AMOUNTS) -> pd.Series:
    """The columns without what they say of these amounts, which differ along a learning curve."""
    columns = []
    for row in results[["column", *AMOUNTS]].to_dict("records"):
        for name in amounts:
            row["column"] = row["column"].replace(amount_label(name, row[name]), "", 1)
        columns.append(row["column"])
    return pd.Series(columns, results.index, dtype=object)


def amount_label(name: str, amount: str) -> str:
    """What an amount adds to a column's name, where results that would share a cell differ in it."""
    return f", {AMOUNTS[name].format(amount)}" if amount else ""


def tested(trials: pd.DataFrame) -> pd.DataFrame:
    """The winners' final runs that have a test result, by class: `2` before `10`."""
    finals = trials[(trials["role"] == "winner") & trials["test_auroc"].notna()]
    return finals.sort_values("row", key=lambda names: names.map(natural), kind="stable")


def span(counts: pd.Series) -> str:
    """`75`, or `75 to 100`."""
    return " to ".join(f"{end:.0f}" for end in sorted({counts.min(), counts.max()}))


def read_scores(studies: Mapping[str, Results], finals: pd.DataFrame) -> tuple[Scores, Cautions]:
    """Every final run's scores, and warnings.

    A warning names a run whose scores cannot be used or do not give the AUROC in its row, or a
    study that is kept without any scores.
    """
    without = [study for study in finals["study"].unique() if not studies[study].has_scores]
    scores: dict[tuple[str, str], pd.DataFrame] = {}
    unusable, unlike = [], []
    for run in finals[~finals["study"].isin(without)].to_dict("records"):
        study, trial = run["study"], run["trial"]
        try:
            frame = studies[study].scores(trial)
            area = metrics.auroc(frame["labels"], frame["scores"])
        except (UserError, ValueError) as error:
            unusable.append(f"{study}: the scores of trial {trial} cannot be used ({error})")
            continue
        scores[study, trial] = frame
        if abs(area - run["test_auroc"]) > metrics.SAME:
            figures = f"its scores give AUROC {area:.4f}, its row {run['test_auroc']:.4f}"
            unlike.append(f"{study}: trial {trial}: {figures}")
    return scores, {
        "studies' scores were not kept": [
            f"{study}: its scores were not kept: its figures are those of its rows, without "
            "curves, histograms and intervals over seeds"
            for study in without
        ],
        "runs have scores that cannot be used": unusable,
        "runs have scores that do not give their row's AUROC": unlike,
    }


def with_scores(runs: pd.DataFrame, scores: Scores) -> Iterator[tuple[Any, pd.DataFrame]]:
    """Each run whose scores can be used, as a dictionary, with these."""
    for run in runs.to_dict("records"):
        if (frame := scores.get((run["study"], run["trial"]))) is not None:
            yield run, frame


def auroc(finals: pd.DataFrame, scores: Scores) -> tuple[pd.DataFrame, list[str]]:
    """One row per study, model and class; and a line on each without an interval that has scores.

    The columns: family, row, column, COUNTS, seeds, auroc (the mean over them), sd, low and high
    (the 95 % interval), and too_few ("seeds" or "images", where the interval is too wide to tell
    anything).
    """
    rows, lines = [], []
    for key, group in finals.groupby([*KEY, "row", "column"], sort=False):
        runs = [scores[k] for k in zip(group["study"], group["trial"], strict=True) if k in scores]
        values, low, high, lacking = group["test_auroc"], np.nan, np.nan, ""
        try:
            if len(runs) == len(group):
                pairs = [(run["labels"], run["scores"]) for run in runs]
                area, low, high = auroc_interval(pairs)
                lacking = too_few(pairs, high - low)
                if abs(area - values.mean()) > metrics.SAME:  # read_scores warns of it
                    low, high, lacking = np.nan, np.nan, ""
            elif len(group) == 1 and not runs:  # its row has the interval of its scores
                low, high = group[["test_auroc_low", "test_auroc_high"]].iloc[0]
        except ValueError as error:
            lines.append(f"{key[-1]}, {key[-2]}: no confidence interval ({error})")
        family = group["family"].iloc[0]
        figures = (len(group), values.mean(), values.std(), low, high, lacking)
        rows.append((*key, family, *group[COUNTS].mean(), *figures))
    columns = [*KEY, "row", "column", "family", *COUNTS]
    columns += ["seeds", "auroc", "sd", "low", "high", "too_few"]
    return pd.DataFrame(rows, columns=columns), lines


def too_few(runs: Sequence[Run], width: float) -> str:
    """What an interval of this width lacks: images, if one run's interval is too wide, or seeds."""
    if width <= WIDEST:
        return ""
    _, low, high = auroc_interval(runs[:1])
    return "images" if high - low > WIDEST else "seeds"


def published(aurocs: pd.DataFrame) -> pd.DataFrame:
    """The published figures for an AUROC frame's data, task and classes, with source and caveat."""
    frames = []
    for path in sorted(PUBLISHED.glob("*.csv")):
        origin, figures = published_table(path)
        # cifar100 is not cifar10, and fashion_mnist is not mnist
        pattern = r"(?<![a-z_])" + re.escape(origin["dataset"]) + r"(?!\d)"
        same_data = aurocs["dataset"].str.contains(pattern, case=False)
        same_task = aurocs["task"] == origin["task"]
        rows = aurocs.loc[same_data & same_task, ["dataset", "task", "class", "row"]]
        figures = rows.drop_duplicates("row").merge(figures, on="class")
        of_others = figures["dataset"] != origin["dataset"]
        figures.loc[of_others, "caveat"] += (
            f"; of {origin['dataset']}, ours of " + figures["dataset"][of_others]
        )
        frames.append(figures.assign(file=path.stem))
    table = pd.concat(frames, ignore_index=True)
    of_several = table.groupby("model")["file"].transform("nunique") > 1
    table["model"] += (" (" + table.pop("file") + ")").where(of_several, "")
    return table.assign(column=table["model"] + ", published figure")


def published_table(path: Path) -> tuple[dict[str, str], pd.DataFrame]:
    """A published table's origin, from the .json file beside it, and its figures.

    These have the columns model, class, auroc, source and caveat. UserError where either file lacks
    something, or an AUROC is outside 0 to 1.
    """
    beside = path.with_suffix(".json")
    if not beside.exists():
        raise UserError(f"{path} needs {beside.name} beside it, with source, dataset and task")
    classes = {"abnormal_class": "class", "normal_class": "class"}
    texts = dict.fromkeys([*classes, "class", "model"], str)
    try:
        origin = json.loads(beside.read_text(encoding="utf-8"))
        figures = pd.read_csv(path, dtype=texts).rename(columns=classes)
        figures["auroc"] = pd.to_numeric(figures.get("auroc", np.nan))
    except ValueError as error:
        raise UserError(f"{path} or {beside.name} cannot be read ({error})") from None
    lacking = {beside: {"source", "dataset", "task"} - {*origin}}
    lacking[path] = {"model", "class"} - {*figures}
    for file, names in lacking.items():
        if names:
            raise UserError(f"{file} has no {' and no '.join(sorted(names))}")
    figures = figures[["model", "class", "auroc"]].dropna()  # a class that the paper lacks
    if figures.empty or figures.duplicated(["model", "class"]).any():
        raise UserError(f"{path}: give one auroc for each model and class")
    if not figures["auroc"].between(0, 1).all():
        raise UserError(f"{path}: an AUROC is from 0 to 1")
    return origin, figures.assign(source=origin["source"], caveat=origin.get("caveat") or "")
