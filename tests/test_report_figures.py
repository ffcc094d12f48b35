"""The report's figures, and what they are drawn from."""

import functools
import json
import math
import re

import numpy as np
import pandas as pd
import pytest
import scikit_posthocs
import sklearn.metrics
from studies import CLASSES, ONE_RUN, edit, load, make_study, write_rows

from bench.judging.comparison import compare
from bench.reporting import fair, figures, frames, hyperparameters, overview, searches
from bench.reporting.drawing import Drawing
from bench.reporting.report import in_another_process

HOSTILE = ["0.normal", "<b>x", "a_b|c", "a b/c", "a_b/c", "$x^2$ & 5%"]


def test_figures_fit_a_column_and_are_the_same_every_time(tmp_path):
    _, _, epochs, finals, scores, aurocs = load(
        make_study(tmp_path / "s", classes=HOSTILE, seeds=(1, 2))
    )

    def draw() -> list[Drawing]:
        return [
            *overview.overview(aurocs, compare(fair.shared(aurocs))),
            *figures.roc_curves(finals, scores),
            *searches.learning_curves(finals, epochs),
            *figures.histograms(finals[finals["class"] == "$x^2$ & 5%"], scores),
        ]

    drawings = draw()
    assert [d.name for d in drawings[:3]] == ["auroc", "roc", "learning"]
    assert len(drawings) == 3 + 2
    assert all(b'width="252pt"' in d.svg for d in drawings)  # 3.5 inches
    assert all(
        re.search(rb"/MediaBox \[ ?0 0 252 ", d.pdf) and b"/Type3" not in d.pdf for d in drawings
    )
    assert drawings == draw()


def test_an_overview_has_every_model_the_best_first_but_none_alone(tmp_path):
    folder = make_study(tmp_path / "s", models=("a", "w_skipganomaly", "pca"))
    edit(folder, lambda row: None if (row["model"], row["class"]) == ("a", "cat") else row)
    *_, aurocs = load(folder)
    (drawing,) = overview.overview(aurocs, compare(fair.shared(aurocs)))
    texts = re.findall(r">([^<>]+)</text>", drawing.svg.decode())
    names = [text for text in texts if text in ("a", "w_skipganomaly", "pca")]
    assert names == ["pca", "w_skipganomaly", "a"]
    means = fair.class_means(aurocs)["mean"]
    assert [text for text in texts if re.fullmatch(r"0\.\d{3}", text)] == [
        f"{mean:.3f}" for mean in means
    ]
    assert "the 2 classes" in drawing.caption
    assert "models that lack classes" in drawing.caption
    assert drawing.caption.endswith(
        "marked as best: 2 shared class(es) are too few to test (6 are needed)."
    )
    *_, alone = load(make_study(tmp_path / "t", models=("pca",)))
    assert list(overview.overview(alone, compare(fair.shared(alone)))) == []
    *_, one = load(make_study(tmp_path / "u", classes=("bird",)))
    (drawing,) = overview.overview(one, compare(fair.shared(one)))
    assert "AUROC of bird" in drawing.caption


def test_an_overview_marks_the_model_that_the_test_finds_best(tmp_path):
    *_, aurocs = load(make_study(tmp_path / "s", classes="abcdefgh", seeds=(1,)))
    (drawing,) = overview.overview(aurocs, compare(fair.shared(aurocs)))
    mean = fair.class_means(aurocs)["mean"]["pca"]
    assert re.findall(r">([^<>]+ \*)</text>", drawing.svg.decode()) == [f"{mean:.3f} *"]
    assert "* above every other model (Wilcoxon" in drawing.caption


def test_small_scores_numbers_have_room_below_a_histogram(tmp_path):
    *_, finals, scores, _ = load(make_study(tmp_path / "s", **ONE_RUN))
    small = {key: frame.assign(scores=frame["scores"] * 1e-4) for key, frame in scores.items()}
    (drawing,) = figures.histograms(finals, small)
    numbers = re.findall(r">([−\d.]+)</text>", drawing.svg.decode())
    assert len(numbers) > 2
    assert max(map(len, numbers)) <= len("−0.5")
    assert ">1e−4</text>" in drawing.svg.decode()


def test_ranks_are_drawn_from_three_models_on(tmp_path, monkeypatch):
    *_, aurocs = load(make_study(tmp_path / "s", models="abc", classes="defghijk", seeds=(1,)))
    table = fair.shared(aurocs)
    diagram, drawn_from = scikit_posthocs.critical_difference_diagram, []

    def recorded(ranks, p, **looks):
        drawn_from.append(p)
        return diagram(ranks, p, **looks)

    monkeypatch.setattr(scikit_posthocs, "critical_difference_diagram", recorded)
    comparison = compare(table)
    assert len(list(figures.critical_differences(comparison))) == 1
    for pair in comparison.pairs.itertuples():
        assert drawn_from[0].loc[pair.better, pair.worse] == pair.p_holm
    assert (comparison.pairs["p_holm"] > comparison.pairs["p"]).any()
    assert list(figures.critical_differences(compare(table[:6]))) == [], "too few for three pairs"
    assert list(figures.critical_differences(compare(table[["a", "b"]]))) == []


def test_many_classes_make_several_figures(tmp_path):
    *_, finals, scores, _ = load(
        make_study(tmp_path / "s", models=("pca",), classes="abcdefghijkl", seeds=(1,))
    )
    assert [d.name for d in figures.roc_curves(finals, scores)] == ["roc", "roc_2"]


def test_precision_and_recall_are_those_of_the_thresholds(tmp_path):
    *_, scores, _ = load(make_study(tmp_path / "s", **ONE_RUN))
    frame = next(iter(scores.values()))
    precision, recall, _ = sklearn.metrics.precision_recall_curve(frame["labels"], frame["scores"])
    for value, level in zip(figures.precisions(frame), figures.GRID, strict=True):
        assert value == pytest.approx(precision[:-1][recall[:-1] >= level - 1e-9][-1])


def test_what_tuning_did(tmp_path):
    """Early stopping's saving, and the one hyperparameter that decides in this study."""
    rng = np.random.default_rng(0)

    def tried(row):
        lr = float(10 ** rng.uniform(-5, -2))
        row |= {"config_lr": lr, "config_w_con": float(rng.uniform(1, 100))}
        row["config_act"] = str(rng.choice(["a", "b"]))
        row |= {"objective": -abs(math.log10(lr) + 3.5), "status": "stopped", "epochs": 1}
        return row

    folder = make_study(tmp_path / "s", classes=CLASSES)
    rows = [json.loads(line) for line in (folder / "trials.jsonl").read_text().splitlines()]
    tuning_rows = [row for row in rows if row["kind"] == "tuning"]
    many = [tried(row | {"trial": f"{row['trial']}-{i}"}) for row in tuning_rows for i in range(5)]
    write_rows(folder / "trials.jsonl", [row for row in rows if row["kind"] == "final"] + many)
    trials = load(folder)[1]
    saved = searches.early_stopping_table(trials).frame.set_index("model")
    assert saved.loc["pca"].tolist() == [30, 30, 30, 90, "67 %"]
    for _, varied, gain in hyperparameters.searched(trials):
        shares = hyperparameters.importance(varied, gain)
        assert set(shares) == {"lr", "w_con", "act"}
        assert max(shares, key=shares.get) == "lr"
        assert math.isclose(sum(shares.values()), 1)
        assert hyperparameters.importance(varied, gain * 0) == {}, (
            "configurations that score alike tell nothing"
        )
    drawings, again = (
        [*hyperparameters.parallel_coordinates(trials), *hyperparameters.importances(trials)]
        for _ in range(2)
    )
    assert [d.name for d in drawings] == ["parallel_w_skipganomaly", "parallel_pca", "importances"]
    assert drawings == again


def test_each_class_counts_alike_in_importances():
    """In two classes `w_con` decides; in the third `lr` does, over far more of the scale."""
    rng = np.random.default_rng(0)
    place = dict.fromkeys(frames.KEY, "") | {"kind": "tuning", "status": "done", "search": "gan"}
    rows = []
    for name in np.repeat(["a", "b", "c"], 40):
        lr, w_con = rng.uniform(size=2)
        row = {"config_lr": lr, "config_w_con": w_con, "signal": "val_auroc"}
        rows.append(place | row | {"class": name, "objective": lr if name == "c" else w_con / 10})
    trials = pd.DataFrame(rows)
    shares = hyperparameters.shares_by_model(trials)["gan"]
    assert shares["w_con"] > shares["lr"]
    by_pbt = trials.assign(tried_lr=trials["config_lr"].where(trials.index < 60))
    by_pbt.loc[trials.index < 60, "config_lr"] = 0.5
    other_signal = trials.tail(40).assign(signal="val_loss", objective=-trials["config_w_con"])
    for more in (by_pbt, pd.concat([trials, other_signal], ignore_index=True)):
        assert hyperparameters.shares_by_model(more)["gan"] == shares
    assert hyperparameters.shares_by_model(trials.head(9)) == {}, "too few"


def test_another_process_draws_the_same_figures(tmp_path):
    _, _, _, finals, scores, _ = load(make_study(tmp_path / "s", seeds=(1,)))
    draw = functools.partial(figures.of_scores, finals, scores)
    assert in_another_process(draw)() == draw()


def test_data_sets_have_figures_of_their_own_with_their_models_alone(tmp_path):
    """In a joint report; the panels' titles are the classes, and wide where those are long."""
    one = make_study(tmp_path / "s", models=("pca",), classes=("bird", "a very long class's name"))
    two = make_study(tmp_path / "t", models=("knn",), classes=CLASSES)
    edit(two, lambda row: row | {"dataset": "other"})
    *_, finals, scores, _ = load(one, two)
    first, second = figures.roc_curves(finals, scores)
    texts = [re.findall(r">([^<>]+)</text>", d.svg.decode()) for d in (first, second)]
    assert {"pca", "bird", "a very long class's name"} <= set(texts[0])
    assert {"knn", *CLASSES} <= set(texts[1])
    assert not {"knn"} & set(texts[0])
    assert [d.name for d in (first, second)] == ["roc", "roc_2"]
    assert second.caption.endswith("Of other.")
