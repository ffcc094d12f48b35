"""Images that are not square, or whose sides are no powers of two, from files to commands."""

from argparse import ArgumentTypeError
from fractions import Fraction
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from commands import finished_run
from hypothesis import given, settings
from hypothesis import strategies as st
from images import save
from PIL import Image, ImageOps
from small_models import assert_same_to_the_bit, make, pictures, stored, train
from torch import nn
from torchvision.transforms import CenterCrop, Resize

import models
from bench import results
from bench.choices import image_size
from bench.choices.errors import UserError
from bench.commands.score import heat_map_file
from bench.data.datasets import Decoding, load
from bench.data.datasets._decoding import decode
from bench.data.pseudo_anomalies import pseudo_anomalies
from bench.reporting import explorer, reproduce
from bench.training import model_files
from models import base, sizes
from models.losses import augmented
from models.networks import Decoder, Encoder, Generator, Pyramid, UNet
from train import main

ANY = [name for name in models.NAMES if models.get(name).ANY_SIZE]
SIDES = st.integers(16, 70)


@pytest.mark.parametrize(
    ("name", "shape"),
    [*((name, (1, 16, 24)) for name in models.NAMES), *((name, (3, 33, 18)) for name in ANY)],
)
def test_models_train_score_and_come_back_from_files_where_sides_differ(name, shape, tmp_path):
    model, images = make(name, shape), pictures(8, shape)
    train(model, images)
    again = make(name, shape, seed=5)
    again.restore(stored(model.checkpoint()))
    assert_same_to_the_bit(model.checkpoint(), again.checkpoint())
    path = tmp_path / "model.safetensors"
    path.write_bytes(model_files.packed(name, model, model_files.trained_state(model), {}))
    loaded, content = model_files.load(path)
    assert tuple(content["image_shape"]) == loaded.image_shape == shape
    assert content["model"] == name
    assert content["decoding"] == Decoding("crop", 16, None)  # what images had before files said so
    assert loaded.config == model.config
    assert torch.equal(loaded.score(images), model.score(images))
    rebuilt = model.reconstructions(images)
    assert rebuilt is None or rebuilt.shape == images.shape


@settings(max_examples=20)
@given(height=SIDES, width=SIDES)
def test_each_network_takes_the_sizes_that_fit_it(height: int, width: int) -> None:
    size = (height, width)
    with torch.device("meta"):
        x, z = torch.empty(2, 1, *size), torch.empty(2, 5)
        pyramid = Pyramid(1, size, 2)
        assert pyramid(x).shape == (2, pyramid.features)
        assert Generator(1, size, 2, 5)(z).shape == x.shape
        if sizes.fits(size):
            assert Encoder(1, size, 2, 5, nn.BatchNorm2d)(x).shape == (2, 5, 1, 1)
            assert Decoder(1, size, 2, 5)(z[:, :, None, None]).shape == x.shape
            assert UNet(1, size, 2, skip=True)(x).shape == x.shape


@settings(max_examples=6)
@given(height=st.integers(16, 1024), width=st.integers(16, 1024), square=st.booleans())
def test_what_does_not_fit_is_told_the_nearest_sizes_that_do(height, width, square) -> None:
    size = (height, height if square else width)
    below, above = (image_size.sides(text) for text in sizes.nearest(size))
    assert sizes.fits(below)
    assert sizes.fits(above)
    for side, less, more in zip(size, below, above, strict=True):
        assert 16 <= less <= side <= more <= 1024
    if sizes.fits(size):
        assert below == above == size
        sizes.check_shape((1, *size), any_size=False)
    else:
        nearest = f"nearest: {sizes.text(below)} or {sizes.text(above)}"
        with pytest.raises(ValueError, match=nearest):
            sizes.check_shape((1, *size), any_size=False)


@pytest.mark.parametrize("side", [16, 32, 64, 128, 256, 512, 1024])
def test_powers_of_two_keep_the_networks_of_the_papers(side: int) -> None:
    """Halved down to 4 x 4 and 1 x 1: files of earlier versions hold these weights."""
    with torch.device("meta"):
        encoder = Encoder(1, (side, side), 1, 1, nn.BatchNorm2d)
        unet = UNet(1, (side, side), 1, True)
    assert encoder[-1].weight.shape == (1, side // 8, 4, 4)
    assert len(unet.down) == np.log2(side)


@pytest.mark.parametrize("name", ["skipganomaly", "w_skipganomaly"])
def test_rotations_want_squares(name: str) -> None:
    make(name, (1, 24, 24), w_rot=1.0)
    with pytest.raises(ValueError, match=r"w_rot: .* must be square, not 16x24"):
        make(name, (1, 16, 24), w_rot=1.0)


def test_large_images_are_scored_fewer_at_a_time(monkeypatch) -> None:
    sizes_of_batch = {}
    for side in (16, 256, 512, 1024):
        sizes_of_batch[side] = make("knn", (1, side, side)).scoring_batch()
    assert sizes_of_batch == {16: 256, 256: 256, 512: 64, 1024: 16}
    monkeypatch.setattr(base, "SCORING_PIXELS", 2 * 256**2)
    assert make("knn", (1, 1024, 1024)).scoring_batch() == 1


@given(height=SIDES, width=SIDES, seed=st.integers(0, 9))
@settings(max_examples=20)
def test_pseudo_anomalies_and_augmented_images_keep_their_shape(height, width, seed) -> None:
    images = pictures(6, (1, height, width), seed)
    anomalies = pseudo_anomalies(images, seed)
    assert anomalies.shape == images.shape
    assert (anomalies != images).flatten(1).any(dim=1)[1::3].all()
    if height != width:
        assert torch.equal(anomalies[2], images[2].flip(1, 2))
    rng = torch.Generator().manual_seed(seed)
    out = augmented(images.float(), rng)
    assert out.shape == images.shape
    assert not torch.equal(out, images.float())


def test_sizes_are_read_as_height_and_width() -> None:
    read = {"64": 64, "64x64": 64, "64x96": "64x96", "64X96": "64x96", " 064×096 ": "64x96"}
    assert {text: image_size.parse(text) for text in read} == read
    assert image_size.sides("64x96") == (64, 96)
    assert image_size.sides(64) == (64, 64)
    for text in ("", "64x", "x64", "64x96x3", "-64", "6.4", "64,96"):
        with pytest.raises(ArgumentTypeError, match="height x width"):
            image_size.parse(text)


def test_a_folder_keeps_images_of_one_size_where_it_is_asked_to(tmp_path) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (24, 40), dtype=np.uint8)
    (tmp_path / "train").mkdir()
    Image.fromarray(pixels).save(tmp_path / "train" / "a.png")
    kept = load(str(tmp_path), root=tmp_path, image_size="24x40")
    assert kept.notes == ()
    assert np.array_equal(kept.train_images[0, 0], pixels)
    (note,) = load(str(tmp_path), root=tmp_path).notes
    assert note == (
        "images of 40 x 24 are squashed to 32 x 32 (--resize crop or pad, or --image_size "
        "HEIGHTxWIDTH)"
    )
    (note,) = load(str(tmp_path), root=tmp_path, image_size="48x80").notes
    assert note == "images of 40 x 24 are resized to 80 x 48 (width x height)"
    (note,) = load(str(tmp_path), root=tmp_path, image_size="16x40", resize="crop").notes
    assert note.startswith("images of 40 x 24 are cropped to their centres and resized to 40 x 16")


@given(
    width=st.integers(5, 90),
    height=st.integers(5, 90),
    size=st.sampled_from([(32, 48), (16, 16), (64, 64)]),
    resize=st.sampled_from(["crop", "pad"]),
)
@settings(max_examples=60)
def test_resizing_keeps_proportions_as_pillow_and_torchvision_do(
    tmp_path_factory, width, height, size, resize
) -> None:
    pixels = np.random.default_rng(width).integers(0, 255, (height, width, 3), dtype=np.uint8)
    file = tmp_path_factory.mktemp("image") / "a.png"
    image = Image.fromarray(pixels)
    image.save(file)
    out, _ = decode(file, size, 3, Decoding(resize))
    assert out.shape == (3, *size)
    if resize == "pad":
        expected = ImageOps.pad(image, size[::-1], Image.Resampling.BILINEAR)
    else:
        scale = max(Fraction(size[0], height), Fraction(size[1], width))  # the least that covers it
        covering = Resize((int(height * scale), int(width * scale)))
        expected = CenterCrop(size)(covering(image))
    assert np.array_equal(out, np.asarray(expected).transpose(2, 0, 1))


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """A run on images of 24 x 40, which are kept as they are, with a folder that it scores."""
    top = tmp_path_factory.mktemp("wide")
    for part, cls, count in (("train", "good", 40), ("test", "good", 6), ("test", "bad", 6)):
        for i in range(count):
            file = save(top / "images" / part / cls / f"{i}.png", size=(40, 24))
            pixels = np.random.default_rng(i).normal(100, 5, (24, 40))
            pixels[4:12, 20:36] += 90 * (cls == "bad")
            Image.fromarray(pixels.astype(np.uint8)).save(file)
    flags = ["--dataset", str(top / "images"), "--normal_class", "good", "--image_size", "24x40"]
    flags += ["--model", "autoencoder", "--width", "4", "--steps", "4", "--batch_size", "8"]
    flags += ["--quiet", "--device", "cpu", "--score_folder", str(top / "images" / "test")]
    return finished_run(top, *flags, name="run").path


def test_a_run_on_images_that_are_not_square_keeps_all_its_files(run: Path) -> None:
    frame = pd.read_csv(run / "scores.csv")
    heat = [Image.open(run / "heat_maps" / f"{name}.png").size for name in frame["image"]]
    assert heat == [(40, 24)] * 12
    study = results.read(run)
    assert study.study["image_size"] == "24x40"
    assert study.provenance["dataset"]["image_shape"] == [1, 24, 40]
    (trial,) = study.trials["trial"]
    assert "--image_size 24x40" in reproduce.command_for({"run": study}, trial)
    scores = study.scores(trial)
    assert explorer.gallery(study.gallery(trial), scores)["aspect"] == 40 / 24
    (file,) = (run / "models").iterdir()
    assert model_files.load(file)[0].image_shape == (1, 24, 40)


def test_a_loaded_model_trains_further_on_them(run: Path, tmp_path: Path) -> None:
    (file,) = (run / "models").iterdir()
    flags = ["--load", str(file), "--dataset", str(run.parent / "images"), "--normal_class", "good"]
    more = finished_run(tmp_path, *flags, "--steps", "2", "--device", "cpu", "--quiet")
    assert more.study["image_size"] == "24x40"


def test_a_heat_map_of_a_long_name_has_a_shorter_one() -> None:
    names = [f"x/{'ä' * 120}{end}.png" for end in "ab"]
    files = [heat_map_file(name) for name in names]
    assert len({*files}) == 2
    assert all(len(Path(file).name.encode()) <= 200 and file.startswith("x/") for file in files)
    assert heat_map_file("x/short.jpg") == "x/short.jpg.png"


def test_a_loaded_model_scores_them_alike(run: Path, tmp_path: Path) -> None:
    (file,) = (run / "models").iterdir()
    flags = ["--score_folder", str(run.parent / "images" / "test"), "--results_dir", str(tmp_path)]
    assert main(["--load", str(file), *flags, "--name", "again", "--quiet"]) == 0
    columns = ["image", "score", "verdict"]
    first, again = (pd.read_csv(p / "scores.csv")[columns] for p in (run, tmp_path / "again"))
    pd.testing.assert_frame_equal(first, again, rtol=1e-5)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--image_size", "24x42", "--model", "ganomaly"], "multiples of 4, .* 24x40 or 24x44"),
        (["--image_size", "24x40", "--model", "skipganomaly", "--w_rot", "1"], "w_rot: .* square"),
        (["--image_size", "24y40"], "'24y40' is no size .* height x width"),
        (["--image_size", "24x1040"], "24x1040 is not between 16 and 1024"),
        (["--image_size", "24x40", "--dataset", "digits"], "images of digits are square"),
    ],
)
def test_sizes_that_no_model_takes_are_refused(run: Path, flags: list[str], words: str) -> None:
    data = [] if "--dataset" in flags else ["--dataset", str(run.parent / "images")]
    more = ["--normal_class", "good", "--batch_size", "8", "--dataroot", str(run.parent / "data")]
    with pytest.raises(UserError, match=words):
        main([*data, *more, "--results_dir", str(run.parent / "none"), *flags])
    assert not (run.parent / "none").exists()


def test_anogan_searches_fewer_images_at_a_time_where_they_are_large():
    assert [make("anogan", (1, n, n)).search_rows() for n in (32, 128, 256)] == [64, 64, 16]
