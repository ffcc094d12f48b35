"""What train_tune.py does: a study from its choices to its summary."""

import shlex
import sys
from pathlib import Path

import pandas as pd

from bench.choices.monitoring import View
from bench.choices.study import Study
from bench.commands import resume
from bench.results.reading import Results, read, read_rows
from bench.results.store import JOURNAL, RAY_LOG, Store
from bench.training.prepare import default_name, prepare
from bench.tuning import cost_estimate
from bench.tuning.spaces import default_of, edges, space_of
from bench.watching.progress import short

TITLES = {"val_auroc": "validation AUROC", "val_loss": "validation loss", "test_auroc": "test AUROC"}


def run_study(study: Study, there: Results | None, dry: bool, view: View) -> int:
    """Runs a study, or what is left of the one that is `there`, or only says what it would cost; the exit status."""
    ready = prepare(study)

    for model in study.model:
        sizes, space = [default_of(study, model)["batch_size"]], space_of(study, model)
        if "batch_size" in space:
            sizes += edges(space["batch_size"])
        ready.check_batch(model, max(sizes))
    about = ready.provenance()
    if there:
        about = resume.same_images(there, about)
    if dry:
        cost_estimate.show(study, ready, read_rows(there.path / "trials.jsonl") if there else [])
        return 0
    from bench.tuning import (
        study_run,  # Ray is only loaded for what can run, and before there is a folder to go on with
    )

    store = Store(there.path) if there else Store.create(study, about, study.name or default_name(study, ready.tasks))
    try:
        if not view.quiet:
            signals = " or ".join(sorted(set(ready.select_on.values())))
            classes = f"{len(ready.tasks)} class(es) of {ready.dataset.name}"
            print(f"study {store.path}: {', '.join(study.model)} on {classes}")
            print(f"{study.searcher} + {study.scheduler}, {study.protocol} protocol, {signals}, {ready.device}")
            if done := len(read_rows(store.path / "trials.jsonl")):
                print(f"{done} runs are done already")
        common = {task.cls: ready.columns(study, task, about) for task in ready.tasks}
        planner = study_run.run(study, ready, store, common, view)
    except KeyboardInterrupt:
        print(f"\ninterrupted before the first run; go on with:\n  {resume.hint('train_tune.py', store.path)}")
        return 130
    finally:
        store.close()
    status = summary(store.path, planner.stopped, planner.runs())
    return 130 if planner.interrupted else status


def summary(path: Path, stopped: str | None, runs: int) -> int:
    """Says what won and what to do next; the exit status."""
    trials = read(path).trials
    failed = trials[trials["status"] == "error"] if len(trials) else trials
    finals = trials[(trials["kind"] == "final") & (trials["status"] != "error")] if len(trials) else trials
    tuned = [name for name in trials.filter(regex="^config_") if trials[name].nunique() > 1]
    for (model, cls), group in finals.groupby(["model", "class"]) if len(finals) else []:
        winner = group.iloc[0]
        shown = short({name[7:]: winner[name] for name in tuned if not pd.isna(winner[name])})  # NaN: another model's
        default = " (the model's default)" if winner["number"] == 0 else ""
        print(f"\n{model}, {cls}: configuration {winner['number']}{default} won{': ' if shown else ''}{shown}")
        for column, title in TITLES.items():
            if column in group and group[column].notna().any():
                spread = f" +- {group[column].std():.3f}" if len(group) > 1 else ""
                print(f"  {title}: {group[column].mean():.3f}{spread} over {len(group)} seed(s)")
    for _, row in failed.iterrows():
        print(f"failed: {row['trial']}: {row['error']}", file=sys.stderr)
    if len(failed):
        print(f"where they failed: {path / RAY_LOG}", file=sys.stderr)
    if len(trials) < runs:
        print(f"\n{stopped or 'stopped early'}: {runs - len(trials)} of {runs} runs are not done; go on with:")
        print(f"  {resume.hint('train_tune.py', path)}")
    if (path / JOURNAL).exists():
        print(f"\nthe searches in Optuna's dashboard: {shlex.join(['optuna-dashboard', str(path / JOURNAL)])}")
    print(f"\nnext: {shlex.join(['python', 'report.py', str(path)])}")
    return 1 if len(failed) else 0
