"""Folders like MVTec AD: categories as tasks, masks that follow their images, and what is refused."""

import shutil
from pathlib import Path

import mvtec
import numpy as np
import pytest
from images import save
from PIL import Image

import train
import train_tune
from bench.choices.errors import UserError
from bench.choices.study import Study
from bench.choices.tasks import CATEGORY, ONE_CLASS, PUBLISHED, SOUND, Task
from bench.data.datasets import load
from bench.data.images import IndexedImages
from bench.data.splits import make_split, make_splits, missing_mask_notes, tasks_of
from bench.data.unused import too_many
from bench.results import read


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return mvtec.draw(tmp_path_factory.mktemp("data") / "mvtec")


@pytest.fixture
def changed(folder: Path, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    return shutil.copytree(folder, tmp_path / "mvtec")


def pixels(images: IndexedImages) -> np.ndarray:
    return images[np.arange(len(images))].numpy()


def test_a_category_is_a_task_and_its_good_images_are_normal(folder, tmp_path):
    dataset = load(str(folder), root=tmp_path)
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


@pytest.mark.parametrize("resize", ["squash", "crop"])
def test_masks_are_resized_as_their_images(folder, tmp_path, resize):
    dataset = load(str(folder), root=tmp_path, image_size=64, resize=resize, categories=["nut"])
    (task,) = tasks_of(Study(), dataset)
    test = make_split(dataset, task, SOUND, seed=0).test
    images = pixels(test.images)
    odd = ((images < 20) | (images > 240)).all(axis=1)  # no good pixel is so dark or bright
    assert not odd[test.labels == 0].any()
    for one, mask in zip(odd[test.labels == 1], test.masks[test.labels == 1], strict=True):
        assert (one & mask).sum() / (one | mask).sum() > 0.5  # they differ where edges are blurred
        assert not (one & ~mask).any()


def test_what_is_transparent_in_a_mask_is_not_marked(changed, tmp_path):
    plain = load(str(changed), root=tmp_path, categories=["nut"])
    masks = sorted((changed / "nut" / "ground_truth").rglob("*.png"))
    for file in masks:
        mask = Image.open(file).convert("L")
        layer = Image.new("RGBA", mask.size, "white")
        layer.putalpha(mask)
        layer.save(file)
    layered = load(str(changed), root=tmp_path, categories=["nut"])
    assert layered.fingerprint == plain.fingerprint
    for file in masks:
        Image.eval(Image.open(file).getchannel("A"), lambda value: 255 - value).save(file)
    inverted = load(str(changed), root=tmp_path, categories=["nut"])
    assert any(f"{len(masks)} mask(s) mark more than half" in line for line in inverted.notes)


def test_padding_is_not_judged_as_normal_pixels(folder, tmp_path):
    dataset = load(str(folder), root=tmp_path, image_size=64, resize="pad")
    assert dataset.masks is None
    assert any("black padding would count as normal pixels" in line for line in dataset.notes)


def test_a_category_by_itself_is_the_same_images_and_the_same_split(folder, tmp_path):
    alone = load(str(folder / "nut"), root=tmp_path)
    one = load(str(folder), root=tmp_path, categories=["nut"])
    both = load(str(folder), root=tmp_path)
    (task,) = tasks_of(Study(), alone)
    assert task == Task(ONE_CLASS, "good")
    category, limits = Task(CATEGORY, "nut"), (15, 9)
    assert len(both.limit(*limits).train_images) == 30, "so many of each category"
    for first, of_first, other in (
        (alone, task, one),
        (alone, task, both),
        (one.limit(*limits), category, both.limit(*limits)),
    ):
        a, b = (
            make_split(first, of_first, SOUND, seed=3),
            make_split(other, category, SOUND, seed=3),
        )
        np.testing.assert_array_equal(pixels(a.train), pixels(b.train))
        np.testing.assert_array_equal(pixels(a.test.images), pixels(b.test.images))
        assert (a.test.defects == b.test.defects).all()
        assert (a.test.masks == b.test.masks).all()


def test_several_sizes_beside_a_category_whose_test_images_have_no_labels(changed, tmp_path):
    shutil.rmtree(changed / "bolt" / "test")
    for number in range(6):
        save(changed / "bolt" / "test" / f"{number}.png", size=mvtec.SIZE)
    dataset = load(str(changed), root=tmp_path)
    assert (dataset.test_labels < 0).sum() == 6
    tasks = [Task(CATEGORY, "nut", limit_train=size) for size in (20, 24)]
    _, splits, _ = make_splits(dataset, tasks, SOUND, None, seed=0)
    for task, split in splits.items():
        alone = make_splits(dataset, [task], SOUND, None, seed=0)[1][task].test
        np.testing.assert_array_equal(pixels(split.test.images), pixels(alone.images))
        assert (split.test.defects == alone.defects).all()


def test_nothing_of_another_category_is_tested_under_the_published_protocol(changed, tmp_path):
    (changed / "nut" / "train" / "blot").mkdir()
    save(changed / "nut" / "train" / "blot" / "1.png", 5)
    dataset = load(str(changed), root=tmp_path)
    sizes = [
        len(make_split(dataset, Task(CATEGORY, name), PUBLISHED, seed=0).test.labels)
        for name in dataset.categories
    ]
    assert sizes == [15, 16], "the abnormal training image is of one of them"


def test_decoded_masks_are_kept_and_a_changed_mask_is_seen(changed, tmp_path):
    first = load(str(changed), root=tmp_path)
    again = load(str(changed), root=tmp_path)
    assert (first.masks == again.masks).all()
    assert first.fingerprint == again.fingerprint
    mask = changed / "nut" / "ground_truth" / "blot" / "000_mask.png"
    Image.new("L", mvtec.SIZE, 255).save(mask)
    new = load(str(changed), root=tmp_path)
    assert new.masks.sum() > first.masks.sum()
    assert new.fingerprint != first.fingerprint


def test_folders_that_are_no_categories_are_counted(changed, tmp_path):
    (changed / "split_csv").mkdir()
    (changed / ".cache" / "train").mkdir(parents=True)
    (changed / "readme.txt").write_text("not a folder")
    dataset = load(str(changed), root=tmp_path)
    assert dataset.categories == ("bolt", "nut")
    assert dataset.notes[0].endswith("left out 1 folder(s) without train/")


def test_masks_as_in_visa_and_in_loco(tmp_path):
    """By the image's own name, of small numbers in place of white; several files of one image."""
    names = ("good/1", "bad/001", "bad/002", "bad/003", "bad/004", "bad/005", "bad/006_mask")
    for name in ("train/good/1", *(f"test/{name}" for name in names)):
        save(tmp_path / "d" / f"{name}.jpg", size=(16, 16))
    truth = tmp_path / "d" / "ground_truth" / "bad"
    mask = np.zeros((16, 16), np.uint8)
    mask[2:4, 5:9] = 1
    (truth / "002").mkdir(parents=True)
    Image.fromarray(mask).save(truth / "001.png")
    Image.fromarray(mask).save(truth / "002" / "000.png")
    Image.fromarray(mask.T).convert("RGBA").save(truth / "002" / "001.png")
    Image.fromarray(mask * 255).save(truth / "003.jpg")  # its black is not all 0
    palette = Image.fromarray(1 - mask)  # black is its second colour
    palette.putpalette([255, 255, 255, 0, 0, 0])
    palette.save(truth / "004.png")
    Image.fromarray(mask).save(truth / "005_MASK.PNG")
    Image.fromarray(mask).save(truth / "006_mask.png")  # the image's own name
    save(truth / "009.png")
    save(truth / "_mask.png")
    dataset = load(str(tmp_path / "d"), root=tmp_path)
    expected_masks = (mask, mask | mask.T, mask, mask, mask, mask, 0 * mask)
    for mine, expected in zip(dataset.masks, expected_masks, strict=True):
        np.testing.assert_array_equal(mine, expected)
    assert any("2 in ground_truth/ (masks of no test image)" in line for line in dataset.notes)


def test_images_beside_the_folders_of_classes_are_left_out(changed, tmp_path):
    save(changed / "nut" / "train" / "preview.png", size=mvtec.SIZE)
    save(changed / "nut" / "test" / "new.png", size=mvtec.SIZE)
    dataset = load(str(changed), root=tmp_path)
    assert [name for name in dataset.classes if "normal" in name] == []
    assert not (dataset.test_labels < 0).any()
    assert (
        "1 directly in test/, beside folders of classes, 1 directly in train/" in dataset.notes[0]
    )


def test_fewer_images_than_a_limit_asks_for(changed, tmp_path):
    (changed / "nut" / "train" / "good" / "000.png").unlink()
    dataset = load(str(changed), root=tmp_path)
    assert too_many(dataset, [23]) == too_many(dataset, [10, None]) == []
    line = "--limit_train: 24 is more than the 23 training images of nut"
    assert too_many(dataset, [24]) == [f"{line}, which are all kept"]
    for limits in ([10, 24], [25]):
        with pytest.raises(UserError, match=r"more than the 23 training images of nut$"):
            too_many(dataset, limits)


def test_images_without_a_mask_are_counted(changed, tmp_path):
    (changed / "nut" / "ground_truth" / "blot" / "001_mask.png").unlink()
    Image.new("L", mvtec.SIZE).save(changed / "nut" / "ground_truth" / "blot" / "002_mask.png")
    dataset = load(str(changed), root=tmp_path)
    splits = {task: make_split(dataset, task, SOUND, 0) for task in tasks_of(Study(), dataset)}
    (line,) = missing_mask_notes(splits)
    assert "(nut: 2 of 10): they are left out of pixel metrics" in line
    del splits[Task(CATEGORY, "nut")]
    assert not missing_mask_notes(splits)


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
def test_a_mistake_is_one_line(folder, main, flags, message):
    data = [] if "--dataset" in flags else ["--dataset", str(folder)]
    with pytest.raises(UserError, match=message):
        main([*data, *flags])


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--contamination", "0.1"], "--contamination: 'nut' as category task leaves 0 abnormal"),
        (["--select_on", "val_auroc"], "no abnormal training images to validate 'nut' on"),
    ],
)
def test_what_needs_abnormal_training_images_is_refused(folder, tmp_path, flags, message):
    common = ["--dataset", str(folder), "--category", "nut", "--dataroot", str(tmp_path)]
    with pytest.raises(UserError, match=message):
        train.main([*common, *flags])


def test_the_last_epoch_can_be_chosen_without_abnormal_images(folder, tmp_path):
    flags = ["--model", "autoencoder", "--width", "4", "--batch_size", "4", "--epochs", "3"]
    choice = ["--category", "nut", "--select_on", "last_epoch"]
    place = ["--results_dir", str(tmp_path), "--name", "study"]
    assert train.main(["--dataset", str(folder), *choice, *place, *flags]) == 0
    (row,) = read(tmp_path / "study").trials.to_dict("records")
    assert (row["epoch"], row["select_on"]) == (3, "last_epoch")
    assert row["objective"] == -row["val_loss"]


def test_what_does_not_fit_in_a_folder_is_named(changed, tmp_path):
    def refused(path: Path, *categories: str) -> str:
        with pytest.raises(UserError) as caught:
            load(str(path), root=tmp_path, categories=categories)
        return str(caught.value)

    assert "has none, it has a folder train/ itself" in refused(changed / "nut", "nut")
    mask = changed / "nut" / "ground_truth" / "blot" / "000_mask.png"
    Image.new("L", (60, 80)).save(mask)
    assert refused(changed).endswith(f"{mask}: the mask is 60 x 80, its image 80 x 60")
    mask.write_bytes(b"no picture")
    assert str(mask) in refused(changed)
    shutil.rmtree(changed / "bolt" / "train" / "good")
    assert f"there are no images in {changed / 'bolt' / 'train'}" in refused(changed)
    assert "<category>/train/good/*" in refused(changed / "bolt" / "test")
    with pytest.raises(UserError, match=r"--category: train\.py trains on one of bolt, nut"):
        train.main(["--dataset", str(changed)])
