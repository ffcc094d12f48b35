"""Comparisons of models against SciPy, and Holm's correction by hand."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from bench.judging.comparison import compare, fewest_classes, wilcoxon


def make_table(classes: int, *levels: float) -> pd.DataFrame:
    rng = np.random.default_rng(9)
    return pd.DataFrame(
        {f"m{i}": level + 0.05 * rng.normal(size=classes) for i, level in enumerate(levels)}
    )


def test_comparison_is_that_of_scipy_with_holms_correction():
    table = make_table(10, 0.6, 0.9, 0.62)
    compared = compare(table)
    pairs = [("m1", "m2"), ("m1", "m0"), ("m2", "m0")]
    p = [stats.wilcoxon(table[a], table[b]).pvalue for a, b in pairs]
    assert list(zip(compared.pairs["better"], compared.pairs["worse"], strict=True)) == pairs
    assert compared.pairs["p"].tolist() == pytest.approx(p)
    holm = np.empty(3)
    holm[np.argsort(p)] = np.maximum.accumulate(np.sort(p) * [3, 2, 1]).clip(max=1)
    assert compared.pairs["p_holm"].tolist() == pytest.approx(holm)
    assert compared.pairs["differ"].tolist() == [True, True, False]
    difference = table["m1"].mean() - table["m2"].mean()
    assert compared.pairs["difference"].iloc[0] == pytest.approx(difference)
    assert compared.friedman_p == pytest.approx(stats.friedmanchisquare(*table.T.to_numpy()).pvalue)
    ranks = pd.Series(stats.rankdata(-table, axis=1).mean(axis=0), index=table.columns)
    expected = ranks[compared.ranks["model"]].tolist()
    assert compared.ranks["average_rank"].tolist() == pytest.approx(expected)
    assert compared.ranks["model"].tolist() == ["m1", "m2", "m0"]
    assert compared.ranks["best"].tolist() == [True, False, False]


@settings(max_examples=30)
@given(st.lists(st.integers(-4, 4), min_size=1, max_size=9).filter(any))
def test_wilcoxons_test_is_scipys_with_ties_and_zeros(differences):
    ours = wilcoxon(pd.Series(differences, dtype=float))
    assert ours == pytest.approx(stats.wilcoxon(differences).pvalue)


def test_wilcoxons_test_of_many_classes_is_scipys():
    differences = np.random.default_rng(0).integers(-3, 9, 40)
    assert wilcoxon(pd.Series(differences)) == pytest.approx(stats.wilcoxon(differences).pvalue)
    assert wilcoxon(pd.Series([0.0] * 8)) == 1


def test_no_model_is_best_where_two_are_level():
    compared = compare(make_table(10, 0.9, 0.5, 0.9))
    assert not compared.ranks["best"].any()
    assert compared.pairs["differ"].sum() == 2


def test_too_few_classes_are_not_tested():
    compared = compare(make_table(5, 0.2, 0.9, 0.5))
    assert not compared.tested
    assert compared.pairs[["p", "p_holm"]].isna().all(axis=None)
    assert np.isnan(compared.friedman_p)
    assert not compared.pairs["differ"].any()
    assert not compared.ranks["best"].any()
    assert compared.ranks["average_rank"].tolist() == [1, 2, 3]
    # the reason for six: the least p that five classes can give
    assert stats.wilcoxon([1, 2, 3, 4, 5]).pvalue > 0.05 > stats.wilcoxon([1, 2, 3, 4, 5, 6]).pvalue


@pytest.mark.parametrize("models", [2, 3, 5, 14])
def test_fewer_classes_than_are_needed_tell_no_models_apart(models: int):
    """Not even where each model is ahead of the next on every class."""
    levels, pairs = np.linspace(0.1, 0.9, models), models * (models - 1) // 2
    needed = fewest_classes(pairs)
    few, enough = (
        compare(pd.DataFrame({f"m{i}": level + np.zeros(n) for i, level in enumerate(levels)}))
        for n in (needed - 1, needed)
    )
    seven_models, eight_models = fewest_classes(21), fewest_classes(28)
    assert seven_models == 10 < eight_models, "as docs/protocols.md says"
    assert not few.tested
    assert not few.pairs["differ"].any()
    assert enough.tested
    assert enough.pairs["differ"].any()


def test_a_mean_that_one_class_carries_is_not_better():
    """Fourteen classes are for b, and one far for a: Wilcoxon's p is of b's lead."""
    table = pd.DataFrame({"a": [0.99, *[0.48] * 14], "b": [0.2, *[0.5] * 14]})
    (pair,) = compare(table).pairs.to_dict("records")
    assert (pair["better"], pair["agree"], pair["differ"]) == ("a", False, False)
    assert pair["p"] < 0.05
    assert not compare(table).ranks["best"].any()


def test_classes_that_a_model_lacks_are_left_out():
    table = make_table(8, 0.5, 0.9)
    table.loc[2, "m1"] = np.nan
    assert compare(table).classes == 7
    assert compare(table).pairs["p"].item() == stats.wilcoxon(*table.drop(2).to_numpy().T).pvalue


@pytest.mark.parametrize("bits", [0, 1e-16])
def test_equal_models_do_not_differ(bits):
    table = make_table(8, 0.5)
    compared = compare(table.assign(twin=table["m0"] + bits))
    assert compared.pairs["p"].tolist() == [1.0]
    assert compared.ranks["average_rank"].tolist() == [1.5, 1.5]


@pytest.mark.parametrize("classes", [0, 1, 10])
def test_one_model_is_compared_with_nothing(classes):
    compared = compare(make_table(classes, 0.9))
    assert compared.pairs.empty
    assert compared.ranks["best"].tolist() == [False]
