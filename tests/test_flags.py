"""Flags: their paths, those that would do nothing, what is checked before torch is loaded."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

from commands import ROOT, fails
from test_cli import SMALL

import report
import train
import train_tune


def test_home_folders_and_names_with_spaces(
    capsys, tmp_path: Path, monkeypatch, wganomaly_folder: Path
) -> None:
    """~ is the home folder in every path, and what is printed can be given to a shell as it is."""
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    out = ["--dataroot=~/data", "--results_dir=~/it's mine"]
    flags = "--model knn --epochs 1 --dataset=~/images --score_folder=~/images/test".split()
    assert train.main([*flags, *out, "--name", "my k"]) == 0
    words = shlex.split(capsys.readouterr().out.splitlines()[-1])
    assert words == ["next:", "python", "report.py", f"{tmp_path}/it's mine/my k"]
    assert report.main([*words[3:], "--out=~/a report"]) == 0
    assert report.main(["~/it's mine/my k", "--reproduce", "knn-1.abnormal-000-seed0"]) == 0
    model = "--load=~/it's mine/my k/models/knn-1.abnormal-000-seed0.safetensors"
    assert train.main([model, "--score_folder=~/images/test", *out, "--name", "scores"]) == 0
    written = {"data", "images", "it's mine", "a report", "here"}
    assert {path.name for path in tmp_path.iterdir()} >= written
    assert not list(Path().iterdir())
    given = train_tune.parser().parse_args(["--storage=~/scratch", "--dataset=~/images"])
    assert (given.storage, given.dataset) == (f"{tmp_path}/scratch", [f"{tmp_path}/images"])
    assert train_tune.parser().parse_args(["--storage", "s3://a/~b"]).storage == "s3://a/~b"


def test_what_does_nothing_is_refused(capsys, tmp_path: Path, wganomaly_folder: Path) -> None:
    (tmp_path / "model").touch()
    load, folder = ["--load", str(tmp_path / "model")], ["--score_folder", str(wganomaly_folder)]
    for flags, words in [
        ([*SMALL, *load, "--audit"], ["--audit", "leave out --load"]),
        ([*SMALL, *folder, "--audit"], ["--audit", "leave out --score_folder"]),
        ([*SMALL, "--audit", "--protocol", "published"], ["--audit", "leave out --protocol"]),
        ([*load, *folder, "--epochs", "3"], ["--load", "leave out --epochs"]),
        ([*load, *folder, "--seed", "0"], ["--load", "leave out --seed"]),
        ([*load, *folder, "--batch_size", "3"], ["--load", "leave out --batch_size"]),
        ([*SMALL, "--load", "none"], ["--load", "no file none"]),
        ([*SMALL, "--score_folder", "none"], ["--score_folder", "none"]),
    ]:
        line = fails(capsys, train, flags, tmp_path)
        assert all(word in line for word in words), line


QUICK = [
    (train_tune, [*SMALL, "--epocks", "3"]),
    (train_tune, [*SMALL, "--mix", "chosen", "--selection", "test"]),
    (train_tune, [*SMALL, "--contamination", "0.1", "--protocol", "published"]),
    (train_tune, [*SMALL, "--select_on", "val_auroc", "--protocol", "published"]),
    (train_tune, [*SMALL, "--precision", "tf32", "--device", "cpu"]),
    (train_tune, [*SMALL, "--steps", "9" * 30]),
    (train_tune, [*SMALL, "--set", f"nz={'9' * 30}"]),
    (train_tune, ["--dataset", "digits", "no/.hidden", "--normal_class", "all"]),
    (train_tune, [*SMALL, "--model", "ganomoly"]),
    (train_tune, [*SMALL, "--set", "ngff=4"]),
    (train_tune, [*SMALL, "--set", "ngf=0"]),
    (train_tune, [*SMALL, "--model", "skipganomaly", "--set", "score_lat=2"]),
    (train_tune, [*SMALL, "--limit_train", "100", "--limit_train", "200"]),
    (
        train_tune,
        [*SMALL, "--model", "skipganomaly", "--scheduler", "pbt", "--space", "w_rot=0..1"],
    ),
    (train_tune, [*SMALL, "--space", "w_cno=1,2"]),
    (train_tune, [*SMALL, "--space", "w_con=1,2", "--set", "w_con=1"]),
    (train_tune, [*SMALL, "--space", "nz=1.5,2"]),
    (train_tune, [*SMALL, "--scheduler", "pb2", "--space", "nz=10,20"]),
    (train_tune, [*SMALL, "--scheduler", "pbt", "--tune_for", "mean"]),
    (train_tune, [*SMALL, "--scheduler", "hyperband", "--tune_for", "mean"]),
    (train_tune, ["--dataset", "digits", "--abnormal_class", "ten"]),
    (train_tune, ["--dataset", "digits"]),
    (train_tune, ["--dataset", "cifar10", "--normal_class", "burd"]),
    (train_tune, ["--dataset", "no/such/folder"]),
    (train_tune, [*SMALL, "--image_size", "1040"]),
    (train_tune, [*SMALL, "--image_size", "21"]),
    (train_tune, [*SMALL, "--name", "there"]),
    (train_tune, ["--name", "never_was", "--resume"]),
    (train_tune, ["--name", "there", "--resume"]),
    (train, [*SMALL, "--lr", "-1"]),
    (train, ["--dataset", "mnist", "--abnormal_class", "ten"]),
    (train, [*SMALL, "--name", "there"]),
    (train, ["--name", "there", "--resume"]),
    (train, [*SMALL, "--load", "nothing"]),
]


def test_what_needs_no_data_is_checked_before_torch_and_ray_are_loaded(tmp_path: Path) -> None:
    """These take seconds, and starting Ray takes ten."""
    (tmp_path / "results" / "there").mkdir(parents=True)
    commands = [(script.__name__, flags) for script, flags in QUICK]
    lines = [
        "import sys, train, train_tune",
        "from bench.choices.errors import UserError",
        f"for script, flags in {commands!r}:",
        "    try: sys.modules[script].main(flags)",
        "    except UserError: pass",
        "    else: raise AssertionError(f'nothing was wrong with {flags}')",
        "    assert not {'torch', 'ray'} & sys.modules.keys(), flags",
    ]
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", "\n".join(lines)], check=True, cwd=tmp_path, env=env)


def test_folder_mistakes(capsys, tmp_path: Path, wganomaly_folder: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    assert str(empty) in fails(capsys, train, ["--dataset", str(empty)], tmp_path)
    data = ["--dataset", str(wganomaly_folder)]
    line = fails(capsys, train, [*data, "--abnormal_class", "scratch"], tmp_path)
    assert "scratch" in line
    assert "0.normal" in line
    scored = [*data, "--score_folder"]
    assert f"no images in {empty}" in fails(capsys, train, [*scored, str(empty)], tmp_path)
    text = tmp_path / "text.png"
    text.write_text("no picture")
    line = fails(capsys, train, [*scored, str(text)], tmp_path)
    assert "text.png is no image that can be read" in line
    for name in ("mask", "no_mask"):
        (tmp_path / "faces" / "train" / name).mkdir(parents=True)
        (tmp_path / "faces" / "train" / name / "0.png").write_text("is not read")
    faces = ["--dataset", str(tmp_path / "faces"), "--abnormal_class", "mask"]
    line = fails(capsys, train, faces, tmp_path)
    assert "--abnormal_class: mask: folders of this name are left out" in line
    cut_off = tmp_path / "cut.ppm"
    cut_off.write_bytes(b"P6\n8")
    line = fails(capsys, train, [*scored, str(cut_off)], tmp_path)
    assert "--score_folder: cannot read" in line
    assert "Reached EOF" in line
    for part, cls in (("train", "a"), ("train", "b"), ("test", "a"), ("test", "b")):
        (tmp_path / "two" / part / cls).mkdir(parents=True)
        (tmp_path / "two" / part / cls / "0.png").write_text("is not read")
    line = fails(capsys, train, ["--dataset", str(tmp_path / "two")], tmp_path)
    assert "--abnormal_class or --normal_class is needed (classes: a, b" in line
    broken = wganomaly_folder / "train" / "0.normal" / "7.png"
    broken.write_bytes(broken.read_bytes()[:100])
    assert "7.png" in fails(capsys, train, data, tmp_path)
