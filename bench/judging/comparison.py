"""Confidence intervals over seeds and test images, and comparisons of models over classes."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from bench.judging.metrics import auroc, checked, delong_interval

FEWEST_CLASSES = 6  # with fewer, not even a model that wins every class gets a two-sided Wilcoxon p below 0.05
ALPHA = 0.05


def resampled_counts(rng: np.random.Generator, images: int, draws: int) -> NDArray[np.int32]:
    """How often each image is in each bootstrap sample: (images, draws)."""
    drawn = rng.integers(0, images, size=(images, draws)) * draws + np.arange(draws)
    return np.bincount(drawn.ravel(), minlength=images * draws).reshape(images, draws).astype(np.int32)


def bootstrap_aurocs(
    runs: Sequence[tuple[ArrayLike, ArrayLike]], draws: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """AUROC of every run on bootstrap samples of the test images, which all runs share: (runs, draws).

    Images are drawn within normal and abnormal ones apart. Nothing is sorted again: a sample is a count for each
    image, and AUROC is a sum over abnormal images of the normal counts below them (half of those level with them).
    """
    truth = checked(*runs[0])[0]
    abnormal, normal = int(truth.sum()), int((~truth).sum())
    ordered = []
    for labels, scores in runs:
        these, values = checked(labels, scores)
        if not np.array_equal(these, truth):
            raise ValueError("the runs were not tested on the same images: their labels differ")
        order = np.argsort(values[~truth])
        below = np.searchsorted(values[~truth][order], values[truth])
        not_above = np.searchsorted(values[~truth][order], values[truth], side="right")
        ordered.append((order, below, not_above))
    areas = np.empty((len(runs), draws))
    step = max(1, 1_000_000 // len(truth))  # as many draws at once as stay in the processor's cache
    for start in range(0, draws, step):
        width = min(step, draws - start)
        of_abnormal, of_normal = (resampled_counts(rng, images, width) for images in (abnormal, normal))
        for area, (order, below, not_above) in zip(areas, ordered, strict=True):
            counted = np.zeros((normal + 1, width), np.int32)
            np.cumsum(of_normal[order], axis=0, out=counted[1:])
            twice = np.einsum("id,id->d", of_abnormal, counted[below] + counted[not_above], dtype=np.int64)
            area[start : start + width] = twice / (2 * abnormal * normal)
    return areas


def mean_interval(
    runs: Sequence[tuple[ArrayLike, ArrayLike]], level: float = 0.95, draws: int = 2000, seed: int = 0
) -> tuple[float, float, float]:
    """Mean AUROC of runs (labels, scores) of one task under several seeds, and its confidence interval (low, high).

    A percentile bootstrap over both: each draw is the mean of all runs on drawn test images (within each label, the
    same images for every run) plus how far drawn seeds' mean lies from that of all seeds. Drawing from K seeds
    understates their spread: their variance by (K - 1) / K, and normal tails stand where Student's belong. The seeds'
    part is widened by both factors (after the expanded percentile interval of Hesterberg 2015, The American
    Statistician 69(4)). The noise of single images enters both parts: with few test images the interval errs on the
    wide side. **With one run it takes in the test images alone**: where another seed would lie is then unknown.
    Where drawing images says nothing (no two draws differ, or a class has one image) the interval is at least as wide
    as the runs' own (`delong_interval`).
    """
    rng = np.random.default_rng(seed)
    observed = np.array([auroc(*run) for run in runs])
    mean, number, quantile = float(observed.mean()), len(runs), (1 + level) / 2
    samples = by_images = bootstrap_aurocs(runs, draws, rng).mean(axis=0)
    if number > 1:
        from scipy.special import ndtri, stdtrit

        widening = np.sqrt(number / (number - 1)) * stdtrit(number - 1, quantile) / ndtri(quantile)
        drawn = observed[rng.integers(0, number, size=(draws, number))].mean(axis=1)
        samples = samples + widening * (drawn - mean)
    low, high = np.clip(np.quantile(samples, [1 - quantile, quantile]), 0, 1)
    if np.ptp(by_images) == 0 or min(np.bincount(checked(*runs[0])[0])) == 1:
        lows, highs = zip(*(delong_interval(*run, level=level) for run in runs), strict=True)
        low, high = min(low, np.mean(lows)), max(high, np.mean(highs))
    return mean, float(low), float(high)


@dataclass(frozen=True)
class Comparison:
    """Models compared over classes.

    ranks: one row a model, best first: model, mean, average_rank (1 is best, ties share), best (better than every
    other model by the corrected test). pairs: one row a pair: better, worse, difference (of the means), p, p_holm,
    differ. Without enough classes p, p_holm and friedman_p are NaN: not tested.
    """

    ranks: pd.DataFrame
    pairs: pd.DataFrame
    classes: int
    friedman_p: float

    @property
    def tested(self) -> bool:
        return self.classes >= FEWEST_CLASSES


def compare(table: pd.DataFrame) -> Comparison:
    """Compares models (columns) over classes (rows) by AUROC; classes that some model lacks are left out.

    Paired two-sided Wilcoxon signed-rank tests with Holm's correction over all pairs, average ranks and Friedman's
    test (from three models on), after Demsar 2006 (JMLR 7). The test takes classes for independent samples. They are
    not quite: in leave-one-class-out any two of them share most training images. So a p-value here is optimistic.
    """
    table = table.dropna()
    means = table.mean().sort_values(ascending=False, kind="stable")
    pairs = pd.DataFrame(
        [(a, b, means[a] - means[b], np.nan) for a, b in itertools.combinations(means.index, 2)],
        columns=["better", "worse", "difference", "p"],
    ).assign(p_holm=np.nan)
    friedman = np.nan
    if len(table) >= FEWEST_CLASSES and len(pairs):
        from scikit_posthocs import posthoc_wilcoxon
        from scipy import stats

        long = table.melt(var_name="model", value_name="auroc")
        for column, correction in (("p", None), ("p_holm", "holm")):
            with np.errstate(invalid="ignore"):  # two models level on every class: SciPy divides 0 by 0, and gives 1
                tested = posthoc_wilcoxon(long, "auroc", "model", p_adjust=correction)
            pairs[column] = [tested.loc[a, b] for a, b in zip(pairs["better"], pairs["worse"], strict=True)]
        if len(means) > 2:
            friedman = float(stats.friedmanchisquare(*table.to_numpy().T).pvalue)
    pairs["differ"] = pairs["p_holm"] < ALPHA
    ranks = pd.DataFrame({"mean": means, "average_rank": table.rank(axis=1, ascending=False).mean()}).loc[means.index]
    ranks = ranks.rename_axis("model").reset_index()
    undecided = pairs.loc[~pairs["differ"], "better"]
    ranks["best"] = (ranks.index == 0) & (len(ranks) > 1) & ~ranks["model"].isin(undecided)
    return Comparison(ranks, pairs, len(table), friedman)
