"""What tuning did: what it gained, what early stopping saved, which hyperparameters mattered.

The plots are our own: Optuna's Matplotlib plots set a style for the whole process.
"""

import warnings
from collections.abc import Iterator
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from bench.judging.selection import best_run, by_column, title_and_sign
from bench.reporting.drawing import COLOURS, STYLE, WIDTH, Drawing, drawn
from bench.reporting.figures import looks_of, panels
from bench.reporting.frames import KEY
from bench.reporting.writers import Table

FEWEST = 10  # configurations under which nothing is said of what mattered
MOST_LINES = 500
MOST_WEIGHED = 2000  # configurations that importances are made from: Optuna copies each of them


def tuning_runs(trials: pd.DataFrame, known: str) -> pd.DataFrame:
    """The searches' runs that did not fail and have a value in this column."""
    runs = trials[(trials["kind"] == "tuning") & (trials["status"] != "error")]
    return runs.dropna(subset=known)


def tuning_table(trials: pd.DataFrame) -> Table | None:
    """The winner's figure beside that of the model's default configuration (number 0).

    The figure is the signal that chose; the gain is above 0 where the winner is better.
    """
    winners = (
        trials[trials["role"] == "winner"].drop_duplicates(KEY).set_index(KEY)["number"].to_dict()
    )
    rows = []
    for key, group in tuning_runs(trials, "objective").groupby(KEY, sort=False):
        tried = group.drop_duplicates("number").set_index("number")
        number: Any = (
            winners.get(key)
            if winners.get(key) in tried.index
            else best_run(group.to_dict("records"))
        )
        winner: Any = tried.loc[number]
        default: Any = pd.Series(index=tried.columns, dtype=object)
        if 0 in tried.index and tried.loc[0].filter(regex="^tried_").isna().all():  # PBT left it
            default = tried.loc[0]
        title, sign = title_and_sign(winner["signal"])
        gain = winner["objective"] - default["objective"]
        figures = (title, sign * default["objective"], sign * winner["objective"], gain)
        place = (winner["row"], winner["search"], len(tried))
        rows.append((*place, *figures, changes(winner, default)))
    note = "Default and winner: the signal that chose, under the search's one seed."
    judged = trials.groupby(KEY)["kind"].agg(lambda kinds: (kinds == "finalist").any())
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
    columns = ["class", "model", "configurations", "signal", "default", "winner", "gain", "changed"]
    frame = pd.DataFrame(rows, columns=columns)
    return Table("tuning", "What tuning gained", frame, note) if rows else None


def changes(winner: pd.Series, default: pd.Series) -> str:
    """The winner's hyperparameters where they differ from the default's: `lr=0.001, nz=64`."""
    names = [
        name
        for name in map(str, winner.index)
        if name.startswith("config_") and pd.notna(winner[name])
    ]
    changed = {
        name.removeprefix("config_"): winner[name]
        for name in names
        if winner[name] != default[name]
    }
    if pd.isna(default["objective"]):
        return "–"
    return (
        ", ".join(
            f"{n}={v:.4g}" if isinstance(v, float) else f"{n}={v}" for n, v in changed.items()
        )
        or "nothing"
    )


def saved_table(trials: pd.DataFrame) -> Table | None:
    """The epochs that searches ran, beside those they would have run without early stopping."""
    tuning = tuning_runs(trials, "epochs")
    if not (tuning["status"] == "stopped").any():
        return None
    full = trials.groupby(KEY)["epochs"].transform("max")  # final runs are never stopped
    groups = tuning.assign(full=full).groupby("search", sort=False)
    table = groups.agg(
        runs=("trial", "size"), epochs=("epochs", "sum"), full=("full", "sum")
    ).reset_index()
    stopped = tuning[tuning["status"] == "stopped"].groupby("search").size()
    table.insert(2, "stopped", table["search"].map(stopped).fillna(0).astype(int))
    table["saved"] = [
        f"{100 * (1 - ran / whole):.0f} %"
        for ran, whole in zip(table["epochs"], table["full"], strict=True)
    ]
    table = table.astype({"epochs": int, "full": int})
    table.columns = pd.Index(
        ["model", "runs", "stopped early", "epochs", "epochs in full", "saved"]
    )
    return Table(
        "saved",
        "What early stopping saved",
        table,
        "Runs of the searches; final runs always run in full.",
    )


def learning_curves(finals: pd.DataFrame, epochs: pd.DataFrame) -> Iterator[Drawing]:
    """One panel per class: the signal that chose by epoch, mean over seeds with their range.

    Runs that different signals chose are in figures of their own.
    """
    epochs = epochs.merge(finals[["study", "trial"]])
    if not epochs["epoch"].max() >= 2:
        return
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
        here = {column: looks[column] for column in runs["column"].unique()}

        def panel(axes: Axes, row: str, signal: str = signal, records: Any = records) -> None:
            for column, group in records[records["row"] == row].groupby("column", sort=False):
                curve = group.groupby("epoch")[signal].agg(["mean", "min", "max"])
                look = looks[str(column)]
                band = {"color": look["color"], "alpha": 0.15, "linewidth": 0}
                axes.fill_between(curve.index, curve["min"], curve["max"], **band)
                axes.plot(curve.index, curve["mean"], **look, linewidth=1.2)
            axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))

        title = title_and_sign(signal)[0]
        caption = f"Learning curves of the final runs: {title}, mean over seeds and their range."
        name = f"learning_{signal}" if name else "learning"
        yield from panels(name, caption, runs, panel, here, xlabel="epoch", ylabel=title)


def searched(trials: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame, pd.Series]]:
    """Of each model with enough tried configurations: name, varied hyperparameters, and gain.

    The gain is the objective above its class's mean, so that hard and easy classes go together.
    Classes whose signals differ do not: of these, the signal of most counts.
    """
    tuning = tuning_runs(trials, "objective")
    most = tuning.groupby("search")["signal"].transform(lambda signals: signals.mode()[0])
    for model, group in tuning[tuning["signal"] == most].groupby("search", sort=False):
        tried = {}
        for key in group.filter(regex="^config_"):
            name = str(key).removeprefix("config_")
            # PBT changes them during training: what the run began with counts.
            tried[name] = group.get(f"tried_{name}", group[key]).fillna(group[key])
        varied = pd.DataFrame(
            {name: values for name, values in tried.items() if values.nunique() > 1}
        ).dropna(axis=1)
        gain = group["objective"] - group.groupby(KEY)["objective"].transform("mean")
        different = len(varied.drop_duplicates())  # one that serves all classes has a row of each
        if different >= FEWEST and varied.shape[1] and gain.nunique() > 1:
            yield str(model), varied.infer_objects(), gain


def numeric(values: pd.Series) -> bool:
    return pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values)


def logarithmic(values: pd.Series) -> bool:
    """Whether a hyperparameter is one of those whose order of magnitude matters."""
    return numeric(values) and values.min() > 0 and values.max() / values.min() >= 30


def axis(values: pd.Series) -> tuple[pd.Series, str, str]:
    """Each value's place between 0 and 1, and what the two ends are called."""
    if not numeric(values):
        kinds = values.astype(str).astype("category").cat
        return kinds.codes / (len(kinds.categories) - 1), kinds.categories[0], kinds.categories[-1]
    scaled = np.log(values) if logarithmic(values) else values
    low, high = scaled.min(), scaled.max()
    return (scaled - low) / (high - low), f"{values.min():.3g}", f"{values.max():.3g}"


def parallel_coordinates(trials: pd.DataFrame) -> Iterator[Drawing]:
    """For each model: each tried configuration as a line, coloured by its objective."""
    for column, varied, gain in searched(trials):
        order = gain.nlargest(MOST_LINES).index[::-1]  # the best are drawn last, on top
        columns = varied.assign(objective=gain)
        with mpl.rc_context(STYLE):
            figure = Figure(figsize=(max(WIDTH, 0.85 * columns.shape[1]), 2.2))
            axes = figure.add_axes((0.07, 0.2, 0.86, 0.6))
            heights = []
            for place, (name, values) in enumerate(columns.items()):
                height, low, high = axis(values)
                heights.append(height[order])
                axes.axvline(place, color="0.3", linewidth=0.6)
                for y, text, align in ((-0.03, low, "top"), (1.03, high, "bottom")):
                    axes.text(place, y, text, ha="center", va=align, fontsize=7)
                axes.text(place, -0.16, name, ha="center", va="top", fontsize=8)
            colours = ScalarMappable(Normalize(gain[order].min(), gain[order].max()), "viridis")
            for index, line in zip(order, np.transpose(heights), strict=True):
                axes.plot(
                    range(len(heights)),
                    line,
                    color=colours.to_rgba(gain[index]),
                    linewidth=0.7,
                    alpha=0.8,
                )
            axes.set_axis_off()
            axes.set_title(f"{column}: {len(varied.drop_duplicates())} configurations", pad=16)
            caption = (
                f"{column}: the configurations tried. Right: the objective above the mean of its "
                "class (of runs stopped early, what they had reached)."
            )
            if len(gain) > MOST_LINES:
                caption += f" The best {MOST_LINES} only."
            yield drawn(f"parallel_{column}", caption, figure)


def importances(trials: pd.DataFrame) -> Iterator[Drawing]:
    """How much each hyperparameter decided which configurations are best (Optuna's PED-ANOVA)."""
    weighed = {column: importance(varied, gain) for column, varied, gain in searched(trials)}
    weighed = {column: shares for column, shares in weighed.items() if shares}
    if not weighed:
        return
    with mpl.rc_context(STYLE):
        heights = [0.45 + 0.16 * len(values) for values in weighed.values()]
        figure = Figure(figsize=(WIDTH, sum(heights) + 0.4), layout="constrained")
        ratios = {"height_ratios": heights}
        grid = figure.subplots(len(heights), 1, squeeze=False, gridspec_kw=ratios, sharex=True)
        for axes, (column, values) in zip(grid.flat, weighed.items(), strict=True):
            axes.barh(list(values)[::-1], list(values.values())[::-1], color=COLOURS[0], height=0.6)
            axes.set_title(column)
        grid[-1, 0].set_xlabel("importance")
        caption = (
            "Hyperparameter importances (PED-ANOVA, arXiv:2304.10255, as Optuna computes it), over "
            "all classes of a model. With few configurations they are a hint at most."
        )
        yield drawn("importances", caption, figure)


def importance(varied: pd.DataFrame, gain: pd.Series) -> dict[str, float]:
    """Each hyperparameter's share, the largest first.

    From every n-th configuration where there are very many.
    """
    import optuna
    from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution

    every = -(-len(varied) // MOST_WEIGHED)
    varied, gain = varied.iloc[::every], gain.iloc[::every]
    space: dict[str, BaseDistribution] = {}
    for name, values in varied.items():
        if numeric(values):
            space[str(name)] = FloatDistribution(
                float(values.min()), float(values.max()), log=logarithmic(values)
            )
        else:
            varied = varied.assign(**{str(name): values.astype(str)})
            space[str(name)] = CategoricalDistribution(sorted(values.astype(str).unique()))
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(direction="maximize")
    study.add_trials(
        optuna.create_trial(params=params, distributions=space, value=value)
        for params, value in zip(varied.to_dict("records"), gain, strict=True)
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="Target and region quantiles")
        try:
            shares = optuna.importance.PedAnovaImportanceEvaluator().evaluate(
                study, params=list(space)
            )
        except UserWarning:  # the configurations score alike, and tell nothing
            return {}
    total = sum(shares.values())
    return {name: share / total for name, share in shares.items()} if total > 0 else {}
