"""MLflow and Weights & Biases, through Ray's own loggers: hyperparameters, and epochs' figures."""

import logging
import os
import shlex
from pathlib import Path
from typing import Any

from ray.tune import Callback

from bench.choices.errors import UserError, note
from bench.choices.monitoring import View


class Tracker(Callback):
    """Passes a run's figures on to one of Ray's loggers. If the logger fails, the study goes on."""

    def __init__(self, flag: str, logger: Any):
        self.flag, self.logger = flag, logger
        self.started: set[Any] = set()  # trials
        try:
            logger.setup()
        except Exception as error:  # whatever the service's own package raises
            raise UserError(f"{flag}: {type(error).__name__}: {error}") from None

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Ray pickles its Tuner."""
        return {}

    def call(self, name: str, *arguments: Any) -> None:
        if self.logger is None:
            return
        try:
            getattr(self.logger, name)(*arguments)
        except Exception as error:
            self.logger = None
            reason = " ".join(str(error).split()[:40])
            note(f"{self.flag} gets nothing more ({type(error).__name__}: {reason})")

    def on_trial_start(self, iteration: int, trials: list, trial: Any, **info: Any) -> None:
        self.started.add(trial)
        self.call("log_trial_start", trial)

    def on_trial_result(
        self, iteration: int, trials: list, trial: Any, result: dict, **info: Any
    ) -> None:
        figures = {key: value for key, value in result["record"].items() if value is not None}
        figures["training_iteration"] = result["training_iteration"]
        self.call("log_trial_result", iteration, trial, figures)

    def on_trial_complete(self, iteration: int, trials: list, trial: Any, **info: Any) -> None:
        self.end(trial, failed=False)

    def on_trial_error(self, iteration: int, trials: list, trial: Any, **info: Any) -> None:
        self.end(trial, failed=True)

    def end(self, trial: Any, failed: bool) -> None:
        if trial in self.started:  # the loggers know no other
            self.call("log_trial_end", trial, failed)

    def on_experiment_end(self, trials: list, **info: Any) -> None:
        self.call("on_experiment_end", trials)


def trackers_of(view: View, study: Path) -> list[Callback]:
    """The trackers of --mlflow and --wandb; UserError where a service does not answer."""
    trackers: list[Callback] = []
    name = study.resolve().name
    if view.mlflow is not None:
        from ray.air.integrations.mlflow import MLflowLoggerCallback

        # With MLflow's default of seven, a server that is gone holds up the study.
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
        logging.getLogger("mlflow").setLevel(logging.INFO if view.verbose else logging.WARNING)
        uri = view.mlflow or f"sqlite:///{study.resolve() / 'mlflow.db'}"
        logger = MLflowLoggerCallback(tracking_uri=uri, experiment_name=name)
        trackers.append(Tracker("--mlflow", logger))
        look = shlex.join(["mlflow", "ui", "--backend-store-uri", uri])
        view.say(f"MLflow: {uri}" + ("" if view.mlflow else f" (to look at it: {look})"))
    if view.wandb is not None:
        from ray.air.integrations.wandb import WandbLoggerCallback

        folder = str(study.resolve())
        wandb_logger = WandbLoggerCallback(project=view.wandb, group=name, dir=folder)
        trackers.append(Tracker("--wandb", wandb_logger))
    return trackers
