"""One epoch of training as a step of Ray Tune's class API."""

import contextlib
from pathlib import Path
from typing import Any

import ray
import torch
from ray import tune

from bench.choices import outside
from bench.choices.errors import UserError
from bench.choices.tasks import PlannedRun
from bench.results.store import model_file, write_whole
from bench.training.devices import be_deterministic, device_of, ready_process
from bench.training.run import Run

PLANNED = "planned_run"  # in a trial's config, beside the hyperparameters


class EpochTrainable(tune.Trainable):
    """Trains one run; a step is one epoch.

    `config`: the hyperparameters, and a PlannedRun under PLANNED.
    """

    def setup(self, config: dict[str, Any], shared: dict[str, Any] | None = None) -> None:
        assert shared is not None
        self.shared = shared
        outside.add(shared["files"])
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Starts another run in the same process: a new process would import torch again.

        Drops the previous run first, to free the device; the images, which all tasks share, stay.
        """
        planned: PlannedRun = new_config[PLANNED]
        shared, study = self.shared, self.shared["study"]
        self.planned = planned
        self.hyperparameters = {k: v for k, v in new_config.items() if k != PLANNED}
        ready_process(study.cpus_per_trial or 1)
        be_deterministic(study.deterministic)
        self.run: Any = None
        self.error: Exception | None = None
        try:
            device = device_of(planned.model, shared["device"])
            if device == "cuda" and (share := study.resources(device)["gpu"]) < 1:
                torch.cuda.set_per_process_memory_fraction(share)
            self.run = Run(
                planned.model,
                shared["splits"][planned.task],
                shared["protocol"],
                hyperparameters=self.hyperparameters,
                seed=planned.seed,
                select_on=shared["select_on"][planned.task],
                device=device,
                precision=study.precision,
                final=planned.kind == "final",
                budget=planned.budget,
                false_alarms=study.false_alarms,
                learns_rotations=planned.model in shared["learn_rotations"],
            )
        except Exception as error:  # `step` raises it: then only this trial fails, not its process
            self.error = error
        return True

    def step(self) -> dict[str, Any]:
        if self.error:
            raise self.error
        run, record = self.run, self.run.step()
        if run.best["epoch"] == run.epoch:
            run.best["config"] = self.hyperparameters  # PBT changes them between epochs
        over = run.epoch >= run.budget.epochs
        result = {
            "record": record,
            "best": run.best,
            "objective": record["objective"],
            "done": over,
        }
        if self.shared["display"]:
            result["curves"] = run.curves()
        if over and run.final:
            result |= run.outputs()
            if self.shared["study"].keep_models == "all":
                result["packed"] = self.keep_model()
        return result

    def keep_model(self) -> bytes | None:
        """Writes the trained model's file; returns its content where only the driver can write it.

        Up to 71 MB: through Ray it would be copied several times.
        """
        planned, shared = self.planned, self.shared
        packed = self.run.packed(planned, shared["facts"][planned.task])
        if ray.get_runtime_context().get_node_id() == shared["driver_node"]:
            # Where it cannot be written, the driver tries: it says why, and ends the study.
            with contextlib.suppress(UserError):
                write_whole(model_file(shared["study_path"], planned.trial), packed)
                return None
        return packed

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        torch.save(self.run.checkpoint(), Path(checkpoint_dir) / "run.pt")

    def load_checkpoint(self, checkpoint_dir: Any) -> None:
        if self.error:  # there is no run: `step` says why
            return
        path = Path(checkpoint_dir) / "run.pt"
        self.run.restore(torch.load(path, map_location="cpu", weights_only=True))
