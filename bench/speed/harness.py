"""What the harness itself costs: runs studies as a user does, and times them from outside."""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
from joblib import cpu_count

from bench import results

TASK = ["--model", "w_skipganomaly", "--dataset", "digits", "--abnormal_class", "3"]
# Skip-WGANomaly's values; its released grid has one value for both w_lat and w_adv, so 9 points.
GRID = ["w_con=25,50,75", "w_lat=0.5,1,2", "w_adv=0.5,1,2"]
RANGES = ["w_con=25..75", "w_lat=0.5..2:log", "w_adv=0.5..2:log"]  # those of GRID's values
NEAR = 0.005  # an AUROC this close to the grid's best counts as equal: seeds differ by more

Sample = tuple[float, int, int]  # seconds since the start, finished trials, the command's bytes


def run_study(folder: Path, name: str, *flags: str) -> tuple[float, list[Sample]]:
    """Runs train_tune.py in a process of its own, and samples it every second.

    Returns the seconds until its first epoch was written, and the samples.
    """
    command = [sys.executable, "train_tune.py", *TASK, *flags]
    command += ["--results_dir", str(folder), "--name", name, "--keep_models", "none"]
    start, first = time.monotonic(), 0.0
    samples: list[Sample] = []
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        driver = psutil.Process(process.pid)
        while process.poll() is None:
            time.sleep(0.05)
            now, rows = time.monotonic() - start, folder / name / "epochs.jsonl"
            if not first and rows.exists() and rows.stat().st_size:
                first = now
            if not samples or now - samples[-1][0] > 1:
                trials = folder / name / "trials.jsonl"
                done = trials.read_bytes().count(b"\n") if trials.exists() else 0
                try:
                    samples.append((now, done, driver.memory_info().rss))
                except psutil.NoSuchProcess:
                    break
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}")
    return first, samples


def time_study(trials: int, limit: int, epochs: int) -> dict[str, Any]:
    """A random search's wall time over the least that its training could take on all cores.

    The wall time is that from the first trial's start to the last trial's row, on `limit` training
    images. Adds the seconds before and after that, and the command's memory.
    """
    with tempfile.TemporaryDirectory() as folder:
        flags = ["--searcher", "random", "--scheduler", "fifo", "--finalists", "0", "--seeds", "1"]
        flags += ["--trials", str(trials), "--epochs", str(epochs), "--limit_train", str(limit)]
        first, samples = run_study(Path(folder), "study", *flags, "--set", "ngf=32", "ndf=32")
        epoch_rows = results.read(Path(folder) / "study").epochs
        times = ["train_seconds", "score_seconds"]
        begun = first - epoch_rows.iloc[0][times].sum()
        # The final run is left out: it has a core to itself and leaves the others idle.
        ended = next(now for now, done, _ in samples if done >= trials)
        tuning = epoch_rows[epoch_rows["kind"] == "tuning"]
        busy = tuning[times].to_numpy().sum() / cpu_count()
        memory = {}
        for share in (0.1, 0.5, 1):
            memory[share] = next(size for _, done, size in samples if done >= share * trials)
    return {
        "what": "a study",
        "trials": trials,
        "epochs": epochs,
        "epoch_seconds": tuning["train_seconds"].mean() + tuning["score_seconds"].mean(),
        "start_seconds": begun,
        "wall_over_training": (ended - begun) / busy,
        "end_seconds": samples[-1][0] - ended,
        **{f"driver_mb_at_{share:.0%}": size / 2**20 for share, size in memory.items()},
    }


def compare_searches(seed: int) -> list[dict[str, Any]]:
    """The epochs that TPE with ASHA needs for the validation AUROC of a whole grid's best trial.

    One row per space: first the ranges of the grid's three loss weights, then the model's own
    space, which also has the learning rates and more.
    """
    common = ["--epochs", "3", "--finalists", "0", "--seeds", "1", "--seed", str(seed)]
    common += ["--set", "ngf=8", "ndf=8"]
    spaces = {"the same weights": ["--space", *RANGES], "the whole space": []}
    with tempfile.TemporaryDirectory() as folder:

        def epochs_of(name: str, *flags: str) -> pd.DataFrame:
            run_study(Path(folder), name, *flags, *common)
            return results.read(Path(folder) / name).epochs.query("kind == 'tuning'")

        grid = epochs_of("grid", "--searcher", "grid", "--scheduler", "fifo", "--space", *GRID)
        best = grid["objective"].max()
        rows: list[dict[str, Any]] = []
        for space, flags in spaces.items():
            searcher = ["--searcher", "tpe", "--scheduler", "asha", "--trials", "27"]
            objective = epochs_of(space, *searcher, *flags)["objective"]
            row: dict[str, Any] = {
                "what": "a search",
                "seed": seed,
                "space": space,
                "grid_best": best,
                "grid_epochs": len(grid),
                "best": objective.max(),
                "epochs_in_all": len(objective),
            }
            for name, least in (("epochs", best), ("epochs_near", best - NEAR)):
                reached = (objective >= least).to_numpy()  # in the order in which the epochs ended
                row[name] = int(reached.argmax()) + 1 if reached.any() else None
            rows.append(row)
    return rows


def time_report(trials: int) -> dict[str, Any]:
    """The seconds that report.py takes for a study of about so many trials.

    The study has three real trials, whose rows are copied.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "study"
        flags = ["--trials", "3", "--seeds", "2", "--epochs", "2", "--limit_train", "300"]
        run_study(Path(folder), "study", *flags)
        original = results.read(path)
        for name, frame in (("trials", original.trials), ("epochs", original.epochs)):
            tuning, rest = frame[frame["kind"] == "tuning"], frame[frame["kind"] != "tuning"]
            times = -(-trials // 3)
            copies = [tuning.assign(trial=tuning["trial"] + f"-{i}") for i in range(times)]
            if name == "trials":
                for i, copy in enumerate(copies):
                    copy["number"] += 3 * i
            rows = pd.concat([*copies, rest]).to_dict("records")
            known = ({k: v for k, v in row.items() if not pd.isna(v)} for row in rows)
            (path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in known))
        start = time.monotonic()
        command = [sys.executable, "report.py", str(path)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return {"what": "a report", "trials": trials, "seconds": time.monotonic() - start}
