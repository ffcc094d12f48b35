"""Metrics against scikit-learn, on ties, constant scores and tiny sets too."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import brentq
from sklearn.metrics import (
    average_precision_score,
    precision_recall_curve,
    roc_auc_score,
    roc_curve,
)

from bench.judging import metrics
from bench.judging.intervals import auroc_interval

# few distinct values, so that ties abound
SETS = st.lists(st.tuples(st.integers(0, 1), st.integers(-3, 3)), min_size=2, max_size=40).filter(
    lambda pairs: {label for label, _ in pairs} == {0, 1}
)


def by_scikit_learn(labels, scores) -> dict[str, float]:
    fpr, tpr, _ = roc_curve(labels, scores, drop_intermediate=False)
    precision, recall, _ = precision_recall_curve(labels, scores)
    with np.errstate(invalid="ignore"):
        f1 = np.nanmax(2 * precision * recall / (precision + recall))
    return {
        "auroc": roc_auc_score(labels, scores),
        "ap": average_precision_score(labels, scores),
        "fpr95": min(fpr[tpr >= 0.95]),
        "f1": f1,
    }


@given(SETS)
def test_metrics_are_those_of_scikit_learn(pairs):
    labels, scores = map(np.array, zip(*pairs, strict=True))
    figures = metrics.evaluate(labels, scores)
    expected = by_scikit_learn(labels, scores)
    assert {name: figures[name] for name in expected} == pytest.approx(expected, abs=1e-12)


def test_metrics_of_many_images_are_those_of_scikit_learn():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 5000)
    scores = (rng.normal(size=5000) + 0.7 * labels).round(2)
    figures = metrics.evaluate(labels, scores)
    fpr, tpr, _ = roc_curve(labels, scores, drop_intermediate=False)
    expected = by_scikit_learn(labels, scores)
    expected["eer"] = brentq(lambda x: 1 - x - np.interp(x, fpr, tpr), 0, 1)
    assert {name: figures[name] for name in expected} == pytest.approx(expected, abs=1e-9)
    assert np.allclose(metrics.roc(labels, scores), (fpr, tpr))


def test_constant_scores_are_worth_nothing():
    figures = metrics.evaluate([0, 0, 0, 1], [7.0] * 4)
    expected = {"auroc": 0.5, "ap": 0.25, "fpr95": 1.0, "eer": 0.5, "f1": 0.4}
    assert {name: figures[name] for name in expected} == pytest.approx(expected)


def test_equal_areas_are_equal_to_the_last_bit():
    """Six of fifteen pairs each; as a mean of three shares the two differ by 5e-17."""
    first = metrics.auroc([0, 0, 0, 0, 0, 1, 1, 1], [1, 2, 3, 4, 5, 1.5, 2.5, 3.5])
    second = metrics.auroc([0, 0, 0, 0, 0, 1, 1, 1], [1, 2, 3, 4, 5, 0.5, 1.5, 6.0])
    assert first == second == 6 / 15


def test_equal_errors_lie_on_the_line_between_thresholds():
    # ROC through (0, 0.5) and (1, 1): 1 - tpr equals fpr at 1/3
    assert metrics.evaluate([1, 1, 0, 0], [2, 1, 1, 1])["eer"] == pytest.approx(1 / 3)


def test_a_true_positive_rate_of_just_95_percent_is_enough():
    labels = np.repeat([1, 0, 1], [19, 30, 1])
    assert metrics.evaluate(labels, -np.arange(50))["fpr95"] == 0


def test_each_metric_says_which_way_is_better():
    labels = np.repeat([0, 1], [30, 20])
    right, wrong = metrics.evaluate(labels, labels), metrics.evaluate(labels, -labels)
    for name, metric in metrics.METRICS.items():
        assert (right[name] > wrong[name]) == metric.higher_is_better, name
        assert right[name] != wrong[name]


def one_interval(labels, scores):
    return auroc_interval([(labels, scores)])


@pytest.mark.parametrize(
    ("labels", "scores", "message"),
    [
        ([0, 0], [1, 2], "0 of 2 images are abnormal"),
        ([1, 1], [1, 2], "2 of 2 images are abnormal"),
        ([], [], "both classes"),
        ([0, 1], [1, np.nan], "1 of 2 scores are not finite"),
        ([0, 1], [np.inf, -np.inf], "2 of 2 scores are not finite"),
        ([0, 1, 1], [1, 2], "one length"),
        ([[0, 1]], [[1, 2]], "one length"),
        ([0, 2], [1, 2], "labels must be 0"),
    ],
)
@pytest.mark.parametrize("metric", [metrics.auroc, metrics.evaluate, metrics.roc, one_interval])
def test_what_no_metric_is_defined_for(metric, labels, scores, message):
    with pytest.raises(ValueError, match=message):
        metric(labels, scores)
