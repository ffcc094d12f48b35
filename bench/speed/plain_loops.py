"""Training and scoring loops as released code writes them, for `bench.speed` to compare with.

They compute the same as this project's models.
"""

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torchvision import transforms

from models.base import AnomalyModel
from models.networks import Conv, ConvTranspose

NORMALISE = transforms.Compose([transforms.ToTensor(), transforms.Normalize(0.5, 0.5)])


def plain_layers(model: AnomalyModel) -> AnomalyModel:
    """Replaces this project's convolutions by torch's own, in place; returns the same model."""
    for module in model.networks.modules():
        if isinstance(module, Conv):
            module.__class__ = nn.Conv2d  # type: ignore[assignment]
        elif isinstance(module, ConvTranspose):
            module.__class__ = nn.ConvTranspose2d  # type: ignore[assignment]
    return model


def load(images: np.ndarray) -> Tensor:
    """Loads images one by one through PIL: uint8 (B, C, H, W) -> float32 in [-1, 1]."""
    pictures = (Image.fromarray(image.transpose(1, 2, 0).squeeze()) for image in images)
    return torch.stack([NORMALISE(picture) for picture in pictures])


def wgan_step(
    model: AnomalyModel, optimizers: dict, images: np.ndarray, step: int, rng: torch.Generator
) -> None:
    """A training step of w_skipganomaly as in Skip-WGANomaly's code, on `images` (B, C, H, W).

    Like that code, it propagates the critic's loss back through the generator too, and then
    discards the generator's gradients.
    """
    c, generator, critic = model.config, model.networks["generator"], model.networks["critic"]
    x = load(images)
    fake = generator(x)
    real_features, fake_features = critic(x).flatten(1), critic(fake).flatten(1)
    epsilon = torch.rand((len(x), 1, 1, 1), generator=rng)
    between = epsilon * x + (1 - epsilon) * fake
    output = critic(between).flatten(1).mean(1).sum()
    (gradient,) = torch.autograd.grad(output, between, create_graph=True)
    penalty = (gradient.flatten(1).norm(dim=1) - 1).square().mean()
    loss = fake_features.mean() - real_features.mean() + c.w_gp * penalty
    optimizers["critic"].zero_grad()
    loss.backward(retain_graph=True)
    optimizers["critic"].step()
    if (step + 1) % c.n_critic:
        return
    real_features, fake_features = critic(x).flatten(1), critic(fake).flatten(1)
    latent = (fake_features - real_features).square().mean()
    contextual = (fake - x).abs().mean()
    optimizers["generator"].zero_grad()
    (-c.w_adv * fake_features.mean() + c.w_con * contextual + c.w_lat * latent).backward()
    optimizers["generator"].step()


def adams(model: AnomalyModel) -> dict[str, torch.optim.Optimizer]:
    """A plain Adam each for the generator and the critic of w_skipganomaly."""
    c, networks = model.config, model.networks
    rates, betas = {"generator": c.lr, "critic": c.lr_critic}, (c.beta1, c.beta2)
    return {
        name: torch.optim.Adam(networks[name].parameters(), lr=lr, betas=betas, foreach=False)
        for name, lr in rates.items()
    }


def wgan_scores(model: AnomalyModel, images: np.ndarray, batch: int) -> Tensor:
    """w_skipganomaly's scores (N,) of `images` (N, C, H, W), `batch` images at a time."""
    generator, critic = model.networks["generator"].eval(), model.networks["critic"].eval()
    scores, share = [], model.config.score_lat
    with torch.no_grad():
        for start in range(0, len(images), batch):
            x = load(images[start : start + batch])
            fake = generator(x)
            reconstruction = (x - fake).square().flatten(1).mean(1)
            latent = (critic(x) - critic(fake)).square().flatten(1).mean(1)
            scores.append((1 - share) * reconstruction + share * latent)
    return torch.cat(scores)


def search_latent(
    generator: nn.Module, x: Tensor, latent: int, steps: int, lr: float = 1e-4
) -> float:
    """The residual of one image (1, C, H, W) after AnoGAN's search for its latent vector.

    As in wgan-gp-anomaly's code: Adam from a single random vector of `latent` numbers, with a step
    size that falls to zero over the last third; the generator's weights get no gradient.
    """
    z = torch.randn(1, latent, requires_grad=True)
    optimizer = torch.optim.Adam([z], lr=lr, betas=(0.5, 0.9))
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = lr * min(1.0, 3 * (1 - step / steps))
        residual = (x - generator(z)).abs().mean()
        (z.grad,) = torch.autograd.grad(residual, z)
        optimizer.step()
    return float(residual.detach())
