"""Small image files and data sets, for the tests of what reads them."""

from pathlib import Path

import numpy as np
from PIL import Image

from bench.data.datasets import Dataset


def save(file: Path, value: int = 100, size: tuple[int, int] = (16, 16), mode: str = "L") -> Path:
    """An image of one grey value; `size` is (width, height)."""
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", size, value).convert(mode).save(file)
    return file


def write_images(
    folder: Path, count: int, seed: int = 0, shape: tuple[int, ...] = (32, 32, 3)
) -> None:
    """Random images, 0.png and so on, in a new folder."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    for i in range(count):
        Image.fromarray(rng.integers(0, 255, shape, dtype=np.uint8)).save(folder / f"{i}.png")


def dataset_of(train: list[int], test: list[int], seed: int = 0) -> Dataset:
    """So many random images of each class; the classes are called a, b, c, …"""
    rng = np.random.default_rng(seed)

    def images(counts: list[int]) -> tuple[np.ndarray, np.ndarray]:
        labels = np.repeat(np.arange(len(counts)), counts)
        return rng.integers(0, 256, (len(labels), 1, 16, 16), dtype=np.uint8), labels

    return Dataset("synthetic", tuple("abcdefgh"[: len(train)]), *images(train), *images(test))
