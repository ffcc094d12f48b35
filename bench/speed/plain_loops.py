"""Plain loops in the form of released code: what `bench.speed` measures against. Mathematically the models' own."""

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torchvision import transforms

from models.base import AnomalyModel
from models.networks import Conv, ConvTranspose

NORMALISE = transforms.Compose([transforms.ToTensor(), transforms.Normalize(0.5, 0.5)])


def plain_layers(model: AnomalyModel) -> AnomalyModel:
    """The model itself, with torch's own convolutions in place of ours."""
    for module in model.networks.modules():
        if isinstance(module, Conv | ConvTranspose):
            module.__class__ = nn.Conv2d if isinstance(module, Conv) else nn.ConvTranspose2d  # type: ignore[assignment]
    return model


def load(images: np.ndarray) -> Tensor:
    """uint8 (B, C, H, W) -> float32 in [-1, 1], each image through PIL."""
    return torch.stack([NORMALISE(Image.fromarray(image.transpose(1, 2, 0).squeeze())) for image in images])


def wgan_step(model: AnomalyModel, optimizers: dict, images: np.ndarray, step: int, rng: torch.Generator) -> None:
    """A training step of w_skipganomaly as Skip-WGANomaly's code takes it, with the networks of `model`.

    The critic's loss is propagated back through the generator too, whose gradients are then thrown away.
    """
    c, generator, critic = model.config, model.networks["generator"], model.networks["critic"]
    x = load(images)
    fake = generator(x)
    real_features, fake_features = critic(x).flatten(1), critic(fake).flatten(1)
    epsilon = torch.rand((len(x), 1, 1, 1), generator=rng)
    between = epsilon * x + (1 - epsilon) * fake
    (gradient,) = torch.autograd.grad(critic(between).flatten(1).mean(1).sum(), between, create_graph=True)
    penalty = (gradient.flatten(1).norm(dim=1) - 1).square().mean()
    loss = fake_features.mean() - real_features.mean() + c.w_gp * penalty
    optimizers["critic"].zero_grad()
    loss.backward(retain_graph=True)
    optimizers["critic"].step()
    if step % c.n_critic:
        return
    real_features, fake_features = critic(x).flatten(1), critic(fake).flatten(1)
    latent = (fake_features - real_features).square().mean()
    contextual = (fake - x).abs().mean()
    optimizers["generator"].zero_grad()
    (-c.w_adv * fake_features.mean() + c.w_con * contextual + c.w_lat * latent).backward()
    optimizers["generator"].step()


def adams(model: AnomalyModel) -> dict[str, torch.optim.Optimizer]:
    """Plain Adam for the generator and the critic of w_skipganomaly."""
    c = model.config
    rates = {"generator": c.lr, "critic": c.lr_critic}
    return {
        name: torch.optim.Adam(model.networks[name].parameters(), lr=lr, betas=(c.beta1, c.beta2), foreach=False)
        for name, lr in rates.items()
    }


def wgan_scores(model: AnomalyModel, images: np.ndarray, batch: int) -> Tensor:
    """w_skipganomaly's scores (N,), a batch at a time."""
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


def search_latent(generator: nn.Module, x: Tensor, latent: int, steps: int, lr: float = 1e-4) -> float:
    """The residual of one image (1, C, H, W) after AnoGAN's search in wgan-gp-anomaly's form: Adam from one start."""
    z = torch.randn(1, latent, requires_grad=True)
    optimizer = torch.optim.Adam([z], lr=lr, betas=(0.5, 0.9))
    for _ in range(steps):
        residual = (x - generator(z)).abs().mean()
        optimizer.zero_grad()
        residual.backward()
        optimizer.step()
    return float(residual.detach())
