"""Two studies compared cell by cell."""

import itertools
from pathlib import Path

import pandas as pd
import pytest
from studies import edit, load, make_study

from bench import results
from bench.judging.intervals import mean_interval
from bench.reporting import frames
from bench.reporting.differences import difference_tables
from bench.reporting.tables import settings_table
from bench.results.reading import SWEEP


def tables_of(*folders: Path) -> list:
    studies, trials, _, finals, _, _ = load(*folders)
    return list(difference_tables(finals, studies, settings_table(studies, trials).frame))


def study_and_better(tmp_path: Path, gain: float) -> tuple[Path, Path]:
    """A study, and one whose runs are better by `gain`, more so the higher the seed."""
    first, other = (make_study(tmp_path / name) for name in "st")

    def better(row):
        area = {"test_auroc": row.get("test_auroc", 0) + gain * row["seed"]}
        return row | (area if row["kind"] == "final" else {})

    return first, edit(other, better)


def test_equal_seeds_are_paired(tmp_path):
    (table,) = tables_of(*study_and_better(tmp_path, 0.001))
    assert (table.name, table.title) == ("difference", "AUROC: t less s")
    assert table.frame.columns.tolist() == ["model", "bird", "cat", "mean"]
    assert table.frame.drop(columns="model").to_numpy().tolist() == [["+0.002"] * 3] * 2
    row = table.data.iloc[0]
    interval = mean_interval([0.001, 0.002, 0.003])
    assert row[["difference", "low", "high"]].tolist() == pytest.approx(interval)
    assert table.details.iloc[0, 1].splitlines()[1:] == ["[0.000, 0.004]", "3 paired seed(s)"]


def test_different_seeds_are_compared_by_their_means_without_an_interval(tmp_path):
    first, other = study_and_better(tmp_path, 0.001)
    edit(other, lambda row: row | {"seed": row["seed"] + 10})
    (table,) = tables_of(first, other)
    assert (table.data["paired_seeds"] == 0).all()
    assert table.data["low"].isna().all()
    assert table.details.iloc[0, 1].endswith("no paired seed(s)")


def test_only_models_and_classes_of_both_studies_are_compared(tmp_path):
    first = make_study(tmp_path / "s", models=("a", "b"), classes=("bird", "cat"))
    other = make_study(tmp_path / "t", models=("b", "c"), classes=("cat", "dog"))
    (table,) = tables_of(first, other)
    assert table.frame.to_numpy().tolist()[0][0] == "b"
    assert table.frame.columns.tolist() == ["model", "cat"]
    elsewhere = edit(make_study(tmp_path / "u"), lambda row: row | {"dataset": "digits"})
    assert tables_of(first, elsewhere) == []
    assert tables_of(first) == []


def test_amounts_tell_apart_where_a_study_has_several(tmp_path):
    first, other = (make_study(tmp_path / name) for name in "st")
    edit(other, lambda row: row | {"contamination": 0.1})
    (table,) = tables_of(first, other)
    assert table.frame["model"].tolist() == ["w_skipganomaly", "pca"]
    for folder in (first, other):
        edit(folder, lambda row: row | {"contamination": 0.1 * (row["class"] == "cat")})
    (table,) = tables_of(first, other)
    pairs = itertools.product(("w_skipganomaly", "pca"), ("0", "0.1"))
    assert set(table.frame["model"]) == {f"{m}, contamination {amount}" for m, amount in pairs}


def test_versions_of_a_model_from_a_file_are_told_apart(tmp_path):
    files = {name: {"files": {"model": {"pca": name * 64}}} for name in "ab"}
    folders = [make_study(tmp_path / name, provenance=files[name]) for name in "ab"]
    (table,) = tables_of(*folders)
    versions = f"pca.py {'a' * 12}; pca.py {'b' * 12}"
    assert f"The studies differ in Python files ({versions})." in table.note


def test_every_further_study_is_compared_with_the_first(tmp_path):
    folders = [make_study(tmp_path / name) for name in "stu"]
    tables = tables_of(*folders)
    assert [table.name for table in tables] == ["difference", "difference_2"]
    assert [table.title for table in tables] == ["AUROC: t less s", "AUROC: u less s"]
    assert (pd.concat([table.data for table in tables])["difference"] == 0).all()


def test_a_third_study_changes_no_comparison_of_the_others(tmp_path):
    first, other, third = (make_study(tmp_path / name) for name in "stu")
    edit(other, lambda row: row | {"contamination": 0.05})
    edit(third, lambda row: row | {"contamination": 0.1 * (row["class"] == "cat")})
    alone, beside = tables_of(first, other), tables_of(first, other, third)
    assert [table.title for table in beside] == ["AUROC: t less s", "AUROC: u less s"]
    assert beside[0].frame.equals(alone[0].frame)


def test_studies_of_two_sweeps_are_compared_where_their_data_are_the_same(tmp_path):
    folders = {}
    for sweep in "ab":
        for data in ("digits", "mnist"):
            folder = tmp_path / sweep / data
            folder.parent.mkdir(exist_ok=True)
            edit(make_study(folder), lambda row, data=data: row | {"dataset": data})
            folders[f"{sweep}/{data}"] = folder
        (tmp_path / sweep / SWEEP).write_text("{}")
    studies = {name: results.read(folder) for name, folder in folders.items()}
    trials, _ = frames.join(studies)
    settings = settings_table(studies, trials).frame
    tables = difference_tables(frames.tested(trials), studies, settings)
    titles = [table.title for table in tables]
    assert titles == ["AUROC: b/digits less a/digits", "AUROC: b/mnist less a/mnist"]
