"""Skip-GANomaly (Akcay, Atapour-Abarghouei and Breckon 2019, arXiv:1901.08954).

As in the released code (github.com/samet-akcay/skip-ganomaly), one forward pass of the generator
serves both steps, and its own step comes before the discriminator's.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models import skip_gan
from models.losses import cross_entropy
from models.networks import Encoder, init_weights
from models.optimizers import Adam


@dataclass(frozen=True)
class Config(skip_gan.Config):
    lr_discriminator: float = 2e-4  # Adam's step size, discriminator (released code; paper: 2e-3)
    restart_discriminator: bool = False  # new weights at a loss under 1e-5 (released code: yes)


class Discriminator(nn.Module):
    """Judges images (B, C, S, S).

    Returns a logit (B,), high for real, and the features (B, K) that it is computed from.
    """

    def __init__(self, channels: int, size: int, width: int, features: int):
        super().__init__()
        self.features = Encoder(channels, size, width, features, nn.BatchNorm2d)
        # 3 x 3 on 1 x 1 features, as released: only the middle weight ever meets a feature.
        self.classifier = nn.Conv2d(features, 1, 3, 1, 1, bias=False)
        init_weights(self.classifier)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        features = self.features(x)
        return self.classifier(features).float().flatten(), features.float().flatten(1)


class Model(skip_gan.SkipGAN):
    """Skip-GANomaly: the verdict on an image is the discriminator's logit, high for real."""

    Config = Config
    STEPS = 17_600  # released code: 25 epochs of CIFAR-10's nine classes, batches of 64
    DIGITS_STEPS = 2_000
    # The released code lets both terms reach the generator: only the restart differs.
    PUBLISHED = {"restart_discriminator": True}

    def build(self) -> None:
        super().build()
        c, (channels, size, _) = self.config, self.image_shape
        self.discriminator = Discriminator(channels, size, c.ndf, c.nz).to(self.device)
        self.networks["discriminator"] = self.discriminator
        optimizer = Adam(self.discriminator, c.lr_discriminator, c.beta1, c.beta2)
        self.optimizers["discriminator"] = optimizer

    def judge(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.discriminator(x)

    def adversarial(self, verdict: Tensor) -> Tensor:
        return cross_entropy(verdict, 1).mean()

    def train_step(self, x: Tensor, rng: torch.Generator) -> dict[str, Tensor]:
        fake = self.reconstruct(x)
        generator_losses = self.generator_step(x, fake, self.discriminator)

        real_loss = cross_entropy(self.discriminator(x)[0], 1).mean()
        fake_loss = cross_entropy(self.discriminator(fake.detach())[0], 0).mean()
        discriminator_loss = real_loss + fake_loss
        self.optimizers["discriminator"].zero_grad()
        discriminator_loss.backward()
        self.optimizers["discriminator"].step()
        if self.config.restart_discriminator:
            init_weights(self.discriminator, discriminator_loss < 1e-5)
        return {"discriminator": discriminator_loss} | generator_losses
