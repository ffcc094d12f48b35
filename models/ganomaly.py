"""GANomaly (Akcay, Atapour-Abarghouei and Breckon 2018, arXiv:1805.06725).

An autoencoder reconstructs an image, and a second encoder maps the reconstruction to a latent.

The paper and the released code (github.com/samet-akcay/ganomaly, commit 106a59e) differ. The
paper's score is an L1 distance, the code's a squared one; the code takes the generator's step
first, and draws the discriminator's weights anew when its loss is near zero. Each of these is a
field of `Config`: the defaults are the paper's, PUBLISHED holds the code's. Step sizes and the
squared distances of the losses (norms in eq. 1 and 3) are the code's in both. Both match features
in the adversarial term. Until August 2019 the code had a cross-entropy there, which
feature_matching=False brings back. (Two of its states are not here: from commit a49bb37, October
2018, to 63be7f4 its discriminator minimised the distance of real and generated features; from there
to ba013c1, October 2019, the adversarial term had no gradient.) The code shuffles the test images
of MNIST and of folders, not of CIFAR-10 (`--test_order shuffled`), and standardises MNIST's pixels;
here all are in [-1, 1]. Its run scripts also split all images anew, 80 % of the normal ones for
training.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models import base
from models.losses import cross_entropy, per_image
from models.networks import Decoder, Encoder, init_weights, placed
from models.optimizers import Adam
from models.sizes import Size


@dataclass(frozen=True)
class Config(base.Config):
    lr: float = 2e-4  # Adam's step size, generator (released code; paper: 2e-3)
    lr_discriminator: float = 2e-4  # Adam's step size, discriminator (released code; paper: 2e-3)
    beta1: float = 0.5  # Adam's first moment, both networks (section 4)
    beta2: float = 0.999  # Adam's second moment, both networks (section 4)
    w_adv: float = 1.0  # weight of the adversarial term (eq. 4)
    w_con: float = 50.0  # weight of the contextual term |x - G(x)|_1 (eq. 2)
    w_lat: float = 1.0  # weight of the latent (encoder) term |G_E(x) - E(G(x))|_2^2 (eq. 3, w_enc)
    ngf: int = 64  # generator's channels at the outermost level (released code)
    ndf: int = 64  # discriminator's channels at the outermost level (as ngf; released code)
    nz: int = 100  # size of the latent (section 5)
    feature_matching: bool = True  # adversarial term (eq. 1); False: cross-entropy (early code)
    generator_first: bool = False  # its step precedes the discriminator's (released code: yes)
    restart_discriminator: bool = False  # new weights at a loss under 1e-5 (released code: yes)
    score_squared: bool = False  # squared latent distance, not L1 (eq. 5; released code: yes)


class Discriminator(nn.Module):
    """Judges images (B, C, H, W).

    Returns a logit (B,), high for real, and the features (B, K) before the last layer.
    """

    def __init__(self, channels: int, size: Size, width: int):
        super().__init__()
        *features, self.classifier = Encoder(channels, size, width, 1, nn.BatchNorm2d)
        self.features = nn.Sequential(*features)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        features = self.features(x)
        return self.classifier(features).float().flatten(), features.float().flatten(1)


class Model(base.AnomalyModel):
    """Letters: a batch is (B, C, H, W); latents are (B, Z), Z = nz."""

    Config = Config
    STEPS = 10_000  # released code: 15 epochs of CIFAR-10's nine classes, batches of 64
    DIGITS_STEPS = 1_000
    PUBLISHED = {"generator_first": True, "restart_discriminator": True, "score_squared": True}

    def build(self) -> None:
        c, channels, size = self.config, self.image_shape[0], self.image_shape[1:]
        self.encoder = Encoder(channels, size, c.ngf, c.nz, nn.BatchNorm2d)
        self.decoder = Decoder(channels, size, c.ngf, c.nz)
        self.encoder2 = Encoder(channels, size, c.ngf, c.nz, nn.BatchNorm2d)
        self.discriminator = Discriminator(channels, size, c.ndf)
        generator = nn.ModuleDict(
            {"encoder": self.encoder, "decoder": self.decoder, "encoder2": self.encoder2}
        )
        networks = nn.ModuleDict({"generator": generator, "discriminator": self.discriminator})
        self.networks = placed(networks, self.device, self.precision)
        self.optimizers = {
            "generator": Adam(generator, c.lr, c.beta1, c.beta2),
            "discriminator": Adam(self.discriminator, c.lr_discriminator, c.beta1, c.beta2),
        }

    def generate(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """G(x) (B, C, H, W), and the latents G_E(x) and E(G(x)), each (B, Z)."""
        latent = self.encoder(x)
        fake = self.decoder(latent)
        return fake.float(), latent.float().flatten(1), self.encoder2(fake).float().flatten(1)

    def train_step(self, x: Tensor, rng: torch.Generator) -> dict[str, Tensor]:
        fake, latent_in, latent_out = self.generate(x)
        latent = (latent_in - latent_out).square().mean()
        if self.config.generator_first:
            return self.generator_step(x, fake, latent) | self.discriminator_step(x, fake)
        return self.discriminator_step(x, fake) | self.generator_step(x, fake, latent)

    def discriminator_step(self, x: Tensor, fake: Tensor) -> dict[str, Tensor]:
        real_loss = cross_entropy(self.discriminator(x)[0], 1).mean()
        fake_loss = cross_entropy(self.discriminator(fake.detach())[0], 0).mean()
        loss = (real_loss + fake_loss) / 2
        self.optimizers["discriminator"].minimise(loss)
        if self.config.restart_discriminator:
            init_weights(self.discriminator, loss < 1e-5)
        return {"discriminator": loss}

    def generator_step(self, x: Tensor, fake: Tensor, latent: Tensor) -> dict[str, Tensor]:
        """Updates the generator that made `fake` from x, with this latent (encoder) loss."""
        c = self.config
        logit, features = self.discriminator(fake)
        if c.feature_matching:  # |f(x) - f(G(x))|_2^2
            with torch.no_grad():
                real_features = self.discriminator(x)[1]
            adversarial = (features - real_features).square().mean()
        else:
            adversarial = cross_entropy(logit, 1).mean()
        contextual = (fake - x).abs().mean()
        loss = c.w_adv * adversarial + c.w_con * contextual + c.w_lat * latent
        self.optimizers["generator"].minimise(loss)
        return {"adversarial": adversarial, "contextual": contextual, "latent": latent}

    def parts(self, x: Tensor) -> dict[str, Tensor]:
        fake, latent_in, latent_out = self.generate(x)
        error = latent_in - latent_out
        latent = per_image(error.square() if self.config.score_squared else error.abs())
        # The reconstruction is not part of the score; it is here as the LOSS on held-out normal
        # images. The latents' distance cannot be that: it rises as the encoders learn.
        return {"latent": latent, "reconstruction": per_image((x - fake).abs())}

    def combine(self, parts: dict[str, Tensor]) -> Tensor:
        return parts["latent"]

    def reconstruct(self, x: Tensor) -> Tensor:
        return self.decoder(self.encoder(x)).float()
