"""Skip-WGANomaly.

The losses' weights cover the published grid: w_con 25, 50, 75; w_lat and w_adv 0.5, 1, 2.
"""

from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution

SPACE: dict[str, BaseDistribution] = {
    "w_con": FloatDistribution(25, 75),
    "w_lat": FloatDistribution(0.5, 2, log=True),
    "w_adv": FloatDistribution(0.5, 2, log=True),
    "lr": FloatDistribution(2e-5, 2e-3, log=True),
    "lr_critic": FloatDistribution(2e-5, 2e-3, log=True),
    "beta1": FloatDistribution(0, 0.9),
    "nz": IntDistribution(25, 400, log=True),
    "score_lat": FloatDistribution(0, 1),
}
