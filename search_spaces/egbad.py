"""EGBAD (efficient GAN-based anomaly detection)."""

from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution

SPACE: dict[str, BaseDistribution] = {
    "lr": FloatDistribution(1e-5, 1e-3, log=True),
    "lr_discriminator": FloatDistribution(1e-5, 1e-3, log=True),
    "beta1": FloatDistribution(0, 0.9),
    "nz": IntDistribution(25, 400, log=True),
    "alpha": FloatDistribution(0, 1),
}
