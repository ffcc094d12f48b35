"""What tuning did: what it gained, what early stopping saved, how its winners learnt."""

import math
from collections.abc import Iterator
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from bench.judging.selection import best_run, by_column, title_and_sign
from bench.reporting.drawing import Drawing
from bench.reporting.figures import looks_of, panels
from bench.reporting.frames import KEY
from bench.reporting.writers import Table


def tuning_runs(trials: pd.DataFrame, known: str) -> pd.DataFrame:
    """The searches' runs that have a value in `known`, objective or epochs, which failed ones lack."""
    return trials[(trials["kind"] == "tuning") & trials[known].notna()]


def tuning_table(trials: pd.DataFrame) -> Table | None:
    """The winner's figure beside that of the model's default configuration (number 0).

    The figure is the signal that chose; the gain is above 0 where the winner is better.
    """
    tested = trials[trials["role"] == "winner"].drop_duplicates(KEY)
    winners = tested.set_index(KEY)["number"].to_dict()
    rows, keys, early, cut = [], [], 0, 0
    for key, group in tuning_runs(trials, "objective").groupby(KEY, sort=False):
        tried = group.drop_duplicates("number").set_index("number")
        number: Any = winners.get(key)
        if number not in tried.index:
            number = best_run(group.to_dict("records"))
        winner: Any = tried.loc[number]
        missing: Any = pd.Series(index=tried.columns, dtype=object)
        default = tried.loc[0] if 0 in tried.index else missing
        early += (default_stopped := default["status"] == "stopped")
        changed_by_pbt = default.filter(regex="^tried_").notna().any()
        if default_stopped or changed_by_pbt:
            default = missing
        title, sign = title_and_sign(winner["signal"])
        cut += (winner_stopped := winner["status"] == "stopped")
        # A stopped run's figure is of fewer epochs, so it cannot be compared with a full run's.
        tuned, untuned = math.nan if winner_stopped else winner["objective"], default["objective"]
        figures = (title, sign * untuned, sign * tuned, tuned - untuned)
        place = (winner["row"], winner["search"], len(tried))
        rows.append((*place, *figures, changes(winner, default)))
        keys.append(key)
    note = "Default and winner: the signal that chose, under the search's one seed."
    judged = trials.groupby(KEY)["kind"].agg(lambda kinds: (kinds == "finalist").any())
    judged = judged[judged.index.isin(keys)]
    both = judged.any() and not judged.all()
    if judged.any():
        where = " Where there are finalists, fresh" if both else " Fresh"
        note += f"{where} seeds chose the winner among the best, so here it may be worse."
    if not judged.all():
        where = " Elsewhere the" if both else " The"
        note += (
            f"{where} winner is the best of many on this very signal, which flatters it; the test "
            "figures are free of that, unless the test AUROC chose."
        )
    if unfinished := sum(key not in winners for key in keys):
        note += f" {unfinished} search(es) have no final run yet: their winner is the best so far."
    if early:
        note += f" {early} default(s) were stopped early: there is no figure to compare with."
    if cut:
        note += f" {cut} winner(s) were stopped early in the search: there is no figure of theirs."
    columns = ["class", "model", "configurations", "signal", "default", "winner", "gain", "changed"]
    frame = pd.DataFrame(rows, columns=columns)
    return Table("tuning", "What tuning gained", frame, note) if rows else None


def changes(winner: pd.Series, default: pd.Series) -> str:
    """The winner's hyperparameters where they differ from the default's: `lr=0.001, nz=64`."""
    if pd.isna(default["objective"]):
        return "–"
    values = winner.filter(regex="^config_").dropna()
    changed = {
        name.removeprefix("config_"): f"{value:.4g}" if isinstance(value, float) else value
        for name, value in values.items()
        if value != default[name]
    }
    return ", ".join(f"{name}={value}" for name, value in changed.items()) or "nothing"


def early_stopping_table(trials: pd.DataFrame) -> Table | None:
    """The epochs that searches ran, beside those they would have run without early stopping."""
    tuning = tuning_runs(trials, "epochs")
    stopped = tuning["status"] == "stopped"
    if not stopped.any():
        return None
    full = trials.groupby(KEY)["epochs"].transform("max")  # final runs are never stopped
    groups = tuning.assign(full=full, stopped=stopped).groupby("search", sort=False)
    table = groups.agg({"trial": "size", "stopped": "sum", "epochs": "sum", "full": "sum"})
    table["saved"] = [f"{100 * (1 - share):.0f} %" for share in table["epochs"] / table["full"]]
    titles = ["model", "runs", "stopped early", "epochs", "epochs in full", "saved"]
    table = table.astype({"epochs": int, "full": int}).reset_index().set_axis(titles, axis=1)
    note = "Runs of the searches; final runs always run in full."
    return Table("saved", "What early stopping saved", table, note)


def learning_curves(finals: pd.DataFrame, epochs: pd.DataFrame) -> Iterator[Drawing]:
    """One panel per class: the signal that chose by epoch, mean over seeds with their range.

    Each signal has a figure of its own, with the runs that it chose.
    """
    epochs = epochs.merge(finals[["study", "trial"]])
    last = epochs.groupby(["study", "trial"])["epoch"].transform("max")
    epochs = epochs[last >= 2]  # a model that is fitted at once has no curve
    looks = looks_of(finals)
    chosen_by = {
        signal: epochs[(epochs["signal"] == signal) & epochs[signal].notna()]
        for signal in (*by_column(), "objective")
        if signal in epochs
    }
    name = ""
    for signal, records in chosen_by.items():
        if records.empty:
            continue
        runs = finals.merge(records[["study", "trial"]].drop_duplicates())

        def panel(axes: Axes, row: str, signal: str = signal, records: Any = records) -> None:
            for column, group in records[records["row"] == row].groupby("column", sort=False):
                curve = group.groupby("epoch")[signal].agg(["mean", "min", "max"])
                look = looks[str(column)]
                band = {"color": look["color"], "alpha": 0.15, "linewidth": 0}
                axes.fill_between(curve.index, curve["min"], curve["max"], **band)
                axes.plot(curve.index, curve["mean"], **look, linewidth=1.2)
            axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))

        title = title_and_sign(signal)[0]
        several = runs.groupby(["row", "column"])["seed"].nunique().max() > 1
        means = "mean over seeds and their range" if several else "one seed"
        caption = (
            f"Learning curves of the final runs: {title}, {means}. An epoch is a share of a model's "
            "own budget, so epochs of different models are not alike."
        )
        name = f"learning_{signal}" if name else "learning"
        yield from panels(name, caption, runs, panel, looks, xlabel="epoch", ylabel=title)
