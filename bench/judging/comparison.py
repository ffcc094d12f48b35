"""Comparisons of models over classes."""

import itertools
import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

ALPHA = 0.05
MOST_CLASSES_EXACT = 13  # 2^13 combinations of signs; SciPy's limit too


@dataclass(frozen=True)
class Comparison:
    """Models compared over classes.

    ranks: one row per model, best first: model, mean, average_rank (1 is best, ties share), best
    (better than every other model by the corrected test). pairs: one row per pair: better, worse,
    difference (of the means), p, p_holm, agree (the test's ranks favour the higher mean), differ
    (p_holm is below ALPHA, and they agree). With too few classes for a single pair p, p_holm and
    friedman_p are NaN.
    """

    ranks: pd.DataFrame
    pairs: pd.DataFrame
    classes: int
    friedman_p: float

    @property
    def best(self) -> list[str]:
        """A list of the model that is better than every other; empty if none is."""
        return self.ranks.loc[self.ranks["best"], "model"].tolist()

    @property
    def tested(self) -> bool:
        """Whether there are enough classes for any pair to differ."""
        return self.classes >= fewest_classes(len(self.pairs))


def fewest_classes(pairs: int = 1) -> int:
    """How many classes it takes to tell two models apart, where `pairs` of models are compared.

    The smallest two-sided Wilcoxon p, of a model that is ahead on all n classes, is 2^(1 - n); Holm
    multiplies it by the number of pairs.
    """
    return math.floor(1 + math.log2(max(pairs, 1) / ALPHA)) + 1


def compare(table: pd.DataFrame) -> Comparison:
    """Compares models (columns) over classes (rows) by AUROC.

    Classes that some model lacks are left out.

    Paired two-sided Wilcoxon signed-rank tests with Holm's correction over all pairs, average ranks
    and Friedman's test (from three models on), after Demsar 2006 (JMLR 7). The tests assume that
    classes are independent samples. They are not quite: in leave-one-class-out any two of them
    share most training images. So these p-values are optimistic.
    """
    table = table.dropna().round(12)  # means of equal figures can differ in the last bits
    means = table.mean().sort_values(ascending=False, kind="stable")
    pairs = pd.DataFrame(
        [(a, b, means[a] - means[b], np.nan) for a, b in itertools.combinations(means.index, 2)],
        columns=["better", "worse", "difference", "p"],
    ).assign(p_holm=np.nan)
    friedman = np.nan
    names = list(zip(pairs["better"], pairs["worse"], strict=True))
    pairs["agree"] = [signed_ranks(table[a] - table[b]).sum() > 0 for a, b in names]
    if len(table) >= fewest_classes() and len(pairs):
        from scipy import stats
        from statsmodels.stats.multitest import multipletests

        pairs["p"] = [wilcoxon(table[a] - table[b]) for a, b in names]
        pairs["p_holm"] = multipletests(pairs["p"], method="holm")[1]
        if len(means) > 2:
            with np.errstate(invalid="ignore"):  # all models equal on all classes: NaN
                friedman = float(stats.friedmanchisquare(*table.to_numpy().T).pvalue)
    pairs["differ"] = (pairs["p_holm"] < ALPHA) & pairs["agree"]
    ranks = pd.DataFrame(
        {"mean": means, "average_rank": table.rank(axis=1, ascending=False).mean()}
    ).loc[means.index]
    ranks = ranks.rename_axis("model").reset_index()
    undecided = pairs.loc[~pairs["differ"], "better"]
    ranks["best"] = (ranks.index == 0) & (len(ranks) > 1) & ~ranks["model"].isin(undecided)
    return Comparison(ranks, pairs, len(table), friedman)


def signed_ranks(differences: pd.Series) -> np.ndarray:
    """The ranks of the differences' sizes, with their signs; those of 0 are left out."""
    from scipy import stats

    rounded = differences.round(12)  # equal ones can differ in the last bits
    different = rounded[rounded != 0].to_numpy()
    return np.sign(different) * stats.rankdata(np.abs(different))


def wilcoxon(differences: pd.Series) -> float:
    """The two-sided p of Wilcoxon's signed-rank test over classes; 1 where fewer than two differ.

    The same p as from scipy.stats.wilcoxon. Where differences tie, that function tries the
    combinations of signs one by one, which takes half a second for ten classes; permutation_test
    tries them all at once.
    """
    from scipy import stats

    ranks = signed_ranks(differences)
    if len(ranks) < 2:  # no sign says more than another
        return 1.0
    if len(ranks) > MOST_CLASSES_EXACT:
        return float(stats.wilcoxon(ranks).pvalue)
    test = stats.permutation_test(
        (ranks,),
        lambda signed, axis: signed.clip(min=0).sum(axis),
        permutation_type="samples",
        n_resamples=np.inf,
        vectorized=True,
    )
    return float(test.pvalue)
