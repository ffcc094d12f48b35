"""AnoGAN."""

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

SPACE: dict[str, BaseDistribution] = {
    "n_critic": CategoricalDistribution([1, 2, 5]),
    "lr": FloatDistribution(5e-5, 1e-3, log=True),
    "beta1": FloatDistribution(0, 0.5),
    "w_gp": FloatDistribution(1, 50, log=True),
    "nz": IntDistribution(8, 256, log=True),
    "score_feature": FloatDistribution(0, 0.9),  # also of the search's loss
}
