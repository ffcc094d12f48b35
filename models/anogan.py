"""AnoGAN (Schlegl et al. 2017, arXiv:1703.05921) with a WGAN-GP (arXiv:1704.00028).

The GAN learns normal images alone. To score an image, gradient descent searches for the latent
whose generated image is closest to it; the distance that remains is the score (eq. 6). "Released
code" below is github.com/oyxhust/wgan-gp-anomaly. This file differs from it: layers upsample by two
and the critic has LeakyReLU, as in WGAN-GP's own networks for digits; initial weights are torch's,
or with `he_init` WGAN-GP's; images are in [-1, 1], and not mirrored at random in training (nor are
MNIST's there); step sizes do not decay (there over the last two thirds of training); the search's
loss has the paper's feature term; and the search starts near the image and adapts its step size,
where the code takes 15,000 steps from a random latent: of 1e-4, and smaller in the last third.
Distances are means where the paper has sums. So features weigh less than there, by the number of
pixels over the number of features: 784 / 4096 for 28 x 28 images.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from models import base
from models.graphs import replayed
from models.losses import per_image
from models.wgan import WGAN

# How many searches run at a time on images of up to SEARCH_PIXELS; fewer run on larger images.
# torch's rounding depends on the size of a batch. This number never changes for a model, so an
# image's result is the same, to the bit, whatever images it is scored with.
SEARCH_ROWS, SEARCH_PIXELS = {"cpu": 64, "cuda": 256}, 128**2
SEARCH_BETAS = (0.5, 0.9)  # Adam's moments in the search (released code)


@dataclass(frozen=True)
class Config(base.Config):
    batch_size: int = 50  # images in a training step (released code)
    lr: float = 1e-4  # Adam's step size, generator and critic (released code)
    beta1: float = 0.5  # Adam's first moment, generator and critic (released code)
    beta2: float = 0.9  # Adam's second moment, generator and critic (released code)
    w_gp: float = 10.0  # weight of the gradient penalty (arXiv:1704.00028, algorithm 1)
    n_critic: int = 5  # critic steps for each generator step (arXiv:1704.00028, algorithm 1)
    ngf: int = 64  # generator's channels at the outermost level (released code)
    ndf: int = 64  # critic's channels at the outermost level (released code)
    nz: int = 128  # size of the latent (released code)
    batch_norm: bool = False  # in the generator (WGAN-GP's code for CIFAR-10: yes)
    he_init: bool = False  # initial weights as in WGAN-GP's code; else torch's
    score_feature: float = 0.1  # weight of the features in search and score (lambda in eq. 5, 6)
    starts: int = 512  # fixed random latents; an image's search starts from the closest
    restarts: int = 1  # searches for each image, from its closest starts; the best one counts
    search_lr: float = 0.4  # the search's first step size (Adam); halved whenever the loss stalls
    search_gain: float = 0.02  # a loss stalls if it falls by less than this share
    search_patience: int = 10  # steps over which the loss must fall by search_gain
    search_steps: int = 300  # most steps of a search; a step size under search_lr / 10 ends it too
    # (Both are checked every search_patience steps.)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.restarts > self.starts:
            raise ValueError(f"restarts ({self.restarts}) must be at most starts ({self.starts})")


class Model(WGAN):
    """Letters: a batch is (B, C, H, W); latents are (B, Z), Z = nz; P = starts, R = restarts."""

    Config = Config
    RELEASED_EPOCH = "last"
    # Ours: not too few for MNIST's digits. Released code asks for 300,000 epochs, WGAN-GP's for
    # 200,000 generator steps on MNIST.
    STEPS = 10_000
    DIGITS_STEPS = 4_000
    NO_EXPORT = "it searches for the latent of each image by gradient descent"
    LOSS = "residual"  # the distance that remains falls as the generator learns normal images

    def build(self) -> None:
        super().build()
        starts = torch.randn(self.config.starts, self.config.nz).to(self.device)
        self.generator.register_buffer("starts", starts)

    def train_step(self, x: Tensor, rng: torch.Generator) -> dict[str, Tensor]:
        return self.gan_step(x, rng)

    def parts(self, x: Tensor) -> dict[str, Tensor]:
        _, residual, feature = self.search(x)
        return {"residual": residual, "feature": feature}

    @property
    def weights(self) -> dict[str, float]:
        share = self.config.score_feature
        return {"residual": 1 - share, "feature": share}

    def reconstruct(self, x: Tensor) -> Tensor:
        return self.generator(self.search(x)[0]).float()

    def nearest_starts(self, x: Tensor) -> Tensor:
        """The R starts whose images are closest to each image in L1, closest first: (B * R, Z)."""
        starts: Tensor = self.generator.starts  # type: ignore[assignment]
        distances = torch.cat(  # (B, P), without all P images at once
            [
                torch.cdist(x.flatten(1), self.generator(z).float().flatten(1), p=1)
                for z in starts.split(self.scoring_batch())
            ],
            dim=1,
        )
        return starts[distances.topk(self.config.restarts, largest=False).indices.flatten()]

    def search_rows(self) -> int:
        """How many searches run at a time: fewer on large images, so that they fit into memory."""
        _, height, width = self.image_shape
        rows = SEARCH_ROWS[self.device.type]
        return max(1, min(rows, rows * SEARCH_PIXELS // (height * width)))

    @torch.no_grad()
    def search(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The latents (B, Z) whose images come closest to x, with their distances to it.

        The distances are the means of eq. 2 (pixels) and eq. 4 (the critic's features), each (B,).
        Adam moves each latent by itself. A fixed number of searches runs at a time, one a row; when
        one ends, the next takes over its row. No image's result depends on its place in the batch
        or on its neighbours.
        """
        c, share, (beta1, beta2) = self.config, self.config.score_feature, SEARCH_BETAS
        start = self.nearest_starts(x)
        searches = len(start)  # search s is for image s // restarts
        latents = torch.empty_like(start)
        results = torch.empty((searches, 3), device=x.device)  # loss, residual, feature
        done = torch.zeros(searches, dtype=torch.bool, device=x.device)
        rows = self.search_rows()
        # The search in each row. With more rows than searches, several rows run the same one.
        search = torch.arange(rows, device=x.device) % searches
        entering, following = torch.ones_like(search, dtype=torch.bool), rows
        z, best_z, target = start[search], start[search], x[search // c.restarts]
        mean, square = torch.zeros_like(z), torch.zeros_like(z)  # Adam's moments
        best = torch.empty((rows, 3), device=x.device)
        compared_loss, step_size, age = (torch.empty(rows, device=x.device) for _ in range(3))
        target_features = torch.empty((rows, self.features.features), device=x.device)

        def descend() -> None:
            """`search_patience` steps of Adam in each row, in place."""
            for _ in range(c.search_patience):
                age.add_(1)
                with torch.enable_grad():
                    point = z.detach().requires_grad_()
                    generated = self.generator(point).float()
                    residual = per_image((target - generated).abs())
                    features = self.features(generated).float()
                    feature = per_image((target_features - features).abs())
                    loss = (1 - share) * residual + share * feature
                    (gradient,) = torch.autograd.grad(loss.sum(), point)
                better = (loss < best[:, 0])[:, None]
                losses = torch.stack([loss, residual, feature], dim=1)
                best.copy_(torch.where(better, losses, best))
                best_z.copy_(torch.where(better, z, best_z))
                mean.copy_(torch.lerp(gradient, mean, beta1))
                square.copy_(torch.lerp(gradient.square(), square, beta2))
                moment = mean / (1 - beta1 ** age[:, None])
                scale = (square / (1 - beta2 ** age[:, None])).sqrt() + 1e-8
                z.sub_(step_size[:, None] * moment / scale)

        step = replayed(descend, x.device) if self.GRAPHS else descend
        while not done.all():
            entered = search[entering]
            z[entering], target[entering] = start[entered], x[entered // c.restarts]
            mean[entering], square[entering], age[entering] = 0, 0, 0
            best[entering], compared_loss[entering] = torch.inf, torch.inf
            step_size[entering] = c.search_lr
            target_features.copy_(self.features(target).float())
            step()
            slow = ~(best[:, 0] < (1 - c.search_gain) * compared_loss)
            compared_loss = best[:, 0].clone()
            step_size.copy_(torch.where(slow, step_size / 2, step_size))
            entering = (step_size < c.search_lr / 10) | (age >= c.search_steps)
            ended = search[entering]
            latents[ended], results[ended], done[ended] = best_z[entering], best[entering], True
            next_searches = torch.arange(following, following + len(ended), device=x.device)
            search[entering] = next_searches % searches
            following += len(ended)
            self.report_progress(int(done.view(-1, c.restarts).all(1).sum()))
        best_of_restarts = results[:, 0].view(-1, c.restarts).argmin(1)
        chosen = torch.arange(0, searches, c.restarts, device=x.device) + best_of_restarts
        return latents[chosen], results[chosen, 1], results[chosen, 2]
