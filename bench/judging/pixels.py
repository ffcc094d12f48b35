"""How well anomaly maps tell anomalous pixels from normal ones, as masks mark them.

The code is our own, since libraries that have AUPRO are heavy or bin the values. It keeps a count
for each value that the maps have, so it is exact at any size. tests/test_pixels.py has a naive
version.
"""

from typing import NamedTuple

import numpy as np

from bench.judging.metrics import Floats, Metric

LIMIT = 0.3  # AUPRO's highest false positive rate
PIXELS = {"pixel_auroc": Metric("pixel AUROC"), "aupro": Metric("AUPRO")}


class Rates(NamedTuple):
    """At every threshold from above all values down to the lowest: each from 0 to 1."""

    false_positives: Floats  # share of the normal pixels, of all images
    true_positives: Floats  # share of the anomalous pixels
    overlap: Floats  # share of each anomalous region's pixels, the mean over regions


def rates(maps: np.ndarray, masks: np.ndarray) -> Rates:
    """The rates of anomaly maps (N, H, W), higher where more anomalous, by bool masks (N, H, W).

    A region is a part of a mask whose pixels touch, if only at a corner. ValueError where normal
    or anomalous pixels are missing, or a value is not finite.
    """
    from scipy.ndimage import label  # takes a while to load

    levels = np.unique(np.concatenate([np.unique(values) for values in maps]))
    if not np.isfinite(levels).all():
        raise ValueError("an anomaly map has values that are not finite")
    normal, anomalous, shares = np.zeros((3, len(levels)))
    regions = 0
    for values, mask in zip(maps, masks, strict=True):
        places = np.searchsorted(levels, values)
        numbers, count = label(mask, structure=np.ones((3, 3)))
        weights = 1 / np.maximum(np.bincount(numbers.ravel()), 1)  # of a region's pixels
        normal += np.bincount(places[~mask], minlength=len(levels))
        anomalous += np.bincount(places[mask], minlength=len(levels))
        shares += np.bincount(places[mask], weights[numbers[mask]], minlength=len(levels))
        regions += count
    if not (normal.any() and regions):
        raise ValueError(
            f"{normal.sum():.0f} normal pixels, {regions} anomalous regions: no figure"
        )

    def above(counts: Floats, total: float) -> Floats:
        return np.concatenate([[0.0], np.cumsum(counts[::-1])]) / total

    parts = (normal, normal.sum()), (anomalous, anomalous.sum()), (shares, regions)
    return Rates(*(above(counts, total) for counts, total in parts))


def aupro(curve: Rates, limit: float = LIMIT) -> float:
    """Area under the mean overlap of regions against false positives, up to `limit`; at most 1.

    Per-region overlap (Bergmann et al., arXiv:1911.02357): a small region counts as much as a large
    one. Straight lines between thresholds, as in MVTec's evaluation code.
    """
    inside = curve.false_positives <= limit
    x = np.append(curve.false_positives[inside], limit)
    y = np.append(curve.overlap[inside], np.interp(limit, curve.false_positives, curve.overlap))
    return float(np.trapezoid(y, x) / limit)


def evaluate(maps: np.ndarray, masks: np.ndarray) -> dict[str, float]:
    """The figures of PIXELS, by name; see `rates`."""
    curve = rates(maps, masks)
    area = float(np.trapezoid(curve.true_positives, curve.false_positives))  # ties count half
    return {"pixel_auroc": area, "aupro": aupro(curve)}
