"""f-AnoGAN (Schlegl et al. 2019, Medical Image Analysis 54:30-44).

An encoder takes the place of AnoGAN's search for a latent. Two phases, as in the original: the GAN
trains for `gan_steps`; then it is frozen, and the encoder trains alone by the paper's `izi_f` loss,
which sends no gradient into the GAN. Here the encoder trains beside the GAN as well, so that each
epoch ends with a model that can score (`encoder_beside`). Generator and critic have AnoGAN's layers
(the original has residual networks for 64 x 64 images, with layer normalisation in the critic);
batch normalisation, Adam's first moment and the size of batches are the released code's. That code
is github.com/tSchlegl/f-AnoGAN, commit a73a92e; PUBLISHED sets its initial weights, and no encoder
beside the GAN. The code scores in evaluation mode (`--scoring_mode evaluation`), at checkpoints
that its user names; here after the last epoch. It mirrors half of the training images at random,
which is left out here. Its generator's running statistics remember some 100 generator steps, here
two. While the encoder trains alone, `n_critic` of its steps count as one generator step. With fewer
`--steps` than `gan_steps` it never trains alone; with `--load` it goes on where the loaded model
was. RMSprop is torch's, whose first steps are larger than TensorFlow's.
"""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from models import base
from models.images import Images
from models.losses import per_image
from models.networks import Pyramid
from models.optimizers import RMSprop
from models.wgan import WGAN, init_he


@dataclass(frozen=True)
class Config(base.Config):
    lr: float = 1e-4  # Adam's step size, generator and critic (released code)
    lr_encoder: float = 5e-5  # RMSprop's step size, encoder (released code)
    beta1: float = 0.0  # Adam's first moment, generator and critic (released code)
    beta2: float = 0.9  # Adam's second moment, generator and critic (released code)
    w_gp: float = 10.0  # weight of the gradient penalty (arXiv:1704.00028, algorithm 1)
    n_critic: int = 5  # critic steps for each generator step (arXiv:1704.00028, algorithm 1)
    gan_steps: int = 6_700  # generator steps of the GAN; then the encoder trains alone
    encoder_beside: bool = True  # it trains beside the GAN too (released code: no)
    ngf: int = 64  # channels at the outermost level, generator and encoder (released code)
    ndf: int = 64  # channels at the outermost level, critic (released code)
    nz: int = 128  # size of the latent (released code)
    batch_norm: bool = True  # in the generator (released code)
    he_init: bool = False  # initial weights as in WGAN-GP's code; else torch's (released code: yes)
    bound_latent: bool = True  # E(x) is the tanh of its last layer (paper and released code)
    kappa: float = 1.0  # weight of the features' distance, in loss and score (released code)


class Model(WGAN):
    """A WGAN-GP with an encoder E: images (B, C, H, W) to latents (B, nz)."""

    Config = Config
    RELEASED_MODE = "evaluation"
    RELEASED_EPOCH = "last"
    PUBLISHED = {"encoder_beside": False, "he_init": True}
    # A GAN like AnoGAN's; a third of all training steps are the encoder's. Released code trains far
    # longer: seven epochs of retinal images, then 50,000 steps of the encoder (here 16,500).
    STEPS = 10_000
    DIGITS_STEPS = 2_500

    @classmethod
    def check_training(cls, config: Mapping[str, Any], images: Images, steps: float) -> None:
        if not config.get("encoder_beside", True) and steps <= config["gan_steps"]:
            raise ValueError(
                f"the encoder trains after {config['gan_steps']} generator steps, and a run has "
                f"{steps:.0f} (give more --steps, or a smaller gan_steps)"
            )

    def build(self) -> None:
        super().build()
        c, channels, size = self.config, self.image_shape[0], self.image_shape[1:]
        pyramid = Pyramid(channels, size, c.ngf, nn.BatchNorm2d)
        bound = [nn.Tanh()] if c.bound_latent else []
        encoder = nn.Sequential(pyramid, nn.Linear(pyramid.features, c.nz), *bound)
        if c.he_init:
            init_he(encoder)
        self.encoder = encoder.to(self.device)
        self.networks["encoder"] = self.encoder
        self.optimizers["encoder"] = RMSprop(self.encoder, c.lr_encoder, alpha=0.9)

    def gan_is_frozen(self) -> bool:
        return self.generator_steps >= self.config.gan_steps

    @property
    def can_score(self) -> bool:
        return self.config.encoder_beside or self.steps > self.config.gan_steps * self.turn

    def kind_of_step(self) -> Hashable:
        return "encoder alone" if self.gan_is_frozen() else super().kind_of_step()

    def train_step(self, x: Tensor, rng: torch.Generator) -> dict[str, Tensor]:
        frozen = self.gan_is_frozen()
        losses = {} if frozen else self.gan_step(x, rng)
        return losses | self.encoder_step(x) if frozen or self.config.encoder_beside else losses

    def encoder_step(self, x: Tensor) -> dict[str, Tensor]:
        self.generator.eval()  # its running statistics are of its own images
        loss = self.combine(self.parts(x)).mean()  # the score is also the loss, `izi_f`
        self.optimizers["encoder"].minimise(loss)
        self.generator.train()
        return {"encoder": loss}

    def parts(self, x: Tensor) -> dict[str, Tensor]:
        """Mean squared distances of x and G(E(x)): in pixels, in the critic's features."""
        fake = self.reconstruct(x)
        features = self.features(x).float() - self.features(fake).float()
        return {
            "reconstruction": per_image((x - fake).square()),
            "feature": per_image(features.square()),
        }

    def combine(self, parts: dict[str, Tensor]) -> Tensor:
        return parts["reconstruction"] + self.config.kappa * parts["feature"]

    @property
    def weights(self) -> dict[str, float]:
        kappa = self.config.kappa
        return {"reconstruction": 1 / (1 + kappa), "feature": kappa / (1 + kappa)}

    def reconstruct(self, x: Tensor) -> Tensor:
        return self.generator(self.encoder(x)).float()
