"""How real studies on Ray fail, go on, and can be made again."""

import json
import shlex
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from commands import finished_run
from studies import assert_same_results
from tuning_studies import check_study, study_runner  # noqa: F401

import train_tune
from bench import results
from bench.choices.tasks import SOUND, Task
from bench.data.datasets import Dataset
from bench.data.splits import make_split
from bench.reporting import reproduce


@pytest.mark.slow
def test_failed_trials_are_recorded_and_the_study_goes_on(
    study, capsys: pytest.CaptureFixture
) -> None:
    """A learning rate that blows the networks up fails its trial, and the exit status says so."""
    flags = "--searcher grid --scheduler fifo --space lr=1e-4,1e30 --epochs 2 --seeds 1".split()
    status, saved = study(*flags)
    assert status == 1
    failed = saved.trials[saved.trials.status == "error"]
    assert failed.config_lr.tolist() == [1e30]
    assert "FloatingPointError" in failed.error.iloc[0]
    assert (saved.trials[saved.trials.kind == "final"].status == "done").all()
    assert "failed: w_skipganomaly-3-" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize(  # test_journal.py has the others, without Ray
    "searcher", ["random", pytest.param("tpe", marks=pytest.mark.long)]
)
def test_resume_runs_only_what_is_missing(study, tmp_path: Path, searcher: str) -> None:
    """A finished study whose rows are cut, and which is moved, ends with the same rows, to the bit.

    One trial at a time: before each proposal, the searcher then knows the same results.
    """
    flags = "--scheduler fifo --trials 6 --epochs 1 --seeds 2 --cpus_per_trial 2".split()
    _, whole = study("--searcher", searcher, *flags, name="whole")
    moved = tmp_path / "elsewhere" / "cut"
    shutil.copytree(whole.path, moved)
    path = moved / "trials.jsonl"
    kept = path.read_text().splitlines(keepends=True)[:4]
    path.write_text("".join(kept) + '{"trial": "half a li')
    assert train_tune.main(["--results_dir", str(moved.parent), "--name", "cut", "--resume"]) == 0
    again = results.read(moved)
    assert path.read_text().splitlines(keepends=True)[:4] == kept
    assert_same_results(whole, again)


@pytest.mark.slow
def test_reproduce_gives_the_same_scores_to_the_bit(
    study, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    """By the command that report.py prints, for a final run and for a tuning run."""
    flags = "--searcher random --scheduler fifo --trials 2 --epochs 2 --steps 7 --seeds 1".split()
    _, saved = study(*flags)
    final = saved.trials.loc[saved.trials.role == "winner", "trial"].item()
    for trial in (final, "w_skipganomaly-3-001"):
        command = shlex.split(reproduce.command_for({"study": saved}, trial))
        assert command[:2] == ["python", "train.py"]
        again = finished_run(tmp_path, *command[2:], name=f"again-{trial}")
        before, after = saved.trials.set_index("trial").loc[trial], again.trials.iloc[0]
        for column in ("epoch", "epochs", "objective", "val_auroc", "val_loss"):
            assert after[column] == before[column]
        if before.kind == "final":
            scores = again.scores(after.trial)
            pd.testing.assert_frame_equal(scores, saved.scores(trial), check_exact=True)


def test_trials_map_the_images_uncopied(ray_session) -> None:
    """The object store holds the images once; every trial on the machine reads the same memory."""
    import ray

    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (400, 3, 32, 32), dtype=np.uint8), np.repeat([0, 1], 200)
    dataset = Dataset("synthetic", ("a", "b"), images, labels, images[::2].copy() // 2, labels[::2])
    splits = {cls: make_split(dataset, Task("one-class", cls), SOUND, seed=0) for cls in "ab"}
    stored = ray.put(splits)
    parts = [part for fetched in (ray.get(stored), ray.get(stored)) for split in fetched.values()
             for part in (split.train, split.val.images, split.test.images)]  # fmt: skip
    (address,) = {part.source.on("cpu").data_ptr() for part in parts}
    assert address != dataset.images.ctypes.data
    assert torch.equal(ray.get(stored)["a"].train[:], splits["a"].train[:])


def test_study_json_says_how_it_was_made(study) -> None:
    status, saved = study("--trials", "1", "--epochs", "1", "--seeds", "1")
    assert status == 0
    check_study(saved, trials=1, seeds=1)
    content = json.loads((saved.path / "study.json").read_text())
    assert content["study"]["seeds"] == 1
    assert content["provenance"]["versions"]["torch"]
    assert content["provenance"]["dataset"]["fingerprint"]
