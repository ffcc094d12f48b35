"""The images that models take: their type, and checks of it."""

from collections.abc import Iterable
from typing import Any, Protocol

import torch
from torch import Tensor

from models.sizes import Shape


class Images(Protocol):
    """uint8 (N, C, H, W): a Tensor, or an object that copies a larger one's images by the batch."""

    @property
    def shape(self) -> torch.Size: ...
    @property
    def dtype(self) -> torch.dtype: ...
    @property
    def device(self) -> torch.device: ...
    def __len__(self) -> int: ...
    def __getitem__(self, key: Any, /) -> Tensor: ...
    def split(self, size: int, /) -> Iterable[Tensor]: ...


def classes_of(images: Images) -> Tensor | None:
    """int64 (N,): the number of each image's class, where the images know it, else None."""
    return getattr(images, "classes", None)


def pixels(x: Tensor) -> Tensor:
    """Images (B, C, H, W) in [-1, 1] as whole numbers in [0, 255], still float."""
    return ((x + 1) * 127.5).round().clamp(0, 255)


def check_images(images: Images, shape: Shape) -> None:
    """ValueError unless there are images, uint8 and each of this shape (C, H, W)."""
    if not isinstance(images.dtype, torch.dtype):
        kind = type(images).__name__
        raise ValueError(
            f"images must be a torch tensor, not a {kind} (torch.from_numpy makes one)"
        )
    if images.dtype != torch.uint8:
        raise ValueError(f"images must be uint8, not {images.dtype}")
    if len(images.shape) != 4 or tuple(images.shape[1:]) != tuple(shape) or not len(images):
        wanted = f"(N, {', '.join(map(str, shape))})"
        raise ValueError(f"images must have shape {wanted}, not {tuple(images.shape)}")
