"""Several models trained as one: each layer's weights stacked, each operation done once for all of them.

For GPUs, where a step of one small model is over before the next one is launched. On a CPU it gains nothing
(`python -m bench.speed --fused 5`).
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from models.base import AnomalyModel, finite
from models.draws import Draws


class Fused:
    """K models of one class and configuration, which train together as each would alone, within rounding.

    They stay models of their own, for scores and checkpoints: their parameters, running statistics and moments become
    views of the stacked ones. Batches put the models side by side: row b * K + k is the b-th image of model k.
    """

    def __init__(self, models: Sequence[AnomalyModel]):
        """ValueError where the models differ in more than their weights, or cannot train as one (`fuses`)."""
        first = models[0]
        if any(described(model) != described(first) for model in models):
            raise ValueError("models that train as one must have the same class, configuration, images and steps")
        if not first.fuses(first.config):
            raise ValueError(f"{type(first).__module__} does not train as one with others under this configuration")
        self.models = list(models)
        with torch.random.fork_rng():  # new weights, which the models' own replace
            self.whole = type(first)(first.image_shape, first.config, str(first.device), first.precision)
        self.whole.together, self.whole.steps = len(models), first.steps
        stacked: dict[nn.Parameter, nn.Parameter] = {}
        stack(self.whole.networks, [model.networks for model in models], stacked)
        for name, optimizer in self.whole.optimizers.items():
            own = [model.optimizers[name] for model in models]
            optimizer.parameters = [stacked[parameter] for parameter in optimizer.parameters]
            optimizer.state = {"counts": own[0].state["counts"]}  # of steps: one for all
            for moment in own[0].state.keys() - {"counts"}:
                optimizer.state[moment] = [join(list(of)) for of in zip(*(o.state[moment] for o in own), strict=True)]
            for other in own[1:]:
                other.state["counts"] = own[0].state["counts"]

    def train_epoch(
        self, images: Sequence[Tensor], generators: Sequence[torch.Generator]
    ) -> list[dict[str, float] | FloatingPointError]:
        """One epoch of every model on images and a generator of its own; as many results as models.

        A result is what `train_epoch` of the model would return or raise. ValueError where numbers of batches differ.
        """
        for model, own in zip(self.models, images, strict=True):
            model.check(own)
        streams = [model.device_generator(g) for model, g in zip(self.models, generators, strict=True)]
        batches = zip(*(m.batches(i, g) for m, i, g in zip(self.models, images, generators, strict=True)), strict=True)
        means = self.whole.train_batches((torch.stack(of, 1).flatten(0, 1) for of in batches), Draws(streams))
        rows = {name: mean.reshape(len(self.models)).tolist() for name, mean in means.items()}
        found: list[dict[str, float] | FloatingPointError] = []
        for k, model in enumerate(self.models):
            model.steps = self.whole.steps
            try:
                found.append(finite({name: of[k] for name, of in rows.items()}, model.steps))
            except FloatingPointError as error:
                found.append(error)
        return found


def described(model: AnomalyModel) -> tuple[Any, ...]:
    """What models that train as one have in common."""
    return type(model), model.config, model.image_shape, model.device, model.precision, model.steps


@torch.no_grad()
def join(tensors: list[Tensor]) -> Tensor:
    """The tensors stacked along a new first dimension; they become views of its slices."""
    joined = torch.stack([tensor.detach() for tensor in tensors])
    for tensor, own in zip(tensors, joined, strict=True):
        tensor.data = own
    return joined


def stack(network: nn.Module, twins: list[nn.Module], stacked: dict[nn.Parameter, nn.Parameter]) -> None:
    """Puts stacked layers in the place of `network`'s; `stacked` gets their parameters, by those they replace."""
    for name, child in network.named_children():
        layers = [twin.get_submodule(name) for twin in twins]
        own = dict(child.named_parameters(recurse=False))
        if not own:  # it acts on each image by itself, or only holds others that do
            stack(child, layers, stacked)
            continue
        layer = (StackedNorm if isinstance(child, nn.BatchNorm2d) else Stacked)(layers)
        stacked |= {parameter: layer.get_parameter(name) for name, parameter in own.items()}
        setattr(network, name, layer)


class Stacked(nn.Module):
    """A layer of K models, for batches (B * K, ...) with the models side by side."""

    def __init__(self, layers: list[Any]):
        super().__init__()
        self.layers = layers  # a list, so that they are not parts of this module
        for name, _ in layers[0].named_parameters():
            setattr(self, name, nn.Parameter(join([layer.get_parameter(name) for layer in layers])))
        for name, _ in layers[0].named_buffers():
            self.register_buffer(name, join([layer.get_buffer(name) for layer in layers]))

    def forward(self, x: Tensor) -> Tensor:
        def one(tensors: dict[str, Tensor], images: Tensor) -> Tensor:
            return functional_call(self.layers[0], tensors, (images,))

        tensors: dict[str, Tensor] = dict(self.named_parameters())
        rows, kind = x.unflatten(0, (-1, len(self.layers))), x.device.type
        if torch.is_autocast_enabled(kind):  # vmap goes past it
            dtype = torch.get_autocast_dtype(kind)
            tensors, rows = {name: tensor.to(dtype) for name, tensor in tensors.items()}, rows.to(dtype)
        # Of a convolution vmap makes one with K groups of channels, of a matrix product a batch of K.
        return torch.vmap(one, in_dims=(0, 1), out_dims=1)(tensors, rows).flatten(0, 1)


class StackedNorm(Stacked):
    """Batch normalisation of K models in training mode: that of all their channels."""

    def forward(self, x: Tensor) -> Tensor:
        norm, own = self.layers[0], {name: tensor.flatten() for name, tensor in self.state_dict(keep_vars=True).items()}
        own.pop("num_batches_tracked").add_(1)
        channels = x.reshape(len(x) // len(self.layers), -1, *x.shape[2:])
        made = nn.functional.batch_norm(channels, **own, training=True, momentum=norm.momentum, eps=norm.eps)
        return made.view(x.shape)
