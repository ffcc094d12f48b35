"""Names that are no UTF-8, or not as they are typed, are shown legibly, and opened all the same."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from commands import ROOT
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from bench import results
from bench.choices import flags
from bench.choices.errors import UserError
from bench.choices.names import LEGIBLE, legible, on_disk
from bench.choices.study import Study
from bench.choices.tasks import Task
from bench.data.datasets import Decoding, load
from bench.data.splits import tasks_of
from bench.training import model_files
from train_tune import with_config


def test_legible():
    assert legible(os.fsdecode(b"besch\xe4digt \x80 \x81")) == "beschädigt € \x81"
    macos, under_locale_c = "a\u0308 und ä 漢字 💀", (chr(0xDC00 + byte) for byte in "ä".encode())
    assert legible(macos) == "ä und ä 漢字 💀"
    assert legible("".join(under_locale_c)) == "ä"


@given(st.binary(max_size=20))
def test_any_bytes_can_be_written(data):
    name = data.decode("utf-8", "surrogateescape")
    for encoding in ("utf-8", "ascii", "cp1252"):
        name.encode(encoding, LEGIBLE).decode(encoding)
    assert legible(legible(name)) == legible(name)


@pytest.fixture
def latin1(tmp_path: Path) -> Path:
    """Class and file names from Windows, in a folder with such a name."""
    random = np.random.default_rng(0)
    top = os.path.join(os.fsencode(tmp_path), b"T\xfcren")
    for part, cls, count in (
        (b"train", b"gut", 40),
        (b"test", b"gut", 6),
        (b"test", b"besch\xe4digt", 6),
    ):
        folder = os.path.join(top, part, cls)
        os.makedirs(folder)
        for i in range(count):
            with open(os.path.join(folder, b"M\xfcller_%d.png" % i), "wb") as file:
                Image.fromarray(random.integers(0, 256, (16, 16), dtype=np.uint8)).save(file, "PNG")
    return tmp_path / os.fsdecode(b"T\xfcren")


def test_a_flags_path_may_be_the_one_that_was_printed(latin1, tmp_path):
    (latin1 / "study.toml").write_text("seeds = 3")
    for path in (latin1, tmp_path / "Türen"):
        assert flags.path_of(str(path)) == latin1
        assert with_config(["--config", str(path / "study.toml")])["seeds"] == 3
    assert flags.path_of(str(tmp_path / "new" / "model.onnx")) == tmp_path / "new" / "model.onnx"


def test_classes_and_data_sets_have_legible_names(latin1, tmp_path):
    for path in (latin1, tmp_path / "Türen", tmp_path / "Tu\u0308ren"):
        dataset = load(str(path), root=tmp_path / "data")
        assert (dataset.name, dataset.classes) == ("Türen", ("beschädigt", "gut"))
    assert on_disk(tmp_path / "Türen" / "train") == latin1 / "train"
    assert on_disk(tmp_path / "no" / "such") == tmp_path / "no" / "such"
    for typed in ("beschädigt", os.fsdecode(b"besch\xe4digt"), "bescha\u0308digt"):
        assert tasks_of(Study(abnormal_class=(typed,)), dataset) == [
            Task("leave-one-class-out", "beschädigt")
        ]


@pytest.mark.long
@pytest.mark.slow
def test_all_commands(latin1, tmp_path):
    """Folders of data and results have such names, and the terminal knows ASCII alone."""

    def run(*words: str) -> str:
        words, env = (sys.executable, *words), os.environ | {"PYTHONIOENCODING": "ascii"}
        done = subprocess.run(words, cwd=ROOT, env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    out = tmp_path / os.fsdecode(b"Pr\xfcfung")
    common = "--model pca --batch_size 8 --epochs 1 --dataset".split()
    common += [str(latin1), "--results_dir", str(out), "--dataroot", str(out / "data")]
    new = ["--abnormal_class", "beschädigt", "--score_folder", str(latin1 / "test")]
    run("train.py", *common, *new)
    (study,) = out.glob("pca-*")
    assert study.name.startswith("pca-Türen-beschädigt-")
    assert (study / "scores.html").read_text(encoding="utf-8").count("Müller") == 12
    assert pd.read_csv(study / "scores.csv").image.str.contains("beschädigt/Müller_").sum() == 6
    content = json.loads((study / "study.json").read_bytes())
    assert content["study"]["dataset"] == str(tmp_path / "Türen")
    assert content["study"]["results_dir"] == str(tmp_path / "Prüfung")
    rows = results.read(tmp_path / "Prüfung" / study.name).trials  # as the command printed it
    assert (rows["class"][0], rows["dataset"][0]) == ("beschädigt", "Türen")

    run("report.py", str(tmp_path / "Prüfung" / study.name))
    assert (study / "report" / "index.html").exists()
    again = run("report.py", str(study), "--reproduce", rows["trial"][0])
    assert f"--dataset '{tmp_path / 'Türen'}'" in again.encode().decode("unicode_escape")
    load = ["--load", str(next(study.glob("models/*"))), "--score_folder", str(latin1)]
    run("train.py", *load, "--results_dir", str(out), "--name", "new")
    assert (out / "new" / "scores.csv").exists()

    tune = ["train_tune.py", "--results_dir", str(out), "--name", "tuned"]
    run(*tune, *common, "--normal_class", "gut", "--trials", "0", "--seeds", "1")
    run(*tune, "--resume")
    assert len(results.read(out / "tuned").trials) == 1
    (model,) = (out / "tuned" / "models").iterdir()
    assert model_files.load(model)[1]["decoding"] == Decoding()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([latin1.name, out.name])


@pytest.mark.parametrize(
    ("name", "reason"),
    [("ü" * 101, "a class's name may have 200 bytes at most"), ("all", "a class is called 'all'")],
)
def test_a_class_that_no_flag_or_file_can_name(name: str, reason: str) -> None:
    study = Study(normal_class=(name,))
    with pytest.raises(UserError, match=f"--normal_class: {reason}"):
        study.chosen_classes((name, "other"))
