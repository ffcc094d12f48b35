"""f-AnoGAN."""

from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution

SPACE: dict[str, BaseDistribution] = {
    "lr": FloatDistribution(2e-5, 1e-3, log=True),
    "lr_encoder": FloatDistribution(1e-5, 1e-3, log=True),
    "w_gp": FloatDistribution(1, 50, log=True),
    "nz": IntDistribution(16, 256, log=True),
    "kappa": FloatDistribution(0.01, 10, log=True),
}
