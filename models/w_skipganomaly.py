"""Skip-WGANomaly: Skip-GANomaly's generator against a Wasserstein critic with gradient penalty.

Generator and score: Skip-GANomaly (arXiv:1901.08954). Critic's loss: WGAN-GP (arXiv:1704.00028).
The released code (Skip-WGANomaly, 2022) differs; most differences are fields of `Config`, off by
default, and PUBLISHED turns all of these on. That code
- detaches the adversarial and the latent term, so that neither changes the generator,
- draws the critic's weights anew whenever its loss falls under 1e-5,
- penalises the gradient of the features' sum, where the critic's loss has their mean.

In training it also adds to the generator's input a noise tensor that it never fills: uninitialised
memory, mostly zeros. This is left out. Its first generator step comes one critic step earlier, and
it standardises MNIST's pixels; here all are in [-1, 1].
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from models import skip_gan
from models.losses import augmented, gradient_penalty
from models.networks import Encoder, InstanceNorm, init_weights, placed


@dataclass(frozen=True)
class Config(skip_gan.Config):
    lr_critic: float = 2e-4  # Adam's step size, critic (released code)
    w_gp: float = 10.0  # weight of the gradient penalty (arXiv:1704.00028, algorithm 1)
    n_critic: int = 5  # critic steps for each generator step (arXiv:1704.00028, algorithm 1)
    restart_critic: bool = False  # new weights at a critic loss under 1e-5 (released code: yes)
    penalise_sum: bool = False  # the penalty takes the features' sum, not mean (released code: yes)


class Model(skip_gan.SkipGAN):
    """Skip-WGANomaly: the verdict on an image is its features, whose mean is the critic's score."""

    Config = Config
    STEPS = 2_100  # released code: 15 epochs of CIFAR-10's nine classes, batches of 64, n_critic 5
    DIGITS_STEPS = 2_100
    PUBLISHED = {
        "adversarial_gradient": False,
        "latent_gradient": False,
        "restart_critic": True,
        "penalise_sum": True,
    }

    def build(self) -> None:
        super().build()
        c, channels, size = self.config, self.image_shape[0], self.image_shape[1:]
        critic = Encoder(channels, size, c.ndf, c.nz, InstanceNorm)
        self.critic = placed(critic, self.device, self.precision)
        self.add_opponent("critic", self.critic, c.lr_critic)

    def features(self, x: Tensor) -> Tensor:
        """f(x) (B, K), float32."""
        return self.critic(x).float().flatten(1)

    def judge(self, x: Tensor) -> tuple[Tensor, Tensor]:
        features = self.features(x)
        return features, features

    def adversarial(self, verdict: Tensor) -> Tensor:
        return -verdict.mean()

    def penalised(self, x: Tensor) -> Tensor:
        """The critic's score (B,) of x, whose gradient the penalty takes."""
        features = self.features(x)
        return features.sum(1) if self.config.penalise_sum else features.mean(1)

    def train_step(self, x: Tensor, rng: torch.Generator) -> dict[str, Tensor]:
        """A critic step; every `n_critic`-th one is followed by a generator step."""
        c = self.config
        x = augmented(x, rng) if c.augment else x
        # The critic's step needs no graph through the generator: only the generator's own does.
        with torch.set_grad_enabled(self.ends_turn):
            fake = self.reconstruct(x)

        rotated, quarter_turns = self.rotated(x) if c.w_rot else (x[:0], x[:0])
        images = torch.cat([x, fake.detach(), rotated])  # one pass for all
        real_features, fake_features, *rotated_features = self.features(images).split(len(x))
        penalty = gradient_penalty(self.penalised, x, fake.detach(), rng).mean()
        critic_loss = (fake_features - real_features).mean() + c.w_gp * penalty
        losses = {"critic": critic_loss, "penalty": penalty}
        if c.w_rot:
            losses["rotation"] = self.rotation_losses(rotated_features[0], quarter_turns).mean()
            critic_loss = critic_loss + c.w_rot * losses["rotation"]
        if c.w_class:
            losses["class"] = self.classes.loss(real_features)
            critic_loss = critic_loss + c.w_class * losses["class"]
        self.optimizers["critic"].minimise(critic_loss)
        if c.restart_critic:
            init_weights(self.critic, losses["critic"] < 1e-5)
        if not self.ends_turn:
            return losses
        return losses | self.generator_step(x, fake)
