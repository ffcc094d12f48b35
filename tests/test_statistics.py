"""Intervals against a brute-force bootstrap and by coverage; comparisons against SciPy and statsmodels."""

import time

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.multitest import multipletests

from bench.judging.comparison import bootstrap_aurocs, compare, mean_interval
from bench.judging.metrics import auroc, delong_interval


def make_runs(rng, seeds: int, *, spread: float, normal=80, abnormal=40, decimals=9) -> list:
    """Runs of seeds whose networks differ in strength, on images that are equally hard for all of them."""
    labels = rng.permutation(np.repeat([0, 1], [normal, abnormal]))
    hard = rng.normal(size=len(labels))
    strengths = 1 + spread * rng.normal(size=seeds)
    noise = 0.3 * rng.normal(size=(seeds, len(labels)))
    return [(labels, (hard + n + s * labels).round(decimals)) for n, s in zip(noise, strengths, strict=True)]


def test_bootstrap_draws_images_within_labels_and_shares_them():
    runs = make_runs(np.random.default_rng(0), 3, spread=0.5, decimals=1)
    found = bootstrap_aurocs(runs, 4000, np.random.default_rng(1))
    rng, labels = np.random.default_rng(2), runs[0][0]
    expected = []
    for _ in range(3000):
        abnormal, normal = (rng.choice(np.flatnonzero(labels == k), (labels == k).sum()) for k in (1, 0))
        wins = [np.sign(s[abnormal][:, None] - s[normal]) / 2 + 0.5 for _, s in runs]
        expected.append([w.mean() for w in wins])
    expected = np.transpose(expected)
    assert found.mean(axis=1) == pytest.approx(expected.mean(axis=1), abs=0.005)
    assert np.cov(found) == pytest.approx(np.cov(expected), rel=0.15)
    assert np.corrcoef(found)[0, 1] > 0.5  # the images are shared


def test_interval_of_one_run_is_that_of_its_test_images():
    ((labels, scores),) = make_runs(np.random.default_rng(3), 1, spread=0)
    mean, low, high = mean_interval([(labels, scores)])
    assert mean == auroc(labels, scores)
    assert (low, high) == pytest.approx(delong_interval(labels, scores), abs=0.015)


def test_interval_of_several_runs_takes_in_seeds_and_images():
    runs = make_runs(np.random.default_rng(4), 4, spread=0.3)
    areas = np.array([auroc(*run) for run in runs])
    mean, low, high = mean_interval(runs, draws=20_000)
    images = bootstrap_aurocs(runs, 4000, np.random.default_rng(5)).mean(axis=0)
    assert mean == pytest.approx(areas.mean())
    # Student's interval over seeds and the images' variance, added by hand
    seeds = areas.std(ddof=1) / 2 * stats.t.ppf(0.975, 3) / stats.norm.ppf(0.975)
    assert (high - low) / 2 == pytest.approx(1.96 * np.hypot(seeds, images.std()), rel=0.12)


@pytest.mark.parametrize(("seeds", "spread"), [(3, 0.3), (5, 0.3), (5, 0.02)])
def test_interval_covers_the_true_mean(seeds, spread):
    rng = np.random.default_rng(6)
    strengths = 1 + spread * rng.normal(size=100_000)
    true = stats.norm.cdf(strengths / np.sqrt(2 * (1 + 0.3**2))).mean()
    hits = 0
    for trial in range(200):
        _, low, high = mean_interval(make_runs(rng, seeds, spread=spread), draws=400, seed=trial)
        hits += low <= true <= high
    assert 0.92 <= hits / 200 <= 1


def test_interval_where_every_run_separates_the_classes():
    labels = np.repeat([0, 1], [30, 20])
    assert mean_interval([(labels, labels), (labels, 2 * labels)]) == (1.0, *delong_interval(labels, labels))


@given(
    st.integers(1, 4).flatmap(
        lambda seeds: st.lists(st.tuples(st.booleans(), *[st.integers(0, 2)] * seeds), min_size=2, max_size=30).filter(
            lambda images: {label for label, *_ in images} == {False, True}
        )
    )
)
@settings(deadline=None)
def test_an_interval_always_has_a_width(images):
    """Constant scores, perfect ones, single images: no variance is no certainty."""
    labels, *scores = np.array(images, int).T
    mean, low, high = mean_interval([(labels, s) for s in scores], draws=200)
    assert 0 <= low < high <= 1
    assert low - 1e-9 <= mean <= high + 1e-9


def test_interval_of_constant_scores_is_that_of_their_images():
    labels = np.repeat([0, 1], [30, 20])
    constant = labels, np.zeros(50)
    assert mean_interval([constant] * 3) == (0.5, *delong_interval(*constant))
    _, low, high = mean_interval([constant, (labels, labels)])
    assert low <= (0.5 * 0.025 ** (1 / 20) + 0.025 ** (1 / 20)) / 2
    assert high >= 0.75
    assert mean_interval([(np.repeat([0, 1], [99, 1]), np.arange(100) % 99)])[1:] == (0, 1), "a single abnormal image"


def test_interval_depends_on_its_seed_only():
    runs = make_runs(np.random.default_rng(7), 2, spread=0.1)
    assert mean_interval(runs, seed=1) == mean_interval(runs, seed=1) != mean_interval(runs, seed=2)


def test_runs_must_share_their_test_images():
    labels = np.array([0, 1, 1])
    with pytest.raises(ValueError, match="same images"):
        mean_interval([(labels, [1, 2, 3]), (labels[::-1], [1, 2, 3])])


def test_interval_of_ten_thousand_images_is_quick():
    runs = make_runs(np.random.default_rng(8), 5, spread=0.1, normal=9000, abnormal=1000)
    start = time.process_time()
    mean_interval(runs, draws=1000)
    assert time.process_time() - start < 3


def make_table(classes: int, *levels: float) -> pd.DataFrame:
    rng = np.random.default_rng(9)
    return pd.DataFrame({f"m{i}": level + 0.05 * rng.normal(size=classes) for i, level in enumerate(levels)})


def test_comparison_is_that_of_scipy_and_statsmodels():
    table = make_table(10, 0.6, 0.9, 0.62)
    found = compare(table)
    pairs = [("m1", "m2"), ("m1", "m0"), ("m2", "m0")]
    p = [stats.wilcoxon(table[a], table[b]).pvalue for a, b in pairs]
    assert list(zip(found.pairs["better"], found.pairs["worse"], strict=True)) == pairs
    assert found.pairs["p"].tolist() == pytest.approx(p)
    assert found.pairs["p_holm"].tolist() == pytest.approx(multipletests(p, method="holm")[1])
    assert found.pairs["differ"].tolist() == [True, True, False]
    assert found.pairs["difference"].iloc[0] == pytest.approx(table["m1"].mean() - table["m2"].mean())
    assert found.friedman_p == pytest.approx(stats.friedmanchisquare(*table.T.to_numpy()).pvalue)
    ranks = pd.Series(stats.rankdata(-table, axis=1).mean(axis=0), index=table.columns)
    assert found.ranks["average_rank"].tolist() == pytest.approx(ranks[found.ranks["model"]].tolist())
    assert found.ranks[["model", "best"]].to_numpy().tolist() == [["m1", True], ["m2", False], ["m0", False]]


def test_no_model_is_best_where_two_are_level():
    found = compare(make_table(10, 0.9, 0.5, 0.9))
    assert not found.ranks["best"].any()
    assert found.pairs["differ"].sum() == 2


def test_too_few_classes_are_not_tested():
    found = compare(make_table(5, 0.2, 0.9, 0.5))
    assert not found.tested
    assert found.pairs[["p", "p_holm"]].isna().all(axis=None)
    assert np.isnan(found.friedman_p)
    assert not found.pairs["differ"].any()
    assert not found.ranks["best"].any()
    assert found.ranks["average_rank"].tolist() == [1, 2, 3]
    # the reason for six: the least p that five classes can give
    assert stats.wilcoxon([1, 2, 3, 4, 5]).pvalue > 0.05 > stats.wilcoxon([1, 2, 3, 4, 5, 6]).pvalue


def test_classes_that_a_model_lacks_are_left_out():
    table = make_table(8, 0.5, 0.9)
    table.loc[2, "m1"] = np.nan
    assert compare(table).classes == 7
    assert compare(table).pairs["p"].item() == stats.wilcoxon(*table.drop(2).to_numpy().T).pvalue


def test_equal_models_do_not_differ():
    table = make_table(8, 0.5)
    found = compare(table.assign(twin=table["m0"]))
    assert found.pairs["p"].tolist() == [1.0]
    assert found.ranks["average_rank"].tolist() == [1.5, 1.5]


@pytest.mark.parametrize("classes", [0, 1, 10])
def test_one_model_is_compared_with_nothing(classes):
    found = compare(make_table(classes, 0.9))
    assert found.pairs.empty
    assert found.ranks["best"].tolist() == [False]
