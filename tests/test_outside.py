"""Models, data sets and search spaces in files outside the repository: what they do in a study."""

import hashlib
import json
import shlex
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from commands import ROOT, command, stopped_run, wait_for
from own_files import MODEL, SPACE, TINY
from PIL import Image

import models
import report
import train
import train_tune
from bench import results
from bench.choices import outside
from bench.choices.errors import UserError
from bench.choices.flags import study_from
from bench.tuning.spaces import space_of

EDITED = MODEL + "\n# edited\n"
FEW = ["--epochs", "2", "--cpus_per_trial", "1", "--width", "4", "--nz", "8"]


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_run_says_which_files_made_it_and_its_model_scores_anywhere(own, capsys, monkeypatch):
    data = ["--dataset", "flipped.py", *TINY, *FEW, "--name", "run"]
    assert train.main(["--model", "mine.py", "--noise", "0.2", *data]) == 0
    saved = results.read("results/run")
    (row,) = saved.trials.to_dict("records")
    assert row["trial"] == "mine-8-000-seed0"
    assert (row["model"], row["dataset"], row["config_noise"]) == ("mine", "flipped", 0.2)
    assert row["config_batch_size"] == 8, "the data set's own DEFAULTS"
    hashes = {"model": sha256(own / "mine.py"), "dataset": sha256(own / "flipped.py")}
    assert {kind: row[f"sha256_{kind}"] for kind in hashes} == hashes
    names = {"model": "mine", "dataset": "flipped"}
    kept = {kind: {names[kind]: value} for kind, value in hashes.items()}
    assert saved.provenance["files"] == kept
    assert saved.study["model"] == [str(own / "mine.py")], "absolute, for --resume from elsewhere"

    monkeypatch.chdir(own.parent)
    file = str(own / "results" / "run" / "models" / "mine-8-000-seed0.safetensors")
    Image.new("L", (16, 16), 90).save("grey.png")
    score = ["--load", file, "--score_folder", "grey.png"]
    assert train.main([*score, "--name", "scores"]) == 0
    assert len(pd.read_csv("results/scores/scores.csv")) == 1

    (own / "mine.py").rename(own / "moved.py")
    with pytest.raises(UserError, match=r"was made by .*there is no file .*give --model where"):
        train.main(score)
    assert train.main([*score, "--model", "own/moved.py", "--name", "moved"]) == 0
    (own / "mine.py").write_text(EDITED)
    with pytest.raises(UserError, match=r"mine\.py has changed since it made .*SHA-256"):
        train.main(score)
    with pytest.raises(UserError, match="the file says which model it is; leave out --model"):
        train.main([*score, "--model", "knn"])
    capsys.readouterr()
    assert report.main([str(own / "results" / "run"), "--reproduce", row["trial"]]) == 0
    shown = capsys.readouterr()
    words = shlex.split(shown.out)[2:6]
    assert words == ["--model", str(own / "mine.py"), "--dataset", str(own / "flipped.py")]
    changed = "mine.py is gone or has changed since: this row's had the SHA-256"
    assert f"{changed} {hashes['model']}" in shown.err


def test_a_run_goes_on_with_the_same_file_only(own, monkeypatch):
    files = ["--model", "mine.py", "--dataset", "flipped.py"]
    stopped_run(monkeypatch, [*TINY, *FEW, *files, "--name", "run"])
    resume = ["--name", "run", "--resume"]
    with pytest.raises(UserError, match=r"it was started with --dataset flipped.py \(leave --data"):
        train.main([*resume, "--dataset", "digits"])
    (own / "mine.py").write_text(EDITED)
    with pytest.raises(UserError, match=r"--model file mine\.py has changed: its SHA-256 begins"):
        train.main(resume)
    (own / "mine.py").unlink()
    with pytest.raises(UserError, match=r"mine\.py is gone \(give --model where it lies now\)"):
        train.main(resume)
    (own / "else").mkdir()
    (own / "else" / "mine.py").write_text(MODEL)
    (own / "flipped.py").rename(own / "else" / "flipped.py")
    moved = ["--model", "else/mine.py"]
    with pytest.raises(UserError, match=r"flipped\.py is gone \(give --dataset where"):
        train.main([*resume, *moved])
    assert train.main([*resume, *moved, "--dataset", "else/flipped.py"]) == 0
    assert results.read("results/run").trials.status.tolist() == ["done"]


def test_a_model_without_the_part_that_it_is_judged_by_is_one_line(own):
    own_loss = "    Config = Config\n    LOSS = 'distance'"
    (own / "mine.py").write_text(MODEL.replace("    Config = Config", own_loss))
    message = "--model: mine: its LOSS or weights name a part 'distance', .* .it gives reconstr"
    with pytest.raises(UserError, match=message):
        train.main(["--model", "mine.py", "--dataset", "flipped.py", *TINY, *FEW])


def test_an_edit_after_a_file_was_read_changes_nothing(own):
    study_from({"model": ["mine.py"]})
    (own / "mine.py").write_text(MODEL.replace("noise", "blur"))
    assert models.get("mine").Config.make({"noise": 0.5}).noise == 0.5
    before = hashlib.sha256(MODEL.encode()).hexdigest()
    assert outside.hashes([("model", "mine.py")])["model"] == {"mine": before}
    study_from({"model": ["mine.py"]})  # another command
    assert "blur" in models.hyperparameters("mine")


def test_the_space_is_the_one_given_or_the_models_own_or_none(own, capsys):
    own_space = space_of(study_from({"model": ["mine.py"]}), "mine")
    assert set(own_space) == {"lr", "noise"}
    given = space_of(study_from({"model": ["mine.py"], "space": ["narrow.py"]}), "mine")
    assert set(given) == {"noise"}
    (own / "plain.py").write_text(MODEL.partition("SPACE = ")[0])
    assert space_of(study_from({"model": ["plain.py"]}), "plain") == {}
    flags = ["--model", "plain.py", "knn", "--dataset", "digits", "--normal_class", "8"]
    assert train_tune.main([*flags, "--steps", "2", "--seeds", "1", "--dry_run"]) == 0
    shown = capsys.readouterr()
    assert "note: plain: nothing is searched: its file has no SPACE (or give --space)" in shown.err
    assert "| plain   |         1 |             0 |           0 |            1 |" in shown.out


def test_help_and_list_name_what_the_file_has_and_load_no_torch(own):
    lines = [
        "import sys, contextlib, train, train_tune",
        "train_tune.main(['--model', 'mine.py', '--list'])",
        "contextlib.suppress(SystemExit).__enter__()",
        "train.parser('mine').print_help()",
        "assert 'torch' not in sys.modules",
    ]
    code = "; ".join(lines)
    environment = {"PYTHONPATH": str(ROOT)}
    text = subprocess.check_output([sys.executable, "-c", code], text=True, env=environment)
    assert ", w_skipganomaly, mine, or a Python file" in text
    assert "hyperparameters of mine:" in text
    assert "--noise X" in text
    assert "standard deviation of the noise" in text


def test_a_printed_config_names_the_files_from_anywhere(own, capsys, monkeypatch):
    flags = ["--model", "mine.py", "knn", "--dataset", "flipped.py", "--space", "narrow.py"]
    assert train_tune.main([*flags, "--print_config"]) == 0
    (own / "study.toml").write_text(text := capsys.readouterr().out)
    assert str(own / "narrow.py") in text
    monkeypatch.chdir(own.parent)
    assert train_tune.main(["--config", "own/study.toml", "--print_config"]) == 0
    assert capsys.readouterr().out == text


@pytest.fixture
def finished(own: Path) -> Path:
    """A study of train_tune.py on Ray with all three files, begun in their folder."""
    files = ["--model", str(own / "mine.py"), "--dataset", str(own / "flipped.py")]
    files += ["--space", str(own / "narrow.py")]
    search = ["--trials", "2", "--seeds", "1", "--finalists", "0", "--set", "width=4", "nz=8"]
    process = command(own.parent / "out", *files, *TINY, *search)
    wait_for(lambda: process.poll() is not None)
    assert process.returncode == 0, (own.parent / "out.log").read_text()
    return own.parent / "out" / "study"


@pytest.mark.slow
def test_a_study_on_ray_takes_all_three_files_and_grows_with_another_model(finished, own):
    rows = results.read(finished).trials
    assert rows.trial.tolist().count("mine-8-000") == 1
    assert rows.status.isin(["done", "stopped"]).all()
    for kind, name in (("model", "mine"), ("dataset", "flipped"), ("space", "narrow")):
        assert (rows[f"sha256_{kind}"] == sha256(own / f"{name}.py")).all()
    tuned = rows[rows.kind == "tuning"]
    assert tuned.config_noise.nunique() == 2
    assert tuned.config_lr.nunique() == 1
    assert (finished / "models" / f"{rows.trial.iloc[-1]}.safetensors").exists()
    assert report.main([str(finished)]) == 0
    settings = (finished / "report" / "settings.md").read_text()
    assert f"mine.py {sha256(own / 'mine.py')[:12]}" in settings

    resume = ["--name", finished.name, "--results_dir", str(finished.parent), "--resume"]
    (own / "other.py").write_text(MODEL)
    grown = [*resume, "--model", "mine.py", "other.py", "--dry_run"]
    assert train_tune.main(grown) == 0
    (own / "narrow.py").write_text(SPACE.replace("0.5", "0.6"))
    with pytest.raises(UserError, match=r"--space file narrow\.py has changed"):
        train_tune.main(resume)
    content = json.loads((finished / "study.json").read_text())
    assert set(content["provenance"]["files"]) == {"model", "dataset", "space"}
