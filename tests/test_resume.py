"""What was stopped goes on: in the folder given, with the same choices, on the same images."""

import hashlib
import json
import shlex
import shutil
import signal
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch
from commands import PATIENCE, command, stopped_run, wait_for
from images import write_images
from small_models import NETWORKS, assert_same_to_the_bit, slow_except, small
from studies import assert_same_results, write_rows

import train
import train_tune
from bench import results
from bench.choices.errors import UserError
from bench.choices.study import RUN_CHECKPOINT, Study
from bench.commands import train as commands_train
from bench.commands.resume import resumable
from bench.data import datasets
from bench.results.provenance import machine
from bench.results.store import Store
from bench.training import model_files

THREES = ["--dataset", "digits", "--abnormal_class", "3"]
TINY = [*THREES, "--limit_train", "100", "--limit_test", "40"]
NETWORK = ["--ngf", "4", "--ndf", "4", "--nz", "8"]


def assert_same_run(one: results.Results, other: results.Results) -> None:
    """Fails unless both runs have the same results and weights, to the bit."""
    assert not (other.path / RUN_CHECKPOINT).exists()
    assert_same_results(one, other)
    for saved in (one, other):  # on Ray alone do runs begin again, as further attempts
        assert {*saved.trials.attempt, *saved.epochs.attempt} == {1}
    (trial,) = one.trials.trial
    (a, about_a), (b, about_b) = (
        model_files.load(saved.path / "models" / f"{trial}.safetensors") for saved in (one, other)
    )
    assert_same_to_the_bit(a.checkpoint(), b.checkpoint())
    assert about_a == about_b


@pytest.mark.parametrize("model", slow_except(NETWORKS, "autoencoder", "w_skipganomaly"))
def test_a_stopped_run_goes_on_to_the_same_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, model: str
) -> None:
    # With dropout, torch's own random numbers decide, too.
    hyperparameters = small(model, **({"dropout": 0.5} if model == "egbad" else {}))
    values = [word for key, value in hyperparameters.items() for word in (f"--{key}", str(value))]
    out = ["--results_dir", str(tmp_path / "my results")]
    flags = [*TINY, "--model", model, *values, *out, "--epochs", "2", "--cpus_per_trial", "1"]
    assert train.main([*flags, "--name", "whole"]) == 0
    stopped_run(monkeypatch, [*flags, "--name", "stopped"], written=model == "autoencoder")
    line = capsys.readouterr().out.splitlines()[-1]
    script, *words = shlex.split(line)[1:]
    assert script == "train.py"
    folder = tmp_path / "my results"
    assert len(results.read(folder / "stopped").epochs) == 1 + (model == "autoencoder")
    assert train.main(words) == 0
    whole, resumed = results.read(folder / "whole"), results.read(folder / "stopped")
    assert_same_run(whole, resumed)
    assert resumed.trials.train_seconds[0] == pytest.approx(resumed.epochs.train_seconds.sum()), (
        "an epoch was counted twice, or not at all"
    )
    assert train.main(words) == 0
    assert "this run is over" in capsys.readouterr().out


STOPS = [signal.SIGTERM, signal.SIGINT, signal.SIGKILL]


@pytest.mark.slow
@pytest.mark.parametrize("number", STOPS, ids=lambda number: number.name)
def test_a_run_that_is_stopped_by_a_signal(tmp_path: Path, number: signal.Signals) -> None:
    flags = [*TINY, *NETWORK, "--epochs", "25", "--cpus_per_trial", "1"]
    process = command(tmp_path, *flags, script="train.py")
    wait_for((tmp_path / "study" / RUN_CHECKPOINT).exists, process)
    process.send_signal(number)
    assert process.wait(PATIENCE) == (-9 if number == signal.SIGKILL else 130)
    log = tmp_path.with_suffix(".log").read_text()
    assert "Traceback" not in log
    if number != signal.SIGKILL:
        done = torch.load(tmp_path / "study" / RUN_CHECKPOINT, weights_only=True)["epoch"]
        assert f"interrupted with {done} of 25 epochs done" in log
        assert f"--name study --results_dir {tmp_path} --resume" in log
    resume = ["--name", "study", "--results_dir", str(tmp_path), "--resume", "--quiet"]
    assert train.main(resume) == 0
    saved = results.read(tmp_path / "study")
    assert saved.epochs.epoch.tolist() == list(range(1, 26))
    assert not list((tmp_path / "study").glob(".*.pt.*")), "half a checkpoint was left behind"


def test_a_run_goes_on_before_its_first_epoch_and_where_another_began_it(
    tmp_path: Path, monkeypatch
) -> None:
    """No checkpoint yet; the weights that it was to begin with are loaded again."""
    flags = [*TINY, "--results_dir", str(tmp_path), "--cpus_per_trial", "1", "--epochs", "2"]
    assert train.main([*flags, *NETWORK, "--name", "first"]) == 0
    weights = tmp_path / "first" / "models" / "w_skipganomaly-3-000-seed0.safetensors"
    further = [*flags, "--load", str(weights), "--batch_size", "16"]
    assert train.main([*further, "--name", "whole"]) == 0
    stopped_run(monkeypatch, [*further, "--name", "stopped"], epoch=1)
    assert not (tmp_path / "stopped" / RUN_CHECKPOINT).exists()
    content = weights.read_bytes()
    weights.write_bytes((tmp_path / "whole" / "models" / weights.name).read_bytes())
    with pytest.raises(UserError, match="has changed since this run began with its weights"):
        train.main(["--name", "stopped", "--results_dir", str(tmp_path), "--resume"])
    weights.write_bytes(content)
    assert train.main(["--name", "stopped", "--results_dir", str(tmp_path), "--resume"]) == 0
    whole = results.read(tmp_path / "whole")
    assert_same_run(whole, results.read(tmp_path / "stopped"))
    assert whole.trials.config_batch_size[0] == 16
    first, further = results.read(tmp_path / "first").trials.iloc[0], whole.trials.iloc[0]
    assert further.images_seen == 16 * first.images_seen / first.config_batch_size
    assert further.passes == pytest.approx(first.passes)
    assert further.sha256_load == hashlib.sha256(content).hexdigest()


@pytest.fixture
def stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of images, and beside it a run on it that was stopped after an epoch."""
    for seed, (place, count) in enumerate((("train/good", 40), ("test/good", 8), ("test/bad", 8))):
        write_images(tmp_path / "images" / place, count, seed, (16, 16))
    monkeypatch.chdir(tmp_path)
    flags = ["--dataset", "images", "--batch_size", "16", *NETWORK, "--epochs", "2"]
    stopped_run(monkeypatch, [*flags, "--name", "run"])
    return tmp_path


def test_the_folder_to_score_is_kept_too(stopped: Path, capsys: pytest.CaptureFixture) -> None:
    out = ["--name", "run", "--resume"]
    with pytest.raises(UserError, match="--score_folder: none does not exist"):
        train.main([*out, "--score_folder", "none"])
    assert train.main([*out, "--score_folder", "images/test"]) == 0
    assert len(pd.read_csv("results/run/scores.csv")) == 16
    with pytest.raises(UserError, match="the run is over; give --load"):
        train.main([*out, "--score_folder", "images/test"])
    assert train.main(out) == 0
    assert "not scored" not in capsys.readouterr().out
    # A run that began with the folder and was killed before it scored its images:
    study = json.loads(Path("results/run/study.json").read_text())
    study["run"]["score_folder"] = "images/test"
    Path("results/run/study.json").write_text(json.dumps(study))
    Path("results/run/scores.csv").unlink()
    assert train.main(out) == 0
    assert "images/test is not scored yet: give --load the model in" in capsys.readouterr().out


def test_a_run_that_another_command_ended_meanwhile_is_not_trained_again(
    stopped: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That command ends, and lets go of the folder, while this one loads torch and the data."""

    def ended_meanwhile(*arguments: object) -> Store:
        row = {"trial": "t", "kind": "final", "status": "done", "model": "pca", "class": "3"}
        write_rows(stopped / "results" / "run" / "trials.jsonl", [row])
        return Store(*arguments)

    monkeypatch.setattr(commands_train, "Store", ended_meanwhile)
    with pytest.raises(UserError, match="another command has ended this run meanwhile"):
        train.main(["--name", "run", "--resume"])


def test_other_images_are_refused(stopped: Path) -> None:
    before = results.read("results/run").provenance["dataset"]["fingerprint"]
    (stopped / "images/train/good/0.png").unlink()
    with pytest.raises(UserError, match=f"fingerprint is [0-9a-f]{{16}}, and was {before} when"):
        train.main(["--name", "run", "--resume"])
    assert results.read("results/run").trials.empty


def test_the_same_images_elsewhere_are_taken(
    stopped: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From another working directory, with the data moved and called otherwise."""
    elsewhere = stopped / "elsewhere"
    elsewhere.mkdir()
    (stopped / "images").rename(elsewhere / "renamed")
    monkeypatch.chdir(elsewhere)
    out = ["--results_dir", "../results", "--name", "run", "--resume"]
    assert train.main([*out, "--dataset", "renamed"]) == 0
    saved = results.read("../results/run")
    assert saved.trials.dataset.tolist() == ["images"], (
        "what a report takes for one data set keeps its name"
    )


def test_a_copy_is_read_and_written_and_the_original_left_alone(
    stopped: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def files() -> dict[Path, bytes]:
        paths = (stopped / "results" / "run").rglob("*")
        return {path: path.read_bytes() for path in paths if path.is_file()}

    original = files()
    other = stopped / "other"
    shutil.copytree(stopped / "results" / "run", other / "results" / "copy")
    monkeypatch.chdir(other)
    assert train.main(["--name", "copy", "--resume", "--dataset", "../images"]) == 0
    assert len(results.read("results/copy").trials) == 1
    assert files() == original


def test_other_choices_are_refused(stopped: Path) -> None:
    mistakes = [
        (["--epochs", "5"], "--epochs 2, not 5"),
        (["--lr", "0.5"], "--lr 0.0002, not 0.5"),
        (["--batch_size", "8"], "--batch_size 16, not 8"),
        (["--model", "ganomaly"], "--model w_skipganomaly, not ganomaly"),
        (["--load", "results/run/study.json"], "leave out --load"),
        (["--audit"], "is no audit, but a run; leave out --audit"),
    ]
    for flags, message in mistakes:
        with pytest.raises(UserError, match=message):
            train.main(["--name", "run", "--resume", *flags])


def test_a_damaged_checkpoint_is_named(stopped: Path) -> None:
    whole = (stopped / "results/run" / RUN_CHECKPOINT).read_bytes()
    for content in (b"", b"nothing", whole[: len(whole) // 2]):
        (stopped / "results/run" / RUN_CHECKPOINT).write_bytes(content)
        with pytest.raises(UserError, match=r"run\.pt cannot be used"):
            train.main(["--name", "run", "--resume"])
    (stopped / "results/run" / RUN_CHECKPOINT).write_bytes(whole)
    assert train.main(["--name", "run", "--resume"]) == 0


def test_each_command_refuses_the_others_folders(stopped: Path) -> None:
    with pytest.raises(
        UserError, match=r"was made by train\.py; go on with: python train\.py --name run"
    ):
        train_tune.main(["--name", "run", "--resume"])
    content = json.loads((stopped / "results/run/study.json").read_text())
    other = json.dumps(content | {"made_by": "train_tune.py"})
    (stopped / "results/run/study.json").write_text(other)
    with pytest.raises(UserError, match=r"go on with: python train_tune\.py"):
        train.main(["--name", "run", "--resume"])
    del content["made_by"]  # an earlier version's
    content["provenance"]["command"] = "python /somewhere/train.py --name run"
    (stopped / "results/run/study.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"was made by train\.py"):
        train_tune.main(["--name", "run", "--resume"])


def test_the_traceback_of_an_error_ends_with_how_to_go_on(tmp_path: Path) -> None:
    study = Study(results_dir=str(tmp_path))
    with (
        pytest.raises(ZeroDivisionError) as raised,
        resumable("train.py", lambda: Store.create(study, {}, "s"), lambda: "after epoch 1"),
    ):
        raise ZeroDivisionError
    flags = f"--name s --results_dir {tmp_path} --resume"
    (line,) = raised.value.__notes__
    assert line == f"once its cause is gone, with unchanged code: python train.py {flags}"


def test_a_study_on_other_images_is_refused(tmp_path: Path) -> None:
    """Of --limit_* subsets the very same images are wanted."""
    digits = datasets.load("digits", root=tmp_path)
    study = Study(
        dataset="digits", abnormal_class=("3",), limit_train=300, trials=0, seeds=1, model=("pca",)
    )
    for name, images in (
        ("same", digits.limit(300, None)),
        ("other", digits.limit(300, None, seed=1)),
    ):
        study = replace(study, results_dir=str(tmp_path), name=name)
        Store.create(study, machine() | {"dataset": images.description([])}, name).close()
    flags = ["--results_dir", str(tmp_path), "--resume", "--dry_run"]
    assert train_tune.main(["--name", "same", *flags]) == 0
    with pytest.raises(UserError, match="the images of --dataset have changed"):
        train_tune.main(["--name", "other", *flags])
