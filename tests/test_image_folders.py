"""Folders of images: which files are images, of which class; tasks; errors; unlabelled images."""

import unicodedata
from pathlib import Path

import numpy as np
import pytest
from images import save, write_images
from PIL import Image, features

from bench.choices.errors import UserError
from bench.choices.study import Study
from bench.choices.tasks import LEAVE_ONE_CLASS_OUT, SOUND
from bench.data.datasets import Decoding, load
from bench.data.datasets.folder import read_images
from bench.data.splits import guess_notes, tasks_of
from bench.data.unused import left_out
from bench.training.prepare import prepare


def test_class_folders(tmp_path):
    top = tmp_path / "things"
    save(top / "train" / "cat" / "10.png", 3)
    save(top / "train" / "cat" / "2.PNG", 2)
    save(top / "train" / "ant" / "deep" / "er" / "1.bmp", 1)
    save(top / "test" / "cat" / "1.pgm", 4)
    save(top / "test" / "bee" / "1.tiff", 5)
    (top / "train" / "cat" / "notes.txt").write_text("no image")
    (top / "train" / "cat" / "._2.png").write_text("hidden")
    (top / "train" / ".trash").mkdir()
    (top / "train" / ".trash" / "1.png").write_text("hidden")
    dataset = load(str(top), root=tmp_path / "data")
    assert dataset.name == "things"
    assert dataset.classes == ("ant", "bee", "cat")
    assert list(dataset.train_labels) == [0, 2, 2]
    assert list(dataset.train_images[:, 0, 0, 0]) == [1, 2, 3]
    assert list(dataset.test_labels) == [1, 2]
    assert list(dataset.test_images[:, 0, 0, 0]) == [5, 4]
    assert dataset.image_shape == (1, 16, 16)


def test_skip_wganomaly_layout_below_root(tmp_path):
    save(tmp_path / "custom" / "train" / "0.normal" / "a.png")
    save(tmp_path / "custom" / "test" / "0.normal" / "b.png")
    save(tmp_path / "custom" / "test" / "1.abnormal" / "c.png")
    dataset = load("custom", root=tmp_path)
    assert dataset.classes == ("0.normal", "1.abnormal")
    assert (list(dataset.train_labels), list(dataset.test_labels)) == ([0], [0, 1])


def test_flat_folders_are_normal_and_unlabelled(tmp_path):
    save(tmp_path / "train" / "a.png")
    save(tmp_path / "test" / "b.png")
    dataset = load(str(tmp_path), root=tmp_path)
    assert dataset.classes == ("normal",)
    assert (list(dataset.train_labels), list(dataset.test_labels)) == ([0], [-1])


def test_results_are_no_images(tmp_path):
    save(tmp_path / "new.png")
    save(tmp_path / "results" / "scored" / "heat_maps" / "new.png.png")
    (tmp_path / "results" / "scored" / "scores.csv").touch()
    save(tmp_path / "results" / "study" / "scores" / "trial" / "gallery.png")
    (tmp_path / "results" / "study" / "study.json").touch()
    names, _, notes = read_images(tmp_path, (16, 16), 1, Decoding())
    assert names == ["new.png"]
    assert notes == [f"{tmp_path}: left out 2 folder(s) of results"]


def test_a_folder_without_test_has_an_empty_test_split(tmp_path):
    save(tmp_path / "train" / "a.png", mode="RGB")
    dataset = load(str(tmp_path), root=tmp_path, channels=1)
    assert dataset.test_images.shape == (0, 1, 16, 16)
    assert len(dataset.fingerprint) == 16


def test_folders_beside_train_and_a_lack_of_test_images_are_named(tmp_path):
    for number in range(20):
        save(tmp_path / "train" / "a" / f"{number}.png", value=10 * number)
        save(tmp_path / "val" / "a" / f"{number}.png")
    study = Study(model=("pca",), dataset=str(tmp_path), dataroot=str(tmp_path / "data"))
    notes = prepare(study).notes
    assert f"{tmp_path}: left out 1 folder val/ beside train/" in notes
    assert "nothing is tested: there are no test images of a known class" in notes


def test_folders_without_images(tmp_path):
    with pytest.raises(UserError, match=r"--dataset.*no folder train/"):
        load(str(tmp_path), root=tmp_path)
    (tmp_path / "train" / "cat").mkdir(parents=True)
    with pytest.raises(UserError, match=r"--dataset.*no images in"):
        load(str(tmp_path), root=tmp_path)


@pytest.mark.parametrize("name", ["bad.png", "bad.jpg"])
@pytest.mark.parametrize("keep", [0, 40, -100])
def test_a_damaged_image_is_named(tmp_path, name, keep):
    save(tmp_path / "train" / "a.png")
    bad = save(tmp_path / "train" / name, size=(64, 64))
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(bad)
    bad.write_bytes(bad.read_bytes()[:keep])
    with pytest.raises(UserError, match=name) as caught:
        load(str(tmp_path), root=tmp_path)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.glob(".cache/*"))


def test_broken_links_bombs_and_floats_are_named(tmp_path, monkeypatch):
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    with pytest.raises(UserError, match=r"gone\.png"):
        load(str(tmp_path), root=tmp_path)
    (tmp_path / "train" / "gone.png").unlink()

    Image.new("F", (16, 16), 0.5).save(tmp_path / "train" / "float.tif")
    with pytest.raises(UserError, match=r"float\.tif: floating-point"):
        load(str(tmp_path), root=tmp_path)
    (tmp_path / "train" / "float.tif").unlink()

    save(tmp_path / "train" / "bomb.png", size=(50, 50))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(UserError, match=r"bomb\.png.*decompression bomb"):
        load(str(tmp_path), root=tmp_path)


# --- Which files are images


def test_links_are_followed_but_not_in_circles(tmp_path):
    save(tmp_path / "data" / "train" / "good" / "1.png")
    save(tmp_path / "elsewhere" / "1.png", 7)
    save(tmp_path / "elsewhere" / "deep" / "2.png", 8)
    (tmp_path / "data" / "test").mkdir()
    for name in ("crack", "scratch"):  # one folder under two names is the user's will
        (tmp_path / "data" / "test" / name).symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "round").symlink_to(tmp_path / "data" / "test")
    (tmp_path / "elsewhere" / "self").symlink_to(tmp_path / "elsewhere" / "self")
    dataset = load(str(tmp_path / "data"), root=tmp_path)
    assert dataset.classes == ("crack", "good", "scratch")
    counts = [int((dataset.test_labels == k).sum()) for k in range(3)]
    assert counts == [2, 0, 2]
    assert any("link(s) to a folder above" in line for line in dataset.notes)


@pytest.mark.parametrize("name", ["a.eps", "a.png"])
def test_postscript_is_no_picture_whatever_its_name(tmp_path, name):
    """Pillow would start Ghostscript for it, and run its code."""
    save(tmp_path / "images" / "train" / "1.png")
    save(tmp_path / "images" / "test" / "2.png")
    box = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 16 16\n%%EndComments\nshowpage\n"
    (tmp_path / "images" / "train" / name).write_bytes(box)
    if name == "a.eps":
        dataset = load(str(tmp_path / "images"), root=tmp_path)
        assert any("1 .eps" in line for line in dataset.notes)
    else:
        with pytest.raises(UserError, match=r"a\.png is no image"):
            load(str(tmp_path / "images"), root=tmp_path)


def test_every_suffix_that_pillow_reads(tmp_path):
    kinds = {"jfif": "JPEG", "jpe": "JPEG", "tga": "TGA", "TIF": "TIFF"}
    kinds |= {"jp2": "JPEG2000"} if features.check("jpg_2000") else {}
    kinds |= {"avif": "AVIF"} if features.check("avif") else {}
    (tmp_path / "train").mkdir()
    for suffix, kind in kinds.items():
        Image.new("L", (16, 16), 100).save(tmp_path / "train" / f"a.{suffix}", kind)
    for name in ("notes.txt", "b.txt", "report.pdf", "film.mpeg", "LICENSE"):
        (tmp_path / "train" / name).write_bytes(b"%PDF-1.4")
    for name in ("Thumbs.db", "desktop.ini", ".DS_Store", "._a.tif"):
        (tmp_path / "train" / name).write_bytes(b"x")
    save(tmp_path / "train" / "__MACOSX" / "a.png")
    dataset = load(str(tmp_path), root=tmp_path / "data")
    assert len(dataset.train_images) == len(kinds)
    (line,) = dataset.notes
    assert line.endswith(": left out 1 .mpeg, 1 .pdf, 2 .txt, 1 without a suffix")


def test_a_class_that_is_a_link_to_nothing_is_refused(tmp_path):
    save(tmp_path / "images" / "train" / "a" / "1.png")
    save(tmp_path / "images" / "test" / "a" / "2.png")
    (tmp_path / "images" / "test" / "scratch").symlink_to("/mnt/nowhere")
    with pytest.raises(UserError, match="scratch is a link to nothing"):
        load(str(tmp_path / "images"), root=tmp_path)


def test_equal_images_of_two_classes_are_named(tmp_path):
    for name, value in (("train/a/1", 10), ("train/a/2", 20), ("test/a/3", 30), ("test/b/4", 20)):
        save(tmp_path / "images" / f"{name}.png", value)
    dataset = load(str(tmp_path / "images"), root=tmp_path)
    lines = left_out(dataset, tasks_of(Study(), dataset), SOUND)
    assert "2 image(s) equal one of another class: are their labels right?" in lines


def test_the_task_that_folders_suggest_is_noted(tmp_path):
    for name in ("train/a/1.png", "train/b/2.png", "test/a/3.png", "test/c/4.png"):
        save(tmp_path / "images" / name, value=10 * int(name[-5]))
    dataset = load(str(tmp_path / "images"), root=tmp_path)
    assert [task.kind for task in tasks_of(Study(), dataset)] == [LEAVE_ONE_CLASS_OUT]
    assert guess_notes(Study(), dataset)[0].startswith("c is abnormal and any other class normal")


def test_all_normal_classes_are_those_with_training_images(tmp_path):
    for name in ("train/good/1.png", "test/good/2.png", "test/bad/3.png", "test/worse/4.png"):
        save(tmp_path / "images" / name, 10 * int(name[-5]))
    dataset = load(str(tmp_path / "images"), root=tmp_path)
    assert [task.cls for task in tasks_of(Study(normal_class=("all",)), dataset)] == ["good"]


# --- New images without labels


def test_read_images_in_natural_order(tmp_path):
    numbers = {"10.jpg": 10, "2.jpg": 2, "sub/1.jpg": 1, "sub/x10.jpg": 3, "sub/x9.jpg": 4}
    for name, number in numbers.items():
        save(tmp_path / name, 10 * number, size=(40, 20))
    names, images, notes = read_images(tmp_path, (16, 16), 3, Decoding())
    assert names == ["2.jpg", "10.jpg", "sub/1.jpg", "sub/x9.jpg", "sub/x10.jpg"]
    assert images.dtype == np.uint8
    assert images.shape == (5, 3, 16, 16)
    np.testing.assert_allclose(images.mean(axis=(1, 2, 3)), [20, 100, 10, 40, 30], atol=2)
    (note,) = notes
    assert note == "images of 40 x 20 are squashed to 16 x 16"


def test_new_images_are_decoded_as_the_training_images_were(tmp_path):
    pixels = np.full((16, 32), 800, np.uint16)  # 10 bits would do, were it asked
    pixels[:, :4] = 5000
    Image.fromarray(pixels).save(tmp_path / "a.png")
    _, images, notes = read_images(tmp_path, (16, 16), 1, Decoding("squash", bits=12))
    assert (images[0, 0, 0, 0], images[0, 0, 0, -1]) == (255, 50)
    assert any("0 to 4095 (12 bits)" in line for line in notes)
    assert any("1 image(s) have values outside of 0 to 4095" in line for line in notes)
    _, images, _ = read_images(tmp_path, (16, 16), 1, Decoding("crop", bits=16))
    assert images.max() == 3  # the centre alone, in 16 bits


def test_two_names_that_look_alike_are_told_apart(tmp_path):
    for name in ("\u00e4.png", "a\u0308.png"):
        save(tmp_path / name)
    assert read_images(tmp_path, (16, 16), 1, Decoding())[0] == ["ä.png", "ä.png (2)"]


def test_read_images_errors(tmp_path):
    with pytest.raises(UserError, match="no images in"):
        read_images(tmp_path, (16, 16), 1, Decoding())
    save(tmp_path / "mask" / "a.png")
    with pytest.raises(UserError, match=r"no images in .* \(left out 1 in mask/ \(masks\)\)"):
        read_images(tmp_path, (16, 16), 1, Decoding())
    with pytest.raises(UserError, match="does not exist"):
        read_images(tmp_path / "nowhere", (16, 16), 1, Decoding())


def test_splits_are_the_same_however_a_file_system_spells_accents(tmp_path: Path):
    """macOS writes a letter and its accent as two characters, which sort otherwise than one."""
    for form in ("NFC", "NFD"):
        for part in ("train", "test"):
            for value, name in enumerate(("bl\u00e9", "blf", "blz")):
                folder = tmp_path / form / part / unicodedata.normalize(form, name)
                write_images(folder, 4, 10 * value + (part == "test"))
    one, other = (load(str(tmp_path / form), root=tmp_path) for form in ("NFC", "NFD"))
    assert one.classes == other.classes == ("blf", "blz", "bl\u00e9")
    assert one.fingerprint == other.fingerprint
    assert (one.train_images == other.train_images).all()
