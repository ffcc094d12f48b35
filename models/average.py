"""A moving average of weights, which scores in place of the weights of the last step."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class Average:
    """The exponential moving average of a network's weights (arXiv:1802.06222's released code).

    As in that code, batch normalisation's running statistics are not averaged, so they belong to
    other weights. They cover about the last ten steps (torch's momentum of 0.1), in that code about
    a hundred (TensorFlow's momentum).
    """

    def __init__(self, networks: nn.Module, decay: float):
        self.decay, self.weights = decay, list(networks.parameters())
        self.means: list[Tensor] = [weight.detach().clone() for weight in self.weights]

    @torch.no_grad()
    def update(self) -> None:
        """Moves the average towards the present weights, by 1 - decay of the way."""
        torch._foreach_lerp_(self.means, [w.detach() for w in self.weights], 1 - self.decay)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Gives the network the averaged weights within the block, and its own again after it."""
        self.swap()
        try:
            yield
        finally:
            self.swap()

    def swap(self) -> None:
        for weight, mean in zip(self.weights, self.means, strict=True):
            weight.data, mean.data = mean.data, weight.data

    @torch.no_grad()
    def restore(self, means: Iterable[Tensor]) -> None:
        for mean, saved in zip(self.means, means, strict=True):
            mean.copy_(saved)
