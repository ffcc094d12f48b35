"""What a report says in tables: rows and scores in, tables and warnings out."""

import itertools
import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench import metrics, statistics
from bench.errors import UserError
from bench.reporting.writers import Table
from bench.results import Results

PUBLISHED = Path(__file__).parents[2] / "results" / "published"
BASELINES = ("autoencoder", "pca", "knn", "isolation_forest", "one_class_svm")
KEY = ["study", "dataset", "task", "protocol", "select_on", "model", "class"]  # what seeds are averaged within
EXPECTED = ["trial", "kind", "status", "error", "number", "seed", "objective", "test_auroc"]
METRICS = {"test_ap": "AP", "test_fpr95": "FPR at 95 % TPR", "test_eer": "EER", "test_f1": "best F1"}

Scores = Mapping[tuple[str, str], pd.DataFrame]  # by study and trial: scores, labels (1: abnormal), part_*


def join(studies: Mapping[str, Results]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """All studies' trials and epochs, each row with its study, and with `row` and `column`: its place in a table.

    A column names the model, and besides it only that in which two results of one row would differ.
    """
    trials, epochs = (
        pd.concat([getattr(s, part).assign(study=name) for name, s in studies.items()], ignore_index=True)
        for part in ("trials", "epochs")
    )
    trials = trials.reindex(columns=list(dict.fromkeys([*trials.columns, *KEY, *EXPECTED])))
    epochs = epochs.reindex(columns=list(dict.fromkeys([*epochs.columns, "study", "trial", "epoch"])))
    trials[KEY] = trials[KEY].astype(object).where(trials[KEY].notna(), "").astype(str)
    trials["row"] = trials["class"]
    for name in ("task", "dataset"):
        if trials[name].nunique() > 1:
            trials["row"] = trials[name] + ": " + trials["row"]
    trials["column"] = trials["model"]
    for name in ("protocol", "select_on", "study"):
        seen = trials[["row", "column", name]].drop_duplicates()
        if seen.duplicated(["row", "column"]).any():
            trials["column"] += " (" + trials[name] + ")"
    return trials, epochs.merge(trials[["study", "trial", "row", "column"]], on=["study", "trial"])


def tested(trials: pd.DataFrame) -> pd.DataFrame:
    """The final runs that have a test result."""
    return trials[(trials["kind"] == "final") & (trials["status"] != "error") & trials["test_auroc"].notna()]


def read_scores(studies: Mapping[str, Results], finals: pd.DataFrame) -> tuple[Scores, list[str]]:
    """Every final run's scores, and a warning for each that cannot be used or does not give the AUROC in its row."""
    scores, warnings = {}, []
    for run in finals.to_dict("records"):
        study, trial = run["study"], run["trial"]
        try:
            frame = studies[study].scores(trial)
            area = metrics.auroc(frame["labels"], frame["scores"])
        except (UserError, ValueError) as error:
            warnings.append(f"{study}: the scores of trial {trial} cannot be used ({error})")
            continue
        scores[study, trial] = frame
        if abs(area - run["test_auroc"]) > 1e-6:
            warnings.append(
                f"{study}: trial {trial}: its scores give AUROC {area:.4f}, its row {run['test_auroc']:.4f}"
            )
    return scores, warnings


def auroc(finals: pd.DataFrame, scores: Scores) -> tuple[pd.DataFrame, list[str]]:
    """One row a study, model and class: seeds, auroc (mean), sd, low, high (95 % interval), row, column; warnings."""
    rows, warnings = [], []
    for key, group in finals.groupby([*KEY, "row", "column"], sort=False):
        runs = [scores[k] for k in zip(group["study"], group["trial"], strict=True) if k in scores]
        values, low, high = group["test_auroc"], np.nan, np.nan
        try:
            if len(runs) == len(group):
                pairs = [(run["labels"], run["scores"]) for run in runs]
                _, low, high = statistics.mean_interval(pairs, draws=1000)
        except ValueError as error:
            warnings.append(f"{key[-1]}, {key[-2]}: no confidence interval ({error})")
        rows.append((*key, len(group), values.mean(), values.std(), low, high))
    return pd.DataFrame(rows, columns=[*KEY, "row", "column", "seeds", "auroc", "sd", "low", "high"]), warnings


def published(found: pd.DataFrame) -> pd.DataFrame:
    """The published figures for the data, task and classes of an AUROC frame, each with its source and caveat."""
    frames = []
    for path in sorted(PUBLISHED.glob("*.csv")):
        about = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        # no digit after it: cifar100 is not cifar10
        same_data = found["dataset"].str.contains(re.escape(about["dataset"]) + r"(?!\d)", case=False)
        rows = found.loc[same_data & (found["task"] == about["task"]), ["dataset", "task", "class", "row"]]
        figures = pd.read_csv(path).rename(columns={"abnormal_class": "class"})
        figures = figures.assign(source=about["source"], caveat=about["caveat"])
        frames.append(rows.drop_duplicates("row").merge(figures, on="class"))
    table = pd.concat(frames, ignore_index=True)
    return table.assign(column=table["model"] + ", published figure")


def shared(found: pd.DataFrame) -> pd.DataFrame:
    """AUROC of classes (rows) by model (columns), for the rows that every model has."""
    return found.pivot(index="row", columns="column", values="auroc").dropna()


def auroc_table(found: pd.DataFrame, comparison: statistics.Comparison) -> Table:
    """The main table: classes by models, published figures beside, the mean over the classes that all models have."""
    known = published(found)
    both = pd.concat([found, known], ignore_index=True)
    figures = both[["auroc", "sd", "low", "high"]].itertuples(index=False, name=None)
    both["text"] = list(itertools.starmap(spread, figures))
    frame = both.pivot(index="row", columns="column", values="text")
    frame = frame.reindex(both["row"].unique(), columns=both["column"].unique()).reset_index(names="class")
    common = shared(found).index
    best = comparison.ranks.loc[comparison.ranks["best"], "model"].tolist()
    if len(common) > 1:
        columns = both[both["row"].isin(common)].groupby("column")["auroc"]
        means = columns.mean()[columns.size() == len(common)]
        last = {name: f"{mean:.3f}{' *' if name in best else ''}" for name, mean in means.items()}
        last["class"] = "mean" if len(common) == len(frame) else f"mean of {len(common)} shared classes"
        frame = pd.concat([frame, pd.DataFrame([last])], ignore_index=True)
    seeds = " to ".join(map(str, sorted({found["seeds"].min(), found["seeds"].max()})))
    notes = [f"Mean ± standard deviation over {seeds} seeds [95 % confidence interval over seeds and test images]."]
    if seeds == "1":
        notes = ["One seed [95 % confidence interval over test images only; where another seed would lie is unknown]."]
    if best:
        notes.append("* above every other model (Wilcoxon over classes, Holm-corrected p < 0.05).")
    elif found["column"].nunique() > 1:
        reason = "the test does not support it." if comparison.tested else untested(comparison)
        notes.append(f"No model is marked as best: {reason}")
    notes.append(baselines_ahead(found))
    sources = (known["source"] + "; " + known["caveat"]).unique()
    notes += [f"Published figures: {source}." for source in sources]
    data = both.assign(source=both["source"].fillna("measured"), seeds=both["seeds"].astype("Int64")).drop(
        columns=["row", "column", "text", "caveat"]
    )
    return Table("auroc", "AUROC by class and model", frame, " ".join(filter(None, notes)), data)


def spread(mean: float, sd: float, low: float, high: float) -> str:
    """`0.812 ± 0.013 [0.790, 0.835]`, without what is NaN."""
    texts = (mean, f"{mean:.3f}"), (sd, f" ± {sd:.3f}"), (low, f" [{low:.3f}, {high:.3f}]")
    return "".join(text for value, text in texts if not math.isnan(value))


def untested(comparison: statistics.Comparison) -> str:
    return f"{comparison.classes} shared classes are too few to test ({statistics.FEWEST_CLASSES} are needed)."


def baselines_ahead(found: pd.DataFrame) -> str:
    """A sentence where a baseline has a higher mean than every GAN, over the classes that all have."""
    kind = found.drop_duplicates("column").set_index("column")["model"].isin(BASELINES)
    means = shared(found).mean().dropna().sort_values()
    baselines, gans = means[kind[means.index]], means[~kind[means.index]]
    if baselines.empty or gans.empty or baselines.iloc[-1] <= gans.iloc[-1]:
        return ""
    return (
        f"The baseline {baselines.index[-1]} ({baselines.iloc[-1]:.3f}) is above every GAN in the mean; "
        f"the best of them is {gans.index[-1]} ({gans.iloc[-1]:.3f})."
    )


def oracle_table(finals: pd.DataFrame, epochs: pd.DataFrame) -> Table | None:
    """The reported AUROC beside that of the epoch which is best on the test images."""
    if "test_auroc" not in epochs:
        return None
    best = epochs.groupby(["study", "trial"])["test_auroc"].max().rename("oracle").reset_index()
    runs = finals.merge(best, on=["study", "trial"]).dropna(subset="oracle")
    if runs.empty:
        return None
    table = runs.groupby(["row", "column"], sort=False)[["test_auroc", "oracle"]].mean().reset_index()
    table["gap"] = table["oracle"] - table["test_auroc"]
    table.columns = pd.Index(["class", "model", "AUROC", "oracle (upper bound)", "gap"])
    note = (
        "Means over seeds. The oracle takes each run's best epoch on the test images: an upper bound on any selection "
        "of an epoch, and no result. The gap is what choosing on the test set would add."
    )
    return Table("oracle", "Chosen epoch against the best epoch on test", table, note)


def metrics_table(finals: pd.DataFrame) -> Table | None:
    """Mean ± standard deviation over seeds of the metrics beside AUROC."""
    columns = [name for name in METRICS if name in finals and finals[name].notna().any()]
    if not columns:
        return None
    groups = finals.groupby(["row", "column"], sort=False)[columns]
    mean, sd = groups.mean(), groups.std()
    text = mean.astype(object)
    for name in columns:
        text[name] = [spread(m, s, math.nan, math.nan) or None for m, s in zip(mean[name], sd[name], strict=True)]
    text, mean = (t.reset_index().rename(columns={"row": "class", "column": "model"} | METRICS) for t in (text, mean))
    note = "Mean ± standard deviation over seeds. EER and best F1 take their threshold from the test images."
    return Table("metrics", "Other metrics", text, note, mean)


def tuning_table(trials: pd.DataFrame) -> Table | None:
    """The winner's validation objective beside that of the model's default configuration (number 0)."""
    tuning = trials[(trials["kind"] == "tuning") & (trials["status"] != "error") & trials["objective"].notna()]
    winners = trials[trials["kind"] == "final"].drop_duplicates(KEY).set_index(KEY)["number"].to_dict()
    rows = []
    for key, group in tuning.groupby(KEY, sort=False):
        tried = group.drop_duplicates("number").set_index("number")
        number: Any = winners.get(key) if winners.get(key) in tried.index else tried["objective"].idxmax()
        winner: Any = tried.loc[number]
        default: Any = tried.loc[0] if 0 in tried.index else pd.Series(index=tried.columns, dtype=object)
        gain = winner["objective"] - default["objective"]
        figures = (len(tried), default["objective"], winner["objective"], gain)
        rows.append((winner["row"], winner["column"], *figures, changes(winner, default)))
    note = (
        "Validation objective (what was maximised). The winner is the best of many on this very signal, which flatters "
        "it; the test figures are free of that."
    )
    columns = ["class", "model", "configurations", "default", "winner", "gain", "changed"]
    return Table("tuning", "What tuning gained", pd.DataFrame(rows, columns=columns), note) if rows else None


def changes(winner: pd.Series, default: pd.Series) -> str:
    """The winner's hyperparameters where they differ from the default's: `lr=0.001, nz=64`."""
    names = [name for name in map(str, winner.index) if name.startswith("config_") and pd.notna(winner[name])]
    changed = {name.removeprefix("config_"): winner[name] for name in names if winner[name] != default[name]}
    return ", ".join(f"{n}={v:.4g}" if isinstance(v, float) else f"{n}={v}" for n, v in changed.items()) or "nothing"


def parts_table(finals: pd.DataFrame, scores: Scores) -> Table | None:
    """AUROC of each part of the anomaly score by itself, mean over seeds."""
    rows: list[dict[str, Any]] = []
    for run in finals.to_dict("records"):
        frame = scores.get((run["study"], run["trial"]), pd.DataFrame())
        parts = [name for name in map(str, frame) if name.startswith("part_") and np.isfinite(frame[name]).all()]
        if parts:
            areas = {name.removeprefix("part_"): metrics.auroc(frame["labels"], frame[name]) for name in parts}
            rows.append({"class": run["row"], "model": run["column"], "whole score": run["test_auroc"]} | areas)
    if not rows:
        return None
    table = pd.DataFrame(rows).groupby(["class", "model"], sort=False).mean().reset_index()
    table["strongest part"] = table.iloc[:, 3:].idxmax(axis=1)
    note = "AUROC of each part taken as the score by itself, mean over seeds."
    return Table("parts", "Which part of the score carries the signal", table, note)


def comparison_tables(comparison: statistics.Comparison) -> list[Table]:
    """Average ranks, and the tests of all pairs."""
    if len(comparison.ranks) < 2 or comparison.classes < 2:
        return []
    verdicts = {True: "differ", False: "not told apart" if comparison.tested else "not tested"}
    pairs = comparison.pairs.assign(verdict=comparison.pairs["differ"].map(verdicts)).drop(columns="differ")
    shown = pairs.rename(columns={"better": "higher mean", "worse": "lower mean", "p_holm": "p (Holm)"})
    for name in ("p", "p (Holm)"):
        shown[name] = ["<0.001" if p < 0.001 else p for p in shown[name]]
    ranks = comparison.ranks.rename(columns={"mean": "mean AUROC", "average_rank": "average rank"}).drop(columns="best")
    over = f"Over {comparison.classes} classes."
    friedman = "" if math.isnan(comparison.friedman_p) else f" Friedman's test: p = {comparison.friedman_p:.2g}."
    note = (
        f"{over} Paired two-sided Wilcoxon signed-rank tests with Holm's correction. The test takes classes for "
        "independent, but they share training images, so these p-values are optimistic."
    )
    return [
        Table("ranks", "Average ranks (1 is best)", ranks, over + friedman),
        Table(
            "comparison", "Which differences hold", shown, note if comparison.tested else untested(comparison), pairs
        ),
    ]
