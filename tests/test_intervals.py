"""Intervals of AUROC: against their definition, by the properties of any interval, by coverage."""

import itertools
import time
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from studies import ONE_RUN, auroc_table, edit, load, make_study

from bench.judging.intervals import Run, auroc_interval
from bench.judging.metrics import auroc

NOISE = 0.3  # a network's own, on each image
LABELS = np.repeat([0, 1], [50, 10])


def labelled_scores(seeds: int) -> st.SearchStrategy[list[tuple]]:
    """Images of both classes: whether each is abnormal, and a score of each seed's run."""
    image = st.tuples(st.booleans(), *[st.integers(0, 2)] * seeds)
    images = st.lists(image, min_size=2, max_size=30)
    return images.filter(lambda images: {label for label, *_ in images} == {False, True})


# Few distinct scores, so that ties, constant scores and perfect ones abound.
IMAGES = st.integers(1, 4).flatmap(labelled_scores)


def simulated(
    rng: np.random.Generator,
    seeds: int,
    *,
    spread: float,
    shift: float = 1.0,
    normal: int = 80,
    abnormal: int = 40,
) -> list[Run]:
    """Runs of seeds whose networks differ in strength, on images equally hard for all of them."""
    labels = np.repeat([0, 1], [normal, abnormal])
    hard = rng.normal(size=len(labels))
    strengths = shift + spread * rng.normal(size=seeds)
    noise = NOISE * rng.normal(size=(seeds, len(labels)))
    return [(labels, hard + n + s * labels) for n, s in zip(noise, strengths, strict=True)]


def coverage(seeds: int, studies: int, **setting: Any) -> float:
    """The share of simulated studies whose interval holds the AUROC of all seeds and images."""
    rng = np.random.default_rng(6)
    strengths = setting["shift"] + setting["spread"] * rng.normal(size=100_000)
    true = stats.norm.cdf(strengths / np.sqrt(2 * (1 + NOISE**2))).mean()
    intervals = [auroc_interval(simulated(rng, seeds, **setting)) for _ in range(studies)]
    return float(np.mean([low <= true <= high for _, low, high in intervals]))


def runs_of(images: list[tuple]) -> list[Run]:
    labels, *scores = np.array(images, int).T
    return [(labels, run) for run in scores]


def by_pairs(labels: np.ndarray, scores: np.ndarray) -> tuple[float, float]:
    """AUROC and its standard error from the definition, over all pairs of images."""
    abnormal, normal = scores[labels == 1][:, None], scores[labels == 0][None, :]
    wins = (abnormal > normal) + 0.5 * (abnormal == normal)
    variance = wins.mean(1).var(ddof=1) / len(wins) + wins.mean(0).var(ddof=1) / len(wins[0])
    return wins.mean(), np.sqrt(variance)


def logits(interval: tuple[float, float]) -> np.ndarray:
    return np.log(interval) - np.log1p(-np.array(interval))


def test_interval_of_one_run_is_delongs_on_the_logit_scale():
    rng = np.random.default_rng(1)
    labels = np.repeat([0, 1], [70, 40])
    scores = (rng.normal(size=110) + 0.7 * labels).round(1)
    area, error = by_pairs(labels, scores)
    mean, *interval = auroc_interval([(labels, scores)])
    assert mean == pytest.approx(area)
    assert logits(interval).mean() == pytest.approx(np.log(area / (1 - area)))
    assert np.ptp(logits(interval)) / 2 == pytest.approx(1.959964 * error / (area * (1 - area)))


def test_interval_of_several_runs_takes_in_seeds_and_images():
    runs = simulated(np.random.default_rng(4), 4, spread=0.3)
    each = np.array([auroc(*run) for run in runs])
    mean, *interval = auroc_interval(runs)
    assert mean == pytest.approx(each.mean())
    # The images' part by another way, the jackknife: the mean area without each image in turn.
    labels = runs[0][0]
    images = 0.0
    for label in (0, 1):
        others = [np.delete(np.arange(len(labels)), i) for i in np.flatnonzero(labels == label)]
        areas = [[auroc(labels[kept], scores[kept]) for _, scores in runs] for kept in others]
        means = np.mean(areas, axis=1)
        images += (len(means) - 1) * np.var(means)
    seeds = each.std(ddof=1) / 2 * stats.t.ppf(0.975, 3)
    half = np.hypot(seeds, stats.norm.ppf(0.975) * np.sqrt(images))
    assert np.ptp(logits(interval)) / 2 == pytest.approx(half / (mean * (1 - mean)))


@pytest.mark.parametrize(
    ("seeds", "spread", "shift"), [(1, 0.0, 1.0), (3, 0.3, 1.0), (5, 0.02, 1.0), (5, 0.1, 3.0)]
)
def test_interval_covers_the_true_mean(seeds: int, spread: float, shift: float):
    """A standard error of 400 studies is 0.011 at a coverage of 0.95."""
    assert 0.93 <= coverage(seeds, 400, spread=spread, shift=shift) <= 1


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.parametrize(("normal", "abnormal"), [(30, 10), (80, 40), (1000, 100)])
def test_interval_covers_the_true_mean_in_each_setting(normal: int, abnormal: int):
    """2000 studies of each of 42 settings: coverage was 0.944 to 0.996 (standard error 0.005).

    Test sets of 30 and 10, 80 and 40, 1000 and 100 normal and abnormal images; 1, 2, 3, 5 seeds;
    spread over seeds of 0, 0.02, 0.3; a shift of 1 and 3 between the classes (AUROC 0.75, 0.98).
    """
    sizes = {"normal": normal, "abnormal": abnormal}
    covered = {
        (seeds, spread, shift): coverage(seeds, 2000, spread=spread, shift=shift, **sizes)
        for seeds, spread, shift in itertools.product((1, 2, 3, 5), (0.0, 0.02, 0.3), (1.0, 3.0))
        if seeds > 1 or spread == 0  # the interval of one run takes in its test images alone
    }
    assert min(covered.values()) >= 0.94, covered


@given(IMAGES)
def test_interval_always_has_a_width_and_holds_the_mean(images):
    """Constant scores, perfect ones, single images: no variance is no certainty."""
    runs = runs_of(images)
    mean, low, high = auroc_interval(runs)
    assert 0 <= low < high <= 1
    assert low - 1e-9 <= mean <= high + 1e-9
    assert mean == pytest.approx(np.mean([auroc(*run) for run in runs]))


@given(IMAGES)
def test_interval_of_scores_turned_round_is_the_mirror_image(images):
    runs = runs_of(images)
    mean, low, high = auroc_interval(runs)
    turned = auroc_interval([(labels, -scores) for labels, scores in runs])
    assert turned == pytest.approx((1 - mean, 1 - high, 1 - low))


@given(IMAGES)
def test_interval_depends_on_the_order_of_the_scores_alone(images):
    runs = runs_of(images)
    other_unit = [(labels, np.exp(scores)) for labels, scores in runs]
    assert auroc_interval(other_unit) == auroc_interval(runs)


@given(IMAGES)
def test_interval_of_a_run_and_its_copies_is_that_of_the_run(images):
    run = runs_of(images)[0]
    assert auroc_interval([run] * 3) == pytest.approx(auroc_interval([run]), abs=1e-6)


def test_interval_of_separated_classes_is_the_exact_binomial_one():
    bound = 0.025 ** (1 / 10)  # Clopper-Pearson, 10 of 10
    assert auroc_interval([(LABELS, LABELS)]) == (1.0, pytest.approx(bound), 1.0)
    assert auroc_interval([(LABELS, -LABELS)]) == (0.0, 0.0, pytest.approx(1 - bound))
    runs = [(LABELS, LABELS), (LABELS, 2 * LABELS)]
    assert auroc_interval(runs)[1:] == (pytest.approx(bound), 1.0)


@pytest.mark.parametrize("runs", [1, 3])
@pytest.mark.parametrize("number", [2, 10, 1000])
def test_interval_of_scores_that_are_all_alike(number: int, runs: int):
    alike = np.repeat([0, 1], number), np.full(2 * number, 7.0)
    area, low, high = auroc_interval([alike] * runs)
    assert low == pytest.approx(0.025 ** (1 / number) / 2)
    assert (area, (low + high) / 2) == (0.5, pytest.approx(0.5))


def test_one_image_of_a_class_says_nothing():
    assert auroc_interval([([0, 0, 1], [1, 2, 3])]) == (1.0, 0.0, 1.0)
    labels = np.repeat([0, 1], [99, 1])
    assert auroc_interval([(labels, np.arange(100) % 99)] * 2)[1:] == (0.0, 1.0)


def test_runs_must_share_their_test_images():
    labels = np.array([0, 1, 1])
    with pytest.raises(ValueError, match="same images"):
        auroc_interval([(labels, [1, 2, 3]), (labels[::-1], [1, 2, 3])])


def test_interval_of_ten_thousand_images_is_quick():
    runs = simulated(np.random.default_rng(8), 5, spread=0.1, normal=9000, abnormal=1000)
    start = time.process_time()
    auroc_interval(runs)
    assert time.process_time() - start < 0.5


@pytest.mark.parametrize(
    ("areas", "seeds", "images", "lacking"),
    [((0.55, 0.95), 2, 200, "seeds"), ((0.8, 0.8), 2, 2, "images"), ((0.8,), 1, 2, "images")],
)
def test_an_interval_that_tells_nothing_says_what_there_are_too_few_of(
    tmp_path, areas, seeds, images, lacking
):
    folder = make_study(tmp_path / "s", models=("pca",), classes=("bird",), seeds=range(seeds))
    rng = np.random.default_rng(0)
    for number, area in enumerate(areas):
        abnormal = np.linspace(0, 1, images) + 2 * (area - 0.5)
        scores = np.concatenate([np.linspace(0, 1, images), abnormal])
        scores += rng.normal(0, 1e-6, len(scores))
        path = folder / "scores" / f"final-0-0-{number}" / "histogram.csv"
        labels = np.repeat([0, 1], images)
        pd.DataFrame({"scores": scores, "labels": labels}).to_csv(path, index=False)
        of_this = {"test_auroc": auroc(labels, scores)}
        edit(
            folder, lambda row, n=number, a=of_this: row | (a if row["trial"][-1] == str(n) else {})
        )
    *_, aurocs = load(folder)
    assert aurocs["too_few"].item() == lacking
    table = auroc_table(aurocs)
    assert table.details["bird"].iloc[0].endswith(f"too few {lacking}")
    assert "too few of" in table.note
    assert "0." in table.csv().splitlines()[1], "the interval is whole in the CSV"


def test_a_figure_has_no_interval_of_scores_that_do_not_give_it(tmp_path):
    folder = make_study(tmp_path / "s", **ONE_RUN)
    edit(folder, lambda row: row | {"test_auroc": 0.1})
    *_, aurocs = load(folder)
    assert aurocs[["low", "high"]].isna().all(axis=None)
