"""The contract of every search space."""

import optuna
import pytest
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution

import models
import search_spaces


def contains(distribution: BaseDistribution, value: float) -> bool:
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    return distribution.low <= value <= distribution.high


def test_every_model_has_a_search_space():
    assert search_spaces.NAMES == models.NAMES
    with pytest.raises(KeyError, match="no search space for 'nothing'"):
        search_spaces.get("nothing")


@pytest.mark.parametrize("name", search_spaces.NAMES)
def test_a_space_holds_the_models_hyperparameters_and_their_defaults(name):
    known = models.get(name).Config.hyperparameters()
    space = search_spaces.get(name)
    assert space
    for key, distribution in space.items():
        kind = {int: IntDistribution, float: FloatDistribution}[known[key].type]
        assert isinstance(distribution, kind)
        assert contains(distribution, known[key].default), key
        assert not distribution.single()


@pytest.mark.parametrize("name", search_spaces.NAMES)
def test_every_draw_from_a_space_is_a_valid_configuration(name):
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    space = search_spaces.get(name)
    for _ in range(20):
        drawn = study.ask(space).params
        config = models.get(name).Config.make(drawn)
        assert {key: getattr(config, key) for key in space} == drawn
    for end in ("low", "high"):
        corner = {key: getattr(distribution, end) for key, distribution in space.items()}
        assert models.get(name).Config.make(corner)


@pytest.mark.parametrize("name", ["w_skipganomaly", "skipganomaly"])
def test_the_published_grid_lies_in_the_space(name):
    space = search_spaces.get(name)
    for key, values in {"w_con": (25, 50, 75), "w_lat": (0.5, 1, 2), "w_adv": (0.5, 1, 2)}.items():
        assert all(contains(space[key], value) for value in values)
