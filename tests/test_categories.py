"""Folders like MVTec AD: their categories as tasks, and what is left out, noted and refused."""

import shutil
from pathlib import Path

import mvtec
import numpy as np
import pytest
from commands import finished_run
from images import save
from PIL import Image

import train
import train_tune
from bench.choices.errors import UserError
from bench.choices.study import Study
from bench.choices.tasks import CATEGORY, LEAVE_ONE_CLASS_OUT, ONE_CLASS, PUBLISHED, SOUND, Task
from bench.data.datasets import load
from bench.data.splits import guess_notes, make_split, make_splits, tasks_of
from bench.data.unused import too_many


def test_a_category_is_a_task_and_its_good_images_are_normal(mvtec_folder, tmp_path):
    dataset = load(str(mvtec_folder), root=tmp_path)
    assert dataset.categories == ("bolt", "nut")
    of_bolt = ("bolt", "bolt/blot", "bolt/scratch")
    assert dataset.classes == (*of_bolt, "nut", "nut/blot", "nut/scratch")
    tasks = tasks_of(Study(), dataset)
    assert tasks == [Task(CATEGORY, "bolt"), Task(CATEGORY, "nut")]
    for task, first in zip(tasks, (0, 3), strict=True):
        split = make_split(dataset, task, SOUND, seed=0)
        normal = dataset.train_images[dataset.train_labels == first]
        held_out = split.val.normal().numpy()
        assert len(split.train) + len(held_out) == len(normal) == 24
        assert {image.tobytes() for image in held_out} <= {image.tobytes() for image in normal}
        assert not split.val.labels.any()
        assert (split.test.labels == 0).sum() == 5
        assert sorted(split.test.defects) == [""] * 5 + ["blot"] * 5 + ["scratch"] * 5
        assert ((split.test.defects != "") == split.test.labels).all()
        assert (split.test.masks.any(axis=(1, 2)) == split.test.labels).all()


def test_a_category_by_itself_is_the_same_images_and_the_same_split(mvtec_folder, tmp_path):
    alone = load(str(mvtec_folder / "nut"), root=tmp_path)
    one = load(str(mvtec_folder), root=tmp_path, categories=["nut"])
    both = load(str(mvtec_folder), root=tmp_path)
    (task,) = tasks_of(Study(), alone)
    assert task == Task(ONE_CLASS, "good")
    category, limits = Task(CATEGORY, "nut"), (15, 9)
    assert len(both.limit(*limits).train_images) == 30, "so many of each category"
    for first, of_first, other in (
        (alone, task, one),
        (alone, task, both),
        (one.limit(*limits), category, both.limit(*limits)),
    ):
        a = make_split(first, of_first, SOUND, seed=3)
        b = make_split(other, category, SOUND, seed=3)
        np.testing.assert_array_equal(a.train[:].numpy(), b.train[:].numpy())
        np.testing.assert_array_equal(a.test.images[:].numpy(), b.test.images[:].numpy())
        assert (a.test.defects == b.test.defects).all()
        assert (a.test.masks == b.test.masks).all()


def test_several_sizes_beside_a_category_whose_test_images_have_no_labels(mvtec_copy, tmp_path):
    shutil.rmtree(mvtec_copy / "bolt" / "test")
    for number in range(6):
        save(mvtec_copy / "bolt" / "test" / f"{number}.png", size=mvtec.SIZE)
    dataset = load(str(mvtec_copy), root=tmp_path)
    assert (dataset.test_labels < 0).sum() == 6
    tasks = [Task(CATEGORY, "nut", limit_train=size) for size in (20, 24)]
    _, splits, _ = make_splits(dataset, tasks, SOUND, None, seed=0)
    for task, split in splits.items():
        alone = make_splits(dataset, [task], SOUND, None, seed=0)[1][task].test
        np.testing.assert_array_equal(split.test.images[:].numpy(), alone.images[:].numpy())
        assert (split.test.defects == alone.defects).all()


def test_nothing_of_another_category_is_tested_under_the_published_protocol(mvtec_copy, tmp_path):
    (mvtec_copy / "nut" / "train" / "blot").mkdir()
    save(mvtec_copy / "nut" / "train" / "blot" / "1.png", 5)
    dataset = load(str(mvtec_copy), root=tmp_path)
    tasks = [Task(CATEGORY, name) for name in dataset.categories]
    sizes = [len(make_split(dataset, task, PUBLISHED, seed=0).test.labels) for task in tasks]
    assert sizes == [15, 16], "the abnormal training image is of one of them"


def test_folders_that_are_no_categories_are_counted(mvtec_copy, tmp_path):
    (mvtec_copy / "split_csv").mkdir()
    (mvtec_copy / ".cache" / "train").mkdir(parents=True)
    (mvtec_copy / "readme.txt").write_text("not a folder")
    dataset = load(str(mvtec_copy), root=tmp_path)
    assert dataset.categories == ("bolt", "nut")
    assert dataset.notes[0].endswith("left out 1 folder(s) without train/")


def test_images_beside_the_folders_of_classes_are_left_out(mvtec_copy, tmp_path):
    save(mvtec_copy / "nut" / "train" / "preview.png", size=mvtec.SIZE)
    save(mvtec_copy / "nut" / "test" / "new.png", size=mvtec.SIZE)
    dataset = load(str(mvtec_copy), root=tmp_path)
    assert [name for name in dataset.classes if "normal" in name] == []
    assert not (dataset.test_labels < 0).any()
    beside = "1 directly in test/, beside folders of classes, 1 directly in train/"
    assert beside in dataset.notes[0]


def test_fewer_images_than_a_limit_asks_for(mvtec_copy, tmp_path):
    (mvtec_copy / "nut" / "train" / "good" / "000.png").unlink()
    dataset = load(str(mvtec_copy), root=tmp_path)
    assert too_many(dataset, [23]) == too_many(dataset, [10, None]) == []
    line = "--limit_train: 24 is more than the 23 training images of nut"
    assert too_many(dataset, [24]) == [f"{line}, which are all kept"]
    for limits in ([10, 24], [25]):
        with pytest.raises(UserError, match=r"more than the 23 training images of nut$"):
            too_many(dataset, limits)


def test_the_normal_class_may_be_called_otherwise_where_it_is_clear(tmp_path):
    category = tmp_path / "btad" / "01"
    for value, name in enumerate(("train/ok/1", "train/ok/2", "test/ok/1", "test/ko/1")):
        save(category / f"{name}.png", value)
    dataset = load(str(tmp_path / "btad"), root=tmp_path)
    assert dataset.classes == ("01", "01/ko")
    save(category / "train" / "also" / "1.png")
    with pytest.raises(UserError, match=r"01/train has no folder good.*\(it has: also, ok\)"):
        load(str(tmp_path / "btad"), root=tmp_path)
    shutil.rmtree(category / "train" / "also")
    (category / "test" / "ok").rename(category / "test" / "good")
    with pytest.raises(UserError, match="no folder good"):
        load(str(tmp_path / "btad"), root=tmp_path)


BAD = [
    (["--category", "nuts"], r"--category: there is no 'nuts'; did you mean 'nut'\? \(valid: bolt, nut"),
    (["--category", "nut", "--normal_class", "good"], "--normal_class and --category: give only one"),
    (["--abnormal_class", "blot"], "give this flag alone"),
    (["--dataset", "digits", "--category", "nut"], "--category: digits has none"),
]  # fmt: skip


@pytest.mark.parametrize(("flags", "message"), BAD, ids=lambda value: str(value)[:30])
@pytest.mark.parametrize("main", [train.main, train_tune.main])
def test_a_mistake_is_one_line(mvtec_folder, main, flags, message):
    data = [] if "--dataset" in flags else ["--dataset", str(mvtec_folder)]
    with pytest.raises(UserError, match=message):
        main([*data, *flags])


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--contamination", "0.1"], "--contamination: 'nut' as category task leaves 0 abnormal"),
        (["--select_on", "val_auroc"], "give val_loss or pseudo_auroc or last_epoch"),
    ],
)
def test_what_needs_abnormal_training_images_is_refused(mvtec_folder, tmp_path, flags, message):
    common = ["--dataset", str(mvtec_folder), "--category", "nut", "--dataroot", str(tmp_path)]
    with pytest.raises(UserError, match=message):
        train.main([*common, *flags])


def test_the_last_epoch_can_be_chosen_without_abnormal_images(mvtec_folder, tmp_path):
    flags = ["--model", "autoencoder", "--width", "4", "--batch_size", "4", "--epochs", "3"]
    choice = ["--category", "nut", "--select_on", "last_epoch"]
    study = finished_run(tmp_path, "--dataset", str(mvtec_folder), *choice, *flags)
    (row,) = study.trials.to_dict("records")
    assert (row["epoch"], row["select_on"]) == (3, "last_epoch")
    assert row["objective"] == -row["val_loss"]


def test_what_does_not_fit_in_a_folder_is_named(mvtec_copy, tmp_path):
    def refused(path: Path, *categories: str) -> str:
        with pytest.raises(UserError) as caught:
            load(str(path), root=tmp_path, categories=categories)
        return str(caught.value)

    assert "has none, it has a folder train/ itself" in refused(mvtec_copy / "nut", "nut")
    mask = mvtec_copy / "nut" / "ground_truth" / "blot" / "000_mask.png"
    Image.new("L", (60, 80)).save(mask)
    assert refused(mvtec_copy).endswith(f"{mask}: the mask is 60 x 80, its image 80 x 60")
    mask.write_bytes(b"no picture")
    assert str(mask) in refused(mvtec_copy)
    shutil.rmtree(mvtec_copy / "bolt" / "train" / "good")
    assert f"there are no images in {mvtec_copy / 'bolt' / 'train'}" in refused(mvtec_copy)
    assert "<category>/train/good/*" in refused(mvtec_copy / "bolt" / "test")
    with pytest.raises(UserError, match=r"--category: train\.py trains on one of bolt, nut"):
        train.main(["--dataset", str(mvtec_copy)])


def test_categories_that_share_images_lose_none_of_them(mvtec_copy, tmp_path):
    shutil.rmtree(mvtec_copy / "nut" / "train")
    shutil.copytree(mvtec_copy / "bolt" / "train", mvtec_copy / "nut" / "train")
    image = mvtec_copy / "bolt" / "train" / "good" / "000.png"
    shutil.copy(image, mvtec_copy / "nut" / "test" / "good" / "9.png")
    dataset = load(str(mvtec_copy), root=tmp_path)
    tested, repeated = dataset.duplicates
    assert (tested.sum(), repeated.sum()) == (1, 0), "nut's copy of its own test image"
    splits = [make_split(dataset, Task(CATEGORY, name), SOUND, 0) for name in ("bolt", "nut")]
    sizes = [len(split.train) + int((split.val.labels == 0).sum()) for split in splits]
    assert sizes == [24, 23]


def test_a_category_with_known_anomalies_trains_on_good_images_alone(mvtec_copy, tmp_path):
    folder = mvtec_copy / "nut"
    shutil.copytree(folder / "test" / "blot", folder / "train" / "blot")
    dataset = load(str(folder), root=tmp_path)
    (task,) = tasks_of(Study(), dataset)
    assert task == Task(ONE_CLASS, "good")
    (line,) = guess_notes(Study(), dataset)
    assert line.startswith("good is normal and any other class abnormal")
    assert guess_notes(Study(normal_class=("good",)), dataset) == []
    shutil.rmtree(folder / "train" / "blot")
    shutil.rmtree(folder / "test" / "blot")
    (task,) = tasks_of(Study(), load(str(folder), root=tmp_path))
    assert task == Task(LEAVE_ONE_CLASS_OUT, "scratch"), "of one kind of defect, as ever"


def test_a_limit_that_keeps_all_of_a_category_is_noted(mvtec_folder, tmp_path):
    dataset = load(str(mvtec_folder), root=tmp_path)
    assert too_many(dataset, [None], limit_test=15) == []
    lines = too_many(dataset, [None], limit_test=16)
    expected = "--limit_test: 16 is more than the 15 test images of {}: all are kept"
    assert lines == [expected.format(name) for name in ("bolt", "nut")]
