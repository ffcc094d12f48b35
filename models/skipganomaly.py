"""Skip-GANomaly (Akcay, Atapour-Abarghouei and Breckon 2019, arXiv:1901.08954).

The released code takes the generator's step before the discriminator's, on one forward pass; so do we.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models import base
from models.losses import cross_entropy, per_image
from models.networks import Encoder, UNet, init_weights
from models.optimizers import Adam


@dataclass(frozen=True)
class Config(base.Config):
    lr: float = 2e-4  # Adam's step size, generator (released code; 2e-3 in the paper)
    lr_discriminator: float = 2e-4  # Adam's step size, discriminator (released code; 2e-3 in the paper)
    beta1: float = 0.5  # Adam's first moment, both networks (4.2)
    beta2: float = 0.999  # Adam's second moment, both networks (4.2)
    w_adv: float = 1.0  # weight of the adversarial term (eq. 4)
    w_con: float = 50.0  # weight of the contextual term |x - G(x)|_1 (released code; 40 in the paper)
    w_lat: float = 1.0  # weight of the latent term |f(x) - f(G(x))|_2^2 (eq. 3)
    ngf: int = 64  # generator's channels at the outermost level (released code)
    ndf: int = 64  # discriminator's channels at the outermost level (released code)
    nz: int = 100  # the discriminator's features (released code)
    skip: bool = True  # hand each level's input across the generator
    score_lat: float = 0.1  # the latent part's share of the anomaly score (1 - lambda in eq. 5)
    adversarial_gradient: bool = True  # the adversarial term reaches the generator
    latent_gradient: bool = True  # the latent term reaches the generator
    restart_discriminator: bool = False  # draw its weights anew when its loss falls under 1e-5 (released code: yes)


class Discriminator(nn.Module):
    """Images (B, C, S, S) to a logit (B,) and the features (B, K) it is read from."""

    def __init__(self, channels: int, size: int, width: int, features: int):
        super().__init__()
        self.features = Encoder(channels, size, width, features, nn.BatchNorm2d)
        # 3 x 3 on 1 x 1 features, as released: only the middle weight ever meets a feature.
        self.classifier = nn.Conv2d(features, 1, 3, 1, 1, bias=False)
        init_weights(self.classifier)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        features = self.features(x)
        return self.classifier(features).float().flatten(), features.float().flatten(1)


class Model(base.AnomalyModel):
    """Letters: B images a batch, K = nz features."""

    Config = Config
    # The released code lets both terms reach the generator: only the restart differs.
    PUBLISHED = {"restart_discriminator": True}

    def build(self) -> None:
        c, (channels, size, _) = self.config, self.image_shape
        self.generator = UNet(channels, size, c.ngf, c.skip).to(self.device)
        self.discriminator = Discriminator(channels, size, c.ndf, c.nz).to(self.device)
        self.networks = nn.ModuleDict({"generator": self.generator, "discriminator": self.discriminator})
        self.optimizers = {
            "generator": Adam(self.generator, c.lr, c.beta1, c.beta2),
            "discriminator": Adam(self.discriminator, c.lr_discriminator, c.beta1, c.beta2),
        }

    def train_step(self, x: Tensor, rng: torch.Generator) -> dict[str, Tensor]:
        c = self.config
        fake = self.generator(x).float()

        self.discriminator.requires_grad_(False)
        _, real_features = self.discriminator(x)
        logit, features = self.discriminator(fake)
        adversarial = cross_entropy(logit if c.adversarial_gradient else logit.detach(), 1).mean()
        latent = ((features if c.latent_gradient else features.detach()) - real_features).square().mean()
        contextual = (fake - x).abs().mean()
        self.optimizers["generator"].zero_grad()
        (c.w_adv * adversarial + c.w_con * contextual + c.w_lat * latent).backward()
        self.optimizers["generator"].step()
        self.discriminator.requires_grad_(True)

        real_loss = cross_entropy(self.discriminator(x)[0], 1).mean()
        fake_loss = cross_entropy(self.discriminator(fake.detach())[0], 0).mean()
        discriminator_loss = real_loss + fake_loss
        self.optimizers["discriminator"].zero_grad()
        discriminator_loss.backward()
        self.optimizers["discriminator"].step()
        if c.restart_discriminator:
            init_weights(self.discriminator, discriminator_loss < 1e-5)
        return {
            "discriminator": discriminator_loss,
            "adversarial": adversarial,
            "contextual": contextual,
            "latent": latent,
        }

    def parts(self, x: Tensor) -> dict[str, Tensor]:
        fake = self.generator(x).float()
        return {
            "reconstruction": per_image((x - fake).square()),
            "latent": per_image((self.discriminator(x)[1] - self.discriminator(fake)[1]).square()),
        }

    def combine(self, parts: dict[str, Tensor]) -> Tensor:
        share = self.config.score_lat
        return (1 - share) * parts["reconstruction"] + share * parts["latent"]

    def reconstruct(self, x: Tensor) -> Tensor:
        return self.generator(x).float()
