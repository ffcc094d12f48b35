"""How models follow their originals: each difference is a field, and `published` turns it on."""

import copy

import pytest
import torch
from small_models import NETWORKS, differ, make, pictures, stored, train

import models
from bench.training.model_files import trained_state

CRITICS = [name for name in NETWORKS if "n_critic" in models.hyperparameters(name)]


def steps(model, count: int, seed: int = 0) -> list[dict[str, float]]:
    """The losses of so many training steps on the same batch."""
    rng = torch.Generator().manual_seed(seed)
    x = model.normalise(pictures(model.config.batch_size))
    losses = []
    for _ in range(count):
        step = model.train_step(x, rng)
        losses.append({name: float(loss.detach()) for name, loss in step.items()})
        model.steps += 1
    return losses


def weights(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    return copy.deepcopy(dict(module.named_parameters()))


@pytest.mark.parametrize("name", CRITICS)
def test_the_generators_first_step_comes_after_n_critic_steps(name: str):
    """WGAN-GP, algorithm 1 (arXiv:1704.00028)."""
    model = make(name, n_critic=3)
    before = weights(model.generator)
    steps(model, 2)
    assert not differ(weights(model.generator), before)
    assert model.generator_steps == 0
    steps(model, 1)
    assert differ(weights(model.generator), before)
    assert model.generator_steps == 1


def test_skipganomalys_discriminator_minimises_the_latent_term_where_it_was_released():
    """Released code, commit 4f93ee6: err_d is the sum of err_d_real, err_d_fake and err_g_lat."""
    plain, released = (make("skipganomaly", discriminator_latent=on) for on in (False, True))
    first, other = steps(plain, 1)[0], steps(released, 1)[0]
    assert first["latent"] == pytest.approx(other["latent"]), "the generator's step comes first"
    expected = first["discriminator"] + released.config.w_lat * other["latent"]
    assert other["discriminator"] == pytest.approx(expected, rel=1e-5)
    assert differ(weights(plain.discriminator), weights(released.discriminator))


def test_ganomalys_generator_goes_first_where_it_was_released():
    """Released code, commit 106a59e: the generator sees the discriminator before its own step."""
    paper, released = (make("ganomaly", generator_first=first) for first in (False, True))
    losses = [steps(model, 1)[0] for model in (paper, released)]
    assert losses[0]["discriminator"] == losses[1]["discriminator"]
    assert losses[0]["contextual"] == losses[1]["contextual"]
    assert losses[0]["adversarial"] != losses[1]["adversarial"]


@pytest.mark.parametrize(("each", "restarts"), [(0.7e-5, True), (1.1e-5, False)])
def test_ganomalys_discriminator_restarts_at_the_mean_of_both_losses(monkeypatch, each, restarts):
    """The sum of both is above 1e-5 in either case."""
    from models import ganomaly

    asked = []
    model = make("ganomaly", restart_discriminator=True)
    monkeypatch.setattr(ganomaly, "init_weights", lambda _, when: asked.append(bool(when)))
    monkeypatch.setattr(ganomaly, "cross_entropy", lambda logits, _: 0 * logits + each)
    steps(model, 1)
    assert asked == [restarts]


@pytest.mark.parametrize("name", NETWORKS)
def test_a_moving_average_of_the_weights_scores(name: str):
    """As in EGBAD's released code; a field of every network."""
    model, images = make(name, average=0.5), pictures(4)
    before = weights(model.networks)
    train(model, images)
    assert model.steps == 1
    after = weights(model.networks)
    with model.frozen(training=False):
        averaged = weights(model.networks)
    assert not differ(averaged, {k: (before[k] + after[k]) / 2 for k in before})
    assert not differ(weights(model.networks), after), "training goes on with its own"
    again = make(name, average=0.5, seed=1)
    again.restore(stored(model.checkpoint()))
    assert torch.equal(again.score(images), model.score(images))
    loaded = make(name, average=0.5, seed=2)
    loaded.restore(trained_state(model))
    assert torch.equal(loaded.score(images), model.score(images))
    plain = make(name)
    train(plain, images)
    assert not differ(weights(plain.networks), after), "it changes no training"


def test_egbads_fields_change_what_they_say():
    plain = make("egbad")
    images = pictures(4)
    sums = make("egbad", score_sums=True)
    pixels, features = 16 * 16, sums.config.joint
    for name, count in (("reconstruction", pixels), ("discriminator", features)):
        one, other = (model.score_parts(images)[name] for model in (plain, sums))
        torch.testing.assert_close(other, one * count, rtol=1e-4, atol=1e-4)
    judged, of_x = (
        make("egbad", feature_matching=False, judge_reconstruction=on).score_parts(images)
        for on in (True, False)
    )
    assert not torch.allclose(judged["discriminator"], of_x["discriminator"])
    torch.manual_seed(0)
    losses = [steps(make("egbad", fresh_noise=on), 1)[0] for on in (False, True)]
    assert losses[0]["discriminator"] == losses[1]["discriminator"]
    assert losses[0]["generator"] != losses[1]["generator"]
    dropped = make("egbad", dropout=0.5)
    dropped.networks.train()
    x = dropped.normalise(images)
    z = torch.zeros(4, dropped.config.nz)
    assert not torch.equal(*dropped.discriminator((x, z), (x, z))[1])
    with dropped.frozen(training=True):  # the published protocol's scores are no random numbers
        assert torch.equal(*dropped.discriminator((x, z), (x, z))[1])
    with pytest.raises(ValueError, match="must be below 1"):
        make("egbad", dropout=1.0)


@pytest.mark.parametrize("name", ["anogan", "f_anogan"])
def test_batch_normalisation_in_the_generator_is_a_field(name: str):
    norms = [
        [m for m in make(name, (3, 16, 16), batch_norm=on).generator if "BatchNorm" in str(type(m))]
        for on in (False, True)
    ]
    assert not norms[0]
    assert norms[1]


@pytest.mark.parametrize("name", ["anogan", "f_anogan"])
def test_wgan_gps_initial_weights(name: str):
    """WGAN-GP's code: uniform, by fans less what a stride skips (tflib/ops), and biases 0."""
    model = make(name, he_init=True, ngf=16, ndf=16)
    convolution = model.features[2]
    transposed = next(m for m in model.generator if isinstance(m, torch.nn.ConvTranspose2d))
    fans = {  # 5 x 5 taps each; a stride of 2 skips three quarters of them
        convolution: (16 * 25, 32 * 25 / 4),
        transposed: (32 * 25 / 4, 16 * 25),
    }
    for layer, (fan_in, fan_out) in fans.items():
        bound = (3 * 4 / (fan_in + fan_out)) ** 0.5
        assert 0.98 * bound < layer.weight.abs().max() <= bound
    last = model.critic[1]
    assert last.weight.abs().max() <= (6 / (last.in_features + 1)) ** 0.5
    for network in model.networks.values():
        assert all(not v.any() for k, v in network.named_parameters() if k.endswith("bias"))


def test_f_anogans_latent_is_bounded():
    model = make("f_anogan")
    with torch.no_grad():
        for weight in model.encoder.parameters():
            weight.mul_(1e3)
        latent = model.encoder(model.normalise(pictures(4)))
    assert latent.abs().max() <= 1


@pytest.mark.parametrize("beside", [True, False])
def test_f_anogans_gan_is_frozen_while_its_encoder_trains_alone(beside: bool):
    model = make("f_anogan", gan_steps=2, n_critic=2, encoder_beside=beside)
    parts = ("generator", "critic", "encoder")
    before = {name: weights(model.networks[name]) for name in parts}
    steps(model, 4)
    middle = {name: weights(model.networks[name]) for name in parts}
    moved = {name: differ(before[name], middle[name]) for name in parts}
    assert moved == {"generator": True, "critic": True, "encoder": beside}
    losses = steps(model, 2)
    after = {name: weights(model.networks[name]) for name in parts}
    moved = {name: differ(middle[name], after[name]) for name in parts}
    assert moved == {"generator": False, "critic": False, "encoder": True}
    assert [set(loss) for loss in losses] == [{"encoder"}] * 2
