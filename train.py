"""Train one model on one task with fixed hyperparameters, epoch by epoch, and test it.

examples:
  python train.py --dataset cifar10 --abnormal_class airplane --niter 10 --w_con 50 --w_lat 1 --w_adv 1
  python train.py --dataset digits --abnormal_class 3 --epochs 5
  python train.py --dataset path/to/images --isize 32 --niter 5
  python train.py --dataset cifar10 --abnormal_class airplane --epochs 5 --audit
  python train.py --model skipganomaly --help     # that model's hyperparameters

The run is written to results/<study>/ like any study's, so that report.py can show it.
"""

import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

import models
from bench import display, rows
from bench.audit import audit, markdown
from bench.cli import Parser, add_model_flags, add_study_flags, check_models, run_main, study_from
from bench.errors import UserError
from bench.prepare import Prepared, default_name, prepare
from bench.progress import describe
from bench.provenance import provenance
from bench.results import Store, write_whole
from bench.study import Study
from bench.training import Run, final_metrics, train


AUDIT = "walk from the published protocol to the sound one, one field at a time, and show what each step costs"


def parser(model: str) -> Parser:
    summary, _, details = (__doc__ or "").partition("\n\n")
    made = Parser(prog="train.py", description=summary, epilog=details)
    add_study_flags(made, ("task", "protocol", "training", "output"))
    made.add_argument("--audit", action="store_true", help=AUDIT)
    made.add_argument("--display", action="store_true", help=display.HELP)
    add_model_flags(made, model)
    return made


def model_named(arguments: Sequence[str]) -> str:
    """The model whose hyperparameters are flags."""
    first = Parser(add_help=False)
    first.add_argument("--model", nargs="+", default=["w_skipganomaly"])
    names = first.parse_known_args(arguments)[0].model
    check_models(names)
    if len(names) > 1:
        raise UserError("--model: train.py trains one model (train_tune.py trains several)")
    return names[0]


def main(arguments: Sequence[str] | None = None) -> int:
    arguments = sys.argv[1:] if arguments is None else arguments
    model = model_named(arguments)
    given = vars(parser(model).parse_args(arguments))
    study = study_from(given)
    config_type = models.get(model).Config
    given_config = {name: given[name] for name in config_type.hyperparameters() if name in given}
    ready = prepare(study)
    if len(ready.tasks) > 1:
        raise UserError("--abnormal_class: train.py trains on one class (train_tune.py on several)")
    task = ready.tasks[0]
    held = models.get(model).PUBLISHED if study.protocol == "published" else {}
    try:
        config = config_type.make(held | given_config | {"batch_size": study.batch_size})
    except ValueError as error:
        raise UserError(f"--{error}") from None
    hyperparameters = {name: getattr(config, name) for name in config_type.hyperparameters()}

    name = study.name or default_name(study, ready.tasks)
    about = provenance(ready.dataset)
    torch.set_num_threads(study.cpus_per_trial or os.cpu_count() or 1)
    if given["audit"]:
        return audit_main(replace(study, name=name), ready, given_config, about)
    run = Run(
        model,
        ready.splits[task.cls],
        ready.protocol,
        hyperparameters=hyperparameters,
        seed=study.seed,
        select_on=ready.select_on,
        device=ready.device,
        precision=study.precision,
        test_every_epoch=True,
    )
    store = Store.create(replace(study, name=name), about, name)
    print(f"{store.path}: {model}, {task.kind} {task.cls} of {ready.dataset.name}")
    print(f"{len(run.split.train)} training images, {study.protocol} protocol, {ready.select_on}, {ready.device}")
    trial = f"{model}-{task.cls}-seed{study.seed}"
    row = rows.start(
        trial,
        "final",
        model=model,
        cls=task.cls,
        number=0,
        seed=study.seed,
        config=hyperparameters,
        common=ready.columns(study, about),
    )
    try:
        board = display.Board(store.path) if given["display"] else None
        for record in train(run, study.epochs):
            store.add_epoch({name: row[name] for name in ("trial", "kind", "model", "class")} | record)
            if board:
                board.add(trial, record)
            losses = "  ".join(f"{key[5:]} {value:.4g}" for key, value in record.items() if key.startswith("loss_"))
            seconds = f"{record['train_seconds']:.1f} s"
            print(f"epoch {record['epoch']}/{study.epochs}  {describe(record)}  ({losses})  {seconds}")
            for key in ("train_seconds", "score_seconds"):
                row[key] = row.get(key, 0.0) + record[key]
        scores = run.test_scores() if run.best_parts else None
        row |= rows.outcome(run.best, run.epoch) | (final_metrics(scores) if scores is not None else {})
        store.add_trial(row, scores)
    except FloatingPointError as error:
        store.add_trial(row | {"status": "error", "error": f"FloatingPointError: {error}", "objective": None})
        print(f"failed: {error}", file=sys.stderr)
        return 1
    finally:
        store.close()
    print(f"\nepoch {row['epoch']} was chosen: {describe(row)}")
    if scores is not None:
        low, high = row["test_auroc_low"], row["test_auroc_high"]
        print(f"test AUROC {row['test_auroc']:.4f} (95 % interval of the test set: {low:.4f} to {high:.4f})")
    print(f"next: python report.py {store.path}")
    return 0


def audit_main(study: Study, ready: Prepared, hyperparameters: dict[str, Any], about: dict[str, Any]) -> int:
    """Makes and prints the audit table; writes audit.csv and audit.md to the study's folder."""
    if ready.splits[ready.tasks[0].cls].test is None:
        raise UserError("--audit: there are no labelled test images")
    assert study.name is not None
    store = Store.create(study, about, study.name)
    print(f"{store.path}: audit of {study.model[0]} on {ready.dataset.name}, {ready.tasks[0].cls}")
    try:
        rows = audit(
            study.model[0],
            ready.dataset,
            ready.tasks[0],
            hyperparameters=hyperparameters | {"batch_size": study.batch_size},
            epochs=study.epochs,
            seed=study.seed,
            split_seed=study.seed if study.split_seed is None else study.split_seed,
            select_on=ready.select_on,
            device=ready.device,
            precision=study.precision,
            say=print,
        )
    finally:
        store.close()
    write_whole(store.path / "audit.csv", rows.to_csv(index=False))
    write_whole(store.path / "audit.md", markdown(rows) + "\n")
    print(f"\n{markdown(rows)}\n\nwritten: {store.path / 'audit.csv'}, {store.path / 'audit.md'}")
    return 0


if __name__ == "__main__":
    run_main(main)
