"""A denoising autoencoder (Vincent et al. 2008, ICML): an example of a model in a file of one's own.

python train_tune.py --model docs/examples/denoising_autoencoder.py --dataset digits --normal_class 8
"""

from dataclasses import dataclass

import torch
from optuna.distributions import FloatDistribution
from torch import Tensor

from models import autoencoder


@dataclass(frozen=True)
class Config(autoencoder.Config):
    noise: float = 0.3  # standard deviation of the noise in training; pixels are in [-1, 1]


class Model(autoencoder.Model):
    """Learns to take noise out of normal images (B, C, H, W); scores by the error without noise."""

    Config = Config

    def train_step(self, x: Tensor, rng: torch.Generator) -> dict[str, Tensor]:
        noise = torch.randn(x.shape, generator=rng, device=x.device)
        loss = (self.reconstruct(x + self.config.noise * noise) - x).square().mean()
        self.optimizers["autoencoder"].minimise(loss)
        return {"reconstruction": loss}


SPACE = {
    "lr": FloatDistribution(1e-4, 1e-2, log=True),
    "noise": FloatDistribution(0.01, 1.0, log=True),
}
