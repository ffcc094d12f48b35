"""More than 8 bits a channel: one scale for a data set, which its training images decide."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from images import save
from PIL import Image

from bench.choices.errors import UserError
from bench.data.datasets import load


def png(pixels: np.ndarray) -> bytes:
    """uint16 (H, W, 2 to 4) as a 16-bit PNG, which PIL does not write."""
    height, width, channels = pixels.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", width, height, 16, {2: 4, 3: 2, 4: 6}[channels], 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    file = b"\x89PNG\r\n\x1a\n"
    for name, c in chunks:
        file += struct.pack(">I", len(c)) + name + c + struct.pack(">I", zlib.crc32(name + c))
    return file


def tiff(pixels: np.ndarray, order: str, deflate: bool) -> bytes:
    """uint16 (H, W, 3 or 4) as a 16-bit TIFF in a byte order, < or >."""
    height, width, channels = pixels.shape
    data = pixels.astype(order + "u2").tobytes()
    data = zlib.compress(data) if deflate else data
    tags = {256: width, 257: height, 258: 8 + len(data), 259: 8 if deflate else 1, 262: 2, 273: 8}
    tags |= {277: channels, 278: height, 279: len(data)} | ({338: 2} if channels == 4 else {})
    kinds = {tag: (3, channels) if tag == 258 else (4, 1) for tag in tags}
    entries = [struct.pack(order + "HHII", t, *kinds[t], value) for t, value in tags.items()]
    bits = struct.pack(f"{order}{channels}H", *[16] * channels)
    mark = b"II" if order == "<" else b"MM"
    start = struct.pack(order + "2sHI", mark, 42, 8 + len(data) + len(bits))
    return start + data + bits + struct.pack(order + "H", len(tags)) + b"".join(entries) + b"\0" * 4


WRITERS = {  # name -> channels, and what writes pixels of uint16 (H, W, channels) to a file
    "grey PNG": (1, lambda file, pixels: Image.fromarray(pixels[..., 0]).save(file, "PNG")),
    "grey TIFF": (1, lambda file, pixels: Image.fromarray(pixels[..., 0]).save(file, "TIFF")),
    "32-bit TIFF": (
        1,
        lambda file, pixels: Image.fromarray(pixels[..., 0].astype(np.int32)).save(file, "TIFF"),
    ),
    "PNG": (3, lambda file, pixels: file.write_bytes(png(pixels))),
    "grey PNG with alpha": (2, lambda file, pixels: file.write_bytes(png(pixels))),
    "PNG with alpha": (4, lambda file, pixels: file.write_bytes(png(pixels))),
    "TIFF, little-endian": (3, lambda file, pixels: file.write_bytes(tiff(pixels, "<", False))),
    "TIFF, big-endian": (3, lambda file, pixels: file.write_bytes(tiff(pixels, ">", False))),
    "TIFF, compressed": (3, lambda file, pixels: file.write_bytes(tiff(pixels, ">", True))),
    "TIFF with alpha": (4, lambda file, pixels: file.write_bytes(tiff(pixels, "<", True))),
}


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
@pytest.mark.parametrize("kind", WRITERS)
def test_deep_images_are_the_pictures_that_8_bits_give(tmp_path, kind, bits):
    channels, write = WRITERS[kind]
    random = np.random.default_rng(bits)
    for i, part in enumerate(("train", "train", "test")):
        pixels = random.integers(0, 2**bits - i, (16, 16, channels), dtype=np.uint16)
        if channels in (2, 4):
            pixels[..., -1] = 2**16 - 1
        pixels[0, 0, 0] = 2**bits - 1 if i == 1 else 0
        for folder in ("deep", "shallow"):
            (tmp_path / folder / part).mkdir(parents=True, exist_ok=True)
        write(tmp_path / "deep" / part / f"{i}.{'png' if 'PNG' in kind else 'tif'}", pixels)
        colours = pixels[..., 0] if channels < 3 else pixels[..., :3]
        image = Image.fromarray((colours >> (bits - 8)).astype(np.uint8))
        image.convert("RGB" if channels > 1 else "L").save(tmp_path / "shallow" / part / f"{i}.png")
    deep, shallow = (load(str(tmp_path / folder), root=tmp_path) for folder in ("deep", "shallow"))
    assert deep.fingerprint == shallow.fingerprint
    assert deep.decoding.bits == bits
    assert deep.notes == (
        f"3 image(s) have more than 8 bits: 0 to {2**bits - 1} ({bits} bits) becomes 0 to 255",
    )
    assert shallow.notes == ()


def planar(pixels: np.ndarray) -> bytes:
    """uint16 (H, W, 3) as a 16-bit TIFF with each channel by itself."""
    height, width, _ = pixels.shape
    data, size = pixels.transpose(2, 0, 1).astype("<u2").tobytes(), 2 * height * width
    arrays = {258: [16] * 3, 273: [8, 8 + size, 8 + 2 * size], 279: [size] * 3}
    start, places = 8 + len(data), {}
    for tag, values in arrays.items():
        places[tag] = start
        data += struct.pack("<3I", *values)
        start += 12
    tags = {256: width, 257: height, 259: 1, 262: 2, 277: 3, 278: height, 284: 2} | places
    entries = [
        struct.pack("<HHII", tag, 4, 3 if tag in arrays else 1, value)
        for tag, value in sorted(tags.items())
    ]
    head = struct.pack("<2sHI", b"II", 42, 8 + len(data))
    return head + data + struct.pack("<H", len(tags)) + b"".join(entries) + b"\0" * 4


def jp2(pixels: np.ndarray) -> bytes:
    """Colours as JPEG 2000 whose header says 16 bits."""
    buffer = io.BytesIO()
    Image.fromarray((pixels >> 8).astype(np.uint8)).save(buffer, "JPEG2000")
    content = bytearray(buffer.getvalue())
    content[content.index(b"\xff\x4f\xff\x51") + 42] = 15
    return bytes(content)


OTHERWISE = {  # forms of 16-bit colours, of which Pillow gives another picture
    "planar.tif": planar,
    "premultiplied.tif": lambda p: tiff(np.dstack([p, p[..., :1]]), "<", True).replace(
        struct.pack("<HHII", 338, 4, 1, 2), struct.pack("<HHII", 338, 4, 1, 1)
    ),
    "pixmap.ppm": lambda pixels: b"P6 16 16 65535\n" + pixels.astype(">u2").tobytes(),
    "jpeg2000.jp2": jp2,
}


@pytest.mark.parametrize("name", OTHERWISE)
def test_deep_colours_that_pillow_does_not_get_right_are_refused(tmp_path, name):
    pixels = np.random.default_rng(0).integers(0, 2**16, (16, 16, 3), dtype=np.uint16)
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / name).write_bytes(OTHERWISE[name](pixels))
    with pytest.raises(UserError, match=rf"{name}.*more than 8 bits a channel .* save it as PNG"):
        load(str(tmp_path), root=tmp_path)


def save_deep(file: Path, values: object, type_: type = np.uint16) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.broadcast_to(values, (16, 16)).astype(type_)).save(file)


def test_more_than_16_bits(tmp_path):
    save_deep(tmp_path / "train" / "a.tif", 2**20 - 1, np.int32)
    save_deep(tmp_path / "train" / "b.tif", -5, np.int32)
    dataset = load(str(tmp_path), root=tmp_path)
    assert dataset.train_images[:, 0, 0, 0].tolist() == [255, 0]
    assert dataset.decoding.bits == 20
    assert "1 image(s) have values outside of 0 to 1048575: they are clipped" in dataset.notes


def test_the_training_images_alone_decide_the_bits(tmp_path):
    save_deep(tmp_path / "train" / "a.png", 1000)
    save_deep(tmp_path / "test" / "a.png", 5000)
    dataset = load(str(tmp_path), root=tmp_path)
    assert (dataset.train_images.max(), dataset.test_images.max()) == (250, 255)
    assert "1 image(s) have values outside of 0 to 1023: they are clipped" in dataset.notes


def test_bits_that_no_training_image_shows_are_a_guess(tmp_path):
    save(tmp_path / "train" / "a.png")
    save_deep(tmp_path / "test" / "a.png", 5000)
    assert any("a guess" in line for line in load(str(tmp_path), root=tmp_path).notes)


@pytest.mark.parametrize("bits", [8, 12, 16])
def test_white_is_zero(tmp_path, bits):
    pixels = np.arange(256).reshape(16, 16) << (bits - 8)
    (tmp_path / "train").mkdir()
    Image.fromarray(pixels.astype(np.uint16)).save(tmp_path / "train" / "a.tif", tiffinfo={262: 0})
    dataset = load(str(tmp_path), root=tmp_path)
    np.testing.assert_array_equal(dataset.train_images[0, 0], 255 - np.arange(256).reshape(16, 16))


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_deep_images_are_turned_as_their_exif_says(tmp_path, suffix):
    pixels = np.zeros((16, 32), np.uint16)
    pixels[:, :16] = 4000  # left becomes top
    exif = Image.Exif()
    exif[0x0112] = 6
    (tmp_path / "train").mkdir()
    Image.fromarray(pixels).save(tmp_path / "train" / f"a.{suffix}", exif=exif)
    dataset = load(str(tmp_path), root=tmp_path)
    picture = dataset.train_images[0, 0]
    assert (picture[:7].min(), picture[9:].max()) == (250, 0)
    assert dataset.notes[0].startswith("images of 16 x 32 are squashed to 16 x 16")


@pytest.mark.parametrize("bits", [8, 16])
def test_the_colour_that_a_png_calls_transparent_is_laid_over_white(tmp_path, bits):
    pixels = np.full((16, 16), 40 << (bits - 8), np.uint8 if bits == 8 else np.uint16)
    pixels[:8], pixels[15] = 0, 255 << (bits - 8)  # needs all bits
    (tmp_path / "train").mkdir()
    Image.fromarray(pixels).save(tmp_path / "train" / "a.png", transparency=0)
    Image.fromarray(pixels).save(tmp_path / "train" / "b.png")
    dataset = load(str(tmp_path), root=tmp_path)
    assert (dataset.train_images[0, 0, :8] == 255).all()
    assert (dataset.train_images[0, 0, 8:15] == 40).all()
    assert "1 image(s) with transparent parts are laid over white" in dataset.notes


def test_a_transparent_colour_sets_no_scale(tmp_path):
    """12 bits, whose transparent colour needs 16."""
    (tmp_path / "train").mkdir()
    for number in range(2):
        pixels = np.linspace(1000 + number, 4095, 256).reshape(16, 16).astype(np.uint16)
        pixels[:4] = 2**16 - 1
        Image.fromarray(pixels).save(tmp_path / "train" / f"{number}.png", transparency=2**16 - 1)
    dataset = load(str(tmp_path), root=tmp_path)
    assert dataset.decoding.bits == 12
    assert dataset.train_images[:, 0, 4:].max() == 255
    assert not any("clipped" in line for line in dataset.notes)


def test_depths_that_pillow_cuts_are_refused(tmp_path):
    """A 16-bit SGI file, of which it reads the upper bytes alone."""
    (tmp_path / "train").mkdir()
    header = struct.pack(">HBBHHHHII4x80sI", 474, 0, 2, 2, 16, 16, 1, 0, 960, b"", 0)
    (tmp_path / "train" / "a.sgi").write_bytes(header.ljust(512, b"\0") + b"\1\2" * 256)
    with pytest.raises(UserError, match=r"a.sgi.* bits"):
        load(str(tmp_path), root=tmp_path)


def test_colours_that_become_grey_are_counted(tmp_path):
    (tmp_path / "train").mkdir()
    for name, colour in (("red", (200, 10, 10)), ("grey", (9, 9, 9))):
        Image.new("RGB", (16, 16), colour).save(tmp_path / "train" / f"{name}.png")
    assert load(str(tmp_path), root=tmp_path).notes == ()
    grey = load(str(tmp_path), root=tmp_path, channels=1)
    assert grey.notes == ("1 image(s) in colour become grey",)


def test_one_faulty_pixel_of_a_deep_image_is_named(tmp_path):
    rng = np.random.default_rng(0)
    for i in range(12):
        pixels = rng.integers(1500, 1700, (16, 16))
        pixels[0, 0] = 65535 if i == 5 else 1600
        save_deep(tmp_path / "images" / ("train" if i < 8 else "test") / "a" / f"{i}.png", pixels)
    notes = load(str(tmp_path / "images"), root=tmp_path).notes
    (line,) = [note for note in notes if "99.9 %" in note]
    assert "the lowest 7 of 256 grey levels" in line
