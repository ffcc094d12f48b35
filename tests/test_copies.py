"""Images that are there twice, faulty links and pixels, and the task that folders suggest."""

import shutil

import numpy as np
import pytest
from images import save
from mvtec import draw
from PIL import Image

from bench.choices import outside
from bench.choices.errors import UserError
from bench.choices.study import Study
from bench.choices.tasks import CATEGORY, LEAVE_ONE_CLASS_OUT, ONE_CLASS, SOUND, Task
from bench.data.datasets import load
from bench.data.splits import guess_notes, make_split, tasks_of
from bench.data.unused import left_out, too_many


def test_categories_that_share_images_lose_none_of_them(tmp_path):
    folder = draw(tmp_path / "mvtec")
    shutil.rmtree(folder / "nut" / "train")
    shutil.copytree(folder / "bolt" / "train", folder / "nut" / "train")
    shutil.copy(
        folder / "bolt" / "train" / "good" / "000.png", folder / "nut" / "test" / "good" / "9.png"
    )
    dataset = load(str(folder), root=tmp_path)
    tested, repeated = dataset.duplicates
    assert (tested.sum(), repeated.sum()) == (1, 0), "nut's copy of its own test image"
    bolt, nut = (
        make_split(dataset, Task(CATEGORY, name), SOUND, seed=0) for name in ("bolt", "nut")
    )
    sizes = [len(split.train) + int((split.val.labels == 0).sum()) for split in (bolt, nut)]
    assert sizes == [24, 23]


def test_a_category_with_known_anomalies_trains_on_good_images_alone(tmp_path, capsys):
    folder = draw(tmp_path / "mvtec") / "nut"
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


def test_the_task_that_folders_suggest_is_said(tmp_path):
    for name in ("train/a/1.png", "train/b/2.png", "test/a/3.png", "test/c/4.png"):
        save(tmp_path / "images" / name, value=10 * int(name[-5]))
    dataset = load(str(tmp_path / "images"), root=tmp_path)
    assert [task.kind for task in tasks_of(Study(), dataset)] == [LEAVE_ONE_CLASS_OUT]
    assert guess_notes(Study(), dataset)[0].startswith("c is abnormal and any other class normal")


def test_equal_images_of_two_classes_are_named(tmp_path):
    for name, value in (("train/a/1", 10), ("train/a/2", 20), ("test/a/3", 30), ("test/b/4", 20)):
        save(tmp_path / "images" / f"{name}.png", value)
    dataset = load(str(tmp_path / "images"), root=tmp_path)
    lines = left_out(dataset, tasks_of(Study(), dataset), SOUND)
    assert "2 image(s) equal one of another class: are their labels right?" in lines


def test_a_limit_that_keeps_all_of_a_category_is_said(tmp_path):
    dataset = load(str(draw(tmp_path / "mvtec")), root=tmp_path)
    assert too_many(dataset, [None], limit_test=15) == []
    lines = too_many(dataset, [None], limit_test=16)
    expected = "--limit_test: 16 is more than the 15 test images of {}: all are kept"
    assert lines == [expected.format(name) for name in ("bolt", "nut")]


def test_a_class_that_is_a_link_to_nothing_is_refused(tmp_path):
    save(tmp_path / "images" / "train" / "a" / "1.png")
    save(tmp_path / "images" / "test" / "a" / "2.png")
    (tmp_path / "images" / "test" / "scratch").symlink_to("/mnt/nowhere")
    with pytest.raises(UserError, match="scratch is a link to nothing"):
        load(str(tmp_path / "images"), root=tmp_path)


def test_one_faulty_pixel_of_a_deep_image_is_named(tmp_path):
    rng = np.random.default_rng(0)
    for i in range(12):
        pixels = rng.integers(1500, 1700, (32, 32)).astype(np.uint16)
        pixels[0, 0] = 65535 if i == 5 else 1600
        file = tmp_path / "images" / ("train" if i < 8 else "test") / "a" / f"{i}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(file)
    (line,) = [
        note for note in load(str(tmp_path / "images"), root=tmp_path).notes if "99.9 %" in note
    ]
    assert "the lowest 7 of 256 grey levels" in line


def test_a_picture_that_lies_beside_a_text_is_no_mask_of_it(tmp_path):
    for part in ("train", "test"):
        save(tmp_path / "images" / part / "a" / "p0_label.png", 10 * len(part))
        (tmp_path / "images" / part / "a" / "p0.json").write_text("{}")
    assert len(load(str(tmp_path / "images"), root=tmp_path).train_images) == 1


def test_two_images_of_a_name_share_its_mask(tmp_path):
    folder = tmp_path / "nut"
    for name in ("train/good/1.png", "test/good/2.png", "test/bad/3.png", "test/bad/3.bmp"):
        save(folder / name, 20 * int(name[-5]))
    mask = Image.new("L", (16, 16))
    mask.paste(255, (2, 2, 6, 6))
    (folder / "ground_truth" / "bad").mkdir(parents=True)
    mask.save(folder / "ground_truth" / "bad" / "3_mask.png")
    masks = load(str(folder), root=tmp_path).masks
    assert masks.any(axis=(1, 2)).sum() == 2


def test_threads_keep_the_order_of_images(tmp_path):
    """Large files are read in several threads, small ones among them end first."""
    rng = np.random.default_rng(0)
    for i in range(20):
        size = 600 if i % 3 == 0 else 100
        noise = rng.integers(0, 4, (size, size), dtype=np.uint8)
        file = tmp_path / "images" / ("train" if i < 16 else "test") / "a" / f"{i}.bmp"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noise + np.uint8(10 * i)).save(file)
    dataset = load(str(tmp_path / "images"), root=tmp_path, image_size=16)
    assert (dataset.images.mean(axis=(1, 2, 3)) // 10).tolist() == list(range(20))


def test_a_mask_is_turned_as_its_image_is(tmp_path):
    folder, exif = tmp_path / "nut", Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter, clockwise
    for name in ("train/good/1.png", "test/good/2.png"):
        save(folder / name, 20 * int(name[-5]), (16, 24))
    picture, mask = Image.new("L", (24, 16), 90), Image.new("L", (24, 16))
    mask.paste(255, (0, 0, 6, 16))  # the left, which becomes the top
    (folder / "test" / "bad").mkdir()
    (folder / "ground_truth" / "bad").mkdir(parents=True)
    picture.save(folder / "test" / "bad" / "3.jpg", exif=exif)
    mask.save(folder / "ground_truth" / "bad" / "3_mask.png", exif=exif)
    masks = load(str(folder), root=tmp_path, image_size="24x16").masks
    (marked,) = masks[masks.any(axis=(1, 2))]
    assert marked[:6].all()
    assert not marked[6:].any()


def test_masks_of_ones_own_data_set_follow_its_images(tmp_path):
    (tmp_path / "own.py").write_text(
        "import numpy as np\nfrom bench.data.datasets import Dataset\nCLASSES = ('good', 'bad')\n"
        "def load(root):\n"
        "    images = np.arange(4 * 64, dtype=np.uint8).reshape(4, 1, 8, 8)\n"
        "    masks = np.zeros((2, 8, 8), bool)\n    masks[1, :4] = True\n"
        "    labels = np.array([0, 0, 0, 1])\n"
        "    return Dataset('own', CLASSES, images[:2], labels[:2], images[2:], labels[2:], masks=masks)\n"
    )
    outside.add([outside.read("dataset", str(tmp_path / "own.py"))])
    masks = load(str(tmp_path / "own.py"), root=tmp_path, image_size=16).masks
    assert masks[1, :8].all()
    assert not masks[1, 8:].any()


def test_each_class_in_turn_means_those_that_are_trained_on(tmp_path):
    for name in ("train/good/1.png", "test/good/2.png", "test/bad/3.png", "test/worse/4.png"):
        save(tmp_path / "images" / name, 10 * int(name[-5]))
    dataset = load(str(tmp_path / "images"), root=tmp_path)
    assert [task.cls for task in tasks_of(Study(normal_class=("all",)), dataset)] == ["good"]
