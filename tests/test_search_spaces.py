"""The contract of every search space."""

import math
from typing import Any

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from small_models import small

import models
import search_spaces
from bench.data import datasets
from bench.tuning.spaces import check_type, edges, inside

STEPS = 50
SPACES = [(name, key) for name in search_spaces.NAMES for key in search_spaces.get(name)]


def test_every_model_has_a_search_space():
    assert search_spaces.NAMES == models.NAMES
    with pytest.raises(KeyError, match="no search space for 'nothing'"):
        search_spaces.get("nothing")


@pytest.mark.parametrize("name", search_spaces.NAMES)
def test_a_space_holds_the_models_hyperparameters_and_their_defaults(name):
    known = models.hyperparameters(name)
    space = search_spaces.get(name)
    assert space
    for key, distribution in space.items():
        check_type(key, known[key].type, distribution)
        assert isinstance(
            distribution, CategoricalDistribution | FloatDistribution | IntDistribution
        )
        assert inside(distribution, known[key].default), f"{key}: the model's default is outside"
        assert not distribution.single()


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


@pytest.mark.parametrize("name", search_spaces.NAMES)
def test_the_default_and_the_released_values_lie_in_the_space(name):
    space, published = search_spaces.get(name), models.get(name).PUBLISHED
    for key, value in (models.get(name).Config().__dict__ | published).items():
        assert key not in space or inside(space[key], value), key


def test_no_space_has_a_weight_that_costs_no_training():
    """Validation images choose these in every run (Mix)."""
    assert not {"score_lat", "alpha"} & {key for _, key in SPACES}


@pytest.mark.parametrize("name", ["w_skipganomaly", "skipganomaly"])
def test_the_published_grid_lies_in_the_space(name):
    space = search_spaces.get(name)
    for key, values in {"w_con": (25, 50, 75), "w_lat": (0.5, 1, 2), "w_adv": (0.5, 1, 2)}.items():
        assert all(inside(space[key], value) for value in values)


@pytest.fixture(scope="module")
def threes(tmp_path_factory: pytest.TempPathFactory):
    """Some of the digits that are a three: uint8 (50, 1, 16, 16)."""
    digits = datasets.load("digits", root=tmp_path_factory.mktemp("data"))
    import torch

    return torch.from_numpy(digits.train_images[digits.train_labels == 3][:50])


def trains(name: str, images: Any, values: dict[str, Any]) -> None:
    """Trains for STEPS generator steps, which raises an error for a loss that is not finite."""
    import torch

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
