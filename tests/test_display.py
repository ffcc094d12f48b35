"""What --display writes, as TensorBoard reads it, and that it does not change the training."""

import io
from pathlib import Path

import numpy as np
import pytest
from commands import finished_run
from PIL import Image
from small_models import slow_except, small_run
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import models
from bench.data.splits import Split
from bench.results.gallery import picture
from bench.training.run import PICTURED
from bench.watching import live_curves
from bench.watching.live_curves import PICTURE

DIGITS = ["--dataset", "digits", "--abnormal_class", "3", "--limit_train", "200"]


@pytest.mark.parametrize("model", slow_except(models.NAMES, "w_skipganomaly", "knn"))
def test_display_has_scores_and_a_picture_and_changes_no_training(split: Split, model: str) -> None:
    run = small_run(model, split)
    plain = [run.step() for _ in range(2)]
    displayed, records, curves = small_run(model, split), [], {}
    for _ in range(2):
        records.append(displayed.step())
        curves = displayed.curves()
    for record, other in zip(records, plain, strict=True):
        for name in set(record) - {"train_seconds", "score_seconds"}:
            assert record[name] == other[name], "to the bit"
    counts = [len(curves[name]) for name in ("normal", "abnormal")]
    assert counts == np.bincount(split.val.labels).tolist()
    channels, height, width = split.train.shape[1:]
    if displayed.model.reconstructions(split.train[:1]) is None:
        assert "picture" not in curves
    else:
        assert curves["picture"].shape == (channels, 3 * height, 2 * PICTURED * width)
        first = split.val.images[int(np.flatnonzero(split.val.labels == 0)[0])]
        assert (curves["picture"][:, :height, :width] == first.numpy()).all()


def test_a_picture_has_the_absolute_difference() -> None:
    images = np.array([10, 250], dtype=np.uint8).reshape(2, 1, 1, 1)
    reconstructions = np.array([250, 10], dtype=np.uint8).reshape(2, 1, 1, 1)
    assert picture(images, reconstructions).tolist() == [[[10, 250], [250, 10], [240, 240]]]


def test_tensorboard_reads_trains_curves(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    flags = [*DIGITS, "--limit_test", "100", "--epochs", "2", "--ngf", "4", "--ndf", "4"]
    study = finished_run(tmp_path, *flags, "--display", "--quiet")
    assert "TensorBoard: http://127.0.0.1:" in capsys.readouterr().out
    curves = study.path / "tensorboard" / study.trials.trial.item()
    events = EventAccumulator(str(curves), {"histograms": 0, "images": 0})
    events.Reload()
    aurocs = study.epochs.val_auroc.tolist()
    assert [event.value for event in events.Scalars("val/auroc")] == pytest.approx(aurocs)
    pictures = events.Images(PICTURE)
    assert [event.step for event in pictures] == [1, 2]
    with Image.open(io.BytesIO(pictures[-1].encoded_image_string)) as image:
        assert image.size == (2 * PICTURED * 16, 3 * 16)
    for name in ("normal", "abnormal"):
        histograms = events.Histograms(f"scores/{name}")
        assert [event.step for event in histograms] == [1, 2]
        assert histograms[0].histogram_value.num > PICTURED


def test_there_is_no_picture_without_validation_images(tmp_path: Path) -> None:
    """Under the published protocol the test images choose, and all other normal images train."""
    flags = [*DIGITS, "--protocol", "published", "--epochs", "1", "--ngf", "4", "--ndf", "4"]
    study = finished_run(tmp_path, *flags, "--display")
    events = EventAccumulator(str(next((study.path / "tensorboard").iterdir())))
    events.Reload()
    assert "test/auroc" in events.Tags()["scalars"]
    assert events.Tags()["images"] == []


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # TensorBoard's
def test_curves_end_where_the_disk_is_full_and_the_run_goes_on(small_disk: Path, capsys) -> None:
    board = live_curves.Board(small_disk)
    (small_disk / "others").write_bytes(bytes(2**20 - 2**16))
    for epoch in range(99):
        board.add("t", {"epoch": epoch, "val_auroc": 0.5}, {"normal": np.arange(9999.0) * epoch})
    board.close("t")
    assert capsys.readouterr().err.count("no more curves") == 1
