"""AnoGAN."""

from optuna.distributions import FloatDistribution

from search_spaces._shared import BETA1, LR, NZ, W_GP

SPACE = {
    "lr": LR,
    "beta1": BETA1,
    "w_gp": W_GP,
    "nz": NZ,
    "score_feature": FloatDistribution(0, 0.9),  # also in the loss of AnoGAN's latent search
}
