"""f-AnoGAN."""

from optuna.distributions import FloatDistribution

from search_spaces._shared import BETA1, LR, NZ, W_GP

SPACE = {
    "lr": LR,
    "lr_encoder": LR,
    "beta1": BETA1,
    "w_gp": W_GP,
    "nz": NZ,
    "kappa": FloatDistribution(0.01, 10, log=True),  # also in the encoder's loss
}
