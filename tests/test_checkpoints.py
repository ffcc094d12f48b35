"""Trained models on disk: what comes back, what is refused, and what they are used for."""

import json
from pathlib import Path
from pickle import UnpicklingError
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from commands import fails, finished_run
from images import write_images
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from small_models import make

import models
import train
from bench import results
from bench.choices.errors import UserError
from bench.commands import score
from bench.commands.train import restore_run
from bench.data.datasets import Decoding
from bench.reporting import reproduce
from bench.training import model_files
from bench.training.model_files import flatten, trained_state, unflatten
from bench.tuning.trainable import EpochTrainable

IMAGES = torch.randint(
    0, 256, (96, 1, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
)


def test_equal_models_are_equal_files_and_earlier_files_load(tmp_path: Path) -> None:
    model = make("knn", batch_size=16)
    model.train_epoch(IMAGES, torch.Generator().manual_seed(0))
    packed = [model_files.packed("knn", model, trained_state(model), {}) for _ in range(20)]
    assert len(set(packed)) == 1
    path = tmp_path / "model.safetensors"
    path.write_bytes(packed[0])
    with safe_open(path, "pt") as file:
        content = file.metadata()[model_files.FORMAT]
    earlier = {"format": model_files.FORMAT, "content": content}
    save_file(load_file(path), path, earlier)
    for where in (path, str(path)):
        again, about = model_files.load(where)
        assert torch.equal(again.score(IMAGES[:8]), model.score(IMAGES[:8]))
        assert about["decoding"] == Decoding("crop", background=None), "as images were before"


def test_flatten_and_unflatten_are_inverse() -> None:
    state = {
        "a": {"0": torch.arange(3), 0: {"deep": torch.ones(2)}},
        "n": 3,
        "empty": {},
        "list": [1, {"b": 2}],
    }
    tensors, plain = flatten(state)
    again = unflatten(tensors, json.loads(json.dumps(plain)))
    assert again["n"] == 3
    assert again["empty"] == {}
    assert again["list"] == [1, {"b": 2}]
    assert torch.equal(again["a"]["0"], torch.arange(3))
    assert torch.equal(again["a"][0]["deep"], torch.ones(2))


def test_what_is_no_model_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    with pytest.raises(UserError, match="there is no file"):
        model_files.load(path)
    torch.save({"evil": print}, path)
    with pytest.raises(UserError, match="cannot be read"):
        model_files.load(path)
    save_file({"x": torch.ones(1)}, path)
    with pytest.raises(UserError, match="not a model of this program"):
        model_files.load(path)
    model = models.create("w_skipganomaly", (1, 16, 16), ngf=4, ndf=4)
    path.write_bytes(model_files.packed("w_skipganomaly", model, trained_state(model), {}))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match="cannot be read"):
        model_files.load(path)
    state = trained_state(model)
    state["networks"].popitem()
    path.write_bytes(model_files.packed("w_skipganomaly", model, state, {}))
    with pytest.raises(UserError, match="does not fit"):
        model_files.load(path)


def test_train_then_score_a_folder_then_train_on(
    tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "<new>"
    write_images(folder, 12, shape=(20, 24))
    common = ["--results_dir", str(tmp_path), "--dataroot", str(tmp_path)]
    data = ["--dataset", "digits", "--abnormal_class", "3", "--limit_train", "200", "--epochs", "1"]
    small = ["--ngf", "4", "--ndf", "4"]
    assert train.main([*data, *small, *common, "--name", "one", "--score_folder", str(folder)]) == 0
    first = pd.read_csv(tmp_path / "one" / "scores.csv")
    assert sorted(first.image) == sorted(path.name for path in folder.iterdir())
    assert first.score.is_monotonic_decreasing
    page = (tmp_path / "one" / "scores.html").read_text()
    assert "&lt;new&gt;" in page
    assert "<new>" not in page
    assert page.count("data:image/png") == 36
    maps = sorted(path.name for path in (tmp_path / "one" / "heat_maps").iterdir())
    assert maps == sorted(f"{path.name}.png" for path in folder.iterdir())
    assert ((first.verdict == "abnormal") == (first.p_value <= 0.05)).all()
    assert page.count('class="abnormal"') == (first.verdict == "abnormal").sum()
    row = results.read(tmp_path / "one").trials.iloc[0]
    assert ((first.score > row.threshold) == (first.verdict == "abnormal")).all()
    scores = results.read(tmp_path / "one").scores(row.trial)
    called = scores.scores > row.threshold
    assert row.test_true_alarms == pytest.approx(called[scores.labels == 1].mean())
    assert row.test_false_alarms == pytest.approx(called[scores.labels == 0].mean())

    path = tmp_path / "one" / "models" / "w_skipganomaly-3-000-seed0.safetensors"
    load = ["--load", str(path), "--score_folder", str(folder)]
    assert train.main([*load, "--name", "again", *common]) == 0
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "again" / "scores.csv"), first)
    monkeypatch.setattr(score, "SHOWN", 5)
    assert train.main([*load, "--name", "short", *common]) == 0
    page = (tmp_path / "short" / "scores.html").read_text()
    assert "The first 5 of 12 images, most anomalous first" in page
    assert [f". {name}:" in page for name in first.image] == [True] * 5 + [False] * 7
    assert len(pd.read_csv(tmp_path / "short" / "scores.csv")) == 12
    one = ["--load", str(path), "--score_folder", str(folder / "3.png"), "--false_alarms", "0.5"]
    assert train.main([*one, "--name", "single", *common]) == 0
    single, same = pd.read_csv(tmp_path / "single" / "scores.csv"), first[first.image == "3.png"]
    assert single.image.tolist() == ["3.png"]
    assert single.score[0] == pytest.approx(same.score.iloc[0], rel=1e-5)
    assert single.p_value[0] == same.p_value.iloc[0]
    assert single.verdict[0] == ("abnormal" if single.p_value[0] <= 0.5 else "normal")

    note = "the model was trained on another split"
    for name, other in (("further", []), ("elsewhere", ["--split_seed", "9"])):
        capsys.readouterr()
        assert train.main(["--load", str(path), *data, *other, "--name", name, *common]) == 0
        assert (note in capsys.readouterr().err) == bool(other)
    study = results.read(tmp_path / "further")
    assert study.trials.config_ngf[0] == 4
    with pytest.raises(UserError, match=r"began with the weights in .*safetensors"):
        reproduce.command_for({"further": study}, study.trials.trial[0])
    assert train.main([*data, "--model", "knn", *common, "--name", "knn"]) == 0
    (fitted,) = (tmp_path / "knn" / "models").iterdir()
    capsys.readouterr()
    mistakes = [
        (["--load", str(path)], "--score_folder"),
        ([*load, "--false_alarms", "5"], "between"),
        (["--load", str(path), "--ngf", "8", *data], "--ngf"),
        (["--load", str(path), "--skip", "False", *data], "leave out --skip"),
        (["--load", str(path), *data, "--image_size", "32", "--name", "size"], "images"),
        (["--load", str(fitted), *data, "--name", "fit"], "knn is fitted at once, and cannot"),
        (["--load", str(path), "--score_folder", str(tmp_path / "none"), "--name", "none"], "none"),
    ]
    for flags, word in mistakes:
        assert word in fails(capsys, train, flags, tmp_path)


def test_how_many_images_are_called_abnormal_is_printed(tmp_path: Path, capsys) -> None:
    for i, kind in enumerate((*["plain"] * 5, "odd")):
        pixels = np.random.default_rng(i).integers(0, 255, (16, 16), dtype=np.uint8)
        picture = Image.fromarray(pixels * (kind == "odd"))
        (tmp_path / "new").mkdir(exist_ok=True)
        picture.save(tmp_path / "new" / f"{i}.png")
    flags = ["--dataset", "digits", "--normal_class", "3", "--model", "pca", "--components", "4"]
    flags += ["--score_folder", str(tmp_path / "new")]
    sound = finished_run(tmp_path, *flags, name="sound")
    row = sound.trials.iloc[0]
    called = pd.read_csv(sound.path / "scores.csv").verdict.eq("abnormal").sum()
    out = capsys.readouterr().out
    above = f"{called} of 6 called abnormal: above {row.threshold:.4g}"
    assert f"{above}, which at most 5 % of normal images should exceed" in out
    assert called != 3
    assert f"for 5 % false alarms: {row.test_true_alarms:.1%} of the abnormal" in out
    published = finished_run(tmp_path, *flags, "--protocol", "published", name="all")
    assert "note: there are no verdicts: no normal images were held" in capsys.readouterr().err
    assert "verdict" not in pd.read_csv(published.path / "scores.csv")


def test_without_test_images_too_the_chosen_epochs_model_scores_a_folder(tmp_path, monkeypatch):
    monkeypatch.setattr("bench.training.run.improves", lambda new, best, _: best is None)
    write_images(tmp_path / "d" / "train" / "a", 40, shape=(16, 16))
    flags = ["--dataset", str(tmp_path / "d"), "--model", "autoencoder", "--width", "4"]
    folder = ["--score_folder", str(tmp_path / "d"), "--results_dir", str(tmp_path)]
    run = finished_run(tmp_path, *flags, *folder, "--epochs", "2", "--batch_size", "8")
    (file,) = (run.path / "models").iterdir()
    assert train.main(["--load", str(file), *folder, "--name", "again"]) == 0
    again = pd.read_csv(tmp_path / "again" / "scores.csv")
    pd.testing.assert_frame_equal(again, pd.read_csv(run.path / "scores.csv"))


class Code:
    """A pickle of it creates a file as it is loaded."""

    def __init__(self, marker: Path):
        self.marker = marker

    def __reduce__(self):
        return Path.touch, (self.marker,)


def test_no_code_in_a_checkpoint_is_run(tmp_path: Path) -> None:
    trainable: Any = SimpleNamespace(run=SimpleNamespace(restore=print), error=None)
    checkpoint, marker = tmp_path / "run.pt", tmp_path / "marker"
    torch.save(Code(marker), checkpoint)
    with pytest.raises(UserError, match=r"run\.pt cannot be used"):
        restore_run(trainable.run, checkpoint)
    with pytest.raises(UnpicklingError):
        EpochTrainable.load_checkpoint(trainable, str(tmp_path))
    assert not marker.exists()
