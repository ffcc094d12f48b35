"""torch's own optimisers, without torch.optim's classes: these import torch's compiler, seconds in every process."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.adam import adam
from torch.optim.rmsprop import rmsprop


class Optimizer:
    """Updates parameters by their gradients. `state`: what its steps change beside them, a tensor a parameter each."""

    def __init__(self, parameters: Iterable[nn.Parameter], lr: float, *moments: str):
        self.parameters, self.lr = list(parameters), lr
        self.state = {name: [torch.zeros_like(p) for p in self.parameters] for name in moments}
        self.state["counts"] = [torch.zeros((), device=p.device) for p in self.parameters]

    def update(self, parameters: list[Tensor], gradients: list[Tensor], state: dict[str, list[Tensor]]) -> None:
        raise NotImplementedError

    @torch.no_grad()
    def step(self) -> None:
        """Updates the parameters that have a gradient."""
        found = [i for i, parameter in enumerate(self.parameters) if parameter.grad is not None]
        state = {name: [tensors[i] for i in found] for name, tensors in self.state.items()}
        parameters: list[Any] = [self.parameters[i] for i in found]
        self.update(parameters, [parameter.grad for parameter in parameters], state)

    def zero_grad(self) -> None:
        for parameter in self.parameters:
            parameter.grad = None

    @torch.no_grad()
    def restore(self, state: dict[str, list[Tensor]]) -> None:
        for name, tensors in self.state.items():
            for tensor, saved in zip(tensors, state[name], strict=True):
                tensor.copy_(saved)


class Adam(Optimizer):
    """Adam (arXiv:1412.6980), all parameters in one fused update."""

    def __init__(self, network: nn.Module, lr: float, beta1: float, beta2: float):
        super().__init__(network.parameters(), lr, "means", "squares")
        self.settings: dict[str, Any] = {"beta1": beta1, "beta2": beta2, "eps": 1e-8, "weight_decay": 0.0}

    def update(self, parameters: list[Tensor], gradients: list[Tensor], state: dict[str, list[Tensor]]) -> None:
        none: list[Tensor] = []
        moments = state["means"], state["squares"], none, state["counts"]
        adam(parameters, gradients, *moments, fused=True, amsgrad=False, maximize=False, lr=self.lr, **self.settings)


class RMSprop(Optimizer):
    """RMSprop (Hinton, Neural Networks for Machine Learning, lecture 6e)."""

    def __init__(self, network: nn.Module, lr: float, alpha: float):
        super().__init__(network.parameters(), lr, "squares")
        self.settings: dict[str, Any] = {"alpha": alpha, "eps": 1e-8, "weight_decay": 0.0, "momentum": 0.0}

    def update(self, parameters: list[Tensor], gradients: list[Tensor], state: dict[str, list[Tensor]]) -> None:
        none: list[Tensor] = []
        moments = state["squares"], none, none, state["counts"]
        rmsprop(parameters, gradients, *moments, foreach=True, centered=False, lr=self.lr, **self.settings)
