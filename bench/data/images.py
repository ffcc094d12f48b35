"""A data set's images, held once, and subsets of them, which hold only indices."""

import warnings
from collections.abc import Iterator
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor


class ImageArray:
    """All images of a data set: once in memory, and once on each device that asks for them.

    Pickled as a NumPy array, which Ray's object store hands to all trials uncopied; it would copy
    a tensor.
    """

    def __init__(self, array: np.ndarray) -> None:
        """`array`: uint8 (M, C, H, W); it is not copied."""
        self.array = array
        self._tensors: dict[torch.device, Tensor] = {}

    def on(self, device: str | torch.device) -> Tensor:
        """The images as a uint8 tensor (M, C, H, W) on that device, the same one at each call."""
        device = torch.device(device)
        if device not in self._tensors:
            self._tensors[device] = tensor_of(self.array).to(device)
        return self._tensors[device]

    def __reduce__(self) -> tuple:
        return type(self), (self.array,)


class IndexedImages:
    """A subset of an ImageArray's images, in an order of its own, copied only batch by batch.

    Models take it in place of a uint8 tensor (N, C, H, W): see models.images.Images.
    """

    def __init__(
        self,
        source: ImageArray,
        index: np.ndarray,
        device: str | torch.device = "cpu",
        classes: np.ndarray | None = None,
    ):
        """`index`: int64 (N,), which images of `source`; `classes`: int64 (N,), of which class."""
        self.source, self.index, self._classes = source, index, classes
        self._all, self._index = source.on(device), tensor_of(index).to(device)

    @property
    def shape(self) -> torch.Size:
        return torch.Size((len(self), *self._all.shape[1:]))

    @property
    def dtype(self) -> torch.dtype:
        return self._all.dtype

    @property
    def device(self) -> torch.device:
        return self._all.device

    @property
    def classes(self) -> Tensor | None:
        """int64 (N,): the number of each image's class; None where models must not know it."""
        return None if self._classes is None else tensor_of(self._classes).to(self.device)

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, key: Any) -> Tensor:
        """A copy of these images, as a tensor; `key`: whatever indexes a tensor's first axis."""
        return self._all[self._index[key]]

    def split(self, size: int) -> Iterator[Tensor]:
        """Copies of all images in order, `size` at a time, as torch.split gives them."""
        return (self._all[index] for index in self._index.split(size))

    def moved(self, source: ImageArray, places: np.ndarray) -> Self:
        """The same images in another array, where image i lies at places[i]."""
        return type(self)(source, places[self.index], self.device, self._classes)

    def to(self, device: str | torch.device) -> Self:
        """The same images on a device; itself if they are there."""
        if self.source.on(device) is self._all:
            return self
        return type(self)(self.source, self.index, device, self._classes)

    def __reduce__(self) -> tuple:
        return type(self), (self.source, self.index, "cpu", self._classes)


def tensor_of(array: np.ndarray) -> Tensor:
    """The array's memory as a tensor. Nobody may write to it: Ray's object store is read-only."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # torch warns of read-only memory
        return torch.from_numpy(array)
