"""Skip-WGANomaly: Skip-GANomaly's generator against a Wasserstein critic with gradient penalty.

Generator and score: Skip-GANomaly (arXiv:1901.08954). Critic loss: WGAN-GP (arXiv:1704.00028). The released code
(Skip-WGANomaly, 2022) cuts the generator's adversarial and latent terms off its gradient, starts the critic anew
whenever its loss falls under 1e-5, and penalises the gradient of the features' sum where the loss has their mean; each
is a field here, off by default, and PUBLISHED turns them on.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models import base
from models.losses import gradient_penalty, per_image
from models.networks import Encoder, UNet, init_weights
from models.optimizers import Adam


@dataclass(frozen=True)
class Config(base.Config):
    lr: float = 2e-4  # Adam's step size, generator (released code)
    lr_critic: float = 2e-4  # Adam's step size, critic (released code)
    beta1: float = 0.5  # Adam's first moment, both networks (arXiv:1901.08954, 4.2)
    beta2: float = 0.999  # Adam's second moment, both networks (arXiv:1901.08954, 4.2)
    w_adv: float = 1.0  # weight of the adversarial term -E[D(G(x))] (arXiv:1901.08954, eq. 4)
    w_con: float = 50.0  # weight of the contextual term |x - G(x)|_1 (released code; 40 in arXiv:1901.08954)
    w_lat: float = 1.0  # weight of the latent term |f(x) - f(G(x))|_2^2 (arXiv:1901.08954, eq. 3)
    w_gp: float = 10.0  # weight of the gradient penalty (arXiv:1704.00028, algorithm 1)
    n_critic: int = 5  # critic steps a generator step (arXiv:1704.00028, algorithm 1)
    ngf: int = 64  # generator's channels at the outermost level (released code)
    ndf: int = 64  # critic's channels at the outermost level (released code)
    nz: int = 100  # the critic's features, whose mean is its score (released code)
    skip: bool = True  # hand each level's input across the generator
    score_lat: float = 0.1  # the latent part's share of the anomaly score (1 - lambda in arXiv:1901.08954, eq. 5)
    adversarial_gradient: bool = True  # the adversarial term reaches the generator (released code: no)
    latent_gradient: bool = True  # the latent term reaches the generator (released code: no)
    restart_critic: bool = False  # draw the critic's weights anew when its loss falls under 1e-5 (released code: yes)
    penalise_sum: bool = False  # penalise the gradient of the features' sum, not of their mean (released code: yes)


class Model(base.AnomalyModel):
    """Letters: B images a batch, K = nz features."""

    Config = Config
    PUBLISHED = {
        "adversarial_gradient": False,
        "latent_gradient": False,
        "restart_critic": True,
        "penalise_sum": True,
    }

    def build(self) -> None:
        c, (channels, size, _) = self.config, self.image_shape
        self.generator = UNet(channels, size, c.ngf, c.skip).to(self.device)
        self.critic = Encoder(channels, size, c.ndf, c.nz, nn.InstanceNorm2d).to(self.device)
        self.networks = nn.ModuleDict({"generator": self.generator, "critic": self.critic})
        self.optimizers = {
            "generator": Adam(self.generator, c.lr, c.beta1, c.beta2),
            "critic": Adam(self.critic, c.lr_critic, c.beta1, c.beta2),
        }

    def features(self, x: Tensor) -> Tensor:
        return self.critic(x).float().flatten(1)  # (B, K)

    def train_step(self, x: Tensor, rng: torch.Generator) -> dict[str, Tensor]:
        c = self.config
        # The critic's step needs no graph through the generator, so the generator gets one only where it steps itself.
        generator_steps = self.steps % c.n_critic == 0
        with torch.set_grad_enabled(generator_steps):
            fake = self.generator(x).float()

        real_features, fake_features = self.features(torch.cat([x, fake.detach()])).chunk(2)
        penalised = (lambda y: self.features(y).sum(1)) if c.penalise_sum else (lambda y: self.features(y).mean(1))
        penalty = gradient_penalty(penalised, x, fake.detach(), rng).mean()
        critic_loss = (fake_features - real_features).mean() + c.w_gp * penalty
        self.optimizers["critic"].zero_grad()
        critic_loss.backward()
        self.optimizers["critic"].step()
        losses = {"critic": critic_loss, "penalty": penalty}
        if c.restart_critic:
            init_weights(self.critic, critic_loss < 1e-5)
        if not generator_steps:
            return losses

        self.critic.requires_grad_(False)
        seen = self.features(fake)
        real_features = self.features(x)
        adversarial = -(seen if c.adversarial_gradient else seen.detach()).mean()
        latent = ((seen if c.latent_gradient else seen.detach()) - real_features).square().mean()
        contextual = (fake - x).abs().mean()
        self.optimizers["generator"].zero_grad()
        (c.w_adv * adversarial + c.w_con * contextual + c.w_lat * latent).backward()
        self.optimizers["generator"].step()
        self.critic.requires_grad_(True)
        return losses | {"adversarial": adversarial, "contextual": contextual, "latent": latent}

    def parts(self, x: Tensor) -> dict[str, Tensor]:
        fake = self.generator(x).float()
        return {
            "reconstruction": per_image((x - fake).square()),
            "latent": per_image((self.features(x) - self.features(fake)).square()),
        }

    def combine(self, parts: dict[str, Tensor]) -> Tensor:
        share = self.config.score_lat
        return (1 - share) * parts["reconstruction"] + share * parts["latent"]

    def reconstruct(self, x: Tensor) -> Tensor:
        return self.generator(x).float()
