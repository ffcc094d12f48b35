"""--config and --print_config: the same study from a file, with flags on top."""

import json
from pathlib import Path

import pytest
from commands import fails
from hypothesis import given
from hypothesis import strategies as st
from studies import new_study

import train_tune
from bench.choices import config
from bench.choices.errors import UserError
from bench.choices.flags import study_from
from bench.choices.study import Study

FILE = """
model = ["ganomaly", "egbad"]
dataset = "digits"
normal_class = ["8"]
trials = 5
false_alarms = 0.1
deterministic = true

[set]
ngf = 16
lr = 1e-3
"""


def printed(capsys: pytest.CaptureFixture, *flags: str) -> str:
    assert train_tune.main([*flags, "--print_config"]) == 0
    return capsys.readouterr().out


def parsed(words: list[str]) -> Study:
    return study_from(vars(train_tune.parser().parse_args(words)))


def test_flags_win_over_the_file_and_what_is_printed_is_the_same_study(tmp_path, capsys):
    path = tmp_path / "study.toml"
    path.write_text(FILE)
    text = printed(capsys, "--config", str(path), "--trials", "7")
    again = tmp_path / "again.toml"
    again.write_text(text)
    study = parsed(config.flag_words(again))
    assert (study.model, study.trials, study.false_alarms) == (("ganomaly", "egbad"), 7, 0.1)
    assert study.hyperparameters() == {"ngf": "16", "lr": "0.001"}
    assert study.deterministic
    assert printed(capsys, "--config", str(again)) == text
    other_task = printed(capsys, "--config", str(path), "--abnormal_class", "3")
    assert 'abnormal_class = ["3"]' in other_task
    assert other_task.count("_class") == 1


def test_study_json_of_train_py_gives_its_hyperparameters(tmp_path):
    path = tmp_path / "study.json"
    study = {"model": ["ganomaly"], "dataset": "digits", "normal_class": ["-8"], "batch_size": 4}
    study["cpus_per_trial"] = 16
    run = {"hyperparameters": {"ngf": 16, "batch_size": 8}}
    path.write_text(json.dumps({"study": study, "run": run}))
    again = parsed(config.flag_words(path))
    assert again.hyperparameters() == {"ngf": "16", "batch_size": "4"}
    assert again.normal_class == ("-8",), "no flag"
    assert again.cpus_per_trial is None, "all of the run's machine"
    path.write_text(json.dumps({"study": study | {"batch_size": None}, "run": run}))
    assert parsed(config.flag_words(path)).batch_size == 8
    assert parsed([*config.flag_words(path), "--batch_size", "32"]).batch_size == 32


@pytest.mark.parametrize("line", ["batch_size = 32", "[set]\nbatch_size = 32"])
@pytest.mark.parametrize("flags", [["--batch_size", "16"], ["--set", "batch_size=16"]])
def test_a_batch_size_wins_over_the_files_in_either_spelling(tmp_path, line, flags):
    path = tmp_path / "study.toml"
    path.write_text(f'model = ["ganomaly"]\ndataset = "digits"\nnormal_class = ["8"]\n{line}\n')
    given = train_tune.with_config(["--config", str(path), *flags])
    assert study_from(given).hyperparameters() == {"batch_size": "16"}


def test_flags_win_over_the_files_trials(tmp_path, capsys):
    path = tmp_path / "study.toml"
    path.write_text("trials = 5\n")
    assert "trials = 0" in printed(capsys, "--config", str(path), "--tune", "False")
    with pytest.raises(UserError, match="no configuration is tried; leave out --trials"):
        printed(capsys, "--tune", "False", "--trials=5")
    path.write_text("tune = false\n")
    assert "trials = 5" in printed(capsys, "--config", str(path), "--trials", "5")
    assert "trials = 0" in printed(capsys, "--config", str(path))
    assert "trials" not in printed(capsys, "--config", str(path), "--tune", "True")


def test_a_set_value_replaces_only_its_own_in_the_file(tmp_path, capsys):
    path = tmp_path / "study.toml"
    path.write_text(FILE)
    text = printed(capsys, "--config", str(path), "--set", "lr=0.5", "nz=7")
    assert 'set = ["ngf=16", "lr=0.5", "nz=7"]' in text


def test_a_file_without_held_values_gives_none_that_resume_would_compare(tmp_path):
    path = tmp_path / "study.toml"
    path.write_text('model = ["ganomaly"]\n')
    given = train_tune.with_config(["--config", str(path), "--name", "x", "--resume"])
    assert given["model"] == ["ganomaly"]
    assert "set" not in given


@pytest.mark.parametrize(
    ("choices", "line"),
    [
        ({"seeds": "many"}, "--seeds: 'many' is no int"),
        ({"seed": "0"}, "--seed: '0' is no int"),
        ({"image_size": 1.5}, "--image_size: '1.5' is no int or str"),
        ({"model": [1]}, "--model: there is no '1'"),
        ({"niter_decay": 0.5}, "--niter_decay: '0.5' is no int"),
    ],
)
def test_a_choice_of_another_type_is_one_line(choices, line):
    with pytest.raises(UserError, match=line):
        study_from(choices)


@given(
    trials=st.none() | st.integers(0, 99),
    steps=st.none() | st.integers(1, 10**6),
    classes=st.lists(st.text(st.characters(codec="utf-8", exclude_characters="-\0"), min_size=1)),
    share=st.floats(0, 0.49),
)
def test_every_study_comes_back_from_its_file(tmp_path_factory, trials, steps, classes, share):
    classes = tuple(dict.fromkeys(classes))
    study = Study(trials=trials, steps=steps, abnormal_class=classes, contamination=share)
    path = tmp_path_factory.mktemp("config") / "study.toml"
    path.write_text(config.text_of(study), encoding="utf-8")
    assert parsed(config.flag_words(path)) == study


def test_print_config_with_resume_writes_nothing(tmp_path, capsys):
    folder = new_study(tmp_path / "old", model=["knn"], finalists=0)
    place = ["--name", "old", "--results_dir", str(tmp_path), "--resume"]
    assert 'model = ["knn"]' in printed(capsys, *place)
    assert [path.name for path in folder.iterdir()] == ["study.json"]


def test_another_studys_json_gives_its_choices_but_not_its_place(tmp_path, capsys):
    path = tmp_path / "study.json"
    fields = {"model": ["knn"], "name": "old", "results_dir": "there", "seeds": 4, "steps": None}
    origin = {"command": "python train_tune.py --model my_train.py train.py"}
    path.write_text(json.dumps({"study": fields, "provenance": origin}))
    text = printed(capsys, "--config", str(path))
    assert text == 'model = ["knn"]\nseeds = 4\n'


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.toml", "trials = = 3", "neither TOML"),
        ("a.json", "[]", "neither TOML"),
        ("a.toml", "trails = 3", "--trails"),
        ("a.toml", "trials = 'many'", "--trials"),
        ("none.toml", None, "cannot be read"),
        ("a.toml", "quiet = true", "quiet is no choice of a study (give it as a flag)"),
        ("a.toml", "config = 'b.toml'", "config is no choice of a study"),
        ("a.toml", "isize = 16\nimage_size = 64", "are the same flag"),
        ("a.toml", "tune = false\ntrials = 50", "leave out --trials"),
        ("a.toml", 'dataset = "a\\u0000b.py"', "has a null character in a value"),
        (
            "a.json",
            '{"study": {}, "provenance": {"command": "python train.py --lr 1"}}',
            "does not say its hyperparameters",
        ),
    ],
)
def test_other_files_are_one_line(tmp_path: Path, capsys, name, content, reason):
    path = tmp_path / name
    if content is not None:
        path.write_text(content)
    assert reason in fails(capsys, train_tune, ["--config", str(path)], tmp_path)
