"""Layers whose gradient's gradient is fast: a critic's gradient penalty differentiates twice.

torch composes the second gradient of a normalisation from 46 kernels; here it takes 22, or one
where Triton works (models.norm_kernels). For a convolution's weights, torch computes the second
gradient as a convolution with a kernel as large as the image, which took a GPU an eighth of a
training step; here it is computed as the weights' usual gradient is.
"""

from functools import cache
from subprocess import CalledProcessError
from types import ModuleType
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

EPSILON = 1e-5  # added to variances, as by nn.InstanceNorm2d
SIDES = (2, 3)
OLDEST = (7, 0)  # compute capability of the oldest GPUs that Triton compiles for


@cache
def triton_kernels() -> ModuleType | None:
    """models.norm_kernels; None where Triton cannot compile them (it needs a C compiler)."""
    if torch.cuda.get_device_capability() < OLDEST:
        return None
    try:
        from models import norm_kernels

        norm_kernels.forward(torch.zeros(1, 1, 2, 2, device="cuda"), EPSILON)
    except torch.OutOfMemoryError:
        raise  # says nothing of Triton
    except (ImportError, OSError, RuntimeError, CalledProcessError):
        return None
    return norm_kernels


def kernels_for(x: Tensor) -> ModuleType | None:
    """models.norm_kernels where they take x (B, C, H, W), else None."""
    kernels = triton_kernels() if x.is_cuda else None
    return kernels if kernels and kernels.takes(x) else None


def normalised(x: Tensor) -> Tensor:
    """Images or features (B, C, H, W), each channel of each to mean 0 and variance 1."""
    return Normalised.apply(x)


class Normalised(Function):
    """Maps x to y = (x - mean) * rate, where rate is 1 / standard deviation."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        if kernels := kernels_for(x):
            y, mean, rate = kernels.forward(x, EPSILON)
        else:
            with torch.autocast("cuda", enabled=False):  # which would give float32 for bfloat16
                y, mean, rate = torch.native_layer_norm(x, x.shape[2:], None, None, EPSILON)
        ctx.save_for_backward(x, y, mean, rate)
        return y

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Tensor:
        return NormalisedGradient.apply(g, *ctx.saved_tensors)


def norm_gradient(g: Tensor, x: Tensor, mean: Tensor, rate: Tensor) -> Tensor:
    """rate * (g - E[g] - y E[g y]), E over an image's sides; linear in g, and its own adjoint."""
    if kernels := kernels_for(x):
        return kernels.gradient(g, x, mean, rate)
    only_x = [True, False, False]
    norm_backward = torch.ops.aten.native_layer_norm_backward
    return norm_backward(g.contiguous(), x, x.shape[2:], mean, rate, None, None, only_x)[0]


class NormalisedGradient(Function):
    """Maps the gradient g of y to that of x; `backward` takes y and rate as functions of x.

    With v the gradient of the result, a = E[g y] and b = E[v y], the gradient of x in `backward` is
    -rate^2 (a (v - E[v]) + b (g - E[g]) + y (E[v g] - E[v] E[g] - 3 a b)).
    """

    @staticmethod
    def forward(ctx: Any, g: Tensor, x: Tensor, y: Tensor, mean: Tensor, rate: Tensor) -> Tensor:
        ctx.save_for_backward(g, x, y, mean, rate)
        return norm_gradient(g, x, mean, rate)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, v: Tensor) -> tuple[Tensor | None, ...]:
        g, x, y, mean, rate = ctx.saved_tensors
        if kernels := kernels_for(x):
            return *kernels.second_gradient(v, g, x, mean, rate), None, None, None
        a, b = (g * y).mean(SIDES, keepdim=True), (v * y).mean(SIDES, keepdim=True)
        mean_v, mean_g = v.mean(SIDES, keepdim=True), g.mean(SIDES, keepdim=True)
        c = (v * g).mean(SIDES, keepdim=True) - mean_v * mean_g - 3 * a * b
        total = torch.addcmul(torch.addcmul(y * c, a, v - mean_v), b, g - mean_g)
        return norm_gradient(v, x, mean, rate), total.mul_(-rate.square()), None, None, None


def convolved(x: Tensor, weight: Tensor, stride: Any, padding: Any) -> Tensor:
    """Images (B, C, H, W) convolved with weights (K, C, h, w), in autocast's type."""
    device = x.device.type
    kind = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else x.dtype
    # A view of the weights: `Convolved.backward` cannot ask about weights themselves.
    return Convolved.apply(x.to(kind), weight.to(kind).view_as(weight), stride, padding)


class Convolved(Function):
    """Maps images and weights to their convolution."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, *geometry: Any) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.geometry = geometry
        return torch.conv2d(x, weight, None, *geometry)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        grad_x = grad_weight = None
        if ctx.needs_input_grad[0]:
            grad_x = ConvolvedGradient.apply(g, x, weight, *ctx.geometry)
        # Like torch's own layers, this gives no gradient of the weights where only that of the
        # images is asked for, as by a gradient penalty.
        weight_node = ctx.next_functions[1][0]
        if weight_node is not None and torch._C._will_engine_execute_node(weight_node):
            grad_weight = conv_gradient(g, x, weight, ctx.geometry, 1)
        return grad_x, grad_weight, None, None


def conv_gradient(g: Tensor, x: Tensor, weight: Tensor, geometry: Any, which: int) -> Tensor:
    """The gradient of x (which = 0) or of the weights (1), from that of their convolution."""
    mask = [which == 0, which == 1, False]
    conv_backward = torch.ops.aten.convolution_backward
    return conv_backward(g, x, weight, None, *geometry, [1, 1], False, [0, 0], 1, mask)[which]


class ConvolvedGradient(Function):
    """Maps the gradient g of a convolution to that of its images."""

    @staticmethod
    def forward(ctx: Any, g: Tensor, x: Tensor, weight: Tensor, *geometry: Any) -> Tensor:
        ctx.save_for_backward(g, weight)
        ctx.geometry = geometry
        return conv_gradient(g, x, weight, geometry, 0)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, v: Tensor) -> tuple[Tensor | None, ...]:
        g, weight = ctx.saved_tensors
        grad_g = torch.conv2d(v, weight, None, *ctx.geometry)
        return grad_g, None, conv_gradient(g, v, weight, ctx.geometry, 1), None, None
