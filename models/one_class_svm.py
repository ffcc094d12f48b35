"""One-class support vector machine on pixels, with an RBF kernel.

Schölkopf et al. 2001, Neural Computation 13:1443-1471.
"""

from dataclasses import dataclass

import numpy as np
from sklearn.svm import OneClassSVM

from models import base
from models.fitted import FittedModel


@dataclass(frozen=True)
class Config(base.Config):
    samples: int = 2000  # training images kept, drawn at random; fitting is quadratic in them
    nu: float = 0.1  # bound on the share of training images outside (eq. 4), above 0 and below 1
    gamma: float = 1.0  # gamma in exp(-gamma |x - y|^2), times pixels and their variance

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.nu < 1 or self.gamma == 0:  # at 1 libsvm's solution is infinite
            limits = "nu must be above 0 and below 1, gamma above 0"
            raise ValueError(f"{limits}, not {self.nu} and {self.gamma}")


class Model(FittedModel):
    """Scores by minus the weighted mean of the kernel over the support vectors.

    A mean, unlike scikit-learn's sum, has the same scale whatever nu and the vectors' number are.
    """

    Config = Config

    def fit(self, x: np.ndarray, seed: int) -> None:
        gamma = self.config.gamma / (x.shape[1] * max(x.var(), 1e-12))
        self.svm = OneClassSVM(nu=self.config.nu, gamma=gamma).fit(x)

    def measure(self, x: np.ndarray) -> np.ndarray:
        return -self.svm.score_samples(x) / self.svm.dual_coef_.sum()
