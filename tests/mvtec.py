"""Draws a stand-in for MVTec AD: textures, with dark blots and bright scratches as defects."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

SIZE = (80, 60)  # width and height: not square, so that masks have to follow --resize
DEFECTS = {"blot": 0, "scratch": 255}  # grey values, which no good image has


def draw(folder: Path, categories=("bolt", "nut"), good: int = 24, each: int = 5) -> Path:
    """Colour images in its layout: a category trains on `good`, each test class has `each`."""
    for number, category in enumerate(categories):
        rng = np.random.default_rng(number)
        for part, count in (("train", good), ("test", each)):
            for i in range(count):
                save(texture(rng, number), folder / category / part / "good" / f"{i:03}.png")
        for defect, value in DEFECTS.items():
            for i in range(each):
                picture, mask = texture(rng, number), Image.new("L", SIZE)
                for image in (picture, mask):
                    colour = 255 if image is mask else (value,) * 3
                    pen = ImageDraw.Draw(image)
                    left, top = 22 + 4 * i, 10 + 5 * i
                    if defect == "blot":
                        pen.ellipse((left, top, left + 13, top + 13), fill=colour)
                    else:
                        pen.line((left, top, left + 16, top + 8), fill=colour, width=5)
                save(picture, folder / category / "test" / defect / f"{i:03}.png")
                save(mask, folder / category / "ground_truth" / defect / f"{i:03}_mask.png")
    return folder


def texture(rng: np.random.Generator, number: int) -> Image.Image:
    """Stripes or rings, in greys from 60 to 190."""
    y, x = np.mgrid[: SIZE[1], : SIZE[0]]
    wave = np.sin((x + y) / 4) if number % 2 else np.sin(np.hypot(x - 40, y - 30) / 4)
    grey = 125 + 40 * wave[..., None] + rng.normal(0, 4, (*wave.shape, 3))
    return Image.fromarray(grey.clip(60, 190).astype(np.uint8))


def save(image: Image.Image, file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    image.save(file)
