"""Wasserstein GAN with gradient penalty (Gulrajani et al. 2017, arXiv:1704.00028).

AnoGAN and f-AnoGAN extend it.
"""

from math import prod, sqrt

import torch
from torch import Tensor, nn

from models import base
from models.losses import gradient_penalty
from models.networks import Generator, Pyramid
from models.optimizers import Adam


def init_he(network: nn.Module) -> None:
    """Draws new initial weights, as WGAN-GP's code does.

    That code is github.com/igul222/improved_wgan_training, tflib/ops. Convolutions get He's uniform
    weights (arXiv:1502.01852), scaled by the mean of fan-in and fan-out; linear layers get
    Glorot's, biases 0.
    """
    for module in network.modules():
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
        elif isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            # With a stride, a pixel of the larger images meets only a share of the taps.
            taps, share = prod(module.kernel_size), 1 / prod(module.stride)
            taps_in, taps_out = (taps * share, taps) if module.transposed else (taps, taps * share)
            fans = module.in_channels * taps_in + module.out_channels * taps_out
            bound = sqrt(3) * sqrt(4 / fans)
            nn.init.uniform_(module.weight, -bound, bound)
        else:
            continue
        if module.bias is not None:
            nn.init.zeros_(module.bias)


class WGAN(base.AnomalyModel):
    """A generator of images from latents, against a critic; a subclass adds the anomaly score.

    Its `Config` needs lr, beta1, beta2, w_gp, n_critic, ngf, ndf, nz, batch_norm and he_init.
    Letters: a batch is (B, C, H, W); latents are (B, Z), Z = nz.
    """

    ANY_SIZE = True
    features: Pyramid

    def build(self) -> None:
        c, channels, size = self.config, self.image_shape[0], self.image_shape[1:]
        norm = nn.BatchNorm2d if c.batch_norm else None
        self.generator = Generator(channels, size, c.ngf, c.nz, norm)
        self.features = Pyramid(channels, size, c.ndf)
        self.critic = nn.Sequential(self.features, nn.Linear(self.features.features, 1))
        networks = nn.ModuleDict({"generator": self.generator, "critic": self.critic})
        if c.he_init:  # before they move: every device starts from the same weights
            init_he(networks)
        self.networks = networks.to(self.device)
        self.optimizers = {
            "generator": Adam(self.generator, c.lr, c.beta1, c.beta2),
            "critic": Adam(self.critic, c.lr, c.beta1, c.beta2),
        }

    def gan_step(self, x: Tensor, rng: torch.Generator) -> dict[str, Tensor]:
        """A critic step; every `n_critic`-th one is followed by a generator step (algorithm 1).

        The generator steps on the latents of the critic step before it; algorithm 1 and the
        released codes draw new ones. Returns the losses by name.
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
