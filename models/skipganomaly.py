"""Skip-GANomaly (Akcay, Atapour-Abarghouei and Breckon 2019, arXiv:1901.08954).

As in the released code (github.com/samet-akcay/skip-ganomaly, commit 4f93ee6), one forward pass of
the generator serves both steps, and the generator's step comes before the discriminator's. In that
code the discriminator trains on the latent term too. So its features learn not to tell an image
from its reconstruction, though their distance is then the score. Its weights are drawn anew at a
loss under 1e-5. Both are fields of `Config`, off by default. The code also standardises MNIST's
pixels; here all are in [-1, 1]. In training it adds to the generator's input a noise tensor that it
never fills: uninitialised memory, mostly zeros. This is left out.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models import skip_gan
from models.losses import augmented, cross_entropy
from models.networks import Encoder, init_weights, placed
from models.sizes import Size


@dataclass(frozen=True)
class Config(skip_gan.Config):
    lr_discriminator: float = 2e-4  # Adam's step size, discriminator (released code; paper: 2e-3)
    discriminator_latent: bool = False  # the latent term trains it too (released code: yes)
    restart_discriminator: bool = False  # new weights at a loss under 1e-5 (released code: yes)


class Discriminator(nn.Module):
    """Judges images (B, C, H, W).

    Returns a logit (B,), high for real, and the features (B, K) that it is computed from.
    """

    def __init__(self, channels: int, size: Size, width: int, features: int):
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
    PUBLISHED = {"discriminator_latent": True, "restart_discriminator": True}

    def build(self) -> None:
        super().build()
        c, channels, size = self.config, self.image_shape[0], self.image_shape[1:]
        discriminator = Discriminator(channels, size, c.ndf, c.nz)
        self.discriminator = placed(discriminator, self.device, self.precision)
        self.add_opponent("discriminator", self.discriminator, c.lr_discriminator)

    def judge(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.discriminator(x)

    def adversarial(self, verdict: Tensor) -> Tensor:
        return cross_entropy(verdict, 1).mean()

    def train_step(self, x: Tensor, rng: torch.Generator) -> dict[str, Tensor]:
        x = augmented(x, rng) if self.config.augment else x
        fake = self.reconstruct(x)
        generator_losses = self.generator_step(x, fake)

        real_logit, real_features = self.discriminator(x)
        fake_logit, fake_features = self.discriminator(fake.detach())
        real_loss = cross_entropy(real_logit, 1).mean()
        discriminator_loss = real_loss + cross_entropy(fake_logit, 0).mean()
        if self.config.discriminator_latent:
            latent = (fake_features - real_features).square().mean()
            discriminator_loss = discriminator_loss + self.config.w_lat * latent
        losses = {"discriminator": discriminator_loss} | generator_losses
        if self.config.w_rot:
            rotated, quarter_turns = self.rotated(x)
            losses["rotation"] = self.rotation_losses(self.judge(rotated)[1], quarter_turns).mean()
            discriminator_loss = discriminator_loss + self.config.w_rot * losses["rotation"]
        if self.config.w_class:
            losses["class"] = self.classes.loss(real_features)
            discriminator_loss = discriminator_loss + self.config.w_class * losses["class"]
        self.optimizers["discriminator"].minimise(discriminator_loss)
        if self.config.restart_discriminator:
            init_weights(self.discriminator, losses["discriminator"] < 1e-5)
        return losses
