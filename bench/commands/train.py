"""What train.py does: one training run, an audit, or scores for new images."""

import contextlib
import io
import shlex
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from bench.choices.errors import UserError
from bench.choices.monitoring import View
from bench.choices.study import RUN, Study
from bench.commands import resume
from bench.commands.score import score_folder
from bench.data.datasets import Decoding
from bench.results import columns
from bench.results.reading import Results, read
from bench.results.store import Store, new_folder, write_whole
from bench.training.audit import audit, markdown
from bench.training.model_files import trained_state
from bench.training.prepare import Prepared, default_name, stamped
from bench.training.run import Run, final_metrics, train
from bench.watching import live_curves
from bench.watching.progress import describe, scoring
from models.base import AnomalyModel


def teller(view: View) -> Callable[[str], None]:
    """What says how far a command is: nobody, where it is to be quiet."""
    return (lambda line: None) if view.quiet else print


def train_run(
    study: Study,
    ready: Prepared,
    model: str,
    extras: dict[str, Any],
    view: View,
    loaded: AnomalyModel | None,
    there: Results | None,
) -> int:
    """Trains, tests and records one run; the exit status.

    It begins with the weights that were `loaded`, where there are any, or goes on with the run that is `there`.
    `extras`: its hyperparameters, and the folder whose images it scores at the end; kept in study.json.
    """
    task = ready.tasks[0]
    run = Run(
        model,
        ready.splits[task.cls],
        ready.protocol,
        hyperparameters=extras["hyperparameters"],
        seed=study.seed,
        select_on=ready.select_on[task.cls],
        device=ready.device,
        precision=study.precision,
        final=True,
    )
    if loaded is not None:
        if loaded.image_shape != run.model.image_shape:
            raise UserError(f"--load: the model is for images {loaded.image_shape}, these are {run.model.image_shape}")
        run.model.restore(trained_state(loaded))
    source = ready.provenance()
    if there:
        source, store = resume.same_images(there, source), Store(there.path)
    else:
        store = Store.create(study, source, study.name or default_name(study, ready.tasks), "train.py", extras)
    trial, checkpoint = f"{model}-{task.cls}-seed{study.seed}", store.path / RUN
    names: dict[str, Any] = {"model": model, "cls": task.cls, "number": 0, "seed": study.seed}
    common = ready.columns(study, task, source)
    row = columns.start(trial, "final", **names, config=extras["hyperparameters"], common=common)
    say = teller(view)
    say(f"{store.path}: {model}, {task.kind} {task.cls} of {common['dataset']}")
    say(
        f"{len(run.split.train)} training images, {study.protocol} protocol, {common['select_on']}, {run.ran['device']}"
    )
    board = None
    try:
        if checkpoint.exists():
            go_on(run, checkpoint)
            say(f"going on after epoch {run.epoch}")
        board = live_curves.Board(store.path) if view.display else None
        with scoring(run.model, view.quiet):
            for record in train(run, study.epochs):
                store.add_epoch({name: row[name] for name in ("trial", "kind", "model", "class")} | record)
                write_whole(checkpoint, stored(run.checkpoint()))
                if board:
                    board.add(trial, record, run.shown())
                losses = "  ".join(f"{key[5:]} {value:.4g}" for key, value in record.items() if key.startswith("loss_"))
                seconds = f"{record['train_seconds']:.1f} s"
                say(f"epoch {record['epoch']}/{study.epochs}  {describe(record)}  ({losses})  {seconds}")
            scores = run.test_scores() if run.best_parts else None
            row |= seconds_of(store.path) | columns.outcome(run.best, run.epoch)
            row |= final_metrics(scores) if scores is not None else {}
            kept = None
            if study.keep_models == "all":
                kept = run.packed(model, trial, ready.dataset.classes, ready.dataset.decoding)
            gallery = run.gallery(scores) if scores is not None else None
            store.add_trial(row, scores, gallery, kept)
        checkpoint.unlink(missing_ok=True)
    except FloatingPointError as error:
        failed = {"status": "error", "error": f"FloatingPointError: {error}", "objective": None}
        store.add_trial(row | seconds_of(store.path) | failed)
        checkpoint.unlink(missing_ok=True)
        print(f"failed: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"\ninterrupted, with {run.epoch} of {study.epochs} epochs done; go on with:")
        print(f"  {resume.hint('train.py', store.path)}")
        return 130
    finally:
        store.close()
        if board:
            board.close(trial)
    print(f"\nepoch {row['epoch']} was chosen: {describe(row)}")
    if scores is not None:
        low, high = row["test_auroc_low"], row["test_auroc_high"]
        print(f"test AUROC {row['test_auroc']:.4f} (95 % interval of the test set: {low:.4f} to {high:.4f})")
    if study.keep_models == "all":
        print(f"the trained model: {store.model_file(trial)}")
    if extras["score_folder"]:
        run.model.restore(run.best_state)
        show_scores(run.model, ready.dataset.decoding, Path(extras["score_folder"]), store.path, view)
    print(f"next: {shlex.join(['python', 'report.py', str(store.path)])}")
    return 0


def go_on(run: Run, checkpoint: Path) -> None:
    """Puts a run where it was stopped; UserError for a file that is no state of it. No code of the file is run."""
    try:
        run.restore(torch.load(checkpoint, map_location="cpu", weights_only=True))
    except Exception as error:  # whatever torch raises for other or damaged files
        reason = str(error).split(". ")[0] or type(error).__name__
        raise UserError(f"--resume: {checkpoint} cannot be used ({reason}); delete it to begin again") from None


def stored(state: dict[str, Any]) -> bytes:
    """A run's state as a file's content."""
    file = io.BytesIO()
    torch.save(state, file)
    return file.getvalue()


def seconds_of(study: Path) -> dict[str, float]:
    """The seconds of all epochs, also of those before a stop."""
    epochs = read(study).epochs
    return {name: float(epochs[name].sum()) for name in ("train_seconds", "score_seconds") if name in epochs}


def audit_run(study: Study, ready: Prepared, model: str, hyperparameters: dict[str, Any], view: View) -> int:
    """Makes and prints the audit table; writes audit.csv and audit.md to the study's folder."""
    if ready.splits[ready.tasks[0].cls].test is None:
        raise UserError("--audit: there are no labelled test images")
    task, source = ready.tasks[0], ready.provenance()
    store = Store.create(study, source, study.name or default_name(study, ready.tasks), "train.py --audit")
    say = teller(view)
    say(f"{store.path}: audit of {model} on {ready.dataset.name}, {task.cls}")
    try:
        table = audit(
            model,
            ready.dataset,
            task,
            hyperparameters=hyperparameters,
            epochs=study.epochs,
            seed=study.seed,
            split_seed=study.seed_of_splits(),
            select_on=ready.select_on[task.cls],
            device=ready.device,
            precision=study.precision,
            say=say,
        )
        write_whole(store.path / "audit.csv", table.to_csv(index=False))
        write_whole(store.path / "audit.md", markdown(table) + "\n")
    except BaseException:
        shutil.rmtree(store.path, ignore_errors=True)  # there is nothing in it yet
        raise
    finally:
        store.close()
    print(f"\n{markdown(table)}\n\nwritten: {store.path / 'audit.csv'}, {store.path / 'audit.md'}")
    return 0


def score(study: Study, model: AnomalyModel, content: dict[str, Any], folder: Path, view: View) -> int:
    """Scores a folder with a trained model, into a new folder of results."""
    name = study.name or stamped(content["model"], folder.resolve().name, "scores")
    out = new_folder(Path(study.results_dir), name, given=study.name is not None)
    try:
        show_scores(model, content["decoding"], folder, out, view)
    finally:
        with contextlib.suppress(OSError):
            out.rmdir()  # where nothing came of it
    return 0


def show_scores(model: AnomalyModel, decoding: Decoding, folder: Path, out: Path, view: View) -> None:
    score_folder(model, decoding, folder, out, teller(view), view.quiet)
    print(f"written: {out / 'scores.csv'}, {out / 'scores.html'}")
