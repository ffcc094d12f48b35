"""A report's tables besides the main one: settings, costs, other metrics, comparisons."""

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd

from bench.choices.tasks import AMOUNTS, PROTOCOL_FIELDS
from bench.judging.comparison import ALPHA, Comparison
from bench.judging.metrics import METRICS
from bench.judging.pixels import PIXELS
from bench.judging.selection import SIGNALS
from bench.judging.verdicts import ALARMS
from bench.reporting.fair import dependence_note
from bench.reporting.headline import why_untested
from bench.reporting.writers import Table
from bench.results.reading import Results

ABNORMAL = "share of abnormal images"


def settings_table(studies: Mapping[str, Results], trials: pd.DataFrame) -> Table:
    """What each study's figures rest on, in a few words each; study.json has all of it."""
    columns, titles = {}, {name: signal.title for name, signal in SIGNALS.items()}
    for name, results in studies.items():
        study, origin = results.study, results.provenance
        rows, machine = trials[trials["study"] == name], origin.get("hardware") or {}
        if rows.empty:  # no trial has finished yet
            continue
        finals = rows[rows["role"] == "winner"]
        # An older study's rows do not say on what they ran.
        ran = rows["hardware"].dropna().unique()
        hardware = ", ".join(map(str, ran)) or machine.get("gpu") or machine.get("cpu")
        deterministic = ", deterministic" if study.get("deterministic") else ""
        limits = [
            f"{name} {' '.join(map(str, np.atleast_1d(study[name])))}"
            for name in ("limit_test", *AMOUNTS)
            if study.get(name)
        ]
        split = study.get("split_seed")
        split = study.get("seed") if split is None else split
        limits += [f"split_seed {split}"] if split else []
        protocol = different(rows["protocol"])
        switched = [f"{name} {study[name]}" for name in PROTOCOL_FIELDS if study.get(name)]
        switched = [choice for choice in switched if choice not in protocol]
        tried = rows.loc[rows["kind"] == "tuning", ["model", "class", "number"]]
        searched = (
            f"{study.get('searcher')} + {study.get('scheduler')}, up to "
            f"{tried['number'].max() + 1:.0f} configurations"
            + (", one for all classes" if study.get("tune_for") == "mean" else "")
            if tried["number"].max() > 0
            else "none: one configuration"
        )
        sizes = different(finals["config_batch_size"]) if "config_batch_size" in rows else ""
        columns[name] = {
            "data": ", ".join([different(rows["dataset"]), different(rows["task"]), *limits]),
            "protocol": ", ".join([protocol, *switched]),
            "chosen by": different(rows["select_on"].replace(titles)),
            "threshold": f"{100 * study.get('false_alarms', 0.05):g} % false alarms"
            if rows["threshold"].notna().any()
            else "none",
            "search": searched,
            "set": ", ".join(set_values(results)) or "nothing",
            "final runs": f"{finals['seed'].nunique()} seed(s), {length(finals)}"
            + (f", batches of {sizes}" if sizes else ""),
            "arithmetic": f"{study.get('precision')}{deterministic} on {hardware}",
            "Python files": ", ".join(
                f"{name}.py {sha256[:12]}"
                for files in origin.get("files", {}).values()
                for name, sha256 in files.items()
            )
            or "none from outside",
            "created": f"{str(origin.get('created'))[:10]}, commit {str(origin.get('commit'))[:12]}",
        }
    frame = pd.DataFrame(columns)
    frame.insert(0, "choice", frame.index, allow_duplicates=True)  # a study may be called so too
    return Table("settings", "What the figures rest on", frame)


def set_values(results: Results) -> list[str]:
    """The hyperparameters that a command set, `skip=False`."""
    flags = results.run.get("set", {}).items()
    return [*results.study.get("set", []), *(f"{name}={value}" for name, value in flags)]


def cost_table(finals: pd.DataFrame) -> Table | None:
    """What each model takes: size, time and memory, means over its final runs."""
    if finals["score_ms"].isna().all():  # rows of an earlier version
        return None
    groups = finals.rename(columns={"model": "name", "column": "model"}).groupby(
        ["model", "hardware"], sort=False, dropna=False
    )
    frame = pd.DataFrame(
        {
            "generator steps": groups["generator_steps"].mean(),
            "fair steps": groups["fair_steps"].mean(),
            "parameters": groups["parameters"].mean(),
            "training, minutes a run": groups["train_seconds"].mean() / 60,
            "scoring, ms an image": groups["score_ms"].mean(),
            "peak memory, MiB": groups["peak_memory_mb"].max(),
        }
    ).reset_index()
    fitted = frame["generator steps"] == 0  # at once, in no steps
    frame.loc[fitted, ["generator steps", "fair steps"]] = math.nan
    whole = ["generator steps", "fair steps", "parameters", "peak memory, MiB"]
    forms = dict.fromkeys(whole, "{:,.0f}") | {"scoring, ms an image": "{:.3g}"}
    shown = frame.assign(
        **{name: frame[name].map(form.format, na_action="ignore") for name, form in forms.items()}
    )
    note = (
        "Means over final runs; of peak memory the largest: on a GPU that of tensors, on a CPU "
        "that of the whole process, mostly Python and its libraries. Fair steps: the model's fair "
        "budget. Other runs of a study may have shared the machine while a run was timed."
    )
    return Table("costs", "What does a model cost?", shown, note, frame)


def length(finals: pd.DataFrame) -> str:
    """How long final runs trained: `1000 generator steps in 20 epochs`."""
    if finals["epochs"].isna().all():
        return "none finished"
    epochs = f"{different(finals['epochs'])} epoch(s)"
    steps = different(finals["generator_steps"][finals["generator_steps"] > 0])
    return f"{steps} generator steps in {epochs}" if steps else epochs


def different(values: pd.Series) -> str:
    """The distinct values as a text: `50, 64`.

    Whole numbers lose their `.0`, which pandas adds to a column where a row has no value.
    """
    several = sorted(values.dropna().unique().tolist())
    return ", ".join(f"{value:g}" if isinstance(value, float) else str(value) for value in several)


def metrics_table(finals: pd.DataFrame) -> Table | None:
    """Mean ± standard deviation over seeds of the metrics beside AUROC."""
    others = {name: metric for name, metric in METRICS.items() if name != "auroc"}
    others |= PIXELS | ALARMS
    known = {f"test_{name}": metric for name, metric in others.items()}
    measured = set(finals.dropna(axis=1, how="all"))
    known = {name: metric for name, metric in known.items() if name in measured}
    if not known:
        return None
    abnormal = finals["n_test_abnormal"] / (finals["n_test_abnormal"] + finals["n_test_normal"])
    places = finals.assign(**{ABNORMAL: abnormal}).groupby(["row", "column"], sort=False)
    groups, share = places[list(known)], places[ABNORMAL].mean()
    mean, sd, runs = groups.mean(), groups.std(), groups.count()
    text = mean_and_sd(mean, sd)
    if share.notna().any():
        for frame in (text, mean):
            frame.insert(0, ABNORMAL, share)
    titles = {name: metric.title for name, metric in known.items()}
    titles |= {"row": "class", "column": "model"}
    text, mean = (frame.reset_index().rename(columns=titles) for frame in (text, mean))
    lower = [metric.title for metric in known.values() if not metric.higher_is_better]
    fitted = [metric.title for metric in known.values() if metric.fits_threshold]
    note = "Mean ± standard deviation over seeds." if sd.notna().any(axis=None) else "One seed."
    of_fewer = [
        titles[name]
        for name in known
        if runs[name].between(0, places.size(), inclusive="neither").any()
    ]
    if of_fewer:
        note += f" Of some runs only, as older rows lack them: {', '.join(of_fewer)}."
    if share.nunique() > 1:
        note += (
            " AP and F1 depend on the share of abnormal images (AP's chance level): they cannot be "
            "compared where it differs."
        )
    if lower:
        note += f" Lower is better: {', '.join(lower)}."
    if fitted:
        note += f" With a threshold fitted to the test images: {', '.join(fitted)}."
    if "test_false_alarms" in known:
        note += (
            " True and false alarms: the share of abnormal and of normal test images above the "
            "threshold, which held-out normal images set beforehand; F1 is at it too."
        )
    data = mean.join(sd.reset_index(drop=True).rename(columns=titles).add_suffix(" sd"))
    return Table("metrics", "Other metrics", text, note, data)


def mean_and_sd(mean: pd.DataFrame, sd: pd.DataFrame) -> pd.DataFrame:
    """`0.812 ± 0.013` of each pair, without what is NaN."""
    means, sds = mean.map("{:.3f}".format, na_action="ignore"), sd.map(" ± {:.3f}".format)
    return means.astype(object) + sds.where(sd.notna(), "").astype(object)


def comparison_tables(
    comparison: Comparison, means: pd.DataFrame, dependence: str = ""
) -> list[Table]:
    """Average ranks, and the tests of all pairs; `means`: of each model (fair.class_means).

    `dependence`: why classes are not independent (fair.dependence).
    """
    if len(comparison.ranks) < 2 or comparison.classes < 2:
        return []
    verdicts = {True: "differ", False: "not told apart" if comparison.tested else "not tested"}
    pairs = comparison.pairs.assign(verdict=comparison.pairs["differ"].map(verdicts))
    opposed = ~pairs["agree"] & (pairs["p_holm"] < ALPHA)
    pairs.loc[opposed, "verdict"] = "differ, but most classes favour the lower mean"
    pairs = pairs.drop(columns=["agree", "differ"])
    titles = {"better": "higher mean", "worse": "lower mean", "p_holm": "p (Holm)"}
    text = pairs.rename(columns=titles)
    for name in ("p", "p (Holm)"):
        text[name] = ["<0.001" if p < 0.001 else p for p in text[name]]
    ranks = comparison.ranks.join(means[["low", "high"]], on="model")
    ranks = ranks.rename(columns={"mean": "mean AUROC", "average_rank": "average rank"})
    ranks = ranks[["model", "mean AUROC", "low", "high", "average rank"]]
    over, optimistic = f"Over {comparison.classes} classes.", dependence_note(dependence)
    of_ranks = f"{over} Low, high: the mean's 95 % interval over them."
    if not math.isnan(comparison.friedman_p):
        of_ranks += f" Friedman's test: p = {comparison.friedman_p:.2g}.{optimistic}"
    note = f"{over} Paired two-sided Wilcoxon signed-rank tests with Holm's correction."
    if not comparison.tested:
        note += f" {why_untested(comparison)}"
        if comparison.pairs["p"].notna().any():
            note += " p is of each pair alone."
    return [
        Table("ranks", "Average ranks (1 is best)", ranks, of_ranks),
        Table("comparison", "Which differences hold", text, note + optimistic, pairs),
    ]
