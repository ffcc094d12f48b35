"""How long runs train: generator steps that epochs share, passes that follow one another."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_models import (
    NETWORKS,
    assert_same_to_the_bit,
    make,
    pictures,
    slow_except,
    small,
    stored,
    train,
)

import models
from bench.choices.errors import UserError
from bench.choices.study import Study
from bench.choices.tasks import Budget
from bench.training.prepare import EVALUATIONS, Prepared, prepare
from bench.tuning import cost_estimate
from bench.tuning.cost_estimate import Epoch, plan, seconds_of, time_epoch
from bench.tuning.planner import Planner
from bench.tuning.spaces import spaces_of

DIGITS = {"dataset": "digits", "normal_class": ("3",)}


@pytest.fixture(scope="module")
def ready() -> Prepared:
    return prepare(Study(**DIGITS))


def budget(ready: Prepared, study: Study, model: str, **values: int) -> Budget:
    config = {"batch_size": 16} | values
    return ready.budgets(study, {model: config})[model, ready.tasks[0]]


def test_a_study_trains_for_the_fair_budget_unless_told(ready: Prepared):
    for name in NETWORKS:
        kind = models.get(name)
        planned = budget(ready, Study(**DIGITS), name)
        assert (planned.steps, planned.fair) == (kind.DIGITS_STEPS, kind.DIGITS_STEPS)
        assert kind.STEPS >= kind.DIGITS_STEPS >= 1000
        assert planned.epochs == EVALUATIONS
    assert budget(ready, Study(**DIGITS, steps=70), "ganomaly") == Budget(12, 6, 1000)
    assert budget(ready, Study(**DIGITS, epochs=4), "ganomaly") == Budget(4, None, 1000)
    assert budget(ready, Study(**DIGITS), "pca") == Budget(1)


def test_no_epoch_is_shorter_than_a_pass_unless_there_are_few_steps(ready: Prepared):
    images = len(ready.splits[ready.tasks[0]].train)
    planned = budget(ready, Study(**DIGITS, steps=100), "w_skipganomaly", n_critic=5)
    assert planned.epochs == EVALUATIONS
    assert planned.steps / planned.epochs >= images // 16 / 5
    assert budget(ready, Study(**DIGITS, steps=1), "ganomaly") == Budget(1, 1, 1000)


@given(steps=st.integers(1, 20_000), epochs=st.none() | st.integers(1, 100))
def test_epochs_share_the_steps_that_were_asked_for(
    ready: Prepared, steps: int, epochs: int | None
):
    planned = budget(
        ready, Study(**DIGITS, steps=steps, epochs=epochs), "w_skipganomaly", n_critic=5
    )
    assert steps <= planned.steps < steps + planned.epochs
    assert epochs in (None, planned.epochs)


def test_step_sizes_fall_in_the_last_epochs(ready: Prepared):
    planned = budget(ready, Study(**DIGITS, epochs=6, niter_decay=3), "ganomaly")
    assert [planned.step_size(epoch) for epoch in range(6)] == [1, 1, 1, 0.75, 0.5, 0.25]
    assert Budget(6).step_size(5) == 1
    with pytest.raises(UserError, match=r"--niter_decay: 6 is too many: .*ganomaly has 6 epochs"):
        budget(ready, Study(**DIGITS, epochs=6, niter_decay=6), "ganomaly")


def test_an_encoder_that_would_never_train_is_refused(ready: Prepared):
    """f-AnoGAN's released code trains the encoder after the GAN alone."""
    study, config = Study(**DIGITS, steps=60), {"n_critic": 5, "gan_steps": 60}
    assert budget(ready, study, "f_anogan", **config, encoder_beside=True).steps == 60
    with pytest.raises(UserError, match="f_anogan on 3: the encoder trains after 60 generator"):
        budget(ready, study, "f_anogan", **config, encoder_beside=False)


def test_models_whose_released_code_is_not_the_published_protocol_are_named(capsys) -> None:
    published = Study(**DIGITS, model=("egbad", "ganomaly"), protocol="published")
    flags = ["--scoring_mode evaluation", "--selection val --select_on last_epoch", "--steps 50400"]
    lines = prepare(published).notes
    assert [line.partition("(add ")[2].rstrip(")") for line in lines] == flags
    assert all(line.startswith("egbad: its released code ") for line in lines)
    assert capsys.readouterr().err == "".join(f"note: {line}\n" for line in lines)
    other = {"scoring_mode": "evaluation", "selection": "val", "select_on": "last_epoch"}
    assert not prepare(replace(published, **other, steps=50_400)).notes


def test_a_measurement_warms_up_and_takes_a_second_or_all_there_is(monkeypatch) -> None:
    clock, asked = [0.0], []
    monkeypatch.setattr(cost_estimate, "time", SimpleNamespace(perf_counter=lambda: clock[0]))

    def call(items: int) -> None:
        clock[0] += once + 0.01 * items if asked else 5.0
        asked.append(items)

    once = 0.0
    assert seconds_of(call, 16, 5000, "cpu") == (0, pytest.approx(0.01))
    assert seconds_of(call, 16, 20, "cpu") == (0, pytest.approx(0.01))
    assert asked == [16, 16, 64, 256, 16, 16, 20]
    once = 3.0
    asked.clear()
    assert seconds_of(call, 16, 5000, "cpu", fixed=True) == pytest.approx((3.0, 0.01))
    assert asked == [16, 0, 16, 64, 256]


def test_the_estimate_counts_steps_scored_images_epochs_and_runs(ready: Prepared, monkeypatch):
    study = Study(**DIGITS, model=("ganomaly",), trials=7, seeds=3)
    spaces, ready = spaces_of(study), replace(ready, device="cpu")
    config, (task,) = spaces["ganomaly"].default, ready.tasks
    budgets, split = ready.budgets(study, {"ganomaly": config}), ready.splits[task]
    planner = Planner(study, ready.tasks, spaces, budgets, [], lambda model: 1)
    val, test = len(split.val.labels), len(split.test.labels) + split.pseudo_count
    monkeypatch.setattr(cost_estimate, "seconds_of", lambda *_, fixed=False: (5.0 * fixed, 1.0))
    epoch = time_epoch(study, ready, config, "ganomaly", task, Budget(2, turns=7))
    assert epoch == Epoch(0, 5 + 7 + val, 5 + 7 + val + test), "five once in an epoch"
    monkeypatch.setattr(cost_estimate, "cpu_count", lambda: 2)
    monkeypatch.setattr(cost_estimate, "time_epoch", lambda *_: Epoch(5, 2, 3))
    (line,) = plan(study, ready, planner).to_dict("records")
    assert [line["tuning runs"], line["finalists"], line["final runs"]] == [7, 8, 6]
    seconds = 8 * (5 + EVALUATIONS * 2) + 3 * (5 + EVALUATIONS * 3)  # in rounds of two runs
    assert line["hours at most"] == pytest.approx(seconds / 3600)


def test_a_guessed_normal_class_is_one_normal_class(mvtec_folder: Path, tmp_path: Path) -> None:
    study = Study(dataset=str(mvtec_folder / "nut"), dataroot=str(tmp_path), model=("pca",))
    line = "without effect with one normal class: --untrained_classes"
    assert line in prepare(replace(study, untrained_classes="normal")).notes
    assert line not in prepare(study).notes


def test_flags_that_change_nothing_are_named(capsys) -> None:
    study = Study(**DIGITS, model=("knn", "pca", "ganomaly"), steps=9, batch_size=8)
    line = "without effect on knn, pca, fitted at once: --steps, --batch_size"
    assert line in prepare(study).notes
    assert capsys.readouterr().err == f"note: {line}\n"
    assert not prepare(replace(study, model=("ganomaly",))).notes
    untuned = replace(study, model=("ganomaly",), trials=0, space=("w_con=1,2",), finalists=5)
    reason = "without effect, as no configuration but the default is tried"
    assert prepare(untuned).notes == (f"{reason}: --space, --finalists",)
    choices: dict[str, Any] = {"grace_period": 3, "reduction_factor": 2, "finalist_seeds": 7}
    choices |= {"storage": "s3://paused", "untrained_classes": "normal"}
    choices |= {"select_on": "val_loss", "limit_anomalies": 9}
    idle = replace(study, model=("ganomaly",), scheduler="fifo", finalists=0, **choices)
    assert prepare(idle).notes == (
        "without effect, as no run is stopped early: --grace_period",
        "without effect, without rungs: --reduction_factor",
        "without effect, as no run is paused: --storage",
        "without effect, as there are no finalists: --finalist_seeds",
        "without effect on what --select_on val_loss chooses: --limit_anomalies",
        "without effect with one normal class: --untrained_classes",
    )


@pytest.mark.parametrize("name", NETWORKS)
def test_a_smaller_share_of_the_step_size_is_a_smaller_step(name: str):
    """A share of 0 changes nothing; a share of a half equals half the learning rates."""
    images = pictures(24)
    rates = {key: rate.default for key, rate in models.hyperparameters(name).items() if "lr" in key}
    trained = {}
    halves = {rate: value / 2 for rate, value in rates.items() if rate != "search_lr"}
    for key, share, values in (("none", 0.0, {}), ("half", 0.5, {}), ("halved", 1.0, halves)):
        model = make(name, **small(name, **values))
        model.scale_steps(share)
        before = [parameter.clone() for parameter in model.networks.parameters()]
        train(model, images)
        trained[key] = list(model.networks.parameters())
        same = [torch.equal(a, b) for a, b in zip(before, trained[key], strict=True)]
        assert all(same) == (share == 0)
    for half, halved in zip(trained["half"], trained["halved"], strict=True):
        torch.testing.assert_close(half, halved)


@pytest.mark.parametrize("name", slow_except(NETWORKS, "autoencoder", "w_skipganomaly", "f_anogan"))
def test_turns_add_up_to_passes(name: str):
    """The same number of steps trains the same model, in whole passes or in parts of them."""
    values = small(name)
    passes, parts = (make(name, **values) for _ in range(2))
    images, steps = pictures(4 * 6 + 1), 6 * 2
    generators = [torch.Generator().manual_seed(3) for _ in range(2)]
    for _ in range(2):
        passes.train_epoch(images, generators[0])
    for turns in (1, steps // parts.turn - 1):
        parts.train_epoch(images, generators[1], turns)
    assert passes.steps == parts.steps == steps
    assert parts.generator_steps == steps // parts.turn
    state, other = passes.checkpoint(), parts.checkpoint()
    assert_same_to_the_bit(state, other)


@pytest.mark.parametrize("name", slow_except(NETWORKS, "autoencoder", "w_skipganomaly", "f_anogan"))
def test_a_run_goes_on_in_the_middle_of_a_pass(name: str):
    whole, first, second = (make(name, **small(name)) for _ in range(3))
    images = pictures(4 * 5 + 2)
    generators = [torch.Generator().manual_seed(3) for _ in range(3)]
    for turns in (2, 3):
        whole.train_epoch(images, generators[0], turns)
    first.train_epoch(images, generators[1], 2)
    second.restore(stored(first.checkpoint()))
    generators[2].set_state(generators[1].get_state())
    second.train_epoch(images, generators[2], 3)
    assert_same_to_the_bit(whole.checkpoint(), second.checkpoint())
