"""The models on other devices and in other precisions, as far as a CPU can test them."""

import functools
import platform
import subprocess
import sys

import pytest
import torch
from small_models import (
    NETWORKS,
    SETTINGS,
    WITH_ALL_PARTS,
    assert_same_to_the_bit,
    lineage,
    make,
    pictures,
    small,
    train,
    with_classes,
)
from torch import nn

import models
from bench.choices.study import Study
from bench.training import devices
from bench.training.devices import be_deterministic
from models.networks import Conv, ConvTranspose, init_weights

# Scores by its discriminator's cross-entropy, not by its features.
BY_CROSS_ENTROPY = ("egbad", {"feature_matching": False})


class Meta(torch.Generator):
    """A stand-in for a random generator on the meta device, which has none."""

    device = torch.device("meta")


@pytest.mark.parametrize(("name", "settings"), SETTINGS, ids=str)
def test_a_step_reads_no_value_and_stays_on_its_device(name, settings):
    """The meta device has shapes but no values.

    It fails on a tensor of another device, and where Python reads a value; on a GPU, that would
    make the step wait.
    """
    values = small(name, **settings)
    model = models.create(name, (3, 16, 16), device="meta", **values)
    x = torch.empty((4, 3, 16, 16), device="meta")
    for _ in range(values.get("n_critic", 1) + 1):
        losses = model.train_step(x, Meta())
        model.steps += 1
        assert all(loss.device.type == "meta" for loss in losses.values())
    if "anogan" not in lineage(name):  # whose scoring must read whether all searches have ended
        parts = model.parts(x).values()
        assert all(part.shape == (4,) and part.device.type == "meta" for part in parts)


@pytest.mark.parametrize("name", NETWORKS)
def test_every_device_starts_from_the_same_weights(name):
    """Those that the CPU's generator draws. The meta device has none; a GPU's draws other ones."""
    states = []
    for device in ("cpu", "meta"):
        make(name, device=device)
        states.append(torch.get_rng_state())
    assert torch.equal(*states)


@pytest.mark.parametrize(
    ("name", "settings"), [*SETTINGS, *WITH_ALL_PARTS, BY_CROSS_ENTROPY], ids=str
)
def test_bfloat16_gives_different_images_different_scores(name, settings):
    model, images = make(name, precision="bfloat16", **settings), with_classes(pictures(40))
    train(model, images)
    for part, values in model.score_parts(pictures(40, seed=1)).items():
        assert len(values.unique()) > 35, part


@pytest.mark.parametrize(("name", "settings"), SETTINGS, ids=str)
def test_bfloat16_trains_with_current_weights(name, settings):
    """One network's step sees the other's latest weights, as it does without torch's cache.

    That cache holds weights rounded to bfloat16, and an optimiser's step leaves it out of date.
    """
    fields = models.hyperparameters(name)
    values = settings | {field: 1e-2 for field in fields if field.startswith("lr")}
    ours, uncached = (make(name, precision="bfloat16", **values) for _ in range(2))
    autocast = functools.partial(torch.autocast, "cpu", torch.bfloat16, cache_enabled=False)
    uncached.arithmetic = lambda **_: autocast()
    losses = []
    for model in (ours, uncached):
        torch.manual_seed(0)  # restarts draw from it
        losses.append(train(model, pictures(4 * values.get("n_critic", 2))))
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)
    assert_same_to_the_bit(ours.checkpoint(), uncached.checkpoint())


@pytest.mark.parametrize(
    ("precision", "kind"), [("float32", "ieee"), ("tf32", "tf32"), ("bfloat16", "ieee")]
)
def test_both_of_a_gpus_tf32_switches_are_set(precision, kind):
    """torch's defaults differ: convolutions in tf32, matrix products in float32."""
    model = make("autoencoder", precision=precision)
    for work in (lambda: train(model, pictures(4)), lambda: model.score(pictures(4))):
        torch.backends.cuda.matmul.fp32_precision = "none"
        torch.backends.cudnn.conv.fp32_precision = "none"
        work()
        assert torch.backends.cuda.matmul.fp32_precision == kind
        assert torch.backends.cudnn.conv.fp32_precision == kind


@pytest.mark.parametrize(
    ("layer", "side", "shortcut", "everywhere"),
    [
        (Conv(8, 4, 4, 2, 1, bias=False), 2, "linear", True),
        (Conv(8, 4, 4, 1, 0, bias=False), 4, "linear", True),
        (ConvTranspose(8, 4, 4, 2, 1, bias=False), 2, "fold", False),
    ],
)
def test_matrix_products_take_the_place_of_small_convolutions(
    layer, side, shortcut, everywhere, monkeypatch
):
    """On a CPU all of them, on other devices (here: meta) those that give or take one pixel."""
    monkeypatch.setattr(nn.functional, shortcut, lambda *_, **__: pytest.fail("taken"))
    for device in ("cpu", "meta"):
        x = torch.zeros((2, 8, side, side), device=device)
        if device == "cpu" or everywhere:
            with pytest.raises(pytest.fail.Exception, match="taken"):
                layer.to(device)(x)
        else:
            layer.to(device)(x)


@pytest.mark.parametrize("happens", [False, True])
def test_a_restart_draws_random_numbers_whether_or_not_it_happens(happens):
    def network():
        torch.manual_seed(0)
        return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(5, 2))

    plain, masked = network(), network()
    before = {name: value.clone() for name, value in masked.state_dict().items()}
    init_weights(plain)
    state = torch.get_rng_state()
    torch.manual_seed(0)
    network()
    init_weights(masked, torch.tensor(happens))
    assert torch.equal(torch.get_rng_state(), state)
    assert_same_to_the_bit(masked.state_dict(), plain.state_dict() if happens else before)


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("w_skipganomaly", "restart_critic"),
        ("skipganomaly", "restart_discriminator"),
        ("ganomaly", "restart_discriminator"),
    ],
)
def test_a_restart_that_never_comes_changes_nothing(name, field):
    """Then --audit measures what restarts do, and not the effect of other random numbers."""
    runs = []
    for on in (False, True):
        model = make(name, **{field: on}, **({"w_gp": 1000.0} if name == "w_skipganomaly" else {}))
        losses = train(model, pictures(24))
        assert losses.get("critic", 1) > 1e-5
        runs.append(model)
    assert_same_to_the_bit(runs[0].checkpoint(), runs[1].checkpoint())


@pytest.mark.parametrize("name", NETWORKS)
def test_be_deterministic_changes_no_result_on_a_cpu(name, monkeypatch):
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", "")
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG")
    results = []
    for on in (False, True):
        be_deterministic(on)
        assert torch.are_deterministic_algorithms_enabled() == on
        model = make(name)
        train(model, pictures(8))
        results.append(model.checkpoint() | {"scores": model.score(pictures(8))})
    be_deterministic(False)
    assert_same_to_the_bit(*results)


@pytest.mark.parametrize("has", [True, False])
def test_a_cpu_that_emulates_bfloat16_is_noted(has, monkeypatch, capsys):
    monkeypatch.setattr(devices, "cpu_has_bfloat16", lambda: has)
    assert devices.choose_device(Study(device="cpu", precision="bfloat16")) == "cpu"
    assert ("emulates" in capsys.readouterr().err) != has


FAULTS = """
import resource, torch
from bench.training.devices import ready_process
ready_process(3)
for _ in range(20):  # 32 MB each: 8,192 pages
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(8 * 2**20)
print(torch.get_num_threads(), resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="only glibc gives memory back at once"
)
def test_a_batch_takes_the_memory_that_the_last_one_freed():
    printed = subprocess.run(
        [sys.executable, "-c", FAULTS], capture_output=True, text=True, check=True
    ).stdout
    threads, faults = map(int, printed.split())
    assert threads == 3
    assert faults < 100, "Linux cleared the pages anew"
