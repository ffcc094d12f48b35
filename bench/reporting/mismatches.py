"""Warnings where a report's studies, or the models in its tables, are not comparable."""

from collections.abc import Mapping

import pandas as pd

from bench.choices.study import Study
from bench.choices.tasks import AMOUNTS
from bench.judging.selection import SIGNALS
from bench.reporting.frames import without_amounts
from bench.results.reading import Results

# Results are only comparable where studies agree in these.
SAME_IMAGES = ("limit_test", *AMOUNTS, "untrained_classes")
# Columns in which all studies behind one table row should agree, and what readers call them.
MUST_AGREE = {"select_on": "select_on", "protocol_mix": "mix", "precision": "precision"}
MUST_AGREE |= {"sha256_model": "the model's file"}


def thresholds(studies: Mapping[str, Results], trials: pd.DataFrame) -> list[str]:
    """A line where studies' thresholds are set for different rates of false alarms."""
    known = trials.loc[trials["threshold"].notna(), "study"].unique()
    rates = {studies[name].study.get("false_alarms", 0.05) for name in known}
    if len(rates) < 2:
        return []
    shares = ", ".join(f"{100 * rate:g} %" for rate in sorted(rates))
    return [
        "true alarms, false alarms and F1 are by thresholds set for different rates of false "
        f"alarms ({shares})"
    ]


def some_tuned(trials: pd.DataFrame) -> list[str]:
    """A line for each data set and task where some models were tuned, and others were not."""
    tried = trials["number"].where(trials["kind"] == "tuning")
    searched = tried.groupby([trials["study"], trials["model"]]).max() > 0  # 0 is the default
    finals = trials[trials["role"] == "winner"].join(
        searched.rename("tuned"), on=["study", "model"]
    )
    lines = []
    for (dataset, task), runs in finals.groupby(["dataset", "task"], sort=False):
        columns = runs.groupby("tuned")["column"].unique().map(", ".join)
        if len(columns) > 1:
            lines.append(f"{dataset}, {task}: tuned: {columns[True]}; not tuned: {columns[False]}")
    return lines


def chosen_differently(trials: pd.DataFrame) -> list[str]:
    """A line for each data set and task where several signals chose models' epochs and weights."""
    of_several = (trials["role"] == "winner") & (trials["epochs"] > 1)
    # Where the test images chose, `unsound` says so.
    known = of_several & trials["select_on"].isin(SIGNALS) & (trials["signal"] != "test_auroc")
    lines = []
    for (dataset, task), runs in trials[known].groupby(["dataset", "task"], sort=False):
        models = dict(runs.groupby("select_on")["column"].unique())
        chose = [f"{SIGNALS[name].title}: {', '.join(columns)}" for name, columns in models.items()]
        seen = any(SIGNALS[name].needs_abnormal for name in models)
        hint = ", and some see anomalies of the tested class" if seen else ""
        if len(chose) > 1:
            lines.append(
                f"{dataset}, {task}: different signals chose epochs and weights of parts{hint} "
                f"({'; '.join(chose)})"
            )
    return lines


def unlike_studies_joined(trials: pd.DataFrame) -> list[str]:
    """A line for each model whose row joins studies with other signals, mixes or hyperparameters."""
    lines = []
    finals = trials[trials["role"] == "winner"]
    finals = finals.assign(column=without_amounts(finals))
    for (_, _, column), runs in finals.groupby(["dataset", "task", "column"], sort=False):
        default = runs[runs["number"] == 0].filter(regex="^config_").columns
        values = runs.reindex(columns=[*MUST_AGREE, *default]).astype(object)
        values = values.where(values.notna(), "").astype(str)  # older rows lack some
        values.loc[runs["number"] != 0, default] = ""  # what a search chose may differ
        values.loc[~(runs["generator_steps"] > 0), "precision"] = ""  # fitted models have none
        by_study = values.groupby(runs["study"]).agg(lambda column: frozenset(column) - {""})
        differ = [
            MUST_AGREE.get(name) or name.removeprefix("config_")
            for name, sets in by_study.items()
            if sets.map(bool).all() and sets.nunique() > 1
        ]
        steps = runs.groupby("study")["generator_steps"].max()  # a few more or less by the class
        differ += ["generator_steps"] * bool(steps.max() > 1.1 * steps.min())
        if differ:
            lines.append(f"{column}: {' and '.join(by_study.index)} differ in {', '.join(differ)}")
    return lines


def mixed_rows(studies: Mapping[str, Results], trials: pd.DataFrame) -> list[str]:
    """A line per study whose rows differ in images or code, so that no mean may join them."""
    lines = []
    for name, study in studies.items():
        rows, data = trials[trials["study"] == name], study.provenance.get("dataset") or {}
        first = {"fingerprint": data.get("fingerprint"), "commit": study.provenance.get("commit")}
        for column, what in (("fingerprint", "images"), ("commit", "code")):
            if len(values := {first[column], *rows[column].dropna()} - {None}) > 1:
                lines.append(
                    f"{name}: not all of its rows are of the same {what} ({column}s "
                    f"{', '.join(sorted(values))})"
                )
    return lines


def test_pools(study: Results) -> str | None:
    """Which images a study's rows were tested on; None where they do not say."""
    pools = study.trials.get("protocol_test_pool", pd.Series()).dropna().unique()
    return ", ".join(sorted(pools)) or None


def different_images(studies: Mapping[str, Results]) -> list[str]:
    """A line where studies of one data set differ in images: their figures cannot be compared."""
    origins = pd.DataFrame(
        {key: str(study.study.get(key, getattr(Study, key))) for key in SAME_IMAGES}
        | {"test_pool": test_pools(study)}
        | (study.provenance.get("dataset") or {})
        for study in studies.values()
    ).reindex(columns=["name", "fingerprint", *SAME_IMAGES, "test_pool"])
    lines = []
    for name, group in origins.groupby("name", sort=False):
        if differing := [key for key in map(str, origins) if group[key].nunique() > 1]:
            lines.append(
                f"the studies of {name} are not of the same images ({', '.join(differing)} differ)"
            )
    return lines
