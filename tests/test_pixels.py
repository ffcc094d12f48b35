"""Pixel AUROC and AUPRO against naive versions, which try every threshold and walk every region."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import roc_auc_score

from bench.judging.pixels import aupro, evaluate, rates

SHAPE = (3, 6, 5)  # images, height, width
# Few distinct values, so that ties abound, and a first image that is normal.
MAPS = arrays(np.float32, SHAPE, elements=st.integers(0, 4).map(float))
MASKS = arrays(bool, SHAPE).filter(lambda masks: masks[1:].any())
LIMITS = st.floats(0.01, 1)


def regions_of(mask: np.ndarray) -> list[np.ndarray]:
    """Each region's pixels as a mask: pixels that touch, also at a corner."""
    left, regions = {tuple(place) for place in np.argwhere(mask)}, []
    while left:
        region, edge = np.zeros_like(mask), [left.pop()]
        while edge:
            row, column = edge.pop()
            region[row, column] = True
            near = {(row + i, column + j) for i in (-1, 0, 1) for j in (-1, 0, 1)} & left
            left -= near
            edge += near
        regions.append(region)
    return regions


def naive_aupro(maps: np.ndarray, masks: np.ndarray, limit: float) -> float:
    """The area by its definition: a polygon's, cut off at the limit."""
    points = [(0.0, 0.0)]
    for threshold in sorted(set(maps.ravel()), reverse=True):
        called = maps >= threshold
        overlaps = [
            (image & region).sum() / region.sum()
            for image, mask in zip(called, masks, strict=True)
            for region in regions_of(mask)
        ]
        points.append((float(called[~masks].mean()), float(np.mean(overlaps))))
    area = 0.0
    for (x, y), (next_x, next_y) in itertools.pairwise(points):
        if x < limit and next_x > x:
            end = min(next_x, limit)
            at_end = y + (next_y - y) * (end - x) / (next_x - x)
            area += (end - x) * (y + at_end) / 2
    return area / limit


@given(MAPS, MASKS, LIMITS)
@settings(max_examples=40)
def test_aupro_is_the_naive_one(maps, masks, limit):
    masks[0] = False
    assert aupro(rates(maps, masks), limit) == pytest.approx(naive_aupro(maps, masks, limit))


@given(MAPS, MASKS)
@settings(max_examples=40)
def test_pixel_auroc_is_that_of_scikit_learn(maps, masks):
    masks[0] = False
    area = evaluate(maps, masks)["pixel_auroc"]
    assert area == pytest.approx(roc_auc_score(masks.ravel(), maps.ravel()))


@given(MAPS, MASKS, st.permutations(range(SHAPE[0])))
@settings(max_examples=40)
def test_neither_the_scale_nor_the_order_of_images_counts(maps, masks, order):
    masks[0] = False
    expected = pytest.approx(evaluate(maps, masks))
    assert evaluate(np.exp(maps)[order], masks[order]) == expected


def test_a_small_region_counts_as_much_as_a_large_one():
    """Of two regions, of 1 and 9 pixels, a map that finds one of them has half of the overlap."""
    masks = np.zeros((2, 8, 8), bool)
    masks[0, 0, 0] = masks[0, 3:6, 3:6] = True
    for corner in ((slice(0, 1), slice(0, 1)), (slice(3, 6), slice(3, 6))):
        maps = np.zeros((2, 8, 8))
        maps[0][corner] = 1
        # The curve goes straight up to a half, and from there straight to (1, 1), up to 30 %.
        assert aupro(rates(maps, masks)) == pytest.approx(0.5 + 0.5 * 0.3 / 2)
    perfect = {"pixel_auroc": 1.0, "aupro": 1.0}
    assert evaluate(masks.astype(float), masks) == pytest.approx(perfect)


def test_what_neither_is_defined_for():
    masks = np.zeros((1, 4, 4), bool)
    with pytest.raises(ValueError, match="16 normal pixels, 0 anomalous regions"):
        evaluate(np.zeros((1, 4, 4)), masks)
    with pytest.raises(ValueError, match="0 normal pixels, 1 anomalous regions"):
        evaluate(np.zeros((1, 4, 4)), ~masks)
    with pytest.raises(ValueError, match="not finite"):
        evaluate(np.full((1, 4, 4), np.nan), masks)
