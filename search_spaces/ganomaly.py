"""GANomaly."""

from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution

SPACE: dict[str, BaseDistribution] = {
    "w_con": FloatDistribution(10, 250, log=True),
    "w_lat": FloatDistribution(0.2, 5, log=True),
    "w_adv": FloatDistribution(0.2, 5, log=True),
    "lr": FloatDistribution(2e-5, 2e-3, log=True),
    "lr_discriminator": FloatDistribution(2e-5, 2e-3, log=True),
    "nz": IntDistribution(25, 400, log=True),
}
