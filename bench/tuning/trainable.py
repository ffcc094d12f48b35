"""One epoch of training as a step of Ray Tune's class API."""

from pathlib import Path
from typing import Any

import ray
import torch
from ray import tune

from bench.protocols import Protocol
from bench.training import Run, Together

JOB = "job"  # the part of a trial's config that is not a hyperparameter


class EpochTrainable(tune.Trainable):
    """Trains one run, or several as one. `config`: the hyperparameters, and under JOB what else decides the runs."""

    def setup(self, config: dict[str, Any], shared: dict[str, Any] | None = None) -> None:
        assert shared is not None
        self.shared = shared
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Takes up another job in the same process, which saves starting one (and importing torch) a trial."""
        job = self.job = dict(new_config[JOB])
        self.hyperparameters = {name: value for name, value in new_config.items() if name != JOB}
        torch.set_num_threads(job["threads"])
        self.error: Exception | None = None
        try:
            self.runs = [
                Run(
                    job["model"],
                    ray.get(self.shared["splits"][cls]),
                    Protocol(**self.shared["protocol"]),
                    hyperparameters=self.hyperparameters,
                    seed=seed,
                    select_on=self.shared["select_on"],
                    device=self.shared["device"],
                    precision=self.shared["precision"],
                    final=job["kind"] == "final",
                )
                for _, cls, seed in job["runs"]
            ]
            self.together = Together(self.runs) if len(self.runs) > 1 else None
        except Exception as error:  # raised by `step`: it then costs this trial, and not its process too
            self.error = error
        return True

    def step(self) -> dict[str, Any]:
        if self.error:
            raise self.error
        outcomes: list[Any] = self.together.step() if self.together else [self.runs[0].step()]
        results = [self.result(*each) for each in zip(self.runs, self.job["runs"], outcomes, strict=True)]
        records = [result["record"] for result in results if "record" in result]
        if not records:
            raise outcomes[0]
        done = records[0]["epoch"] >= self.shared["epochs"]
        return {"runs": results, "objective": records[0]["objective"], "done": done}

    def result(self, run: Run, named: tuple[str, str, int], outcome: dict[str, Any] | Exception) -> dict[str, Any]:
        """What the driver is told of one run's epoch."""
        if isinstance(outcome, Exception):
            return {"error": outcome}
        if run.best["epoch"] == run.epoch:
            run.best["config"] = self.hyperparameters  # PBT changes them between epochs
        result: dict[str, Any] = {"record": {k: v for k, v in outcome.items() if k != "config"}, "best": run.best}
        if self.shared["display"]:
            result["shown"] = run.shown()
        if run.epoch >= self.shared["epochs"] and run.final:
            if run.best_parts:
                result["scores"] = run.test_scores()
                result["gallery"] = run.gallery(result["scores"])
            if self.shared["keep_models"]:
                result["packed"] = run.packed(
                    self.job["model"], named[0], self.shared["classes"], self.shared["decoding"]
                )
        return result

    # Only runs of a search are paused, and these train alone.

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        torch.save(self.runs[0].checkpoint(), Path(checkpoint_dir) / "run.pt")

    def load_checkpoint(self, checkpoint_dir: Any) -> None:
        self.runs[0].restore(torch.load(Path(checkpoint_dir) / "run.pt", weights_only=True))
