"""The whole report: reads each file once; writes tables, figures and the page."""

import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pandas as pd

from bench.choices.errors import UserError, cannot_write
from bench.choices.folders import DAY, check_writable
from bench.judging.comparison import compare
from bench.reporting import (
    choosing,
    figures,
    frames,
    hyperparameters,
    parts,
    searches,
    sweeps,
    tables,
)
from bench.reporting.cautions import cautions, gathered
from bench.reporting.defects import defects_table
from bench.reporting.differences import difference_tables
from bench.reporting.drawing import Drawing
from bench.reporting.explorer import explorer
from bench.reporting.fair import (
    class_means,
    comparable,
    dependence,
    rivals,
    shared,
    without_unsound,
)
from bench.reporting.headline import auroc_table
from bench.reporting.overview import overview
from bench.reporting.page import MARK, Section, page
from bench.reporting.writers import Table, file_names
from bench.results.reading import Results
from bench.results.store import half_written, write_whole

WRITTEN = ".written"  # the names of a report's files, for the next report to the same folder
MANY_RUNS = 100  # final runs; with more, drawing in a second process saves time


def check_out(out: Path, default_folder: bool) -> None:
    """UserError for a folder that cannot be written to, or whose index.html is no report's.

    `default_folder`: it is the reports' folder in a study or sweep, where any page may be replaced.
    """
    check_writable(out, "--out")
    page = out / "index.html"
    if default_folder or not page.is_file():
        return
    if MARK not in page.read_text(errors="replace")[:1000]:
        raise UserError(f"--out: {page} is no report's page (give another folder)")


def report(
    studies: Mapping[str, Results],
    out: Path,
    title: str = "",
    lead: str = "",
    default_folder: bool = False,
) -> None:
    """Writes the report to a folder and prints its main table, its warnings and its files.

    `title` and `lead`: see `page`; `default_folder`: see `check_out`. UserError if there is nothing
    to report, or a file cannot be written.
    """
    for study in studies.values():
        study.check_decided()
    trials, epochs = frames.join(studies)
    if trials.empty:
        audits = [study.path for study in studies.values() if study.made_by.endswith("--audit")]
        if audits:
            raise UserError(f"{audits[0]}: an audit has no rows; its table is audit.md")
        raise UserError(f"{', '.join(studies)}: no trial has finished yet")
    finals = frames.tested(trials)
    scores, of_scores = frames.read_scores(studies, finals)
    aurocs, without_interval = frames.auroc(finals, scores)
    draw_scores: Callable[[], list[Drawing]] = partial(figures.of_scores, finals, scores)
    if len(finals) > MANY_RUNS:
        draw_scores = in_another_process(draw_scores)
    unseen: list[str] = []
    runs = list(explorer(studies, finals, scores, unseen))
    with_images = any(run.get("gallery") for run in runs)
    dominated = parts.dominated(finals, scores)
    messages = gathered(
        cautions(studies, trials, aurocs)
        | {"parts of a score leave the others hardly any weight (see parts.csv)": dominated}
        | of_scores
        | {"results have no confidence interval": without_interval}
        | {"runs have images that cannot be shown": unseen}
    )

    settings = tables.settings_table(studies, trials)
    # With --tune_for mean no class has a winner of its own, so none can have won it by luck.
    joint = [name for name, study in studies.items() if study.study.get("tune_for") == "mean"]
    tuned = [
        choosing.tuning_gain_table(trials),
        choosing.luck_table(trials[~trials["study"].isin(joint)]),
        searches.tuning_table(trials),
        searches.early_stopping_table(trials),
    ]
    drawn = [*hyperparameters.parallel_coordinates(trials), *hyperparameters.importances(trials)]
    curves = searches.learning_curves(finals, epochs)
    if len(aurocs):
        others = [
            *difference_tables(finals, studies, settings.frame),
            sweeps.dataset_table(aurocs),
            *sweeps.amount_tables(aurocs),
            tables.metrics_table(finals),
            defects_table(finals),
        ]
        sections = [
            *main_sections(
                aurocs, section("all", "All results", others, sweeps.amount_drawings(aurocs))
            ),
            section(
                "measured",
                "How was it measured?",
                [settings, choosing.signals_table(finals, epochs), tables.cost_table(finals)],
            ),
            section(
                "scores",
                "What do the scores look like?",
                [parts.parts_table(finals, scores)],
                draw_scores(),
            ),
            section("images", "What does the model see?"),
            section("tuning", "What did tuning do?", tuned, [*drawn, *curves]),
        ]
    else:
        sections = [
            section("tuning", "What did tuning do?", tuned, drawn),
            section("measured", "How was it measured?", [settings]),
        ]
    first = next(iter(studies))
    sections = [
        replace(part, tables=[replace(table, study=first) for table in part.tables])
        for part in sections
        if part.tables or part.drawings or (part.name == "images" and with_images)
    ]
    all_tables = [table for part in sections for table in part.tables]
    drawings = [drawing for part in sections for drawing in (*part.lead, *part.drawings)]

    files: dict[str, dict[str, Any]] = {}
    for table in all_tables:
        files[table.name] = {"md": table.markdown(), "csv": table.csv(), "tex": table.latex()}
    for name, drawing in zip(file_names([d.name for d in drawings]), drawings, strict=True):
        files.setdefault(name, {}).update(pdf=drawing.pdf, svg=drawing.svg)
    if scores:
        files["histogram"] = {"csv": score_rows(finals, scores).to_csv(index=False)}
    files["index"] = {"html": page(studies, sections, runs, messages, title, lead)}
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(out, error, "--out") from None
    new = {f"{name}.{kind}": kinds[kind] for name, kinds in files.items() for kind in kinds}
    replace_report(out, new, default_folder)

    main = [part.tables[0] for part in sections if part.name.startswith("results")]
    for table in main or all_tables[:1]:
        print(table.markdown())
    for line in messages:
        print(f"warning: {line}")
    print("\nwritten:")
    for name, kinds in files.items():
        first, *rest = kinds
        print(", .".join([f"  {out / name}.{first}", *rest]))


def replace_report(out: Path, new: Mapping[str, str | bytes], default_folder: bool) -> None:
    """Writes a report's files to a folder, and removes those of an earlier report, no others.

    Outside the `default_folder` (see `check_out`) it replaces only files that a report wrote: for
    any other, UserError, with nothing written.
    """
    written = out / WRITTEN
    earlier = written.read_text().splitlines() if written.is_file() else []
    of_older_version = not written.is_file() and (out / "index.html").exists()
    if not (default_folder or of_older_version):
        for name in (name for name in new if name not in earlier and os.path.lexists(out / name)):
            raise UserError(
                f"--out: {out / name} was not written by a report (give another folder)"
            )
    for path in out.glob(str(half_written(Path("*"), "[0-9]*"))):  # a killed report's
        if path.stem[1:] in {WRITTEN, *earlier} and time.time() - path.stat().st_mtime > DAY:
            path.unlink()
    # Noted first: if this report is stopped halfway, the next one may replace its files.
    write_whole(written, "\n".join(dict.fromkeys([*earlier, *new])))
    for name, content in new.items():
        write_whole(out / name, content)
    for path in [path for path in out.iterdir() if path.name in earlier and path.name not in new]:
        path.unlink()  # of a report on more studies perhaps
    write_whole(written, "\n".join(new))


def in_another_process(draw: Callable[[], list[Drawing]]) -> Callable[[], list[Drawing]]:
    """Starts to draw in another process, and returns a function that waits for the drawings."""
    # Spawned: a fork of a process with Ray's or torch's threads can hang.
    pool = ProcessPoolExecutor(
        1, get_context("spawn"), signal.signal, (signal.SIGINT, signal.SIG_IGN)
    )
    future = pool.submit(draw)
    pool.shutdown(wait=False)
    return future.result


def main_sections(aurocs: pd.DataFrame, rest: Section) -> Iterator[Section]:
    """Sections on how good models are: one for all, or for each data set and task (`comparable`).

    `rest` is merged into the section if there is only one, and otherwise follows as another.
    """
    groups = comparable(aurocs)
    for number, (name, group) in enumerate(groups.items(), start=1):
        fair = rivals(group)
        comparison = compare(shared(fair))
        suffix = f"_{number}" if number > 1 else ""
        means = class_means(fair)
        why = dependence(fair)
        own = [auroc_table(group, comparison), *tables.comparison_tables(comparison, means, why)]
        own = [replace(table, name=table.name + suffix) for table in own]
        if len(groups) > 1:
            own = [replace(table, title=f"{name}: {table.title}") for table in own]
        drawn = (
            figures.critical_differences(comparison, why),
            overview(without_unsound(group), comparison),
        )
        below, lead = ([replace(d, name=d.name + suffix) for d in drawings] for drawings in drawn)
        if len(groups) == 1:
            title = "How good is each model on each class?"
            yield section("results", title, [*own, *rest.tables], [*below, *rest.drawings], lead)
        else:
            yield section(f"results{suffix}", f"{name}: how good is each model?", own, below, lead)
    if len(groups) > 1:
        yield rest


def section(
    name: str,
    title: str,
    tables: Iterable[Table | None] = (),
    drawings: Iterable[Drawing] = (),
    lead: Iterable[Drawing] = (),
) -> Section:
    """A part of the page, without the tables that are None."""
    filled = [table for table in tables if table is not None]
    return Section(name, title, filled, list(drawings), list(lead))


def score_rows(finals: pd.DataFrame, scores: frames.Scores) -> pd.DataFrame:
    """The scores of the winners' final runs: one row an image and run."""
    columns = ["study", "dataset", "task", "protocol", "model", "class", "seed", "trial"]
    runs = frames.with_scores(finals[columns], scores)
    return pd.concat([frame[["scores", "labels"]].assign(**run) for run, frame in runs])
