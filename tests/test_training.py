"""One training run: what it records, chooses, saves and restores; and the audit."""

import dataclasses
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
import torch
from small_models import NETWORKS, slow_except, small, small_run

import models
from bench.choices.options import SELECT_ON
from bench.choices.study import Study
from bench.choices.tasks import LEAVE_ONE_CLASS_OUT, PUBLISHED, SOUND, Budget, Task
from bench.data import datasets
from bench.data.splits import Split, make_split
from bench.judging import metrics
from bench.results import columns
from bench.training.audit import audit, steps
from bench.training.prepare import prepare
from bench.training.run import train

TASK = Task(LEAVE_ONE_CLASS_OUT, "3")
FEW = Study(
    **{"dataset": "digits", "abnormal_class": ("3",), "device": "cpu"},
    **{"limit_train": 150, "limit_test": 60, "epochs": 2},
)


@pytest.mark.parametrize("select_on", SELECT_ON)
def test_the_chosen_epoch_is_the_best_by_the_signal(split: Split, select_on: str) -> None:
    run = small_run("w_skipganomaly", split, select_on=select_on, final=True)
    records = [run.step() for _ in range(4)]
    objectives = [record["objective"] for record in records]
    best = max(epoch for epoch in range(1, 5) if objectives[epoch - 1] == max(objectives))
    expected = 4 if select_on == "last_epoch" else best
    assert run.best["epoch"] == expected
    area = columns.of_scores(run.test_scores())["test_auroc"]
    assert area == pytest.approx(records[expected - 1]["test_auroc"])


def test_a_tuning_run_never_scores_the_test_images(
    split: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = small_run("w_skipganomaly", split)
    seen: list[int] = []
    original = run.model.score_parts

    def recording(images, **options):
        seen.append(id(images))
        return original(images, **options)

    monkeypatch.setattr(run.model, "score_parts", recording)
    record = run.step()
    assert seen
    assert id(split.test.images) not in seen
    assert not [name for name in record if name.startswith("test_")]


def test_published_chooses_on_the_test_images(digits: datasets.Dataset) -> None:
    run = small_run("w_skipganomaly", make_split(digits, TASK, PUBLISHED, seed=0), PUBLISHED)
    records = [run.step() for _ in range(3)]
    assert all(record["objective"] == record["test_auroc"] for record in records)
    assert run.best["test_auroc"] == max(record["test_auroc"] for record in records)


def test_restoring_keeps_the_new_learning_rate(split: Split) -> None:
    """Population-based training hands a trial another one's weights, not its learning rate."""
    first = small_run("w_skipganomaly", split)
    first.step()
    changed = small_run("w_skipganomaly", split, lr=1e-5)
    changed.restore(first.checkpoint())
    assert changed.model.optimizers["generator"].lr == 1e-5


@pytest.mark.parametrize("model", NETWORKS)
def test_audit_walks_one_field_at_a_time(model: str) -> None:
    hyperparameters = small(model, batch_size=16)
    walk = list(steps(model, hyperparameters))
    assert walk[0].protocol == PUBLISHED
    assert walk[-1].protocol == SOUND
    chosen = hyperparameters | {name: name for name in models.get(model).PUBLISHED}
    assert list(steps(model, chosen))[-1].hyperparameters == chosen, "its values are the sound ones"
    held = list(steps(model, chosen, given=chosen))
    assert all(step.hyperparameters == chosen for step in held), "what is given holds in all steps"
    for before, after in pairwise(walk):
        same = set((vars(before.protocol) | before.hyperparameters).items())
        assert len(set((vars(after.protocol) | after.hyperparameters).items()) - same) == 1


@pytest.mark.parametrize("model", slow_except(NETWORKS, "w_skipganomaly", "autoencoder"))
def test_each_step_of_an_audit_has_its_figure(model: str) -> None:
    hyperparameters, ready = small(model, batch_size=16), prepare(FEW)
    lines: list[str] = []
    *_, rows = audit(FEW, ready, model, hyperparameters, {}, lines.append, done=pd.DataFrame())
    few = ready.dataset
    assert len(rows) == len(list(steps(model, hyperparameters)))
    assert rows.auroc.between(rows.low, rows.high).all()
    assert rows.cost[1:].to_numpy() == pytest.approx(np.diff(rows.auroc))
    assert len(lines) == 2 * (rows.training == "new").sum()
    # The first is the published protocol, but for the images that are held out of training.
    held_out = make_split(few, TASK, dataclasses.replace(PUBLISHED, selection="val"), 0)
    whole = make_split(few, TASK, PUBLISHED, 0).test
    assert whole.labels.sum() > held_out.test.labels.sum(), "the anomalies that choose elsewhere"
    held_out = dataclasses.replace(held_out, test=whole)
    run = small_run(model, held_out, PUBLISHED, seed=0, **models.get(model).PUBLISHED)
    epochs = [(run.step()["test_auroc"], run.model.can_score) for _ in range(2)]
    assert rows.auroc.iloc[0] == max(auroc for auroc, can_score in epochs if can_score)
    # The last step is an ordinary sound run.
    run = small_run(model, make_split(few, TASK, SOUND, 0), seed=0, final=True)
    [run.step() for _ in range(2)]
    scores = run.test_scores()
    assert rows.auroc.iloc[-1] == pytest.approx(metrics.auroc(scores["labels"], scores["scores"]))


def test_what_chooses_the_epoch_is_worth_nothing_where_the_last_one_is_chosen() -> None:
    """Also where images are left out as duplicates, and the test set's order is another one."""
    study = dataclasses.replace(FEW, select_on="last_epoch")
    ready = prepare(study)
    few = ready.dataset
    images, labels = few.train_images.copy(), few.train_labels.copy()
    images[:20], labels[:20] = few.test_images[:20], few.test_labels[:20]
    few = dataclasses.replace(few, train_images=images, train_labels=labels)
    ready = dataclasses.replace(ready, dataset=few)
    *_, rows = audit(study, ready, "pca", {"components": 4}, {}, print, done=pd.DataFrame())
    aurocs = rows.set_index("change")["auroc"]
    assert aurocs["selection: val"] == aurocs["test_pool: official"] != 1


def test_each_step_of_an_audit_chooses_its_epoch_by_its_own_protocol(monkeypatch) -> None:
    """The published protocol takes the best epoch by the test images, whatever --select_on says."""
    study = dataclasses.replace(FEW, select_on="last_epoch", epochs=3)
    ready, falling = prepare(study), iter(np.linspace(0.9, 0.1, 99))
    monkeypatch.setattr(metrics, "auroc", lambda *_: next(falling))
    values = small("autoencoder", batch_size=16)
    *_, rows = audit(study, ready, "autoencoder", values, {}, print, done=pd.DataFrame())
    by_test = rows["selection"] == "test"
    assert set(rows.loc[by_test, "epoch"]) == {1}
    assert set(rows.loc[~by_test, "epoch"]) == {3}


def test_seeds_are_of_weights_and_of_the_images_drawn(split: Split) -> None:
    def weights(seed: int) -> torch.Tensor:
        model = small_run("w_skipganomaly", split, seed=seed).model
        return next(model.networks.parameters()).detach().clone()

    def drawn(seed: int) -> torch.Tensor:
        run = small_run("knn", split, seed=seed)
        run.step()
        return run.model.samples

    for of in (weights, drawn):
        assert torch.equal(of(1), of(1))
        assert not torch.equal(of(1), of(2))


def test_step_sizes_fall_in_the_last_epochs(split: Split, monkeypatch):
    run, shares = small_run("skipganomaly", split, budget=Budget(3, decay=2)), []
    monkeypatch.setattr(run.model, "scale_steps", shares.append)
    list(train(run))
    assert shares == pytest.approx([1, 2 / 3, 1 / 3])
