"""Comparisons of models over classes."""

import itertools
from dataclasses import dataclass

import numpy as np
import pandas as pd

# With fewer, not even a model that wins every class gets a two-sided Wilcoxon p below 0.05.
FEWEST_CLASSES = 6
ALPHA = 0.05
MOST_CLASSES_EXACT = 13  # 2^13 combinations of signs; SciPy's limit too


@dataclass(frozen=True)
class Comparison:
    """Models compared over classes.

    ranks: one row per model, best first: model, mean, average_rank (1 is best, ties share), best
    (better than every other model by the corrected test). pairs: one row per pair: better, worse,
    difference (of the means), p, p_holm, differ. Without enough classes p, p_holm and friedman_p
    are NaN: not tested.
    """

    ranks: pd.DataFrame
    pairs: pd.DataFrame
    classes: int
    friedman_p: float

    @property
    def tested(self) -> bool:
        return self.classes >= FEWEST_CLASSES


def compare(table: pd.DataFrame) -> Comparison:
    """Compares models (columns) over classes (rows) by AUROC.

    Classes that some model lacks are left out.

    Paired two-sided Wilcoxon signed-rank tests with Holm's correction over all pairs, average ranks
    and Friedman's test (from three models on), after Demsar 2006 (JMLR 7). The test takes classes
    for independent samples. They are not quite: in leave-one-class-out any two of them share most
    training images. So a p-value here is optimistic.
    """
    table = table.dropna()
    means = table.mean().sort_values(ascending=False, kind="stable")
    pairs = pd.DataFrame(
        [(a, b, means[a] - means[b], np.nan) for a, b in itertools.combinations(means.index, 2)],
        columns=["better", "worse", "difference", "p"],
    ).assign(p_holm=np.nan)
    friedman = np.nan
    if len(table) >= FEWEST_CLASSES and len(pairs):
        from scipy import stats
        from statsmodels.stats.multitest import multipletests

        pairs["p"] = [
            wilcoxon(table[a] - table[b])
            for a, b in zip(pairs["better"], pairs["worse"], strict=True)
        ]
        pairs["p_holm"] = multipletests(pairs["p"], method="holm")[1]
        if len(means) > 2:
            friedman = float(stats.friedmanchisquare(*table.to_numpy().T).pvalue)
    pairs["differ"] = pairs["p_holm"] < ALPHA
    ranks = pd.DataFrame(
        {"mean": means, "average_rank": table.rank(axis=1, ascending=False).mean()}
    ).loc[means.index]
    ranks = ranks.rename_axis("model").reset_index()
    undecided = pairs.loc[~pairs["differ"], "better"]
    ranks["best"] = (ranks.index == 0) & (len(ranks) > 1) & ~ranks["model"].isin(undecided)
    return Comparison(ranks, pairs, len(table), friedman)


def wilcoxon(differences: pd.Series) -> float:
    """The two-sided p of Wilcoxon's signed-rank test of classes; 1 where hardly any differ.

    As scipy.stats.wilcoxon gives it, which tries all signs one after the other where differences
    tie: half a second for ten of them. Here SciPy tries them all at once.
    """
    from scipy import stats

    different = differences[differences != 0].to_numpy()
    if len(different) < 2:  # no sign says more than another
        return 1.0
    if len(different) > MOST_CLASSES_EXACT:
        return float(stats.wilcoxon(different).pvalue)
    ranks = np.sign(different) * stats.rankdata(np.abs(different))
    test = stats.permutation_test(
        (ranks,),
        lambda signed, axis: signed.clip(min=0).sum(axis),
        permutation_type="samples",
        n_resamples=np.inf,
        vectorized=True,
    )
    return float(test.pvalue)
