"""Convolutional autoencoder."""

from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution

SPACE: dict[str, BaseDistribution] = {
    "lr": FloatDistribution(1e-4, 1e-2, log=True),
    "nz": IntDistribution(4, 256, log=True),
    "width": IntDistribution(8, 64, log=True),
}
