"""Skip-GANomaly. The losses' weights cover the grid published for Skip-WGANomaly."""

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

SPACE: dict[str, BaseDistribution] = {
    "skip": CategoricalDistribution([True, False]),
    "w_con": FloatDistribution(1, 100, log=True),
    "w_lat": FloatDistribution(0.1, 10, log=True),
    "w_adv": FloatDistribution(1e-3, 2, log=True),
    "lr": FloatDistribution(5e-5, 1e-3, log=True),
    "lr_discriminator": FloatDistribution(5e-5, 1e-3, log=True),
    "beta1": FloatDistribution(0, 0.5),
    "nz": IntDistribution(8, 256, log=True),
}
NEEDS = {"w_adv": "adversarial_gradient", "w_lat": "latent_gradient"}
