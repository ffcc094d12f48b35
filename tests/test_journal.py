"""The copy of the searches for Optuna's dashboard.

It is complete, written anew at each --resume, and has no effect on what is proposed.
"""

from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState
from plans import rows_of, run_all

from bench.choices.options import SEARCHERS
from bench.choices.study import Study
from bench.choices.tasks import Budget, PlannedRun, Task
from bench.tuning.journal import Journal
from bench.tuning.planner import Planner
from bench.tuning.searchers import Search
from bench.tuning.space_text import parse
from bench.tuning.spaces import spaces_of

SPACE = parse(["w_con=25,75", "lr=1e-5..1e-3:log", "nz=10..20:int", "w_lat=0..2"])
DEFAULT = {"w_con": 50.0, "lr": 1e-4, "nz": 10, "w_lat": 1.0}  # w_con: not in the space
VALUES = [0.5, 0.9, None, 0.7, 0.4, 0.8]


def load(path: Path, name: str) -> optuna.Study:
    return optuna.load_study(study_name=name, storage=JournalStorage(JournalFileBackend(str(path))))


def searched(searcher: str, journal: Journal | None) -> list[dict[str, Any]]:
    """The proposals of a search that is told VALUES."""
    search = Search("w_skipganomaly 3", searcher, SPACE, DEFAULT, 0, journal)
    proposals = []
    for number, value in enumerate(VALUES):
        proposals.append(search.ask(number))
        search.tell(number, proposals[-1], value)
    return proposals


@pytest.mark.parametrize("searcher", SEARCHERS)
def test_the_journal_has_every_trial_and_changes_no_proposal(tmp_path: Path, searcher: str) -> None:
    path = tmp_path / "optuna.log"
    configs = searched(searcher, Journal(path))
    assert configs == searched(searcher, None), "to the bit"
    trials = load(path, "w_skipganomaly 3").trials
    assert [trial.value for trial in trials] == VALUES
    assert [trial.state == TrialState.FAIL for trial in trials] == [
        value is None for value in VALUES
    ]
    assert [trial.params for trial in trials[1:]] == configs[1:]
    assert trials[0].params | {"w_con": trials[0].user_attrs["w_con"]} == DEFAULT
    assert [trial.user_attrs["configuration"] for trial in trials] == list(range(len(VALUES)))


def test_a_running_configuration_is_shown(tmp_path: Path) -> None:
    search = Search("s", "random", SPACE, DEFAULT, 0, Journal(tmp_path / "optuna.log"))
    search.ask(0)
    search.tell(1, search.ask(1), 0.5)
    states = [trial.state for trial in load(tmp_path / "optuna.log", "s").trials]
    assert states == [TrialState.RUNNING, TrialState.COMPLETE]


def test_the_configuration_that_pbt_changed_to_has_the_objective(tmp_path: Path) -> None:
    search = Search("s", "random", SPACE, DEFAULT, 0, Journal(tmp_path / "optuna.log"))
    asked = search.ask(1)
    changed = asked | {"lr": 2e-4}
    search.tell(1, changed, 0.5)
    for study in (search.study, load(tmp_path / "optuna.log", "s")):
        outcomes = [(trial.params, trial.state, trial.values) for trial in study.trials]
        assert outcomes == [(asked, TrialState.FAIL, None), (changed, TrialState.COMPLETE, [0.5])]


@pytest.mark.parametrize("searcher", SEARCHERS)
def test_resume_makes_a_broken_journal_anew_from_the_rows(tmp_path: Path, searcher: str) -> None:
    space = ("w_con=20..80", "lr=1e-5..1e-3:log")
    study = Study(finalists=0, searcher=searcher, trials=8, seeds=1, space=space)
    path, task = tmp_path / "optuna.log", Task("leave-one-class-out", "3")

    def planner(rows: list[dict[str, Any]], journal: Journal | None) -> Planner:
        budgets = {("w_skipganomaly", task): Budget(epochs=1)}
        return Planner(study, [task], spaces_of(study), budgets, rows, lambda model: 1, journal)

    def objective(run: PlannedRun) -> float:
        return 1 / run.config["w_con"]

    whole = run_all(planner([], None), objective)
    stopped = planner([], Journal(path))
    run_all(stopped, objective, most=4)
    # As a kill in the middle of a line leaves it, with the lock still taken.
    path.write_bytes(path.read_bytes()[:-7])
    (tmp_path / "optuna.log.lock").touch()
    resumed = run_all(planner(rows_of(stopped), Journal(path)), objective)
    assert [run.config for run in resumed] == [run.config for run in whole[4:]]
    trials = load(path, "w_skipganomaly 3").trials
    assert [trial.params["w_con"] for trial in trials] == [run.config["w_con"] for run in whole[:8]]
    assert all(trial.state == TrialState.COMPLETE for trial in trials)


@pytest.mark.parametrize("searcher", ["tpe", "cmaes"])
def test_a_search_accepts_results_of_what_it_would_not_have_proposed(searcher: str) -> None:
    """An interrupted search ran several trials at a time, whose results came in another order."""
    search = Search("s", searcher, SPACE, DEFAULT, 0)
    first, known = search.ask(1), {"w_con": 25.0, "lr": 2e-4, "nz": 12, "w_lat": 0.25}
    search.tell(1, first, 0.4)
    assert search.ask(2, known) == known
    search.tell(2, known, 0.5)
    told = [trial for trial in search.study.trials if trial.state == TrialState.COMPLETE]
    assert [(trial.params, trial.value) for trial in told] == [(first, 0.4), (known, 0.5)]
    assert (searcher == "cmaes") == ("cma:generation" in told[1].system_attrs)


def test_a_journal_that_cannot_be_written_stops_no_search(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    configs = searched("tpe", Journal(tmp_path / "gone" / "optuna.log"))
    assert configs == searched("tpe", None)
    assert capsys.readouterr().err.count("dashboard") == 1
