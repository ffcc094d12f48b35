"""One training run: what it records, chooses, saves and restores; and the audit."""

import dataclasses
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import pytest
from small_models import NETWORKS, quick, small

import models
from bench.choices.options import SELECT_ON
from bench.choices.tasks import LEAVE_ONE_CLASS_OUT, PUBLISHED, SOUND, Budget, Protocol, Task
from bench.data import datasets
from bench.data.splits import Split, make_split
from bench.judging import metrics
from bench.results import columns
from bench.training.audit import audit, steps
from bench.training.run import Run

TASK = Task(LEAVE_ONE_CLASS_OUT, "3")
TINY: dict[str, Any] = {"ngf": 4, "ndf": 4, "nz": 8}


def make_run(
    split: Split, protocol: Protocol = SOUND, select_on: str = "val_auroc", tested: bool = True
) -> Run:
    return Run(
        "w_skipganomaly",
        split,
        protocol,
        hyperparameters=TINY,
        seed=1,
        select_on=select_on,
        final=tested,
    )


@pytest.mark.parametrize("select_on", SELECT_ON)
def test_the_chosen_epoch_is_the_best_by_the_signal(split: Split, select_on: str) -> None:
    run = make_run(split, select_on=select_on)
    records = [run.step() for _ in range(4)]
    objectives = [record["objective"] for record in records]
    best = max(epoch for epoch in range(1, 5) if objectives[epoch - 1] == max(objectives))
    expected = 4 if select_on == "last_epoch" else best
    assert run.best["epoch"] == expected
    scores = run.test_scores()
    assert columns.of_scores(scores)["test_auroc"] == pytest.approx(
        records[expected - 1]["test_auroc"]
    )


def test_a_tuning_run_never_scores_the_test_images(
    split: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(split, tested=False)
    seen: list[int] = []
    original = run.model.score_parts
    monkeypatch.setattr(
        run.model,
        "score_parts",
        lambda images, **kw: seen.append(id(images)) or original(images, **kw),
    )
    record = run.step()
    assert split.test is not None
    assert seen
    assert id(split.test.images) not in seen
    assert not [name for name in record if name.startswith("test_")]


def test_published_chooses_on_the_test_images(digits: datasets.Dataset) -> None:
    run = make_run(make_split(digits, TASK, PUBLISHED, seed=0), PUBLISHED, tested=False)
    records = [run.step() for _ in range(3)]
    assert all(record["objective"] == record["test_auroc"] for record in records)
    assert run.best["test_auroc"] == max(record["test_auroc"] for record in records)


def test_restoring_keeps_the_new_learning_rate(split: Split) -> None:
    """Population-based training hands a trial another one's weights, not its learning rate."""
    first = make_run(split)
    first.step()
    changed = Run(
        "w_skipganomaly",
        split,
        SOUND,
        hyperparameters=TINY | {"lr": 1e-5},
        seed=1,
        select_on="val_auroc",
    )
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
    for before, after in pairwise(walk):
        same = set((vars(before.protocol) | before.hyperparameters).items())
        assert len(set((vars(after.protocol) | after.hyperparameters).items()) - same) == 1


@pytest.mark.parametrize("model", quick(NETWORKS, "w_skipganomaly", "autoencoder"))
def test_each_step_of_an_audit_has_its_figure(digits: datasets.Dataset, model: str) -> None:
    hyperparameters = small(model, batch_size=16)
    few = digits.limit(150, 60)
    lines: list[str] = []
    *_, rows = audit(
        model,
        few,
        TASK,
        hyperparameters=hyperparameters,
        budget=Budget(epochs=2),
        seed=0,
        split_seed=0,
        select_on="val_auroc",
        device="cpu",
        precision="float32",
        say=lines.append,
        done=pd.DataFrame(),
    )
    assert len(rows) == len(list(steps(model, hyperparameters)))
    assert rows.auroc.between(rows.low, rows.high).all()
    assert rows.cost[1:].to_numpy() == pytest.approx(np.diff(rows.auroc))
    assert len(lines) == 2 * (rows.training == "new").sum()
    # The first is the published protocol, but for the images that are held out of training.
    held_out = make_split(few, TASK, dataclasses.replace(PUBLISHED, selection="val"), 0)
    whole = make_split(few, TASK, PUBLISHED, 0).test
    assert whole.labels.sum() > held_out.test.labels.sum(), "the anomalies that choose elsewhere"
    held_out = dataclasses.replace(held_out, test=whole)
    published = hyperparameters | models.get(model).PUBLISHED
    run = Run(model, held_out, PUBLISHED, hyperparameters=published, seed=0, select_on="val_auroc")
    assert rows.auroc.iloc[0] == max(run.step()["test_auroc"] for _ in range(2))
    # The last step is an ordinary sound run.
    run = Run(model, make_split(few, TASK, SOUND, 0), SOUND, hyperparameters=hyperparameters, seed=0,
              select_on="val_auroc", final=True)  # fmt: skip
    [run.step() for _ in range(2)]
    scores = run.test_scores()
    assert rows.auroc.iloc[-1] == pytest.approx(metrics.auroc(scores["labels"], scores["scores"]))


def test_what_chooses_the_epoch_is_worth_nothing_where_the_last_one_is_chosen(digits) -> None:
    """Also where images are left out as duplicates, and the test set's order is another one."""
    few = digits.limit(150, 60)
    images, labels = few.train_images.copy(), few.train_labels.copy()
    images[:20], labels[:20] = few.test_images[:20], few.test_labels[:20]
    few = dataclasses.replace(few, train_images=images, train_labels=labels)
    small_pca = {"components": 4}
    *_, rows = audit(
        "pca", few, TASK, hyperparameters=small_pca, budget=Budget(epochs=1), seed=0, split_seed=0,
        select_on="last_epoch", device="cpu", precision="float32", say=lambda line: None,
        done=pd.DataFrame(),
    )  # fmt: skip
    aurocs = rows.set_index("change")["auroc"]
    assert aurocs["selection: val"] == aurocs["test_pool: official"] != 1
