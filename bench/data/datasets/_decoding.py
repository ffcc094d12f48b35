"""Decodes image files to arrays: a data set's images, and new ones that its models score, alike.

The training images alone decide what depends on pixels (how many bits they use, what is laid behind
transparent parts): test images must not change how training images look.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import ExifTags, Image, ImageFile, ImageOps, TiffImagePlugin

from bench.data.datasets._depth import (
    DEEP_GREY,
    has_unsupported_depth,
    is_deep,
    open_image,
    values_and_alpha,
)
from bench.data.datasets._files import formats
from bench.data.datasets._pixels import coloured
from models.sizes import Size

GREY = {"1", "L", "LA", "La"} | DEEP_GREY
BITS = (8, 10, 12, 14, 16)  # that cameras give
DARK = 64  # of 256 grey levels: two bits of the scale are not used
RESIZED = {
    "squash": ("squashed to {}", " (--resize crop or pad, or --image_size HEIGHTxWIDTH)"),
    "crop": ("cropped to their centres and resized to {}", " (--resize squash or pad)"),
    "pad": ("padded with black and resized to {}", " (--resize squash or crop)"),
}
BEHIND = {
    255: "are laid over white",
    0: "are laid over black",
    None: "are shown without their alpha channel, which is the same all over the training images",
}


@dataclass(frozen=True)
class Decoding:
    """How image files become arrays whose size and channels are known."""

    resize: str = "squash"  # or crop: the centre alone; pad: black at two edges
    # Of images with more than 8 bits: 0 to 2 ** bits - 1 becomes 0 to 255; what lies above is 255.
    bits: int = 16
    background: int | None = 255  # grey behind transparent parts; None: alpha is left out


class Header(NamedTuple):
    """What a file says of its image without decoding it."""

    size: tuple[int, int]  # its sides, in either order
    grey: bool
    deep: bool  # more than 8 bits a channel
    alpha: bool


class Decoded(NamedTuple):
    """What a user may have to know of a decoded image."""

    size: tuple[int, int]  # width and height in the file
    deep: bool
    clipped: bool  # some values are outside of what the decoding's `bits` hold
    transparent: bool  # some parts are
    first: bool  # the file holds more pictures, and this is its first
    greyed: bool  # its colours are left out


class Alpha(NamedTuple):
    """An alpha channel: its extremes and sum, and the sum of the grey values times alpha."""

    low: int
    high: int
    total: int
    visible: int


def read_header(path: Path) -> Header:
    with Image.open(path, formats=formats()) as file:
        return Header(file.size, file.mode in GREY, is_deep(file), file.has_transparency_data)


def read_largest(path: Path) -> int:
    """The largest grey or colour value of a deep image's pixels that are not transparent."""
    data = path.read_bytes()
    with open_image(data) as file:
        values, alpha = values_and_alpha(file, data)
        return int(values.max(initial=0, where=True if alpha is None else alpha > 0))


def read_alpha(path: Path, bits: int) -> Alpha:
    """The alpha channel of an image that has one."""
    data = path.read_bytes()
    with open_image(data) as file:
        image = _shallow(file, data, bits)[0].convert("RGBA").convert("LA")
    grey, alpha = np.asarray(image).transpose(2, 0, 1)
    visible = np.multiply(grey, alpha, dtype=np.uint32).sum(dtype=np.int64)
    return Alpha(int(alpha.min()), int(alpha.max()), int(alpha.sum(dtype=np.int64)), int(visible))


def fewest_bits(largest: int) -> int:
    """The least of BITS that hold this value; where none does, as many as it has."""
    return next((bits for bits in BITS if largest < 2**bits), largest.bit_length())


def darkness_note(images: np.ndarray) -> list[str]:
    """A line if nearly all pixels are dark, as when one faulty bright pixel sets the scale."""
    counts = sum(np.bincount(image.ravel(), minlength=256) for image in images)
    nearly_all = int(np.searchsorted(np.cumsum(counts), 0.999 * np.sum(counts)))
    if nearly_all >= DARK:
        return []
    return [
        f"99.9 % of the training images' pixels have the lowest {nearly_all + 1} of 256 grey levels: "
        "the brightest pixel sets the scale, and if it is a fault of the camera, details are lost"
    ]


def background_for(alphas: Sequence[Alpha]) -> int | None:
    """The grey behind transparent parts: 255, or 0 where the visible parts are bright.

    None, which leaves alpha out, where it has the same value below 255 everywhere. `alphas`: those
    of the training images.
    """
    low, high = min(alpha.low for alpha in alphas), max(alpha.high for alpha in alphas)
    if low == high:
        return 255 if low == 255 else None
    visible, total = (sum(getattr(a, name) for a in alphas) for name in ("visible", "total"))
    return 0 if visible > 127.5 * total else 255


def decode(path: Path, size: Size, channels: int, decoding: Decoding) -> tuple[np.ndarray, Decoded]:
    """A file's (first) image as uint8 (channels, *size).

    Raises ValueError for pixels whose range or layout is unknown.
    """
    data = path.read_bytes()
    with open_image(data) as file:
        # The further images of MPO and PSD files are thumbnails and layers.
        frames = getattr(file, "is_animated", False)
        first = frames and file.format not in ("MPO", "PSD")
        deep = is_deep(file)
        image, clipped = _shallow(file, data, decoding.bits)
    image, transparent = _opaque(image, decoding.background)
    greyed = channels == 1 and image.mode not in GREY and coloured(image)
    image = image.convert("L" if channels == 1 else "RGB")
    pixels = np.asarray(_resized(image, size, decoding.resize)).reshape(*size, channels)
    seen = Decoded(image.size, deep, clipped, transparent, first, greyed)
    return pixels.transpose(2, 0, 1), seen


def decode_mask(path: Path, of: tuple[int, int], size: Size, resize: str) -> np.ndarray:
    """bool (*size): where a mask is neither black nor transparent.

    In a JPEG file, which blurs edges: where it is brighter than half. It is resized as its image,
    by nearest neighbours. ValueError unless its width and height are those `of` its image.
    """
    with Image.open(path, formats=formats()) as file:
        mask, least = ImageOps.exif_transpose(file), 128 if file.format == "JPEG" else 1
    mask = mask.convert("RGBA") if "P" in mask.getbands() else mask  # P: indices of a palette
    if mask.size != of:
        width, height = mask.size
        raise ValueError(f"the mask is {width} x {height}, its image {of[0]} x {of[1]}")
    values = np.asarray(mask).reshape(*mask.size[::-1], -1)
    if "A" in mask.getbands():
        values = values[..., :-1] * (values[..., -1:] > 0)
    marked = Image.fromarray((values >= least).any(axis=2).astype(np.uint8))
    return np.asarray(_resized(marked, size, resize, Image.Resampling.NEAREST)) > 0


def notes(images: Sequence[Decoded], size: Size, decoding: Decoding, advise: bool) -> list[str]:
    """What was scaled, cropped and left out of these images, a line each.

    `advise`: with the flags that would do otherwise.
    """
    lines = []
    tall, wide = size
    order = "" if tall == wide else " (width x height)"
    others = Counter(image.size for image in images if image.size != (wide, tall))
    unlike = Counter({s: n for s, n in others.items() if s[0] * tall != s[1] * wide})  # in shape
    for sizes, (how, advice) in (
        (others - unlike, ("resized to {}", "")),
        (unlike, RESIZED[decoding.resize]),
    ):
        if sizes:
            (width, height), _ = sizes.most_common(1)[0]
            which = f"images of {width} x {height}{' and others' if len(sizes) > 1 else ''}"
            if sizes.total() < len(images):
                which = f"{sizes.total()} of {len(images)} {which}"
            outcome = how.format(f"{wide} x {tall}{order}")
            lines.append(f"{which} are {outcome}{advice if advise else ''}")
    if deep := sum(image.deep for image in images):
        top = 2**decoding.bits - 1
        lines.append(
            f"{deep} image(s) have more than 8 bits: 0 to {top} ({decoding.bits} bits) becomes 0 "
            "to 255"
        )
        if clipped := sum(image.clipped for image in images):
            lines.append(f"{clipped} image(s) have values outside of 0 to {top}: they are clipped")
    if transparent := sum(image.transparent for image in images):
        lines.append(f"{transparent} image(s) with transparent parts {BEHIND[decoding.background]}")
    if greyed := sum(image.greyed for image in images):
        lines.append(f"{greyed} image(s) in colour become grey")
    if first := sum(image.first for image in images):
        lines.append(f"{first} file(s) hold several pictures: the first one is read")
    return lines


def unpadded(image: tuple[int, int], size: Size) -> tuple[int, int]:
    """Width and height that an image of this width and height has inside the edges of `size`."""
    (width, height), (tall, wide) = image, size
    if width * tall > wide * height:
        return wide, round(height / width * wide)
    return round(width / height * tall), tall


def _shallow(file: ImageFile.ImageFile, data: bytes, bits: int) -> tuple[Image.Image, bool]:
    """The image with 8 bits a channel, turned as EXIF asks, and whether values were clipped."""
    if file.mode == "F":
        raise ValueError("floating-point pixels have no known range: save it with 8 or 16 bits")
    if has_unsupported_depth(file, data):
        raise ValueError(
            "it stores more than 8 bits a channel in a way that cannot be read here: save it as "
            "PNG, or as TIFF without premultiplied alpha and with interleaved channels"
        )
    if not is_deep(file):
        file.load()
        return ImageOps.exif_transpose(file), False
    values, alpha = values_and_alpha(file, data)
    clipped = values.clip(0, 2**bits - 1)
    pixels = (clipped >> (bits - 8)).astype(np.uint8)
    tags = file.tag_v2 if isinstance(file, TiffImagePlugin.TiffImageFile) else {}
    if tags.get(TiffImagePlugin.PHOTOMETRIC_INTERPRETATION) == 0:  # white is zero
        pixels = 255 - pixels
    if alpha is not None:
        pixels = np.concatenate([pixels, (alpha >> 8).astype(np.uint8)], axis=2)
        clipped = np.where(alpha > 0, clipped, values)  # transparent pixels do not count
    image = Image.fromarray(pixels)
    image.getexif()[ExifTags.Base.Orientation] = file.getexif().get(ExifTags.Base.Orientation, 1)
    return ImageOps.exif_transpose(image), bool((clipped != values).any())


def _opaque(image: Image.Image, background: int | None) -> tuple[Image.Image, bool]:
    """The image without its alpha channel, grey if it was, and whether parts were transparent."""
    plain = "L" if image.mode in GREY else "RGB"
    if not image.has_transparency_data:
        return image.convert(plain), False
    image = image.convert(f"{plain}A")
    transparent = bool((np.asarray(image.getchannel("A")) < 255).any())
    if background is not None and transparent:
        colour = (background,) * len(plain) + (255,)
        image = Image.alpha_composite(Image.new(image.mode, image.size, colour), image)
    return image.convert(plain), transparent


def _resized(
    image: Image.Image, size: Size, resize: str, how: Image.Resampling = Image.Resampling.BILINEAR
) -> Image.Image:
    """The image at this height and width; ValueError where it is too thin to be padded."""
    tall, wide = size
    if image.size == (wide, tall):
        return image
    if resize == "squash":
        return image.resize((wide, tall), how)
    if resize == "pad":
        if 0 in unpadded(image.size, size):
            width, height = image.size
            raise ValueError(f"{width} x {height} is too thin to be padded to {wide} x {tall}")
        return ImageOps.pad(image, (wide, tall), how, color=0)
    # The same pixels as torchvision's Resize and CenterCrop, without torchvision, which takes
    # seconds to import.
    width, height = image.size
    if wide * height >= tall * width:  # too tall for its width, or just right
        width, height = wide, int(wide * height / width)
    else:
        width, height = int(tall * width / height), tall
    left, top = round((width - wide) / 2), round((height - tall) / 2)
    box = (left, top, left + wide, top + tall)
    return image.resize((width, height), how).crop(box)
