"""Masks of anomalies: where they lie, how they are read, and that they follow their images."""

import mvtec
import numpy as np
import pytest
from images import save
from PIL import Image

from bench.choices import outside
from bench.choices.study import Study
from bench.choices.tasks import CATEGORY, SOUND, Task
from bench.data.datasets import Decoding, load
from bench.data.datasets.folder import read_images
from bench.data.splits import make_split, missing_mask_notes, tasks_of


def test_masks_as_in_visa_and_in_loco(tmp_path):
    """They have the image's own name, small numbers for white, or several files for one image."""
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


@pytest.mark.parametrize("masks", ["ground_truth", "Ground Truth", "gt", "mask", "masks"])
def test_masks_are_no_images(tmp_path, masks):
    """In the places where MVTec AD, MVTec 3D-AD and others keep them."""
    save(tmp_path / "train" / "good" / "rgb" / "1.png")
    save(tmp_path / "train" / "good" / masks / "1.png")
    save(tmp_path / "test" / "bad" / "rgb" / "1.png", 9)
    save(tmp_path / "test" / "bad" / "rgb" / "1_mask.png")
    save(tmp_path / "test" / "bad" / "rgb" / "gas_mask.png", 10)  # of no image beside it
    save(tmp_path / "test" / masks / "bad" / "1_mask.png")
    dataset = load(str(tmp_path), root=tmp_path / "data")
    assert dataset.classes == ("bad", "good")
    assert len(dataset.train_images) == 1
    assert dataset.test_images[:, 0, 0, 0].tolist() == [9, 10]
    (line,) = dataset.notes
    assert f"2 in {masks}/ (masks)" in line
    assert "1 beside their images (masks)" in line
    # Given by its name, the folder is what is wanted.
    names, _, notes = read_images(tmp_path / "test" / masks, (16, 16), 1, Decoding())
    assert names == ["bad/1_mask.png"]
    assert not notes


def test_an_image_beside_a_text_of_its_name_is_no_mask(tmp_path):
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


@pytest.mark.parametrize("resize", ["squash", "crop"])
def test_masks_are_resized_as_their_images(mvtec_folder, tmp_path, resize):
    dataset = load(
        str(mvtec_folder), root=tmp_path, image_size=64, resize=resize, categories=["nut"]
    )
    (task,) = tasks_of(Study(), dataset)
    test = make_split(dataset, task, SOUND, seed=0).test
    images = test.images[:].numpy()
    odd = ((images < 20) | (images > 240)).all(axis=1)  # no good pixel is so dark or bright
    assert not odd[test.labels == 0].any()
    for one, mask in zip(odd[test.labels == 1], test.masks[test.labels == 1], strict=True):
        assert (one & mask).sum() / (one | mask).sum() > 0.5  # they differ where edges are blurred
        assert not (one & ~mask).any()


def test_what_is_transparent_in_a_mask_is_not_marked(mvtec_copy, tmp_path):
    plain = load(str(mvtec_copy), root=tmp_path, categories=["nut"])
    masks = sorted((mvtec_copy / "nut" / "ground_truth").rglob("*.png"))
    for file in masks:
        mask = Image.open(file).convert("L")
        layer = Image.new("RGBA", mask.size, "white")
        layer.putalpha(mask)
        layer.save(file)
    layered = load(str(mvtec_copy), root=tmp_path, categories=["nut"])
    assert layered.fingerprint == plain.fingerprint
    for file in masks:
        Image.eval(Image.open(file).getchannel("A"), lambda value: 255 - value).save(file)
    inverted = load(str(mvtec_copy), root=tmp_path, categories=["nut"])
    assert any(f"{len(masks)} mask(s) mark more than half" in line for line in inverted.notes)


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
        "    train, test = (images[:2], labels[:2]), (images[2:], labels[2:])\n"
        "    return Dataset('own', CLASSES, *train, *test, masks=masks)\n"
    )
    outside.add([outside.read("dataset", str(tmp_path / "own.py"))])
    masks = load(str(tmp_path / "own.py"), root=tmp_path, image_size=16).masks
    assert masks[1, :8].all()
    assert not masks[1, 8:].any()


def test_padding_is_not_judged_as_normal_pixels(mvtec_folder, tmp_path):
    dataset = load(str(mvtec_folder), root=tmp_path, image_size=64, resize="pad")
    assert dataset.masks is None
    assert any("black padding would count as normal pixels" in line for line in dataset.notes)
    bare = load(str(mvtec_folder), root=tmp_path, image_size="60x80", resize="pad")
    assert bare.masks is not None, "nothing is padded"


def test_a_mask_may_spell_its_images_accents_otherwise(tmp_path):
    for name in ("train/good/1", "test/bad/\u00e4", "test/good/2", "ground_truth/bad/a\u0308_mask"):
        save(tmp_path / "d" / f"{name}.png")
    masks = load(str(tmp_path / "d"), root=tmp_path).masks
    assert masks.any(axis=(1, 2)).tolist() == [True, False]


def test_decoded_masks_are_kept_and_a_changed_mask_is_seen(mvtec_copy, tmp_path):
    first = load(str(mvtec_copy), root=tmp_path)
    again = load(str(mvtec_copy), root=tmp_path)
    assert (first.masks == again.masks).all()
    assert first.fingerprint == again.fingerprint
    mask = mvtec_copy / "nut" / "ground_truth" / "blot" / "000_mask.png"
    Image.new("L", mvtec.SIZE, 255).save(mask)
    new = load(str(mvtec_copy), root=tmp_path)
    assert new.masks.sum() > first.masks.sum()
    assert new.fingerprint != first.fingerprint


def test_images_without_a_mask_are_counted(mvtec_copy, tmp_path):
    (mvtec_copy / "nut" / "ground_truth" / "blot" / "001_mask.png").unlink()
    Image.new("L", mvtec.SIZE).save(mvtec_copy / "nut" / "ground_truth" / "blot" / "002_mask.png")
    dataset = load(str(mvtec_copy), root=tmp_path)
    splits = {task: make_split(dataset, task, SOUND, 0) for task in tasks_of(Study(), dataset)}
    (line,) = missing_mask_notes(splits)
    assert "(nut: 2 of 10): they are left out of pixel metrics" in line
    del splits[Task(CATEGORY, "nut")]
    assert not missing_mask_notes(splits)
