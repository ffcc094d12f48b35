"""From image files to arrays: modes, formats, sizes, bits, transparency."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from images import save
from PIL import Image, ImageOps

from bench.choices.errors import UserError
from bench.data.datasets import load
from bench.data.datasets._decoding import unpadded


def test_folder_sizes(tmp_path):
    save(tmp_path / "train" / "a.png", size=(100, 60))
    assert load(str(tmp_path), root=tmp_path).image_shape == (1, 64, 64)
    save(tmp_path / "test" / "a.png", mode="RGB")
    assert load(str(tmp_path), root=tmp_path).image_shape == (3, 64, 64), "no colour is lost"
    save(tmp_path / "train" / "b.png", size=(128, 128))
    assert load(str(tmp_path), root=tmp_path).image_shape == (3, 64, 64), "of equally many"
    save(tmp_path / "train" / "b.png", size=(60, 60), mode="RGB")
    assert load(str(tmp_path), root=tmp_path).image_shape == (3, 64, 64)
    assert load(str(tmp_path), root=tmp_path, image_size=128).image_shape == (3, 128, 128)


def pixel_of(
    tmp_path: Path, image: Image.Image, channels: int | None, name: str = "a.png", **options
) -> list[int]:
    """The first pixel of the image, saved in a folder of its own and loaded again."""
    (tmp_path / "train").mkdir()
    image.save(tmp_path / "train" / name, **options)
    return load(str(tmp_path), root=tmp_path, channels=channels).train_images[0, :, 0, 0].tolist()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("image", "channels", "expected"),
    [
        (Image.new("RGBA", (16, 16), (200, 100, 50, 128)), None, [200, 100, 50]),
        (Image.new("RGB", (16, 16), (200, 100, 50)).quantize(), None, [200, 100, 50]),
        (Image.new("RGB", (16, 16), (200, 100, 50)), 1, [124]),
        (Image.fromarray(np.full((16, 16), 200 * 256, np.uint16)), None, [200]),
        (Image.fromarray(np.full((16, 16), 200 * 256, np.uint16)), 3, [200, 200, 200]),
        (Image.new("RGB", (16, 16), (200, 100, 50)).quantize(), 1, [124]),
        (Image.new("1", (16, 16), 1), None, [255]),
        (Image.new("LA", (16, 16), (77, 9)), None, [77]),
    ],
)
def test_modes(tmp_path, image, channels, expected):
    assert pixel_of(tmp_path, image, channels) == expected


@pytest.mark.parametrize(
    "suffix", ["png", "jpg", "JPEG", "bmp", "webp", "tif", "tiff", "gif", "pgm", "ppm"]
)
def test_formats(tmp_path, suffix):
    image = Image.new("L" if suffix == "pgm" else "RGB", (16, 16), "gray")
    assert pixel_of(tmp_path, image, 1, f"a.{suffix}") == pytest.approx([128], abs=2)


def test_cmyk(tmp_path):
    image = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    red, green, blue = pixel_of(tmp_path, image, None, "a.jpg")
    assert red > 200
    assert max(green, blue) < 50


def test_palette_transparency_gives_no_warning(tmp_path, recwarn):
    image = Image.new("RGB", (16, 16), (200, 100, 50)).quantize()
    assert pixel_of(tmp_path, image, 3, transparency=b"\x80") == [200, 100, 50]
    assert len(recwarn) == 0


def test_a_warning_of_pillow_is_a_note(tmp_path, recwarn):
    image = Image.new("RGB", (16, 16))
    exif = image.getexif()
    exif[0x010E] = "a description"
    for i in range(2):
        path = tmp_path / "train" / f"{i}.jpg"
        path.parent.mkdir(exist_ok=True)
        image.save(path, exif=exif.tobytes()[:-10])
    (line,) = load(str(tmp_path), root=tmp_path).notes
    assert line.startswith("Pillow warned, of an image or more: ")
    assert len(recwarn) == 0


def test_exif_orientation(tmp_path):
    image = Image.new("RGB", (64, 16), "black")
    image.paste("white", (0, 0, 32, 16))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter, clockwise: left becomes top
    (tmp_path / "train").mkdir()
    image.save(tmp_path / "train" / "a.png", exif=exif)
    save(tmp_path / "train" / "b.png", size=(16, 64))  # the same size once `a` is turned
    pixels = load(str(tmp_path), root=tmp_path, resize="crop").train_images[0, 0]
    assert pixels.shape == (16, 16)
    assert (pixels[:8].mean(), pixels[8:].mean()) == (255, 0)


# --- Transparency


def transparent(colour: int, kind: str, alpha: np.ndarray) -> Image.Image:
    """One shade with an alpha channel, in each of the ways in which files have one."""
    shade = Image.new("L", (16, 16), colour)
    image = Image.merge("LA", [shade, Image.fromarray(alpha)])
    if kind == "LA":
        return image
    if kind == "RGBA":
        return image.convert("RGBA")
    # A palette, or one colour that means nothing.
    marked = Image.fromarray((alpha > 0).astype(np.uint8))
    marked.putpalette([1, 2, 3] + [colour] * 3)
    marked.info["transparency"] = 0
    return marked if kind == "P" else marked.convert("RGB")


ALPHA = np.repeat([[0] * 8 + [255] * 8], 16, axis=0).astype(np.uint8)


@pytest.mark.parametrize("kind", ["LA", "RGBA", "P"])
@pytest.mark.parametrize(("colour", "behind"), [(0, 255), (100, 255), (255, 0), (200, 0)])
def test_a_picture_in_the_alpha_channel_is_seen(tmp_path, kind, colour, behind):
    (tmp_path / "train").mkdir()
    transparent(colour, kind, ALPHA).save(tmp_path / "train" / "a.png")
    dataset = load(str(tmp_path), root=tmp_path)
    assert dataset.train_images[0, 0, 0].tolist() == [behind] * 8 + [colour] * 8
    assert dataset.decoding.background == behind
    (line,) = dataset.notes
    name = "white" if behind else "black"
    assert line == f"1 image(s) with transparent parts are laid over {name}"


def test_the_training_images_alone_decide_what_lies_behind(tmp_path):
    for part, name, colour, alpha in (
        ("train", "a", 10, ALPHA),
        ("train", "b", 10, ALPHA * 0 + 255),
        ("test", "a", 240, ALPHA),
        ("test", "b", 240, ALPHA * 0 + 128),
    ):
        (tmp_path / part).mkdir(exist_ok=True)
        transparent(colour, "RGBA", alpha).save(tmp_path / part / f"{name}.png")
    dataset = load(str(tmp_path), root=tmp_path)
    assert dataset.train_images[:, 0, 0, 0].tolist() == [255, 10]
    assert dataset.test_images[0, 0, 0].tolist() == [255] * 8 + [240] * 8
    assert dataset.test_images[1].min() > 240


def test_an_alpha_channel_that_shows_nothing_is_left_out(tmp_path):
    (tmp_path / "train").mkdir()
    for name in ("a", "b"):
        transparent(77, "RGBA", ALPHA * 0).save(tmp_path / "train" / f"{name}.png")
    dataset = load(str(tmp_path), root=tmp_path)
    assert set(dataset.train_images.ravel()) == {77}
    assert dataset.decoding.background is None
    (line,) = dataset.notes
    shown = "2 image(s) with transparent parts are shown without their alpha channel"
    assert line.startswith(shown)


def test_opaque_images_give_no_note(tmp_path):
    (tmp_path / "train").mkdir()
    transparent(77, "RGBA", ALPHA * 0 + 255).save(tmp_path / "train" / "a.png")
    assert load(str(tmp_path), root=tmp_path).notes == ()


# --- Sizes


def test_what_is_done_to_wide_images(tmp_path):
    """The defect at the left edge is there after all but `crop`."""
    image = Image.new("L", (80, 16), 100)
    image.paste(255, (0, 0, 16, 16))
    (tmp_path / "train").mkdir()
    image.save(tmp_path / "train" / "a.png")
    decoded = {
        how: load(str(tmp_path), root=tmp_path, image_size=16, resize=how)
        for how in ("squash", "crop", "pad")
    }
    rows = {how: dataset.train_images[0, 0, 8] for how, dataset in decoded.items()}
    assert rows["crop"].tolist() == [100] * 16
    squashed = image.resize((16, 16), Image.Resampling.BILINEAR)
    assert rows["squash"].tolist() == np.asarray(squashed)[8].tolist()
    assert rows["squash"][0] == 255
    padded = ImageOps.pad(image, (16, 16), Image.Resampling.BILINEAR, color=0)
    assert np.array_equal(decoded["pad"].train_images[0, 0], np.asarray(padded))
    assert decoded["pad"].train_images[0, 0, 0].max() == 0
    assert rows["pad"][0] == 255
    words = {"squash": "squashed to", "crop": "cropped to their centre", "pad": "padded with black"}
    for how, dataset in decoded.items():
        (line,) = dataset.notes
        assert line.startswith(f"images of 80 x 16 are {words[how]}")
        assert dataset.decoding.resize == how
    assert load(str(tmp_path), root=tmp_path).image_shape == (1, 16, 16)
    assert load(str(tmp_path), root=tmp_path, resize="pad").image_shape == (1, 128, 128)


@given(
    width=st.integers(1, 400),
    height=st.integers(1, 400),
    tall=st.integers(16, 64),
    wide=st.integers(16, 64),
)
def test_padding_is_known_beforehand(width, height, tall, wide):
    inside = unpadded((width, height), (tall, wide))
    if 0 not in inside:
        assert ImageOps.contain(Image.new("L", (width, height)), (wide, tall)).size == inside


def test_an_image_too_thin_to_be_padded_is_named(tmp_path):
    save(tmp_path / "train" / "strip.png", size=(1000, 6))
    with pytest.raises(UserError, match=r"strip.png.*1000 x 6 is too thin to be padded to 64 x 64"):
        load(str(tmp_path), root=tmp_path, image_size=64, resize="pad")


def test_one_odd_size_changes_no_other_image(tmp_path):
    for i, size in enumerate([(129, 128), (128, 128), (128, 128), (30, 20)]):
        save(tmp_path / "train" / f"{i}.png", size=size)
    for i in range(9):
        save(tmp_path / "test" / f"{i}.png", size=(40, 40))
    dataset = load(str(tmp_path), root=tmp_path)
    assert dataset.image_shape == (1, 128, 128)
    assert dataset.notes[0] == "9 of 13 images of 40 x 40 are resized to 128 x 128"
    assert dataset.notes[1].startswith("2 of 13 images of 129 x 128 and others are squashed to 128")


def test_only_the_first_of_several_pictures_is_read(tmp_path):
    (tmp_path / "train").mkdir()
    first, second = Image.new("L", (16, 16), 10), Image.new("L", (16, 16), 20)
    for suffix in ("tif", "gif", "png"):
        first.save(tmp_path / "train" / f"a.{suffix}", save_all=True, append_images=[second])
    dataset = load(str(tmp_path), root=tmp_path)
    assert set(dataset.train_images.ravel()) == {10}
    assert dataset.notes == ("3 file(s) hold several pictures: the first one is read",)


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
