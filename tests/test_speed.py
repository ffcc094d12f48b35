"""The plain loops of the speed benchmark do the models' own mathematics, and the benchmark runs."""

import json
from collections import Counter

import numpy as np
import pytest
import torch

import models
from bench.speed import __main__ as speed
from bench.speed import harness, plain_loops


def pair():
    found = []
    for _ in range(2):
        torch.manual_seed(0)
        found.append(models.create("w_skipganomaly", (3, 16, 16), ngf=4, ndf=4, nz=8, batch_size=4))
    return found


def pictures(n: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (n, 3, 16, 16), dtype=np.uint8)


def test_plain_training_takes_the_same_steps():
    plain, ours = pair()
    plain_loops.plain_layers(plain)
    images, optimizers = pictures(28), plain_loops.adams(plain)
    rngs = [torch.Generator().manual_seed(1) for _ in range(2)]
    for step in range(7):
        batch = images[4 * step : 4 * step + 4]
        plain_loops.wgan_step(plain, optimizers, batch, step, rngs[0])
        ours.train_step(ours.normalise(torch.from_numpy(batch)), rngs[1])
        ours.steps += 1
    before = pair()[0].networks.state_dict()
    for (name, a), b in zip(plain.networks.state_dict().items(), ours.networks.state_dict().values(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-5, msg=name)
        assert not torch.equal(a, before[name]), f"{name} was not trained"


def test_plain_scores_are_the_same():
    plain, ours = pair()
    plain_loops.plain_layers(plain)
    images = pictures(20)
    torch.testing.assert_close(plain_loops.wgan_scores(plain, images, 8), ours.score(torch.from_numpy(images)))


def test_plain_search_gets_closer():
    torch.manual_seed(0)
    model = models.create("anogan", (1, 16, 16), ngf=4, ndf=4, nz=8)
    with model.frozen(training=False):
        x = model.generator(torch.randn(1, 8)).detach()
        near, far = (plain_loops.search_latent(model.generator, x, 8, steps, lr=0.05) for steps in (200, 1))
    assert near < far / 2


def test_bad_model_is_refused(tmp_path):
    from bench.choices.errors import UserError
    from bench.training import model_files

    path = tmp_path / "m.safetensors"
    plain = pair()[0]
    path.write_bytes(model_files.packed("w_skipganomaly", plain, model_files.trained_state(plain), {}))
    with pytest.raises(UserError, match="not of anogan"):
        speed.main(["--latent", str(path), str(tmp_path)])


@pytest.fixture
def small(monkeypatch):
    def made(precision: str, device: str = "cpu"):
        return models.create("w_skipganomaly", (3, 32, 32), device=device, precision=precision, ngf=8, ndf=8)

    monkeypatch.setattr(speed, "new_model", made)  # the real one takes minutes


@pytest.mark.slow
def test_a_table_is_timed():
    found = speed.table("digits", epochs=1, abnormal_class=("3", "5", "7"), limit_train=300)
    assert (found["classes"], found["epochs"]) == (3, 1)
    assert found["seconds"] > 0.1
    assert 0 < found["mean_test_auroc"] < 1


@pytest.mark.slow
def test_benchmark_writes_rows(tmp_path, small):
    assert speed.main(["--rounds", "1", "--threads", "1", "--out", str(tmp_path)]) == 0
    rows = [json.loads(line) for line in (tmp_path / "speed.jsonl").read_text().splitlines()]
    kinds = ("training", "training, a trial a core", "scoring", "scoring, a trial a core")
    assert Counter(row["what"] for row in rows) == dict.fromkeys(kinds, 2)
    assert all(row["ratio"] > 0 and row["versions"]["torch"] and row["hardware"]["cpu"] for row in rows)


@pytest.mark.slow
def test_a_study_is_timed():
    found = harness.study(trials=3, limit=300, epochs=2)
    assert found["start_seconds"] > 1
    assert 0.5 < found["wall_over_training"] < 100
    assert found["driver_mb_at_100%"] > 100
