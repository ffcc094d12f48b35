"""Tables of scikit-learn's digits."""

import pandas as pd

from bench.judging.metrics import auroc
from bench.reporting.choosing import auroc_by_signal
from bench.reporting.documents.rows import (
    after_shares,
    against,
    class_aurocs,
    committed,
    last_epochs,
    table,
    winners,
)
from bench.reporting.frames import join, span

TASKS = {"one digit normal": "one-class-defaults", "one left out": "left-out-defaults"}
BOTTLENECKS = (("latents", "autoencoder", "nz"), ("components", "pca", "components"))
ALONE, CHOSEN = "that part alone", "its weight chosen"
LAST = "its default weight, last epoch"
SWITCHES = {"--niter_decay 8": "decay", "--set average=0.99": "average", "--set he_init=True": "he"}


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


@table
def one_class_on_digits() -> pd.DataFrame:
    """The defaults where one digit is normal (see `on_digits`)."""
    return on_digits("digits-one-class-defaults")


@table
def left_out_on_digits() -> pd.DataFrame:
    """The defaults where one digit is left out (see `on_digits`)."""
    return on_digits("digits-left-out-defaults")


@table
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


@table
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


@table
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


@table
def switches_on_digits() -> pd.DataFrame:
    """Test AUROC, means over ten digits, of runs with a switch against those without."""
    plain, rows = class_aurocs("digits-left-out-defaults"), []
    runs = committed("digits-finalists-f-anogan").trials
    same = runs["seed"].isin(winners("digits-left-out-he")["seed"])
    runs = runs[(runs["kind"] == "final") & (runs["number"] == 0) & same]
    plain["f_anogan"] = runs.groupby("class")["test_auroc"].mean()
    for switch, study in SWITCHES.items():
        for model, on in class_aurocs(f"digits-left-out-{study}").items():
            seeds = winners(f"digits-left-out-{study}")["seed"].nunique()
            row = {"switch": f"`{switch}`", "model": f"`{model}`", "seeds": seeds}
            row |= {"without": plain[model].mean(), "with": on.mean()}
            rows.append(row | against(on, plain[model]))
    return pd.DataFrame(rows)


@table
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


@table
def budgets_on_digits() -> pd.DataFrame:
    """Test AUROC after shares of a model's fair budget, means over ten digits (and their seeds)."""
    rows = [
        {"task": task, "model": f"`{model}`"} | means
        for task, study in TASKS.items()
        for model, means in after_shares(f"digits-{study}").items()
    ]
    return pd.DataFrame(rows)


@table
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
