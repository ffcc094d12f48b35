"""Instance normalisation and its first two gradients as GPU kernels, written in Triton.

One kernel each, whether channels are first or last in memory. models.second_gradients has the
equations, and the same from torch's operations. Those take 22 kernels for the second gradient, and
first have to move channels to the front where they are last, as cuDNN wants them.
"""

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

LARGEST = 1024  # pixels of an image, which a kernel holds in registers
TILE = 2048  # pixels that a kernel holds at a time, over all its channels


def takes(x: Tensor) -> bool:
    """Whether the kernels can take x (B, C, H, W): small, dense, and not more exact than float32."""
    dense = x.is_contiguous() or x.is_contiguous(memory_format=torch.channels_last)
    small = x.shape[2] * x.shape[3] <= LARGEST and x.numel() < 2**31
    return dense and small and x.dtype != torch.float64


def forward(x: Tensor, epsilon: float) -> tuple[Tensor, Tensor, Tensor]:
    """(x - mean) * rate, with mean and rate (B, C, 1, 1) in float32."""
    y, mean = torch.empty_like(x), x.new_empty(*x.shape[:2], 1, 1, dtype=torch.float32)
    rate = torch.empty_like(mean)
    launch(normalise, x, y, mean, rate, EPSILON=epsilon)
    return y, mean, rate


def gradient(g: Tensor, x: Tensor, mean: Tensor, rate: Tensor) -> Tensor:
    """The gradient of x, from the gradient g of its normalisation."""
    result = torch.empty_like(x)
    launch(gradient_kernel, x, mean, rate, like(g, x), result)
    return result


def second_gradient(
    v: Tensor, g: Tensor, x: Tensor, mean: Tensor, rate: Tensor
) -> tuple[Tensor, Tensor]:
    """The gradients of g and x, from the gradient v of the result of `gradient`."""
    grad_g, grad_x = torch.empty_like(x), torch.empty_like(x)
    launch(second_gradient_kernel, x, mean, rate, like(v, x), like(g, x), grad_g, grad_x)
    return grad_g, grad_x


def like(g: Tensor, x: Tensor) -> Tensor:
    """g, copied to x's memory layout if it has another one."""
    return g if g.stride() == x.stride() else torch.empty_like(x).copy_(g)


def launch(kernel: Any, x: Tensor, *others: Tensor, **constants: float) -> None:
    """Launches a kernel with one program for each image and block of its channels."""
    count, channels, height, width = x.shape
    side = triton.next_power_of_2(height * width)
    block = min(triton.next_power_of_2(channels), max(1, TILE // side))
    pixel_stride = x.stride(3 if width > 1 else 2)
    sizes = channels, height * width, x.stride(0), x.stride(1), pixel_stride
    grid = count, triton.cdiv(channels, block)
    kernel[grid](x, *others, *sizes, **constants, SIDE=side, BLOCK=block)


@triton.jit
def places(
    channels, pixels, image_stride, channel_stride, pixel_stride,
    SIDE: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """The offsets of a program's pixels and of its channels' means, each with its mask."""
    image, channel = tl.program_id(0), tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    pixel = tl.arange(0, SIDE)
    index = image * image_stride + pixel[:, None] * pixel_stride + channel[None, :] * channel_stride
    valid = channel < channels
    return index, (pixel[:, None] < pixels) & valid[None, :], image * channels + channel, valid


@triton.jit
def normalise(
    x, y, mean, rate, channels, pixels, image_stride, channel_stride, pixel_stride,
    EPSILON: tl.constexpr, SIDE: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    index, mask, channel, valid = places(
        channels, pixels, image_stride, channel_stride, pixel_stride, SIDE, BLOCK
    )
    values = tl.load(x + index, mask, 0.0).to(tl.float32)
    means = tl.sum(values, 0) / pixels
    centred = tl.where(mask, values - means[None, :], 0.0)
    rates = tl.rsqrt(tl.sum(centred * centred, 0) / pixels + EPSILON)
    tl.store(y + index, centred * rates[None, :], mask)
    tl.store(mean + channel, means, valid)
    tl.store(rate + channel, rates, valid)


@triton.jit
def gradient_kernel(
    x, mean, rate, g, result, channels, pixels, image_stride, channel_stride, pixel_stride,
    SIDE: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    index, mask, channel, valid = places(
        channels, pixels, image_stride, channel_stride, pixel_stride, SIDE, BLOCK
    )
    means, rates = tl.load(mean + channel, valid, 0.0), tl.load(rate + channel, valid, 0.0)
    y = (tl.load(x + index, mask, 0.0).to(tl.float32) - means[None, :]) * rates[None, :]
    gs = tl.load(g + index, mask, 0.0).to(tl.float32)
    mean_g, mean_gy = tl.sum(gs, 0) / pixels, tl.sum(gs * y, 0) / pixels
    grad_x = rates[None, :] * (gs - mean_g[None, :] - y * mean_gy[None, :])
    tl.store(result + index, grad_x, mask)


@triton.jit
def second_gradient_kernel(
    x, mean, rate, v, g, result_g, result_x,
    channels, pixels, image_stride, channel_stride, pixel_stride,
    SIDE: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    index, mask, channel, valid = places(
        channels, pixels, image_stride, channel_stride, pixel_stride, SIDE, BLOCK
    )
    means, rates = tl.load(mean + channel, valid, 0.0), tl.load(rate + channel, valid, 0.0)
    y = (tl.load(x + index, mask, 0.0).to(tl.float32) - means[None, :]) * rates[None, :]
    vs = tl.load(v + index, mask, 0.0).to(tl.float32)
    gs = tl.load(g + index, mask, 0.0).to(tl.float32)
    vs = tl.where(mask, vs - (tl.sum(vs, 0) / pixels)[None, :], 0.0)
    gs = tl.where(mask, gs - (tl.sum(gs, 0) / pixels)[None, :], 0.0)
    a, b = tl.sum(gs * y, 0) / pixels, tl.sum(vs * y, 0) / pixels
    c = tl.sum(vs * gs, 0) / pixels - 3 * a * b
    tl.store(result_g + index, rates[None, :] * (vs - y * b[None, :]), mask)
    total = y * c[None, :] + a[None, :] * vs + b[None, :] * gs
    tl.store(result_x + index, -(rates * rates)[None, :] * total, mask)
