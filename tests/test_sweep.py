"""--dataset with several data sets: a study of each; a fault in one ends no other."""

import itertools
import json
import re
import shutil
import signal
from pathlib import Path

import pandas as pd
import pytest
from commands import PATIENCE, command, fails, lines, wait_for
from images import write_images
from studies import edit, load, make_study

import report
import train
import train_tune
from bench import results
from bench.choices import config
from bench.choices.errors import UserError
from bench.choices.study import SWEEP
from bench.commands.sweep import sweep_of
from bench.reporting import sweeps
from bench.reporting.cautions import unsound
from bench.tuning import cost_estimate


def folder_of(path: Path, classes: str = "ab") -> Path:
    for part, count in (("train", 30), ("test", 6)):
        for number, name in enumerate(classes):
            write_images(path / part / name, count, number)
    return path


def flags_of(tmp_path: Path, *datasets: object) -> list[str]:
    flags = ["--model", "pca", "--trials", "0", "--seeds", "1", "--batch_size", "4", "--quiet"]
    data = ["--dataset", *map(str, datasets), "--dataroot", str(tmp_path / "data")]
    return [*flags, *data, "--results_dir", str(tmp_path / "results"), "--name", "sweep"]


def test_mistakes(capsys, tmp_path: Path):
    ab, bc = folder_of(tmp_path / "ab"), folder_of(tmp_path / "bc", "bc")
    alike = folder_of(tmp_path / "other" / "ab")
    for script, datasets, flags, words in [
        (train, ["digits", ab], ["--abnormal_class", "a"], ["--dataset", "train.py takes one"]),
        (train_tune, [ab, bc], ["--abnormal_class", "a"], [f"{bc}: ", "--abnormal_class", "b, c"]),
        (train_tune, ["digits", ab], ["--normal_class", "3"], [f"{ab}: --normal_class", "'3'"]),
        (train_tune, [ab, "digitz"], ["--normal_class", "all"], ["did you mean 'digits'"]),
        (train_tune, [ab, alike], ["--normal_class", "all"], ["would both be called ab"]),
        (train_tune, [ab, bc], ["--normal_class", "b", "--set", "x=1"], ["--set", "'x'"]),
        (train_tune, [ab, bc], ["--resume", "--name", "typo"], ["--resume", "typo", "is no sweep"]),
        (train_tune, [ab, bc], ["--resume"], ["give the sweep's name"]),
    ]:
        data = ["--dataset", *map(str, datasets)]
        line = fails(capsys, script, ["--model", "pca", *data, *flags], tmp_path)
        assert all(word in line for word in words), line
    (tmp_path / "results" / "sweep").mkdir(parents=True)
    (tmp_path / "results" / "sweep" / SWEEP).touch()
    taken = [*flags_of(tmp_path, ab, bc), "--normal_class", "b"]
    assert "go on with it: --resume" in fails(capsys, train_tune, taken, tmp_path)


def test_a_sweep_comes_back_from_a_file(tmp_path: Path, capsys):
    flags = [*flags_of(tmp_path, "digits", tmp_path / "ab"), "--normal_class", "all"]
    assert train_tune.main([*flags, "--print_config"]) == 0
    text = capsys.readouterr().out
    (tmp_path / "sweep.toml").write_text(text)
    assert f'dataset = ["digits", "{tmp_path / "ab"}"]' in text
    assert train_tune.main(["--config", str(tmp_path / "sweep.toml"), "--print_config"]) == 0
    assert capsys.readouterr().out == text
    place = flags.index("--name")
    assert train_tune.main([*flags[:place], *flags[place + 2 :], "--print_config"]) == 0
    assert "name =" not in capsys.readouterr().out, "the time's: another command has another"

    def sweep():
        return sweep_of(vars(train_tune.parser().parse_args(flags)))

    assert sweep().datasets == {"digits": "digits", "ab": str(tmp_path / "ab")}
    sweep().begin(new=True)
    with pytest.raises(UserError, match="exists already"):  # begun in the same moment
        sweep().begin(new=True)
    words = config.flag_words(sweep().path / SWEEP)
    again = sweep_of(vars(train_tune.parser().parse_args([*words, *flags[-8:]])))
    assert again == sweep()


def test_a_dry_run_says_what_all_of_it_costs(tmp_path: Path, monkeypatch, capsys):
    ab, abc = folder_of(tmp_path / "ab"), folder_of(tmp_path / "abc", "abc")
    hour = cost_estimate.Epoch(start=0.0, tuning=0.0, final=3600.0)
    monkeypatch.setattr(cost_estimate, "time_epoch", lambda *args: hour)
    flags = [*flags_of(tmp_path, ab, abc), "--normal_class", "all", "--epochs", "1", "--dry_run"]
    assert train_tune.main(flags) == 0
    out = capsys.readouterr().out
    *each, whole = (int(hours) for hours in re.findall(r"about (\d+):00:00", out))
    assert len(each) == 2
    assert sum(each) == whole, out
    assert f"sweep {tmp_path / 'results' / 'sweep'}: about {whole}:00:00 at most in all" in out
    assert not (tmp_path / "results").exists()
    (abc / "train" / "a" / "0.png").write_text("no image")
    assert train_tune.main(flags) == 2
    assert f"about {each[0]}:00:00 at most in all, without abc" in capsys.readouterr().out


def test_a_sweep_that_goes_on_leaves_no_study_out(tmp_path: Path):
    folder = make_study(tmp_path / "results" / "sweep" / "ab")
    (folder.parent / SWEEP).write_text('{"study": {}}')
    sweep = [*flags_of(tmp_path, "digits", tmp_path / "cd"), "--resume"]
    with pytest.raises(UserError, match="the sweep has begun ab; name it in --dataset too"):
        train_tune.main(sweep)
    alone = [*flags_of(tmp_path, "digits"), "--resume"]
    with pytest.raises(UserError, match="sweep is a sweep: leave --dataset out, or name all"):
        train_tune.main(alone)
    assert (folder / "study.json").exists()


def test_the_report_compares_models_over_the_data_sets_of_a_sweep(tmp_path: Path, capsys):
    sweep = tmp_path / "sweep"
    for name in ("cifar10", "mnist"):
        edit(make_study(sweep / name, seeds=(1,)), lambda row, n=name: row | {"dataset": n})
    (sweep / SWEEP).write_text("{}")
    assert report.main([str(sweep)]) == 0
    printed = capsys.readouterr().out
    for name, cls in itertools.product(("cifar10", "mnist"), ("bird", "cat")):
        assert f"| {name}: {cls}" in printed
    table = pd.read_csv(sweep / "report" / "auroc_by_dataset.csv").set_index("data set")
    assert table["classes"].to_dict() == {"cifar10": 2, "mnist": 2}
    areas = pd.read_csv(sweep / "report" / "auroc.csv").query("source == 'measured'")
    for (dataset, model), group in areas.groupby(["dataset", "model"]):
        assert table.loc[dataset, model] == pytest.approx(group["auroc"].mean())
    assert sweeps.dataset_table(load(sweep / "mnist")[-1]) is None
    for path in ("cifar10", "mnist"):
        shutil.rmtree(sweep / path)
    with pytest.raises(UserError, match="no study of this sweep has begun yet"):
        report.main([str(sweep)])


@pytest.mark.slow
def test_a_fault_in_one_data_set_does_not_end_the_others(tmp_path: Path, ray_session, capsys):
    first, broken = folder_of(tmp_path / "first"), folder_of(tmp_path / "broken")
    (broken / "train" / "a" / "0.png").write_text("no image")
    last = folder_of(tmp_path / "last", "bc")
    flags = [*flags_of(tmp_path, first, broken, last), "--normal_class", "all"]
    assert train_tune.main(flags) == 2
    out, err = capsys.readouterr()
    unreadable = f"--dataset: {broken / 'train' / 'a' / '0.png'} is no image that can be read"
    assert f"error: {broken}: {unreadable}" in err
    assert f"  broken: failed: {unreadable}" in out
    sweep = tmp_path / "results" / "sweep"
    assert [path.parent.name for path in sorted(sweep.glob("*/study.json"))] == ["first", "last"]
    rows = {name: (sweep / name / "trials.jsonl").read_bytes() for name in ("first", "last")}

    write_images(tmp_path / "whole", 1)
    shutil.copy(tmp_path / "whole" / "0.png", broken / "train" / "a" / "0.png")
    place = ["--name", "sweep", "--results_dir", str(sweep.parent), "--quiet", "--resume"]
    assert train_tune.main(place) == 0
    assert "  broken: pca 0." in capsys.readouterr().out
    assert rows == {name: (sweep / name / "trials.jsonl").read_bytes() for name in rows}
    assert len(results.read(sweep / "broken").trials) == 2

    assert train_tune.main([*place, "--seeds", "2"]) == 0
    assert {len(results.read(sweep / name).trials) for name in ("first", "broken", "last")} == {4}
    assert json.loads((sweep / SWEEP).read_text())["study"]["seeds"] == 2


@pytest.mark.long
@pytest.mark.slow
def test_ctrl_c_ends_a_sweep_and_resume_goes_on_with_it(tmp_path: Path):
    """In a process of its own, which starts a Ray for each study."""
    datasets = [folder_of(tmp_path / "first"), folder_of(tmp_path / "second")]
    flags = [*flags_of(tmp_path, *datasets)[:-4], "--normal_class", "all", "--seeds", "10"]
    process = command(tmp_path / "out", *flags)
    sweep = tmp_path / "out" / "study"
    wait_for(lambda: lines(sweep / "first" / "trials.jsonl"), process)
    process.send_signal(signal.SIGINT)
    assert process.wait(PATIENCE) == 130
    assert not (sweep / "second").exists()
    log = (tmp_path / "out.log").read_text()
    assert f"go on with: python train_tune.py --name study --results_dir {sweep.parent}" in log
    assert command(tmp_path / "out", "--resume", "--quiet").wait(300) == 0
    for name in ("first", "second"):
        assert len(results.read(sweep / name).trials) == 20


def test_means_over_data_sets_are_of_sound_figures(tmp_path: Path):
    folders = [make_study(tmp_path / name, seeds=(1,)) for name in ("one", "two")]
    protocols = {"pca": "sound", "w_skipganomaly": "published"}
    for folder in folders:
        edit(folder, lambda row, data=folder.name: row | {"dataset": data})
        edit(folder, lambda row: row | {"protocol": protocols[row["model"]]})
    edit(folders[0], lambda row: row | {"test_auroc": 0.5} if "test_auroc" in row else row)
    areas = load(*folders)[-1]
    table = sweeps.dataset_table(areas).frame.set_index("data set")
    assert list(table) == ["classes", "pca"]
    assert table.loc["mean", "pca"] == pytest.approx((0.5 + table.loc["two", "pca"]) / 2)
    (line,) = unsound(areas)
    assert "by the protocol 'published' (w_skipganomaly)" in line
