"""Ranges that several models' spaces share; this file is no space itself.

`n_critic` is in none: budgets count generator steps, so a search would find that more critic steps,
and more images, are better.
"""

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

LR = FloatDistribution(5e-5, 1e-3, log=True)  # a GAN's step sizes
BETA1 = FloatDistribution(0, 0.5)
NZ = IntDistribution(8, 256, log=True)
W_GP = FloatDistribution(1, 50, log=True)
SKIP = CategoricalDistribution([True, False])
# Of the generator's loss, in GANomaly and its successors. They cover the grid published for
# Skip-WGANomaly: w_con 25, 50, 75; w_lat = w_adv = 0.5, 1, 2.
WEIGHTS: dict[str, BaseDistribution] = {
    "w_con": FloatDistribution(1, 100, log=True),
    "w_lat": FloatDistribution(0.1, 10, log=True),
    "w_adv": FloatDistribution(1e-3, 2, log=True),
}
