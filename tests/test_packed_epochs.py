"""Packing a study's epochs: nothing is lost, and the study goes on."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from studies import edit, every_run, make_study

import train_tune
from bench import results
from bench.choices.errors import UserError
from bench.results import packing
from bench.results.rows import EPOCHS, PACKED_EPOCHS, epoch_rows


@pytest.fixture
def study(tmp_path: Path) -> Path:
    return make_study(tmp_path / "s", models=("pca",), seeds=(1,))


def test_epochs_are_packed_as_they_are_and_again_with_those_since(study: Path) -> None:
    first, lines = epoch_rows(study), (study / EPOCHS).read_bytes()
    packing.pack(study)
    assert not (study / EPOCHS).exists()
    assert epoch_rows(study) == first
    later = lines.replace(b'"epoch"', b'"attempt": 2, "epoch"', 1)
    (study / EPOCHS).write_bytes(later)
    both = epoch_rows(study)
    assert both[: len(first)] == first
    assert len(both) == 2 * len(first)
    packing.pack(study)
    assert epoch_rows(study) == both
    assert len(results.read(study).epochs) == len(first) - 2, "of one run the last attempt counts"


def test_a_pack_that_was_killed_before_it_removed_the_rows_does_not_take_them_twice(
    study: Path,
) -> None:
    rows, lines = epoch_rows(study), (study / EPOCHS).read_bytes()
    packing.pack(study)
    (study / EPOCHS).write_bytes(lines)
    packing.pack(study)
    assert epoch_rows(study) == rows


@pytest.mark.parametrize("name", [EPOCHS, PACKED_EPOCHS])
def test_no_row_is_removed_where_a_file_is_damaged(study: Path, name: str) -> None:
    lines = (study / EPOCHS).read_bytes()
    packing.pack(study)
    (study / EPOCHS).write_bytes(lines)
    content = (study / name).read_bytes()
    (study / name).write_bytes(content[:40] + b"?" + content[40:])
    before = {file: file.read_bytes() for file in study.glob("epochs*")}
    with pytest.raises(UserError, match=f"{name}: (line 1 is no JSON|not readable)"):
        packing.pack(study)
    assert {file: file.read_bytes() for file in study.glob("epochs*")} == before


@pytest.mark.slow
def test_a_packed_study_is_resumed(tmp_path: Path, ray_session: None) -> None:
    """Two final runs; the second one's row is taken away, as if the study had stopped before."""
    place = ["--name", "s", "--results_dir", str(tmp_path)]
    flags = ["--dataset", "digits", "--model", "pca", "--abnormal_class", "3"]
    assert train_tune.main([*flags, "--trials", "0", "--seeds", "2", *place]) == 0
    first, second = whole = every_run(folder := tmp_path / "s")
    edit(folder, lambda row: row if row["trial"] == first else None)
    shutil.rmtree(folder / "scores" / second)
    packing.pack(folder)
    assert train_tune.main([*place, "--resume"]) == 0
    assert [path.parent.name for path in folder.glob("scores/*/histogram.csv")] == [second]
    attempts = results.read(folder).trials.set_index("trial")["attempt"]
    assert attempts[second] == 2, "the packed rows have its first attempt"
    resumed = every_run(folder)
    assert set(resumed) == {first, second}
    pd.testing.assert_frame_equal(resumed[second], whole[second], check_exact=True)
    assert packing.same(resumed[first], whole[first], np.float32)
