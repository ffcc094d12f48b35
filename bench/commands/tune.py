"""What train_tune.py does: a study from its choices to its summary."""

import shlex
import sys
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from bench.choices.monitoring import View
from bench.choices.study import Study
from bench.commands import resume
from bench.judging.selection import by_column
from bench.reporting.cautions import of_training
from bench.results.reading import Results, read, worth_retrying
from bench.results.store import JOURNAL, RAY_LOG, Store
from bench.training.prepare import default_name, prepare
from bench.tuning import cost_estimate
from bench.tuning.spaces import mark_unsearched, spaces_of
from bench.watching.progress import figure, short


class Outcome(NamedTuple):
    """How a command ended: its exit status, and whether --resume has anything to do."""

    status: int
    unfinished: bool = False
    seconds: float = 0.0  # how long its runs take at most, from --dry_run


def run_study(study: Study, earlier: Results | None, dry: bool, view: View) -> Outcome:
    """Runs a study, or what an `earlier` command left of it.

    `dry`: only says what the study would cost.
    """
    ready = prepare(study)
    spaces = spaces_of(study, earlier.run.get("start_from") if earlier else None)
    for model, space in spaces.items():
        ready.check(model, space.largest())
    budgets = ready.budgets(study, {model: space.default for model, space in spaces.items()})
    # Only for its UserError: the largest configurations must be trainable in their budgets, too.
    ready.budgets(study, {model: space.largest() for model, space in spaces.items()})
    if ready.protocol.selection == "val" and study.trials != 0:
        spaces = mark_unsearched(spaces, ready.select_on, searching=study.trials != 1)
    provenance = resume.resumed_provenance(earlier, ready.provenance())
    if dry:
        done = earlier.rows if earlier else []
        return Outcome(0, seconds=cost_estimate.show(study, ready, spaces, budgets, done))
    from bench.tuning import study_run  # loads Ray, before there is a folder to go on with

    def open_folder() -> Store:
        if earlier is None:
            name = study.name or default_name(study, ready.tasks)
            winners = {model: space.earlier for model, space in spaces.items()}
            run = {"start_from": winners} if study.start_from else None
            return Store.create(study, provenance, name, run=run)
        store = Store(earlier.path)
        store.grow(study, (*resume.GROWING_NUMBERS, *resume.GROWING_LISTS), provenance["files"])
        return store

    with resume.resumable("train_tune.py", open_folder, lambda: "before the first run") as store:
        planner = study_run.run(study, ready, spaces, budgets, store, provenance, view)
    runs, ended = planner.planned().total(), planner.done.total()
    outcome = summary(store.path, planner.stopped, runs, ended)
    return outcome._replace(status=130) if planner.interrupted else outcome


def summary(path: Path, stopped: str | None, runs: int, done: int) -> Outcome:
    """Prints which configurations won, what failed and what to do next."""
    results = read(path)
    trials = results.trials
    files: set[str] = set()  # of the users' own models that failed
    if has_trials := len(trials) > 0:
        print_winners(trials, together=results.study.get("tune_for") == "mean")
        for line in of_training(trials):
            print(f"\nwarning: {line}")
        # Superseded runs do not count, but failed finalists do: tried again, they may still win.
        failed = (trials["kind"] == "finalist") & (trials["status"] == "error")
        trials = trials[(trials["role"] != "superseded") | failed]
        failed = trials[trials["status"] == "error"]
        for trial, error in zip(failed["trial"], failed["error"], strict=True):
            print(f"failed: {trial}: {error}", file=sys.stderr)
        if len(failed):
            from_file = failed.reindex(columns=["model", "sha256_model"]).dropna()
            files = {f"{model}.py" for model in from_file["model"]}
            print(f"where they failed: {path / RAY_LOG}", file=sys.stderr)
    if left := runs - done:
        reason = stopped or "all configurations of a search failed"
        print(f"\n{reason}: {left} of {runs} runs are not done")
    retries = sum(map(worth_retrying, trials.to_dict("records")))
    unfinished = stopped is not None and left > 0
    if unfinished or retries:
        what = "go on with" if unfinished else f"try the {retries} failed run(s) again with"
        print(f"\n{what}:\n  {resume.hint('train_tune.py', path)}")
        if files:
            print(f"(only with {', '.join(sorted(files))} unchanged: a change needs a new study)")
    if (path / JOURNAL).exists():
        command = shlex.join(["optuna-dashboard", str(path / JOURNAL)])
        print(f"\nthe searches in Optuna's dashboard: {command}")
    if has_trials:
        print(f"\nnext: {shlex.join(['python', 'report.py', str(path)])}")
    status = int(has_trials and (trials["status"] == "error").any())
    return Outcome(status, unfinished or retries > 0)


def comparable_runs(runs: pd.DataFrame) -> pd.DataFrame:
    """Runs that have the same classes under each of their seeds, so that seeds can be compared.

    A study that was stopped lacks some classes under some seeds. Keeps the seeds with the most
    classes, and the classes that these seeds share; if they share none, the first of these seeds.
    """
    reached = runs.groupby("seed")["class"].transform("nunique")
    most = runs[reached == reached.max()]
    shared = most.groupby("class")["seed"].transform("nunique") == most["seed"].nunique()
    return most[shared if shared.any() else most["seed"] == most["seed"].iloc[0]]


def print_winners(trials: pd.DataFrame, together: bool) -> None:
    """Prints each search's winner: the values that the search chose, and its final figures.

    Without a search it is the default. `together`: one configuration serves all classes, whose
    means are shown.
    """
    finals, defaults = (
        trials[(trials["role"] == role) & (trials["status"] != "error")]
        for role in ("winner", "default")
    )
    search = ["model", "variant"] if together else ["model", "class", "variant"]
    in_order = finals.sort_values(["model", "class"], kind="stable")
    for place, runs in in_order.groupby(search, sort=False):
        winner = runs.iloc[0]
        group = comparable_runs(runs)
        own = trials[trials["model"] == place[0]].filter(regex="^config_")
        tuned = [name for name in own if own[name].nunique() > 1]
        values = short({name.removeprefix("config_"): winner[name] for name in tuned})
        default = " (the default)" if winner["number"] == 0 else ""
        won = f"configuration {winner['number']}{default} won{': ' if values else ''}{values}"
        tried = trials[trials[search].eq(list(place)).all(axis=1) & (trials["kind"] == "tuning")]
        if tried["number"].nunique() < 2:
            won = "the default configuration (no search)"
        of_classes = f", mean of {group['class'].nunique()} class(es)" if together else ""
        print(f"\n{', '.join(filter(None, place))}: {won}")
        for column, signal in by_column().items():
            if column in group and group[column].notna().any():
                seeds = group.groupby("seed")[column].mean()
                sd = f" +- {figure(column, seeds.std())}" if len(seeds) > 1 else ""
                mean = figure(column, seeds.mean())
                print(f"  {signal.title}: {mean}{sd} over {len(seeds)} seed(s){of_classes}")
        paired = defaults[defaults[search].eq(list(place)).all(axis=1)]
        paired = paired.merge(group[["class", "seed"]])
        if "test_auroc" in paired and len(paired):
            missing = len(paired) < len(group)
            same = f"{len(paired)} of the same {len(group)} runs" if missing else "same seeds"
            mean = paired.groupby("seed")["test_auroc"].mean().mean()
            print(f"  test AUROC of the default: {mean:.3f}, {same}")
