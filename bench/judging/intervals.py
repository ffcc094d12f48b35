"""95 % confidence intervals of AUROC: over test images, and with several runs over seeds too."""

import math
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike

from bench.judging.metrics import checked, placements

LEVEL = 0.95  # of all intervals
ALIKE = 1e-12  # equal figures can differ in their last bits
Run = tuple[ArrayLike, ArrayLike]  # labels (1: abnormal) and scores of the same test images


def auroc_interval(runs: Sequence[Run]) -> tuple[float, float, float]:
    """Mean AUROC of runs of one task under several seeds, and its confidence interval (low, high).

    Two variances add up. The one over test images, which all runs share, is DeLong's, from ranks
    (Sun & Xu 2014, IEEE Signal Processing Letters 21(11)), of each image's placement averaged over
    the runs. The one over seeds is the runs' sample variance, with Student's quantile. Both contain
    the noise of single images, so the interval errs on the wide side. It is built on the logit
    scale, where the estimate is closer to normal and the interval stays within [0, 1]. **With one
    run it covers the test images alone**: where another seed would lie is then unknown.

    With few errors, or equal scores, the variance is almost 0 although little is certain. So the
    interval is at least as wide as the exact binomial one (Clopper-Pearson) of as many images as
    the smaller class has, if all came out alike. Near an AUROC of 1 it is then up to three times as
    wide as DeLong's, which covers too little there (89 to 94 % in simulations, for 95 %). A class
    of a single image says nothing: (0, 1).

    Raises ValueError where a run has no AUROC, or the runs were not tested on the same images.
    """
    truth = checked(*runs[0])[0]
    if any(not np.array_equal(checked(*run)[0], truth) for run in runs):
        raise ValueError("the runs were not tested on the same images: their labels differ")
    by_run = [placements(*run) for run in runs]
    of_abnormal, of_normal = (np.mean(part, axis=0) for part in zip(*by_run, strict=True))
    area, smaller = float(of_abnormal.mean()), min(len(of_abnormal), len(of_normal))
    if smaller == 1:
        return area, 0.0, 1.0
    variance = of_abnormal.var(ddof=1) / len(of_abnormal) + of_normal.var(ddof=1) / len(of_normal)
    half = NormalDist().inv_cdf((1 + LEVEL) / 2) * math.sqrt(variance)
    if len(runs) > 1:
        half = math.hypot(half, student_half_width([abnormal.mean() for abnormal, _ in by_run]))
    low, high = logit_interval(area, half) if 0 < area < 1 else (area, area)
    exact_bound = ((1 - LEVEL) / 2) ** (1 / smaller)
    return area, min(low, area * exact_bound), max(high, 1 - (1 - area) * exact_bound)


def mean_interval(values: ArrayLike) -> tuple[float, float, float]:
    """The mean of independent values and its Student interval.

    The interval is NaN for one value, and for equal values: where seeds change nothing, only what
    they share is uncertain, such as the test images.
    """
    array = np.asarray(values, float)
    half = student_half_width(array) if len(array) > 1 and np.ptp(array) > ALIKE else math.nan
    mean = float(array.mean())
    return mean, mean - half, mean + half


def student_half_width(values: ArrayLike) -> float:
    """Half the width of Student's interval of the mean of several independent values."""
    from scipy.special import stdtrit  # takes a while to load, and a single run needs none

    array = np.asarray(values, float)
    error = array.std(ddof=1) / math.sqrt(len(array))
    return float(stdtrit(len(array) - 1, (1 + LEVEL) / 2) * error)


def logit_interval(area: float, half: float) -> tuple[float, float]:
    """`area` minus and plus `half`, computed on the logit scale (by the delta method)."""
    logit, width = math.log(area / (1 - area)), half / (area * (1 - area))
    return (1 + math.tanh((logit - width) / 2)) / 2, (1 + math.tanh((logit + width) / 2)) / 2
