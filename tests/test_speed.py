"""The speed benchmark: its plain loops compute what the models compute, and it runs."""

import json
import time
from collections import Counter

import pytest
import torch
from small_models import make, pictures

import models
from bench.choices.errors import UserError
from bench.speed import __main__ as speed
from bench.speed import gpu, harness, plain_loops
from bench.training import model_files
from models.base import AnomalyModel

SHAPE = (3, 16, 16)


def model() -> AnomalyModel:
    """A small w_skipganomaly, with the same weights each time."""
    return make("w_skipganomaly", SHAPE)


def test_the_plain_loop_takes_the_models_training_steps():
    plain, ours = plain_loops.plain_layers(model()), model()
    images, optimizers = pictures(28, SHAPE).numpy(), plain_loops.adams(plain)
    rngs = [torch.Generator().manual_seed(1) for _ in range(2)]
    for step in range(7):
        batch = images[4 * step : 4 * step + 4]
        plain_loops.wgan_step(plain, optimizers, batch, step, rngs[0])
        ours.train_step(ours.normalise(torch.from_numpy(batch)), rngs[1])
        ours.steps += 1
    before, after = model().networks.state_dict(), ours.networks.state_dict()
    assert plain.networks.state_dict().keys() == after.keys()
    for name, weights in plain.networks.state_dict().items():
        torch.testing.assert_close(weights, after[name], rtol=1e-3, atol=1e-5, msg=name)
        assert not torch.equal(weights, before[name]), f"{name} was not trained"


def test_the_plain_loop_gives_the_models_scores():
    plain, ours = plain_loops.plain_layers(model()), model()
    images = pictures(20, SHAPE).numpy()
    scores = ours.score(torch.from_numpy(images))
    torch.testing.assert_close(plain_loops.wgan_scores(plain, images, 8), scores)


def test_the_plain_search_approaches_an_image_of_the_generator():
    anogan = make("anogan")
    with anogan.frozen(training=False):
        x = anogan.generator(torch.randn(1, 8)).detach()
        after_200 = plain_loops.search_latent(anogan.generator, x, 8, steps=200, lr=0.05)
        after_1 = plain_loops.search_latent(anogan.generator, x, 8, steps=1, lr=0.05)
    assert after_200 < after_1 / 2


@pytest.mark.parametrize("words", [["--gpu", "0"], ["--scale", "10", "-1"], ["--rounds", "1.5"]])
def test_numbers_that_measure_nothing_are_refused(words):
    with pytest.raises(UserError, match=f"{words[0]}: '.+' is no whole number above 0"):
        speed.main(words)


def test_latent_search_refuses_a_model_other_than_anogan(tmp_path):
    path, other = tmp_path / "m.safetensors", model()
    state = model_files.trained_state(other)
    path.write_bytes(model_files.packed("w_skipganomaly", other, state, {}))
    with pytest.raises(UserError, match="not of anogan"):
        speed.main(["--latent", str(path), str(tmp_path)])


def test_a_process_that_fails_is_the_reason():
    """The others do not wait for it."""
    with pytest.raises(ZeroDivisionError):
        speed.one_trial_per_core("nothing", broken_work, "float32", 1)


def broken_work(precision):
    if precision is None:
        return lambda: None, 1
    return lambda: 1 / 0, 1


@pytest.fixture
def small_networks(monkeypatch):
    """The benchmark of a small model: that of the full one takes minutes."""

    def create(precision: str, device: str = "cpu"):
        small = {"device": device, "precision": precision, "ngf": 8, "ndf": 8}
        return models.create("w_skipganomaly", (3, 32, 32), **small)

    monkeypatch.setattr(speed, "new_model", create)


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.timeout(3600)
def test_the_benchmark_appends_its_rows_to_a_file(tmp_path, small_networks):
    assert speed.main(["--rounds", "1", "--threads", "1", "--out", str(tmp_path)]) == 0
    rows = [json.loads(line) for line in (tmp_path / "speed.jsonl").read_text().splitlines()]
    kinds = ("training", "training, a trial a core", "scoring", "scoring, a trial a core")
    assert Counter(row["what"] for row in rows) == dict.fromkeys(kinds, 2)
    for row in rows:
        assert row["ratio"] > 0
        assert row["versions"]["torch"]
        assert row["hardware"]["cpu"]


@pytest.mark.slow
@pytest.mark.long
def test_a_study_is_timed():
    row = harness.time_study(trials=3, limit=300, epochs=2)
    assert row["start_seconds"] > 1
    assert 0.5 < row["wall_over_training"] < 100
    assert row["driver_mb_at_100%"] > 100


def test_operations_are_counted_forwards_and_backwards():
    x = torch.randn(2, 3, 8, 8, requires_grad=True)
    with gpu.Operations() as operations:
        convolution = torch.nn.Conv2d(3, 5, 3, padding=1)
        convolution(x).sum().backward()
    forward = 2 * (2 * 5 * 8 * 8) * (3 * 3 * 3)
    assert operations.count == 3 * forward  # for x and for the weights as much again


@pytest.mark.slow
def test_a_process_that_fails_is_not_waited_for():
    assert gpu.in_processes(2, int, "3") == [3, 3]
    start = time.monotonic()
    with pytest.raises(RuntimeError, match="0 of 1 processes ended well"):
        gpu.in_processes(1, int, "x")
    assert time.monotonic() - start < gpu.LIMIT / 2


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device here")
def test_without_a_gpu_its_speed_is_no_question(tmp_path):
    with pytest.raises(UserError, match="--gpu: there is no CUDA device"):
        speed.main(["--gpu", "2", "--out", str(tmp_path)])
