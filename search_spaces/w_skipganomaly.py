"""Skip-WGANomaly."""

from search_spaces._shared import BETA1, LR, NZ, SKIP, W_GP, WEIGHTS

SPACE = {"skip": SKIP, **WEIGHTS, "w_gp": W_GP, "lr": LR, "lr_critic": LR, "beta1": BETA1, "nz": NZ}
NEEDS = {"w_adv": "adversarial_gradient", "w_lat": "latent_gradient"}
