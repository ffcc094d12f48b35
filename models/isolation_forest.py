"""Isolation forest (Liu, Ting and Zhou 2008, ICDM) on pixels: what few random splits isolate is anomalous."""

from dataclasses import dataclass

import numpy as np
from sklearn.ensemble import IsolationForest

from models import base
from models.fitted import FittedModel


@dataclass(frozen=True)
class Config(base.Config):
    samples: int = 5000  # training images kept, drawn at random, from which the trees draw theirs
    trees: int = 100  # trees of the forest (section 4.2)
    tree_samples: int = 256  # images a tree, drawn from those kept (section 4.1)


class Model(FittedModel):
    Config = Config

    def fit(self, x: np.ndarray, seed: int) -> None:
        c = self.config
        forest = IsolationForest(n_estimators=c.trees, max_samples=min(c.tree_samples, len(x)), random_state=seed)
        self.forest = forest.fit(x)

    def measure(self, x: np.ndarray) -> np.ndarray:
        return -self.forest.score_samples(x)
