"""Arrays of images at another size, or with other channels; what colours and content they have."""

import hashlib
from collections.abc import Callable

import numpy as np
from PIL import Image


def resized(images: np.ndarray, size: int) -> np.ndarray:
    """uint8 (N, C, H, W) -> (N, C, size, size), bilinear and antialiased."""
    if images.shape[2:] == (size, size):
        return images

    import torch  # here, as it takes seconds and many importers never resize
    from torch.nn.functional import interpolate

    def resize(chunk: np.ndarray) -> np.ndarray:
        pixels = interpolate(
            torch.from_numpy(chunk).float(), (size, size), mode="bilinear", antialias=True
        )
        return pixels.round().clamp(0, 255).byte().numpy()

    return _in_chunks(resize, images)


def nearest_pixels(masks: np.ndarray, size: int) -> np.ndarray:
    """Masks (N, H, W) as (N, size, size), by nearest neighbours."""
    rows, columns = (((np.arange(size) + 0.5) * s / size).astype(int) for s in masks.shape[1:])
    return masks[:, rows[:, None], columns]


def recoloured(images: np.ndarray, channels: int | None) -> np.ndarray:
    """uint8 (N, 1 or 3, H, W) -> (N, channels, H, W)."""
    if channels in (None, images.shape[1]):
        return images
    if channels == 3:
        return np.repeat(images, 3, axis=1)
    luma = np.array([299, 587, 114], np.float32).reshape(3, 1, 1) / 1000  # ITU-R 601, as in PIL
    return _in_chunks(
        lambda chunk: (chunk * luma).sum(axis=1, keepdims=True).round().astype(np.uint8), images
    )


def _in_chunks(convert: Callable[[np.ndarray], np.ndarray], images: np.ndarray) -> np.ndarray:
    """`convert(images)`, a thousand at a time, so that the float copies stay small."""
    return np.concatenate(
        [convert(images[start : start + 1000]) for start in range(0, max(len(images), 1), 1000)]
    )


def coloured(image: Image.Image) -> bool:
    """Whether any pixel is not grey."""
    pixels = np.asarray(image.convert("RGB"))
    return bool((pixels != pixels[..., :1]).any())


def hashes(images: np.ndarray) -> np.ndarray:
    """A hash of each image's content: (N, C, H, W) -> (N,)."""
    digests = [hashlib.blake2b(image.tobytes(), digest_size=16).hexdigest() for image in images]
    return np.array(digests, dtype="U32")


def joined(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(N, …) and (M, …) as (N + M, …), without a copy where they are adjacent in one array."""
    contiguous = first.flags.c_contiguous and second.flags.c_contiguous
    behind = (
        second.__array_interface__["data"][0] == first.__array_interface__["data"][0] + first.nbytes
    )
    same = first.base is not None and first.base is second.base and first.dtype == second.dtype
    if not (contiguous and behind and same and first.shape[1:] == second.shape[1:]):
        return np.concatenate([first, second])
    shape = (len(first) + len(second), *first.shape[1:])
    return np.lib.stride_tricks.as_strided(first, shape, first.strides)
