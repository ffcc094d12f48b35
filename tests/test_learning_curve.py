"""Several values of an amount (AMOUNTS): one study, with a search and a winner for each."""

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from commands import finished_run
from hypothesis import given, settings
from hypothesis import strategies as st
from images import dataset_of
from plans import lucky, run_all
from studies import auroc_table, edit, load, make_study

import report
import train_tune
from bench import results
from bench.choices import config
from bench.choices.errors import UserError
from bench.choices.flags import study_from
from bench.choices.study import Study
from bench.choices.tasks import (
    AMOUNTS,
    ONE_CLASS,
    SOUND,
    Budget,
    PlannedRun,
    RunKind,
    Task,
    variants,
)
from bench.data.splits import make_splits
from bench.reporting import mismatches, reproduce, sweeps
from bench.results import columns
from bench.tuning.planner import Planner
from bench.tuning.spaces import spaces_of

SIZES = (100, 300, 1000)


def test_a_row_of_an_epoch_has_the_size_that_its_time_is_counted_for():
    task = Task(ONE_CLASS, "3", limit_train=100, variant="100 images")
    run = PlannedRun("final", "knn", task, 0, 1, {}, Budget(1))
    assert RunKind.of(columns.of_epoch(run, 1, {})) == ("knn", "final", "100 images")


@settings(max_examples=30)
@given(
    sizes=st.lists(st.integers(40, 330), min_size=2, max_size=4, unique=True),
    limit_test=st.none() | st.just(12),
    seed=st.integers(0, 3),
)
def test_each_number_of_images_has_those_of_a_study_of_its_own(sizes, limit_test, seed):
    dataset = dataset_of([150, 60, 120], [9, 8, 7])
    dataset.images[5] = dataset.images[160] = dataset.images[7]  # repeated training images
    dataset.images[-1] = dataset.images[8]  # one that the test set holds too
    tasks = [Task(ONE_CLASS, "a", limit_train=size) for size in sizes]
    shared, splits, _ = make_splits(dataset, tasks, SOUND, limit_test, seed)
    kept: dict[int, set[int]] = {}
    for task, split in splits.items():
        alone, of_one, _ = make_splits(dataset, [task], SOUND, limit_test, seed)
        own = of_one[task]
        for one, other in (
            (split.train, own.train),
            (split.val.images, own.val.images),
            (split.test.images, own.test.images),
        ):
            assert one.source is shared.image_array, "the images are there once"
            assert (one[:] == other[:]).all()
        assert split.val.labels.tolist() == own.val.labels.tolist()
        assert split.test.labels.tolist() == own.test.labels.tolist()
        assert len(alone.train_images) == task.limit_train
        kept[task.limit_train] = set(dataset.kept(task.limit_train, seed).tolist())
    ordered = [kept[size] for size in sorted(sizes)]
    assert all(small < large for small, large in itertools.pairwise(ordered))


def test_trial_names_have_the_value_where_there_are_several():
    def names(study: Study) -> list[str]:
        tasks = [Task(ONE_CLASS, "3", **fields) for fields in variants(study)]
        runs = [PlannedRun("tuning", "pca", task, 0, 0, {}, Budget(1)) for task in tasks]
        return [run.trial for run in runs]

    assert names(Study(limit_train=100, contamination=0.1)) == ["pca-3-000"]
    both = study_from({"limit_train": [100, 500, 100], "contamination": [0.0, 0.05]})
    assert names(both) == [
        "pca-3-100images-contamination0-000",
        "pca-3-100images-contamination0.05-000",
        "pca-3-500images-contamination0-000",
        "pca-3-500images-contamination0.05-000",
    ]
    few = study_from({"limit_anomalies": [5, 50]})
    assert names(few) == ["pca-3-5anomalies-000", "pca-3-50anomalies-000"]
    assert study_from({"limit_train": [100]}) == Study(limit_train=100)


@pytest.mark.parametrize("tune_for", ["class", "mean"])
def test_each_value_has_a_winner_of_its_own(tune_for):
    study = Study(
        model=("pca",), searcher="random", trials=6, seeds=1, finalists=2, tune_for=tune_for
    )
    study = replace(study, limit_train=(100, 500))
    tasks = [Task(ONE_CLASS, cls, **fields) for fields in variants(study) for cls in ("3", "5")]
    decisions: list[dict] = []

    def objective(run: PlannedRun) -> float:
        best = 1 if run.task.limit_train == 100 else 2
        return 1.0 if run.number == best else lucky(run) / 2

    spaces, budgets = spaces_of(study), {("pca", task): Budget(2, 50) for task in tasks}
    plan = Planner(study, tasks, spaces, budgets, [], lambda model: 1, on_winner=decisions.append)
    run_all(plan, objective)
    assert {(d["class"], d["variant"], d["number"]) for d in decisions} == {
        *(("3", "100 images", 1), ("5", "100 images", 1)),
        *(("3", "500 images", 2), ("5", "500 images", 2)),
    }
    assert len({group.search.name for group in plan.groups}) == len(plan.groups)


COUNTS = st.lists(st.integers(1, 10**5), min_size=1, unique=True)


@given(sizes=COUNTS, shares=st.lists(st.floats(0, 0.49), min_size=1, unique=True), anomalies=COUNTS)
def test_several_values_come_back_from_a_file(tmp_path_factory, sizes, shares, anomalies):
    amounts = {"limit_train": sizes, "contamination": shares, "limit_anomalies": anomalies}
    assert amounts.keys() == AMOUNTS.keys()
    study = study_from(amounts)
    path = tmp_path_factory.mktemp("config") / "study.toml"
    path.write_text(config.text_of(study))
    assert study_from(vars(train_tune.parser().parse_args(config.flag_words(path)))) == study


def varied(folder: Path, column: str, values: tuple) -> Path:
    """A study whose seeds become the values: its rows as if seed k had the k-th value."""

    def change(row: dict) -> dict | None:
        value = values[row["seed"] - 1] if row["kind"] == "final" else values[0]
        row |= {"limit_train": None, "contamination": 0.0, "n_train": 90, "n_val_abnormal": 10}
        if column == "limit_train":
            row["n_train"] = 9 * value // 10
        elif column == "limit_anomalies":
            row["n_val_abnormal"] = value
        return row | {column: value, "variant": str(value)}

    return edit(make_study(folder), change)


@pytest.mark.parametrize(
    ("column", "values", "names"),
    [
        ("limit_train", SIZES, ["100 images", "300 images", "1000 images"]),
        ("contamination", (0.0, 0.05, 0.1), [f"contamination {x}" for x in ("0", "0.05", "0.1")]),
        ("limit_anomalies", (3, 30, 300), ["3 anomalies", "30 anomalies", "300 anomalies"]),
    ],
)
def test_the_report_keeps_values_apart_and_draws_them(tmp_path, column, values, names):
    areas = load(varied(tmp_path / "s", column, values))[-1]
    wanted = [f"{model}, {name}" for model in ("w_skipganomaly", "pca") for name in names]
    rows = auroc_table(areas).frame["model"]
    assert sorted(wanted) == sorted(set(rows) & set(wanted))
    (table,), (drawing,) = sweeps.amount_tables(areas), sweeps.amount_drawings(areas)
    assert table.frame[["w_skipganomaly", "pca"]].notna().all(axis=None)
    points = table.data.set_index(["model", column])
    means = areas.groupby(["column"])["auroc"].mean()
    for (model, value), point in points.iterrows():
        label = AMOUNTS[column].format(value)
        assert point["auroc"] == means[f"{model}, {label}"]
        assert point["low"] < point["auroc"] < point["high"]
        assert point["classes"] == 2
    text = drawing.svg.decode()
    ticks = ("90", "270", "900") if column == "limit_train" else map("{:g}".format, values)
    assert all(f">{tick}</text>" in text for tick in ticks)
    assert b'width="252pt"' in drawing.svg


def test_one_value_draws_nothing_and_names_nothing(tmp_path):
    areas = load(varied(tmp_path / "s", "limit_train", (100, 100, 100)))[-1]
    assert set(areas["column"]) == {"w_skipganomaly", "pca"}
    assert not [*sweeps.amount_tables(areas), *sweeps.amount_drawings(areas)]
    old = load(make_study(tmp_path / "old"))[-1]
    assert not [*sweeps.amount_tables(old), *sweeps.amount_drawings(old)]


def test_classes_that_some_value_lacks_are_in_no_mean(tmp_path):
    folder = varied(tmp_path / "s", "limit_train", SIZES)
    edit(folder, lambda row: None if (row["class"], row["limit_train"]) == ("cat", 300) else row)
    points, left_out = sweeps.points_of(load(folder)[-1], "limit_train")
    assert set(points["classes"]) == {1}
    assert not left_out
    assert len(points) == 6


def test_a_curve_without_a_shared_class_says_which_points_it_lacks(tmp_path):
    folder = varied(tmp_path / "s", "limit_train", SIZES)
    kept = {("cat", 100), ("bird", 300), ("bird", 1000)}  # of pca

    def change(row: dict) -> dict | None:
        is_kept = row["model"] != "pca" or (row["class"], row["limit_train"]) in kept
        return row if is_kept else None

    edit(folder, change)
    (table,) = sweeps.amount_tables(load(folder)[-1])
    assert table.frame["w_skipganomaly"].notna().all()
    assert "pca, 300 images; pca, 1000 images; pca, 100 images." in table.note


def of_one_size_each(folder: Path) -> list[Path]:
    """Two studies, s and t: of 100 and of 300 images."""
    sizes = {"s": 100, "t": 300}
    return [varied(folder / name, "limit_train", (size,) * 3) for name, size in sizes.items()]


def test_amounts_of_different_tasks_are_no_curve(tmp_path):
    left_out, one_class = of_one_size_each(tmp_path)
    edit(one_class, lambda row: row | {"task": "one-class"})
    areas = load(left_out, one_class)[-1]
    assert not [*sweeps.amount_tables(areas), *sweeps.amount_drawings(areas)]
    edit(one_class, lambda row: row | {"task": "leave-one-class-out"})
    assert [*sweeps.amount_tables(load(left_out, one_class)[-1])]


def test_a_curve_joins_no_points_that_differ_in_more_than_the_amount(tmp_path):
    small, full = of_one_size_each(tmp_path)
    edit(full, lambda row: row | {"protocol": "published"})
    areas = load(small, full)[-1]
    assert not [*sweeps.amount_tables(areas), *sweeps.amount_drawings(areas)]
    alike = {"protocol": "sound", "generator_steps": 100, "precision": "float32"}
    for change, named in (
        ({"generator_steps": 105}, []),
        ({"generator_steps": 9000}, ["generator_steps"]),
        ({"precision": "bfloat16"}, ["precision"]),
    ):
        for folder, other in ((small, {}), (full, change)):
            edit(folder, lambda row, other=other: row | alike | other)
        _, trials, *_, areas = load(small, full)
        assert [*sweeps.amount_tables(areas)]
        lines = mismatches.unlike_studies_joined(trials)
        assert {line.partition("s and t differ in ")[2] for line in lines} == set(named)


def test_classes_may_be_chosen_by_different_signals(tmp_path):
    folder = varied(tmp_path / "s", "limit_train", SIZES)
    signals = {"bird": "val_auroc", "cat": "val_loss"}
    edit(folder, lambda row: row | {"select_on": signals[row["class"]]})
    points, _ = sweeps.points_of(load(folder)[-1], "limit_train")
    assert set(points["model"]) == {"w_skipganomaly", "pca"}
    assert set(points["classes"]) == {2}


def test_numbers_below_an_axis_have_room():
    assert sweeps.with_room(np.array([0, 0.1, 2.0, 3.0])) == [0, 2, 3]


@pytest.mark.slow
def test_a_learning_curve_from_its_command_to_its_figure(tmp_path, ray_session, capsys):
    place = ["--results_dir", str(tmp_path), "--name", "study"]
    flags = ["--dataset", "digits", "--normal_class", "3", "--model", "knn"]
    flags += ["--trials", "2", "--finalists", "0", "--seeds", "1", "--searcher", "random"]
    assert train_tune.main([*flags, "--limit_train", "100", "300", *place, "--dry_run"]) == 0
    assert "300 images" in capsys.readouterr().out
    assert train_tune.main([*flags, "--limit_train", "100", "300", *place]) == 0
    assert "knn, 3, 100 images: configuration" in capsys.readouterr().out
    rows = (tmp_path / "study" / "trials.jsonl").read_bytes()

    assert train_tune.main([*place, "--resume", "--limit_train", "100", "300", "1000"]) == 0
    study = results.read(tmp_path / "study")
    assert (study.path / "trials.jsonl").read_bytes().startswith(rows), "what was there stays"
    winners = study.trials[study.trials["role"] == "winner"]
    assert winners.groupby("variant").size().tolist() == [1] * 3
    trained = dict(zip(winners["limit_train"], winners["n_train"], strict=True))
    assert trained == {100: 8, 300: 22, 1000: 75}, "of one class, less a quarter or 25"
    command = reproduce.command_for({"s": study}, "knn-3-300images-000-seed1").split()
    assert command[command.index("--limit_train") + 1] == "300"
    again, row = finished_run(tmp_path, *command[2:]).trials.iloc[0], winners.set_index("trial")
    assert again["test_auroc"] == row.loc["knn-3-300images-000-seed1", "test_auroc"]

    assert report.main([str(study.path)]) == 0
    table = pd.read_csv(study.path / "report" / "auroc_by_images.csv")
    assert table["limit_train"].tolist() == [100, 300, 1000]
    assert (study.path / "report" / "curve_images.pdf").stat().st_size
    with pytest.raises(UserError, match="it has --limit_train 100 300 1000, not 100"):
        train_tune.main([*place, "--resume", "--limit_train", "100", "2000"])
