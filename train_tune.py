"""Tune a model on a task, or sweep the leave-one-class-out grid; then train the winners again and test them.

examples:
  python train_tune.py --model w_skipganomaly --abnormal_class bird
  python train_tune.py --model w_skipganomaly skipganomaly --abnormal_class all --seeds 5
  python train_tune.py --dataset digits --normal_class 0 --searcher random --scheduler fifo --trials 20
  python train_tune.py --dataset path/to/images --abnormal_class scratch --space w_con=25,50,75 lr=1e-5..1e-3:log
  python train_tune.py --name my_study --resume

Each task's configurations are compared with one another only; the best one, by a signal of the validation images, is
trained again under fresh seeds and tested. Rows and scores go to results/<study>/; report.py makes tables of them.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench import datasets
from bench.cli import Parser, add_study_flags, run_main, study_from, truth
from bench.errors import UserError
from bench.prepare import default_name, prepare
from bench.provenance import provenance
from bench.results import Store, read, read_rows
from bench.space import check_scheduler
from bench.study import SCHEDULERS, SEARCHERS, Study


def parser() -> Parser:
    summary, _, details = (__doc__ or "").partition("\n\n")
    made = Parser(prog="train_tune.py", description=summary, epilog=details)
    made.add_argument(
        "--list",
        action="store_true",
        help="name the models, data sets, search spaces, schedulers and searchers there are",
    )
    made.add_argument("--resume", action="store_true", help="go on with the study --name; other flags may be left out")
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
    return made


def show_list() -> None:
    import models
    import search_spaces

    for title, names in (
        ("models", models.NAMES), ("datasets", [*datasets.NAMES, "or any folder of images"]), ("search spaces", search_spaces.NAMES),
        ("schedulers", SCHEDULERS), ("searchers", SEARCHERS),
    ):  # fmt: skip
        print(f"{title}: {', '.join(names)}")


def read_study(given: dict[str, Any], resume: bool) -> Study:
    if not resume:
        return study_from(given)
    if "name" not in given:
        raise UserError("--resume: give the study's name with --name")
    there = read(Path(given.get("results_dir", Study.results_dir)) / given["name"]).study
    return study_from(there | given)


def main(arguments: Sequence[str] | None = None) -> int:
    given = vars(parser().parse_args(arguments))
    resume, tune = given.pop("resume"), given.pop("tune")
    if given.pop("list"):
        show_list()
        return 0
    if not tune:
        given["trials"] = 1
    study = read_study(given, resume)
    ready = prepare(study)

    for model in study.model:
        check_scheduler(study, model)
    name = study.name or default_name(study, ready.tasks)
    about = provenance(ready.dataset)
    store = Store.resume(study, name) if resume else Store.create(study, about, name)
    done = read_rows(store.path / "trials.jsonl")
    print(f"study {store.path}: {len(study.model)} model(s) x {len(ready.tasks)} class(es) of {ready.dataset.name}, "
          f"{study.searcher} + {study.scheduler}, protocol {study.protocol}, chosen on {ready.select_on}, device {ready.device}"
          + (f"; {len(done)} runs are done" if done else ""))  # fmt: skip

    from bench.tuning.run import run, shared_of  # Ray is only loaded for what can run

    common = ready.columns(study, about)
    shared = shared_of(study, ready.protocol, ready.select_on, ready.device)
    try:
        planner = run(study, ready.tasks, ready.splits, store, done, common, shared)
    finally:
        store.close()
    return summary(store.path, planner.stopped, planner.runs())


def summary(path: Path, stopped: str | None, runs: int) -> int:
    """Says what won and what to do next; the exit status."""
    trials = read(path).trials
    failed = trials[trials["status"] == "error"] if len(trials) else trials
    finals = trials[(trials["kind"] == "final") & (trials["status"] != "error")] if len(trials) else trials
    for (model, cls), runs_of in finals.groupby(["model", "class"]) if len(finals) else []:
        first = runs_of.iloc[0]
        space = {
            c.removeprefix("config_"): first[c] for c in trials if c.startswith("config_") and trials[c].nunique() > 1
        }
        shown = ", ".join(
            f"{key} {value:.4g}" if isinstance(value, float) else f"{key} {value}" for key, value in space.items()
        )
        print(
            f"\n{model}, {cls}: configuration {first['number']} won ({'the default' if first['number'] == 0 else shown})"
        )
        for column, title in (
            ("val_auroc", "validation AUROC"),
            ("val_loss", "validation loss"),
            ("test_auroc", "test AUROC"),
        ):
            values = runs_of.get(column)
            if values is not None and values.notna().any():
                spread = f" +- {values.std():.3f}" if len(values) > 1 else ""
                print(f"  {title}: {values.mean():.3f}{spread} over {len(values)} seed(s)")
    for _, row in failed.iterrows():
        print(f"failed: {row['trial']}: {row['error']}", file=sys.stderr)
    if stopped or len(trials) < runs:
        print(f"\n{stopped or 'stopped early'}: {runs - len(trials)} of {runs} runs are not done; go on with: "
              f"python train_tune.py --name {path.name} --results_dir {path.parent} --resume")  # fmt: skip
    print(f"\nnext: python report.py {path}")
    return 1 if len(failed) else 0


if __name__ == "__main__":
    run_main(main)
