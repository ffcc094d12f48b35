"""AnoGAN."""

from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution

SPACE: dict[str, BaseDistribution] = {
    "lr": FloatDistribution(2e-5, 1e-3, log=True),
    "beta1": FloatDistribution(0, 0.9),
    "w_gp": FloatDistribution(1, 50, log=True),
    "nz": IntDistribution(16, 256, log=True),
    "score_feature": FloatDistribution(0, 0.9),
}
