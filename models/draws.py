"""Random numbers of a training step."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor


class Draws:
    """Draws on the models' device: from one stream, or where K models train as one from a stream each (see fused.py).

    Row b * K + k of what is drawn is the b-th of model k, which draws what it would draw alone.
    """

    def __init__(self, streams: Sequence[torch.Generator]):
        self.streams = streams

    def uniform(self, rows: int, *shape: int) -> Tensor:
        """(rows, *shape) from [0, 1)."""
        return self.rows(torch.rand, rows, shape)

    def normal(self, rows: int, *shape: int) -> Tensor:
        """(rows, *shape) from N(0, 1)."""
        return self.rows(torch.randn, rows, shape)

    def rows(self, draw: Callable[..., Tensor], rows: int, shape: tuple[int, ...]) -> Tensor:
        each = (rows // len(self.streams), *shape)
        drawn = [draw(each, generator=stream, device=stream.device) for stream in self.streams]
        return drawn[0] if len(drawn) == 1 else torch.stack(drawn, 1).flatten(0, 1)
