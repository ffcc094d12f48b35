"""What a run takes of a machine, and what a process that runs several holds at a time."""

import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import train
from bench import results
from bench.choices.errors import UserError
from bench.choices.study import Study
from bench.choices.tasks import LEAVE_ONE_CLASS_OUT, SOUND, PlannedRun, Task
from bench.data import datasets
from bench.data.splits import Labelled, Split, make_split
from bench.results import provenance
from bench.training.run import Run
from bench.tuning import trainable
from bench.tuning.trainable import PLANNED, EpochTrainable
from bench.watching import machine_load

TINY = {"ngf": 4, "ndf": 4, "nz": 4}
ONE_GPU_EACH = {"cpu": 16, "gpu": 2}


@pytest.mark.parametrize(
    ("share", "slots"),
    [(None, 2), (1, 2), (2, 1), (4, 1), (0.5, 4), (0.3, 6), (0.6, 2), (0.25, 8), (0.1, 16), (1 / 3, 6)],
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
    with pytest.raises(UserError, match="--gpus_per_trial must be a share of a GPU above 0 or a whole number"):
        Study(gpus_per_trial=share)


@pytest.fixture(scope="module")
def splits(tmp_path_factory: pytest.TempPathFactory) -> dict[Task, Split]:
    digits = datasets.load("digits", root=tmp_path_factory.mktemp("data")).limit(200, 60)
    return {task(cls): make_split(digits, task(cls), SOUND, seed=0) for cls in ("3", "5")}


def task(cls: str) -> Task:
    return Task(LEAVE_ONE_CLASS_OUT, cls)


def config(model: str = "w_skipganomaly", cls: str = "3", **values: Any) -> dict[str, Any]:
    """A trial's configuration as Ray hands it over."""
    values = (TINY if model == "w_skipganomaly" else {}) | values
    return values | {PLANNED: PlannedRun("tuning", model, task(cls), 0, 1, values)}


@pytest.fixture
def process(splits, monkeypatch: pytest.MonkeyPatch):
    """A trial's process, without Ray around it: its first run, and what the study shares."""
    fetched: list[Split] = []
    monkeypatch.setattr(trainable.ray, "get", lambda split: fetched.append(split) or split)

    def start(first: dict[str, Any], **changes: Any) -> EpochTrainable:
        signals = dict.fromkeys(splits, "val_auroc")
        shared = {"splits": splits, "protocol": SOUND, "select_on": signals, "device": "cpu", "epochs": 2}
        shared |= {
            "threads": 1,
            "precision": "float32",
            "deterministic": False,
            "gpus": 1,
            "display": False,
            "keep_models": False,
        }
        made = EpochTrainable.__new__(EpochTrainable)
        made.setup(first, shared=shared | changes)
        made.fetched = fetched
        return made

    return start


def test_the_last_jobs_model_goes_before_the_next_one_comes(process, monkeypatch: pytest.MonkeyPatch):
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


def test_images_are_sent_once_a_class(process):
    worker = process(config())
    first = worker.split
    worker.reset_config(config(lr=1e-3))
    assert worker.split is first
    worker.reset_config(config("pca", cls="5"))
    assert worker.split is not first
    worker.reset_config(config(cls="5"))
    assert len(worker.fetched) == 2


def test_validation_and_test_images_stay_on_the_device(splits, monkeypatch: pytest.MonkeyPatch):
    """Each epoch scores the very tensors that the run put there."""
    moved = splits[task("3")].to("meta")
    parts = (moved.train, moved.val.images, moved.test.images)
    assert all(part.device.type == "meta" for part in parts)
    assert all(
        a is b for a, b in zip(parts, (moved.to("meta").train, moved.val.to("meta").images, parts[2]), strict=True)
    )
    run = Run(
        "w_skipganomaly", splits[task("3")], SOUND, hyperparameters=TINY, seed=1, select_on="pseudo_auroc", final=True
    )
    scored: list[Labelled] = []
    original = run.parts
    monkeypatch.setattr(run, "parts", lambda labelled: scored.append(labelled) or original(labelled))
    for _ in range(2):
        run.step()
    assert [id(part) for part in scored] == 2 * [id(part) for part in (run.split.val, run.pseudo, run.split.test)]


def test_a_classical_model_leaves_the_gpu_alone(process, capsys: pytest.CaptureFixture):
    """It is fitted on the CPU in a study that has GPUs, in float32 whatever the others compute in."""
    worker = process(config("pca"), device="cuda", precision="tf32", gpus=0.25)
    result = worker.step()
    assert result["best"]["device"] == "cpu"
    assert result["best"]["precision"] == "float32"
    assert result["best"]["hardware"] == provenance.cpu_name()
    assert not torch.cuda.is_initialized()


def test_a_share_of_a_gpu_limits_its_memory(process, monkeypatch: pytest.MonkeyPatch):
    limits: list[float] = []
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", limits.append)
    for gpus in (0.25, 1, 2):
        process(config(), device="cuda", gpus=gpus)
    process(config("pca"), device="cuda", gpus=0.5)
    assert limits == [0.25]


def test_a_checkpoint_from_a_gpu_comes_back_into_the_cpus_memory(process, tmp_path: Path, monkeypatch):
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


def test_the_command_starts_no_cuda_to_say_where_it_ran(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
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
    flags = ["--dataset", "digits", "--abnormal_class", "3", "--limit_train", "200", "--model", "pca", "--epochs", "1"]
    assert train.main([*flags, "--deterministic", "--results_dir", str(tmp_path), "--name", "one"]) == 0
    row = results.read(tmp_path / "one").trials.iloc[0]
    assert (row.device, row.hardware, row.precision) == ("cpu", provenance.cpu_name(), "float32")
    assert row.deterministic == np.True_
