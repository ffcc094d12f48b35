"""Efficient GAN-based anomaly detection (Zenati et al. 2018, arXiv:1802.06222): a bidirectional GAN (arXiv:1605.09782).

The generator maps latents to images, the encoder images to latents, and the discriminator judges the two together.
Left out of the original: its dropout in the discriminator and the moving average of its weights. Distances are means
where it has sums, so that the score's weights hold for any image size; PUBLISHED has the released code's step size.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models import base
from models.losses import cross_entropy, per_image
from models.networks import Generator, Pyramid, init_weights
from models.optimizers import Adam


@dataclass(frozen=True)
class Config(base.Config):
    lr: float = 2e-4  # Adam's step size, generator and encoder (arXiv:1511.06434, section 4; released code: 1e-5)
    lr_discriminator: float = 2e-4  # Adam's step size, discriminator (likewise)
    beta1: float = 0.5  # Adam's first moment, all networks (released code)
    beta2: float = 0.999  # Adam's second moment, all networks (released code)
    ngf: int = 32  # channels at the outermost level, generator and encoder (released code, encoder)
    ndf: int = 64  # channels at the outermost level, discriminator (released code)
    nz: int = 200  # size of the latent (released code, MNIST)
    joint: int = 1024  # the discriminator's features f(x, z) (released code, MNIST)
    alpha: float = 0.9  # the reconstruction's share of the anomaly score, the rest is the discriminator's (section 3)
    feature_matching: bool = True  # its part is |f(x, E(x)) - f(G(E(x)), E(x))|_1, not a cross-entropy (section 3)


class Discriminator(nn.Module):
    """Images (B, C, S, S) and latents (B, Z) to a logit (B,) and the features (B, `joint`) it is read from."""

    def __init__(self, channels: int, size: int, width: int, latent: int, joint: int):
        super().__init__()
        self.image = Pyramid(channels, size, width, nn.BatchNorm2d)
        self.latent = nn.Sequential(nn.Linear(latent, joint // 2), nn.LeakyReLU(0.1))
        self.features = nn.Sequential(nn.Linear(self.image.features + joint // 2, joint), nn.LeakyReLU(0.1))
        self.classifier = nn.Linear(joint, 1)
        init_weights(self)

    def forward(self, x: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        features = self.features(torch.cat([self.image(x), self.latent(z)], dim=1))
        return self.classifier(features).float().flatten(), features.float()


class Model(base.AnomalyModel):
    """Letters: B images a batch, Z = nz latents."""

    Config = Config
    ANY_SIZE = True
    PUBLISHED = {"lr": 1e-5, "lr_discriminator": 1e-5}

    def build(self) -> None:
        c, (channels, size, _) = self.config, self.image_shape
        pyramid = Pyramid(channels, size, c.ngf, nn.BatchNorm2d)
        self.encoder = nn.Sequential(pyramid, nn.Linear(pyramid.features, c.nz)).to(self.device)
        self.generator = Generator(channels, size, c.ngf, c.nz, nn.BatchNorm2d).to(self.device)
        self.discriminator = Discriminator(channels, size, c.ndf, c.nz, c.joint).to(self.device)
        generators = nn.ModuleDict({"encoder": self.encoder, "generator": self.generator})
        init_weights(generators)
        self.networks = nn.ModuleDict({"generators": generators, "discriminator": self.discriminator})
        self.optimizers = {
            "generators": Adam(generators, c.lr, c.beta1, c.beta2),
            "discriminator": Adam(self.discriminator, c.lr_discriminator, c.beta1, c.beta2),
        }

    def train_step(self, x: Tensor, rng: torch.Generator) -> dict[str, Tensor]:
        z = torch.randn(len(x), self.config.nz, generator=rng, device=rng.device)
        fake, encoded = self.generator(z), self.encoder(x)

        real_logit, _ = self.discriminator(x, encoded.detach())
        fake_logit, _ = self.discriminator(fake.detach(), z)
        discriminator_loss = cross_entropy(real_logit, 1).mean()
        discriminator_loss = discriminator_loss + cross_entropy(fake_logit, 0).mean()
        self.optimizers["discriminator"].zero_grad()
        discriminator_loss.backward()
        self.optimizers["discriminator"].step()

        # Both players swap the labels: the encoder wants to be taken for the generator and the other way round.
        self.discriminator.requires_grad_(False)
        encoder_loss = cross_entropy(self.discriminator(x, encoded)[0], 0).mean()
        generator_loss = cross_entropy(self.discriminator(fake, z)[0], 1).mean()
        self.optimizers["generators"].zero_grad()
        (encoder_loss + generator_loss).backward()
        self.optimizers["generators"].step()
        self.discriminator.requires_grad_(True)
        return {"discriminator": discriminator_loss, "encoder": encoder_loss, "generator": generator_loss}

    def parts(self, x: Tensor) -> dict[str, Tensor]:
        z = self.encoder(x)
        made = self.generator(z)
        logit, features = self.discriminator(x, z)
        if self.config.feature_matching:
            judged = per_image((features - self.discriminator(made, z)[1]).abs())
        else:
            judged = cross_entropy(logit, 1)
        return {"reconstruction": per_image((x - made.float()).abs()), "discriminator": judged}

    def combine(self, parts: dict[str, Tensor]) -> Tensor:
        share = self.config.alpha
        return share * parts["reconstruction"] + (1 - share) * parts["discriminator"]

    def reconstruct(self, x: Tensor) -> Tensor:
        return self.generator(self.encoder(x)).float()
