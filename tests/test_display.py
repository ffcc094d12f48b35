"""TensorBoard's files, read back by TensorBoard; and that being watched changes no training run."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from small_models import small
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import models
import train
from bench import results
from bench.choices.tasks import SOUND, Task
from bench.data import datasets
from bench.data.splits import Split, make_split
from bench.results.gallery import picture
from bench.training.run import SHOWN, Run
from bench.training.run import train as training
from bench.watching.live_curves import PICTURE

DIGITS = ["--dataset", "digits", "--abnormal_class", "3", "--limit_train", "200"]


@pytest.fixture(scope="module")
def split() -> Split:
    dataset = datasets.load("digits", root=Path("unused"), image_size=None, channels=None)
    return make_split(dataset.limit(200, 100, seed=0), Task("leave-one-class-out", "3"), SOUND, seed=0)


def run_of(model: str, split: Split) -> Run:
    return Run(model, split, SOUND, hyperparameters=small(model, batch_size=16), seed=0, select_on="val_auroc")


@pytest.mark.parametrize("model", models.NAMES)
def test_what_is_shown_and_that_it_changes_nothing(split: Split, model: str) -> None:
    assert split.val is not None
    alone = list(training(run_of(model, split), 2))
    watched, records, shown = run_of(model, split), [], {}
    for record in training(watched, 2):
        shown = watched.shown()
        records.append(record)
    for record, other in zip(records, alone, strict=True):
        for name in set(record) - {"train_seconds", "score_seconds"}:
            assert record[name] == other[name], "to the bit"
    assert [len(shown[name]) for name in ("normal", "abnormal")] == np.bincount(split.val.labels).tolist()
    channels, height, width = split.train.shape[1:]
    if watched.model.reconstructions(split.train[:1]) is None:
        assert "picture" not in shown
    else:
        assert shown["picture"].shape == (channels, 3 * height, 2 * SHOWN * width)
        first = split.val.images[int(np.flatnonzero(split.val.labels == 0)[0])]
        assert (shown["picture"][:, :height, :width] == first.numpy()).all()


def test_a_picture_has_the_absolute_difference() -> None:
    images, rebuilt = np.array([10, 250], dtype=np.uint8), np.array([250, 10], dtype=np.uint8)
    made = picture(images.reshape(2, 1, 1, 1), rebuilt.reshape(2, 1, 1, 1))
    assert made.tolist() == [[[10, 250], [250, 10], [240, 240]]]


def test_train_writes_what_tensorboard_shows(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    flags = [*DIGITS, "--limit_test", "100", "--epochs", "2"]
    out = ["--results_dir", str(tmp_path), "--name", "one", "--display", "--quiet"]
    assert train.main([*flags, "--ngf", "4", "--ndf", "4", *out]) == 0
    assert "TensorBoard: http://127.0.0.1:" in capsys.readouterr().out
    trial = results.read(tmp_path / "one").trials.trial.iloc[0]
    events = EventAccumulator(str(tmp_path / "one" / "tensorboard" / trial), {"histograms": 0, "images": 0})
    events.Reload()
    epochs = results.read(tmp_path / "one").epochs
    assert [event.value for event in events.Scalars("val/auroc")] == pytest.approx(epochs.val_auroc.tolist())
    pictures = events.Images(PICTURE)
    assert [event.step for event in pictures] == [1, 2]
    with Image.open(io.BytesIO(pictures[-1].encoded_image_string)) as image:
        assert image.size == (2 * SHOWN * 16, 3 * 16)
    for name in ("normal", "abnormal"):
        histograms = events.Histograms(f"scores/{name}")
        assert [event.step for event in histograms] == [1, 2]
        assert histograms[0].histogram_value.num > SHOWN


def test_nothing_is_shown_without_validation_images(tmp_path: Path) -> None:
    """Under the published protocol all normal training images train, and the test images choose."""
    flags = [*DIGITS, "--protocol", "published"]
    out = ["--epochs", "1", "--results_dir", str(tmp_path), "--name", "one", "--display"]
    assert train.main([*flags, "--ngf", "4", "--ndf", "4", *out]) == 0
    events = EventAccumulator(str(next((tmp_path / "one" / "tensorboard").iterdir())))
    events.Reload()
    assert "test/auroc" in events.Tags()["scalars"]
    assert events.Tags()["images"] == []
