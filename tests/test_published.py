"""Published figures beside measured ones: of which data, from which files."""

import json

import pandas as pd
import pytest
from studies import auroc_table, edit, load, make_study

from bench.choices.errors import UserError
from bench.reporting import frames

ORIGIN = '{"source": "a paper", "dataset": "digits", "task": "one-class"}'


@pytest.mark.parametrize(
    ("row", "shown"),
    [
        ({"dataset": "data/cifar10_jpeg"}, True),
        ({"dataset": "CIFAR10"}, True),
        ({"dataset": "cifar100"}, False),
        ({"dataset": "fashion_cifar10"}, False),
        ({"dataset": "digits"}, False),
        ({"task": "one-class"}, False),
    ],
)
def test_published_figures_are_shown_for_their_own_data_and_task_only(tmp_path, row, shown):
    folder = edit(make_study(tmp_path / "s", seeds=(1,)), lambda trial: trial | row)
    table = auroc_table(load(folder)[-1])
    assert ("published figures" in table.groups) == shown
    assert ("Published figures: README" in table.note) == shown
    assert (table.data["source"] != "measured").sum() == (4 if shown else 0)


def test_published_figures_are_those_of_the_reference():
    figures = pd.read_csv(frames.PUBLISHED / "skip_wganomaly_cifar10.csv")
    means = figures.groupby("model")["auroc"].mean().round(4).to_dict()
    assert means == {"w_skipganomaly": 0.8384, "w_skipganomaly_noskip": 0.7355}


def test_published_figures_of_ones_own_have_a_place(tmp_path, monkeypatch):
    """Here of digits, whose classes are numbers, and of a model that two papers have figures of."""
    monkeypatch.setattr(frames, "PUBLISHED", tmp_path)
    origin = {"source": "a paper", "dataset": "digits", "task": "one-class"}
    for name in ("ours", "theirs"):
        (tmp_path / f"{name}.csv").write_text("model,normal_class,auroc\npca,3,0.9\npca,8,0.8\n")
        source = {"source": f"{name} of a paper"}
        (tmp_path / f"{name}.json").write_text(json.dumps(origin | source))
    folder = make_study(tmp_path / "s", models=("pca",), classes=("3", "8"), seeds=(1,))
    edit(folder, lambda trial: trial | {"dataset": "digits", "task": "one-class"})
    table = auroc_table(load(folder)[-1])
    assert table.frame["model"].tolist() == ["pca", "pca (ours)", "pca (theirs)"]
    assert table.frame.iloc[1][["3", "8", "mean"]].tolist() == ["0.900", "0.800", "0.850"]
    assert "Published figures: ours of a paper. Published figures: theirs of a paper." in table.note


@pytest.mark.parametrize(
    ("csv", "origin", "line"),
    [
        ("model,class,auroc\npca,3,95\n", "{}", "t.json has no dataset and no source and no task"),
        ("model,class\npca,3\n", None, "t.csv needs t.json beside it"),
        ("model,class\npca,3\n", ORIGIN, "t.csv: give one auroc for each model and class"),
        ("model,auroc\npca,0.3\n", ORIGIN, "t.csv has no class"),
        ("model,class,auroc\npca,3,n/a?\n", ORIGIN, "t.csv or t.json cannot be read"),
        ("model,class,auroc\npca,3,0.9\npca,3,0.8\n", ORIGIN, "give one auroc for each"),
        ("", ORIGIN, "t.csv or t.json cannot be read"),
        ("model,class,auroc\npca,3,0.9\n", "{", "t.csv or t.json cannot be read"),
        ("model,class,auroc\npca,3,95\n", ORIGIN, "t.csv: an AUROC is from 0 to 1"),
    ],
)
def test_a_published_table_says_what_it_lacks(tmp_path, csv, origin, line):
    (tmp_path / "t.csv").write_text(csv)
    if origin:
        (tmp_path / "t.json").write_text(origin)
    with pytest.raises(UserError, match=line):
        frames.published_table(tmp_path / "t.csv")
