"""--image_size: one number for square images, HEIGHTxWIDTH for others."""

import argparse
import re

ImageSize = int | str


def parse(text: str) -> ImageSize:
    """The number 64 for `64` and `64x64`; the text `64x96` (height x width) for other sizes.

    argparse's error for any other text.
    """
    match = re.fullmatch(r"(\d+)(?:[x×](\d+))?", text.strip().lower())
    if not match:
        reason = "no size (as in 64, or 64x96: height x width)"
        raise argparse.ArgumentTypeError(f"'{text}' is {reason}")
    height, width = int(match[1]), int(match[2] or match[1])
    return height if height == width else f"{height}x{width}"


def sides(image_size: ImageSize) -> tuple[int, int]:
    """Height and width."""
    height, _, width = str(image_size).partition("x")
    return int(height), int(width or height)
