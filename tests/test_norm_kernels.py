"""Tests of the GPU kernels of instance normalisation.

Without a GPU, Triton's interpreter runs them on the CPU (see conftest.py).
"""

import pytest
import torch
from torch import Tensor
from torch.nn.functional import instance_norm

from models.second_gradients import EPSILON, triton_kernels

kernels = pytest.importorskip("models.norm_kernels", reason="needs Triton", exc_type=ImportError)

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
SHAPES = [(3, 5, 4, 6), (2, 8, 8, 8), (2, 3, 1, 4), (2, 3, 4, 1), (1, 130, 4, 4), (2, 3, 32, 32)]
FORMATS = [torch.contiguous_format, torch.channels_last]
LARGEST_ERROR = {torch.float32: 2e-6, torch.bfloat16: 1e-2}  # relative


def drawn(
    shape: tuple[int, ...], seed: int, kind: torch.dtype, form: torch.memory_format
) -> Tensor:
    values = torch.randn(shape, generator=torch.Generator().manual_seed(seed)) * 3 + 2
    return values.to(DEVICE, kind, memory_format=form)


@pytest.mark.parametrize("kind", LARGEST_ERROR, ids=str)
@pytest.mark.parametrize("form", FORMATS, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_values_and_both_gradients_are_those_of_autograd(shape, form, kind) -> None:
    x, g, v = (drawn(shape, seed, kind, form) for seed in range(3))
    g = g.contiguous()  # a gradient may lie otherwise than its images
    exact_x, exact_g = (t.double().requires_grad_() for t in (x, g))
    exact_y = instance_norm(exact_x, eps=EPSILON)
    (exact,) = torch.autograd.grad(exact_y, exact_x, exact_g, create_graph=True)
    seconds = torch.autograd.grad(exact, (exact_g, exact_x), v.double())

    assert kernels.takes(x)
    y, mean, rate = kernels.forward(x, EPSILON)
    ours = [y, kernels.gradient(g, x, mean, rate), *kernels.second_gradient(v, g, x, mean, rate)]
    for mine, theirs in zip(ours, (exact_y, exact, *seconds), strict=True):
        assert (mine.dtype, mine.stride()) == (x.dtype, x.stride())
        error = (mine - theirs.detach()).norm() / theirs.detach().norm()
        assert error < LARGEST_ERROR[kind]


def test_large_images_gaps_in_memory_and_float64_are_left_to_torch() -> None:
    assert not kernels.takes(torch.empty(1, 1, 64, 64))
    assert not kernels.takes(torch.empty(2, 3, 8, 8)[:, :, ::2])
    assert not kernels.takes(torch.empty(2, 3, 8, 8, dtype=torch.float64))


def test_a_full_gpu_is_not_taken_for_a_missing_triton_but_an_old_one_is(monkeypatch) -> None:
    """Else a process would compute without these kernels from then on."""

    def full(*_, **__) -> Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(torch, "zeros", full)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (7, 0))
    with pytest.raises(torch.OutOfMemoryError):
        triton_kernels.__wrapped__()
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (6, 1))
    assert triton_kernels.__wrapped__() is None
