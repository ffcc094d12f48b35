"""What train.py does: one training run, or scores for new images."""

import contextlib
import io
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from bench.choices import interrupts
from bench.choices.errors import UserError, note
from bench.choices.monitoring import View
from bench.choices.names import stamped
from bench.choices.study import RUN_CHECKPOINT, Study
from bench.choices.tasks import PlannedRun
from bench.commands import resume
from bench.commands.score import score_folder
from bench.judging import verdicts
from bench.reporting.cautions import of_training
from bench.results import Results, Store, columns, model_file, read, write_whole
from bench.results.store import new_folder
from bench.training.model_files import trained_state
from bench.training.prepare import Prepared, default_name
from bench.training.recorder import Recorder
from bench.training.run import Run, train
from bench.watching.live_curves import Board
from bench.watching.progress import describe, scoring
from models.base import AnomalyModel


def train_run(
    study: Study,
    ready: Prepared,
    model: str,
    extras: dict[str, Any],
    view: View,
    loaded: tuple[AnomalyModel, dict[str, Any]] | None,
    earlier: Results | None,
) -> int:
    """Trains, tests and records one run; returns the exit status.

    If the training diverges, records that and raises FloatingPointError.

    `extras`: its hyperparameters, --load with its SHA-256, and --score_folder; kept in study.json.
    `loaded`: the model whose weights the run begins with, and its file's content. `earlier`: the
    results of the run to go on with.
    """
    task = ready.tasks[0]
    config = extras["hyperparameters"]
    budget = ready.budget(study, model, task, config)
    planned = PlannedRun("final", model, task, 0, study.seed, config, budget)
    run = Run(
        model,
        ready.splits[task],
        ready.protocol,
        hyperparameters=planned.config,
        seed=study.seed,
        select_on=ready.select_on[task],
        device=ready.device,
        precision=study.precision,
        final=True,
        budget=budget,
        false_alarms=study.false_alarms,
    )
    if "sha256_load" in extras:
        run.setup["sha256_load"] = extras["sha256_load"]
    if loaded is not None:
        load_weights(run, *loaded, ready.facts(study, task))

    def progress() -> str:
        return f"with {run.epoch} of {budget.epochs} epochs done"

    with run_folder(study, ready, "train.py", extras, earlier, progress) as (store, provenance):
        view.say(
            f"{store.path}: {model}, {task.kind} {task.cls} of {provenance['dataset']['name']}"
        )
        view.say(
            f"{len(run.split.train)} training images, {study.protocol} protocol, "
            f"{run.select_on}, {run.setup['device']}"
        )
        row = train_and_test(run, planned, study, ready, store, provenance, view)
    judged = verdicts.from_file({"verdicts": run.best_verdicts}, None)
    print(f"\nepoch {row['epoch']} was chosen: {describe(row)}")
    if "test_auroc" in row:
        low, high = row["test_auroc_low"], row["test_auroc_high"]
        interval = f"95 % interval of the test set: {low:.4f} to {high:.4f}"
        print(f"test AUROC {row['test_auroc']:.4f} ({interval})")
        if "test_aupro" in row:
            print(f"of pixels: AUROC {row['test_pixel_auroc']:.4f}, AUPRO {row['test_aupro']:.4f}")
        if row.get("threshold") is not None:
            print(
                f"above the threshold {row['threshold']:.4g}, for {100 * study.false_alarms:g} % "
                f"false alarms: {row['test_true_alarms']:.1%} of the abnormal and "
                f"{row['test_false_alarms']:.1%} of the normal test images"
            )
        elif judged and not extras["score_folder"]:  # score_folder says so too
            note(verdicts.why_no_verdicts(judged))
    for line in of_training(read(store.path).trials):
        print(f"warning: {line}")
    if study.keep_models == "all":
        print(f"the trained model: {model_file(store.path, planned.trial)}")
    status = 0
    if extras["score_folder"]:
        run.model.restore(run.best_state)
        folder, decoding = Path(extras["score_folder"]), ready.dataset.decoding
        status = score_folder(run.model, decoding, folder, store.path, view, judged)
    print(f"next: {shlex.join(['python', 'report.py', str(store.path)])}")
    return status


def load_weights(
    run: Run, loaded: AnomalyModel, content: dict[str, Any], facts: dict[str, Any]
) -> None:
    """Gives the run a loaded model's weights; UserError where these are for other images.

    `content`: of the model's file. `facts`: what the file of the run's own model will have.
    """
    if loaded.image_shape != run.model.image_shape:
        raise UserError(
            f"--load: the model is for images {loaded.image_shape}, these are "
            f"{run.model.image_shape}"
        )
    run.model.restore(trained_state(loaded))
    note("--load: the optimisers start anew, so that the first steps may make the model worse")
    if content.get("split") != facts["split"]:
        note(
            "--load: the model was trained on another split, or on other images: some that are held "
            "out now may have trained its weights"
        )


def train_and_test(
    run: Run,
    planned: PlannedRun,
    study: Study,
    ready: Prepared,
    store: Store,
    provenance: dict[str, Any],
    view: View,
) -> dict[str, Any]:
    """Trains, tests and records a run, from its last checkpoint if there is one; returns its row.

    Raises FloatingPointError, once that is recorded, where the training diverges.
    """
    checkpoint = store.path / RUN_CHECKPOINT
    try:
        if checkpoint.exists():
            restore_run(run, checkpoint)
            view.say(f"going on after epoch {run.epoch}")
        board = Board(store.path) if view.display else None
        recorder = Recorder(study, ready, store, provenance, board, after=run.epoch)
        with scoring(run.model, view.quiet):
            for record in train(run):
                with interrupts.deferred():  # a recorded epoch is in the checkpoint too
                    recorder.epoch(planned, record, run.curves() if board else None)
                    write_whole(checkpoint, serialised(run.checkpoint()))
                epoch = f"epoch {record['epoch']}/{planned.budget.epochs}"
                view.say(f"{epoch}  {describe(record)}  {losses(record)}")
            packed = None
            if study.keep_models == "all":
                packed = run.packed(planned, ready.facts(study, planned.task))
            outcome = columns.of_chosen_epoch(run.best, run.epoch)
            row = recorder.finish(planned, outcome, **run.outputs(), packed=packed)
        checkpoint.unlink(missing_ok=True)
    except FloatingPointError as error:
        recorder.finish(planned, columns.of_failure(f"FloatingPointError: {error}"))
        checkpoint.unlink(missing_ok=True)
        raise
    return row


@contextlib.contextmanager
def run_folder(
    study: Study,
    ready: Prepared,
    script: str,
    extras: dict[str, Any],
    earlier: Results | None,
    progress: Callable[[], str],
) -> Iterator[tuple[Store, dict[str, Any]]]:
    """The folder to write to, new or as `earlier` left it, and the provenance of its rows.

    `progress`: see resume.resumable. UserError where the images of a command that goes on have
    changed.
    """
    provenance = resume.resumed_provenance(earlier, ready.provenance())

    def open_folder() -> Store:
        if earlier:
            store = Store(earlier.path)
            if not read(store.path).trials.empty:
                raise UserError(f"{store.path}: another command has ended this run meanwhile")
            return store
        name = study.name or default_name(study, ready.tasks)
        return Store.create(study, provenance, name, script, extras)

    with resume.resumable("train.py", open_folder, progress) as store:
        yield store, provenance


def losses(record: dict[str, Any]) -> str:
    """`(critic -0.3, generator 1.2)  4.0 s`, of an epoch's record."""
    means = [
        f"{key.removeprefix('loss_')} {value:.4g}"
        for key, value in record.items()
        if key.startswith("loss_")
    ]
    shown = f"({'  '.join(means)})  " if means else ""  # a fitted model has none
    return f"{shown}{record['train_seconds']:.1f} s"


def restore_run(run: Run, checkpoint: Path) -> None:
    """Restores a run from its checkpoint, without running code in it; UserError for other files."""
    try:
        run.restore(torch.load(checkpoint, map_location="cpu", weights_only=True))
    except Exception as error:  # whatever torch raises for other or damaged files
        reason = str(error).split(". ")[0] or type(error).__name__
        raise UserError(
            f"--resume: {checkpoint} cannot be used ({reason}); delete it to begin again"
        ) from None


def serialised(state: dict[str, Any]) -> bytes:
    """A run's state as a file's content."""
    file = io.BytesIO()
    torch.save(state, file)
    return file.getvalue()


def score(
    study: Study,
    model: AnomalyModel,
    content: dict[str, Any],
    folder: Path,
    view: View,
    false_alarms: float | None,
) -> int:
    """Scores a folder or an image with a trained model, into a new folder; returns the exit status.

    `false_alarms`: the rate for which to set the threshold; None for that of the model's file.
    """
    judged = verdicts.from_file(content, false_alarms)
    trained = content.get("precision", "float32")
    if judged and model.precision != trained:
        note(
            f"--precision: the model's threshold was set in {trained}; scores in {model.precision} "
            "differ a little"
        )
    name = study.name or stamped(content["model"], folder.resolve().name, "scores")
    out = new_folder(Path(study.results_dir), name, given=study.name is not None)
    try:
        return score_folder(model, content["decoding"], folder, out, view, judged)
    finally:
        with contextlib.suppress(OSError):
            out.rmdir()  # where nothing was written
