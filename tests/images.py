"""Image files of few words, for the tests of what reads them."""

from pathlib import Path

from PIL import Image


def save(file: Path, value: int = 100, size: tuple[int, int] = (16, 16), mode: str = "L") -> Path:
    """An image of one grey value; `size` is (width, height)."""
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", size, value).convert(mode).save(file)
    return file
