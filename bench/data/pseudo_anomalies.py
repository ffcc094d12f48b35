"""Synthetic anomalies, from normal images: they choose epochs where no real anomaly is known.

Source: arXiv:2310.10461.
"""

import numpy as np
import torch
from torch import Tensor

from bench.data.splits import Labelled


def pseudo_anomalies(images: Tensor, seed: int, without_rotations: bool = False) -> Tensor:
    """One anomaly of each image: in turn a pasted cut, shuffled patches, a rotation.

    Images and anomalies are uint8 (N, C, H, W). `without_rotations`: for a model that was trained
    to tell rotations.
    """
    rng = torch.Generator().manual_seed(seed)
    kinds = (cut_paste, shuffle_patches, rotate)[: 2 if without_rotations else 3]
    return torch.stack([kinds[i % len(kinds)](image, rng) for i, image in enumerate(images)])


def with_pseudo_anomalies(normal: Tensor, without_rotations: bool, shuffled: bool) -> Labelled:
    """Normal images (N, C, H, W), then a pseudo-anomaly of each; if `shuffled`, in random order."""
    labels = np.repeat([0, 1], len(normal))
    images = torch.cat([normal, pseudo_anomalies(normal, 0, without_rotations)])
    if shuffled:
        order = np.random.default_rng(0).permutation(len(labels))
        images, labels = images[torch.from_numpy(order)], labels[order]
    return Labelled(images, labels)


def draw(low: int, high: int, rng: torch.Generator) -> int:
    """A whole number from low to high, both included."""
    return int(torch.randint(low, high + 1, (), generator=rng))


def cut_paste(image: Tensor, rng: torch.Generator) -> Tensor:
    """A patch of a quarter to a half of each side, pasted at another place drawn at random.

    CutPaste, arXiv:2104.04015. Where both places look alike, the image stays as it was.
    """
    height, width = (draw(side // 4, side // 2, rng) for side in image.shape[1:])
    top, to_top = (draw(0, image.shape[1] - height, rng) for _ in range(2))
    left, to_left = (draw(0, image.shape[2] - width, rng) for _ in range(2))
    patch = image[:, top : top + height, left : left + width]
    pasted = image.clone()
    pasted[:, to_top : to_top + height, to_left : to_left + width] = patch
    return pasted


def shuffle_patches(image: Tensor, rng: torch.Generator) -> Tensor:
    """The image's four quarters in another order; the last row or column of an odd side stays."""
    height, width = (side // 2 for side in image.shape[1:])
    corners = [(top, left) for top in (0, height) for left in (0, width)]
    quarters = [image[:, top : top + height, left : left + width] for top, left in corners]
    turn, shuffled = draw(1, 3, rng), image.clone()  # no quarter stays where it was
    for place, (top, left) in enumerate(corners):
        shuffled[:, top : top + height, left : left + width] = quarters[place - turn]
    return shuffled


def rotate(image: Tensor, rng: torch.Generator) -> Tensor:
    """The image turned by 90, 180 or 270 degrees; one that is not square by 180, to keep its shape."""
    square = image.shape[1] == image.shape[2]
    return torch.rot90(image, draw(1, 3, rng) if square else 2, dims=(1, 2))
