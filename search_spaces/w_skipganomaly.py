"""The published grid was w_con 25, 50, 75 and w_adv = w_lat 0.5, 1, 2; these ranges hold it."""

from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution

SPACE: dict[str, BaseDistribution] = {
    "w_con": FloatDistribution(10, 100, log=True),
    "w_lat": FloatDistribution(0.1, 10, log=True),
    "w_adv": FloatDistribution(0.1, 10, log=True),
    "lr": FloatDistribution(2e-5, 2e-3, log=True),
    "lr_critic": FloatDistribution(2e-5, 2e-3, log=True),
    "beta1": FloatDistribution(0.0, 0.9),
    "nz": IntDistribution(50, 300),
    "score_lat": FloatDistribution(0.0, 1.0),
}
