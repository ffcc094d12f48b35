"""A score that is mixed from two parts, each in units of its own spread on normal images."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

SHARES = np.linspace(0, 1, 21)  # of the second part, that are compared


@dataclass(frozen=True)
class Mix:
    """The weighted mean of two parts after each is standardised: (part - mean) / spread.

    Without that, the part with the larger numbers is the score, whatever the weights are.
    """

    parts: Sequence[str]  # two, as all lists below
    means: Sequence[float]  # on held-out normal images
    spreads: Sequence[float]  # standard deviations there; 1 where all of them are alike
    share: float  # the second part's weight, 0 to 1; the first has the rest

    def __call__(self, parts: Mapping[str, Tensor]) -> Tensor:
        """The score (N,) of images with these parts, each (N,)."""
        first, second = (
            (parts[name] - mean) / spread
            for name, mean, spread in zip(self.parts, self.means, self.spreads, strict=True)
        )
        return (1 - self.share) * first + self.share * second

    def best(self, judge: Callable[["Mix"], float]) -> "Mix":
        """The mix with the highest `judge(mix)`; of equal ones, that with the nearest share."""
        shares = sorted({self.share, *SHARES.tolist()}, key=lambda share: abs(share - self.share))
        return max((replace(self, share=share) for share in shares), key=judge)


def standardised(names: tuple[str, str], share: float, normal: Mapping[str, Tensor]) -> Mix:
    """The mix of two parts by their values (N,) on normal images that were not trained on."""
    first, second = (torch.stack([normal[name].double() for name in names])).unbind()
    means = (float(first.mean()), float(second.mean()))
    spreads = (spread(first), spread(second))
    return Mix(names, means, spreads, share)


def spread(values: Tensor) -> float:
    """The standard deviation of values (N,); 1 where they are all alike, or there is only one."""
    return float(values.std(correction=0)) or 1.0
