"""Reads images of more than 8 bits a channel, of which Pillow gives the upper bytes, or less."""

import io
import re
import sys

import numpy as np
from PIL import Image, ImageFile, TiffImagePlugin

from bench.data.datasets._files import formats

DEEP_GREY = {"I", "I;16", "I;16L", "I;16B", "I;16N"}  # PIL's names
DEEP_COLOUR = re.compile("(LA|RGB|RGBA|RGBX);16([BLN])")
OPPOSITE = "B" if sys.byteorder == "little" else "L"
PLANAR = 2  # of TIFF's PlanarConfiguration: each channel by itself
# Begins a JPEG 2000 code stream; the first channel's bits are 42 bytes on.
SIZ = b"\xff\x4f\xff\x51"


def open_image(data: bytes) -> ImageFile.ImageFile:
    return Image.open(io.BytesIO(data), formats=formats())


def _deep_colour(file: ImageFile.ImageFile) -> re.Match | None:
    """Layout and byte order of 16-bit colours, of which PIL itself gives the upper bytes alone."""
    tile = file.tile[0].args if file.tile and file.format in ("PNG", "TIFF") else None
    return DEEP_COLOUR.fullmatch(tile if isinstance(tile, str) else str(tile[0]) if tile else "")


def is_deep(file: ImageFile.ImageFile) -> bool:
    return file.mode in DEEP_GREY or _deep_colour(file) is not None


def values_of(file: ImageFile.ImageFile, data: bytes) -> np.ndarray:
    """int32 (H, W) or (H, W, C): a deep image as it is stored."""
    colour = _deep_colour(file)
    if not colour:
        return np.asarray(file).astype(np.int32)
    layout, order = colour.groups()
    # PIL gives the lower bytes if it is told the opposite byte order. It knows LA in one byte order
    # only, but reads LA's two 16-bit values as the four bytes of RGBA.
    mode = "RGBA" if layout == "LA" else f"{layout};16{'L' if order == OPPOSITE else 'B'}"
    with open_image(data) as copy:
        args = [
            mode if isinstance(tile.args, str) else (mode, *(tile.args or ())[1:])
            for tile in copy.tile
        ]
        copy.tile = [tile._replace(args=arg) for tile, arg in zip(copy.tile, args, strict=True)]
        lower = np.asarray(copy).astype(np.int32)
    if layout == "LA":
        return lower[..., ::2] << 8 | lower[..., 1::2]
    return np.asarray(file).astype(np.int32) << 8 | lower


def values_and_alpha(
    file: ImageFile.ImageFile, data: bytes
) -> tuple[np.ndarray, np.ndarray | None]:
    """A deep image's values, and its alpha (H, W, 1), if any; then the values are (H, W, C) too."""
    values = values_of(file, data)
    if values.ndim == 3 and values.shape[2] in (2, 4):
        return values[..., :-1], values[..., -1:]
    clear = file.info.get("transparency")  # of a PNG: the one colour that is transparent
    if clear is None:
        return values, None
    values = np.atleast_3d(values)
    return values, np.where((values == clear).all(axis=2, keepdims=True), 0, 2**16 - 1)


def has_unsupported_depth(file: ImageFile.ImageFile, data: bytes) -> bool:
    """Whether it has more than 8 bits a channel that neither Pillow nor `values_of` gets right."""
    args = file.tile[0].args if file.tile else None
    if isinstance(file, TiffImagePlugin.TiffImageFile):
        bits = max(file.tag_v2.get(TiffImagePlugin.BITSPERSAMPLE, (1,)))
        planar = file.tag_v2.get(TiffImagePlugin.PLANAR_CONFIGURATION) == PLANAR
        several = len(file.getbands()) > 1
        swapped = "I;16BS" in (args or ()) and file.tag_v2.get(TiffImagePlugin.COMPRESSION, 1) != 1
        return swapped or (bits > 8 and several and (planar or not is_deep(file)))
    if file.format == "SGI":
        return data[3] == 2  # bytes a channel
    if file.format == "PPM":
        return file.mode == "RGB" and isinstance(args, tuple) and args[-1] > 255
    if file.format == "JPEG2000" and file.mode not in DEEP_GREY:
        start = data.find(SIZ)
        return start >= 0 and (data[start + 42] & 0x7F) + 1 > 8
    return False
