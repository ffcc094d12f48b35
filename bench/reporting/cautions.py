"""What a reader of a report must be warned of."""

from collections.abc import Mapping

import pandas as pd

from bench.choices.outside import name_of
from bench.choices.tasks import AMOUNTS
from bench.reporting import mismatches
from bench.reporting.frames import EXPECTED, Cautions, span
from bench.reporting.tables import set_values
from bench.results.reading import Results

LONGEST = 200  # characters of a reason why trials failed
# What differs between processes in Ray's errors; without it, equal reasons are equal texts.
OF_ONE_PROCESS = r"\x1b\[[0-9;]*m|\(pid=[^)]*\)|0x[0-9a-f]+"


def gathered(cautions: Cautions) -> dict[str, list[str]]:
    """A line for each kind of warning, with the single warnings where it sums up several."""
    lines_of: dict[str, list[str]] = {}
    for kind, warnings in cautions.items():
        lines = [" ".join(line.split()) for line in warnings]
        if len(lines) > 1:
            lines_of[f"{len(lines)} {kind}, such as {lines[0]}"] = lines
        elif lines:
            lines_of[lines[0]] = []
    return lines_of


def cautions(
    studies: Mapping[str, Results], trials: pd.DataFrame, aurocs: pd.DataFrame
) -> Cautions:
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
        "studies are not finished": partly_done(studies, trials),
        "studies mix rows of different images or code": mismatches.mixed_rows(studies, trials),
        "data sets differ in their images between studies": mismatches.different_images(studies),
        "studies have no finished trial": unfinished,
        "studies are on the way to a larger budget": growing(studies),
        "studies set hyperparameters of their models": [
            f"{name}: hyperparameters were set: {', '.join(values)}"
            for name, study in studies.items()
            if (values := set_values(study))
        ],
        "thresholds differ between studies": mismatches.thresholds(studies, trials),
    }
    if aurocs.empty:
        finals = trials[trials["kind"] == "final"]
        reason = "has a labelled test set" if (finals["status"] == "done").any() else "has finished"
        none = f"no final run {reason}: there are validation figures only, and no test figure"
        if trials["objective"].isna().all():
            none = "no run came through: there are no figures"
        kinds[none] = [none]
    else:
        kinds |= of_results(trials, aurocs)
    return kinds


def partly_done(studies: Mapping[str, Results], trials: pd.DataFrame) -> list[str]:
    """A line for each study that lacks final runs of a model, of a search, or under a seed."""
    lines = []
    for name, study in studies.items():
        rows = trials[trials["study"] == name]
        finals = rows[rows["role"] == "winner"]
        models, seeds = set(map(name_of, study.study.get("model", ()))), study.study.get("seeds")
        lacking = [f"no final run of {model}" for model in sorted(models - {*finals["model"]})]
        searches, runs = (
            part.groupby(["model", "class", *AMOUNTS])["seed"].nunique() for part in (rows, finals)
        )
        if untested := len(searches) - len(runs):
            lacking.append(f"no final run yet in {untested} of {len(searches)} searches")
        if study.made_by == "train_tune.py" and seeds and (fewer := (runs < seeds).sum()):
            lacking.append(f"fewer than {seeds} seed(s) in {fewer} of {len(runs)} results")
        if lacking and len(rows):
            lines.append(f"{name}: {', '.join(lacking)}")
    return lines


def growing(studies: Mapping[str, Results]) -> list[str]:
    """A line for each study that goes on with more steps, and has yet to choose anew."""
    return [
        f"{name}: {count} run(s) with more steps are left out until their search is over, so some "
        "figures are still those of fewer steps (--resume the study)"
        for name, study in studies.items()
        if (count := (study.trials["role"] == "pending").sum())
    ]


def of_results(trials: pd.DataFrame, aurocs: pd.DataFrame) -> Cautions:
    """Lines on test figures and the runs that they are of, by kind."""
    below_chance = aurocs[aurocs["high"] < 0.5]
    kinds = {
        "results are worse than chance": [
            f"{row['column']}, {row['row']}: AUROC {row['auroc']:.3f} is under 0.5, worse than "
            "chance"
            for row in below_chance.sort_values("auroc").to_dict("records")
        ],
        "models trained for less than is fair": short_budgets(trials),
        "data sets have models that were tuned, and others that were not": mismatches.some_tuned(
            trials
        ),
        "protocols are not sound": unsound(aurocs),
        "studies went on from models trained before": trained_further(trials),
        "models' rows join studies that differ": mismatches.unlike_studies_joined(trials),
        "data sets have models whose epochs different signals chose": mismatches.chosen_differently(
            trials
        ),
    }
    alone = edge_epochs(trials)
    if single := (aurocs["seeds"] == 1).sum():
        alone.append(
            f"{single} of {len(aurocs)} result(s) rest on a single seed: their spread over seeds is "
            "unknown"
        )
    if aurocs["seeds"].nunique() > 1:
        alone.append("results rest on different numbers of seeds (see auroc.csv)")
    return kinds | {line: [line] for line in alone}


def unsound(aurocs: pd.DataFrame) -> list[str]:
    """A line for each protocol but the sound one, and how many results it measured."""
    groups = aurocs[aurocs["protocol"] != "sound"].groupby("protocol")["column"]
    return [
        f"{len(columns)} result(s) were measured by the protocol '{label}' "
        f"({', '.join(columns.unique())}): their figures can be far higher than with images scored "
        "one by one, and epochs chosen on images other than the tested ones"
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
    known = trials.reindex(columns=EXPECTED)
    return [*edge_epochs(known), *short_budgets(known)]


def edge_epochs(trials: pd.DataFrame) -> list[str]:
    """A line on final runs whose chosen epoch is the last or the first: another budget may do better.

    Models that are fitted at once have no generator steps, and older rows do not say them.
    """
    of_several = (trials["role"] == "winner") & (trials["epochs"] > 1)
    trained = trials[of_several & (trials["generator_steps"] > 0)]
    by_auroc = trained["select_on"].isin(["val_auroc", "pseudo_auroc"])
    perfect = by_auroc & (trained["objective"] >= 1)  # no epoch can do better by the signal
    last = (trained["epoch"] == trained["epochs"]) & (trained["select_on"] != "last_epoch")
    edges = {
        "last one: longer training may do better": last & ~perfect,
        "first one: no later one was better by the signal that chooses": trained["epoch"] == 1,
    }
    return [
        f"in {at_edge.sum()} of {len(trained)} final runs of winners, of "
        f"{span(trained.loc[at_edge, 'generator_steps'])} generator steps, the chosen epoch is the "
        f"{edge}"
        for edge, at_edge in edges.items()
        if at_edge.any()
    ]


def short_budgets(trials: pd.DataFrame) -> list[str]:
    """A line for each model and fair budget, where final runs trained for less than that."""
    finals = trials[(trials["role"] == "winner") & (trials["status"] != "error")]
    return undertrained(finals, "final run(s)")


def undertrained(rows: pd.DataFrame, of_what: str) -> list[str]:
    """`short_budgets` for any rows that have its columns, such as an audit's steps."""
    short = rows[rows["generator_steps"] < rows["fair_steps"]]
    return [
        f"{model}: {len(group)} {of_what} had {span(group['generator_steps'])} generator steps, "
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
        first, total = group.iloc[0], (trials["study"] == study).sum()
        ellipsis = ", …" if len(group) > 1 else ""
        where = f"{first['column']}, {first['row']}, trial {first['trial']}{ellipsis}"
        lines.append(f"{study}: {len(group)} of {total} trials failed: {reason} ({where})")
    return lines
