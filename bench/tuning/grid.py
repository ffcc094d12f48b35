"""The points of a search space that --searcher grid tries."""

import itertools
import math
from typing import Any

import numpy as np
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from bench.tuning.spaces import Space

GRID_POINTS = 3  # of a range without steps


def grid_points(distribution: BaseDistribution) -> list[Any]:
    """A distribution's points in a grid: all choices, or all steps of a stepped range.

    Of another range, GRID_POINTS points, evenly spaced on its scale (linear or logarithmic).
    """
    if isinstance(distribution, CategoricalDistribution):
        return list(distribution.choices)
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    low, high, step = distribution.low, distribution.high, distribution.step
    whole = isinstance(distribution, IntDistribution)
    if step and not (whole and step == 1):  # Optuna's for whole numbers without steps
        return [int(v) if whole else float(v) for v in np.arange(low, high + step / 2, step)]
    spaced = np.geomspace if distribution.log else np.linspace
    points = spaced(low, high, GRID_POINTS)
    if whole:
        return sorted({round(point) for point in points})
    return [float(point) for point in points]


def count(space: Space) -> float:
    """How many points a space has; infinitely many where it has a range of real numbers."""

    def points(d: BaseDistribution) -> float:
        if isinstance(d, CategoricalDistribution):
            return len(d.choices)
        assert isinstance(d, FloatDistribution | IntDistribution)
        return 1 + round((d.high - d.low) / d.step) if d.step else 1 if d.single() else math.inf

    return math.prod(map(points, space.values()))


def grid(space: Space, seed: int) -> list[dict[str, Any]]:
    """Every point of the space's grid, in a seeded order that spreads the first few over it."""
    product = itertools.product(*map(grid_points, space.values()))
    points = [dict(zip(space, values, strict=True)) for values in product]
    return [points[i] for i in np.random.default_rng(seed).permutation(len(points))]
