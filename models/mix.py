"""A score that is mixed from parts, each in units of its own spread on normal images."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

FINE, COARSE = 20, 10  # steps of the weights to try, from 0 to 1: of two parts, of more


@dataclass(frozen=True)
class Mix:
    """The weighted mean of parts after each is standardised: (part - mean) / spread.

    Without that, the part with the largest numbers is the score, whatever the weights are.
    """

    parts: Sequence[str]  # names; each list below has one entry for each
    weights: Sequence[float]  # 0 to 1; they add up to 1
    means: Sequence[float]  # on held-out normal images
    spreads: Sequence[float]  # standard deviations there; 1 where all values are alike

    def __call__(self, parts: Mapping[str, Tensor]) -> Tensor:
        """The score (N,) of images with these parts, each (N,)."""
        columns = zip(self.parts, self.weights, self.means, self.spreads, strict=True)
        score: Tensor = sum(  # type: ignore[assignment]
            weight * (parts[name] - mean) / spread for name, weight, mean, spread in columns
        )
        return score

    def best(self, judge: Callable[["Mix"], float]) -> "Mix":
        """The mix with the highest `judge(mix)`; of equals, the one with the nearest weights."""
        steps = FINE if len(self.parts) == 2 else COARSE
        candidates = [list(self.weights), *weightings(len(self.parts), steps, steps)]
        candidates.sort(
            key=lambda weights: abs(torch.tensor(weights) - torch.tensor(self.weights)).sum()
        )
        return max((replace(self, weights=weights) for weights in candidates), key=judge)


def weightings(parts: int, left: int, steps: int) -> Iterator[list[float]]:
    """Yields all weights of so many `parts`, multiples of 1 / steps, that sum to left / steps."""
    if parts == 1:
        yield [left / steps]
        return
    for first in range(left + 1):
        for rest in weightings(parts - 1, left - first, steps):
            yield [first / steps, *rest]


def checked_parts(parts: Mapping[str, Tensor], images: int) -> dict[str, Tensor]:
    """The parts of a score as float32; ValueError unless each has one number for each image."""
    if unfit := [name for name, part in parts.items() if part.shape != (images,)]:
        raise ValueError(f"parts: {', '.join(unfit)} must be one number an image")
    return {name: part.float() for name, part in parts.items()}


def standardised(weights: Mapping[str, float], normal: Mapping[str, Tensor]) -> Mix:
    """The mix with these weights, standardised by the parts (N,) of normal images.

    ValueError for weights that are no shares.
    """
    if min(weights.values()) < 0 or abs(sum(weights.values()) - 1) > 1e-6:
        raise ValueError(f"weights {dict(weights)}: they must be 0 or more, and add up to 1")
    values = [normal[name].double() for name in weights]
    means = [float(part.mean()) for part in values]
    spreads = [float(part.std(correction=0)) or 1.0 for part in values]
    return Mix(list(weights), list(weights.values()), means, spreads)
