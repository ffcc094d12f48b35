"""Which hyperparameters mattered in a study's searches.

The plots are our own: Optuna's Matplotlib plots set a style for the whole process.
"""

import warnings
from collections.abc import Iterator
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from bench.reporting.drawing import COLOURS, STYLE, WIDTH, Drawing, drawn
from bench.reporting.frames import KEY
from bench.reporting.searches import tuning_runs

FEWEST = 10  # configurations; fewer do not tell which hyperparameters mattered
MOST_LINES = 500
MOST_WEIGHED = 2000  # configurations that importances are made from: Optuna copies each of them


def searched(trials: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame, pd.Series]]:
    """Yields, of each model with enough tried configurations: name, varied values, and gain.

    The gain is the objective above its class's mean, so that hard and easy classes can be pooled.
    Objectives of different signals cannot: only runs with the model's most frequent signal count.
    """
    tuning = tuning_runs(trials, "objective")
    main = tuning.groupby("search")["signal"].transform(lambda signals: signals.mode()[0])
    for model, group in tuning[tuning["signal"] == main].groupby("search", sort=False):
        tried = {}
        for key in group.filter(regex="^config_"):
            name = str(key).removeprefix("config_")
            # PBT changes them during training: what the run began with counts.
            tried[name] = group.get(f"tried_{name}", group[key]).fillna(group[key])
        varied = pd.DataFrame(
            {name: values for name, values in tried.items() if values.nunique() > 1}
        ).dropna(axis=1)
        gain = group["objective"] - group.groupby(KEY)["objective"].transform("mean")
        different = len(varied.drop_duplicates())  # with --tune_for mean, each has a row per class
        if different >= FEWEST and varied.shape[1] and gain.nunique() > 1:
            yield str(model), varied.infer_objects(), gain


def numeric(values: pd.Series) -> bool:
    return pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values)


def logarithmic(values: pd.Series) -> bool:
    """Whether a hyperparameter's values span orders of magnitude: its axis is then logarithmic."""
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
        columns = varied.assign(gain=gain)
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
                log = "\n(log)" if logarithmic(values) else ""
                axes.text(place, -0.16, f"{name}{log}", ha="center", va="top", fontsize=8)
            lines = [list(enumerate(line)) for line in np.transpose(heights)]
            look: Any = {"cmap": "viridis", "linewidths": 0.7, "alpha": 0.8}
            axes.add_collection(LineCollection(lines, array=gain[order], **look))
            axes.set_axis_off()
            axes.set_title(f"{column}: {len(varied.drop_duplicates())} configurations", pad=16)
            caption = (
                f"{column}: the configurations tried. Gain, and colour: the objective above the mean of "
                "its class (of runs stopped early, what they had reached)."
            )
            if len(gain) > MOST_LINES:
                caption += f" The best {MOST_LINES} only."
            yield drawn(f"parallel_{column}", caption, figure)


def importances(trials: pd.DataFrame) -> Iterator[Drawing]:
    """How much each hyperparameter decided which configurations are best (Optuna's PED-ANOVA)."""
    weighed = {
        column: shares for column, shares in shares_by_model(trials).items() if len(shares) > 1
    }
    if not weighed:
        return
    with mpl.rc_context(STYLE):
        heights = [0.45 + 0.16 * len(values) for values in weighed.values()]
        width = max(WIDTH, 1.5 + 0.07 * max(map(len, weighed)))
        figure = Figure(figsize=(width, sum(heights) + 0.4), layout="constrained")
        ratios = {"height_ratios": heights}
        grid = figure.subplots(len(heights), 1, squeeze=False, gridspec_kw=ratios, sharex=True)
        for axes, (column, values) in zip(grid.flat, weighed.items(), strict=True):
            axes.barh(list(values)[::-1], list(values.values())[::-1], color=COLOURS[0], height=0.6)
            axes.set_title(column)
        grid[-1, 0].set_xlabel("importance")
        caption = (
            "Hyperparameter importances (PED-ANOVA, arXiv:2304.10255, as Optuna computes it): how "
            "far the values of the best tenth of the runs, by their ranks within their classes, differ "
            "from all that were tried; they add up to 1. A good value that nearly all runs had gives "
            "little importance. With few configurations they are a hint at most."
        )
        yield drawn("importances", caption, figure)


def shares_by_model(trials: pd.DataFrame) -> dict[str, dict[str, float]]:
    """Of each model: its hyperparameters' importances (see `importance`), over all classes.

    Configurations count by their ranks within their classes. By their gains, the best tenth would be
    of the few classes whose figures differ most.
    """
    return {
        model: importance(
            varied, gain.groupby([trials.loc[gain.index, key] for key in KEY]).rank(pct=True)
        )
        for model, varied, gain in searched(trials)
    }


def importance(varied: pd.DataFrame, merit: pd.Series) -> dict[str, float]:
    """Each hyperparameter's share, the largest first; `merit` is higher for better configurations.

    Where there are very many configurations, it takes every n-th.
    """
    import optuna
    from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution

    every = -(-len(varied) // MOST_WEIGHED)
    varied, merit = varied.iloc[::every], merit.iloc[::every]
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
        for params, value in zip(varied.to_dict("records"), merit, strict=True)
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
