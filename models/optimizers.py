"""torch's update functions of Adam and RMSprop, without the classes torch.optim.Adam and RMSprop.

`import torch.optim` costs nothing after `import torch`, but the first torch.optim.Adam(...) imports
torch's compiler: 2.3 to 2.8 s in each process (torch 2.15, two CPU cores).
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.adam import adam
from torch.optim.rmsprop import rmsprop


class Optimizer:
    """Updates parameters by their gradients.

    `state` holds what else steps change: by name, a list with one tensor for each parameter.
    """

    def __init__(self, network: nn.Module, lr: float, *moments: str):
        self.parameters, self.full_lr, self.share = list(network.parameters()), lr, 1.0
        self.state = {name: [torch.zeros_like(p) for p in self.parameters] for name in moments}
        self.state["counts"] = [torch.zeros((), device=p.device) for p in self.parameters]

    @property
    def lr(self) -> float:
        """The step size."""
        return self.full_lr * self.share

    def update(
        self, parameters: list[Tensor], gradients: list[Tensor], state: dict[str, list[Tensor]]
    ) -> None:
        """Changes these parameters and their state in place."""
        raise NotImplementedError

    def minimise(self, loss: Tensor) -> None:
        """One update by the loss's gradient; parameters of other optimisers get no gradient."""
        self.zero_grad()
        loss.backward(inputs=[p for p in self.parameters if p.requires_grad])
        self.step()

    @torch.no_grad()
    def step(self) -> None:
        """Updates the parameters that have a gradient."""
        used = [i for i, parameter in enumerate(self.parameters) if parameter.grad is not None]
        state = {name: [tensors[i] for i in used] for name, tensors in self.state.items()}
        parameters: list[Any] = [self.parameters[i] for i in used]
        self.update(parameters, [parameter.grad for parameter in parameters], state)

    def zero_grad(self) -> None:
        """Drops all gradients."""
        for parameter in self.parameters:
            parameter.grad = None

    @torch.no_grad()
    def restore(self, state: dict[str, list[Tensor]]) -> None:
        """Copies a saved `state` into this one."""
        for name, tensors in self.state.items():
            for tensor, saved in zip(tensors, state[name], strict=True):
                tensor.copy_(saved)


class Adam(Optimizer):
    """Adam (arXiv:1412.6980), all parameters in one fused update."""

    def __init__(self, network: nn.Module, lr: float, beta1: float, beta2: float):
        super().__init__(network, lr, "means", "squares")
        self.settings: dict[str, Any] = {"beta1": beta1, "beta2": beta2}
        self.settings |= {"eps": 1e-8, "weight_decay": 0.0, "amsgrad": False, "maximize": False}

    def update(
        self, parameters: list[Tensor], gradients: list[Tensor], state: dict[str, list[Tensor]]
    ) -> None:
        none: list[Tensor] = []
        moments = state["means"], state["squares"], none, state["counts"]
        adam(parameters, gradients, *moments, fused=True, lr=self.lr, **self.settings)


class RMSprop(Optimizer):
    """RMSprop (Hinton, Neural Networks for Machine Learning, lecture 6e)."""

    def __init__(self, network: nn.Module, lr: float, alpha: float):
        super().__init__(network, lr, "squares")
        self.settings: dict[str, Any] = {"alpha": alpha, "eps": 1e-8}
        self.settings |= {"weight_decay": 0.0, "momentum": 0.0, "centered": False}

    def update(
        self, parameters: list[Tensor], gradients: list[Tensor], state: dict[str, list[Tensor]]
    ) -> None:
        none: list[Tensor] = []
        moments = state["squares"], none, none, state["counts"]
        rmsprop(parameters, gradients, *moments, foreach=True, lr=self.lr, **self.settings)
