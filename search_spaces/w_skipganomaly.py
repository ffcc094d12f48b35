"""Skip-WGANomaly.

The losses' weights cover the published grid: w_con 25, 50, 75; w_lat and w_adv 0.5, 1, 2.
"""

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

SPACE: dict[str, BaseDistribution] = {
    "skip": CategoricalDistribution([True, False]),
    "n_critic": CategoricalDistribution([1, 2, 5]),
    "w_con": FloatDistribution(1, 100, log=True),
    "w_lat": FloatDistribution(0.1, 10, log=True),
    "w_adv": FloatDistribution(1e-3, 2, log=True),
    "w_gp": FloatDistribution(1, 50, log=True),
    "lr": FloatDistribution(5e-5, 1e-3, log=True),
    "lr_critic": FloatDistribution(5e-5, 1e-3, log=True),
    "beta1": FloatDistribution(0, 0.5),
    "nz": IntDistribution(8, 256, log=True),
}
NEEDS = {"w_adv": "adversarial_gradient", "w_lat": "latent_gradient"}
