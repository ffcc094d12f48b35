"""The committed studies, and what tables of several documents take from them."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pandas as pd

from bench import results
from bench.judging.comparison import compare
from bench.reporting.choosing import by_default_weights, tuning_gain_table
from bench.reporting.frames import join, span

ROOT = Path(__file__).resolve().parents[3]
MEASURED = ROOT / "results" / "measured"
TABLES: dict[str, Callable[[], pd.DataFrame]] = {}  # by name; each stands in a document
SHARES = {"a quarter": 0.26, "a half": 0.51, "all": 1.0}  # an epoch may end a little late


def table(make: Callable[[], pd.DataFrame]) -> Callable[[], pd.DataFrame]:
    """Adds a function to TABLES, by its own name with hyphens."""
    TABLES[make.__name__.replace("_", "-")] = make
    return make


@cache
def committed(study: str) -> results.Results:
    """A committed study, which several tables take their rows from."""
    return results.read(MEASURED / study)


def winners(study: str) -> pd.DataFrame:
    """The final runs of each search's winner; of a study without a search, all runs."""
    runs = committed(study).trials
    return runs[runs["role"] == "winner"]


def class_aurocs(study: str) -> pd.DataFrame:
    """Test AUROC of classes (rows) by model."""
    return winners(study).pivot_table(index="class", columns="model", values="test_auroc")


def last_epochs(study: str) -> pd.DataFrame:
    """By trial: the last epoch's row; its `test_auroc` is by the default weights of a score's parts."""
    last = committed(study).epochs.groupby("trial").last()
    return last.assign(test_auroc=by_default_weights(last))


def after_shares(study: str) -> dict[str, dict[str, float]]:
    """For each network, its mean test AUROC after shares of its training."""
    trials, epochs = winners(study), committed(study).epochs
    means: dict[str, dict[str, float]] = {}
    for model, runs in trials[trials["generator_steps"] > 0].groupby("model"):
        steps = epochs["trial"].map(runs.set_index("trial")["generator_steps"])
        for name, share in SHARES.items():
            trained = epochs[epochs["generator_steps"] <= share * steps]
            mean = trained.groupby("trial")["test_auroc"].last().mean()
            means.setdefault(str(model), {})[name] = mean
    return means


def gains(study: str) -> pd.DataFrame:
    """Winner and default of each search of a study with finalists, by class (tuning_gain_table)."""
    table = tuning_gain_table(join({study: committed(study)})[0])
    assert table is not None, f"{study} has no finalists"
    return table.frame.set_index("class")


def tuned(study: str) -> list[dict[str, object]]:
    """A row for each model of a study with finalists: winner against default, under the same seeds.

    Configurations: tried in each search. Test AUROC, means over the classes.
    """
    rows = []
    trials = committed(study).trials
    tried = trials[trials["kind"] == "tuning"].groupby("model")["number"].nunique()
    for model, group in gains(study).groupby("model", sort=False):
        row = {"model": f"`{model}`", "configurations": tried[model]}
        row |= {"seeds": span(group["seeds"])} | dict(group[["default", "winner"]].mean())
        row["another won"] = f"{(group['configuration'] != 'default').sum()} of {len(group)}"
        rows.append(row | against(group["winner"], group["default"]))
    return rows


def against(ours: pd.Series, theirs: pd.Series) -> dict[str, object]:
    """On how many classes ours is ahead, and Wilcoxon's p."""
    both = pd.DataFrame({"ours": ours, "rival": theirs}).dropna()
    return {
        "classes ahead": f"{int((both['ours'] > both['rival']).sum())} of {len(both)}",
        "p (Wilcoxon)": compare(both).pairs["p"].iloc[0],
    }


def ahead(ours: pd.Series, theirs: pd.Series) -> str:
    """The same in a cell of a table: `7 of 10, 0.084`."""
    on, p = against(ours, theirs).values()
    return f"{on}, {p:.3f}"
