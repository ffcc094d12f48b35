"""The figure that a report begins with: each model's mean over classes, the best first."""

from collections.abc import Iterator
from typing import Any

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bench.judging.comparison import Comparison
from bench.reporting.drawing import COLOURS, STYLE, WIDTH, Drawing, drawn
from bench.reporting.fair import class_means, shared
from bench.reporting.headline import verdict

# The families differ in shape and filling too, for print in grey.
FAMILIES: dict[str, dict[str, Any]] = {
    "GAN": {"color": COLOURS[0], "marker": "o"},
    "baseline": {"color": COLOURS[1], "marker": "D", "markerfacecolor": "white"},
    "labelled": {"color": COLOURS[3], "marker": "^"},
    "pretrained": {"color": COLOURS[2], "marker": "s"},
}
OTHER = {"color": COLOURS[6], "marker": "o"}  # older rows name no family


def overview(aurocs: pd.DataFrame, comparison: Comparison) -> Iterator[Drawing]:
    """A line for each model: its mean with the interval, and small dots for its classes.

    Nothing for a single model.
    """
    means, common = class_means(aurocs), shared(aurocs).index
    if len(means) < 2:
        return
    family = aurocs.drop_duplicates("column").set_index("column")["family"]
    models = [*means.index, *family.index.difference(means.index)]
    with mpl.rc_context(STYLE):
        width = max(WIDTH, 1.5 + 0.07 * max(map(len, models)))
        figure = Figure(figsize=(width, 0.65 + 0.17 * len(models)), layout="constrained")
        axes = figure.add_subplot(xlabel="AUROC")
        for place, model in enumerate(models):
            look = FAMILIES.get(family[model], OTHER)
            singles = aurocs.loc[aurocs["column"] == model, "auroc"]
            axes.scatter(singles, [place] * len(singles), s=6, color="0.72", linewidths=0)
            if model in means.index:
                mean, low, high = means.loc[model]
                axes.plot([low, high], [place, place], color=look["color"], linewidth=1.3)
                axes.plot(mean, place, **look, markersize=4)
                form: Any = {"xycoords": ("axes fraction", "data"), "va": "center", "fontsize": 7}
                text = f"{mean:.3f}{' *' * (model in comparison.best)}"
                axes.annotate(text, (1.02, place), **form)
        lowest, highest = axes.get_xlim()
        if with_chance := lowest < 0.5 < highest:
            axes.axvline(0.5, color="0.6", linewidth=0.6, linestyle=":", zorder=0)
        axes.set_yticks(range(len(models)), models)
        axes.set_ylim(len(models) - 0.5, -0.5)
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        looks = {name: look for name, look in FAMILIES.items() if (family == name).any()}
        handles = [
            Line2D([], [], label=n, markersize=4, linewidth=1.3, **k) for n, k in looks.items()
        ]
        if len(common) > 1:
            dot: Any = {"marker": "o", "markersize": 2.5, "color": "0.72", "linewidth": 0}
            handles.append(Line2D([], [], label="a class", **dot))
        figure.legend(handles=handles, loc="outside upper center", ncols=3, handletextpad=0.4)
        caption = (
            f"Mean test AUROC over the {len(common)} classes that the models share, with its 95 % "
            "interval over these classes (Student's t)"
            if len(common) > 1
            else f"Test AUROC of {common[0]} with its 95 % interval"
        )
        if len(models) > len(means):
            caption += "; below, models that lack classes"
        caption += ". Dotted: chance." if with_chance else "."
        yield drawn("auroc", f"{caption} {verdict(aurocs, comparison)}".strip(), figure)
