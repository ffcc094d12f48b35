"""AnoGAN (Schlegl et al. 2017, arXiv:1703.05921) with a WGAN-GP (arXiv:1704.00028).

After github.com/oyxhust/wgan-gp-anomaly ("released code" below). The GAN learns normal images alone; an image's score
is how close the generator comes to it from the best latent that gradient descent finds (eq. 6 to 8). Differences to
that code: layers upsample by two, as in WGAN-GP's own networks for digits; images are in [-1, 1]; the loss has the
paper's feature term; and the search, see `search`.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from models import base
from models.losses import per_image
from models.wgan import WGAN

# Searches run at once, always exactly so many: an image's arithmetic is then the same, to the bit, in any batch.
SEARCH_ROWS = {"cpu": 16, "cuda": 256}
SEARCH_BETAS = (0.5, 0.9)  # Adam's moments in the search (released code)


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
    starts: int = 512  # fixed random latents: an image's search starts from the one whose image is closest
    restarts: int = 1  # starts that are searched from, closest first; the best result counts
    search_lr: float = 0.4  # the search's first step size (Adam); halved whenever an image makes too little progress
    search_gain: float = 0.02  # what is too little: the loss falls by less than this share in `search_patience` steps
    search_patience: int = 10  # steps between looks at an image's progress
    search_steps: int = 300  # an image's search ends after so many steps, or with its step size below a tenth

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.restarts > self.starts:
            raise ValueError(f"restarts ({self.restarts}) must be at most starts ({self.starts})")


class Model(WGAN):
    """Letters: B images a batch, Z = nz latents, P = starts."""

    Config = Config
    LOSS = "residual"  # what the search cannot reach: falls once the generator makes images like the normal ones

    def build(self) -> None:
        super().build()
        self.generator.register_buffer("starts", torch.randn(self.config.starts, self.config.nz).to(self.device))

    def train_step(self, x: Tensor, rng: torch.Generator) -> dict[str, Tensor]:
        return self.gan_step(x, rng)

    def parts(self, x: Tensor) -> dict[str, Tensor]:
        _, residual, feature = self.search(x)
        return {"residual": residual, "feature": feature}

    def combine(self, parts: dict[str, Tensor]) -> Tensor:
        share = self.config.score_feature
        return (1 - share) * parts["residual"] + share * parts["feature"]

    def reconstruct(self, x: Tensor) -> Tensor:
        return self.generator(self.search(x)[0]).float()

    def nearest_starts(self, x: Tensor) -> Tensor:
        """The starts (B * R, Z) whose images are closest in L1 to each image, R = restarts, closest first."""
        starts: Tensor = self.generator.starts  # type: ignore[assignment]
        made = torch.cat([self.generator(z).float() for z in starts.split(base.SCORING_BATCH)])
        distances = torch.cdist(x.flatten(1), made.flatten(1), p=1)  # (B, P)
        return starts[distances.topk(self.config.restarts, largest=False).indices.flatten()]

    @torch.no_grad()
    def search(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The latents (B, Z) whose images come closest to x, and both distances (B,) (eq. 6 and 7), as means.

        Adam on each image's latent by itself. A fixed number of rows runs at a time: a search takes a row, leaves it
        when it is done, and the next one moves in. Nothing that an image meets depends on its place or neighbours.
        """
        c, share, (beta1, beta2) = self.config, self.config.score_feature, SEARCH_BETAS
        start = self.nearest_starts(x)
        jobs = len(start)  # job j is image j // restarts
        found, outcome = torch.empty_like(start), torch.empty((jobs, 3), device=x.device)  # loss, residual, feature
        done = torch.zeros(jobs, dtype=torch.bool, device=x.device)
        # Rows that have no search of their own repeat another's, to the same result.
        rows = SEARCH_ROWS[x.device.type]
        job = torch.arange(rows, device=x.device) % jobs
        entering, following = torch.ones_like(job, dtype=torch.bool), rows
        z, best_z, target = start[job], start[job], x[job // c.restarts]
        mean, square = torch.zeros_like(z), torch.zeros_like(z)
        best = torch.empty((rows, 3), device=x.device)
        mark, step_size, age = (torch.empty(rows, device=x.device) for _ in range(3))
        while not done.all():
            z[entering], target[entering] = start[job[entering]], x[job[entering] // c.restarts]
            mean[entering], square[entering], age[entering] = 0, 0, 0
            best[entering], mark[entering], step_size[entering] = torch.inf, torch.inf, c.search_lr
            aim = self.features(target).float()
            for _ in range(c.search_patience):
                age += 1
                with torch.enable_grad():
                    z.requires_grad_()
                    made = self.generator(z).float()
                    residual = per_image((target - made).abs())
                    feature = per_image((aim - self.features(made).float()).abs())
                    loss = (1 - share) * residual + share * feature
                    (gradient,) = torch.autograd.grad(loss.sum(), z)
                better = (loss < best[:, 0])[:, None]
                best = torch.where(better, torch.stack([loss, residual, feature], dim=1), best)
                best_z = torch.where(better, z, best_z)
                mean = torch.lerp(gradient, mean, beta1)
                square = torch.lerp(gradient.square(), square, beta2)
                moment = mean / (1 - beta1 ** age[:, None])
                scale = (square / (1 - beta2 ** age[:, None])).sqrt() + 1e-8
                z = z.detach() - step_size[:, None] * moment / scale
            slow = ~(best[:, 0] < (1 - c.search_gain) * mark)
            mark = best[:, 0].clone()
            step_size = torch.where(slow, step_size / 2, step_size)
            entering = (step_size < c.search_lr / 10) | (age >= c.search_steps)
            ended = job[entering]
            found[ended], outcome[ended], done[ended] = best_z[entering], best[entering], True
            job[entering] = torch.arange(following, following + len(ended), device=x.device) % jobs
            following += len(ended)
            self.say_scored(int(done.view(-1, c.restarts).all(1).sum()))
        chosen = torch.arange(0, jobs, c.restarts, device=x.device) + outcome[:, 0].view(-1, c.restarts).argmin(1)
        return found[chosen], outcome[chosen, 1], outcome[chosen, 2]
