"""One epoch of training as a step of Ray Tune's class API."""

from pathlib import Path
from typing import Any

import ray
import torch
from ray import tune

from bench.data.splits import Protocol, Split
from bench.training.run import Run, be_deterministic, device_of

JOB = "job"  # the part of a trial's config that is not a hyperparameter


class EpochTrainable(tune.Trainable):
    """Trains one run. `config`: the hyperparameters, and under JOB what else decides the run."""

    def setup(self, config: dict[str, Any], shared: dict[str, Any] | None = None) -> None:
        assert shared is not None
        self.shared = shared
        self.cls: str | None = None  # whose images `split` has on the device
        self.split: Split | None = None
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Takes up another job in the same process, which saves starting one (and importing torch) a trial.

        What lies on the device is let go of before more is put there: the last job's run, and another class's images.
        """
        job = self.job = dict(new_config[JOB])
        self.hyperparameters = {name: value for name, value in new_config.items() if name != JOB}
        torch.set_num_threads(job["threads"])
        be_deterministic(self.shared["deterministic"])
        self.run: Any = None
        self.error: Exception | None = None
        try:
            device = device_of(job["model"], self.shared["device"])
            if device == "cuda" and self.shared["gpus"] < 1:
                torch.cuda.set_per_process_memory_fraction(self.shared["gpus"])
            if job["class"] != self.cls:
                self.cls, self.split = None, None
                self.split = ray.get(self.shared["splits"][job["class"]]).to(device)
                self.cls = job["class"]
            assert self.split is not None
            self.run = Run(
                job["model"],
                self.split,
                Protocol(**self.shared["protocol"]),
                hyperparameters=self.hyperparameters,
                seed=job["seed"],
                select_on=self.shared["select_on"][job["class"]],
                device=self.shared["device"],
                precision=self.shared["precision"],
                final=job["kind"] == "final",
            )
        except Exception as error:  # raised by `step`: it then costs this trial, and not its process too
            self.error = error
        return True

    def step(self) -> dict[str, Any]:
        if self.error:
            raise self.error
        run, record = self.run, self.run.step()
        if run.best["epoch"] == run.epoch:
            run.best["config"] = self.hyperparameters  # PBT changes them between epochs
        over = run.epoch >= self.shared["epochs"]
        result = {"record": record, "best": run.best, "objective": record["objective"], "done": over}
        if self.shared["display"]:
            result["shown"] = run.shown()
        if over and run.final:
            if run.best_parts:
                result["scores"] = run.test_scores()
                result["gallery"] = run.gallery(result["scores"])
            if self.shared["keep_models"]:
                result["packed"] = run.packed(
                    self.job["model"], self.job["trial"], self.shared["classes"], self.shared["decoding"]
                )
        return result

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        torch.save(self.run.checkpoint(), Path(checkpoint_dir) / "run.pt")

    def load_checkpoint(self, checkpoint_dir: Any) -> None:
        self.run.restore(torch.load(Path(checkpoint_dir) / "run.pt", map_location="cpu", weights_only=True))
