"""Defects: from a folder like MVTec AD to rows, tables and pictures, by the commands."""

import base64
import io
import json
import re
import shlex
from pathlib import Path

import mvtec
import numpy as np
import pandas as pd
import pytest
from commands import finished_run
from PIL import Image

import report
import train_tune
from bench import results
from bench.judging import metrics, pixels
from bench.reporting import frames
from bench.reporting.defects import COLUMN, defects_table
from bench.reporting.explorer import explorer
from bench.results.columns import of_defects
from bench.results.rows import mistake_in

FLAGS = ["--model", "pca", "--batch_size", "8", "--image_size", "32"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two categories; of one blot the mask is missing."""
    folder = mvtec.draw(tmp_path_factory.mktemp("data") / "mvtec")
    (folder / "nut" / "ground_truth" / "blot" / "001_mask.png").unlink()
    return folder


def run(folder: Path, name: str, *flags: str) -> results.Results:
    out = folder.parent / "out"
    return finished_run(out, "--dataset", str(folder), *FLAGS, *flags, name=name)


def remade(command: str, out: Path) -> pd.Series:
    """The row that a printed command of train.py makes."""
    return finished_run(out, *shlex.split(command)[2:], name="again").trials.iloc[0]


@pytest.fixture(scope="module")
def one_run(folder: Path) -> results.Results:
    return run(folder, "one", "--category", "nut")


def test_the_row_has_figures_of_pixels_and_of_each_defect(one_run):
    row = one_run.trials.iloc[0]
    assert (row["task"], row["class"]) == ("category", "nut")
    scores = one_run.scores(row["trial"])
    assert row["test_auroc"] == metrics.auroc(scores["labels"], scores["scores"])
    assert row["test_pixel_auroc"] > 0.9
    assert row["test_aupro"] > 0.8
    for defect in mvtec.DEFECTS:
        assert row[f"defect_images_{defect}"] == 5
        for name in ("auroc", *pixels.PIXELS):
            assert 0.7 < row[f"defect_{name}_{defect}"] <= 1
    # All abnormal images are of one of the two, and equally many.
    mean = np.mean([row[f"defect_auroc_{defect}"] for defect in mvtec.DEFECTS])
    assert mean == pytest.approx(row["test_auroc"])


def test_the_image_without_a_mask_is_noted_and_left_out(one_run, folder):
    (line,) = [n for n in one_run.provenance["dataset"]["notes"] if "pixel metrics" in n]
    assert "(nut: 1 of 10)" in line


def test_without_masks_there_are_defects_alone(folder, tmp_path):
    bare = mvtec.draw(tmp_path / "bare", categories=["nut"])
    for file in bare.rglob("*_mask.png"):
        file.unlink()
    row = run(bare, "bare").trials.iloc[0]
    assert not [name for name in row.index if "pixel" in name or "aupro" in name]
    assert {f"defect_auroc_{defect}" for defect in mvtec.DEFECTS} <= set(row.index)


def test_the_command_of_a_row_makes_it_again(one_run, folder, capsys):
    trial = one_run.trials["trial"][0]
    report.main([str(one_run.path), "--reproduce", trial])
    command = capsys.readouterr().out
    assert "--category nut" in command
    again = remade(command, one_run.path.parent)
    before = one_run.trials.iloc[0]
    same = ["test_auroc", "test_aupro", "test_pixel_auroc", "defect_auroc_blot", "fingerprint"]
    assert again[same].tolist() == before[same].tolist()


def test_the_report_has_tables_and_pictures_of_defects(one_run, tmp_path, capsys):
    report.main([str(one_run.path), "--out", str(tmp_path)])
    table = pd.read_csv(tmp_path / "defects.csv")
    assert table["defect"].tolist() == ["blot", "scratch"]
    row = one_run.trials.iloc[0]
    assert table["AUPRO"].tolist() == [row["defect_aupro_blot"], row["defect_aupro_scratch"]]
    others = pd.read_csv(tmp_path / "metrics.csv")
    assert others[["pixel AUROC", "AUPRO"]].iloc[0].tolist() == pytest.approx(
        [row["test_pixel_auroc"], row["test_aupro"]]
    )
    page = (tmp_path / "index.html").read_text()
    runs = json.loads(re.search(r'id="runs">(.*?)</script>', page)[1])
    sheet = runs[0]["gallery"]["sheet"].split(",")[1]
    with Image.open(io.BytesIO(base64.b64decode(sheet))) as picture:
        rows = np.asarray(picture.convert("RGB")).astype(int).reshape(3, 32, -1, 3)
    image, rebuilt, heat = rows[:, :, :32]  # of the surest anomaly
    different = np.abs(image - rebuilt).mean(axis=2)
    red = heat[..., 0] - heat[..., 2]
    assert np.corrcoef(different.ravel(), red.ravel())[0, 1] > 0.8


def test_a_defect_may_be_called_like_a_figure():
    row = {"trial": "t", "defect_images_low_auroc": 5, "defect_auroc_low_auroc": 0.9}
    assert mistake_in(row) is None
    row["defect_auroc_low_auroc"] = 1.5
    assert mistake_in(row) == "defect_auroc_low_auroc cannot be 1.5"
    assert COLUMN.fullmatch("defect_auroc_two\nlines")


def test_older_rows_have_no_table_of_defects(one_run):
    trials = one_run.trials.assign(study="s", row="nut", column="pca")
    assert defects_table(trials) is not None
    assert defects_table(trials.drop(columns=list(trials.filter(regex="^defect_")))) is None


def test_pixels_are_judged_of_normal_images_and_of_those_with_a_mask():
    """An unmarked abnormal image, whose every pixel is called, changes no figure."""
    labels, scores = np.array([0, 1, 1]), np.array([0.1, 0.9, 0.5])
    masks, maps = np.zeros((2, 3, 4, 4))
    masks[1, :2] = maps[1, :2] = maps[2] = 1
    defects = np.array(["", "a", "b"])
    figures = of_defects(labels, scores, defects, maps, masks.astype(bool))
    assert figures == {
        "test_pixel_auroc": 1, "test_aupro": pytest.approx(1),
        "defect_images_a": 1, "defect_auroc_a": 1,
        "defect_pixel_auroc_a": 1, "defect_aupro_a": pytest.approx(1),
        "defect_images_b": 1, "defect_auroc_b": 1,
    }  # fmt: skip


@pytest.mark.slow
def test_a_study_of_all_categories(tmp_path, ray_session, capsys):
    """One of them is grey, as some of MVTec AD are: as part of the study it has colours."""
    folder = mvtec.draw(tmp_path / "mvtec")
    for file in (folder / "nut").glob("t*/*/*.png"):
        Image.open(file).convert("L").save(file)
    place = ["--dataroot", str(tmp_path), "--results_dir", str(tmp_path), "--name", "study"]
    choices = ["--trials", "0", "--seeds", "2"]
    assert train_tune.main(["--dataset", str(folder), *FLAGS, *place, *choices]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].startswith("no search, sound protocol, ")
    assert sum(line.endswith("the default configuration (no search)") for line in lines) == 2
    assert any(re.fullmatch(r"\[1/4\] .*\(about .* left\)", line) for line in lines)
    study = results.read(tmp_path / "study")
    trials, _ = frames.join({"study": study})
    finals = frames.tested(trials)
    assert sorted(finals["class"]) == ["bolt", "bolt", "nut", "nut"]
    table = defects_table(finals).frame
    assert len(table) == 4
    assert table["images"].tolist() == [5] * 4
    assert finals["test_aupro"].notna().all()
    scores, _ = frames.read_scores({"study": study}, finals)
    assert len(list(explorer({"study": study}, finals, scores, []))) == 2
    nut = finals[finals["class"] == "nut"].iloc[0]
    capsys.readouterr()
    report.main([str(study.path), "--reproduce", nut["trial"]])
    again = remade(capsys.readouterr().out, tmp_path / "out")
    for name in ("test_auroc", "test_aupro", "defect_aupro_scratch"):
        assert again[name] == nut[name]
