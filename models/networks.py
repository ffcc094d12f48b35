"""Networks that several models share.

UNet, Encoder and Decoder have 4 x 4 convolutions, as in DCGAN (arXiv:1511.06434), and take images
whose sides they can halve without a remainder (models.sizes). Pyramid and Generator have 5 x 5
convolutions and fully connected ends, as in WGAN-GP's code for 28 x 28 digits, and take any sides.
Those two keep torch's initial weights, as DCGAN's are too small for layers without normalisation.
(Only EGBAD draws DCGAN's, as its released code does; that code's batch normalisation begins at 1.)
Letters: images are (B, C, H, W), and `size` is their H and W.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from math import gcd
from typing import TypeVar

import torch
from torch import Tensor, nn

from models.second_gradients import convolved, normalised
from models.sizes import Size, halved, halvings

Network = TypeVar("Network", bound=nn.Module)


@torch.no_grad()
def init_weights(network: nn.Module, when: Tensor | None = None) -> None:
    """DCGAN's initial weights (arXiv:1511.06434, section 4), drawn anew.

    Convolutions and linear layers get N(0, 0.02), batch normalisation N(1, 0.02), biases 0.

    `when` is a truth value on the network's device: if it is False, the weights stay as they are.
    Python never reads it, so nothing waits for a GPU. Random numbers are drawn either way, so that
    later draws do not depend on it.
    """
    parameters, fresh = zip(*drawn_weights(network), strict=True)
    share = parameters[0].new_ones(()) if when is None else when.float()
    torch._foreach_lerp_(parameters, fresh, [share] * len(parameters))


def drawn_weights(network: nn.Module) -> Iterator[tuple[Tensor, Tensor]]:
    """Each parameter with a newly drawn initial value."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear | nn.BatchNorm2d):
            mean = 1.0 if isinstance(module, nn.BatchNorm2d) else 0.0
            yield module.weight, torch.empty_like(module.weight).normal_(mean, 0.02)
            if module.bias is not None:
                yield module.bias, torch.zeros_like(module.bias)


def placed(network: Network, device: torch.device, precision: str) -> Network:
    """The network on this device, with channels last in memory where a GPU computes in bfloat16.

    cuDNN computes with channels last there, and reorders other tensors at each call. Call this
    before the optimisers are made.
    """
    last = device.type == "cuda" and precision == "bfloat16"
    form = torch.channels_last if last else torch.preserve_format
    return network.to(device, memory_format=form)  # type: ignore[call-overload]


class Conv(nn.Conv2d):
    """A convolution that computes a 1 x 1 output as one matrix product.

    Libraries are slow there: oneDNN (on a CPU) multiplies the padding too, and reorders all weights
    at each call; cuDNN (on a GPU) multiplies the padding, with too few threads. On a GPU, other
    outputs come from models.second_gradients. The kernel of a padded layer must be 4 x 4.
    """

    def forward(self, x: Tensor) -> Tensor:  # (B, C, H, W)
        padded = self.padding != (0, 0)
        if self.bias is None and x.shape[2:] == ((2, 2) if padded else self.kernel_size):
            # A padded 2 x 2 image meets only the kernel's middle; an unpadded image, all of it.
            kernel = self.weight[:, :, 1:3, 1:3] if padded else self.weight
            if x.is_contiguous(memory_format=torch.channels_last):  # in memory's order: no copies
                x, kernel = x.permute(0, 2, 3, 1), kernel.permute(0, 2, 3, 1)
            return nn.functional.linear(x.flatten(1), kernel.flatten(1))[:, :, None, None]
        if self.bias is None and x.device.type == "cuda":
            return convolved(x, self.weight, self.stride, self.padding)
        return super().forward(x)


class ConvTranspose(nn.ConvTranspose2d):
    """A transposed convolution that computes a 1 x 1 input as one matrix product.

    On a CPU it does the same for a 2 x 2 input of a 4 x 4 kernel. `Conv` gives the reasons.
    """

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:  # (B, C, H, W)
        padding, stride = int(self.padding[0]), int(self.stride[0])
        sizes = ((1, 1), (2, 2)) if x.device.type == "cpu" else ((1, 1),)
        if tuple(x.shape[2:]) not in sizes or self.bias is not None:
            return super().forward(x, output_size)
        if x.shape[2] == 1:  # padding cuts the kernel's border off
            height, width = (side - padding for side in self.kernel_size)
            kernel = self.weight[:, :, padding:height, padding:width]
            return (x.flatten(1) @ kernel.flatten(1)).view(-1, *kernel.shape[1:])
        # One product for the whole batch: in bfloat16 torch would copy the weights for each image.
        pixels = x.permute(0, 2, 3, 1).reshape(-1, x.shape[1])  # (B * 4, C)
        patches = (pixels @ self.weight.flatten(1)).view(x.shape[0], 4, -1)  # (B, 4, outputs * 16)
        size = stride + 4 - 2 * padding
        return nn.functional.fold(patches.transpose(1, 2), size, 4, padding=padding, stride=stride)


class Head(nn.Linear):
    """A linear layer to a few scores in float32: in bfloat16 many images would have equal scores.

    The gradient of the features is in their own precision.
    """

    def forward(self, features: Tensor) -> Tensor:  # (B, K)
        with torch.autocast("cuda" if features.is_cuda else "cpu", enabled=False):
            return super().forward(features.float())


class InstanceNorm(nn.Module):
    """Instance normalisation: each channel of each image to mean 0 and standard deviation 1.

    As nn.InstanceNorm2d, but with a faster second gradient (models.second_gradients).
    """

    def __init__(self, channels: int):
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:  # (B, C, H, W)
        return normalised(x)


class UNet(nn.Module):
    """Skip-GANomaly's generator (arXiv:1901.08954, section 3.1): images to images, in [-1, 1].

    Levels halve the image as long as both sides are even, down to 1 x 1 if they are the same power
    of two, and double it back. With `skip`, the decoder also gets the encoder's output at each
    level (skip connections). `width` is the outermost level's number of channels; it doubles
    inwards, up to 8 * width.
    """

    def __init__(self, channels: int, size: Size, width: int, skip: bool):
        super().__init__()
        even = gcd(*size)
        levels = (even & -even).bit_length() - 1  # how often 2 divides both sides
        widths = [channels] + [width * min(2**level, 8) for level in range(levels)]
        self.skip = skip
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        for level, (outer, inner) in enumerate(pairwise(widths)):
            outermost, innermost = level == 0, level == levels - 1
            down: list[nn.Module] = [] if outermost else [nn.LeakyReLU(0.2)]
            down += [Conv(outer, inner, 4, 2, 1, bias=False)]
            down += [] if outermost or innermost else [nn.BatchNorm2d(inner)]
            up_in = inner * 2 if skip and not innermost else inner
            up: list[nn.Module] = [nn.ReLU(), ConvTranspose(up_in, outer, 4, 2, 1, bias=outermost)]
            up += [nn.Tanh()] if outermost else [nn.BatchNorm2d(outer)]
            self.down.append(nn.Sequential(*down))
            self.up.append(nn.Sequential(*up))
        init_weights(self)

    def forward(self, x: Tensor) -> Tensor:
        levels = []
        for down in self.down:
            x = down(x)  # (B, width * 2^i, H / 2^(i+1), W / 2^(i+1))
            levels.append(x)
        for level in reversed(range(len(self.up))):
            if self.skip and level < len(self.up) - 1:
                # Released code passes on its LeakyReLU(0.2); after the ReLU of `up` both are equal.
                x = torch.cat([levels[level], x], dim=1)
            x = self.up[level](x)
        return x.contiguous()


class Encoder(nn.Sequential):
    """DCGAN's convolutions: images (B, C, H, W) to features (B, `features`, 1, 1).

    Channels start at `width` and double at each halving. The last layer's kernel is as large as
    what the halvings leave: 4 x 4 of a square whose side is a power of two. `norm` is the
    normalisation of the inner levels: nn.BatchNorm2d for a discriminator, InstanceNorm for a critic
    with gradient penalty, which must take each image alone (arXiv:1704.00028, section 4).
    """

    def __init__(self, channels: int, size: Size, width: int, features: int, norm: type[nn.Module]):
        widths = [width * 2**level for level in range(halvings(size))]
        layers: list[nn.Module] = [Conv(channels, width, 4, 2, 1, bias=False), nn.LeakyReLU(0.2)]
        for outer, inner in pairwise(widths):
            layers += [Conv(outer, inner, 4, 2, 1, bias=False), norm(inner), nn.LeakyReLU(0.2)]
        super().__init__(*layers, Conv(widths[-1], features, smallest(size), 1, 0, bias=False))
        init_weights(self)


class Decoder(nn.Sequential):
    """Encoder in reverse: latents (B, `latent`, 1, 1) to images (B, C, H, W) in [-1, 1]."""

    def __init__(self, channels: int, size: Size, width: int, latent: int):
        widths = [width * 2**level for level in reversed(range(halvings(size)))] + [channels]
        layers: list[nn.Module] = [
            ConvTranspose(latent, widths[0], smallest(size), 1, 0, bias=False)
        ]
        for inner, outer in pairwise(widths):
            up = ConvTranspose(inner, outer, 4, 2, 1, bias=False)
            layers += [nn.BatchNorm2d(inner), nn.ReLU(), up]
        super().__init__(*layers, nn.Tanh())
        init_weights(self)


def smallest(size: Size) -> Size:
    """The size that Encoder's halvings leave of an image."""
    height, width = size
    return height >> halvings(size), width >> halvings(size)


class Pyramid(nn.Sequential):
    """Images (B, C, H, W) to features (B, `features`), halved until the shorter side is 4 or less.

    Channels start at `width` and double at each halving, up to 8 * width. `norm` is the inner
    levels' normalisation; None for none, as in WGAN-GP's code for digits. `dropout`: the share of
    each level's activations that training drops.
    """

    def __init__(
        self,
        channels: int,
        size: Size,
        width: int,
        norm: type[nn.Module] | None = None,
        dropout: float = 0.0,
    ):
        layers: list[nn.Module] = []
        *larger, (height, across) = halved(size)
        for level in range(len(larger)):
            inner = width * min(2**level, 8)
            layers += [nn.Conv2d(channels, inner, 5, 2, 2)]
            layers += [norm(inner)] if norm and level else []
            layers += [nn.LeakyReLU(0.2), nn.Dropout(dropout)] if dropout else [nn.LeakyReLU(0.2)]
            channels = inner
        super().__init__(*layers, nn.Flatten())
        self.features = channels * height * across


class Generator(nn.Sequential):
    """Pyramid in reverse: latents (B, `latent`) to images (B, C, H, W) in [-1, 1]."""

    def __init__(
        self,
        channels: int,
        size: Size,
        width: int,
        latent: int,
        norm: type[nn.Module] | None = None,
    ):
        up = halved(size)[::-1]
        widths = [width * min(2**level, 8) for level in reversed(range(len(up) - 1))] + [channels]
        layers: list[nn.Module] = [
            nn.Linear(latent, widths[0] * up[0][0] * up[0][1]),
            nn.Unflatten(1, (widths[0], *up[0])),
        ]
        for level, (inner, outer) in enumerate(pairwise(widths)):
            layers += [norm(inner)] if norm else []
            height, across = up[level + 1]
            even = (1 - height % 2, 1 - across % 2)  # 0 where a side is odd, as in 4 -> 7
            layers += [nn.ReLU(), nn.ConvTranspose2d(inner, outer, 5, 2, 2, output_padding=even)]
        super().__init__(*layers, nn.Tanh())


@contextmanager
def frozen(networks: nn.Module, training: bool) -> Iterator[None]:
    """Networks in training or evaluation mode, with running statistics that do not change.

    Dropout is off in both, so that scores are not random. Leaves the networks in training mode.
    """
    norms = [m for m in networks.modules() if isinstance(m, nn.modules.batchnorm._NormBase)]
    tracked = [norm.track_running_stats for norm in norms]
    networks.train(training)
    for module in networks.modules():
        if isinstance(module, nn.Dropout):
            module.eval()
    for norm in norms:
        norm.track_running_stats = False  # evaluation mode still uses the statistics there are
    try:
        yield
    finally:
        for norm, track in zip(norms, tracked, strict=True):
            norm.track_running_stats = track
        networks.train()
