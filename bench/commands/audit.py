"""What train.py --audit does: its trainings, and their table after each of them."""

from dataclasses import replace
from typing import Any

import pandas as pd

from bench.choices.errors import UserError, note
from bench.choices.monitoring import View
from bench.choices.study import Study
from bench.commands.train import run_folder
from bench.reporting.cautions import undertrained
from bench.results import Results, write_whole
from bench.training.audit import audit, markdown
from bench.training.prepare import Prepared, released_differences


def audit_run(
    study: Study,
    ready: Prepared,
    model: str,
    extras: dict[str, Any],
    view: View,
    earlier: Results | None,
) -> None:
    """Makes and prints the audit table. See train_run for the arguments.

    Writes audit.csv and audit.md to the study's folder after each training.
    """
    task = ready.tasks[0]
    if ready.splits[task].test is None:
        raise UserError("--audit: there are no labelled test images")
    hyperparameters, given = extras["hyperparameters"], extras.get("set", {})
    table = done = pd.DataFrame()
    others = [  # where the model's released code differs from the first row
        f"{fact}; the first row does not."
        for fact, _ in released_differences(replace(study, protocol="published"))
    ]
    for line in others:
        note(line)

    def progress() -> str:
        return f"with {len(table)} steps done"

    with run_folder(study, ready, "train.py --audit", extras, earlier, progress) as (store, _):
        file = store.path / "audit.csv"
        if file.exists():
            table = done = pd.read_csv(file)
        view.say(f"{store.path}: audit of {model} on {ready.dataset.name}, {task.cls}")
        for table in audit(study, ready, model, hyperparameters, given, view.say, done):
            below = "\n\n".join([*others, *undertrained_warnings(model, table)])
            write_whole(file.with_suffix(".md"), f"{markdown(table)}\n\n{below}".strip() + "\n")
            write_whole(file, table.to_csv(index=False))  # last: it says what is done
    print(f"\n{markdown(table)}\n\nwritten: {file}, {file.with_suffix('.md')}")
    for line in undertrained_warnings(model, table):
        print(f"warning: {line}")


def undertrained_warnings(model: str, table: pd.DataFrame) -> list[str]:
    """A line if an audit trained for less than its `fair_steps`, which older audits do not have."""
    columns = table.reindex(columns=["generator_steps", "fair_steps"])
    trained = columns.bfill().ffill().assign(model=model)  # all its trainings are equally long
    return undertrained(trained, "step(s)")
