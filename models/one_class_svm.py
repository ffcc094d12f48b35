"""One-class support vector machine (Schölkopf et al. 2001, Neural Computation 13:1443-1471) on pixels, RBF kernel."""

from dataclasses import dataclass

import numpy as np
from sklearn.svm import OneClassSVM

from models import base
from models.fitted import FittedModel


@dataclass(frozen=True)
class Config(base.Config):
    samples: int = 2000  # training images kept, drawn at random: fitting takes the square of them
    nu: float = 0.1  # bound on the share of training images outside (eq. 4), above 0 and at most 1
    gamma: float = 1.0  # the kernel exp(-gamma |x - y|^2)'s gamma, in units of 1 / (pixels * their variance)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.nu <= 1 or self.gamma == 0:
            raise ValueError(f"nu must be above 0 and at most 1, gamma above 0, not {self.nu} and {self.gamma}")


class Model(FittedModel):
    """Scores by the weighted mean of the kernel over the support vectors: their number and nu do not set its scale."""

    Config = Config

    def fit(self, x: np.ndarray, seed: int) -> None:
        gamma = self.config.gamma / (x.shape[1] * max(x.var(), 1e-12))
        self.svm = OneClassSVM(nu=self.config.nu, gamma=gamma).fit(x)

    def measure(self, x: np.ndarray) -> np.ndarray:
        return -self.svm.score_samples(x) / self.svm.dual_coef_.sum()
