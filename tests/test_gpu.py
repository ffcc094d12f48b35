"""Tests that need a GPU: same bits again, and steps that do not wait for it."""

from pathlib import Path

import pandas as pd
import pytest
import torch
from small_models import NETWORKS, make, pictures, small, stored

import models
from bench.choices.tasks import LEAVE_ONE_CLASS_OUT, SOUND, Task
from bench.data import datasets
from bench.data.splits import Split, make_split
from bench.training.devices import be_deterministic
from bench.training.run import Run, train
from models.base import PRECISIONS

NO_GPU = not torch.cuda.is_available()
pytestmark = [pytest.mark.gpu, pytest.mark.skipif(NO_GPU, reason="there is no CUDA device here")]


@pytest.fixture(scope="module")
def split() -> Split:
    digits = datasets.load("digits", root=Path("unused")).limit(200, 60)
    return make_split(digits, Task(LEAVE_ONE_CLASS_OUT, "3"), SOUND, seed=0).to("cuda")


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("name", models.NAMES)
def test_a_run_from_a_checkpoint_ends_in_the_same_bits(name, precision, split):
    values = small(name, **models.get(name).PUBLISHED)

    def new() -> Run:
        return Run(
            name,
            split,
            SOUND,
            hyperparameters=values,
            seed=1,
            select_on="val_auroc",
            device="cuda",
            precision=precision,
            final=True,
        )

    be_deterministic(True)
    try:
        list(train(whole := new(), 4))
        list(train(half := new(), 2))
        # Before the next run: all runs of a process draw from its one random state.
        checkpoint = stored(half.checkpoint())
        rest = new()
        rest.restore(checkpoint)
        list(train(rest, 4))
    finally:
        be_deterministic(False)
    pd.testing.assert_frame_equal(rest.test_scores(), whole.test_scores(), check_exact=True)
    if models.get(name).USES_GPU:
        assert whole.best["hardware"] == torch.cuda.get_device_name()
        assert all(value.device.type == "cpu" for value in whole.best_state["networks"].values())


@pytest.mark.parametrize("name", NETWORKS)
def test_a_step_does_not_wait_for_the_gpu(name):
    model = make(name, device="cuda", **models.get(name).PUBLISHED)
    x, rng = model.normalise(pictures(4)), torch.Generator("cuda").manual_seed(0)
    model.train_step(x, rng)  # the first step sets up the libraries, and waits
    torch.cuda.set_sync_debug_mode("error")
    try:
        for _ in range(3):
            model.steps += 1
            with model.arithmetic(weights_change=True):
                model.train_step(x, rng)
    finally:
        torch.cuda.set_sync_debug_mode("default")
