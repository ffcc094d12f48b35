"""The contract of every anomaly detector: it trains on normal images, then scores any image."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Self, get_type_hints

import torch
from torch import Tensor, nn

from models.average import Average
from models.fields import check
from models.images import Images, check_images, pixels
from models.mix import Mix, checked_parts
from models.networks import frozen
from models.optimizers import Optimizer
from models.precision import arithmetic
from models.sizes import Shape, check_shape
from models.steps import Steps

FAMILIES = ("GAN", "baseline", "labelled", "pretrained")  # the groups of tables
# The most images, and pixels, scored at once in evaluation mode: only speed and memory change.
# Many on a GPU, where each batch waits for other runs that train there.
SCORING_BATCH, SCORING_PIXELS = {"cpu": 256, "cuda": 2048}, 256**3


@dataclass(frozen=True)
class Config:
    """A model's hyperparameters: a line `name: type = default  # help and source` for each.

    bool, float, int or str; two spaces before the #. `models.fields.check` says what is refused.
    """

    batch_size: int = 64  # images in a training step
    average: float = 0.0  # decay of a moving average of the weights, which then scores; 0: none

    def __post_init__(self) -> None:
        for name, kind in get_type_hints(type(self)).items():
            check(name, kind, getattr(self, name))

    @classmethod
    def make(cls, values: dict[str, Any]) -> Self:
        """A Config with these values, cast to the fields' types: numbers may be text.

        Raises ValueError for an unknown name or a value that does not fit.
        """
        known = get_type_hints(cls)
        if unknown := sorted(set(values) - set(known)):
            raise ValueError(f"no hyperparameter '{unknown[0]}' (there are: {', '.join(known)})")
        config = cls(**{name: known[name](value) for name, value in values.items()})
        exact = {k: v for k, v in values.items() if known[k] is bool or not isinstance(v, str)}
        if lossy := [k for k, v in exact.items() if getattr(config, k) != v]:  # 2.7 became 2
            raise ValueError(f"{lossy[0]}: {values[lossy[0]]!r} is no {known[lossy[0]].__name__}")
        return config


class AnomalyModel(ABC):
    """An anomaly detector trained on normal images only. Images: uint8 (N, C, H, W) in [0, 255].

    A subclass called `Model` has `Config`, STEPS and DIGITS_STEPS, creates networks and optimisers
    (models.optimizers) in `build`, and implements `train_step`, `parts`, and `weights` or `combine`.
    Models without training steps extend models.fitted.
    """

    Config: ClassVar[type[Config]]
    FAMILY: str = "GAN"  # of FAMILIES; labelled: it learns classes; pretrained: on outside data
    PUBLISHED: ClassVar[dict[str, Any]] = {}  # hyperparameters that restore the released behaviour
    RELEASED_MODE: ClassVar[str] = "training"  # the networks' mode when released code scores
    RELEASED_EPOCH: ClassVar[str] = "best"  # that released code tests: best by test AUROC, or last
    RELEASED_STEPS: ClassVar[int] = 0  # the released code's steps, where far more than STEPS
    ANY_SIZE: ClassVar[bool] = False  # False: its networks halve images (see models.sizes)
    BATCHES: ClassVar[bool] = True  # whether it trains on batches, of `batch_size` images
    USES_GPU: ClassVar[bool] = True  # False: it runs on the CPU even where a study has GPUs
    GRAPHS: ClassVar[bool] = True  # a GPU replays its steps (models.graphs); see `kind_of_step`
    NOT_BY_PBT: ClassVar[tuple[str, ...]] = ()  # these add layers if above 0: PBT keeps them fixed
    NO_EXPORT: ClassVar[str] = ""  # why the model cannot be exported; empty if it can
    LOSS: ClassVar[str] = "reconstruction"  # its mean over held-out normal images is `val_loss`
    STEPS: ClassVar[int]  # generator steps of a fair budget; the comment has the source
    DIGITS_STEPS: ClassVar[int]  # the same for digits; what half of it is worth: results/digits.md

    progress: Callable[[int, int], None] | None = None  # called with (images scored, images in all)
    scored, to_score = 0, 0
    mix: Mix | None = None  # how a score weighs its standardised parts; None: see `combine`

    def __init__(
        self, image_shape: Shape, config: Any, device: str = "cpu", precision: str = "float32"
    ):
        self.check_shape(image_shape, asdict(config))
        self.image_shape, self.config = image_shape, config
        self.device, self.precision = torch.device(device), precision
        self.networks: nn.ModuleDict = nn.ModuleDict()
        self.optimizers: dict[str, Optimizer] = {}
        self.steps = 0  # training steps taken so far
        self.left = torch.empty(0, dtype=torch.int64)  # images still to come in the current pass
        self.training = Steps()
        self.build()
        for name, optimizer in self.optimizers.items():
            if not isinstance(optimizer, Optimizer):
                raise TypeError(f"its optimiser '{name}' must be one of models.optimizers")
        averages = config.average and self.BATCHES  # weights that are not trained have no average
        self.average = Average(self.networks, config.average) if averages else None

    @classmethod
    def check_shape(cls, image_shape: Shape, config: Mapping[str, Any] | None = None) -> None:
        """ValueError for images (C, H, W) that the model cannot take, with these hyperparameters."""
        check_shape(image_shape, cls.ANY_SIZE)

    @classmethod  # noqa: B027
    def check_training(cls, config: Mapping[str, Any], images: Images, steps: float) -> None:
        """ValueError where such a model cannot train on these images, or for this many steps."""

    @classmethod  # noqa: B027
    def fetch(cls, config: Any) -> None:
        """Gets pretrained weights, where a model has any; ValueError where they cannot be had."""

    @classmethod
    def learns_rotations(cls, config: Mapping[str, Any]) -> bool:
        """Whether such a model trains on rotated images, which then cannot be pseudo-anomalies."""
        return False

    @property
    def generator_steps(self) -> int:
        """Updates so far of the network that generates or reconstructs images: one in each turn."""
        return self.steps // self.turn

    @property
    def can_score(self) -> bool:
        """False while a network that scores is untrained: any later epoch is preferred."""
        return True

    @property
    def turn(self) -> int:
        """Training steps for each generator step: `n_critic` where the model has a critic."""
        return getattr(self.config, "n_critic", 1)

    @property
    def ends_turn(self) -> bool:
        """Whether the current step is the last of its turn, which updates the generator."""
        return (self.steps + 1) % self.turn == 0

    def kind_of_step(self) -> Hashable:
        """What `train_step` may branch on in Python: steps of one kind call the same kernels."""
        return self.ends_turn

    def images_seen(self, images: Images) -> int:
        """How many of `images` the training steps so far have used, counting every repetition."""
        return self.steps * min(self.config.batch_size, len(images))

    @abstractmethod
    def build(self) -> None:
        """Creates the networks (on `self.device`) and their optimisers, of `models.optimizers`."""

    @abstractmethod
    def train_step(self, x: Tensor, rng: torch.Generator) -> dict[str, Tensor]:
        """One step on a float batch (B, C, H, W) in [-1, 1]; returns its losses, on the device."""

    @abstractmethod
    def parts(self, x: Tensor) -> dict[str, Tensor]:
        """The parts of the anomaly score of a float batch (B, C, H, W) in [-1, 1], each (B,).

        The part named by LOSS is among them. It must fall as the model learns what normal images
        look like: it chooses the best epoch and trial where no validation image is abnormal.
        """

    def combine(self, parts: dict[str, Tensor]) -> Tensor:
        """The published anomaly score (B,): parts (B,) in their own units, times `weights`."""
        return sum(weight * parts[name] for name, weight in self.weights.items())  # type: ignore

    @property
    def weights(self) -> dict[str, float]:
        """Each part's weight in a mix of standardised parts; they add up to 1. Empty: no mix."""
        return {}

    def score_of(self, parts: dict[str, Tensor]) -> Tensor:
        """The anomaly score (B,), computed from its parts (B,): higher is more anomalous."""
        return self.mix(parts) if self.mix else self.combine(parts)

    def reconstruct(self, x: Tensor) -> Tensor | None:
        """The reconstruction of a float batch (B, C, H, W) in [-1, 1]; None if there is none."""
        return None

    def reconstructions(self, images: Tensor) -> Tensor | None:
        """Reconstructions in evaluation mode, uint8 (N, C, H, W) on the CPU; or None."""
        chunks, self.scored, self.to_score = [], 0, len(images)
        with self.frozen(training=False), torch.no_grad(), self.arithmetic():
            for x in images.split(self.scoring_batch()):
                reconstruction = self.reconstruct(self.normalise(x))
                if reconstruction is None:
                    return None
                chunks.append(pixels(reconstruction).to(torch.uint8).cpu())
                self.scored += len(x)
                self.report_progress()
        return torch.cat(chunks)

    def train_epoch(
        self, images: Images, generator: torch.Generator, turns: int | None = None
    ) -> dict[str, float]:
        """Trains for this many turns, or one pass if None; returns the mean of each loss.

        A pass may go on in the next call. The generator draws each pass's order; a last batch that
        would be smaller is dropped. Raises FloatingPointError for a loss that is not finite.
        """
        check_images(images, self.image_shape)
        self.networks.train()
        steps = None if turns is None else turns * self.turn
        batches = (self.normalise(images[batch]) for batch in self.draw(images, generator, steps))
        return self.training.take(self, batches, generator)

    def scale_steps(self, share: float) -> None:
        """Sets the optimisers' step sizes to this share of those that the configuration has."""
        for optimizer in self.optimizers.values():
            if optimizer.share != share:
                optimizer.share = share
                self.training.graphs = None  # a graph has the step size that it was recorded with

    def arithmetic(self, weights_change: bool = False) -> torch.autocast:
        """The context in which torch computes at the model's precision; see `models.precision`."""
        return arithmetic(self.device, self.precision, weights_change)

    def draw(
        self, images: Images, generator: torch.Generator, steps: int | None
    ) -> Iterator[Tensor]:
        """Yields the image indices, int64 (B,), of `steps` batches; None: of one pass's batches."""
        size, self.left = min(self.config.batch_size, len(images)), self.left.to(images.device)
        for _ in range(len(images) // size if steps is None else steps):
            if len(self.left) < size:
                order = torch.randperm(len(images), generator=generator, device=generator.device)
                self.left = order.to(images.device)
            batch, self.left = self.left[:size], self.left[size:]
            yield batch

    def score(self, images: Images) -> Tensor:
        """float32 (N,) on the CPU, higher is more anomalous; each image is scored by itself."""
        return self.score_of(self.score_parts(images))

    def score_parts(
        self, images: Images, training_mode_batch: int | None = None
    ) -> dict[str, Tensor]:
        """The parts of the score, float32 (N,) on the CPU; FloatingPointError if one is not finite.

        `training_mode_batch`: score in training mode, as much released code does. Batch
        normalisation then uses the statistics of this many images at a time, in the order given.
        """
        check_images(images, self.image_shape)
        chunks, self.scored, self.to_score = [], 0, len(images)
        with self.frozen(training_mode_batch is not None), torch.no_grad(), self.arithmetic():
            for x in images.split(training_mode_batch or self.scoring_batch()):
                chunks.append(checked_parts(self.parts(self.normalise(x)), len(x)))
                self.scored += len(x)
                self.report_progress()
        parts = {name: torch.cat([chunk[name] for chunk in chunks]).cpu() for name in chunks[0]}
        for name, part in parts.items():
            if wrong := int((~part.isfinite()).sum()):
                raise FloatingPointError(f"{wrong} of {len(part)} '{name}' scores are not finite")
        return parts

    def scoring_batch(self) -> int:
        """How many images are scored at once in evaluation mode."""
        _, height, width = self.image_shape
        return max(1, min(SCORING_BATCH[self.device.type], SCORING_PIXELS // (height * width)))

    def report_progress(self, of_this_batch: int = 0) -> None:
        """Reports the images scored to `progress`: earlier batches' and `of_this_batch` of this."""
        if self.progress:
            self.progress(self.scored + of_this_batch, self.to_score)

    def normalise(self, images: Tensor) -> Tensor:
        """Images uint8 (B, C, H, W) in [0, 255] to float32 in [-1, 1], on the device."""
        return images.to(self.device, non_blocking=True).float().div_(127.5).sub_(1)

    @contextmanager
    def frozen(self, training: bool) -> Iterator[None]:
        """Networks as they score, in training or evaluation mode: nothing in them changes."""
        average = self.average.in_place() if self.average else nullcontext()
        with average, frozen(self.networks, training):
            yield

    def checkpoint(self) -> dict[str, Any]:
        """All that training changes, as tensors and plain values, for `restore`."""
        optimizers = {name: optimizer.state for name, optimizer in self.optimizers.items()}
        return {
            "networks": self.networks.state_dict(),
            "optimizers": optimizers,
            "steps": self.steps,
            "left": self.left,
            "mix": asdict(self.mix) if self.mix else None,
        } | ({"average": dict(enumerate(self.average.means))} if self.average else {})

    def restore(self, checkpoint: dict[str, Any]) -> None:
        """Takes over the state in a checkpoint, to the bit."""
        self.networks.load_state_dict(checkpoint["networks"])
        for name, state in checkpoint["optimizers"].items():
            self.optimizers[name].restore(state)
        self.steps, self.left = checkpoint["steps"], checkpoint.get("left", self.left)
        if self.average:  # a trained model's file has the averaged weights alone
            means = checkpoint.get("average")
            self.average.restore(means.values() if means else self.networks.parameters())
        mix = checkpoint.get("mix")  # older files have none
        self.mix = Mix(**mix) if mix else None
