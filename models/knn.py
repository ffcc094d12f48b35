"""k nearest neighbours: the mean distance to the nearest training images (Angiulli and Pizzuti 2002, PKDD)."""

from dataclasses import dataclass

import numpy as np
from sklearn.neighbors import NearestNeighbors

from models import base
from models.fitted import FittedModel


@dataclass(frozen=True)
class Config(base.Config):
    samples: int = 5000  # training images kept, drawn at random: the cost of a score grows with them
    neighbours: int = 5  # neighbours whose Euclidean distances are averaged (scikit-learn's default)


class Model(FittedModel):
    Config = Config

    def fit(self, x: np.ndarray, seed: int) -> None:
        # Brute force: trees do not help with hundreds of pixels.
        self.neighbours = NearestNeighbors(n_neighbors=min(self.config.neighbours, len(x)), algorithm="brute").fit(x)

    def measure(self, x: np.ndarray) -> np.ndarray:
        return self.neighbours.kneighbors(x)[0].mean(axis=1)
