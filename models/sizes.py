"""The shapes of images that networks take; sizes are height and width in pixels."""

from math import prod

MIN_SIDE, MAX_SIDE = 16, 1024  # pixels

Size = tuple[int, int]  # height, width
Shape = tuple[int, int, int]  # channels, height, width


def halvings(size: Size) -> int:
    """How often DCGAN's networks halve an image: until its shorter side is 4 to 7."""
    return min(size).bit_length() - 3


def halved(size: Size) -> list[Size]:
    """An image's sides, halved and rounded up until the shorter is 4 or less.

    28 x 40 becomes 28 x 40, 14 x 20, 7 x 10, 4 x 5.
    """
    sizes = [size]
    while min(sizes[-1]) > 4:
        height, width = sizes[-1]
        sizes.append(((height + 1) // 2, (width + 1) // 2))
    return sizes


def text(size: Size) -> str:
    """`64x96`, or `64` for a square."""
    height, width = size
    return str(height) if height == width else f"{height}x{width}"


def check_shape(shape: Shape, any_size: bool) -> None:
    """ValueError unless there are 1 or 3 channels, and two sides from MIN_SIDE to MAX_SIDE.

    Without `any_size`, DCGAN's networks must also be able to halve both sides without a remainder.
    """
    if len(shape) != 3:
        raise ValueError(f"images must have channels, height and width, not the shape {shape}")
    channels, size = shape[0], shape[1:]
    if channels not in (1, 3):
        raise ValueError(f"images must have 1 or 3 channels, not {channels}")
    if not all(MIN_SIDE <= side <= MAX_SIDE for side in size):
        raise ValueError(f"image sides must be from {MIN_SIDE} to {MAX_SIDE}, not {text(size)}")
    if not (any_size or fits(size)):
        raise ValueError(
            f"image sides must be multiples of {2 ** halvings(size)}, for its networks halve them "
            f"{halvings(size)} times, not {text(size)} (nearest: {' or '.join(nearest(size))})"
        )


def fits(size: Size) -> bool:
    return all(side % 2 ** halvings(size) == 0 for side in size)


def nearest(size: Size) -> list[str]:
    """The nearest sizes that `fits` allows, within and around this one; for a square, squares."""
    height, width = size
    sides = range(MIN_SIDE, MAX_SIDE + 1, 4)
    pairs = [(h, h) for h in sides] if height == width else [(h, w) for h in sides for w in sides]
    fitting = [pair for pair in pairs if fits(pair)]
    below = [pair for pair in fitting if pair[0] <= height and pair[1] <= width]
    above = [pair for pair in fitting if pair[0] >= height and pair[1] >= width]
    return [text(pair) for pair in (max(below, key=prod), min(above, key=prod))]
