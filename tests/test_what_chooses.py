"""Which images and scores choose a run's epoch, threshold and the weights of its score's parts."""

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from small_models import small_run

from bench.choices.tasks import LEAVE_ONE_CLASS_OUT, PUBLISHED, SOUND, Budget, Protocol, Task
from bench.data import datasets
from bench.data.pseudo_anomalies import cut_paste
from bench.data.splits import Split, make_split
from bench.judging import metrics
from bench.judging.verdicts import verdicts
from bench.training import run as run_module
from bench.training.run import Run
from models.mix import standardised

IN_TRAINING_MODE = dataclasses.replace(SOUND, scoring_mode="training")
TASK = Task(LEAVE_ONE_CLASS_OUT, "3")


def run_of(split: Split, protocol: Protocol = SOUND, **choices: Any) -> Run:
    return small_run("skipganomaly", split, protocol, final=True, **choices)


@pytest.mark.parametrize("protocol", [SOUND, IN_TRAINING_MODE], ids=["sound", "mode"])
def test_pseudo_anomalies_are_labelled_so(digits: datasets.Dataset, protocol: Protocol):
    parts = make_split(digits, TASK, protocol, seed=0)
    pseudo, normal = run_of(parts, protocol).pseudo, parts.val.normal()
    ours = pseudo.images[torch.from_numpy(np.flatnonzero(pseudo.labels == 0))]
    known = {image.numpy().tobytes() for image in normal}
    assert len(ours) == len(normal) == (pseudo.labels == 1).sum()
    assert {image.numpy().tobytes() for image in ours} == known
    mixed = bool((np.diff(pseudo.labels) < 0).any())
    assert mixed == (protocol is IN_TRAINING_MODE), "a batch's images then change its scores"


def test_a_pasted_cut_is_another_part_of_the_image() -> None:
    rng = torch.Generator().manual_seed(0)
    image = torch.randperm(3 * 16 * 20, generator=rng).view(3, 16, 20)  # all pixels differ
    pasted = [cut_paste(image, rng) for _ in range(50)]
    changed = [(one != image).any(0) for one in pasted]
    assert sum(bool(where.any()) for where in changed) > 45
    for one, where in zip(pasted, changed, strict=True):
        rows, columns = where.any(1).sum(), where.any(0).sum()
        assert rows == columns == 0 or (4 <= rows <= 8 and 5 <= columns <= 10)
        assert torch.isin(one, image).all()


@pytest.mark.parametrize("protocol", [SOUND, IN_TRAINING_MODE], ids=["sound", "mode"])
def test_a_model_that_scored_in_training_mode_keeps_no_units_of_that_mode(
    split: Split, protocol: Protocol
):
    """New images are scored in evaluation mode, with the chosen epoch's state."""
    run = run_of(split, protocol)
    run.step()
    own = protocol is SOUND
    assert (run.model.mix is not None, bool(run.verdicts())) == (True, True)
    assert (run.best_state["mix"] is not None, bool(run.best_verdicts)) == (own, own)


@pytest.mark.parametrize("select_on", ["val_loss", "last_epoch", "pseudo_auroc"])
def test_what_needs_no_anomalies_does_not_look_at_them(split: Split, select_on: str):
    """Noise in their place changes neither epoch, nor weights, threshold or test figure."""
    images = split.val.images[torch.arange(len(split.val.labels))]
    abnormal = torch.from_numpy(split.val.labels == 1)
    noise = torch.randint(0, 256, images.shape, generator=torch.Generator().manual_seed(0))
    images[abnormal] = noise[abnormal].byte()
    other = dataclasses.replace(split, val=dataclasses.replace(split.val, images=images))
    runs = [run_of(parts, select_on=select_on) for parts in (split, other)]
    records = [[kept(run.step()) for _ in range(3)] for run in runs]
    assert records[0] == records[1]
    assert runs[0].best["epoch"] == runs[1].best["epoch"]
    assert runs[0].best["val_auroc"] != runs[1].best["val_auroc"]


def kept(record: dict[str, Any]) -> dict[str, Any]:
    """A record without times, and without what anomalies alone give."""
    of_anomalies = ("val_auroc", "threshold_balanced")
    return {
        name: value
        for name, value in record.items()
        if not name.endswith("seconds") and name not in of_anomalies
    }


@pytest.mark.parametrize(("select_on", "latent"), [("val_auroc", 0.0), ("pseudo_auroc", 1.0)])
def test_the_signal_chooses_the_weights(split: Split, select_on: str, latent: float, monkeypatch):
    """From a default that is not the best."""
    run = run_of(split, select_on=select_on)
    default = {"reconstruction": 1 - latent, "latent": latent}
    monkeypatch.setattr(type(run.model), "weights", property(lambda model: default))
    run.step()
    labels, parts = split.val.labels, run.val_parts
    normal = {name: part[torch.from_numpy(labels == 0)] for name, part in parts.items()}
    if select_on == "pseudo_auroc":
        labels, parts = run.pseudo.labels, run.pseudo_parts
    plain = standardised(default, normal)
    best = plain.best(lambda mix: metrics.auroc(labels, mix(parts).numpy()))
    assert run.model.mix.weights == best.weights
    assert best.weights != list(default.values())
    assert len(split.val.labels) != len(run.pseudo.labels)


def test_the_published_protocol_scores_in_training_mode(digits: datasets.Dataset):
    parts = make_split(digits, TASK, PUBLISHED, seed=0)
    run = run_of(parts, PUBLISHED)
    record = run.step()
    used, size = run.test_scores()["scores"].to_numpy(), run.model.config.batch_size
    for batch, same in ((size, True), (size // 2, False), (None, False)):
        again = run.model.score_parts(parts.test.images, training_mode_batch=batch)
        assert np.array_equal(used, run.model.combine(again).numpy()) == same
    assert record["test_auroc"] == metrics.auroc(parts.test.labels, used)


def test_the_model_that_is_kept_is_the_chosen_epochs(split: Split, monkeypatch):
    run = run_of(split, seed=2)
    monkeypatch.setattr(run_module, "improves", lambda *_: run.epoch < 2)
    [run.step() for _ in range(4)]
    assert run.best["epoch"] == 2
    last = run.model.score(split.test.images)
    kept = run.outputs()["scores"]["scores"]  # it is of this model that the pictures are
    scores = run.model.score(split.test.images)
    assert np.array_equal(scores.numpy(), kept)
    assert not torch.equal(scores, last)


def test_no_epoch_is_chosen_whose_encoder_has_not_begun_to_train(split: Split, monkeypatch):
    late = {"gan_steps": 2, "n_critic": 1, "encoder_beside": False}
    run = small_run("f_anogan", split, budget=Budget(5, turns=1), **late)
    monkeypatch.setattr(run_module, "objective", lambda *_: -float(run.epoch))
    trained = ["loss_encoder" in run.step() for _ in range(5)]
    assert trained == [False, False, True, True, True]
    assert run.best["epoch"] == 3, "the best of those by this signal, which falls"


def test_the_threshold_allows_the_false_alarms_asked_for(split: Split):
    run = run_of(split, false_alarms=0.2)
    record = run.step()
    scores = run.model.score_of(run.val_parts).numpy()
    assert record["threshold"] == verdicts(split.val.labels, scores, 0.2).threshold
    assert record["threshold"] < verdicts(split.val.labels, scores, 0.05).threshold
