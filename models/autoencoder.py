"""A plain convolutional autoencoder: the baseline that shows what a GAN adds to reconstruction."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models import base
from models.losses import per_image
from models.networks import Generator, Pyramid
from models.optimizers import Adam


@dataclass(frozen=True)
class Config(base.Config):
    lr: float = 1e-3  # Adam's step size (arXiv:1412.6980, algorithm 1)
    beta1: float = 0.9  # Adam's first moment (arXiv:1412.6980, algorithm 1)
    beta2: float = 0.999  # Adam's second moment (arXiv:1412.6980, algorithm 1)
    width: int = 32  # channels at the outermost level
    nz: int = 64  # size of the latent: a larger one reconstructs anomalies too


class Model(base.AnomalyModel):
    """Encoder, latent (B, nz) and decoder; the score is the mean squared error of an image."""

    Config = Config
    FAMILY = "baseline"
    STEPS = 10_000  # as GANomaly, which it is compared with
    DIGITS_STEPS = 1_000
    ANY_SIZE = True

    def build(self) -> None:
        c, channels, size = self.config, self.image_shape[0], self.image_shape[1:]
        pyramid = Pyramid(channels, size, c.width, nn.BatchNorm2d)
        encoder = nn.Linear(pyramid.features, c.nz)
        decoder = Generator(channels, size, c.width, c.nz, nn.BatchNorm2d)
        self.autoencoder = nn.Sequential(pyramid, encoder, decoder).to(self.device)
        self.networks = nn.ModuleDict({"autoencoder": self.autoencoder})
        self.optimizers = {"autoencoder": Adam(self.autoencoder, c.lr, c.beta1, c.beta2)}

    def train_step(self, x: Tensor, rng: torch.Generator) -> dict[str, Tensor]:
        loss = (self.reconstruct(x) - x).square().mean()
        self.optimizers["autoencoder"].minimise(loss)
        return {"reconstruction": loss}

    def parts(self, x: Tensor) -> dict[str, Tensor]:
        return {"reconstruction": per_image((self.reconstruct(x) - x).square())}

    def combine(self, parts: dict[str, Tensor]) -> Tensor:
        return parts["reconstruction"]

    def reconstruct(self, x: Tensor) -> Tensor:
        return self.autoencoder(x).float()
