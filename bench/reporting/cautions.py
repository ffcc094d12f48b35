"""What a reader of a report must be warned of."""

from collections.abc import Iterable, Mapping

import pandas as pd

from bench.judging.selection import SIGNALS
from bench.reporting.fair import is_unsound
from bench.reporting.frames import Caution, span, without_amounts
from bench.reporting.tables import set_values
from bench.results.reading import Results

# Results are only comparable where studies agree in these.
SAME_IMAGES = ("limit_train", "limit_test", "contamination", "untrained_classes")

LONGEST = 200  # characters of a reason why trials failed
OF_ONE_PROCESS = r"\x1b\[[0-9;]*m|\(pid=[^)]*\)|0x[0-9a-f]+"  # in Ray's reasons

# Older rows lack some of these.
TRAINED_COLUMNS = ["model", "role", "status", "select_on", "epoch", "epochs"]
TRAINED_COLUMNS += ["generator_steps", "fair_steps"]


def gathered(cautions: Iterable[Caution]) -> dict[str, list[str]]:
    """A line for each kind of warning, with what it stands for: nothing, or the lines of several."""
    by_kind: dict[str, list[str]] = {}
    for kind, line in cautions:
        by_kind.setdefault(kind, []).append(" ".join(line.split()))
    lines_of: dict[str, list[str]] = {}
    for kind, lines in by_kind.items():
        first, several = lines[0], len(lines) > 1
        title = f"{len(lines)} {kind}, such as {first}" if several else first
        lines_of[title] = lines if several else []
    return lines_of


def cautions(
    studies: Mapping[str, Results], trials: pd.DataFrame, aurocs: pd.DataFrame
) -> list[Caution]:
    """Warnings; `aurocs`: the AUROC by study, model and class (frames.auroc)."""
    dirty = [
        f"{name}: made from a tree with uncommitted changes (on commit "
        f"{str(study.provenance.get('commit'))[:12]})"
        for name, study in studies.items()
        if study.provenance.get("dirty")
    ]
    unfinished = [
        f"{name}: no trial has finished yet" for name in studies if name not in set(trials["study"])
    ]
    kinds = {
        "studies were made from trees with uncommitted changes": dirty,
        "reasons made trials fail": failures(trials),
        "studies mix rows of different images or code": mixed_rows(studies, trials),
        "data sets differ in their images between studies": different_images(studies),
        "studies have no finished trial": unfinished,
        "studies are on the way to a larger budget": growing(studies),
        "studies set hyperparameters of their models": [
            f"{name}: not its models' defaults: {', '.join(values)}"
            for name, study in studies.items()
            if (values := set_values(study))
        ],
        "thresholds differ between studies": thresholds(studies),
    }
    if aurocs.empty:
        finals = trials[trials["kind"] == "final"]
        reason = "has a labelled test set" if (finals["status"] == "done").any() else "has finished"
        none = f"no final run {reason}: there are validation figures only, and no test figure"
        kinds[none] = [none]
    else:
        kinds |= of_results(trials, aurocs)
    return [Caution(kind, line) for kind, lines in kinds.items() for line in lines]


def thresholds(studies: Mapping[str, Results]) -> list[str]:
    """A line where studies' thresholds are set for different rates of false alarms."""
    rates = {
        study.study.get("false_alarms", 0.05)
        for study in studies.values()
        if "threshold" in study.trials and study.trials["threshold"].notna().any()
    }
    if len(rates) < 2:
        return []
    shares = ", ".join(f"{100 * rate:g} %" for rate in sorted(rates))
    return [
        f"true and false alarms and F1 are of different thresholds, set for {shares} false alarms"
    ]


def growing(studies: Mapping[str, Results]) -> list[str]:
    """A line for each study that goes on with more steps, and has yet to choose anew."""
    return [
        f"{name}: {count} run(s) of more steps are in no figure until their search is over: some "
        "figures are of fewer steps (--resume the study)"
        for name, study in studies.items()
        if (count := (study.trials["role"] == "pending").sum())
    ]


def of_results(trials: pd.DataFrame, aurocs: pd.DataFrame) -> dict[str, list[str]]:
    """Lines on test figures and the runs that they are of, by kind."""
    below_chance = aurocs[(aurocs["auroc"] < 0.5) & ~(aurocs["high"] >= 0.5)]
    kinds = {
        "results are worse than chance": [
            f"{row['column']}, {row['row']}: AUROC {row['auroc']:.3f} is under 0.5, worse than "
            "chance"
            for row in below_chance.sort_values("auroc").to_dict("records")
        ],
        "models trained for less than is fair": short_budgets(trials),
        "data sets have models that were tuned, and others that were not": some_tuned(trials),
        "protocols are not sound": unsound(aurocs),
        "studies went on from models trained before": trained_further(trials),
        "models' rows join studies that differ": joined(trials),
        "data sets have models that different signals chose": chosen_differently(trials),
    }
    alone = edge_epochs(trials)
    if single := (aurocs["seeds"] == 1).sum():
        alone.append(
            f"{single} of {len(aurocs)} results rest on a single seed: their spread over seeds is "
            "unknown"
        )
    if aurocs["seeds"].nunique() > 1:
        alone.append("results rest on different numbers of seeds (see auroc.csv)")
    return kinds | {line: [line] for line in alone}


def some_tuned(trials: pd.DataFrame) -> list[str]:
    """A line for each data set and task where some models were tuned, and others were not."""
    searched = trials.groupby(["study", "model"])["kind"].agg(lambda kinds: "tuning" in set(kinds))
    finals = trials[trials["role"] == "winner"].join(
        searched.rename("tuned"), on=["study", "model"]
    )
    lines = []
    for (dataset, task), runs in finals.groupby(["dataset", "task"], sort=False):
        columns = runs.groupby("tuned")["column"].unique().map(", ".join)
        if len(columns) > 1:
            lines.append(f"{dataset}, {task}: tuned: {columns[True]}; not tuned: {columns[False]}")
    return lines


def unsound(aurocs: pd.DataFrame) -> list[str]:
    """A line for each protocol but the sound one, and how many results it measured."""
    groups = aurocs[is_unsound(aurocs["protocol"])].groupby("protocol")["column"]
    return [
        f"{len(columns)} results were measured by the protocol '{label}' "
        f"({', '.join(columns.unique())}): their figures can be far above what images scored one by "
        "one give, with epochs chosen on others"
        for label, columns in groups
    ]


def trained_further(trials: pd.DataFrame) -> list[str]:
    """A line for each study whose runs began with a loaded model's weights (train.py --load)."""
    finals = trials[(trials["kind"] == "final") & trials["sha256_load"].notna()]
    return [
        f"{study}: {count} final run(s) began with the weights of a model trained before (--load): "
        "generator_steps count that model's too, images_seen and times do not"
        for study, count in finals["study"].value_counts().items()
    ]


def of_training(trials: pd.DataFrame) -> list[str]:
    """Lines on final runs that may have trained too little: `trials` as Results gives them."""
    known = trials.reindex(columns=TRAINED_COLUMNS)
    return [*edge_epochs(known), *short_budgets(known)]


def edge_epochs(trials: pd.DataFrame) -> list[str]:
    """A line on final runs whose chosen epoch is the last or the first: another budget may do better.

    Models that are fitted at once have no generator steps, and older rows do not say them.
    """
    of_several = (trials["role"] == "winner") & (trials["epochs"] > 1)
    trained = trials[of_several & (trials["generator_steps"] > 0)]
    edges = {
        "last": (trained["epoch"] == trained["epochs"]) & (trained["select_on"] != "last_epoch"),
        "first": trained["epoch"] == 1,
    }
    advice = {
        "last": "longer training may do better",
        "first": "no later one was better by the signal that chooses",
    }
    return [
        f"in {at_edge.sum()} of {len(trained)} final runs, of "
        f"{span(trained.loc[at_edge, 'generator_steps'])} generator steps, the chosen epoch is the "
        f"{edge} one: {advice[edge]}"
        for edge, at_edge in edges.items()
        if at_edge.any()
    ]


def short_budgets(trials: pd.DataFrame) -> list[str]:
    """A line for each model and fair budget, where final runs trained for less than that."""
    finals = trials[(trials["role"] == "winner") & (trials["status"] != "error")]
    short = finals[finals["generator_steps"] < finals["fair_steps"]]
    return [
        f"{model}: {len(group)} final run(s) had {span(group['generator_steps'])} generator steps, "
        f"where {fair:.0f} are fair: their figures are of a network that is not fully trained"
        for (model, fair), group in short.groupby(["model", "fair_steps"])
    ]


def failures(trials: pd.DataFrame) -> list[str]:
    """One line per study and reason, with how often and where it first came up."""
    failed = trials[trials["status"] == "error"]
    reasons = (
        failed["error"]
        .fillna("no reason given")
        .astype(str)
        .str.strip()
        .str.split("\n")
        .str[-1]
        .str.replace(OF_ONE_PROCESS, "", regex=True)
        .map(lambda text: text if len(text) <= LONGEST else f"{text[:60]} … {text[60 - LONGEST :]}")
    )
    lines = []
    for (study, reason), group in failed.groupby(["study", reasons], sort=False):
        first, of = group.iloc[0], (trials["study"] == study).sum()
        more = ", …" if len(group) > 1 else ""
        where = f"{first['column']}, {first['row']}, trial {first['trial']}{more}"
        lines.append(f"{study}: {len(group)} of {of} trials failed: {reason} ({where})")
    return lines


def chosen_differently(trials: pd.DataFrame) -> list[str]:
    """A line for each data set and task where models' epochs and weights are of several signals."""
    of_several = (trials["role"] == "winner") & (trials["epochs"] > 1)
    # Where the test images chose, `unsound` says so.
    known = of_several & trials["select_on"].isin(SIGNALS) & (trials["signal"] != "test_auroc")
    lines = []
    for (dataset, task), runs in trials[known].groupby(["dataset", "task"], sort=False):
        models = runs.groupby("select_on")["column"].unique().items()
        chose = [f"{SIGNALS[name].title}: {', '.join(columns)}" for name, columns in models]
        if len(chose) > 1:
            lines.append(
                f"{dataset}, {task}: different signals chose epochs and weights of parts, and some "
                f"see anomalies of the tested class ({'; '.join(chose)})"
            )
    return lines


def joined(trials: pd.DataFrame) -> list[str]:
    """A line for each model whose row joins studies with other signals, mixes or hyperparameters."""
    lines = []
    finals = trials[trials["role"] == "winner"]
    finals = finals.assign(column=without_amounts(finals))
    for (_, _, column), runs in finals.groupby(["dataset", "task", "column"], sort=False):
        default = runs[runs["number"] == 0].filter(regex="^config_").columns
        values = runs.reindex(columns=["select_on", "protocol_mix", *default]).astype(object)
        values = values.where(values.notna(), "").astype(str)  # older rows lack some
        values.loc[runs["number"] != 0, default] = ""  # what a search chose may differ
        by_study = values.groupby(runs["study"]).agg(lambda given: frozenset(given) - {""})
        differ = [
            name.removeprefix("config_").removeprefix("protocol_")
            for name, given in by_study.items()
            if given.map(bool).all() and given.nunique() > 1
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
        {key: str(study.study[key]) for key in SAME_IMAGES if key in study.study}
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
