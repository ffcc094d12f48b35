"""One-class support vector machine."""

from optuna.distributions import BaseDistribution, FloatDistribution

SPACE: dict[str, BaseDistribution] = {
    "nu": FloatDistribution(0.01, 0.5, log=True),
    "gamma": FloatDistribution(0.05, 200, log=True),
}
