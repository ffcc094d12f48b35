"""Our optimisers take the same steps as torch's, and do not import torch's compiler."""

import subprocess
import sys

import pytest
import torch
from commands import ROOT
from torch import nn

import models
from models.optimizers import Adam, RMSprop


def set_gradients(network: nn.Module, seed: int) -> None:
    """Random gradients; for odd seeds, the second parameter has none."""
    torch.manual_seed(seed)
    for number, parameter in enumerate(network.parameters()):
        parameter.grad = None if number == 1 and seed % 2 else torch.randn_like(parameter)


def test_a_layer_that_is_held_stays_as_it_is() -> None:
    """And no other optimiser's parameters get a gradient."""
    held, trained, other = nn.Linear(3, 3), nn.Linear(3, 3), nn.Linear(3, 1)
    held.requires_grad_(False)
    before = [parameter.clone() for parameter in (held.weight, trained.weight)]
    Adam(nn.Sequential(held, trained), 1e-2, 0.5, 0.9).minimise(
        other(trained(held(torch.ones(2, 3)))).sum()
    )
    assert torch.equal(held.weight, before[0])
    assert not torch.equal(trained.weight, before[1])
    assert other.weight.grad is None


@pytest.mark.parametrize("name", ["adam", "rmsprop"])
def test_steps_are_torchs_to_the_bit(name: str) -> None:
    networks = []
    for _ in range(3):
        torch.manual_seed(0)
        networks.append(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(5, 2)))
    ours, theirs, restored = networks
    if name == "adam":
        steppers = [Adam(network, 1e-2, 0.5, 0.9) for network in (ours, restored)]
        stepper = torch.optim.Adam(theirs.parameters(), lr=1e-2, betas=(0.5, 0.9), fused=True)
    else:
        steppers = [RMSprop(network, 1e-2, alpha=0.9) for network in (ours, restored)]
        stepper = torch.optim.RMSprop(theirs.parameters(), lr=1e-2, alpha=0.9)
    for seed in range(6):
        if seed == 3:  # the third network continues from the first one's state
            restored.load_state_dict(ours.state_dict())
            steppers[1].restore(steppers[0].state)
        for network in networks:
            set_gradients(network, seed)
        for each in [*steppers, stepper]:
            each.step()
    for a, b, c in zip(ours.parameters(), theirs.parameters(), restored.parameters(), strict=True):
        assert torch.equal(a, b)
        assert torch.equal(a, c)
    steppers[0].zero_grad()
    assert all(parameter.grad is None for parameter in ours.parameters())


@pytest.mark.parametrize("model", ["w_skipganomaly", "f_anogan"])
def test_training_does_not_import_torchs_compiler(model: str) -> None:
    """Nor torchvision, which imports it, nor Ray and Optuna: seconds in every process."""
    lines = [
        "import sys, torch, train, models",
        "from bench.training.devices import be_deterministic",
        "be_deterministic(True)",
        f"model = models.create('{model}', (1, 16, 16), ngf=4, ndf=4, nz=4, batch_size=4)",
        "images = torch.zeros((8, 1, 16, 16), dtype=torch.uint8)",
        "model.train_epoch(images, torch.Generator()), model.score(images)",
        "assert not {'torch._dynamo', 'torchvision', 'ray', 'optuna'} & sys.modules.keys()",
    ]
    subprocess.run([sys.executable, "-c", "; ".join(lines)], check=True, cwd=ROOT)


def test_an_optimiser_that_cannot_be_stored_is_named(monkeypatch):
    kind = models.get("autoencoder")
    build = kind.build

    def with_torchs(model):
        build(model)
        model.optimizers["autoencoder"] = torch.optim.SGD(model.networks.parameters(), 0.1)

    monkeypatch.setattr(kind, "build", with_torchs)
    with pytest.raises(TypeError, match="'autoencoder' must be one of"):
        models.create("autoencoder", (1, 16, 16))
