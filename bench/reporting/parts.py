"""What the parts of an anomaly score are worth, each by itself and in the score."""

import math
from collections import Counter
from typing import Any

import numpy as np
import pandas as pd

from bench.judging.metrics import auroc
from bench.reporting.frames import Scores, with_scores
from bench.reporting.writers import Table

ALONE = " alone"  # suffix of the columns with the AUROC of one part
DOMINANT = 0.95  # of the score's variance, and of its ranks': a part with more dominates


def variance_shares(scores: pd.DataFrame) -> dict[str, float]:
    """Each part's share of the score's variance, by its name.

    A score is a weighted sum of its parts, so least squares gives the weights back. A share is the
    covariance of the weighted part with the score over the score's variance: shares add up to 1,
    and a part that goes against the others has a negative one. NaN where all scores are equal, or
    are not such a sum.
    """
    names = [name for name in map(str, scores) if name.startswith("part_")]
    if not names:
        return {}
    # Column by column: pandas takes ten times as long for several.
    table = np.column_stack([scores[name].to_numpy(float) for name in (*names, "scores")])
    table -= table.mean(axis=0)
    parts, score = table[:, :-1], table[:, -1]
    scale = parts.std(axis=0)
    parts /= np.where(scale == 0, 1, scale)
    weighted = parts * np.linalg.lstsq(parts, score)[0]
    with np.errstate(invalid="ignore"):  # 0 / 0 where all scores are alike
        shares = score @ weighted / (score @ score)
    adds_up = abs(shares.sum() - 1) < 0.01
    return {
        name.removeprefix("part_"): float(share) if adds_up else np.nan
        for name, share in zip(names, shares, strict=True)
    }


def parts_table(finals: pd.DataFrame, scores: Scores) -> Table | None:
    """Each part's AUROC by itself, and its share of the score's variance: means over seeds."""
    rows: list[dict[str, Any]] = []
    for run, frame in with_scores(finals, scores):
        row: dict[str, Any] = {
            "class": run["row"],
            "model": run["column"],
            "whole score": run["test_auroc"],
            "default mix": run["test_default_mix_auroc"],
        }
        for name, share in variance_shares(frame).items():
            row[f"{name}{ALONE}"] = auroc(frame["labels"], frame[f"part_{name}"])
            row[f"{name}, share"] = share
            row[f"{name}, weight"] = run.get(f"mix_{name}", math.nan)
        if len(row) > 4:
            rows.append(row)
    if not rows:
        return None
    table = pd.DataFrame(rows).groupby(["class", "model"], sort=False).mean().reset_index()
    alone = [name for name in table if name.endswith(ALONE)]
    table["strongest part"] = table[alone].idxmax(axis=1).str.removesuffix(ALONE)
    table = table.dropna(axis=1, how="all")
    note = (
        "Alone: AUROC of a part taken as the score by itself; share: its share of the score's "
        "variance over the test images; means over seeds. One outlier can make a share large. "
        "Where parts are negatively correlated, shares can be below 0 and above 1."
    )
    if "default mix" in table:
        note += (
            " Default mix: AUROC of the standardised parts, mixed by the model's default weights; "
            "weight: a part's weight in the score, chosen on validation images if the study's "
            "signal depends on the score."
        )
    return Table("parts", "Which part of the score carries the signal", table, note)


def dominated(finals: pd.DataFrame, scores: Scores) -> list[str]:
    """A line on each model whose score is almost one part alone, though it has several."""
    parts: Counter[tuple[str, str]] = Counter()
    for run, frame in with_scores(finals, scores):
        for name, share in variance_shares(frame).items():
            part, score = frame[f"part_{name}"], frame["scores"]
            if share > DOMINANT and (score != part).any():
                # One outlier can have nearly all the variance, and leaves the ranks alone.
                parts[run["model"], name] += score.corr(part, method="spearman") ** 2 > DOMINANT
    runs = finals["model"].value_counts()
    return [
        f"{model}: in {count} of {runs[model]} final runs its {name} part has more than "
        f"{DOMINANT * 100:.0f} % of the score's variance, and the others hardly count"
        for (model, name), count in parts.most_common()
        if count
    ]
