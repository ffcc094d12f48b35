"""The documents' table of few anomalies chooses weights as the models themselves do."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import models
from bench.judging.metrics import auroc
from bench.reporting.documents.few_anomalies import candidates, own_weights, shares_below
from models.mix import Mix, standardised


@pytest.mark.parametrize(
    "config",
    [{}, {"score_near": 0.5}, {"w_rot": 1.0, "score_near": 0.3}, {"w_class": 3.0}],
    ids=str,
)
def test_the_weights_of_a_rows_parts_are_its_models(config: dict[str, float]) -> None:
    model = models.create("w_skipganomaly", (1, 16, 16), ngf=4, ndf=4, nz=4, **config)
    row = {f"config_{name}": value for name, value in vars(model.config).items()}
    expected = {f"part_{name}": weight for name, weight in model.weights.items()}
    assert own_weights(row, list(expected)) == pytest.approx(expected)


def mixes_tried(weights: dict[str, float]) -> Iterator[list[float]]:
    """The weights that Mix.best tries, in its order."""
    tried: list[Mix] = []
    values = {name: torch.arange(3.0) for name in weights}
    standardised(weights, values).best(lambda mix: tried.append(mix) or 0.0)  # type: ignore
    return (list(mix.weights) for mix in tried)


@pytest.mark.parametrize("own", [[0.9, 0.1], [0.45, 0.05, 0.5], [0.225, 0.025, 0.25, 0.5]])
def test_the_weights_to_try_are_those_of_a_mix(own: list[float]) -> None:
    expected = [*mixes_tried({f"part{k}": weight for k, weight in enumerate(own)})]
    assert sorted(candidates(own).tolist()) == sorted(expected)
    distances = np.abs(candidates(own) - own).sum(axis=1)
    assert distances[0] == 0
    assert (np.diff(distances) > -1e-12).all()


@given(seed=st.integers(0, 1000))
def test_the_mean_share_of_outscored_images_is_the_auroc(seed: int) -> None:
    rng = np.random.default_rng(seed)
    normal, abnormal = (rng.integers(0, 6, (size, 2)).astype(float) for size in (40, 7))
    mixes = np.array([[1.0, 0.0], [0.5, 0.5]])
    labels = np.repeat([0, 1], [40, 7])
    units = (np.concatenate([normal, abnormal]) - normal.mean(axis=0)) / normal.std(axis=0)
    expected = [auroc(labels, units @ mix) for mix in mixes]
    assert shares_below(normal, abnormal, mixes).mean(axis=0) == pytest.approx(expected)
