"""AnoGAN (Schlegl et al. 2017, arXiv:1703.05921) with a WGAN-GP (arXiv:1704.00028), after github.com/oyxhust/wgan-gp-anomaly.

The GAN learns normal images alone; an image is scored by how close the generator comes to it from the best latent that
gradient descent finds (eq. 6 to 8). Two things differ from that code: layers upsample by two, as in the original WGAN-GP
for digits (it lost the strides), and images are in [-1, 1]. The search differs most, see `search`.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models import base
from models.losses import gradient_penalty, per_image
from models.networks import Generator, Pyramid, check_image_shape


@dataclass(frozen=True)
class Config(base.Config):
    batch_size: int = 50  # images a training step (released code)
    lr: float = 1e-4  # Adam's step size, generator and critic (released code)
    beta1: float = 0.5  # Adam's first moment, generator and critic (released code)
    beta2: float = 0.9  # Adam's second moment, generator and critic (released code)
    w_gp: float = 10.0  # weight of the gradient penalty (arXiv:1704.00028, algorithm 1)
    n_critic: int = 5  # critic steps a generator step (arXiv:1704.00028, algorithm 1)
    ngf: int = 64  # generator's channels at the outermost level (released code)
    ndf: int = 64  # critic's channels at the outermost level (released code)
    nz: int = 128  # size of the latent (released code)
    score_feature: float = 0.1  # the features' share of the search's loss and of the score (lambda in eq. 8)
    starts: int = 512  # latents, the same for all images, from which the best are taken to start the search


class Model(base.AnomalyModel):
    """Letters: B images a batch, Z = nz latents, P = starts."""

    Config = Config

    def build(self) -> None:
        check_image_shape(self.image_shape, power_of_two=False)
        c, (channels, size, _) = self.config, self.image_shape
        self.generator = Generator(channels, size, c.ngf, c.nz).to(self.device)
        self.features = Pyramid(channels, size, c.ndf).to(self.device)
        self.critic = nn.Sequential(self.features, nn.Linear(self.features.features, 1)).to(self.device)
        self.generator.register_buffer("starts", torch.randn(c.starts, c.nz).to(self.device))
        self.networks = nn.ModuleDict({"generator": self.generator, "critic": self.critic})
        self.optimizers = {
            "generator": base.adam(self.generator, c.lr, c.beta1, c.beta2),
            "critic": base.adam(self.critic, c.lr, c.beta1, c.beta2),
        }

    def train_step(self, x: Tensor, rng: torch.Generator) -> dict[str, Tensor]:
        c = self.config
        generator_steps = self.steps % c.n_critic == 0
        z = torch.randn((len(x), c.nz), generator=rng, device=x.device)
        with torch.set_grad_enabled(generator_steps):
            fake = self.generator(z).float()

        real_score, fake_score = self.critic(torch.cat([x, fake.detach()])).float().chunk(2)
        penalty = gradient_penalty(self.critic, x, fake.detach(), rng)
        critic_loss = fake_score.mean() - real_score.mean() + c.w_gp * penalty
        self.optimizers["critic"].zero_grad()
        critic_loss.backward()
        self.optimizers["critic"].step()
        losses = {"critic": critic_loss, "penalty": penalty}
        if not generator_steps:
            return losses

        generator_loss = -self.critic(fake).float().mean()
        self.optimizers["generator"].zero_grad()
        generator_loss.backward(inputs=list(self.generator.parameters()))
        self.optimizers["generator"].step()
        return losses | {"generator": generator_loss}

    def parts(self, x):
        return {}

    def combine(self, parts):
        return parts
