"""CPUs, GPUs and memory of a run, and of a process that trains several runs in turn."""

import pickle
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from commands import finished_run
from hypothesis import given
from hypothesis import strategies as st
from small_models import small_run

import models
import train
from bench.choices.errors import UserError
from bench.choices.study import Study
from bench.choices.tasks import LEAVE_ONE_CLASS_OUT, SOUND, Budget, PlannedRun, Task
from bench.data.datasets import Dataset
from bench.data.images import ImageArray, IndexedImages
from bench.data.splits import Labelled, Split, make_split
from bench.results import provenance
from bench.training import devices
from bench.training.devices import be_deterministic
from bench.training.run import Run
from bench.tuning import trainable
from bench.tuning.trainable import PLANNED, EpochTrainable
from bench.watching import machine_load

TINY = {"ngf": 4, "ndf": 4, "nz": 4}
ONE_GPU_EACH = {"cpu": 16, "gpu": 2}


@pytest.mark.parametrize(
    ("share", "slots"),
    [
        *[(None, 2), (1, 2), (2, 1), (4, 1), (0.5, 4), (0.3, 6)],
        *[(0.6, 2), (0.25, 8), (0.1, 16), (1 / 3, 6)],
    ],
)
def test_a_share_of_a_gpu_is_of_one_gpu(share, slots):
    study = Study(gpus_per_trial=share)
    assert study.at_a_time("cuda", ONE_GPU_EACH) == slots
    assert study.resources("cuda") == {"cpu": 1, "gpu": share or 1}


def test_a_run_on_a_cpu_takes_no_gpu():
    study = Study(gpus_per_trial=0.5, cpus_per_trial=3)
    assert study.resources("cpu") == {"cpu": 3}
    assert study.at_a_time("cpu", ONE_GPU_EACH) == 5
    assert study.at_a_time("cpu", {"cpu": 2}) == 1


@pytest.mark.parametrize("share", [1.5, 0.0, -1.0, float("inf"), -float("inf"), float("nan")])
def test_shares_that_cannot_be_had_are_refused(share):
    wanted = "--gpus_per_trial must be a share of a GPU above 0 or a whole number"
    with pytest.raises(UserError, match=wanted):
        Study(gpus_per_trial=share)


@pytest.fixture(scope="module")
def splits(all_digits: Dataset) -> dict[Task, Split]:
    digits = all_digits.limit(200, 60)
    return {task(cls): make_split(digits, task(cls), SOUND, seed=0) for cls in ("3", "5")}


def task(cls: str) -> Task:
    return Task(LEAVE_ONE_CLASS_OUT, cls)


def config(model: str = "w_skipganomaly", cls: str = "3", **values: Any) -> dict[str, Any]:
    """A trial's configuration as Ray hands it over."""
    values = (TINY if model == "w_skipganomaly" else {}) | values
    return values | {PLANNED: PlannedRun("tuning", model, task(cls), 0, 1, values, Budget(2))}


@pytest.fixture
def process(splits):
    """A trial's process, without Ray around it: its first run, and what the study shares."""

    def start(first: dict[str, Any], device: str = "cpu", **choices: Any) -> EpochTrainable:
        signals = dict.fromkeys(splits, "val_auroc")
        shared = {"files": [], "splits": splits, "protocol": SOUND, "select_on": signals}
        shared |= {"study": Study(keep_models="none", **choices), "device": device}
        shared |= {"learn_rotations": set(), "display": False}
        worker = EpochTrainable.__new__(EpochTrainable)
        worker.setup(first, shared=shared)
        return worker

    return start


def test_the_last_jobs_model_goes_before_the_next_one_comes(
    process, monkeypatch: pytest.MonkeyPatch
):
    """Two of them would have to fit on a GPU together."""
    alive: list[weakref.ref] = []

    class Watched(Run):
        def __init__(self, *args: Any, **kwargs: Any):
            assert not any(ref() for ref in alive)
            super().__init__(*args, **kwargs)
            alive.append(weakref.ref(self.model))

    monkeypatch.setattr(trainable, "Run", Watched)
    worker = process(config())
    for following in (config(lr=1e-3), config(lr=-1.0), config(cls="5"), config("pca")):
        if worker.error is None:
            worker.step()
        worker.reset_config(following)
        assert (worker.error is None) == (following.get("lr") != -1.0), worker.error
    assert len(alive) == 4


def test_a_paused_trial_that_cannot_go_on_says_why(process, tmp_path: Path):
    worker = process(config())
    worker.save_checkpoint(str(tmp_path))
    worker.reset_config(config(lr=-1.0))
    worker.load_checkpoint(str(tmp_path))
    with pytest.raises(ValueError, match=r"^lr must be"):
        worker.step()


def parts(split: Split) -> list[IndexedImages]:
    return [split.train, split.val.images, split.test.images]


def test_all_runs_of_a_process_index_the_same_images(process, splits):
    worker = process(config())
    used = parts(worker.run.split)
    for following in (config(lr=1e-3), config("pca", cls="5"), config(cls="5")):
        worker.reset_config(following)
        used += parts(worker.run.split)
    assert len({part.source.on("cpu").data_ptr() for part in used}) == 1


def test_images_go_to_a_device_once_for_all_tasks(splits):
    moved = [part for split in splits.values() for part in parts(split.to("meta"))]
    (images,) = {part.source.on("meta") for part in moved}
    assert images.device.type == "meta"
    assert len(images) == 260, "training and test images"


def test_the_splits_of_all_classes_are_sent_with_one_copy_of_the_images(splits):
    """As Ray pickles them: arrays as buffers beside the pickle."""
    buffers: list[pickle.PickleBuffer] = []
    pickled = pickle.dumps(splits, protocol=5, buffer_callback=buffers.append)
    images = [buffer for buffer in buffers if buffer.raw().nbytes >= 260 * 16 * 16]
    assert len(images) == 1
    assert len(pickled) < 4096
    received = pickle.loads(pickled, buffers=[buffer.raw().toreadonly() for buffer in buffers])
    for cls, split in splits.items():
        for part, other in zip(parts(split), parts(received[cls]), strict=True):
            assert torch.equal(part[:], other[:])
        np.testing.assert_array_equal(split.test.labels, received[cls].test.labels)


indices = st.lists(st.integers(0, 11), min_size=1, max_size=30)


@given(index=indices, size=st.integers(1, 40), seed=st.integers(0, 9))
def test_indexed_images_are_used_as_their_copy_would_be(index: list[int], size: int, seed: int):
    every = np.random.default_rng(seed).integers(0, 256, (12, 3, 16, 16), dtype=np.uint8)
    images = IndexedImages(ImageArray(every), np.array(index))
    copy = torch.from_numpy(every[index])
    assert (len(images), images.shape, images.dtype) == (len(copy), copy.shape, copy.dtype)
    assert images.device == copy.device
    keys = slice(None), slice(2, 9), torch.randperm(len(index)), copy.flatten(1).amax(1) > 250, 0
    for key in keys:
        assert torch.equal(images[key], copy[key])
    for ours, theirs in zip(images.split(size), copy.split(size), strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("model", ["w_skipganomaly", "pca"])
def test_training_and_scores_are_those_of_copied_images_to_the_bit(splits, model: str):
    scores = []
    for copied in (False, True):
        torch.manual_seed(0)
        detector = models.create(model, (1, 16, 16), **(TINY if model == "w_skipganomaly" else {}))
        train, test = parts(splits[task("3")])[::2]
        detector.train_epoch(train[:] if copied else train, torch.Generator().manual_seed(0))
        scores.append(detector.score(test[:] if copied else test))
    assert torch.equal(*scores)


def test_validation_and_test_images_stay_on_the_device(splits, monkeypatch: pytest.MonkeyPatch):
    """Each epoch scores the very images that the run put there."""
    moved = splits[task("3")].to("meta")
    assert all(part.device.type == "meta" for part in parts(moved))
    assert all(a is b for a, b in zip(parts(moved), parts(moved.to("meta")), strict=True))
    run = small_run("w_skipganomaly", splits[task("3")], select_on="pseudo_auroc", final=True)
    scored: list[int] = []
    original = run.parts

    def recording(labelled: Labelled):
        scored.append(id(labelled))
        return original(labelled)

    monkeypatch.setattr(run, "parts", recording)
    for _ in range(2):
        run.step()
    assert scored == 2 * [id(part) for part in (run.split.val, run.pseudo, run.split.test)]


def test_a_classical_model_leaves_the_gpu_alone(process, capsys: pytest.CaptureFixture):
    """It is fitted on the CPU in float32, also in a study that has GPUs and another precision."""
    worker = process(config("pca"), "cuda", precision="tf32", gpus_per_trial=0.25)
    result = worker.step()
    assert result["best"]["device"] == "cpu"
    assert result["best"]["precision"] == "float32"
    assert result["best"]["hardware"] == provenance.cpu_name()
    assert not torch.cuda.is_initialized()


def test_a_share_of_a_gpu_limits_its_memory(process, monkeypatch: pytest.MonkeyPatch):
    limits: list[float] = []
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", limits.append)
    for gpus in (0.25, 1, 2):
        process(config(), "cuda", gpus_per_trial=gpus)
    process(config("pca"), "cuda", gpus_per_trial=0.5)
    assert limits == [0.25]


def test_a_checkpoint_from_a_gpu_comes_back_into_the_cpus_memory(
    process, tmp_path: Path, monkeypatch
):
    """And not onto the GPU, beside the model that takes it over."""
    worker = process(config())
    worker.step()
    monkeypatch.setattr(torch.serialization, "location_tag", lambda storage: "cuda:0")
    worker.save_checkpoint(str(tmp_path))
    monkeypatch.undo()
    with pytest.raises(RuntimeError, match="CUDA device"):
        torch.load(tmp_path / "run.pt", weights_only=True)
    worker.load_checkpoint(str(tmp_path))
    assert worker.run.epoch == 1


def test_the_command_starts_no_cuda_to_say_where_it_ran(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """NVIDIA's tool knows the names; a run's row has that of the hardware which it ran on."""
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho '0, NVIDIA H100'\necho '1, NVIDIA H100'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda *_: pytest.fail("started CUDA"))
    assert provenance.machine()["hardware"]["gpu"] == "NVIDIA H100"
    tool.write_text("#!/bin/sh\necho no devices were found\n")
    assert provenance.machine()["hardware"]["gpu"] is None
    assert machine_load.gpu_names() == []
    flags = "--dataset digits --abnormal_class 3 --limit_train 200 --model pca --epochs 1".split()
    try:
        row = finished_run(tmp_path, *flags, "--deterministic").trials.iloc[0]
    finally:
        be_deterministic(False)  # for the tests after this one
    assert (row.device, row.hardware, row.precision) == ("cpu", provenance.cpu_name(), "float32")
    assert row.deterministic == np.True_


def test_a_run_has_the_threads_that_it_was_given(process, monkeypatch: pytest.MonkeyPatch):
    threads: list[int] = []
    for module in (trainable, devices):
        monkeypatch.setattr(module, "ready_process", threads.append)
    process(config("pca"), cpus_per_trial=3)
    train.with_threads(Study(cpus_per_trial=2))
    assert threads == [3, 2]
