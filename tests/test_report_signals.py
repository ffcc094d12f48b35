"""How the report names metrics, the signal that chose, costs, and a study's settings."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from studies import auroc_table, caution_lines, edit, load, make_study, write_rows

from bench.choices.tasks import PUBLISHED, SOUND
from bench.judging import metrics, selection
from bench.judging.metrics import Metric
from bench.judging.selection import Signal
from bench.reporting import mismatches, reproduce, searches, tables
from bench.results import columns
from bench.watching.progress import describe


def test_a_metric_in_the_table_is_in_rows_and_in_the_report(tmp_path, monkeypatch):
    def accuracy(labels, scores) -> float:
        return float(np.mean((np.asarray(scores) > 0.5) == np.asarray(labels)))

    def errors(labels, scores) -> float:
        return 1 - accuracy(labels, scores)

    monkeypatch.setitem(metrics.METRICS, "accuracy", Metric("accuracy at 0.5", accuracy))
    monkeypatch.setitem(metrics.METRICS, "errors", Metric("errors", errors, higher_is_better=False))
    row = columns.of_scores(pd.DataFrame({"labels": [0, 0, 1, 1], "scores": [0.1, 0.6, 0.7, 0.9]}))
    assert (row["test_accuracy"], row["test_errors"]) == (0.75, 0.25)
    figures = {name: row[name] for name in ("test_accuracy", "test_errors")}
    folder = edit(make_study(tmp_path / "s"), lambda trial: trial | figures)
    table = tables.metrics_table(load(folder)[3])
    assert table.frame["accuracy at 0.5"].unique().tolist() == ["0.750 ± 0.000"]
    assert table.frame["errors"].unique().tolist() == ["0.250 ± 0.000"]
    assert "Lower is better: errors." in table.note
    assert "fitted to the test images: best F1." in table.note
    assert "EER" not in table.note, "no run has it"


def test_other_metrics_are_means_and_deviations_over_seeds(tmp_path):
    def change(row):
        if row["kind"] != "final":
            return row
        row |= {"test_ap": 0.1 * row["seed"] ** 2, "test_f1": 0.25 if row["seed"] == 1 else None}
        return row | {"n_test_normal": 60, "n_test_abnormal": 20 if row["class"] == "cat" else 30}

    table = tables.metrics_table(load(edit(make_study(tmp_path / "s"), change))[3])
    spread = np.std([0.1, 0.4, 0.9], ddof=1)
    assert table.frame["AP"].unique().tolist() == [f"0.467 ± {spread:.3f}"]
    assert table.data[["AP", "AP sd"]].iloc[0].tolist() == pytest.approx([1.4 / 3, spread])
    shares = table.data.groupby("class")[tables.ABNORMAL].mean()
    assert shares.to_dict() == pytest.approx({"bird": 1 / 3, "cat": 1 / 4})
    assert "Of some runs only, as older rows lack them: best F1." in table.note
    assert "cannot be compared where it differs" in table.note


def test_costs_are_means_over_runs_and_of_memory_the_most(tmp_path):
    def change(row):
        steps = 0 if row["model"] == "pca" else 100 * row["seed"]
        row |= {"generator_steps": steps, "fair_steps": 900, "score_ms": float(row["seed"] ** 2)}
        row |= {"train_seconds": 60.0 * row["seed"] ** 2, "peak_memory_mb": 10.0 * row["seed"]}
        return row | {"parameters": 7, "hardware": "a CPU"}

    folder = edit(make_study(tmp_path / "s", classes=("bird",)), change)
    costs = tables.cost_table(load(folder)[3]).data.set_index("model")
    row = costs.drop(columns="hardware").loc["w_skipganomaly"]
    assert row.tolist() == pytest.approx([200, 900, 7, 14 / 3, 14 / 3, 30])
    assert costs.loc["pca", ["generator steps", "fair steps"]].isna().all(), "it is fitted at once"


def chosen_by(folder, name: str, value: float):
    """A study whose rows and epochs were chosen by that signal, with this figure."""
    signal = selection.SIGNALS[name]
    edit(folder, lambda row: row | {"select_on": name, "objective": signal.sign * value})
    epochs = [
        {"trial": row["trial"], "epoch": epoch, signal.column: value}
        for row in load(folder)[1].to_dict("records")
        for epoch in (1, 2)
    ]
    write_rows(folder / "epochs.jsonl", epochs)
    return folder


@pytest.mark.parametrize("name", [*selection.SIGNALS, "margin"])
def test_the_report_names_the_signal_that_chose(tmp_path, monkeypatch, name):
    margin = Signal("val_margin", "validation margin", sign=-1)
    monkeypatch.setitem(selection.SIGNALS, "margin", margin)
    signal = selection.SIGNALS[name]
    figure = selection.by_column()[signal.column].title
    studies, trials, epochs, finals, *_ = load(chosen_by(make_study(tmp_path / "s"), name, 0.25))
    tuning = searches.tuning_table(trials).frame[["signal", "default", "winner"]]
    assert tuning.drop_duplicates().to_numpy().tolist() == [[figure, 0.25, 0.25]]
    (drawing,) = searches.learning_curves(finals, epochs)
    assert drawing.name == "learning"
    assert figure in drawing.caption
    settings = tables.settings_table(studies, trials).frame.set_index("choice")["s"]
    assert settings["chosen by"] == signal.title
    assert f"{signal.column} 0.250" in describe({signal.column: 0.25})


def test_a_lower_loss_is_a_gain(tmp_path):
    folder = chosen_by(make_study(tmp_path / "s"), "val_loss", 0.25)
    edit(folder, lambda row: row | {"objective": -0.5 if row["number"] == 0 else -0.2})
    tuning = searches.tuning_table(load(folder)[1]).frame[["default", "winner", "gain"]]
    assert tuning.drop_duplicates().to_numpy().tolist() == [[0.5, 0.2, 0.3]]


def test_signals_that_differ_have_learning_curves_of_their_own(tmp_path):
    folder = make_study(tmp_path / "s")
    edit(folder, lambda row: row | ({"select_on": "val_loss"} if row["class"] == "cat" else {}))
    *_, epochs, finals, _, _ = load(folder)
    epochs["val_loss"] = 0.1
    first, second = searches.learning_curves(finals, epochs)
    assert (first.name, second.name) == ("learning", "learning_val_loss")
    assert "validation AUROC" in first.caption
    assert "validation loss" in second.caption


def test_the_test_images_choose_where_the_protocol_says_so(tmp_path):
    """Whatever --select_on says: the last epoch's figure is then its test AUROC."""
    change = {"select_on": "last_epoch", "protocol_selection": "test"}
    trials = load(edit(make_study(tmp_path / "s"), lambda row: row | change))[1]
    assert set(searches.tuning_table(trials).frame["signal"]) == {"test AUROC"}


def test_rows_that_do_not_name_their_signal_show_the_objective(tmp_path):
    trials = load(edit(make_study(tmp_path / "s"), lambda row: row | {"select_on": None}))[1]
    assert set(searches.tuning_table(trials).frame["signal"]) == {"objective"}
    assert mismatches.chosen_differently(trials) == []


def test_no_note_is_on_baselines_where_rows_lack_the_family(tmp_path):
    models = ("w_skipganomaly", "pca")
    for number, family in enumerate((True, False)):
        folder = make_study(tmp_path / str(number), models=models)
        edit(folder, lambda row, kept=family: row if kept else row | {"family": None})
        note = auroc_table(load(folder)[-1]).note
        assert ("The baseline pca" in note) == family


def test_switched_fields_of_the_protocol_are_in_the_settings_and_in_the_command(tmp_path):
    switched = dataclasses.asdict(PUBLISHED)
    assert not set(switched.items()) & set(dataclasses.asdict(SOUND).items())
    studies, trials, *_ = load(make_study(tmp_path / "s", study=switched))
    settings = tables.settings_table(studies, trials).frame.set_index("choice")["s"]
    command = reproduce.command_for(studies, "final-0-0-1")
    for name, value in switched.items():
        assert f"{name} {value}" in settings["protocol"]
        assert f"--{name} {value}" in command


@pytest.mark.parametrize(
    ("choices", "split"), [({"seed": 3}, 3), ({"seed": 3, "split_seed": 4}, 4)]
)
def test_another_split_of_the_images_is_in_the_settings(tmp_path, choices, split):
    studies, trials, *_ = load(make_study(tmp_path / "s", study=choices))
    settings = tables.settings_table(studies, trials).frame.set_index("choice")["s"]
    assert settings["data"].endswith(f", split_seed {split}")


def test_hyperparameters_that_a_command_set_are_in_the_settings_and_a_warning(tmp_path):
    held = {"set": ["skip=False", "w_con=3"]}
    studies, trials, *_, aurocs = load(make_study(tmp_path / "s", study=held))
    settings = tables.settings_table(studies, trials).frame.set_index("choice")["s"]
    assert settings["set"] == "skip=False, w_con=3"
    assert "split_seed" not in settings["data"]
    warning = "s: hyperparameters were set: skip=False, w_con=3"
    assert warning in caution_lines(studies, trials, aurocs)
