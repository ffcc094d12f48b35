"""The scripts as users meet them: spellings that work, and one clear line for every mistake."""

import errno
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
from commands import ROOT, fails, finished_run, replaced

import train
import train_tune
from bench.choices.script import run_main

SMALL = ["--dataset", "digits", "--abnormal_class", "3"]


MISTAKES = [
    (["--model", "w_skipganomoly"], ["--model", "did you mean 'w_skipganomaly'", "ganomaly"]),
    (["--dataset", "cifar11"], ["--dataset", "did you mean 'cifar10'", "digits"]),
    (["--dataset", "no/such/folder"], ["no/such/folder"]),
    (["--abnormal_class", "bird"], ["--abnormal_class", "bird", "0, 1, 2"]),
    (["--normal_class", "3"], ["--abnormal_class", "--normal_class"]),
    (["--image_size", "21"], ["--image_size", "w_skipganomaly", "multiples of 4", "20 or 24"]),
    (["--image_size", "1040"], ["--image_size", "16", "1024"]),
    (["--channels", "2"], ["--channels"]),
    (["--batch_size", "5000"], ["--batch_size", "5000"]),
    (["--epochs", "0"], ["--epochs", "1 or more"]),
    (["--epochs", "many"], ["--epochs"]),
    (["--limit_train", "-5"], ["--limit_train"]),
    (["--limit_train", "4"], ["--limit_train"]),
    (["--precision", "float16"], ["--precision", "bfloat16"]),
    (["--precision", "tf32", "--device", "cpu"], ["--precision tf32", "only a GPU", "float32"]),
    (["--deterministic", "perhaps"], ["--deterministic"]),
    (["--select_on", "test_auroc"], ["--select_on", "val_auroc"]),
    (["--name", "../elsewhere"], ["--name"]),
    (["--no_such_flag"], ["--no_such_flag: there is no such flag"]),
    (["--limit-trian", "9"], ["did you mean --limit_train?"]),
    (["--epochs", "2", "--niter", "3"], ["--epochs and --niter are the same flag"]),
    (["--seed", "99999999999999999999"], ["--seed", "4000000000 or less"]),
    (["--cpus_per_trial", "99999"], ["--cpus_per_trial", "this machine has"]),
    (["--limit_train", "5000"], ["--limit_train: 5000 is more than the 1198 training images"]),
    (["--name", "n" * 300], ["--name", "200 bytes at most"]),
    (["--dataset", "d" * 300], ["d" * 60, "too long for files"]),
    (["--model", "knn", "--model", "pca"], ["--model is given twice"]),
    (["--abnormal_class", "3", "--abnormal_class", "4"], ["--abnormal_class is given twice"]),
]
RUN_MISTAKES = [
    (["--trials", "3"], ["--trials: this is a flag of train_tune.py"]),
    (["--set", "w_con=3"], ["--set: a flag of train_tune.py", "(--w_con 50)"]),
    (["--list"], ["--list: this is a flag of train_tune.py"]),
    (["--abnormal_class", "3", "4"], ["--abnormal_class: train.py trains on one class"]),
    (["--abnormal_class", "all"], ["--abnormal_class: train.py trains on one class"]),
    (["--limit_train", "100", "500"], ["--limit_train", "train.py takes one value"]),
    (["--contamination", "0", "0.1"], ["--contamination", "train.py takes one value"]),
    (["--limit_anomalies", "999"], ["--limit_anomalies", "108 abnormal", "give 108 or less"]),
    (["--audit", "--false_alarms", "0.1"], ["--audit", "leave out --false_alarms"]),
    (["--audit", "--display"], ["--audit", "leave out --display"]),
    (["--lr", "-1"], ["lr must be"]),
    (["--skip", "perhaps"], ["--skip"]),
    (["--w_cno", "5"], ["--w_cno"]),
]
TUNE_MISTAKES = [
    (["--limit_train", "100", "-5"], ["--limit_train", "1 or more, not -5"]),
    (["--limit_train", "100", "4"], ["--limit_train", "4 is not one image"]),
    (["--limit_train", "100", "9999"], ["9999 is more than the 1198 training"]),
    (["--contamination", "0", "0.6"], ["--contamination", "not 0.6"]),
    (
        ["--contamination", "0", "0.1", "--protocol", "published"],
        ["--contamination", "--test_pool official"],
    ),
    (
        ["--limit_anomalies", "9", "--protocol", "published"],
        ["--limit_anomalies", "the test images choose", "--selection val"],
    ),
    (["--limit_anomalies", "0"], ["--limit_anomalies", "1 or more"]),
    (["--scheduler", "ashaa"], ["--scheduler", "did you mean 'asha'"]),
    (["--searcher", "bayes"], ["--searcher", "tpe"]),
    (["--seeds", "0"], ["--seeds"]),
    (["--trials", "-1"], ["--trials"]),
    (["--space", "w_con"], ["--space", "w_con"]),
    (["--space", "w_con=5..1"], ["--space", "below"]),
    (["--space", "w_con=a,b"], ["--space", "w_con is a number"]),
    (["--space", "mine.py", "w_con=1,2"], ["--space: give one file alone"]),
    (["--space", "w_con=1..1e400"], ["--space", "both finite"]),
    (["--dataset", ""], ["--dataset: the path is empty"]),
    (["--start_from", " "], ["--start_from: the path is empty"]),
    (["--space", "w_cno=1,2"], ["--space", "did you mean 'w_con'"]),
    (["--space", "lr=0..1:log"], ["--space", "log"]),
    (["--space", "nz=0,10"], ["nz", "1 or more"]),
    (["--set", "ngf"], ["--set", "NAME=VALUE"]),
    (["--set", "skip=maybe"], ["--set", "skip must be True or False, not maybe"]),
    (["--set", "ngf=8", "--set", "ndf=8"], ["--set is given twice"]),
    (["--tune", "False", "--trials", "3"], ["--tune False", "leave out --trials"]),
    (["--address", ""], ["--address: '' is neither auto nor HOST:PORT"]),
    (["--address", "head"], ["--address: 'head' is neither auto nor HOST:PORT"]),
    (["--storage", "README.md"], ["--storage", "README.md is no folder"]),
    (["--set", "nz=some"], ["--set", "nz must be a whole number, not some"]),
    (["--config", "a.toml", "--config", "b.toml"], ["--config is given twice"]),
    (
        ["--model", "autoencoder", "--set", "lr=1e30", "--dry_run"],
        ["autoencoder fails with its default configuration: the loss"],
    ),
    (["--time_budget", "soon"], ["--time_budget", "2h"]),
    (["--scheduler", "pb2", "--space", "nz=10,20"], ["pb2", "range"]),
    (["--quiet", "--verbose"], ["--quiet", "--verbose"]),
    (["--wandb"], ["--wandb"]),
    (["--nz", "50"], ["--nz: a hyperparameter is fixed with --set nz=VALUE"]),
    (["--audit"], ["--audit: this is a flag of train.py"]),
    (["--resume"], ["--resume", "--name"]),
    (["--resume", "--name", "never_was"], ["never_was"]),
]


CASES = [
    *((script, *case) for case in MISTAKES for script in (train, train_tune)),
    *((train, *case) for case in RUN_MISTAKES),
    *((train_tune, *case) for case in TUNE_MISTAKES),
]


@pytest.mark.parametrize(
    ("script", "flags", "words"), CASES, ids=lambda value: getattr(value, "__name__", str(value))
)
def test_mistakes(capsys, tmp_path: Path, script, flags: list[str], words: list[str]) -> None:
    line = fails(capsys, script, replaced(SMALL, flags), tmp_path)
    for word in words:
        assert word in line


@pytest.mark.parametrize(
    "flags", [["--mlflow"], ["--wandb", "project"]], ids=lambda flags: flags[0]
)
def test_a_package_that_is_not_installed(capsys, tmp_path: Path, flags: list[str]) -> None:
    package = flags[0][2:]
    if importlib.util.find_spec(package):
        pytest.skip(f"{package} is installed")
    line = fails(capsys, train_tune, replaced(SMALL, flags), tmp_path)
    assert f"{flags[0]}: the package {package} is not installed (uv pip install {package}" in line
    assert "with conda, pip)" in line


def test_existing_study_is_never_overwritten(capsys, tmp_path: Path) -> None:
    there = tmp_path / "results" / "mine"
    there.mkdir(parents=True)
    (there / "precious.txt").write_text("kept")
    for script in (train, train_tune):
        assert "mine exists already" in fails(capsys, script, [*SMALL, "--name", "mine"], tmp_path)
    assert (there / "precious.txt").read_text() == "kept"


@pytest.mark.parametrize("script", [train, train_tune])
def test_results_that_can_go_nowhere(script, capsys, tmp_path: Path) -> None:
    (tmp_path / "results").write_text("a file")
    line = fails(capsys, script, SMALL, tmp_path)
    assert line == f"error: --results_dir: {tmp_path / 'results'} is no folder\n"


def test_mistakes_as_a_process(tmp_path: Path) -> None:
    """The real thing once: exit status, one line, in under 10 s."""
    words = [sys.executable, str(ROOT / "train_tune.py"), "--model", "ganomoly"]
    words += ["--dataset", "digits"]
    done = subprocess.run(words, capture_output=True, text=True, cwd=tmp_path, timeout=60)
    assert done.returncode == 2
    assert done.stderr.startswith("error: --model: there is no 'ganomoly'")
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_train_writes_a_study(capsys, tmp_path: Path) -> None:
    """Users' known spellings; rows, scores and the chosen epoch agree with one another."""
    flags = "--isize 32 --nc 1 --niter 2 --batchsize 32 --w_con 50 --w_lat 1 --w_adv 1".split()
    small = "--ngf 4 --ndf 4 --limit_train 200 --limit_test 100 --model w_skipganomaly".split()
    saved = finished_run(tmp_path, *SMALL, *flags, *small, "--display")
    row = saved.trials.iloc[0]
    assert (row.kind, row.status, row.family) == ("final", "done", "GAN")
    assert (row.config_w_con, row.config_batch_size, row.fair_steps) == (50, 32, 2100)
    assert len(saved.epochs) == 2
    chosen = saved.epochs.set_index("epoch").loc[row.epoch]
    assert chosen.val_auroc == saved.epochs.val_auroc.max() == row.val_auroc
    assert chosen.test_auroc == pytest.approx(row.test_auroc)
    assert len(saved.scores(row.trial)) == 100
    assert "next: python report.py" in capsys.readouterr().out


def test_train_on_skip_wganomalys_folder(tmp_path: Path, wganomaly_folder: Path) -> None:
    """The class that is not trained on is abnormal; without abnormal images val_loss chooses."""
    flags = "--isize 32 --niter 1 --batchsize 16 --ngf 4 --ndf 4".split()
    row = finished_run(tmp_path, "--dataset", str(wganomaly_folder), *flags).trials.iloc[0]
    assert (row["class"], row.select_on) == ("1.abnormal", "val_loss")
    assert (row.n_test_normal, row.n_test_abnormal) == (8, 6)


def test_each_models_own_batch_size_is_held_against_the_images(
    capsys, tmp_path: Path, wganomaly_folder: Path
) -> None:
    """30 training images: knn has no batches, AnoGAN's are 50."""
    folder = ["--dataset", str(wganomaly_folder), "--abnormal_class", "1.abnormal"]
    assert finished_run(tmp_path, *folder, "--model", "knn").trials.status.item() == "done"
    assert "10 normal images that were held out are too few to call any" in capsys.readouterr().err
    for script in (train, train_tune):
        line = fails(capsys, script, [*folder, "--model", "anogan"], tmp_path)
        assert "--batch_size: 50 (anogan) is more than the 30 training images" in line
    several = [*folder, "--model", "knn", "anogan", "--set", "batch_size=37"]
    assert "--batch_size: 37" in fails(capsys, train_tune, several, tmp_path)
    for space, largest in (("batch_size=16,37", 50), ("batch_size=16,70", 70)):
        searched = [*folder, "--model", "anogan", "--space", space]
        assert f"--batch_size: {largest}" in fails(capsys, train_tune, searched, tmp_path)


def test_a_file_that_may_not_be_read_is_one_line(capsys):
    def main() -> int:
        raise PermissionError(errno.EACCES, "Permission denied", "/secret/study.json")

    with pytest.raises(SystemExit) as stop:
        run_main(main)
    assert stop.value.code == 2
    assert capsys.readouterr().err == "error: /secret/study.json: Permission denied\n"


@pytest.mark.parametrize("kept", ["all", "none"])
def test_keep_models_none_keeps_no_model(tmp_path: Path, capsys, kept: str) -> None:
    study = finished_run(tmp_path, *SMALL, "--model", "pca", "--keep_models", kept)
    names = [path.name for path in study.path.glob("models/*")]
    assert names == ["pca-3-000-seed0.safetensors"] * (kept == "all")
    assert ("the trained model:" in capsys.readouterr().out) == (kept == "all")
