"""Tune a model on a task, or sweep the leave-one-class-out grid; then train the winners again and test them.

examples:
  python train_tune.py --model w_skipganomaly --abnormal_class bird
  python train_tune.py --model w_skipganomaly skipganomaly --abnormal_class all --seeds 5
  python train_tune.py --dataset digits --normal_class 0 --searcher random --scheduler fifo --trials 20
  python train_tune.py --dataset path/to/images --abnormal_class scratch --space w_con=25,50,75 lr=1e-5..1e-3:log
  python train_tune.py --model egbad f_anogan --abnormal_class all --trials 30 --dry_run     # how long would it take?
  python train_tune.py --name my_study --resume

Each task's configurations are compared with one another only; the best one, by a signal of the validation images, is
trained again under fresh seeds and tested. Rows and scores go to results/<study>/; report.py makes tables of them.
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

import models
import search_spaces
from bench import datasets, dry_run
from bench.cli import add_study_flags, study_from, truth
from bench.errors import Parser, UserError, run_main
from bench.prepare import default_name, prepare
from bench.progress import short
from bench.provenance import provenance
from bench.results import JOURNAL, RAY_LOG, Store, read, read_rows
from bench.space import check_scheduler, held_of
from bench.study import SCHEDULERS, SEARCHERS, Study
from bench.view import add_view_flags, take_view

DRY_RUN = "only say how many runs and epochs there would be and about how long they take, from one timed epoch a model"
TITLES = {"val_auroc": "validation AUROC", "val_loss": "validation loss", "test_auroc": "test AUROC"}


def parser() -> Parser:
    summary, _, details = (__doc__ or "").partition("\n\n")
    made = Parser(prog="train_tune.py", description=summary, epilog=details)
    made.add_argument(
        "--list",
        action="store_true",
        help="name the models, data sets, search spaces, schedulers and searchers there are",
    )
    made.add_argument("--resume", action="store_true", help="go on with the study --name; other flags may be left out")
    made.add_argument("--dry_run", action="store_true", help=DRY_RUN)
    made.add_argument(
        "--tune",
        type=truth,
        nargs="?",
        const=True,
        default=True,
        metavar="True|False",
        help="False: no search, the default configuration only",
    )
    add_study_flags(made, ("task", "protocol", "training", "tuning", "output"))
    add_view_flags(made, study=True)
    return made


def show_list() -> None:
    print(f"models: {', '.join(models.NAMES)}")
    print(f"datasets: {', '.join(datasets.NAMES)}, or any folder of images")
    print(f"search spaces: {', '.join(search_spaces.NAMES)}")
    print(f"schedulers: {', '.join(SCHEDULERS)}")
    print(f"searchers: {', '.join(SEARCHERS)}")


def read_study(given: dict[str, Any], resume: bool) -> Study:
    if not resume:
        return study_from(given)
    if "name" not in given:
        raise UserError("--resume: give the study's name with --name")
    there = read(Path(given.get("results_dir", Study.results_dir)) / given["name"]).study
    return study_from(there | given)


def main(arguments: Sequence[str] | None = None) -> int:
    given = vars(parser().parse_args(arguments))
    resume, tune, dry, view = given.pop("resume"), given.pop("tune"), given.pop("dry_run"), take_view(given)
    if given.pop("list"):
        show_list()
        return 0
    if not tune:
        given["trials"] = 0
    study = read_study(given, resume)
    ready = prepare(study)

    for model in study.model:
        held_of(study, model)
        check_scheduler(study, model)
    if dry:
        there = Path(study.results_dir) / study.name / "trials.jsonl" if resume and study.name else None
        dry_run.show(study, ready, read_rows(there) if there else [])
        return 0
    name = study.name or default_name(study, ready.tasks)
    about = provenance(ready.dataset)
    store = Store.resume(study, name) if resume else Store.create(study, about, name)
    if not view.quiet:
        print(f"study {store.path}: {', '.join(study.model)} on {len(ready.tasks)} class(es) of {ready.dataset.name}")
        print(f"{study.searcher} + {study.scheduler}, {study.protocol} protocol, {ready.select_on}, {ready.device}")
        if done := len(read_rows(store.path / "trials.jsonl")):
            print(f"{done} runs are done already")

    if study.address is None:  # Ray then listens on this machine's loopback only, as it does on Windows and macOS
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    from bench.tuning.run import run  # Ray is only loaded for what can run

    try:
        planner = run(study, ready, store, ready.columns(study, about), view)
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
        print(f"  python train_tune.py --name {path.name} --results_dir {path.parent} --resume")
    if (path / JOURNAL).exists():
        print(f"\nthe searches in Optuna's dashboard: optuna-dashboard {path / JOURNAL}")
    print(f"\nnext: python report.py {path}")
    return 1 if len(failed) else 0


if __name__ == "__main__":
    run_main(main)
