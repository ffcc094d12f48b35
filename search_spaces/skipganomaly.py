"""Skip-GANomaly."""

from search_spaces._shared import BETA1, LR, NZ, SKIP, WEIGHTS

SPACE = {"skip": SKIP} | WEIGHTS | {"lr": LR, "lr_discriminator": LR, "beta1": BETA1, "nz": NZ}
NEEDS = {"w_adv": "adversarial_gradient"}  # w_lat weighs the discriminator's latent term, too
