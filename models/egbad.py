"""Efficient GAN-based anomaly detection, EGBAD (Zenati et al. 2018, arXiv:1802.06222).

A bidirectional GAN (arXiv:1605.09782): the generator maps latents to images, the encoder maps
images to latents, and the discriminator sees an image together with its latent. "Released code"
below is github.com/houssamzenati/Efficient-GAN-Anomaly-Detection, commit 8e62c36 (MNIST). Where
that code differs from the paper, or trains more slowly, `Config` has a field; PUBLISHED sets these.
Unlike this project's published protocol, the code scores in evaluation mode, on shuffled test
images (`--scoring_mode evaluation --test_order shuffled`), after the last epoch. It has a split of
its own, of all images, and batches of 100 (`--batch_size 100`).

Other differences: the code's generator and encoder take their step on other images than its
discriminator. Its networks are for 28 x 28 images alone: an encoder of three 3 x 3 convolutions, a
discriminator of two, a generator of two fully connected layers and two transposed convolutions.
Here each halves, or doubles, images by 5 x 5 convolutions until their sides are 4 or less.
After convolutions LeakyReLU's slope is 0.2 here, 0.1 in the code. The code's generator applies
batch normalisation to G(E(x)) too, here to G(z) alone. Distances are means here, sums there: means
suit any image size.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models import base
from models.losses import cross_entropy
from models.networks import Generator, Head, Pyramid, init_weights
from models.optimizers import Adam
from models.sizes import Size


@dataclass(frozen=True)
class Config(base.Config):
    lr: float = 2e-4  # Adam's step size, generator and encoder (arXiv:1511.06434; released: 1e-5)
    lr_discriminator: float = 2e-4  # Adam's step size, discriminator (as lr; released code: 1e-5)
    beta1: float = 0.5  # Adam's first moment, all networks (released code)
    beta2: float = 0.999  # Adam's second moment, all networks (released code)
    ngf: int = 32  # channels at the outermost level, generator and encoder (released code, encoder)
    ndf: int = 64  # channels at the outermost level, discriminator (released code)
    nz: int = 200  # size of the latent (released code, MNIST)
    joint: int = 1024  # the discriminator's features f(x, z) (released code, MNIST)
    alpha: float = 0.9  # the reconstruction's weight in the score, the rest is L_D's (section 3)
    feature_matching: bool = True  # L_D compares features; False: cross-entropy (section 3)
    dropout: float = 0.0  # share of the discriminator's activations (released code: 0.5)
    fresh_noise: bool = False  # generator and encoder draw their own latents (released code: yes)
    score_sums: bool = False  # distances are sums, not means (released code: yes)
    judge_reconstruction: bool = False  # cross-entropy of G(E(x)), not of x (released code: yes)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.dropout >= 1:
            raise ValueError(f"dropout must be below 1, not {self.dropout}")
        if self.alpha > 1:
            raise ValueError(f"alpha is a share and must be at most 1, not {self.alpha}")
        if self.joint < 2:
            raise ValueError(
                f"joint must be 2 or more, not {self.joint}: half of it is the latent's"
            )


class Discriminator(nn.Module):
    """Judges batches of images (B, C, H, W) with their latents (B, Z).

    Returns the batches' logits (B,), high for images with their encodings, and their features
    (B, `joint`) before the last layer.
    """

    def __init__(
        self, channels: int, size: Size, width: int, latent: int, joint: int, dropout: float
    ):
        super().__init__()
        dropped = [nn.Dropout(dropout)] if dropout else []
        self.image = Pyramid(channels, size, width, nn.BatchNorm2d, dropout)
        self.latent = nn.Sequential(nn.Linear(latent, joint // 2), nn.LeakyReLU(0.1), *dropped)
        both = nn.Linear(self.image.features + joint // 2, joint)
        self.features = nn.Sequential(both, nn.LeakyReLU(0.1), *dropped)
        self.classifier = Head(joint, 1)
        init_weights(self)

    def forward(self, *batches: tuple[Tensor, Tensor]) -> tuple[Sequence[Tensor], Sequence[Tensor]]:
        """Batch normalisation takes each batch by itself; large layers take all batches at once."""
        images = torch.cat([self.image(x) for x, _ in batches])
        latents = self.latent(torch.cat([z for _, z in batches]))
        features = self.features(torch.cat([images, latents], dim=1))
        sizes = [z.shape[0] for _, z in batches]  # `len` would fix an exported model's batch
        logits = self.classifier(features).flatten()
        return logits.split(sizes), features.float().split(sizes)


class Model(base.AnomalyModel):
    """Letters: a batch is (B, C, H, W); latents are (B, Z), Z = nz.

    The paper's L_G is the score's part `reconstruction`, its L_D the part `discriminator`.
    """

    Config = Config
    ANY_SIZE = True
    RELEASED_MODE = "evaluation"
    RELEASED_EPOCH = "last"
    # 504 steps an epoch on nine classes of MNIST, for 100 epochs: the code sets no number of epochs
    RELEASED_STEPS = 50_400
    STEPS = 10_000  # with step sizes twenty times the released ones
    DIGITS_STEPS = 3_000
    NOT_BY_PBT = ("dropout",)
    PUBLISHED = {
        "lr": 1e-5,
        "lr_discriminator": 1e-5,
        "dropout": 0.5,
        "average": 0.999,
        "fresh_noise": True,
        "score_sums": True,
        "judge_reconstruction": True,
    }

    def build(self) -> None:
        c, channels, size = self.config, self.image_shape[0], self.image_shape[1:]
        pyramid = Pyramid(channels, size, c.ngf, nn.BatchNorm2d)
        self.encoder = nn.Sequential(pyramid, nn.Linear(pyramid.features, c.nz))
        self.generator = Generator(channels, size, c.ngf, c.nz, nn.BatchNorm2d)
        discriminator = Discriminator(channels, size, c.ndf, c.nz, c.joint, c.dropout)
        self.discriminator = discriminator.to(self.device)
        generators = nn.ModuleDict({"encoder": self.encoder, "generator": self.generator})
        init_weights(generators)  # before they move: every device starts from the same weights
        generators.to(self.device)
        self.networks = nn.ModuleDict(
            {"generators": generators, "discriminator": self.discriminator}
        )
        self.optimizers = {
            "generators": Adam(generators, c.lr, c.beta1, c.beta2),
            "discriminator": Adam(self.discriminator, c.lr_discriminator, c.beta1, c.beta2),
        }

    def train_step(self, x: Tensor, rng: torch.Generator) -> dict[str, Tensor]:
        z = torch.randn(len(x), self.config.nz, generator=rng, device=rng.device)
        fake, encoded = self.generator(z), self.encoder(x)

        (real_logit, fake_logit), _ = self.discriminator((x, encoded.detach()), (fake.detach(), z))
        discriminator_loss = (
            cross_entropy(real_logit, 1).mean() + cross_entropy(fake_logit, 0).mean()
        )
        self.optimizers["discriminator"].minimise(discriminator_loss)

        if self.config.fresh_noise:
            z = torch.randn(len(x), self.config.nz, generator=rng, device=rng.device)
            fake = self.generator(z)
        # Swapped labels: the encoder's pairs are to look like the generator's, and the reverse.
        (real_logit, fake_logit), _ = self.discriminator((x, encoded), (fake, z))
        encoder_loss = cross_entropy(real_logit, 0).mean()
        generator_loss = cross_entropy(fake_logit, 1).mean()
        self.optimizers["generators"].minimise(encoder_loss + generator_loss)
        return {
            "discriminator": discriminator_loss,
            "encoder": encoder_loss,
            "generator": generator_loss,
        }

    def parts(self, x: Tensor) -> dict[str, Tensor]:
        c, z = self.config, self.encoder(x)
        fake = self.generator(z)
        (logit, fake_logit), (features, fake_features) = self.discriminator((x, z), (fake, z))
        reconstruction = (x - fake.float()).abs().flatten(1)
        if c.feature_matching:  # |f(x, E(x)) - f(G(E(x)), E(x))|_1
            distance = (features - fake_features).abs()
        else:
            distance = cross_entropy(fake_logit if c.judge_reconstruction else logit, 1)[:, None]
        total = torch.sum if c.score_sums else torch.mean
        return {"reconstruction": total(reconstruction, 1), "discriminator": total(distance, 1)}

    @property
    def weights(self) -> dict[str, float]:
        return {"reconstruction": self.config.alpha, "discriminator": 1 - self.config.alpha}

    def reconstruct(self, x: Tensor) -> Tensor:
        return self.generator(self.encoder(x)).float()
