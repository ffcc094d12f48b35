"""k nearest neighbours (Angiulli and Pizzuti 2002, PKDD) on pixels."""

from dataclasses import dataclass

import numpy as np
from sklearn.neighbors import NearestNeighbors

from models import base
from models.fitted import FittedModel


@dataclass(frozen=True)
class Config(base.Config):
    samples: int = 5000  # training images kept, drawn at random; more make scoring slower
    neighbours: int = 5  # nearest images that the score averages over (scikit-learn's default)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.neighbours > self.samples:
            raise ValueError(
                f"neighbours: {self.neighbours} of {self.samples} samples (give fewer)"
            )


class Model(FittedModel):
    """Scores by the mean Euclidean distance to the nearest training images."""

    Config = Config
    METRIC = "euclidean"  # of scikit-learn's

    def fit(self, x: np.ndarray, seed: int) -> None:
        neighbours = min(self.config.neighbours, len(x))
        # Brute force: search trees are no faster with hundreds of pixels.
        self.neighbours = NearestNeighbors(
            n_neighbors=neighbours, algorithm="brute", metric=self.METRIC
        ).fit(x)

    def measure(self, x: np.ndarray) -> np.ndarray:
        return self.neighbours.kneighbors(x)[0].mean(axis=1)
