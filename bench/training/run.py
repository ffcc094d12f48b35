"""Training and evaluating one model under one protocol, an epoch at a time."""

import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

import models
from bench.choices.errors import UserError
from bench.choices.tasks import Budget, PlannedRun, Protocol
from bench.data.pseudo_anomalies import with_pseudo_anomalies
from bench.data.splits import Labelled, Split
from bench.judging import metrics
from bench.judging.selection import SIGNALS, improves, objective, without_test
from bench.judging.verdicts import Verdicts, verdicts
from bench.results.anomaly_maps import anomaly_maps
from bench.results.columns import of_defects
from bench.results.gallery import extreme_images, picture, sheet
from bench.results.provenance import cpu_name
from bench.training.devices import create, device_of, peak_memory, reset_peak_memory
from bench.training.model_files import packed, trained_state
from models.base import AnomalyModel
from models.images import Images
from models.mix import Mix, standardised

# The attributes of a Run in its checkpoint; the last four are the chosen epoch's.
SAVED = ("epoch", "images_seen", "best", "best_parts", "best_state", "best_verdicts")
PICTURED = 4  # validation images of each kind, normal and abnormal, that --display shows


class Run:
    """One training run: a model, trained and evaluated epoch by epoch.

    Between epochs, `checkpoint` and `restore` save and restore its state, to the bit on a CPU.
    """

    def __init__(
        self,
        model: str,
        split: Split,
        protocol: Protocol,
        *,
        hyperparameters: dict[str, Any],
        seed: int,
        select_on: str,
        device: str = "cpu",
        precision: str = "float32",
        final: bool = False,
        budget: Budget = Budget(epochs=1),  # noqa: B008 (it is frozen)
        false_alarms: float = 0.05,
        learns_rotations: bool = False,
    ):
        """A `final` run is tested and keeps the chosen epoch's weights.

        Under a sound protocol, other runs never see the test images. `learns_rotations`: whether
        any configuration that this one is compared with learns to tell rotations.
        """
        device = device_of(model, device)
        hardware = torch.cuda.get_device_name() if device == "cuda" else cpu_name()
        reset_peak_memory(device)
        torch.manual_seed(seed)
        shape: Any = tuple(split.train.shape[1:])
        self.model = create(model, shape, device=device, precision=precision, **hyperparameters)
        # columns of the row: what was trained, and on what
        self.setup = {"family": self.model.FAMILY, "device": device}
        self.setup |= {"hardware": hardware, "precision": self.model.precision}
        check_batch(model, self.model.config.batch_size, len(split.train))
        self.split, self.protocol, self.select_on = split.to(device), protocol, select_on
        self.pseudo = None
        if (final or select_on == "pseudo_auroc") and split.val is not None:
            # Rotated images are no anomalies to a model that was trained on them.
            learned = learns_rotations or self.model.learns_rotations(vars(self.model.config))
            normal = split.val.normal().cpu()
            labelled = with_pseudo_anomalies(normal, learned, protocol.mixes_batches)
            self.pseudo = labelled.to(device)
        self.generator = torch.Generator().manual_seed(seed)
        self.test = self.split.test if final or protocol.selection == "test" else None
        self.final, self.budget, self.epoch, self.images_seen = final, budget, 0, 0
        self.false_alarms, self.score_ms = false_alarms, 0.0
        # The last epoch's parts of validation images and of pseudo-anomalies' scores.
        self.val_parts: dict[str, Tensor] = {}
        self.pseudo_parts: dict[str, Tensor] = {}
        self.best: dict[str, Any] = {}  # the chosen epoch's record so far
        self.best_parts: dict[str, Tensor] = {}  # its test images' score parts, and "score"
        self.best_state: dict[str, Any] = {}  # its weights
        self.best_verdicts: dict[str, Any] = {}  # its Verdicts

    def step(self) -> dict[str, Any]:
        """Trains one epoch and evaluates it; returns a flat record."""
        start = time.perf_counter()
        images = self.split.train
        self.model.scale_steps(self.budget.step_size(self.epoch))
        before = self.model.images_seen(images)  # with the steps of a model that was loaded
        losses = self.model.train_epoch(images, self.generator, self.budget.turns)
        trained = time.perf_counter()
        self.images_seen += self.model.images_seen(images) - before
        steps = self.model.generator_steps
        record: dict[str, Any] = {"epoch": self.epoch + 1, "generator_steps": steps}
        record |= {"images_seen": self.images_seen, "passes": self.images_seen / len(images)}
        record |= {f"loss_{name}": value for name, value in losses.items()}
        self.model.mix = None  # drops the mix of a loaded model
        if self.split.val is not None:
            self.val_parts = self.parts(self.split.val)
            self.pseudo_parts = self.parts(self.pseudo) if self.pseudo else {}
            self.model.mix = self.mix(self.protocol.mix)
            record |= self.figures(self.model.mix)
            if mix := self.model.mix:
                weights = zip(mix.parts, mix.weights, strict=True)
                record |= {f"mix_{part}": weight for part, weight in weights}
        if judged := self.verdicts():
            record |= {"threshold": judged.threshold, "threshold_balanced": judged.balanced}
        parts: dict[str, Tensor] = {}
        if self.test:
            parts, labels = self.parts(self.test), self.test.labels
            if mix := self.model.mix:
                default = replace(mix, weights=list(self.model.weights.values()))(parts)
                record["test_default_mix_auroc"] = metrics.auroc(labels, default.numpy())
            parts["score"] = self.model.score_of(parts)
            record["test_auroc"] = metrics.auroc(labels, parts["score"].numpy())
            if judged:
                figures = judged.figures(labels, parts["score"].numpy())
                record |= {f"test_{name}": figure for name, figure in figures.items()}
        by_test = self.protocol.selection == "test"
        record["objective"] = (
            record["test_auroc"] if by_test else objective(without_test(record), self.select_on)
        )
        record |= {"train_seconds": trained - start, "score_seconds": time.perf_counter() - trained}
        # While a network that scores is untrained, an epoch ranks below all later ones.
        rank = (self.model.can_score, record["objective"])
        if improves(rank, self.best.get("rank"), self.select_on):
            self.best, self.best_parts = record | self.setup | self.cost() | {"rank": rank}, parts
            self.best_state, self.best_verdicts = self.snapshot(judged) if self.final else ({}, {})
        self.epoch += 1  # last: an epoch that is interrupted does not count as done
        return record

    def snapshot(self, judged: Verdicts | None) -> tuple[dict[str, Any], dict[str, Any]]:
        """The model's state and its Verdicts, for scoring new images in evaluation mode."""
        state = trained_state(self.model)
        if self.protocol.scoring_mode == "training":  # mix and threshold are of other scores
            return state | {"mix": None}, {}
        return state, asdict(judged) if judged else {}

    def parts(self, labelled: Labelled) -> dict[str, Tensor]:
        start = time.perf_counter()
        parts = score_parts(self.model, labelled.images, self.protocol)
        self.score_ms = 1000 * (time.perf_counter() - start) / len(labelled.labels)
        for name in (self.model.LOSS, *self.model.weights):
            if name not in parts:
                own = type(self.model).__module__.removeprefix("models.")
                raise UserError(
                    f"--model: {own}: its LOSS or weights name a part '{name}', which parts() does "
                    f"not give (it gives {', '.join(parts)})"
                )
        return parts

    def cost(self) -> dict[str, float]:
        """The columns that say what the model takes: see bench/results/columns.py."""
        parameters = sum(parameter.numel() for parameter in self.model.networks.parameters())
        return {
            "parameters": parameters,
            "score_ms": self.score_ms,
            "peak_memory_mb": peak_memory(self.setup["device"]) / 2**20,
        }

    def mix(self, how: str) -> Mix | None:
        """How the score weighs its parts after this epoch; `how`: a value of Protocol.mix."""
        if how == "raw" or not self.model.weights:
            return None
        assert self.split.val is not None
        is_normal = torch.from_numpy(self.split.val.labels == 0)
        normal = {name: part[is_normal] for name, part in self.val_parts.items()}
        mix, signal = standardised(self.model.weights, normal), SIGNALS[self.select_on]
        if how == "standardised" or not signal.weighs:
            return mix
        labels, parts = self.auroc_inputs()[signal.column]
        return mix.best(lambda candidate: metrics.auroc(labels, candidate(parts).numpy()))

    def auroc_inputs(self) -> dict[str, tuple[np.ndarray, dict[str, Tensor]]]:
        """By column of a validation AUROC: its images' labels, and the parts of their scores."""
        judged = {}
        if self.split.val is not None and self.split.val.labels.any():
            judged["val_auroc"] = self.split.val.labels, self.val_parts
        if self.pseudo is not None:
            judged["val_pseudo_auroc"] = self.pseudo.labels, self.pseudo_parts
        return judged

    def verdicts(self) -> Verdicts | None:
        """What tells normal from abnormal scores after this epoch; None without held-out images."""
        if (val := self.split.val) is None:
            return None
        scores = self.model.score_of(self.val_parts).numpy()
        return verdicts(val.labels, scores, self.false_alarms)

    def figures(self, mix: Mix | None) -> dict[str, float]:
        """The last epoch's validation figures, with scores mixed by `mix` (None: as released)."""
        assert self.split.val is not None
        losses = self.val_parts[self.model.LOSS].numpy()[self.split.val.labels == 0]
        score_of, figures = mix or self.model.combine, {"val_loss": float(losses.mean())}
        for column, (labels, parts) in self.auroc_inputs().items():
            figures[column] = metrics.auroc(labels, score_of(parts).numpy())
        return figures

    def outputs(self) -> dict[str, Any]:
        """What a tested run has beside its row; leaves the chosen epoch's weights in the model."""
        if not self.best_parts:
            return {}
        self.model.restore(self.best_state)
        scores = self.test_scores()
        figures = self.localisation(scores)
        return {"scores": scores, "localisation": figures, "gallery": self.gallery(scores)}

    def test_scores(self) -> pd.DataFrame:
        """One row per test image, as the chosen epoch scores it: scores, labels, part_*."""
        assert self.test
        parts = {f"part_{name}": part.numpy() for name, part in self.best_parts.items()}
        columns = {"scores": parts.pop("part_score"), "labels": self.test.labels}
        return pd.DataFrame(columns | parts)

    def gallery(self, scores: pd.DataFrame) -> bytes:
        """The most telling test images, as the model reconstructs them."""
        assert self.test
        telling = extreme_images(scores["labels"].to_numpy(), scores["scores"].to_numpy())
        index = np.concatenate(list(telling.values()))
        images = self.test.images[torch.from_numpy(index)].cpu()
        rebuilt = self.model.reconstructions(images)
        return sheet(images.numpy(), None if rebuilt is None else rebuilt.numpy())

    def localisation(self, scores: pd.DataFrame) -> dict[str, float]:
        """The columns of defects and pixels."""
        assert self.test
        test, maps = self.test, None
        if test.masks is not None:
            images = test.images[:].cpu()
            rebuilt = self.model.reconstructions(images)
            maps = None if rebuilt is None else anomaly_maps(images.numpy(), rebuilt.numpy())
        values = scores["scores"].to_numpy()
        return of_defects(test.labels, values, test.defects, maps, test.masks)

    def curves(self) -> dict[str, np.ndarray]:
        """What --display shows after an epoch: validation scores, and a picture of a few images."""
        if (val := self.split.val) is None:
            return {}
        scores = self.model.score_of(self.val_parts).numpy()
        names = enumerate(("normal", "abnormal"))
        arrays = {name: scores[val.labels == label] for label, name in names}
        index = np.concatenate([np.flatnonzero(val.labels == label)[:PICTURED] for label in (0, 1)])
        images = val.images[torch.from_numpy(index)].cpu()
        rebuilt = self.model.reconstructions(images)
        if rebuilt is not None:
            arrays["picture"] = picture(images.numpy(), rebuilt.numpy())
        return {name: array for name, array in arrays.items() if len(array)}

    def packed(self, planned: PlannedRun, facts: dict[str, Any]) -> bytes:
        """The chosen epoch's model as a file's content, with facts of its images."""
        extras = {"trial": planned.trial, "precision": self.setup["precision"]} | facts
        extras["verdicts"] = self.best_verdicts
        return packed(planned.model, self.model, self.best_state, extras)

    def checkpoint(self) -> dict[str, Any]:
        """All that `restore` needs, as tensors and plain values."""
        state: dict[str, Any] = {"generator": self.generator.get_state()}
        state["torch"] = torch.get_rng_state()
        if self.setup["device"] == "cuda":  # what restarts draw weights from
            state["cuda"] = torch.cuda.get_rng_state()
        return {"model": self.model.checkpoint()} | {n: getattr(self, n) for n in SAVED} | state

    def restore(self, checkpoint: dict[str, Any]) -> None:
        self.model.restore(checkpoint["model"])
        for name in SAVED:
            setattr(self, name, checkpoint[name])
        self.generator.set_state(checkpoint["generator"])
        torch.set_rng_state(checkpoint["torch"])
        if "cuda" in checkpoint:
            torch.cuda.set_rng_state(checkpoint["cuda"])


def score_parts(model: AnomalyModel, images: Images, protocol: Protocol) -> dict[str, Tensor]:
    """The parts of the images' scores, each (N,), in the protocol's scoring mode."""
    batch = model.config.batch_size if protocol.scoring_mode == "training" else None
    return model.score_parts(images, training_mode_batch=batch)


def train(run: Run) -> Iterator[dict[str, Any]]:
    """Trains until the run's budget is spent; yields a record for each epoch."""
    while run.epoch < run.budget.epochs:
        yield run.step()


def check_batch(model: str, size: int, images: int) -> None:
    """UserError where a batch of the model would need more training images than there are."""
    if models.get(model).BATCHES and size > images:
        raise UserError(
            f"--batch_size: {size} ({model}) is more than the {images} training images (give "
            f"{images} or less)"
        )
