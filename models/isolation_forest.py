"""Isolation forest (Liu, Ting and Zhou 2008, ICDM) on pixels."""

from dataclasses import dataclass

import numpy as np
from sklearn.ensemble import IsolationForest

from models import base
from models.fitted import FittedModel


@dataclass(frozen=True)
class Config(base.Config):
    samples: int = 5000  # training images kept, drawn at random; trees draw from them
    trees: int = 100  # trees of the forest (section 4)
    tree_samples: int = 256  # images each tree is grown on (section 4)


class Model(FittedModel):
    """The fewer random splits separate an image from the rest, the higher its score."""

    Config = Config

    def fit(self, x: np.ndarray, seed: int) -> None:
        c = self.config
        samples = min(c.tree_samples, len(x))
        self.forest = IsolationForest(n_estimators=c.trees, max_samples=samples, random_state=seed)
        self.forest.fit(x)

    def measure(self, x: np.ndarray) -> np.ndarray:
        return -self.forest.score_samples(x)
