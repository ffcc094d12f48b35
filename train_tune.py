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

import models
from bench.choices.errors import Parser, run_main
from bench.choices.flags import add_study_flags, study_from, truth
from bench.choices.monitoring import add_view_flags, take_view
from bench.choices.names import UNDECODED, legible
from bench.choices.study import SCHEDULERS, SEARCHERS
from bench.commands import checks
from bench.tuning import ray_start

DRY_RUN = "only say how many runs and epochs there would be and about how long they take, from one timed epoch a model"


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
    import search_spaces
    from bench.data import datasets

    print(f"models: {', '.join(models.NAMES)}")
    print(f"datasets: {', '.join(datasets.NAMES)}, or any folder of images")
    print(f"search spaces: {', '.join(search_spaces.NAMES)}")
    print(f"schedulers: {', '.join(SCHEDULERS)}")
    print(f"searchers: {', '.join(SEARCHERS)}")


def main(arguments: Sequence[str] | None = None) -> int:
    if arguments is None and any(map(UNDECODED.search, sys.argv)):  # Ray takes a command line of UTF-8 alone
        os.execv(sys.executable, [legible(word) for word in sys.orig_argv])
    given = vars(parser().parse_args(arguments))
    resumes, tune, dry, view = given.pop("resume"), given.pop("tune"), given.pop("dry_run"), take_view(given)
    if given.pop("list"):
        show_list()
        return 0
    if not tune:
        given["trials"] = 0
    there = None
    if resumes:
        from bench.commands import resume  # it loads pandas

        there = resume.earlier_results(given, "train_tune.py")
        study = resume.study_of(there, given)
    else:
        study = study_from(given)
        if not dry:
            checks.check_new(study)
    checks.check_data(study)
    checks.check_search(study)
    if not dry and study.address is None and arguments is None:
        ray_start.start(view.verbose)
    from bench.commands import tune  # meanwhile: this takes seconds too

    return tune.run_study(study, there, dry, view)


if __name__ == "__main__":
    run_main(main)
