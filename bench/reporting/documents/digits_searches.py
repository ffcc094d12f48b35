"""Tables of the searches on scikit-learn's digits."""

from typing import Any

import pandas as pd

from bench.judging.selection import SIGNALS
from bench.reporting.choosing import luck_table
from bench.reporting.documents.digits import TASKS
from bench.reporting.documents.rows import (
    against,
    ahead,
    class_aurocs,
    committed,
    gains,
    last_epochs,
    table,
    tuned,
    winners,
)
from bench.reporting.frames import join

ONE_CHANGE = {  # what most winners share, and the study of it alone
    "skipganomaly": ("skip=False", "noskip"),
    "w_skipganomaly": ("skip=False", "w-noskip"),
    "egbad": ("nz=16", "egbad-latent"),
}
LATENTS = (  # what a smaller latent was tried with
    ("one left out", "ganomaly", "left-out-latent"),
    ("one left out", "f_anogan", "left-out-latent"),
    ("one digit normal", "egbad", "one-class-egbad-latent"),
)
LEFT_OUT = "-ganomaly -skipganomaly -w-skipganomaly -egbad -f-anogan -classical".split()
ONE_CLASS = "-egbad -skipganomaly -classical".split()
TUNED = {
    "one left out": [f"digits-finalists{rest}" for rest in ("", *LEFT_OUT)],
    "one digit normal": [f"digits-finalists-one-class{rest}" for rest in ("", *ONE_CLASS)],
}


@table
def tuned_on_digits() -> pd.DataFrame:
    """Did tuning help? A row for each task and model (see `tuned`)."""
    rows = [
        {"task": task} | row
        for task, studies in TUNED.items()
        for study in studies
        for row in tuned(study)
    ]
    return pd.DataFrame(rows)


@table
def luck_on_digits() -> pd.DataFrame:
    """What finalists are worth, a row for each task and model: means over the searches (luck_table)."""
    rows = []
    for task, studies in TUNED.items():
        for study in studies:
            table = luck_table(join({study: committed(study)})[0])
            assert table is not None, f"{study} has no finalists"
            for model, group in table.frame.groupby("model", sort=False):
                means = group[["in the search", "again", "finalists' winner"]].mean()
                won = f"{(group['another won'] == 'yes').sum()} of {len(group)}"
                row = {"task": task, "model": f"`{model}`", **means, "another won": won}
                if means["again"] != means["in the search"]:
                    rows.append(row | {"gain": group["gain"].mean()})
    return pd.DataFrame(rows)


@table
def preferred_on_digits() -> pd.DataFrame:
    """What each signal prefers of winner and default, in the searches that the default did not win.

    By final runs after their last epoch, means over seeds, one digit left out. Test AUROC with the
    default weights, means over those digits: of the default, and of what a signal prefers, with how
    often that is the winner.
    """
    signals, rows = [SIGNALS[name] for name in ("val_auroc", "val_loss", "pseudo_auroc")], []
    for study in TUNED["one left out"]:
        finals = committed(study).trials
        trained = finals["role"].isin(["winner", "default"]) & (finals["generator_steps"] > 0)
        columns = last_epochs(study)[["test_auroc", *(signal.column for signal in signals)]]
        for model, runs in finals[trained].groupby("model"):
            ends = runs[["trial", "class", "role"]].merge(columns, on="trial")
            places = ends.drop(columns="trial").groupby(["class", "role"])
            won = places.mean().unstack().dropna()
            test = won["test_auroc"]
            row = {"model": f"`{model}`", "another won": len(won)}
            row["default"] = test["default"].mean()
            for signal in signals:
                figure = signal.sign * won[signal.column]
                better = figure["winner"] > figure["default"]
                mean = test["winner"].where(better, test["default"]).mean()
                row[signal.title] = f"{mean:.3f} ({better.sum()} of {len(won)})"
            rows.append(row)
    return pd.DataFrame(rows)


@table
def signal_searched_on_digits() -> pd.DataFrame:
    """Winner and default of the same searches by two signals, one digit left out (see `tuned`)."""
    studies = {"val_auroc": "skipganomaly", "pseudo_auroc": "skipganomaly-pseudo"}
    rows = [
        {"chosen by": SIGNALS[signal].title} | row
        for signal, study in studies.items()
        for row in tuned(f"digits-finalists-{study}")
    ]
    return pd.DataFrame(rows).drop(columns="configurations")


@table
def one_change_on_digits() -> pd.DataFrame:
    """Test AUROC of default, of one change to it, and of a search's winner, one digit left out.

    Means over ten digits (and seeds). Ahead, and p: against the row above.
    """
    rows = []
    for model, (change, study) in ONE_CHANGE.items():
        searched = gains(f"digits-finalists-{model.replace('_', '-')}")
        compared = {
            "default": searched["default"],
            f"default, but `{change}`": class_aurocs(f"digits-left-out-{study}")[model],
            "winner of the search": searched["winner"],
        }
        above = None
        for configuration, aurocs in compared.items():
            row = {"model": f"`{model}`", "configuration": configuration, "mean": aurocs.mean()}
            rows.append(row | ({} if above is None else against(aurocs, above)))
            above = aurocs
    return pd.DataFrame(rows)


@table
def latents_on_digits() -> pd.DataFrame:
    """Test AUROC with latents of 16 in place of the default's, means over ten digits, same seeds.

    Of the epoch and mix that anomalies choose; then of the last epoch, with the default weights.
    """
    rows = []
    for task, model, study in LATENTS:
        default, smaller = (with_last(f"digits-{name}", model) for name in (TASKS[task], study))
        both = default.merge(smaller, on=["class", "seed"], suffixes=("", "_16"))
        means = both.groupby("class").mean(numeric_only=True)
        row: dict[str, Any] = {"task": task, "model": f"`{model}`", "seeds": both["seed"].nunique()}
        row["default `nz`"] = f"{both['config_nz'].iloc[0]:.0f}"
        for column, title in (("test_auroc", "anomalies choose"), ("last", "none do")):
            with_16 = means[f"{column}_16"]
            row |= {title: means[column].mean(), f"{title}, 16": with_16.mean()}
            row[f"{title}: ahead, p"] = ahead(with_16, means[column])
        rows.append(row)
    return pd.DataFrame(rows)


def with_last(study: str, model: str) -> pd.DataFrame:
    """A model's final runs, with `last`: the last epoch's test AUROC (see `last_epochs`)."""
    runs = winners(study)
    runs = runs[runs["model"] == model]
    return runs.assign(last=runs["trial"].map(last_epochs(study)["test_auroc"]))
