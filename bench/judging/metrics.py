"""How well scores tell abnormal images from normal ones; METRICS is the table of all metrics.

Labels: 1 is abnormal; a higher score is more anomalous. The code is our own, since importing
scikit-learn's metrics would cost every command 2 s; tests/test_metrics.py compares the two.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
SAME = 1e-6  # AUROCs that differ by no more are the same


def checked(labels: ArrayLike, scores: ArrayLike) -> tuple[NDArray[np.bool_], Floats]:
    """Labels as bool (N,) and scores as float64 (N,).

    ValueError where no metric is defined for them.
    """
    truth, values = np.asarray(labels), np.asarray(scores, dtype=np.float64)
    if truth.shape != values.shape or truth.ndim != 1:
        raise ValueError(
            f"labels and scores must be two lists of one length, not {truth.shape} and "
            f"{values.shape}"
        )
    if not np.isin(truth, (0, 1)).all():
        raise ValueError("labels must be 0 (normal) or 1 (abnormal)")
    if not np.isfinite(values).all():
        raise ValueError(f"{(~np.isfinite(values)).sum()} of {len(values)} scores are not finite")
    truth = truth.astype(bool)
    if truth.all() or not truth.any():
        raise ValueError(
            f"both classes are needed: {truth.sum()} of {len(truth)} images are abnormal"
        )
    return truth, values


def placements(labels: ArrayLike, scores: ArrayLike) -> tuple[Floats, Floats]:
    """For each abnormal image the share of normal ones that score lower; for each normal one the
    share of abnormal ones that score higher.

    Ties count half. The mean of either array is the AUROC.
    """
    truth, values = checked(labels, scores)
    abnormal, normal = np.sort(values[truth]), np.sort(values[~truth])

    return (
        twice_below(values[truth], normal) / (2 * len(normal)),
        1 - twice_below(values[~truth], abnormal) / (2 * len(abnormal)),
    )


def twice_below(values: Floats, reference: Floats) -> NDArray[np.int64]:
    """For each value: twice how many of the sorted `reference` are lower; a tie counts half."""
    return np.searchsorted(reference, values) + np.searchsorted(reference, values, side="right")


def auroc(labels: ArrayLike, scores: ArrayLike) -> float:
    """Area under the ROC curve, in [0, 1].

    It is never flipped, so worse than chance is under 0.5. It is counted in whole numbers, so that
    equal areas are equal to the last bit: it chooses epochs and weights, with rules for ties.
    """
    truth, values = checked(labels, scores)
    abnormal, normal = np.sort(values[truth]), np.sort(values[~truth])  # sorted: twice as fast
    return int(twice_below(abnormal, normal).sum()) / (2 * len(normal) * len(abnormal))


def positives(labels: ArrayLike, scores: ArrayLike) -> tuple[Floats, Floats]:
    """True and false positives at every threshold, from (0, 0) to all images; the highest first."""
    truth, values = checked(labels, scores)
    order = np.argsort(-values, kind="stable")
    last_of_ties = np.append(np.diff(values[order]) != 0, True)
    hits = np.cumsum(truth[order])[last_of_ties]
    alarms = np.flatnonzero(last_of_ties) + 1 - hits
    return np.concatenate([[0.0], hits]), np.concatenate([[0.0], alarms])


def roc(labels: ArrayLike, scores: ArrayLike) -> tuple[Floats, Floats]:
    """False and true positive rates at every threshold, from (0, 0) to (1, 1)."""
    hits, alarms = positives(labels, scores)
    return alarms / alarms[-1], hits / hits[-1]


def average_precision(labels: ArrayLike, scores: ArrayLike) -> float:
    """The precision at each threshold, weighted by the recall that it adds; not interpolated."""
    hits, alarms = positives(labels, scores)
    return float(np.sum(np.diff(hits / hits[-1]) * (hits[1:] / (hits + alarms)[1:])))


def fpr95(labels: ArrayLike, scores: ArrayLike) -> float:
    """The lowest false positive rate of any threshold with at least 95 % true positives."""
    fpr, tpr = roc(labels, scores)
    return float(fpr[tpr >= 0.95].min())


def equal_error_rate(labels: ArrayLike, scores: ArrayLike) -> float:
    """Where false positives and false negatives are equally frequent, between thresholds too."""
    fpr, tpr = roc(labels, scores)
    excess = fpr - (1 - tpr)  # rises from -1 to 1
    return float(np.interp(0.0, excess, fpr))


def best_f1(labels: ArrayLike, scores: ArrayLike) -> float:
    """The highest F1 of any threshold."""
    hits, alarms = positives(labels, scores)
    return float((2 * hits / (hits + alarms + hits[-1])).max())


@dataclass(frozen=True)
class Metric:
    """What the tables say of a figure, and the function of labels and scores that gives it."""

    title: str
    compute: Callable[[ArrayLike, ArrayLike], float] | None = None
    higher_is_better: bool = True
    fits_threshold: bool = False  # to these images: a threshold that is set beforehand does worse


METRICS = {
    "auroc": Metric("AUROC", auroc),
    "ap": Metric("AP", average_precision),
    "fpr95": Metric("FPR at 95 % TPR", fpr95, higher_is_better=False, fits_threshold=True),
    "eer": Metric("EER", equal_error_rate, higher_is_better=False, fits_threshold=True),
    "f1": Metric("best F1", best_f1, fits_threshold=True),
}


def evaluate(labels: ArrayLike, scores: ArrayLike) -> dict[str, float]:
    """All metrics of one run, by their names in METRICS."""
    return {
        name: metric.compute(labels, scores) for name, metric in METRICS.items() if metric.compute
    }
