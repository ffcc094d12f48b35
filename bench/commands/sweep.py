"""A sweep: the same study on each of several data sets, one after the other.

results/<sweep>/<data set>/ is a study like any other; sweep.json beside them has what they share.
"""

import json
import shlex
import sys
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.choices.errors import UserError
from bench.choices.flags import study_from
from bench.choices.monitoring import View
from bench.choices.names import folder_name, on_disk, stamped
from bench.choices.outside import name_of
from bench.choices.study import SWEEP, Study
from bench.watching.time_left import clock

if TYPE_CHECKING:  # loads pandas
    from bench.results.reading import Results


SEARCH = ["model", "variant"]  # each has one figure in the summary, the mean over its classes


@dataclass(frozen=True)
class Sweep:
    """The choices of a sweep, checked."""

    whole: Study  # the shared choices, with the first data set
    datasets: dict[str, str]  # each data set by the name of its study

    @property
    def path(self) -> Path:
        return on_disk(Path(self.whole.results_dir)) / str(self.whole.name)

    def studies(self, given: dict[str, Any]) -> Iterator[tuple[dict[str, Any], bool]]:
        """The flags of each study, and whether it has begun."""
        for name, dataset in self.datasets.items():
            place = {"name": name, "results_dir": str(self.path)}
            yield given | place | {"dataset": [dataset]}, (self.path / name / "study.json").exists()

    def check_resumed(self, named: bool) -> None:
        """UserError unless the sweep has begun, or where --dataset leaves out a study that has."""
        if not named:
            raise UserError("--resume: give the sweep's name with --name")
        if not (self.path / SWEEP).exists():
            raise UserError(f"--resume: {self.path} is no sweep that has begun (it has no {SWEEP})")
        begun = {file.parent.name for file in self.path.glob("*/study.json")}
        if missing := sorted(begun - set(self.datasets)):
            raise UserError(f"--resume: the sweep has begun {missing[0]}; name it in --dataset too")

    def begin(self, new: bool) -> None:
        """Makes the folder, if the sweep is `new`, and writes the shared choices to sweep.json.

        UserError where another command has made it meanwhile.
        """
        from bench.results.store import new_folder, write_whole

        if new:
            new_folder(self.path.parent, self.path.name, given=True)
        study = asdict(self.whole) | {"dataset": list(self.datasets.values())}
        write_whole(self.path / SWEEP, json.dumps({"study": study}, indent=1, ensure_ascii=False))


def sweep_of(given: dict[str, Any]) -> Sweep | None:
    """The sweep that the flags ask for; None for one data set.

    UserError where two data sets are called alike.
    """
    datasets = list(dict.fromkeys(given.get("dataset", ())))
    if len(datasets) < 2:
        return None
    whole = study_from(given | {"dataset": datasets[0]})
    name = stamped("+".join(whole.model_names()), f"{len(datasets)}datasets")
    whole = replace(whole, name=whole.name or name)
    by_name: dict[str, str] = {}
    for dataset in datasets:
        name = folder_name(Path(name_of(dataset)).resolve().name)
        try:
            replace(whole, name=name)
        except UserError as error:
            reason = str(error).removeprefix("--name: ")
            raise UserError(f"--dataset: {dataset}: {reason} (rename it)") from None
        if name in by_name:
            both = f"{by_name[name]} and {dataset}"
            raise UserError(f"--dataset: {both} would both be called {name}; rename a folder")
        by_name[name] = dataset
    return Sweep(whole, by_name)


def check_alone(given: dict[str, Any]) -> None:
    """UserError where --resume names a sweep, but --dataset one data set."""
    folder = Path(given.get("results_dir", Study.results_dir)) / given.get("name", "")
    if (on_disk(folder) / SWEEP).exists():
        raise UserError(
            f"--resume: {folder} is a sweep: leave --dataset out, or name all of its data sets"
        )


def run(
    sweep: Sweep,
    jobs: Sequence[tuple[Study, "Results | None"]],
    *,
    new: bool,
    dry: bool,
    view: View,
) -> int:
    """Runs the studies; gives the highest of their exit statuses.

    A study that fails does not keep the others from running. `jobs`: each study's choices, and what
    an earlier command left of it. `dry`: only says what they would cost.
    """
    from bench.commands import tune

    if not dry:
        sweep.begin(new)
    failed: dict[str, str] = {}
    status, unfinished, seconds = 0, False, 0.0
    for number, (study, earlier) in enumerate(jobs, start=1):
        if dry or not view.quiet:
            print(f"\ndata set {number} of {len(jobs)}: {study.dataset}")
        try:
            outcome = tune.run_study(study, earlier, dry, view)
            status, unfinished = max(status, outcome.status), unfinished or outcome.unfinished
            seconds += outcome.seconds
        except (KeyboardInterrupt, SystemExit):  # SystemExit: while Ray starts
            status = 130
        except Exception as error:  # of any kind: the other data sets are still tuned
            reason = str(error)
            if not isinstance(error, UserError):
                traceback.print_exc()
                reason = f"{type(error).__name__}: {error}"
            status, failed[str(study.name)] = max(status, 2), " ".join(reason.split())
            print(f"error: {study.dataset}: {failed[str(study.name)]}", file=sys.stderr)
        if status == 130:
            break
    if dry and status != 130:
        others = f", without {', '.join(failed)}" if failed else ""
        print(f"\nsweep {sweep.path}: about {clock(seconds)} at most in all{others}")
    elif not dry:
        summary(sweep, failed, unfinished or status == 130)
    return status


def summary(sweep: Sweep, failed: dict[str, str], unfinished: bool) -> None:
    """Prints how good each model is on each data set, what failed, and what to do next."""
    from bench.commands.resume import hint
    from bench.results.reading import read

    print(f"\nsweep {sweep.path}: test AUROC of the winners, mean over classes and seeds")
    for name in sweep.datasets:
        figures = ""
        if (sweep.path / name / "study.json").exists():
            trials = read(sweep.path / name).trials
            winners = trials[trials["role"] == "winner"].reindex(
                columns=[*SEARCH, "class", "status", "test_auroc"]
            )
            tested = winners.dropna(subset="test_auroc").groupby(SEARCH, sort=False)
            figures = "; ".join(
                f"{' '.join(key).strip()} {runs['test_auroc'].mean():.3f} "
                f"({runs['class'].nunique()} class(es))"
                for key, runs in tested
            )
            if not figures and len(trials) and (trials["status"] == "error").all():
                figures = f"all {len(trials)} runs so far failed"
            elif not figures and (winners["status"] == "done").any():
                figures = "done, without labelled test images"
        reason = f"failed: {failed[name]}" if name in failed else ""
        print(f"  {name}: {'; '.join(filter(None, [figures, reason])) or 'nothing yet'}")
    if unfinished or failed:
        print(f"go on with: {hint('train_tune.py', sweep.path)}")
    print(f"next: {shlex.join(['python', 'report.py', str(sweep.path)])}")
