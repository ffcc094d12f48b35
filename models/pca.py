"""Principal component analysis of pixels (scikit-learn's PCA)."""

from dataclasses import dataclass

import numpy as np
import torch
from sklearn.decomposition import PCA
from torch import Tensor

from models import base
from models.fitted import FittedModel


@dataclass(frozen=True)
class Config(base.Config):
    samples: int = 5000  # training images kept, drawn at random
    components: int = 64  # principal components that reconstruct an image


class Model(FittedModel):
    """Scores by the mean squared error of the reconstruction, as the autoencoder does."""

    Config = Config

    def fit(self, x: np.ndarray, seed: int) -> None:
        self.pca = PCA(min(self.config.components, *x.shape), random_state=seed).fit(x)

    def measure(self, x: np.ndarray) -> np.ndarray:
        return np.square(x - self.pca.inverse_transform(self.pca.transform(x))).mean(axis=1)

    def reconstruct(self, x: Tensor) -> Tensor:
        reconstruction = self.pca.inverse_transform(self.pca.transform(self.flat(x)))
        return torch.from_numpy(reconstruction).float().to(x).view_as(x)
