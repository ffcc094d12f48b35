"""The whole report: reads each file once, writes tables, figures and the page, prints what matters."""

from collections.abc import Mapping
from pathlib import Path

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

    try:
        files = [write(out / f"{t.name}.{kind}", content) for t in shown for kind, content in texts(t).items()]
        for name, drawing in zip(file_names([d.name for d in drawings]), drawings, strict=True):
            files += [write(out / f"{name}.pdf", drawing.pdf), write(out / f"{name}.png", drawing.png)]
        if scores:
            files.append(write(out / "histogram.csv", joined(finals, scores).to_csv(index=False)))
        files.append(write(out / "index.html", page(studies, shown, drawings, warnings)))
    except OSError as error:
        raise UserError(f"--out: {out} cannot be written ({error.strerror})") from None

    if shown:
        print(shown[0].markdown())
    for line in warnings:
        print(f"warning: {' '.join(line.split())}")
    print("\n".join(["", "written:", *(f"  {file}" for file in files)]))


def texts(table: Table) -> dict[str, str]:
    return {"md": table.markdown(), "csv": table.csv(), "tex": table.latex()}


def joined(finals: pd.DataFrame, scores: tables.Scores) -> pd.DataFrame:
    """All final runs' scores, one row an image and run."""
    frames = [
        scores[run.study, run.trial][["scores", "labels"]].assign(
            study=run.study, model=run.model, **{"class": run.row}, seed=run.seed, trial=run.trial
        )
        for run in finals.itertuples()
        if (run.study, run.trial) in scores
    ]
    return pd.concat(frames, ignore_index=True)
