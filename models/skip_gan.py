"""What Skip-GANomaly and its Wasserstein variant share: generator, generator's loss and score.

The generator is a U-Net that reconstructs its input (arXiv:1901.08954, section 3.1). The two models
differ in the network that judges its images: a discriminator in one, a critic in the other. The
score squares the reconstruction error, as released code does; the paper's (eq. 2) is an L1 distance.
Only the opponent learns to tell rotations, from real images, each turned once. In arXiv:1811.11212
each image is turned by all four rotations, and the generator too learns from those of its images.
"""

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from models import base
from models.class_head import ClassHead
from models.images import Images, classes_of
from models.losses import per_image
from models.neighbours import distance, spread_out
from models.networks import Head, UNet, placed
from models.optimizers import Adam
from models.sizes import Shape

ROTATIONS = 4  # by 0, 90, 180 and 270 degrees, which the opponent tells apart


@dataclass(frozen=True)
class Config(base.Config):
    lr: float = 2e-4  # Adam's step size, generator (released code; 2e-3 in arXiv:1901.08954)
    beta1: float = 0.5  # Adam's first moment, both networks (arXiv:1901.08954, section 4.2)
    beta2: float = 0.999  # Adam's second moment, both networks (arXiv:1901.08954, section 4.2)
    w_adv: float = 1.0  # weight of the adversarial term (arXiv:1901.08954, eq. 4)
    w_con: float = 50.0  # weight of the contextual term |x - G(x)|_1 (released code; paper: 40)
    w_lat: float = 1.0  # weight of the latent term |f(x) - f(G(x))|_2^2 (arXiv:1901.08954, eq. 3)
    ngf: int = 64  # generator's channels at the outermost level (released code)
    ndf: int = 64  # discriminator's or critic's channels at the outermost level (released code)
    nz: int = 100  # discriminator's or critic's features f(x) (released code)
    skip: bool = True  # skip connections from the generator's encoder to its decoder
    score_lat: float = 0.1  # the latent's weight in the score (1 - lambda, arXiv:1901.08954, eq. 5)
    w_rot: float = 0.0  # weight of rotation loss in discriminator or critic (arXiv:1811.11212)
    score_rot: float = 0.5  # the rotation loss's share in the score, where w_rot is above 0
    # That loss is the mean cross-entropy; arXiv:1906.12340's code sums the softmax of the true turns.
    score_near: float = 0.0  # share in the score of how far f(x) is from training images'; 0: none
    w_class: float = 0.0  # weight of class loss in discriminator or critic; 0: none
    score_class: float = 1.0  # score's share for being unlike all classes, if w_class > 0; 1: all
    augment: bool = False  # training images are flipped and shifted at random
    adversarial_gradient: bool = True  # the adversarial term reaches the generator
    latent_gradient: bool = True  # the latent term reaches the generator

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.w_rot and self.batch_size < ROTATIONS:
            raise ValueError(f"w_rot: a batch of {self.batch_size} has no image for each rotation")


class SkipGAN(base.AnomalyModel):
    """A U-Net that reconstructs normal images, trained against a discriminator or critic.

    A subclass adds this opponent in `build` and implements `judge`, `adversarial` and `train_step`.
    Letters: a batch is (B, C, H, W); K = nz features.
    """

    NOT_BY_PBT = ("w_rot", "w_class", "score_near")

    rotations: Head  # the head on the opponent's features that tells rotations
    classes: ClassHead  # the head that tells the normal classes
    memory: Tensor | None = None  # training images' features (M, K), where score_near is above 0

    @classmethod
    def check_shape(cls, image_shape: Shape, config: Mapping[str, Any] | None = None) -> None:
        super().check_shape(image_shape, config)
        _, height, width = image_shape
        if config and config["w_rot"] and height != width:
            raise ValueError(
                f"w_rot: images that are turned must be square, not {height}x{width} (give 0)"
            )

    @classmethod
    def check_training(cls, config: Mapping[str, Any], images: Images, steps: float) -> None:
        if config.get("w_class"):
            ClassHead.check(classes_of(images))

    @classmethod
    def learns_rotations(cls, config: Mapping[str, Any]) -> bool:
        return bool(config.get("w_rot"))

    def build(self) -> None:
        c, channels, size = self.config, self.image_shape[0], self.image_shape[1:]
        if c.score_near:
            self.memory = torch.zeros(1, c.nz)  # before training: all images are equally far
        generator = UNet(channels, size, c.ngf, c.skip)
        self.generator = placed(generator, self.device, self.precision)
        self.networks = nn.ModuleDict({"generator": self.generator})
        self.optimizers = {"generator": Adam(self.generator, c.lr, c.beta1, c.beta2)}

    def add_opponent(self, name: str, network: nn.Module, lr: float) -> None:
        """Adds the opponent, heads on its features for w_rot and w_class, and their optimiser."""
        c = self.config
        trained: dict[str, nn.Module] = {name: network}
        if c.w_rot:
            self.rotations = Head(c.nz, ROTATIONS).to(self.device)
            trained["rotations"] = self.rotations
        if c.w_class:
            self.FAMILY = "labelled"
            self.classes = ClassHead(c.nz, c.batch_size).to(self.device)
            trained["classes"] = self.classes
        self.networks.update(trained)
        self.optimizers[name] = Adam(nn.ModuleList(list(trained.values())), lr, c.beta1, c.beta2)

    @abstractmethod
    def judge(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The opponent's verdict on images, as `adversarial` takes it, and f(x) (B, K)."""

    @abstractmethod
    def adversarial(self, verdict: Tensor) -> Tensor:
        """The generator's adversarial loss, a scalar, from the verdict on its images."""

    def generator_step(self, x: Tensor, fake: Tensor) -> dict[str, Tensor]:
        """Updates the generator that made `fake` from x (eq. 4); returns its three losses."""
        c = self.config
        with torch.no_grad():
            _, real_features = self.judge(x)
        verdict, features = self.judge(fake)
        if not c.adversarial_gradient:
            verdict = verdict.detach()
        if not c.latent_gradient:
            features = features.detach()
        adversarial = self.adversarial(verdict)
        latent = (features - real_features).square().mean()
        contextual = (fake - x).abs().mean()
        loss = c.w_adv * adversarial + c.w_con * contextual + c.w_lat * latent
        self.optimizers["generator"].minimise(loss)
        return {"adversarial": adversarial, "contextual": contextual, "latent": latent}

    def rotation_losses(self, features: Tensor, quarter_turns: Tensor) -> Tensor:
        """The cross-entropy (B,) of telling images' quarter turns (B,) by their f(x) (B, K)."""
        return cross_entropy(self.rotations(features), quarter_turns, reduction="none")

    def rotated(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The images, a quarter of the batch at each rotation, and their quarter turns (B,)."""
        quarters = x.tensor_split(ROTATIONS)
        images = torch.cat([torch.rot90(part, k, dims=(2, 3)) for k, part in enumerate(quarters)])
        turns = [torch.full((len(part),), k, device=x.device) for k, part in enumerate(quarters)]
        return images, torch.cat(turns)

    def draw(
        self, images: Images, generator: torch.Generator, steps: int | None
    ) -> Iterator[Tensor]:
        labels = classes_of(images)
        for batch in super().draw(images, generator, steps):
            if self.config.w_class and labels is not None:
                self.classes.of_batch[: len(batch)] = labels[batch]
            yield batch

    def train_epoch(
        self, images: Images, generator: torch.Generator, turns: int | None = None
    ) -> dict[str, float]:
        if self.config.w_class:
            self.classes.begin(classes_of(images))
        losses = super().train_epoch(images, generator, turns)
        if self.memory is not None:
            # In evaluation mode, whatever --scoring_mode test images are scored in.
            with self.frozen(training=False), torch.no_grad(), self.arithmetic():
                batches = spread_out(images).split(self.scoring_batch())
                features = [self.judge(self.normalise(x))[1] for x in batches]
            self.memory = torch.cat(features).float()
        return losses

    def checkpoint(self) -> dict[str, Any]:
        memory = {} if self.memory is None else {"memory": self.memory}
        return super().checkpoint() | memory

    def restore(self, checkpoint: dict[str, Any]) -> None:
        super().restore(checkpoint)
        if self.memory is not None:
            self.memory = checkpoint["memory"].to(self.device)

    def parts(self, x: Tensor) -> dict[str, Tensor]:
        fake, features = self.reconstruct(x), self.judge(x)[1]
        parts = {
            "reconstruction": per_image((x - fake).square()),
            "latent": per_image((features - self.judge(fake)[1]).square()),
        }
        if self.memory is not None:
            parts["nearest"] = distance(features, self.memory)
        if self.config.w_class:
            parts["class"] = self.classes.energy(features)
        if self.config.w_rot:
            losses = []
            for k in range(ROTATIONS):
                turned = self.judge(torch.rot90(x, k, dims=(2, 3)))[1] if k else features
                losses.append(
                    self.rotation_losses(turned, torch.full(x.shape[:1], k, device=x.device))
                )
            parts["rotation"] = torch.stack(losses).mean(dim=0)
        return parts

    @property
    def weights(self) -> dict[str, float]:
        """Rotation, nearest and class take their shares in turn; earlier parts share the rest."""
        c = self.config
        weights = {"reconstruction": 1 - c.score_lat, "latent": c.score_lat}
        shares = {"rotation": c.score_rot if c.w_rot else 0.0, "nearest": c.score_near}
        shares["class"] = c.score_class if c.w_class else 0.0
        for part, share in shares.items():
            if share:
                weights = {name: (1 - share) * weight for name, weight in weights.items()}
                weights[part] = share
        return weights

    def reconstruct(self, x: Tensor) -> Tensor:
        return self.generator(x).float()
