"""EGBAD (efficient GAN-based anomaly detection)."""

from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution

SPACE: dict[str, BaseDistribution] = {
    "lr": FloatDistribution(5e-5, 1e-3, log=True),
    "lr_discriminator": FloatDistribution(5e-5, 1e-3, log=True),
    "beta1": FloatDistribution(0, 0.5),
    "nz": IntDistribution(8, 256, log=True),
}
