"""Kills a study's processes at random: its results must be those of a study left alone."""

import os
import random
import subprocess
import time
from pathlib import Path

import pytest
from commands import PATIENCE, TINY, command, descendants, kill, lines, running, wait_for
from studies import assert_same_results

from bench import results
from bench.commands.checks import usable_cores

KILLS = int(os.environ.get("KILLS", "3"))


def strike(process: subprocess.Popen, victim: str) -> bool:
    """Kills a process of the study: the driver, Ray's node, its agent or a trial.

    Returns False if no process of that kind runs yet.
    """
    below = descendants(process.pid)
    names = {"node": "/raylet ", "agent": "ray::RuntimeEnvAgent", "trial": "Trainable"}
    pids = [process.pid]
    if victim != "driver":
        pids = [pid for pid, line in below.items() if names[victim] in line]
    for pid in pids[:1]:
        kill(pid)
    if victim != "trial" and pids:
        process.wait(PATIENCE)
        wait_for(lambda: not [pid for pid in below if running(pid)])
    return bool(pids)


SEARCHES = {
    "random": f"--searcher random --trials {10 + 5 * KILLS}".split(),
    # One trial at a time: TPE then proposes the same configurations each time.
    "tpe": f"--searcher tpe --trials {15 + KILLS} --cpus_per_trial {usable_cores()}".split(),
}


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("searcher", SEARCHES)
def test_a_study_killed_many_times_gets_the_same_results(tmp_path: Path, searcher: str) -> None:
    if searcher != "random" and KILLS < 10:
        pytest.skip("takes minutes: run it with KILLS=10 or more")
    flags = [*TINY, *SEARCHES[searcher], "--scheduler", "fifo", "--epochs", "3", "--seeds", "2"]
    (tmp_path / "whole").mkdir()
    (tmp_path / "killed").mkdir()
    assert command(tmp_path / "whole", *flags).wait(PATIENCE) == 0

    whole = results.read(tmp_path / "whole" / "study")
    rng, kills, victims = random.Random(0), 0, list[str]()
    # Counted in rows of epochs.jsonl, so that a fast and a slow machine kill at the same points.
    moments = sorted(rng.sample(range(len(whole.epochs) // 2), KILLS))
    folder = tmp_path / "killed" / "study"
    process, just_started = command(folder.parent, *flags), True
    start = time.monotonic()
    while kills < KILLS:
        # A kill comes while the command starts, which takes most of a minute, or while it trains.
        starting = just_started and rng.random() < 0.5
        due = time.monotonic() + (rng.uniform(0.5, 25) if starting else PATIENCE)
        rows = lines(folder / "epochs.jsonl") if starting else moments[kills]

        def moment_came(due: float = due, rows: int = rows) -> bool:
            return time.monotonic() > due or lines(folder / "epochs.jsonl") > rows

        wait_for(moment_came, process)
        time.sleep(rng.uniform(0, 0.2))
        just_started = False
        if process.poll() is None:
            victims = victims or rng.sample(["driver", "trial", "node", "agent"], 4)
            if strike(process, victims[-1]):
                victims.pop()
                kills += 1
        if process.poll() is not None:
            assert process.returncode != 0, f"the study finished after {kills} kills"
            process = command(
                folder.parent, *(["--resume"] if (folder / "study.json").exists() else flags)
            )
            just_started = True
    status = process.wait(PATIENCE * 2)
    log = folder.parent.with_suffix(".log").read_text()
    assert status == 0, log[-2000:]
    starts = log.count("\nstudy ") + 1
    print(f"\n{kills} kills survived, {starts} starts, {time.monotonic() - start:.0f} s")

    killed = results.read(folder)
    assert killed.trials.trial.is_unique
    assert_same_results(whole, killed)
    assert not list(folder.glob(".ray-*"))
