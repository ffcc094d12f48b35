"""Tune models on a task or on each class of a data set, then train the winners again and test them.

examples:
  python train_tune.py --model w_skipganomaly --abnormal_class bird
  python train_tune.py --model w_skipganomaly skipganomaly --abnormal_class all --seeds 5
  python train_tune.py --dataset digits --normal_class 0 --searcher random --scheduler fifo
  python train_tune.py --dataset path/to/images --abnormal_class X --space w_con=25,50,75
  python train_tune.py --model egbad --abnormal_class all --trials 30 --dry_run  # how long?
  python train_tune.py --dataset digits path/to/images --normal_class all --name sweep
  python train_tune.py --config my_study.toml --seeds 5
  python train_tune.py --name my_study --resume

Configurations are compared within a task (under --tune_for mean by their mean over tasks), by a signal
of the validation images (under --protocol published by the test AUROC). The best few and the default
are trained again under fresh seeds; the best mean wins. Winner and default are then trained under
further seeds and tested. Rows and scores go to results/<study>/; report.py makes tables of them.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import models
from bench.choices import config
from bench.choices.errors import UserError
from bench.choices.flags import (
    add_study_flags,
    boolean,
    check_once,
    path_of,
    read_models,
    study_from,
)
from bench.choices.monitoring import add_view_flags, pop_view
from bench.choices.names import UNDECODED, legible, on_disk
from bench.choices.options import SCHEDULERS, SEARCHERS
from bench.choices.script import Parser, run_main
from bench.choices.study import CHOOSE_TASKS, HYPERPARAMETERS, SWEEP, Study
from bench.commands import checks, sweep
from bench.tuning import ray_start

if TYPE_CHECKING:  # loads pandas
    from bench.results.reading import Results

LIST = "name the models, data sets, search spaces, schedulers and searchers"
RESUME = (
    "go on with the study, or the sweep over data sets, that --name names; other flags may be left "
    "out"
)
CONFIG = "take flags from this file (TOML, or another study's study.json); flags given here win"
PRINT_CONFIG = "print the study's choices as such a file, and do nothing else"
DRY_RUN = (
    "only estimate: the runs, their epochs and about how long, from a few timed steps of each model"
)


def parser() -> Parser:
    flags = Parser(__doc__, prog="train_tune.py")
    flags.add_argument("--list", action="store_true", help=LIST)
    flags.add_argument("--resume", action="store_true", help=RESUME)
    flags.add_argument("--config", type=path_of, metavar="FILE", help=CONFIG)
    flags.add_argument("--print_config", action="store_true", help=PRINT_CONFIG)
    flags.add_argument("--dry_run", action="store_true", help=DRY_RUN)
    flags.add_argument(
        "--tune",
        type=boolean,
        nargs="?",
        const=True,
        default=argparse.SUPPRESS,
        metavar="True|False",
        help="False: no search, the default configuration only",
    )
    add_study_flags(flags, ("task", "protocol", "training", "tuning", "output"))
    add_view_flags(flags, study=True)
    return flags


def flags_of(words: Sequence[str]) -> dict[str, Any]:
    """The flags in these words; `--tune False` as no trials, `--tune True` as their default."""
    check_once(words)
    given = vars(parser().parse_args(words))
    if "tune" in given:
        tune = given.pop("tune")
        if not tune and given.get("trials"):
            raise UserError("--tune False: no configuration is tried; leave out --trials")
        given.setdefault("trials", None if tune else 0)
    return given


def with_config(words: Sequence[str]) -> dict[str, Any]:
    """The flags in these words, which win over those of --config or of a sweep to resume.

    `--set` replaces only the hyperparameters that it names; the file's others stay.
    """
    own, file_words = flags_of(words), saved_words(words)
    if not file_words:
        return own
    saved, defaults = flags_of(file_words), flags_of([])
    given = {name: value for name, value in own.items() if defaults.get(name, ...) != value}
    in_set = {item.partition("=")[0] for item in own.get("set", ())}
    new = in_set | {name for name in HYPERPARAMETERS if given.get(name) is not None}
    saved_set = [item for item in saved.pop("set", ()) if item.partition("=")[0] not in new]
    saved = {name: value for name, value in saved.items() if name not in in_set}
    merged = [*saved_set, *own.get("set", ())]
    return defaults | saved | given | ({"set": merged} if merged else {})


def saved_words(words: Sequence[str]) -> list[str]:
    """The flags in --config's file, or in the sweep.json of a sweep to resume, as words."""
    first = Parser(add_help=False)
    first.add_argument("--config", type=path_of)
    first.add_argument("--resume", action="store_true")
    first.add_argument("--name", default="")
    first.add_argument("--results_dir", type=path_of, default=path_of(Study.results_dir))
    given = first.parse_known_args(words)[0]
    path, record = given.config, on_disk(given.results_dir / given.name) / SWEEP
    if given.resume and record.exists():
        if path:
            raise UserError("--resume: a sweep goes on with its own choices; leave out --config")
        path = record
    flags = {word.partition("=")[0] for word in words}
    other_task = path == given.config and flags & {f"--{name}" for name in CHOOSE_TASKS}
    return config.flag_words(path, CHOOSE_TASKS if other_task else ()) if path else []


def study_and_earlier(given: dict[str, Any], resumes: bool) -> tuple[Study, "Results | None"]:
    """The study that the flags choose, and if it `resumes`, the results it has so far."""
    if not resumes:
        return study_from(given), None
    from bench.commands import resume  # loads pandas

    earlier = resume.earlier_results(given, "train_tune.py")
    return resume.study_of(earlier, given), earlier


def show_list() -> None:
    import search_spaces
    from bench.data import datasets

    print(f"models: {', '.join(models.NAMES)}, or a Python file")
    print(f"datasets: {', '.join(datasets.NAMES)}, any folder of images, or a Python file")
    print(f"search spaces: {', '.join(search_spaces.NAMES)}, or a Python file")
    print(f"schedulers: {', '.join(SCHEDULERS)}")
    print(f"searchers: {', '.join(SEARCHERS)}")


def main(arguments: Sequence[str] | None = None) -> int:
    if arguments is None and any(map(UNDECODED.search, sys.argv)):
        # Ray cannot start from a command line that is not UTF-8.
        os.execv(sys.executable, [legible(word) for word in sys.orig_argv])
    given = with_config(sys.argv[1:] if arguments is None else arguments)
    view = pop_view(given)
    if given.pop("list"):
        read_models(given.get("model", ()))
        show_list()
        return 0
    only_print = given.pop("print_config")
    resumes, dry_run = given.pop("resume"), given.pop("dry_run")
    if data_sweep := sweep.sweep_of(given):
        if resumes:
            data_sweep.check_resumed(named="name" in given)
        jobs = [
            study_and_earlier(flags, resumes and begun)
            for flags, begun in data_sweep.studies(given)
        ]
    else:
        if resumes:
            sweep.check_alone(given)
        jobs = [study_and_earlier(given, resumes)]
    if only_print:
        study, datasets = jobs[0][0], []
        if data_sweep:  # not a generated name: the next sweep gets its own
            study = replace(data_sweep.whole, name=given.get("name"))
            datasets = list(data_sweep.datasets.values())
        print(config.text_of(study, datasets))
        return 0
    if data_sweep and not (resumes or dry_run):
        checks.check_new(data_sweep.whole)
    for study, earlier in jobs:
        try:
            if not (earlier or dry_run):
                checks.check_new(study)
            checks.check_machine(study)
            checks.check_data(study)
            checks.check_search(study, earlier is not None and "start_from" in earlier.run)
        except UserError as error:
            raise UserError(f"{study.dataset}: {error}" if data_sweep else str(error)) from None
    if not dry_run and study.address is None and arguments is None:
        ray_start.start(view.verbose)
    if data_sweep:
        return sweep.run(data_sweep, jobs, new=not resumes, dry=dry_run, view=view)
    from bench.commands import tune  # takes seconds, in which Ray starts in a thread of its own

    return tune.run_study(*jobs[0], dry_run, view).status


if __name__ == "__main__":
    run_main(main)
