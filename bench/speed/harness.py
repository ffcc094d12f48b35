"""What the harness itself costs: studies run as a user runs them, and timed from outside."""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pandas as pd
import psutil

from bench import results

TASK = ["--model", "w_skipganomaly", "--dataset", "digits", "--abnormal_class", "3", "--keep_models", "none"]
GRID = ["w_con=25,50,75", "w_lat=0.5,1,2", "w_adv=0.5,1,2"]  # Skip-WGANomaly's
NEAR = 0.005  # less than this below the grid's best is as good: seeds differ by more
RANGES = ["w_con=25..75", "w_lat=0.5..2:log", "w_adv=0.5..2:log"]


def run_study(folder: Path, name: str, *flags: str) -> tuple[float, list[tuple[float, int, int]]]:
    """Runs train_tune.py; gives the seconds until its first epoch was written, and a line now and then: seconds since
    the start, finished trials, bytes of the command's own process."""
    command = [sys.executable, "train_tune.py", *TASK, *flags, "--results_dir", str(folder), "--name", name]
    start, first = time.monotonic(), 0.0
    seen: list[tuple[float, int, int]] = []
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        driver = psutil.Process(process.pid)
        while process.poll() is None:
            time.sleep(0.05)
            now, rows = time.monotonic() - start, folder / name / "epochs.jsonl"
            if not first and rows.exists() and rows.stat().st_size:
                first = now
            if not seen or now - seen[-1][0] > 1:
                trials = folder / name / "trials.jsonl"
                done = trials.read_bytes().count(b"\n") if trials.exists() else 0
                try:
                    seen.append((now, done, driver.memory_info().rss))
                except psutil.NoSuchProcess:
                    break
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}")
    return first, seen


def study(trials: int, limit: int, epochs: int) -> dict[str, Any]:
    """A study's wall time against its training time over the cores, from the first trial's start to the last row."""
    with tempfile.TemporaryDirectory() as folder:
        flags = ["--searcher", "random", "--scheduler", "fifo", "--trials", str(trials), "--seeds", "1"]
        flags += ["--epochs", str(epochs), "--limit_train", str(limit), "--set", "ngf=32", "ndf=32"]
        first, seen = run_study(Path(folder), "study", *flags)
        found = results.read(Path(folder) / "study")
        begun = first - found.epochs.iloc[0][["train_seconds", "score_seconds"]].sum()
        ended = next(now for now, done, _ in seen if done >= trials)  # the final run has one core for itself
        tuning = found.epochs[found.epochs["kind"] == "tuning"]
        busy = tuning[["train_seconds", "score_seconds"]].to_numpy().sum() / (os.cpu_count() or 1)
        memory = {share: next(size for _, done, size in seen if done >= share * trials) for share in (0.1, 0.5, 1)}
    return {
        "what": "a study",
        "trials": trials,
        "epochs": epochs,
        "epoch_seconds": tuning["train_seconds"].mean() + tuning["score_seconds"].mean(),
        "start_seconds": begun,
        "wall_over_training": (ended - begun) / busy,
        "end_seconds": seen[-1][0] - ended,
        **{f"driver_mb_at_{share:.0%}": size / 2**20 for share, size in memory.items()},
    }


def search(seed: int, epochs: int = 3) -> list[dict[str, Any]]:
    """The epochs that TPE with ASHA takes to reach the validation AUROC of a whole grid's best: among the ranges of the
    grid's three weights, and in the model's own space, which has the learning rates and more."""
    shared = ["--epochs", str(epochs), "--seeds", "1", "--seed", str(seed), "--set", "ngf=8", "ndf=8"]
    spaces = {"the same weights": ["--space", *RANGES], "the whole space": []}
    with tempfile.TemporaryDirectory() as folder:

        def epochs_of(name: str, *flags: str) -> pd.DataFrame:
            run_study(Path(folder), name, *flags, *shared)
            return results.read(Path(folder) / name).epochs.query("kind == 'tuning'")

        whole = epochs_of("grid", "--searcher", "grid", "--scheduler", "fifo", "--space", *GRID)
        best = whole["objective"].max()
        rows: list[dict[str, Any]] = []
        for space, flags in spaces.items():
            found = epochs_of(space, "--searcher", "tpe", "--scheduler", "asha", "--trials", "27", *flags)
            about: dict[str, Any] = {
                "what": "a search",
                "seed": seed,
                "space": space,
                "grid_best": best,
                "grid_epochs": len(whole),
            }
            about |= {"best": found["objective"].max(), "epochs_in_all": len(found)}
            for name, least in (("epochs", best), ("epochs_near", best - NEAR)):
                reached = (found["objective"] >= least).to_numpy()  # rows come in the order of time
                about[name] = int(reached.argmax()) + 1 if reached.any() else None
            rows.append(about)
    return rows


def report(trials: int) -> dict[str, Any]:
    """The seconds that report.py takes for a study of so many trials."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "study"
        run_study(Path(folder), "study", "--trials", "3", "--seeds", "2", "--epochs", "2", "--limit_train", "300")
        made = results.read(path)
        for name, frame in (("trials", made.trials), ("epochs", made.epochs)):
            tuning, rest = frame[frame["kind"] == "tuning"], frame[frame["kind"] != "tuning"]
            times = -(-trials // 3)
            copies = [tuning.assign(trial=tuning["trial"] + f"-{i}") for i in range(times)]
            if name == "trials":
                copies = [copy.assign(number=copy["number"] + 3 * i) for i, copy in enumerate(copies)]
            rows = pd.concat([*copies, rest]).to_dict("records")
            lines = (json.dumps({k: v for k, v in row.items() if not pd.isna(v)}) + "\n" for row in rows)
            (path / f"{name}.jsonl").write_text("".join(lines))
        start = time.monotonic()
        subprocess.run([sys.executable, "report.py", str(path)], check=True, stdout=subprocess.DEVNULL)
        return {"what": "a report", "trials": trials, "seconds": time.monotonic() - start}
