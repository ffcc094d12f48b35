"""Wasserstein GAN with gradient penalty (Gulrajani et al. 2017, arXiv:1704.00028).

AnoGAN and f-AnoGAN extend it.
"""

import torch
from torch import Tensor, nn

from models import base
from models.losses import gradient_penalty
from models.networks import Generator, Pyramid
from models.optimizers import Adam


class WGAN(base.AnomalyModel):
    """A generator of images from latents, against a critic; a subclass adds the anomaly score.

    Its `Config` needs lr, beta1, beta2, w_gp, n_critic, ngf, ndf, nz and batch_norm. Letters: a
    batch is (B, C, H, W); latents are (B, Z), Z = nz.
    """

    ANY_SIZE = True
    features: Pyramid

    def build(self) -> None:
        c, channels, size = self.config, self.image_shape[0], self.image_shape[1:]
        norm = nn.BatchNorm2d if c.batch_norm else None
        self.generator = Generator(channels, size, c.ngf, c.nz, norm).to(self.device)
        self.features = Pyramid(channels, size, c.ndf).to(self.device)
        score = nn.Linear(self.features.features, 1)
        self.critic = nn.Sequential(self.features, score).to(self.device)
        self.networks = nn.ModuleDict({"generator": self.generator, "critic": self.critic})
        self.optimizers = {
            "generator": Adam(self.generator, c.lr, c.beta1, c.beta2),
            "critic": Adam(self.critic, c.lr, c.beta1, c.beta2),
        }

    def gan_step(self, x: Tensor, rng: torch.Generator) -> dict[str, Tensor]:
        """A critic's step, and after every `n_critic` of them one of the generator (algorithm 1).

        The generator's is on the images of the last critic's step; algorithm 1 draws others. Returns
        their losses.
        """
        c = self.config
        z = torch.randn(len(x), c.nz, generator=rng, device=rng.device)
        with torch.set_grad_enabled(self.ends_turn):
            fake = self.generator(z).float()

        real_score, fake_score = self.critic(torch.cat([x, fake.detach()])).float().chunk(2)
        penalty = gradient_penalty(self.critic, x, fake.detach(), rng).mean()
        critic_loss = (fake_score - real_score).mean() + c.w_gp * penalty
        self.optimizers["critic"].minimise(critic_loss)
        losses = {"critic": critic_loss, "penalty": penalty}
        if not self.ends_turn:
            return losses

        generator_loss = -self.critic(fake).float().mean()
        self.optimizers["generator"].minimise(generator_loss)
        return losses | {"generator": generator_loss}
