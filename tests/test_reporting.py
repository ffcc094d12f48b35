"""Whole reports: the command, its files, its page and its mistakes."""

import dataclasses
import json
import re
import subprocess
import sys

import pandas as pd
import pytest
from commands import ROOT
from studies import ONE_RUN, edit, make_study, write_rows

import report
import train
from bench import results
from bench.choices.errors import UserError
from bench.choices.study import Study
from bench.reporting import reproduce


def run(*arguments: object, python: tuple[str, ...] = ()) -> subprocess.CompletedProcess:
    command = [sys.executable, *python, "report.py", *map(str, arguments)]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120
    )


@pytest.mark.slow
def test_a_study_without_rows_beside_one_that_has_some(tmp_path):
    folder, empty = make_study(tmp_path / "s"), tmp_path / "empty"
    empty.mkdir()
    (empty / "study.json").write_bytes((folder / "study.json").read_bytes())
    for order in ((folder, empty), (empty, folder)):
        done = run(*order, "--out", tmp_path / "out")
        assert (done.returncode, done.stderr) == (0, "")
        assert "warning: empty: no trial has finished yet" in done.stdout
    settings = pd.read_csv(tmp_path / "out" / "settings.csv")
    assert settings.columns.tolist() == ["choice", "s"]


def test_reproduce_gives_every_choice_of_a_row(tmp_path):
    choices = {"scoring_mode": "training", "deterministic": True}
    folder = make_study(tmp_path / "s", classes=("bird", "it's"), study=choices)
    studies = {"s": results.read(folder)}
    assert reproduce.command_for(studies, "final-1-1-3") == (
        "python train.py --model pca --dataset cifar10 --dataroot 'my data' --abnormal_class "
        "'it'\"'\"'s' --limit_test 200 --protocol sound --scoring_mode training --select_on "
        "val_auroc --epochs 3 --seed 3 --precision float32 --deterministic True --device cpu "
        "--split_seed 0 --cpus_per_trial 1 --skip True --lr 0.003 --nz 100"
    )
    assert "--nz" not in reproduce.command_for(studies, "final-0-0-1")
    hint = r"no trial 'final-1-1-9' in s; did you mean 'final-1-1-\d'"
    with pytest.raises(UserError, match=hint):
        reproduce.command_for(studies, "final-1-1-9")
    studies["s"].study["scheduler"] = "pbt"
    with pytest.raises(UserError, match="tune-1-1-0 took over others' weights"):
        reproduce.command_for(studies, "tune-1-1-0")


def test_reproduce_of_a_run_that_was_stopped_before_its_step_sizes_fell():
    study = {"niter_decay": 5, "epochs": 20}
    row = {"trial": "t", "model": "gan", "class": "8", "seed": 1, "epochs": 20}
    assert "--niter_decay 5" in reproduce.command(study, row)
    assert "--niter_decay 0" in reproduce.command(study, row | {"epochs": 15})
    by_steps = {"steps": 2000, "generator_steps": 1000, "epochs": 10}  # of twenty epochs
    command = reproduce.command(study | {"epochs": None}, row | by_steps)
    assert "--niter_decay 0" in command
    assert "--steps 1000" in command
    with pytest.raises(UserError, match="stopped while its step sizes fell"):
        reproduce.command(study, row | {"epochs": 17})


def test_reproduce_of_a_one_class_row_names_the_normal_class():
    row = {"model": "m", "class": "3", "task": "one-class", "seed": 4}
    amounts = {"limit_train": 300, "contamination": 0.1, "limit_anomalies": 9}
    several = {"seed": 0} | {name: [0, value] for name, value in amounts.items()}
    command = reproduce.command(several, row | amounts)
    amounts_of_row = "--limit_train 300 --contamination 0.1 --limit_anomalies 9"
    flags = f"--normal_class 3 {amounts_of_row} --seed 4 --split_seed 0"
    assert command == f"python train.py --model m {flags} --cpus_per_trial 1"


def test_the_command_takes_flags_of_train_py_alone():
    """Each field of a Study that train.py has a flag for, with a value that is not its default."""
    study = {field.name: f"v_{field.name}" for field in dataclasses.fields(Study)}
    row = {"model": "pca", "class": "3", "task": "one-class", "seed": 4}
    row |= {"steps": 40, "generator_steps": 20}  # stopped half-way
    flags = set(re.findall(r"--(\w+)", reproduce.command(study, row)))
    groups = {field.name: field.metadata["group"] for field in dataclasses.fields(Study)}
    known = {name for name, group in groups.items() if group in ("task", "protocol", "training")}
    # The row has its own: another task, and other hyperparameters.
    assert flags == known - {"abnormal_class", "category", "batch_size"}
    assert flags <= {action.dest for action in train.parser("pca")._actions}


def test_report_end_to_end(tmp_path):
    folder = make_study(
        tmp_path / "s", classes=("<b>x", "a_b|c"), seeds=(1, 2), study={"name": "<script>"}
    )
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    done = run(folder)
    assert (done.returncode, done.stderr) == (0, "")
    assert r"| \<b\>x" in done.stdout
    out = folder / "report"
    assert f"{out / 'auroc.md'}, .csv, .tex" in done.stdout
    files = {path.name for path in out.iterdir()}
    texts = ("auroc", "signals", "metrics", "parts", "tuning", "ranks")
    drawings = ("roc", "pr", "learning", "histogram_pca", "histogram_w_skipganomaly")
    assert {f"{name}.{kind}" for name in texts for kind in ("md", "csv", "tex")} <= files
    assert {f"{name}.{kind}" for name in drawings for kind in ("pdf", "svg")} <= files
    assert all((out / name).stat().st_size for name in files)
    joined = pd.read_csv(out / "histogram.csv")
    assert len(joined) == 8 * 90
    one = joined.query("model == 'pca' and `class` == '<b>x' and seed == 2")
    saved = pd.read_csv(folder / "scores" / "final-1-0-2" / "histogram.csv")
    assert one["scores"].tolist() == saved["scores"].tolist()
    page = (out / "index.html").read_text()
    assert "&lt;b&gt;x" in page
    assert "<b>" not in page
    assert "&lt;script&gt;" in page
    assert page.count("<script") == 2  # the page's own
    without_figures = re.sub("'data:image/svg[^']*'", "", page)  # these name XML's namespaces
    assert "http" not in without_figures.lower().replace("http-equiv", "")
    # again, in another process: the same bytes, and nothing else touched
    first = {path.name: path.read_bytes() for path in out.iterdir()}
    assert report.main([str(folder)]) == 0
    assert {path.name: path.read_bytes() for path in out.iterdir()} == first
    assert {path: path.read_bytes() for path in before} == before


def test_report_of_several_studies_into_a_folder(tmp_path, capsys):
    folders = [make_study(tmp_path / where / "s", **ONE_RUN) for where in ("a", "b")]
    assert report.main([*map(str, folders), "--out", str(tmp_path / "out")]) == 0
    assert capsys.readouterr().err == ""
    assert pd.read_csv(tmp_path / "out" / "auroc.csv")["study"].nunique() == 2  # both are called s
    assert not (folders[0] / "report").exists()
    assert report.main([str(folders[0])]) == 0
    assert "replaces" not in capsys.readouterr().err, "its own report is made anew"
    assert report.main(list(map(str, folders))) == 0
    assert "s/report has a report already, which this one replaces" in capsys.readouterr().err


def test_only_final_runs_have_scores(tmp_path):
    study = results.read(make_study(tmp_path / "s", **ONE_RUN))
    tuning = study.trials.query("kind == 'tuning'")["trial"].iloc[0]
    for trial in (tuning, "nothing"):
        with pytest.raises(UserError, match=f"'{trial}' is no final run; only those have scores"):
            study.scores(trial)


def test_report_without_final_runs_shows_the_tuning(tmp_path, capsys):
    folder = edit(make_study(tmp_path / "s"), lambda row: row if row["kind"] == "tuning" else None)
    (folder / "epochs.jsonl").unlink()
    assert report.main([str(folder)]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    assert "What tuning gained" in printed.out
    assert "warning: no final run has finished" in printed.out
    assert not (folder / "report" / "auroc.md").exists()


def test_report_of_old_rows_with_few_columns(tmp_path):
    folder = make_study(tmp_path / "s", **ONE_RUN)
    kept = {"trial", "kind", "status", "model", "class", "seed", "test_auroc"}
    edit(folder, lambda row: {name: row[name] for name in kept & row.keys()})
    (folder / "study.json").write_text('{"study": {}, "provenance": {}}')
    (folder / "epochs.jsonl").unlink()
    (folder / "scores" / "final-0-0-1" / "histogram.csv").unlink()
    done = run(folder)
    assert (done.returncode, done.stderr) == (0, "")
    assert "| bird" in done.stdout
    assert "the scores of trial final-0-0-1 cannot be used" in done.stdout


@pytest.mark.slow
def test_a_file_that_is_no_picture_is_warned_of(tmp_path):
    folder = make_study(tmp_path / "s", **ONE_RUN)
    (folder / "scores" / "final-0-0-1" / "gallery.png").write_bytes(b"no picture")
    done = run(folder)
    assert (done.returncode, done.stderr) == (0, "")
    assert "the images of trial final-0-0-1 cannot be shown" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "^nowhere: there is no such folder"),
        (["empty"], "not a study"),
        (["s", "--ouf", "x"], r"--ouf: there is no such flag; did you mean --out\?"),
        ([], "required: STUDY"),
        (["s", "--reproduce", "x"], "no trial 'x'"),
        (["new"], "no trial has finished yet"),
        (["s", "--out", "s/study.json"], "--out: .*s/study.json is no folder"),
    ],
)
def test_a_mistake_is_named(tmp_path, monkeypatch, arguments, message):
    (tmp_path / "empty").mkdir()
    folder = make_study(tmp_path / "s", **ONE_RUN)
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "study.json").write_bytes((folder / "study.json").read_bytes())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["report.py", *arguments])
    with pytest.raises(UserError, match=message):
        report.main()


def test_a_mistake_is_one_line_and_status_2(tmp_path):
    done = run(tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"error: {tmp_path}: not a study's folder (it has no study.json)\n"


@pytest.mark.parametrize(
    ("file", "line", "message"),
    [
        ("trials", {"test_auroc": 1.7}, "line 1: test_auroc cannot be 1.7"),
        ("trials", {"test_auroc": -0.1}, "line 1: test_auroc cannot be -0.1"),
        ("trials", {"test_auroc": "0.9"}, "line 1: test_auroc is no number, but '0.9'"),
        ("trials", {"seed": "many"}, "line 1: seed is no number"),
        ("trials", {"seed": None}, "line 1: seed is no number"),
        ("trials", {"status": ...}, "line 1 has no 'status'"),
        ("trials", {"class": 3}, "line 1: class is no text, but 3"),
        ("trials", {"family": -1}, "line 1: family is no text, but -1"),
        ("trials", {"parameters": "many"}, "line 1: parameters is no number"),
        ("trials", {"config_skip": [1]}, r"line 1: config_skip is no number or text, but \[1\]"),
        ("trials", {"objectives": None}, "line 1: objectives is no table, but None"),
        ("epochs", {"epoch": ...}, "line 1 has no 'epoch'"),
    ],
)
def test_a_row_that_cannot_be_is_one_line(tmp_path, file, line, message):
    study = make_study(tmp_path / "s")
    path = study / f"{file}.jsonl"
    first, *others = path.read_text().splitlines()
    row = {k: v for k, v in (json.loads(first) | line).items() if v is not ...}
    path.write_text("\n".join([json.dumps(row), *others, ""]))
    with pytest.raises(UserError, match=rf"{file}\.jsonl: {message}"):
        report.main([str(study), "--out", str(tmp_path / "out")])


def test_a_report_loads_no_torch_and_no_ray_and_a_full_disk_under_its_output_does_not_end_it(
    tmp_path,
):
    study = make_study(tmp_path / "s", **ONE_RUN)
    command = [sys.executable, "-X", "importtime", "report.py", str(study)]
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 0
    lines = done.stderr.splitlines()
    assert [line for line in lines if not line.startswith("import time:")] == [
        "note: this command's output cannot be written (No space left on device); it goes on"
    ]
    assert (study / "report" / "index.html").exists()
    loaded = {line.rsplit("|", 1)[-1].strip() for line in lines}
    assert "pandas" in loaded
    assert not loaded & {"torch", "ray", "torchvision", "sklearn", "scikit_posthocs", "statsmodels"}


def test_a_trial_that_several_studies_have_is_not_guessed(tmp_path):
    one, two = make_study(tmp_path / "one"), make_study(tmp_path / "two")
    trial = results.read(one).trials["trial"][0]
    with pytest.raises(UserError, match=f"one and two have a trial '{trial}' .give one study"):
        report.main([str(one), str(two), "--reproduce", trial])
    with pytest.raises(UserError, match="no trial ''"):
        report.main([str(one), "--reproduce", ""])


def test_help_teaches_and_loads_nothing_heavy():
    done = run("--help", python=("-X", "importtime"))
    assert "python report.py results/digits" in done.stdout
    loaded = set(re.findall(r"\w+$", done.stderr, re.M))
    assert not {"torch", "pandas", "matplotlib", "ray"} & loaded


@pytest.mark.slow
def test_ten_thousand_trials(tmp_path):
    folder = make_study(tmp_path / "s", models=("pca",), classes=("bird", "cat"))
    trials = [json.loads(line) for line in (folder / "trials.jsonl").read_text().splitlines()]
    tuning = [row for row in trials if row["kind"] == "tuning"]
    many = [
        row | {"trial": f"t{i}-{row['trial']}", "number": 3 * i + row["number"]}
        for i in range(1700)
        for row in tuning
    ]
    write_rows(folder / "trials.jsonl", [row for row in trials if row["kind"] == "final"] + many)
    epochs = [{"trial": r["trial"], "epoch": e, "objective": 0.5} for r in many for e in (1, 2)]
    write_rows(folder / "epochs.jsonl", epochs)
    assert run(folder).returncode == 0
    tuning = pd.read_csv(folder / "report" / "tuning.csv")
    assert len(tuning) == 2
