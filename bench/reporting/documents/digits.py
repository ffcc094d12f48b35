"""Tables of scikit-learn's digits."""

from functools import partial
from typing import Any

import pandas as pd

from bench.judging.metrics import auroc
from bench.judging.selection import SIGNALS
from bench.reporting.choosing import auroc_by_signal, luck_table
from bench.reporting.documents.rows import (
    after_shares,
    against,
    ahead,
    class_aurocs,
    committed,
    gains,
    last_epochs,
    tuned,
    winners,
)
from bench.reporting.frames import join, span

TASKS = {"one digit normal": "one-class-defaults", "one left out": "left-out-defaults"}
BOTTLENECKS = (("latents", "autoencoder", "nz"), ("components", "pca", "components"))
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
ALONE, CHOSEN = "that part alone", "its weight chosen"
LAST = "its default weight, last epoch"
SWITCHES = {"--niter_decay 8": "decay", "--set average=0.99": "average", "--set he_init=True": "he"}
LEFT_OUT = "-ganomaly -skipganomaly -w-skipganomaly -egbad -f-anogan -classical".split()
ONE_CLASS = "-egbad -skipganomaly -classical".split()
TUNED = {
    "one left out": [f"digits-finalists{rest}" for rest in ("", *LEFT_OUT)],
    "one digit normal": [f"digits-finalists-one-class{rest}" for rest in ("", *ONE_CLASS)],
}


def on_digits(study: str) -> pd.DataFrame:
    """A row for each model: its test AUROC over the ten digits, the best mean first.

    A digit's figure is the mean over its seeds. Models that lack digits come last: their means are
    of other classes.
    """
    rows = []
    for model, group in winners(study).groupby("model"):
        steps, by_digit = group["generator_steps"].max(), group.groupby("class")["test_auroc"]
        aurocs = by_digit.mean()
        rows.append(
            {
                "model": f"`{model}`",
                "generator steps": f"{steps:,.0f}" if steps else "",
                "mean": aurocs.mean(),
                "lowest to highest": f"{aurocs.min():.3f} to {aurocs.max():.3f}",
                "digits": len(aurocs),
                "seeds": span(by_digit.count()),
            }
        )
    return pd.DataFrame(rows).sort_values(["digits", "mean"], ascending=False)


one_class_on_digits = partial(on_digits, "digits-one-class-defaults")
left_out_on_digits = partial(on_digits, "digits-left-out-defaults")


def tuned_on_digits() -> pd.DataFrame:
    """Did tuning help? A row for each task and model (see `tuned`)."""
    rows = [
        {"task": task} | row
        for task, studies in TUNED.items()
        for study in studies
        for row in tuned(study)
    ]
    return pd.DataFrame(rows)


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


def nearest_on_digits() -> pd.DataFrame:
    """Test AUROC, means over ten digits, without and with the distance of features in the score.

    p: of the default mix with it against the runs without.
    """
    plain, rows = class_aurocs("digits-left-out-defaults"), []
    near = with_nearest("digits-left-out-near").mean()
    for model, runs in winners("digits-left-out-near").groupby("model"):
        mixed = runs.set_index("class")["test_default_mix_auroc"]
        row = {"model": f"`{model}`", "without": plain[model].mean()}
        row |= {ALONE: near[ALONE, model], "half of the score": mixed.mean()}
        rows.append(row | {CHOSEN: near[CHOSEN, model]} | against(mixed, plain[model]))
    return pd.DataFrame(rows)


def untrained_on_digits() -> pd.DataFrame:
    """The same scores where the discriminator or critic trains, and where it never does."""
    trained = with_nearest("digits-left-out-near")
    untrained, rows = with_nearest("digits-left-out-near-untrained"), []
    for figure, model in sorted(trained.columns, key=lambda column: column[1]):
        pair = trained[figure, model], untrained[figure, model]
        row = {"model": f"`{model}`", "scored by": figure, "trained": pair[0].mean()}
        rows.append(row | {"untrained": pair[1].mean()} | against(*pair))
    return pd.DataFrame(rows)


def with_nearest(study: str) -> pd.DataFrame:
    """Test AUROC of classes (rows) by the score and by model (columns)."""
    runs = winners(study)
    scores = map(committed(study).scores, runs["trial"])
    figures = {
        ALONE: [auroc(s["labels"], s["part_nearest"]) for s in scores],
        CHOSEN: runs["test_auroc"],
        LAST: runs["trial"].map(last_epochs(study)["test_auroc"]),
    }
    return runs.assign(**figures).pivot(index="class", columns="model", values=[*figures])


def mixes_on_digits() -> pd.DataFrame:
    """Test AUROC of the same epochs, means over ten digits, by how the parts of a score are mixed.

    Each p is of a mix against the one to its left.
    """
    rows, name = [], "digits-one-class-defaults"
    study, finals = committed(name), winners(name)
    for model, second in (("skipganomaly", "latent"), ("egbad", "discriminator")):
        runs = finals[finals["model"] == model]
        scores = map(study.scores, runs["trial"])
        raw = [
            auroc(s["labels"], 0.9 * s["part_reconstruction"] + 0.1 * s[f"part_{second}"])
            for s in scores
        ]
        columns = ["raw", "test_default_mix_auroc", "test_auroc"]
        digits = runs.assign(raw=raw).groupby("class")[columns].mean()
        raw_sum, default, chosen = (digits[column] for column in columns)
        rows.append(
            {
                "model": f"`{model}`",
                "raw sum": raw_sum.mean(),
                "standardised, default weight": default.mean(),
                "p": against(default, raw_sum)["p (Wilcoxon)"],
                "weight chosen": chosen.mean(),
                "its p": against(chosen, default)["p (Wilcoxon)"],
            }
        )
    return pd.DataFrame(rows)


def switches_on_digits() -> pd.DataFrame:
    """Test AUROC, means over ten digits, of runs with a switch against those without."""
    plain, rows = class_aurocs("digits-left-out-defaults"), []
    plain["f_anogan"] = gains("digits-finalists-f-anogan")["default"]  # of the same seeds
    for switch, study in SWITCHES.items():
        for model, on in class_aurocs(f"digits-left-out-{study}").items():
            seeds = winners(f"digits-left-out-{study}")["seed"].nunique()
            row = {"switch": f"`{switch}`", "model": f"`{model}`", "seeds": seeds}
            row |= {"without": plain[model].mean(), "with": on.mean()}
            rows.append(row | against(on, plain[model]))
    return pd.DataFrame(rows)


def signals_on_digits() -> pd.DataFrame:
    """Test AUROC of the epoch that each signal chooses, means over ten digits (and their seeds)."""
    rows = []
    for task, study in TASKS.items():
        trials, all_epochs = join({study: committed(f"digits-{study}")})
        for model, runs in trials.groupby("model"):
            epochs = all_epochs[all_epochs["trial"].isin(runs["trial"])]
            if runs["class"].nunique() < 10 or epochs["epoch"].max() == 1:
                continue
            by_run = {trial: dict(auroc_by_signal(run)) for trial, run in epochs.groupby("trial")}
            means = pd.DataFrame(by_run).T.groupby(runs.set_index("trial")["class"]).mean().mean()
            rows.append({"task": task, "model": f"`{model}`"} | means.to_dict())
    return pd.DataFrame(rows)


def budgets_on_digits() -> pd.DataFrame:
    """Test AUROC after shares of a model's fair budget, means over ten digits (and their seeds)."""
    rows = [
        {"task": task, "model": f"`{model}`"} | means
        for task, study in TASKS.items()
        for model, means in after_shares(f"digits-{study}").items()
    ]
    return pd.DataFrame(rows)


def bottlenecks_on_digits() -> pd.DataFrame:
    """Validation AUROC by the size of a bottleneck, means over ten digits (one seed)."""
    rows = []
    for study, model, name in BOTTLENECKS:
        runs = committed(f"digits-{study}").trials
        runs = runs[runs["kind"] == "tuning"]
        means = runs.groupby(f"config_{name}")["val_auroc"].mean()
        row = {"model": f"`{model}`", "size of": f"`{name}`"}
        rows.append(row | {f"{size:g}": mean for size, mean in means.items()})
    table = pd.DataFrame(rows)
    return table[["model", "size of", *sorted(table.columns[2:], key=int)]]
