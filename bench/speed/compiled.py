"""w_skipganomaly's training step compiled by torch.compile, for `bench.speed --gpu` to compare with.

The compiler cannot follow second gradients by torch.autograd.grad, so the gradient penalty's are
nested torch.func.grad. It fuses torch's own layers, which take the place of this project's.
"""

from collections.abc import Mapping
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, grad_and_value

from bench.speed.plain_loops import plain_layers
from models.networks import InstanceNorm
from models.w_skipganomaly import Model

Weights = Mapping[str, Tensor]


def compiled(model: Model) -> Model:
    """The same model with a compiled `train_step`; it takes the same steps, up to rounding."""
    plain_layers(model)
    generator, critic, c = model.generator, model.critic, model.config
    for place, (before, layer) in enumerate(list(pairwise(critic)), start=1):
        if isinstance(before, nn.Conv2d) and isinstance(layer, InstanceNorm):
            critic[place] = nn.InstanceNorm2d(before.out_channels)

    def features(weights: Weights, x: Tensor) -> Tensor:
        return functional_call(critic, dict(weights), x).float().flatten(1)

    def critic_loss(weights: Weights, x: Tensor, fake: Tensor, epsilon: Tensor) -> Tensor:
        real, faked = features(weights, torch.cat([x, fake])).chunk(2)
        between = torch.lerp(fake, x, epsilon)
        gradient = grad(lambda images: features(weights, images).mean(1).sum())(between)
        penalty = (torch.linalg.vector_norm(gradient, dim=(1, 2, 3)) - 1).square().mean()
        return (faked - real).mean() + c.w_gp * penalty

    def generator_loss(x: Tensor, fake: Tensor) -> Tensor:
        weights = {name: weight.detach() for name, weight in critic.named_parameters()}
        real, faked = features(weights, x), features(weights, fake)
        latent, contextual = (faked - real).square().mean(), (fake - x).abs().mean()
        return -c.w_adv * faked.mean() + c.w_con * contextual + c.w_lat * latent

    reconstructed = torch.compile(lambda x: generator(x).float())
    critic_gradients = torch.compile(grad_and_value(critic_loss))
    loss_of_generator = torch.compile(generator_loss)

    def train_step(x: Tensor, rng: torch.Generator) -> dict[str, Tensor]:
        updates_generator = (model.steps + 1) % c.n_critic == 0
        with torch.set_grad_enabled(updates_generator):
            fake = reconstructed(x)
        weights = dict(critic.named_parameters())
        held = {name: weight.detach() for name, weight in weights.items()}
        epsilon = torch.rand(len(x), 1, 1, 1, generator=rng, device=rng.device)
        gradients, loss = critic_gradients(held, x, fake.detach(), epsilon)
        for name, weight in weights.items():
            weight.grad = torch.empty_like(weight).copy_(gradients[name])  # in its order of memory
        model.optimizers["critic"].step()
        losses = {"critic": loss}
        if updates_generator:
            losses["generator"] = loss_of_generator(x, fake)
            model.optimizers["generator"].zero_grad()
            losses["generator"].backward()
            model.optimizers["generator"].step()
        return losses

    model.train_step = train_step  # type: ignore[method-assign]
    return model
