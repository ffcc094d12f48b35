"""What train.py does: one training run, an audit, or scores for new images."""

import dataclasses
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench import display, rows
from bench.audit import audit, markdown
from bench.checkpoints import trained_state
from bench.datasets import Decoding
from bench.errors import UserError
from bench.names import on_disk
from bench.prepare import Prepared, default_name, stamped
from bench.progress import describe, scoring
from bench.provenance import provenance
from bench.results import Store, write_whole
from bench.scoring import score_folder
from bench.study import Study
from bench.training import Run, final_metrics, train
from bench.view import View
from models.base import AnomalyModel, Config


def teller(view: View) -> Callable[[str], None]:
    """What says how far a command is: nobody, where it is to be quiet."""
    return (lambda line: None) if view.quiet else print


def train_run(
    study: Study,
    ready: Prepared,
    model: str,
    config: Config,
    start: AnomalyModel | None,
    folder: Path | None,
    view: View,
) -> int:
    """Trains, tests and records one run; goes on from `start` where there is one. The exit status."""
    task = ready.tasks[0]
    hyperparameters = dataclasses.asdict(config)
    run = Run(
        model,
        ready.splits[task.cls],
        ready.protocol,
        hyperparameters=hyperparameters,
        seed=study.seed,
        select_on=ready.select_on,
        device=ready.device,
        precision=study.precision,
        final=True,
    )
    if start is not None:
        if start.image_shape != run.model.image_shape:
            raise UserError(f"--load: the model is for images {start.image_shape}, these are {run.model.image_shape}")
        run.model.restore(trained_state(start))
    source = provenance(ready.dataset, ready.notes)
    store = Store.create(study, source, study.name or default_name(study, ready.tasks))
    say = teller(view)
    say(f"{store.path}: {model}, {task.kind} {task.cls} of {ready.dataset.name}")
    say(f"{len(run.split.train)} training images, {study.protocol} protocol, {ready.select_on}, {ready.device}")
    trial = f"{model}-{task.cls}-seed{study.seed}"
    names: dict[str, Any] = {"model": model, "cls": task.cls, "number": 0, "seed": study.seed}
    row = rows.start(trial, "final", **names, config=hyperparameters, common=ready.columns(study, source))
    board = None
    try:
        board = display.Board(store.path) if view.display else None
        with scoring(run.model, view.quiet):
            for record in train(run, study.epochs):
                store.add_epoch({name: row[name] for name in ("trial", "kind", "model", "class")} | record)
                if board:
                    board.add(trial, record, run.shown())
                losses = "  ".join(f"{key[5:]} {value:.4g}" for key, value in record.items() if key.startswith("loss_"))
                seconds = f"{record['train_seconds']:.1f} s"
                say(f"epoch {record['epoch']}/{study.epochs}  {describe(record)}  ({losses})  {seconds}")
                for key in ("train_seconds", "score_seconds"):
                    row[key] = row.get(key, 0.0) + record[key]
        scores = run.test_scores() if run.best_parts else None
        row |= rows.outcome(run.best, run.epoch) | (final_metrics(scores) if scores is not None else {})
        data = ready.dataset
        kept = run.packed(model, trial, data.classes, data.decoding) if study.keep_models == "all" else None
        gallery = run.gallery(scores) if scores is not None else None
        store.add_trial(row, scores, gallery, kept)
    except FloatingPointError as error:
        store.add_trial(row | {"status": "error", "error": f"FloatingPointError: {error}", "objective": None})
        print(f"failed: {error}", file=sys.stderr)
        return 1
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
    if folder is not None:
        run.model.restore(run.best_state)
        show_scores(run.model, ready.dataset.decoding, folder, store.path, view)
    print(f"next: python report.py {store.path}")
    return 0


def audit_run(study: Study, ready: Prepared, model: str, hyperparameters: dict[str, Any], view: View) -> int:
    """Makes and prints the audit table; writes audit.csv and audit.md to the study's folder."""
    if ready.splits[ready.tasks[0].cls].test is None:
        raise UserError("--audit: there are no labelled test images")
    store = Store.create(study, provenance(ready.dataset, ready.notes), study.name or default_name(study, ready.tasks))
    say = teller(view)
    say(f"{store.path}: audit of {model} on {ready.dataset.name}, {ready.tasks[0].cls}")
    try:
        table = audit(
            model,
            ready.dataset,
            ready.tasks[0],
            hyperparameters=hyperparameters | {"batch_size": study.batch_size},
            epochs=study.epochs,
            seed=study.seed,
            split_seed=study.seed_of_splits(),
            select_on=ready.select_on,
            device=ready.device,
            precision=study.precision,
            say=say,
        )
    finally:
        store.close()
    write_whole(store.path / "audit.csv", table.to_csv(index=False))
    write_whole(store.path / "audit.md", markdown(table) + "\n")
    print(f"\n{markdown(table)}\n\nwritten: {store.path / 'audit.csv'}, {store.path / 'audit.md'}")
    return 0


def score(study: Study, model: AnomalyModel, content: dict[str, Any], folder: Path, view: View) -> int:
    """Scores a folder with a trained model, into a new folder of results."""
    out = on_disk(Path(study.results_dir)) / (study.name or stamped(content["model"], folder.name, "scores"))
    if out.exists():
        raise UserError(f"--name: {out} exists already (give another name)")
    show_scores(model, content["decoding"], folder, out, view)
    return 0


def show_scores(model: AnomalyModel, decoding: Decoding, folder: Path, out: Path, view: View) -> None:
    score_folder(model, decoding, folder, out, teller(view), view.quiet)
    print(f"written: {out / 'scores.csv'}, {out / 'scores.html'}")
