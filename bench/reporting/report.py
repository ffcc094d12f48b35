"""The whole report: reads each file once, writes tables, figures and the page, prints what matters."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from bench import statistics
from bench.errors import UserError
from bench.reporting import figures, tables
from bench.reporting.cautions import cautions
from bench.reporting.page import page
from bench.reporting.writers import Table, file_names, write
from bench.results import Results


def report(studies: Mapping[str, Results], out: Path) -> None:
    """Writes the report to a folder and prints its main table, its warnings and its files; UserError if it cannot."""
    trials, epochs = tables.join(studies)
    if trials.empty:
        raise UserError(f"{', '.join(studies)}: no trial has finished yet")
    finals = tables.tested(trials)
    scores, warnings = tables.read_scores(studies, finals)
    found, more = tables.auroc(finals, scores)
    warnings = [*cautions(studies, trials, found), *warnings, *more]

    made: list[Table | None] = []
    drawings: list[figures.Drawing] = []
    if len(found):
        comparison = statistics.compare(tables.shared(found))
        made += [tables.auroc_table(found, comparison), *tables.comparison_tables(comparison)]
        made += [tables.oracle_table(finals, epochs), tables.metrics_table(finals), tables.parts_table(finals, scores)]
        drawings += figures.critical_differences(comparison)
        drawings += figures.roc_curves(finals, scores)
        drawings += figures.learning_curves(finals, epochs)
        drawings += figures.histograms(finals, scores)
    made.append(tables.tuning_table(trials))
    shown = [table for table in made if table is not None]

    files: dict[str, dict[str, Any]] = {t.name: {"md": t.markdown(), "csv": t.csv(), "tex": t.latex()} for t in shown}
    for name, drawing in zip(file_names([d.name for d in drawings]), drawings, strict=True):
        files[name] = {"pdf": drawing.pdf, "png": drawing.png}
    if scores:
        files["histogram"] = {"csv": joined(finals, scores).to_csv(index=False)}
    files["index"] = {"html": page(studies, shown, drawings, warnings)}
    try:
        for name, kinds in files.items():
            for kind, content in kinds.items():
                write(out / f"{name}.{kind}", content)
    except OSError as error:
        raise UserError(f"--out: {out} cannot be written ({error.strerror})") from None

    if shown:
        print(shown[0].markdown())
    for line in warnings:
        print(f"warning: {' '.join(line.split())}")
    print("\nwritten:")
    for name, kinds in files.items():
        print("  " + ", ".join(str(out / f"{name}.{kind}") if i == 0 else f".{kind}" for i, kind in enumerate(kinds)))


def joined(finals: pd.DataFrame, scores: tables.Scores) -> pd.DataFrame:
    """All final runs' scores: one row an image and run."""
    about = ["study", "dataset", "task", "protocol", "model", "class", "seed", "trial"]
    keys = [key for key in zip(finals["study"], finals["trial"], strict=True) if key in scores]
    runs = pd.concat([scores[key][["scores", "labels"]] for key in keys], keys=keys, names=["study", "trial"])
    return runs.reset_index(["study", "trial"]).merge(finals[about])[["scores", "labels", *about]]
