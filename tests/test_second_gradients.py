"""Layers for gradient penalties: torch's values, and both of their gradients."""

from functools import partial

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck

from models.networks import InstanceNorm
from models.second_gradients import convolved, normalised


def drawn(*shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(sum(shape))
    return torch.randn(shape, dtype=torch.float64, generator=generator, requires_grad=True)


@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (1, 1, 2, 2), (3, 2, 1, 4)], ids=str)
def test_normalisation_is_torchs_and_both_gradients_are_right(shape) -> None:
    x, norm = drawn(*shape), InstanceNorm(shape[1])
    torch.testing.assert_close(norm(x), torch.nn.functional.instance_norm(x))
    assert gradcheck(norm, (x,))
    assert gradgradcheck(norm, (x,))


@pytest.mark.parametrize(("stride", "padding"), [(2, 1), (1, 0), (2, 2)])
def test_convolution_is_torchs_and_both_gradients_are_right(stride, padding) -> None:
    x, weight = drawn(2, 3, 7, 6), drawn(2, 3, 4, 4)
    ours = partial(convolved, stride=[stride] * 2, padding=[padding] * 2)
    torch.testing.assert_close(ours(x, weight), torch.conv2d(x, weight, None, stride, padding))
    assert gradcheck(ours, (x, weight))

    def penalty(x: Tensor, weight: Tensor) -> Tensor:
        (gradient,) = torch.autograd.grad(ours(x, weight).square().sum(), x, create_graph=True)
        return gradient

    assert gradcheck(penalty, (x, weight))


def test_in_autocast_layers_give_its_type_and_so_do_their_gradients() -> None:
    x, weight = drawn(2, 3, 8, 8).float().detach().requires_grad_(), drawn(4, 3, 4, 4).float()
    with torch.autocast("cpu", torch.bfloat16):
        y = normalised(convolved(x, weight, [2, 2], [1, 1]))
        (gradient,) = torch.autograd.grad(y.square().sum(), x, create_graph=True)
    assert (y.dtype, gradient.dtype) == (torch.bfloat16, torch.float32)
