"""A study's rows: what their columns hold, and how they are written and read."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from studies import ONE_RUN, make_study, write_rows

from bench import results
from bench.choices.errors import UserError
from bench.choices.study import Study
from bench.choices.tasks import ONE_CLASS, SOUND, Task
from bench.results import columns
from bench.results.rows import read_rows
from bench.results.store import Store

LABELS = np.array([0, 0, 1])
SCORES = np.array([0.1, 0.2, 0.9])


def test_a_tasks_columns_are_the_tasks_own() -> None:
    """Not the study's, which may have several values of each."""
    study = Study(limit_train=(100, 300), contamination=(0.0, 0.1))
    amounts = {"limit_train": 300, "contamination": 0.1, "limit_anomalies": 9}
    task = Task(ONE_CLASS, "3", **amounts, variant="300 images")
    origin = {"dataset": {"name": "digits", "fingerprint": "f"}, "commit": "c", "dirty": False}
    counts = {"n_train": 27, "n_val_abnormal": 9}
    row = columns.of_task(study, SOUND, task, "val_loss", counts, origin)
    assert (amounts | counts | {"variant": "300 images"}).items() <= row.items()


def test_a_run_has_the_hash_of_its_own_model_alone() -> None:
    files = {"model": {"a": "1", "b": "2"}, "space": {"s": "3"}}
    assert columns.of_files(files, "a") == {"sha256_model": "1", "sha256_space": "3"}
    assert columns.of_files(files, "knn") == {"sha256_space": "3"}


def test_test_figures_lie_in_their_interval() -> None:
    labels = np.repeat([0, 1], 20)
    frame = pd.DataFrame({"scores": np.arange(40) % 23 + 4 * labels, "labels": labels})
    row = columns.of_scores(frame)
    assert row["test_auroc_low"] < row["test_auroc"] < row["test_auroc_high"]


def test_images_without_kinds_of_defects_have_no_columns_of_defects() -> None:
    assert columns.of_defects(LABELS, SCORES, None, None, None) == {}


def test_false_alarms_on_normal_images_count_in_pixel_figures() -> None:
    """The second image is normal, and a part of its map is as high as the defect's."""
    masks, maps = np.zeros((3, 4, 4), bool), np.zeros((3, 4, 4))
    masks[2, :2] = True
    maps[2, :2] = maps[1, :1] = 1.0
    defects = np.array(["", "", "crack"])
    row = columns.of_defects(LABELS, SCORES, defects, maps, masks)
    # Of 40 normal pixels 4 tie with the anomalous ones.
    assert (
        row["test_pixel_auroc"] == row["defect_pixel_auroc_crack"] == pytest.approx(1 - 4 / 40 / 2)
    )


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_rows_have_no_spaces_and_null_for_a_number_that_json_lacks(
    tmp_path: Path, value: float
) -> None:
    store = Store(tmp_path)
    row = {"trial": "a b", "epoch": 1, "loss": value, "mean": np.float32(value)}
    store.append("epochs.jsonl", row)
    store.close()
    line = '{"trial":"a b","epoch":1,"loss":null,"mean":null}\n'
    assert (tmp_path / "epochs.jsonl").read_text() == line


def test_a_study_that_is_being_written_is_read_to_its_last_whole_row(tmp_path, capsys) -> None:
    (tmp_path / "trials.jsonl").write_text('{"trial":"a"}\n{"trial":"b"}\n{"trial":"c')
    assert [row["trial"] for row in read_rows(tmp_path / "trials.jsonl")] == ["a", "b"]
    assert "trials.jsonl: the last line was cut off; it is left out" in capsys.readouterr().err


def test_a_last_row_without_its_newline_is_kept(tmp_path: Path, capsys) -> None:
    """Some editors save a file so."""
    (tmp_path / "trials.jsonl").write_text('{"trial":"a"}\n{"trial":"b"}')
    for rows in (["a", "b"], ["a", "b", "c"]):
        assert [row["trial"] for row in read_rows(tmp_path / "trials.jsonl")] == rows
        store = Store(tmp_path)
        store.append("trials.jsonl", {"trial": "c"})
        store.close()
    assert capsys.readouterr().err == ""


def test_a_run_that_was_tried_again_counts_once_by_its_last_row(tmp_path: Path) -> None:
    row = {"trial": "a", "kind": "final", "model": "gan", "class": "3"}
    write_rows(tmp_path / "trials.jsonl", [row | {"status": s} for s in ("error", "done")])
    assert results.Results(tmp_path, {}, {}).trials["status"].tolist() == ["done"]


def test_roles_of_a_study_that_grows_to_more_steps(tmp_path: Path) -> None:
    """It was decided at 100 steps: what has fewer is over, what has more is not decided yet."""
    decision = {"trial": "t", "model": "gan", "class": "3", "number": 2, "steps": 100}
    write_rows(tmp_path / "winners.jsonl", [decision])
    row = {"kind": "final", "status": "done", "model": "gan", "class": "3"}
    runs = [(number, steps) for steps in (50, 100, 200) for number in (0, 1, 2)]
    rows = [row | {"trial": f"{n}-{s}", "number": n, "steps": s} for n, s in runs]
    rows.append(row | {"trial": "tuned", "kind": "tuning", "number": 1, "steps": 50})
    write_rows(tmp_path / "trials.jsonl", rows)
    assert results.Results(tmp_path, {}, {}).trials["role"].tolist() == [
        *["superseded"] * 3,
        *["default", "superseded", "winner"],
        *["pending"] * 3,
        "superseded",
    ]


def test_each_number_of_images_has_its_own_winner(tmp_path: Path) -> None:
    own = {"model": "gan", "class": "3", "steps": None}
    winners = {"100 images": 1, "300 images": 2}
    decisions = [own | {"trial": "t", "variant": v, "number": n} for v, n in winners.items()]
    write_rows(tmp_path / "winners.jsonl", decisions)
    rows = [
        own | {"trial": f"{number}-{variant}", "variant": variant, "number": number}
        for variant in winners
        for number in (1, 2)
    ]
    ended = {"kind": "final", "status": "done"}
    write_rows(tmp_path / "trials.jsonl", [row | ended for row in rows])
    trials = results.Results(tmp_path, {}, {}).trials
    won = trials[trials["role"] == "winner"]
    assert dict(zip(won["variant"], won["number"], strict=True)) == winners


def test_a_study_keeps_what_it_grew_from(tmp_path: Path) -> None:
    study = Study(trials=2, results_dir=str(tmp_path), model=("a",))
    store = Store.create(study, {"files": {}}, "study")
    store.grow(study, ("trials", "model"), {})
    assert results.read(store.path).grown_from == [], "nothing is more than it was"
    files = {"model": {"b": "2"}}
    store.grow(Study(trials=4, model=("a", "b")), ("trials", "model"), files)
    store.close()
    content = json.loads((store.path / "study.json").read_text())
    assert content["grown_from"] == [{"trials": 2, "model": ["a"]}]
    assert (content["study"]["trials"], content["study"]["model"]) == (4, ["a", "b"])
    assert content["provenance"]["files"] == files


@pytest.mark.parametrize(
    ("part", "values", "message"),
    [
        ("study", {"model": {}}, "model of study cannot be {}"),
        ("study", {"model": [1]}, r"model of study cannot be \[1\]"),
        ("study", {"false_alarms": None}, "false_alarms of study cannot be None"),
        ("study", {"seeds": "many"}, "seeds of study cannot be 'many'"),
        ("provenance", {"commit": -1}, "commit of provenance cannot be -1"),
        ("provenance", {"files": {"model": 1}}, "files of provenance cannot be {'model': 1}"),
        ("provenance", {"dataset": {"fingerprint": 3}}, "fingerprint of dataset cannot be 3"),
    ],
)
def test_a_study_json_that_cannot_be_is_one_line(tmp_path: Path, part, values, message) -> None:
    study = make_study(tmp_path / "s", **ONE_RUN, **{part: values})
    with pytest.raises(UserError, match=rf"study\.json: not readable \({message}"):
        results.read(study)


def test_a_seed_may_be_a_float_as_pandas_writes_it_where_others_are_missing(tmp_path: Path) -> None:
    rows = [{"trial": "t", "seed": 3.0, "number": 1.0, "limit_anomalies": None}]
    write_rows(tmp_path / "trials.jsonl", rows)
    assert read_rows(tmp_path / "trials.jsonl") == rows


def test_a_winner_that_is_decided_again_is_one_line(tmp_path: Path) -> None:
    store = Store(tmp_path)
    decision = {"trial": "t", "model": "a", "class": "3", "number": 1, "steps": None}
    for number in (1, 1, 2):
        store.add_winner(decision | {"number": number})
    store.close()
    assert (tmp_path / "winners.jsonl").read_text().count("\n") == 2
