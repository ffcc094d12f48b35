"""Studies that grow: more trials, seeds, steps, classes or models; --start_from."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from commands import ROOT
from studies import edit, make_study, new_study, with_default_beside, write_rows

import train_tune
from bench import results
from bench.choices.errors import UserError
from bench.choices.study import Study
from bench.choices.tasks import variants
from bench.commands.checks import usable_cores
from bench.commands.resume import may_grow, study_of
from bench.results.rows import TEXTS
from bench.tuning.earlier import note_held_values, winners_of

FLAGS = ["--model", "autoencoder", "--dataset", "digits", "--limit_train", "300"]
FLAGS += ["--limit_test", "100", "--set", "width=4", "--searcher", "random", "--scheduler", "fifo"]
FIRST = ["--normal_class", "3", "--trials", "2", "--seeds", "1", "--steps", "4"]


def grow(folder: Path, *flags: str) -> results.Results:
    place = ["--results_dir", str(folder), "--name", "study"]
    assert train_tune.main([*place, "--resume", *flags]) == 0
    return results.read(folder / "study")


def counts(study: results.Results) -> dict[str, int]:
    """How many runs of each kind count, and how many are superseded."""
    trials = study.trials
    current = trials[trials["role"] != "superseded"]
    return current["kind"].value_counts().to_dict() | {"superseded": len(trials) - len(current)}


@pytest.mark.slow
def test_a_study_grows(tmp_path: Path, ray_session, capsys: pytest.CaptureFixture) -> None:
    place = ["--results_dir", str(tmp_path), "--name", "study"]
    assert train_tune.main([*FLAGS, *FIRST, *place]) == 0
    first = results.read(tmp_path / "study")
    assert counts(first)["tuning"] == 2
    rows = (first.path / "trials.jsonl").read_bytes()

    more = grow(tmp_path, "--trials", "4", "--seeds", "2", "--normal_class", "3", "5")
    assert (more.path / "trials.jsonl").read_bytes().startswith(rows), "what was there stays"
    grown = counts(more)
    assert grown["tuning"] == 8
    winners = more.trials[more.trials["role"] == "winner"]
    assert winners.groupby("class").size().to_dict() == {"3": 2, "5": 2}
    content = json.loads((more.path / "study.json").read_text())
    assert (content["study"]["trials"], content["study"]["normal_class"]) == (4, ["3", "5"])
    assert content["grown_from"][0]["trials"] == 2

    longer = grow(tmp_path, "--steps", "8", "--model", "autoencoder", "pca")
    current = longer.trials[longer.trials["role"] != "superseded"]
    trained = current[current["model"] == "autoencoder"]
    assert set(trained["generator_steps"]) == {8}
    assert set(current.loc[current["role"] == "winner", "model"]) == {"autoencoder", "pca"}
    before = len(longer.trials)
    assert len(grow(tmp_path).trials) == before, "nothing is left to do"
    assert "fair" in capsys.readouterr().out, "4 and 8 steps are less than fair"
    grow(tmp_path, "--dry_run")
    assert capsys.readouterr().out == "0 runs: this study is done\n"


@pytest.mark.slow
def test_earlier_winners_are_tried_first(tmp_path: Path, ray_session) -> None:
    row = {"trial": "t", "kind": "final", "model": "autoencoder", "class": "3", "number": 1}
    row |= {"status": "done", "config_lr": 0.0033, "config_nz": 9, "config_batch_size": 8}
    write_rows(new_study(tmp_path / "one") / "trials.jsonl", [row])
    flags = [*FLAGS, *FIRST, "--results_dir", str(tmp_path), "--start_from", str(tmp_path / "one")]
    assert train_tune.main([*flags, "--name", "two", "--trials", "3", "--finalists", "0"]) == 0
    tried = results.read(tmp_path / "two").trials.query("kind == 'tuning'").set_index("number")
    assert (tried.loc[1, "config_lr"], tried.loc[1, "config_nz"]) == (0.0033, 9)
    assert (tried["config_batch_size"] == 16).all(), "it is not searched"
    shutil.rmtree(tmp_path / "one")
    again = ["--results_dir", str(tmp_path), "--name", "two", "--resume"]
    assert train_tune.main([*again, "--dry_run"]) == 0, "it knows what it began with"
    with pytest.raises(UserError, match=r"it was started with --start_from .*one, not elsewhere"):
        train_tune.main([*again, "--start_from", "elsewhere"])


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--trials", "1"], "it has --trials 2, not 1"),
        (
            ["--normal_class", "7"],
            "it has --normal_class 3 5, not 7 .it can only grow: --normal_class 3 5 7",
        ),
        (["--normal_class", "5", "7"], "it has --normal_class 3 5, not 5 7"),
        (["--steps", "2"], "it has --steps 4, not 2"),
        (["--searcher", "tpe"], "it was started with --searcher random, not tpe"),
    ],
)
def test_a_study_neither_shrinks_nor_changes(tmp_path: Path, flags: list[str], message: str):
    place = ["--results_dir", str(tmp_path), "--name", "study"]
    choices = {"model": ["autoencoder"], "dataset": "digits", "normal_class": ["3", "5"]}
    choices |= {"searcher": "random", "trials": 2, "seeds": 1, "steps": 4, "finalists": None}
    new_study(tmp_path / "study", **choices)
    with pytest.raises(UserError, match=message):
        train_tune.main([*place, "--resume", *flags])


def test_a_study_knows_its_models_from_files_by_their_names(tmp_path: Path):
    file = tmp_path / "mine.py"
    file.write_text((ROOT / "docs" / "examples" / "denoising_autoencoder.py").read_text())
    earlier = results.read(make_study(tmp_path / "study"))
    earlier.study.update(model=[str(file)], finalists=None)
    assert study_of(earlier, {"model": ["pca", "mine"]}).model == ("pca", str(file))


def test_a_study_of_an_earlier_version_is_not_resumed(tmp_path: Path):
    new_study(tmp_path / "study", model=["pca"], dataset="digits")
    with pytest.raises(UserError, match="is of an earlier version"):
        train_tune.main(["--results_dir", str(tmp_path), "--name", "study", "--resume"])


def test_a_folder_without_winners_starts_nothing(tmp_path: Path):
    new_study(tmp_path / "other", model=["pca"], dataset="digits")
    flags = ["--dataset", "digits", "--normal_class", "3", "--model", "pca"]
    with pytest.raises(UserError, match="has no winner of pca"):
        train_tune.main([*flags, "--start_from", str(tmp_path / "other"), "--dry_run"])


@pytest.mark.parametrize(
    ("rows", "trials", "more"),
    [
        *[([], 20, True), ([], 10, False), ([], 5, False), ([0, 1, 2], 5, False), ([0], 11, True)],
        *[(range(12), 12, False), (range(12), 13, True)],
    ],
)
def test_a_study_of_the_default_number_of_trials_grows_from_that(tmp_path, rows, trials, more):
    """Also before its first run has ended."""
    folder = new_study(tmp_path / "study")
    written = [dict.fromkeys(TEXTS, "") | {"trial": f"t{n}", "number": n} for n in rows]
    write_rows(folder / "trials.jsonl", written)
    assert may_grow("trials", None, trials, results.read(folder)) == more


def test_every_kind_of_growth(tmp_path: Path) -> None:
    """The seeds of a study are those of its final runs: 1, 2 and 3."""
    earlier = results.read(make_study(tmp_path / "study"))
    for name, some, more in (
        ("model", ["pca"], ["knn", "pca"]),
        ("limit_train", [100, 300], [100, 300, 1000]),
        ("contamination", [0.0, 0.05], [0.0, 0.05, 0.1]),
        ("limit_anomalies", [5, 10], [5, 10, 20]),
        ("seeds", 3, 4),
    ):
        assert may_grow(name, some, more, earlier)
        assert may_grow(name, some, some, earlier)
        assert not may_grow(name, more, some, earlier) or name == "seeds", "no run has the fourth"
    assert not may_grow("seeds", 3, 2, earlier)
    assert not may_grow("limit_train", 100, [100, 300], earlier), "its runs' names lack the size"


def test_what_changes_no_figure_may_be_given_anew(tmp_path: Path) -> None:
    earlier = results.read(make_study(tmp_path / "s", study={"finalists": None}))
    given = {"time_budget": "2h", "keep_models": "none", "address": "auto", "storage": "there"}
    given |= {"gpus_per_trial": 0.5, "cpus_per_trial": 1, "dataroot": "elsewhere"}
    study = study_of(earlier, given)
    assert {name: getattr(study, name) for name in given} == given
    with pytest.raises(UserError, match="it was started with --precision float32, not bfloat16"):
        study_of(earlier, {"precision": "bfloat16"})


def test_a_task_that_the_data_set_gave_does_not_become_another(tmp_path: Path) -> None:
    """Rows of normal class `good` would count as those of `good` left out."""
    earlier = results.read(make_study(tmp_path / "study"))
    assert not may_grow("abnormal_class", [], ["all"], earlier)
    assert may_grow("abnormal_class", ["3"], ["all"], earlier)


def test_a_larger_budget_can_be_taken_back_until_a_run_has_it(tmp_path):
    folder = make_study(tmp_path / "s", study={"finalists": None, "steps": 500_000, "seeds": 3})
    content = json.loads((folder / "study.json").read_text())
    content["grown_from"] = [{"steps": 100, "seeds": 3}]
    (folder / "study.json").write_text(json.dumps(content))
    edit(folder, lambda row: row | {"steps": 100})
    assert study_of(results.read(folder), {"steps": 5000}).steps == 5000
    assert study_of(results.read(folder), {"steps": 100}).steps == 100
    with pytest.raises(UserError, match=r"not 99 .it can only grow: give more"):
        study_of(results.read(folder), {"steps": 99})
    edit(folder, lambda row: row | {"steps": 500_000})
    with pytest.raises(UserError, match="it has --steps 500000, not 5000"):
        study_of(results.read(folder), {"steps": 5000})


def test_a_study_of_a_larger_machine_goes_on_with_the_cores_there_are(tmp_path, capsys):
    folder = make_study(tmp_path / "s", study={"cpus_per_trial": 9999, "finalists": None})
    earlier = results.read(folder)
    assert study_of(earlier, {}).cpus_per_trial == usable_cores()
    assert "not with the 9999 that they began with" in capsys.readouterr().err
    assert study_of(earlier, {"cpus_per_trial": 1}).cpus_per_trial == 1


def test_a_study_of_a_newer_version_is_not_gone_on_with(tmp_path):
    folder = make_study(tmp_path / "s", study={"finalists": 0, "augmentation": "flips"})
    with pytest.raises(UserError, match="this version does not know: augmentation"):
        study_of(results.read(folder), {})


def test_only_winners_are_taken_over(tmp_path):
    """Not the default that was tested beside them; new hyperparameters have their defaults."""
    folder = with_default_beside(make_study(tmp_path / "s"), "w_skipganomaly", seed=3)
    study = Study(model=("w_skipganomaly",), start_from=(str(folder),))
    winners = winners_of(study, {"w_skipganomaly": {"lr": 0.2, "ngf": 8}})
    config = {"lr": 0.003, "ngf": 8, "skip": True}
    assert winners == {"w_skipganomaly": [("bird", config), ("cat", config)]}


def test_values_of_earlier_winners_that_are_not_searched_are_named(capsys):
    winners = [("3", {"lr": 0.1, "nz": 4, "ngf": 8}), ("5", {"lr": 0.2, "nz": 8, "ngf": 8})]
    note_held_values("gan", winners, {"lr"}, {"lr": 0.3, "nz": 8, "ngf": 8})
    assert "winners of gan differ from this study in nz, which this" in capsys.readouterr().err
    note_held_values("gan", winners, {"lr", "nz"}, {"lr": 0.3, "nz": 8, "ngf": 8})
    assert not capsys.readouterr().err


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system has no affinities")
def test_cores_that_a_command_may_not_use_do_not_count():
    one = "import os; os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])"
    code = f"{one}; from bench.commands.checks import usable_cores; print(usable_cores())"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, check=True
    )
    assert done.stdout == b"1\n"


def test_the_committed_studies_can_be_resumed():
    """Earlier versions wrote them."""
    files = sorted((ROOT / "results" / "measured").rglob("study.json"))
    studies = [results.read(file.parent) for file in files]
    known = [s for s in studies if "finalists" in s.study and not s.trials.empty]  # no audits
    assert known
    for study in known:
        resumed = study_of(study, {})
        assert resumed.model == tuple(study.study["model"])
        assert set(study.trials["variant"]) == {fields["variant"] for fields in variants(resumed)}
