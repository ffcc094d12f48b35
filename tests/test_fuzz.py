"""Whatever lies in a file: a right answer or one clear error, never a traceback."""

import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load, save

import models
from bench import results
from bench.choices.errors import UserError
from bench.choices.study import Study
from bench.data import datasets
from bench.results.rows import read_rows
from bench.results.store import Store
from bench.training import model_files

FILES = settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)
ROWS = st.fixed_dictionaries(
    {"trial": st.text(max_size=5)}, optional={"epoch": st.integers(), "x": JSON}
)


def outcome(call: Callable[[], Any]) -> tuple[Any, str]:
    """What a call gives, and the text of its UserError.

    Anything else that it raises is a failure.
    """
    try:
        return call(), ""
    except UserError as error:
        return None, str(error)


@FILES
@given(
    lines=st.lists(st.binary(max_size=20) | JSON.map(json.dumps).map(str.encode), max_size=4),
    end=st.booleans(),
)
def test_any_bytes_as_rows(tmp_path: Path, lines: list[bytes], end: bool) -> None:
    path = tmp_path / "trials.jsonl"
    path.write_bytes(b"\n".join(lines) + b"\n" * end)
    rows, error = outcome(lambda: read_rows(path))
    if error:
        assert "trials.jsonl: line" in error
        return
    assert all(isinstance(row["trial"], str) for row in rows)


@settings(FILES, max_examples=100)  # each row is synchronised with the disk
@given(rows=st.lists(ROWS, max_size=5), cut=st.integers(0, 60))
def test_rows_come_back_but_for_a_cut_one(tmp_path: Path, rows: list[dict], cut: int) -> None:
    """Of a file cut off anywhere, every whole row comes back.

    The next row does not grow onto the rest.
    """
    path = tmp_path / "study"
    path.mkdir(exist_ok=True)
    lines = [json.dumps(row).encode() + b"\n" for row in rows]
    whole = b"".join(lines)
    kept = whole[: max(0, len(whole) - cut)]
    names = ("trials.jsonl", "epochs.jsonl", "winners.jsonl")
    for name in names:
        (path / name).write_bytes(kept)
    store = Store(path)
    for name in names:
        store.append(name, {"trial": "next"})
    store.close()
    ends = itertools.accumulate(map(len, lines))
    count = sum(end - 1 <= len(kept) for end in ends)  # the last may lack its newline alone
    whole_rows = [json.dumps(row) for row in rows[:count]]
    for name in names:
        read = [json.dumps(row) for row in read_rows(path / name)]
        assert read == [*whole_rows, '{"trial": "next"}']


@FILES
@given(content=st.binary(max_size=30) | JSON.map(json.dumps).map(str.encode))
def test_any_bytes_as_a_study(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "study.json").write_bytes(content)
    _, error = outcome(lambda: results.read(tmp_path))
    if error:
        assert "study.json" in error
        return
    assert isinstance(json.loads(content)["study"], dict)


def check_scores_of(folder: Path, *files: str) -> None:
    """Fails unless the scores of trial t are usable numbers, or the error names one of the files."""
    row = {"trial": "t", "kind": "final", "status": "done", "model": "m", "class": "c"}
    (folder / "trials.jsonl").write_text(json.dumps(row))
    frame, error = outcome(lambda: results.Results(folder, {}, {}).scores("t"))
    if error:
        assert any(file in error for file in files)
        return
    assert frame["labels"].isin([0, 1]).all()
    assert np.isfinite(frame.to_numpy(float)).all()


CELLS = st.one_of(st.floats(), st.sampled_from([0, 1, "", "x", '"', "nan", "1e999"]))


@FILES
@given(
    header=st.sampled_from(
        ["scores,labels", "scores,labels,part_x", "scores", "", "labels,scores"]
    ),
    cells=st.lists(st.lists(CELLS, min_size=1, max_size=3), max_size=4),
)
def test_any_table_as_scores(tmp_path: Path, header: str, cells: list[list]) -> None:
    path = tmp_path / "scores" / "t" / "histogram.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([header, *(",".join(map(str, row)) for row in cells)]))
    check_scores_of(tmp_path, "histogram.csv")


@settings(FILES, max_examples=100)
@given(
    data=st.data(),
    columns=st.sets(st.sampled_from(["trial", "scores", "labels", "part_x", "same_part"])),
)
def test_any_bytes_as_packed_scores(tmp_path: Path, data: st.DataObject, columns: set[str]) -> None:
    """A Parquet file of any columns, with a few of its bytes changed."""
    kinds = [st.floats(), st.integers(0, 1), st.sampled_from(["", "x", "part_x"])]
    pairs = st.one_of([st.lists(kind, min_size=2, max_size=2) for kind in kinds])
    cells = {name: ["t", "u"] if name == "trial" else data.draw(pairs) for name in columns}
    content = bytearray(pd.DataFrame(cells).to_parquet())
    changes = st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), max_size=3)
    for place, byte in data.draw(changes):
        content[place % len(content)] = byte
    (tmp_path / "scores.parquet").write_bytes(content)
    check_scores_of(tmp_path, "scores.parquet", "histogram.csv")


NAMES = st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=6)


@settings(FILES, max_examples=60)
@given(
    names=st.lists(NAMES, max_size=3),
    content=st.binary(max_size=40),
    suffix=st.sampled_from([".png", ".jpg", ""]),
)
def test_any_files_as_a_data_set(
    tmp_path_factory, names: list[str], content: bytes, suffix: str
) -> None:
    folder = tmp_path_factory.mktemp("data")
    (folder / "train" / "a").mkdir(parents=True)
    for name in names:
        if name + suffix not in (".", ".."):
            (folder / "train" / "a" / (name + suffix)).write_bytes(content)
    dataset, error = outcome(lambda: datasets.load(str(folder), root=folder))
    if error:
        assert "--dataset" in error
        return
    assert len(dataset.train_images)


@settings(max_examples=300)
@given(
    st.fixed_dictionaries(
        {},
        optional={
            "name": st.text(max_size=8),
            "time_budget": st.text(max_size=4)
            | st.from_regex(r"[0-9.e-]{1,4}[smhd]", fullmatch=True),
            "trials": st.integers(-3, 3),
            "gpus_per_trial": st.floats(),
            "set": st.lists(st.text(max_size=6), max_size=2).map(tuple),
            "select_on": st.text(max_size=4),
        },
    )
)
def test_any_choices_are_a_study_or_a_clear_error(choices: dict) -> None:
    study, error = outcome(lambda: Study(**choices))
    held, error = outcome(study.hyperparameters) if study else (None, error)
    if error:
        assert error.startswith("--")
        return
    assert study.budget_seconds() > 0
    assert set(held) == {item.partition("=")[0] for item in study.set}


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every container in a JSON value, with each of its keys."""
    if isinstance(value, dict | list):
        for key in list(value) if isinstance(value, dict) else range(len(value)):
            yield value, key
            yield from places(value[key])


@settings(FILES, max_examples=100)
@given(place=st.integers(0, 10_000), junk=JSON)
def test_any_header_of_a_model_file(tmp_path: Path, place: int, junk: Any) -> None:
    model = models.create("knn", (1, 16, 16), samples=2, neighbours=1)
    data = model_files.packed("knn", model, model_files.trained_state(model), {})
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"]
    content = json.loads(header[model_files.FORMAT])
    where = list(places(content))
    container, key = where[place % len(where)]
    container[key] = junk
    path = tmp_path / "model.safetensors"
    path.write_bytes(save(load(data), {model_files.FORMAT: json.dumps(content)}))
    loaded, error = outcome(lambda: model_files.load(path))
    assert loaded or error.startswith(f"--load: {path}")
