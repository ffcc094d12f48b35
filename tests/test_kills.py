"""Processes killed at random: a study ends as if nothing had been."""

import os
import random
import subprocess
import time
from pathlib import Path

import pandas as pd
import pytest
from commands import PATIENCE, TINY, command, descendants, kill, lines, running, wait_for

from bench import results

KILLS = int(os.environ.get("KILLS", "3"))


def strike(process: subprocess.Popen, victim: str) -> bool:
    """Kills the driver, the node, its agent or a trial's process; False if there is none of that kind yet."""
    below = descendants(process.pid)
    names = {"node": "/raylet ", "agent": "ray::RuntimeEnvAgent", "trial": "Trainable"}
    pids = [process.pid] if victim == "driver" else [pid for pid, line in below.items() if names[victim] in line]
    for pid in pids[:1]:
        kill(pid)
    if victim != "trial" and pids:
        process.wait(PATIENCE)
        assert process.returncode != 0
        wait_for(lambda: not [pid for pid in below if running(pid)])
    return bool(pids)


def comparable(frame: pd.DataFrame) -> pd.DataFrame:
    """Without what may differ: how long it took, and how often it was tried."""
    frame = frame.drop(columns=["train_seconds", "score_seconds", "attempt"]).sort_index(axis=1)
    return frame.sort_values([name for name in ("trial", "epoch") if name in frame], ignore_index=True)


SEARCHES = {
    "random": ["--searcher", "random", "--trials", str(10 + 5 * KILLS)],
    "tpe": ["--searcher", "tpe", "--trials", str(15 + KILLS), "--cpus_per_trial", "2"],  # one at a time
}


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("searcher", SEARCHES)
def test_a_study_killed_again_and_again_ends_as_if_undisturbed(tmp_path: Path, searcher: str) -> None:
    if searcher != "random" and KILLS < 10:
        pytest.skip("takes minutes: run it with KILLS=10 or more")
    flags = [*TINY, *SEARCHES[searcher], "--scheduler", "fifo", "--epochs", "3", "--seeds", "2"]
    (tmp_path / "whole").mkdir()
    (tmp_path / "killed").mkdir()
    assert command(tmp_path / "whole", *flags).wait(PATIENCE) == 0

    whole = results.read(tmp_path / "whole" / "study")
    chance, struck, victims = random.Random(0), 0, list[str]()
    moments = sorted(chance.sample(range(len(whole.epochs) * 3 // 4), KILLS))  # in rows, so however fast it runs
    folder = tmp_path / "killed" / "study"
    process, fresh = command(folder.parent, *flags), True
    began = time.monotonic()
    while struck < KILLS:
        # while it starts, which takes it most of a minute, or while it trains
        starting = fresh and chance.random() < 0.5
        due = time.monotonic() + (chance.uniform(0.5, 25) if starting else PATIENCE)
        rows = lines(folder / "epochs.jsonl") if starting else moments[struck]
        wait_for(lambda due=due, rows=rows: time.monotonic() > due or lines(folder / "epochs.jsonl") > rows, process)
        time.sleep(chance.uniform(0, 0.2))
        fresh = False
        if process.poll() is None:
            victims = victims or chance.sample(["driver", "trial", "node", "agent"], 4)
            struck += strike(process, victims[-1]) and bool(victims.pop())
        if process.poll() is not None:
            assert process.returncode != 0, f"done after {struck} kills"
            process, fresh = command(folder.parent, *(["--resume"] if folder.exists() else flags)), True
    status, log = process.wait(PATIENCE * 2), folder.parent.with_suffix(".log").read_text()
    assert status == 0, log[-2000:]
    starts = log.count("\nstudy ") + 1
    print(f"\n{struck} kills survived, {starts} starts, {time.monotonic() - began:.0f} s")

    killed = results.read(folder)
    assert killed.trials.trial.is_unique
    pd.testing.assert_frame_equal(comparable(whole.trials), comparable(killed.trials), check_exact=True)
    pd.testing.assert_frame_equal(comparable(whole.epochs), comparable(killed.epochs), check_exact=True)
    for trial in whole.trials[whole.trials.kind == "final"].trial:
        pd.testing.assert_frame_equal(whole.scores(trial), killed.scores(trial), check_exact=True)
        assert whole.gallery(trial) == killed.gallery(trial) is not None
    assert not list(folder.glob(".ray-*"))
