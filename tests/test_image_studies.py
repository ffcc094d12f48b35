"""New images are decoded as the training images were, as study.json and the model's file say."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from commands import finished_run
from PIL import Image

import train
from bench.choices.errors import UserError
from bench.data.datasets import Decoding
from bench.reporting import reproduce
from bench.training import model_files

FLAGS = ["--normal_class", "good", "--model", "pca"]


@pytest.fixture
def camera(tmp_path: Path) -> Path:
    """A camera's 12-bit pictures in 16-bit files (deep), and the same in 8 bits (shallow)."""
    places = {"train/good": 40, "test/good": 20, "test/bad": 20, "new": 10}
    for seed, (place, count) in enumerate(places.items()):
        for folder in ("deep", "shallow"):
            (tmp_path / folder / place).mkdir(parents=True)
        for i in range(count):
            pixels = np.random.default_rng([seed, i]).normal(1600, 30, (24, 40))
            if place == "test/bad":
                pixels[10:20, 10:20] += 40
            if place == "new":
                pixels /= 2  # 10 bits would hold these, were they asked
            deep, shallow = pixels.astype(np.uint16), (pixels / 16).astype(np.uint8)
            Image.fromarray(deep).save(tmp_path / "deep" / place / f"{i}.png")
            Image.fromarray(shallow).save(tmp_path / "shallow" / place / f"{i}.png")
    return tmp_path


def scores_of(folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / "scores.csv").set_index("image").sort_index()


def test_one_scale_from_training_to_new_images(camera, capsys):
    rows = {}
    for name in ("deep", "shallow"):
        data = ["--dataset", str(camera / name), "--score_folder", str(camera / name / "new")]
        study = finished_run(camera / "out", *data, *FLAGS, "--quiet", name=name)
        rows[name] = study.trials.iloc[0]
        assert rows[name].family == "baseline"
        printed = capsys.readouterr().err.splitlines()
        assert all(line.startswith("note: ") for line in printed)
        scale = [line for line in printed if "0 to 4095 (12 bits) becomes 0 to 255" in line]
        assert len(scale) == (2 if name == "deep" else 0)  # the data set's, then the new folder's
    assert rows["deep"].test_auroc == rows["shallow"].test_auroc
    assert rows["deep"].fingerprint == rows["shallow"].fingerprint
    expected = scores_of(camera / "out" / "shallow")
    pd.testing.assert_frame_equal(scores_of(camera / "out" / "deep"), expected)

    (model,) = (camera / "out" / "deep" / "models").iterdir()
    load = ["--load", str(model), "--score_folder", str(camera / "deep" / "new")]
    place = ["--results_dir", str(camera / "out"), "--name", "x", "--quiet"]
    assert train.main([*load, *place]) == 0
    pd.testing.assert_frame_equal(scores_of(camera / "out" / "x"), expected)


def test_study_json_and_the_model_say_how_images_are_decoded(camera, capsys):
    choices = ["--resize", "pad", "--untrained_classes", "normal"]
    study = finished_run(camera / "out", "--dataset", str(camera / "deep"), *FLAGS, *choices)
    printed = [line.removeprefix("note: ") for line in capsys.readouterr().err.splitlines()]
    data = study.provenance["dataset"]
    *of_images, too_few = printed
    assert data["notes"] == of_images
    assert "10 normal images that were held out are too few" in too_few
    assert len(of_images) == 4  # the folder new/, the sizes, the bits, the choice without effect
    assert data["decoding"] == {"resize": "pad", "bits": 12, "background": 255}
    assert data["image_shape"] == [1, 64, 64]
    (model,) = (study.path / "models").iterdir()
    assert model_files.load(model)[1]["decoding"] == Decoding("pad", 12)

    command = reproduce.command_for({"one": study}, study.trials.trial[0])
    assert "--resize pad" in command
    assert "--untrained_classes normal" in command


def test_damaged_images_are_named_and_the_others_scored(
    capsys, tmp_path: Path, wganomaly_folder: Path
) -> None:
    flags = ["--dataset", str(wganomaly_folder), "--model", "pca", "--dataroot", str(tmp_path)]
    place = ["--results_dir", str(tmp_path), "--quiet", "--name"]
    new = tmp_path / "new"
    shutil.copytree(wganomaly_folder / "test", new)
    whole, damaged = sorted(new.rglob("*.png"))[:2]
    damaged.write_bytes(damaged.read_bytes()[:100])
    (new / "gone.png").symlink_to("nowhere")
    assert train.main([*flags, "--score_folder", str(new), *place, "trained"]) == 1
    (model,) = (tmp_path / "trained" / "models").iterdir()
    load = ["--load", str(model), *place, "loaded", "--score_folder"]
    assert train.main([*load, str(new)]) == 1
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("failed: ")]
    assert [str(damaged) in line for line in lines] == [True, False] * 2
    images = len(list(new.rglob("*.png"))) - 2
    for name in ("trained", "loaded"):
        scored = pd.read_csv(tmp_path / name / "scores.csv")["image"]
        assert len(scored) == images
        assert {whole.relative_to(new).as_posix()} < set(scored)
    shutil.rmtree(tmp_path / "loaded")
    with pytest.raises(UserError, match=damaged.name):
        train.main([*load, str(damaged)])
    assert not (tmp_path / "loaded").exists()
