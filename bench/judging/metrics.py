"""How well scores tell abnormal images from normal ones. Labels: 1 is abnormal; a higher score is more anomalous."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


def checked(labels: ArrayLike, scores: ArrayLike) -> tuple[NDArray[np.bool_], Floats]:
    """Labels as bool (N,) and scores as float64 (N,); ValueError where no metric is defined for them."""
    truth, values = np.asarray(labels), np.asarray(scores, dtype=np.float64)
    if truth.shape != values.shape or truth.ndim != 1:
        raise ValueError(f"labels and scores must be two lists of one length, not {truth.shape} and {values.shape}")
    if not np.isin(truth, (0, 1)).all():
        raise ValueError("labels must be 0 (normal) or 1 (abnormal)")
    if not np.isfinite(values).all():
        raise ValueError(f"{(~np.isfinite(values)).sum()} of {len(values)} scores are not finite")
    truth = truth.astype(bool)
    if truth.all() or not truth.any():
        raise ValueError(f"both classes are needed: {truth.sum()} of {len(truth)} images are abnormal")
    return truth, values


def placements(labels: ArrayLike, scores: ArrayLike) -> tuple[Floats, Floats]:
    """For each abnormal image the share of normal ones below it, for each normal one that of abnormal ones above it.

    Ties count half. The mean of either array is the AUROC.
    """
    truth, values = checked(labels, scores)
    abnormal, normal = np.sort(values[truth]), np.sort(values[~truth])

    def share_below(these: Floats, others: Floats) -> Floats:
        return (np.searchsorted(others, these) + np.searchsorted(others, these, side="right")) / (2 * len(others))

    return share_below(values[truth], normal), 1 - share_below(values[~truth], abnormal)


def auroc(labels: ArrayLike, scores: ArrayLike) -> float:
    """Area under the ROC curve, in [0, 1]; it is never flipped, so worse than chance is under 0.5."""
    return float(placements(labels, scores)[0].mean())


def roc(labels: ArrayLike, scores: ArrayLike) -> tuple[Floats, Floats]:
    """False and true positive rates at every threshold, from (0, 0) to (1, 1)."""
    truth, values = checked(labels, scores)
    order = np.argsort(-values, kind="stable")
    last_of_ties = np.append(np.diff(values[order]) != 0, True)
    hits = np.cumsum(truth[order])[last_of_ties]
    alarms = np.flatnonzero(last_of_ties) + 1
    fpr, tpr = (alarms - hits) / (~truth).sum(), hits / truth.sum()
    return np.concatenate([[0.0], fpr]), np.concatenate([[0.0], tpr])


def evaluate(labels: ArrayLike, scores: ArrayLike) -> dict[str, float]:
    """All metrics of one run.

    auroc; ap: average precision, without interpolation (as scikit-learn's); fpr95: the lowest false positive rate of
    any threshold with at least 95 % true positives; eer: where false positives and false negatives are equally
    frequent, on the line between thresholds; f1: the best of any threshold. The last two choose their threshold on
    these very images: they describe the scores, and promise nothing for a threshold set beforehand.
    """
    truth, _ = checked(labels, scores)
    fpr, tpr = roc(labels, scores)
    hits, false_alarms = tpr * truth.sum(), fpr * (~truth).sum()
    precision = hits[1:] / (hits + false_alarms)[1:]
    excess = fpr - (1 - tpr)  # rises from -1 to 1
    return {
        "auroc": auroc(labels, scores),
        "ap": float(np.sum(np.diff(tpr) * precision)),
        "fpr95": float(fpr[tpr >= 0.95].min()),
        "eer": float(np.interp(0.0, excess, fpr)),
        "f1": float((2 * hits / (hits + false_alarms + truth.sum())).max()),
    }
