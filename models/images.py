"""What models take for images."""

from collections.abc import Iterable
from typing import Any, Protocol

import torch
from torch import Tensor


class Images(Protocol):
    """uint8 (N, C, H, W): a Tensor, or what copies its images from a larger one batch by batch."""

    @property
    def shape(self) -> torch.Size: ...
    @property
    def dtype(self) -> torch.dtype: ...
    @property
    def device(self) -> torch.device: ...
    def __len__(self) -> int: ...
    def __getitem__(self, key: Any, /) -> Tensor: ...
    def split(self, size: int, /) -> Iterable[Tensor]: ...
