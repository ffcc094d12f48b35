"""The test images that say most about a run: those of each kind with the most extreme scores.

Images are uint8. N is how many, C, H and W are channels, height and width in pixels.
"""

import base64
import io
from typing import Any

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

EACH = 6  # images in a group
GRID = "columns x rows"  # the name of a text in a sheet
GROUPS = {  # a group's label (1: abnormal), and whether it takes the highest scores or the lowest
    "abnormal, highest scores": (1, True),
    "abnormal, lowest scores": (1, False),
    "normal, highest scores": (0, True),
    "normal, lowest scores": (0, False),
}


def extreme_images(labels: np.ndarray, scores: np.ndarray) -> dict[str, np.ndarray]:
    """The indices of the images of each of GROUPS, the most extreme score first.

    `labels` and `scores` are (N,). The same scores always choose the same images.
    """
    groups = {}
    for name, (label, highest) in GROUPS.items():
        members = np.flatnonzero(labels == label)
        order = np.argsort(-scores[members] if highest else scores[members], kind="stable")
        groups[name] = members[order[:EACH]]
    return groups


def sheet(images: np.ndarray, rebuilt: np.ndarray | None) -> bytes:
    """A PNG of (N, C, H, W) images in a row and their reconstructions, if any, in a second one.

    A text in it says how many columns and rows it has.
    """
    rows, text = [images] if rebuilt is None else [images, rebuilt], PngInfo()
    text.add_text(GRID, f"{len(images)}x{len(rows)}")
    return encoded(sheet_array(*rows), "PNG", pnginfo=text)


def sheet_array(*rows: np.ndarray) -> np.ndarray:
    """Rows of (N, C, H, W) images as one image (C, rows * H, N * W)."""
    return np.concatenate([np.concatenate(list(row), axis=2) for row in rows], axis=1)


def picture(images: np.ndarray, rebuilt: np.ndarray) -> np.ndarray:
    """(N, C, H, W) images, their reconstructions and the absolute difference, a row each.

    One image (C, 3 * H, N * W).
    """
    differences = np.abs(images.astype(np.int16) - rebuilt).astype(np.uint8)
    return sheet_array(images, rebuilt, differences)


def images_of(sheet: bytes, count: int) -> tuple[np.ndarray, np.ndarray | None]:
    """The (N, C, H, W) images of a sheet and their reconstructions, if it has them.

    `count` is N. ValueError or OSError for a picture that is no such sheet.
    """
    with Image.open(io.BytesIO(sheet), formats=["PNG"]) as picture:
        array, grid = np.asarray(picture), picture.info.get(GRID)
    array = array.reshape(*array.shape[:2], -1).transpose(2, 0, 1)
    channels, height, width = array.shape
    columns, lines = map(int, grid.split("x")) if grid else (0, 0)
    if not count or columns != count or width % count or lines not in (1, 2) or height % lines:
        raise ValueError(f"{width} x {height} is no row of {count} images")
    rows = array.reshape(channels, lines, -1, count, width // count).transpose(1, 3, 0, 2, 4)
    return rows[0], rows[1] if len(rows) > 1 else None


def encoded(image: np.ndarray, kind: str, **options: Any) -> bytes:
    """A (C, H, W) image as a file: PNG, or WebP where size matters more than the last bit."""
    buffer = io.BytesIO()
    as_picture(image).save(buffer, kind, **options)
    return buffer.getvalue()


def as_picture(image: np.ndarray) -> Image.Image:
    """A (C, H, W) image for Pillow, which wants a grey image without its axis of channels."""
    return Image.fromarray(image[0] if len(image) == 1 else image.transpose(1, 2, 0))


def shrunk(image: np.ndarray, largest: int) -> np.ndarray:
    """A uint8 (C, H, W) image, shrunk until its longer side has at most `largest` pixels."""
    picture = as_picture(image)
    picture.thumbnail((largest, largest), reducing_gap=None)
    return np.asarray(picture).reshape(*picture.size[::-1], -1).transpose(2, 0, 1)


def data_uri(image: np.ndarray, kind: str = "PNG", **options: Any) -> str:
    """A (C, H, W) image as a data: URI, which a page can hold."""
    content = base64.b64encode(encoded(image, kind, **options)).decode()
    return f"data:image/{kind.lower()};base64,{content}"
