"""The main table: how good each model is on each class, and in the mean."""

import math
from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from bench.choices.names import natural
from bench.judging.comparison import Comparison, fewest_classes
from bench.reporting.fair import class_means, rivals, shared
from bench.reporting.frames import WIDEST, published, span
from bench.reporting.writers import Table, cell

PUBLISHED = "published figures"
BY_PUBLISHED = "measured here by the published protocol or parts of it, so no fair rivals"
FAMILIES = {
    "GAN": "GANs",
    "baseline": "baselines",
    "labelled": "trained on labels of the normal classes too, so no fair rivals",
    "pretrained": "pretrained on other data, so no fair rivals",
}
# models: of older rows, without a family
GROUPS = ["models", *FAMILIES.values(), BY_PUBLISHED, PUBLISHED]
OF_MEANS = "; of a mean, the interval over classes"


def auroc_table(aurocs: pd.DataFrame, comparison: Comparison) -> Table:
    """Models by classes, the best first, in groups; last the mean over the shared classes."""
    known = published(aurocs)
    both = pd.concat([aurocs, known], ignore_index=True)
    models = both.drop_duplicates("column").set_index("column")
    group = models["family"].map(FAMILIES).fillna("models")
    unsound = aurocs.loc[aurocs["protocol"] != "sound", "column"]
    group[models.index.isin(unsound)] = BY_PUBLISHED
    group[models["source"].notna()] = PUBLISHED
    values = both.pivot(index="column", columns="row", values="auroc")
    means, common = class_means(aurocs), shared(aurocs).index
    known_means = values.loc[known["column"].unique(), common].dropna().mean(axis=1)
    order = means.reindex(models.index).assign(
        place=group.map(GROUPS.index),
        mean=pd.concat([means["mean"], known_means]),
        any=values.mean(axis=1),  # for those without a mean over the shared classes
    )
    order = order.sort_values(["place", "mean", "any"], ascending=[True, False, False])

    last = [
        (
            cell(mean) + " *" * (column in comparison.best),
            detail(math.nan, low, high, "classes" if column in means.index else ""),
        )
        for column, mean, low, high in order[["mean", "low", "high"]].itertuples(name=None)
    ]
    both["text"] = both["auroc"].map(cell)
    spreads = both[["sd", "low", "high", "too_few"]].itertuples(index=False, name=None)
    both["detail"] = [detail(*spread) for spread in spreads]
    frame, details = grid(both, list(order.index), last, len(common))
    apart = (group[order.index] == PUBLISHED).to_numpy()
    names = np.where(apart, models.loc[order.index, "model"], order.index)
    frame.isetitem(0, names)  # by place: a class may be called "model" too
    data = both.assign(
        source=both["source"].fillna("measured"), seeds=both["seeds"].astype("Int64")
    )
    sd = "± standard deviation over seeds " if aurocs["seeds"].max() > 1 else ""
    return Table(
        "auroc",
        "AUROC by model and class",
        frame,
        " ".join(filter(None, notes(aurocs, known, comparison))),
        data.drop(columns=["row", "column", "family", "text", "detail", "caveat"]),
        details=details,
        legend=f"{sd}[95 % confidence interval]{OF_MEANS if len(common) > 1 else ''}",
        groups=group[order.index].tolist(),
        heat=(0.5, 0.5),
    )


def grid(
    cells: pd.DataFrame,
    models: Sequence[str],
    means: Sequence[tuple[str, str]],
    shared_classes: int,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Texts and details of models (rows, in this order) by classes, and of their means, if any.

    `cells`: row, column, text and detail of each.
    """
    classes = sorted(cells["row"].unique(), key=natural)
    titles = ["model", *classes]
    if len(classes) > 1 and shared_classes:
        titles.append("mean" if shared_classes == len(classes) else f"mean of {shared_classes}")
    frames = []
    for part, names, mean in (
        ("text", models, [text for text, _ in means]),
        ("detail", [""] * len(models), [small for _, small in means]),
    ):
        table = cells.pivot(index="column", columns="row", values=part)
        table = table.loc[models, classes].fillna("–" if part == "text" else "")
        columns = zip(names, *table.to_numpy().T, mean, strict=True)
        frames.append(pd.DataFrame([row[: len(titles)] for row in columns], columns=titles))
    return frames[0], frames[1]


def detail(sd: float, low: float, high: float, lacking: object) -> str:
    """`± 0.013` and `[0.790, 0.835]`, a line each, without what is NaN.

    `lacking`: what there are too few of where the interval is not known or tells nothing.
    """
    lines = [] if math.isnan(sd) else [f"± {sd:.3f}"]
    if high - low <= WIDEST:
        lines.append(f"[{cell(low)}, {cell(high)}]")
    elif isinstance(lacking, str) and lacking:
        lines.append(f"too few {lacking}")
    return "\n".join(lines)


def notes(aurocs: pd.DataFrame, known: pd.DataFrame, comparison: Comparison) -> Iterator[str]:
    """What a reader of the main table must know, a sentence each."""
    seeds = span(aurocs["seeds"])
    yield "One seed." if seeds == "1" else f"Mean over {seeds} seeds."
    if aurocs["low"].notna().any():
        yield (
            "Intervals are over test images only; where another seed would lie is unknown."
            if seeds == "1"
            else "Intervals are over seeds and test images"
            + (", of a single seed over test images only." if aurocs["seeds"].min() == 1 else ".")
        )
    if (aurocs["protocol"] != "sound").any() and aurocs["low"].notna().any():
        yield (
            "They do not cover what an unsound protocol adds where it chooses epochs on the test "
            "images, or where an image's score depends on the others of its batch."
        )
    if count := (aurocs["select_on"] == "val_auroc").sum():
        of_some = f"For {count} of {len(aurocs)} results the" if count < len(aurocs) else "The"
        yield (
            f"{of_some} validation AUROC, which sees anomalies like those of the test, made all "
            "choices (epochs, the weights of a score's parts, the winner of a search)."
        )
    if (aurocs["too_few"] != "").any():
        yield "Where an interval would span half of the scale, the cell says what there are too few of."
    table, counts = shared(aurocs), aurocs.groupby("column", sort=False)["row"].nunique()
    if left_out := [f"{name} ({count})" for name, count in counts.items() if name not in table]:
        yield f"Too few classes for a mean: {', '.join(left_out)}."
    if table.empty:
        yield "The models share no class, and have no means that could be compared."
    elif len(table) < aurocs["row"].nunique():
        whose = "the other models share" if left_out else "all models share"
        yield f"Means are over the {len(table)} classes that {whose}."
    fair = rivals(aurocs)
    yield verdict(aurocs, comparison)
    if set(counts.index) != set(fair["column"]):
        reason = "know more than normal images (labels, other data)"
        if fair["family"].isin(["labelled", "pretrained"]).all():
            reason = "know other things than most"
        yield f"Models that {reason}, or were not measured soundly, are not compared."
    yield from baselines_ahead(fair)
    for source in (known["source"] + "; " + known["caveat"]).unique():
        yield f"Published figures: {source.rstrip('; ')}."


def verdict(aurocs: pd.DataFrame, comparison: Comparison) -> str:
    """A sentence on whether a model is above every other by the test; "" for a single model."""
    if comparison.best:
        compared = set(comparison.ranks["model"])
        scope = "" if set(aurocs["column"]) == compared else " of those compared"
        return f"* above every other model{scope} (Wilcoxon over classes, Holm-corrected p < 0.05)."
    if len(comparison.ranks) < 2:
        return ""
    none = "none is above every other by the test."
    return f"No model is marked as best: {none if comparison.tested else why_untested(comparison)}"


def why_untested(comparison: Comparison) -> str:
    pairs = len(comparison.pairs)
    of_pairs = f" {pairs} pairs of models" if pairs > 1 else ""
    return (
        f"{comparison.classes} shared class(es) are too few to test{of_pairs} "
        f"({fewest_classes(pairs)} are needed)."
    )


def baselines_ahead(aurocs: pd.DataFrame) -> Iterator[str]:
    """A sentence where a baseline's mean over shared classes is above every GAN's."""
    family = aurocs.drop_duplicates("column").set_index("column")["family"]
    means = class_means(aurocs)["mean"]
    baselines, gans = (means[family[means.index] == name] for name in ("baseline", "GAN"))
    ahead = round(baselines.max(), 3) > round(gans.max(), 3)  # as the table has them
    if family.notna().all() and ahead:  # older rows do not name the family
        scope = "GAN" if len(gans) == (family == "GAN").sum() else "GAN that has a mean"
        yield (
            f"The baseline {baselines.index[0]} ({baselines.iloc[0]:.3f}) is above every {scope} "
            f"in the mean; the best of them is {gans.index[0]} ({gans.iloc[0]:.3f})."
        )
