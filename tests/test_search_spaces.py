"""The contract of every search space."""

import math
from typing import Any

import optuna
import pytest
import torch
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from small_models import small

import models
import search_spaces
from bench.data.datasets import Dataset
from bench.tuning.spaces import check_type, edges, inside

STEPS = 50
SPACES = [(name, key) for name in search_spaces.NAMES for key in search_spaces.get(name)]


def test_every_model_has_a_search_space():
    assert search_spaces.NAMES == models.NAMES
    with pytest.raises(KeyError, match="no search space for 'nothing'"):
        search_spaces.get("nothing")


@pytest.mark.parametrize("name", search_spaces.NAMES)
def test_a_space_holds_hyperparameters_with_their_default_and_released_values(name):
    known, published = models.hyperparameters(name), models.get(name).PUBLISHED
    space = search_spaces.get(name)
    assert space
    for key, distribution in space.items():
        check_type(key, known[key].type, distribution)
        assert isinstance(
            distribution, CategoricalDistribution | FloatDistribution | IntDistribution
        )
        assert not distribution.single()
        for value in (known[key].default, published.get(key, known[key].default)):
            assert inside(distribution, value), f"{key}: {value} is outside"


@pytest.mark.parametrize("name", search_spaces.NAMES)
def test_every_draw_from_a_space_is_a_valid_configuration(name):
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    space = search_spaces.get(name)
    for _ in range(20):
        drawn = study.ask(space).params
        config = models.get(name).Config.make(drawn)
        assert {key: getattr(config, key) for key in space} == drawn
    for end in (0, -1):
        corner = {key: edges(distribution)[end] for key, distribution in space.items()}
        assert models.get(name).Config.make(corner)


def test_no_space_has_a_weight_that_costs_no_training():
    """Validation images choose these in every run (Mix)."""
    assert not {"score_lat", "alpha"} & {key for _, key in SPACES}


@pytest.mark.parametrize("name", ["w_skipganomaly", "skipganomaly"])
def test_the_published_grid_lies_in_the_space(name):
    space = search_spaces.get(name)
    for key, values in {"w_con": (25, 50, 75), "w_lat": (0.5, 1, 2), "w_adv": (0.5, 1, 2)}.items():
        assert all(inside(space[key], value) for value in values)


@pytest.fixture(scope="module")
def threes(all_digits: Dataset) -> torch.Tensor:
    """Some of the digits that are a three: uint8 (50, 1, 16, 16)."""
    return torch.from_numpy(all_digits.train_images[all_digits.train_labels == 3][:50])


def trains(name: str, images: Any, values: dict[str, Any]) -> None:
    """Trains for STEPS generator steps, which raises an error for a loss that is not finite."""
    torch.manual_seed(0)
    widths = {k: v for k, v in small(name).items() if k in ("ngf", "ndf", "width", "joint")}
    kind = models.get(name)
    batch = {"batch_size": 16} if kind.BATCHES else {}
    model = models.create(name, (1, 16, 16), **(widths | batch | values))
    losses = model.train_epoch(images, torch.Generator().manual_seed(0), STEPS)
    assert all(map(math.isfinite, losses.values()))
    assert model.score(images[:4]).isfinite().all()


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize(("name", "key"), SPACES, ids=lambda word: word)
def test_every_end_of_a_range_trains(name: str, key: str, threes) -> None:
    for value in edges(search_spaces.get(name)[key]):
        trains(name, threes, {key: value})


@pytest.mark.slow
@pytest.mark.parametrize("name", search_spaces.NAMES)
def test_random_configurations_train(name: str, threes) -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    for _ in range(3):
        trains(name, threes, study.ask(search_spaces.get(name)).params)
