"""The distance of an image's features to training images' as a part of a score."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.neighbors import NearestNeighbors
from small_models import FAMILY, make, pictures, train

from models.neighbours import KEPT, NEAREST, distance, spread_out


@given(count=st.integers(1, 30), size=st.integers(1, 8), seed=st.integers(0, 2**32))
def test_the_distance_is_scikit_learns(count: int, size: int, seed: int):
    kept, features = (torch.randn(n, size, generator=torch.manual_seed(seed)) for n in (count, 4))
    nearest = NearestNeighbors(n_neighbors=min(NEAREST, count), metric="cosine").fit(kept.numpy())
    expected = torch.from_numpy(nearest.kneighbors(features.numpy())[0].mean(axis=1))
    torch.testing.assert_close(distance(features, kept), expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("count", [1, 7, KEPT, 2 * KEPT + 1])
def test_the_images_kept_are_spread_over_all(count: int):
    images = torch.arange(count, dtype=torch.int32).view(-1, 1, 1, 1)
    kept = spread_out(images).flatten()
    assert len(kept) == min(count, KEPT)
    assert (kept[0], kept[-1]) == (0, count - 1)
    assert (kept.diff() <= -(-count // KEPT) + 1).all()


@pytest.mark.parametrize("name", FAMILY)
def test_a_training_image_is_nearer_than_another(name: str):
    model, images = make(name, score_near=0.5, nz=16), pictures(24)
    assert model.weights == pytest.approx({"reconstruction": 0.45, "latent": 0.05, "nearest": 0.5})
    train(model, images, epochs=2)
    own, others = (model.score_parts(i)["nearest"] for i in (images, pictures(24, seed=1)))
    assert own.mean() < others.mean()
    assert "nearest" not in make(name).score_parts(images)
