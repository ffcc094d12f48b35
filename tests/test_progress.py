"""Progress on the screen: the live view, lines off a terminal, time left, --quiet, --dry_run."""

import io
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

import train
import train_tune
from bench.choices.tasks import RunKind
from bench.tuning import cost_estimate
from bench.watching import machine_load
from bench.watching.progress import Progress
from bench.watching.time_left import Eta, clock

EPOCHS = 10
TUNING = RunKind("gan", "tuning", "")
DIGITS = ["--dataset", "digits", "--abnormal_class", "3"]
SMALL = ["--limit_train", "300"]
NARROW = ["--set", "ngf=4", "ndf=4"]


def eta(finished: int = 0) -> Eta:
    planned = {TUNING: 4, RunKind("gan", "final", ""): 2}
    return Eta(planned, Counter({TUNING: finished}), {("gan", ""): EPOCHS})


def finish(progress: Progress, row: dict[str, Any]) -> None:
    """A run ends: the planner counts it, and the progress hears of its row."""
    progress.eta.finished[RunKind.of(row)] += 1
    progress.trial(row)


def run_columns(trial: str, cls: str = "3") -> dict[str, Any]:
    return {"trial": trial, "kind": "tuning", "model": "gan", "class": cls}


def epoch_row(trial: str, epoch: int, value: float = 0.5) -> dict[str, Any]:
    """A row of epochs.jsonl."""
    times = {"train_seconds": 1.5, "score_seconds": 0.5}
    return run_columns(trial) | times | {"epoch": epoch, "val_auroc": value}


def trial_row(number: int, value: float | None, cls: str = "3", **config: Any) -> dict[str, Any]:
    """A row of trials.jsonl; the trial failed if `value`, its validation AUROC, is None."""
    row = run_columns(f"gan-{cls}-{number:03d}", cls) | {"number": number, "status": "done"}
    row |= {"epoch": EPOCHS, "epochs": EPOCHS, "train_seconds": 15.0, "score_seconds": 5.0}
    row |= {"val_auroc": value, "objective": value}
    if value is None:
        row |= {"status": "error", "error": "FloatingPointError: the loss became nan"}
    return row | {f"config_{name}": value for name, value in config.items()}


def rendered(progress: Progress, width: int, height: int) -> list[str]:
    """The lines of the live view on a terminal of this size."""
    out = io.StringIO()
    progress.console = Console(
        file=out, width=width, height=height, force_terminal=True, color_system=None
    )
    progress.console.print(progress.view())
    return out.getvalue().splitlines()


def half_done(**more: Any) -> Progress:
    """A study with two finished runs and two running ones, of which one has had three epochs."""
    progress = Progress(eta(), [], "val_auroc", at_a_time=lambda: 2, **more)
    progress.console = Console(file=io.StringIO())
    finish(progress, trial_row(0, 0.6, lr=2e-4, w_con=50))
    finish(progress, trial_row(1, 0.71234, lr=0.000345678, w_con=50))
    progress.running = ["gan-3-002", "gan-3-003"]
    for epoch in (1, 2, 3):
        progress.epoch(epoch_row("gan-3-002", epoch, 0.55))
    progress.machine.lines = ["cpu 93 % of 2 cores, memory 5.1 of 8 GB"]
    return progress


@pytest.mark.parametrize("width", [60, 120])
def test_the_view_fits_the_width_and_shows_runs_times_and_load(width: int) -> None:
    lines = rendered(half_done(stops_early=True), width, 24)
    assert all(len(line) <= width for line in lines)
    text = "\n".join(lines)
    # Finished: 2 of 4 tuning runs, and 3 epochs of another. 2 final runs are to come. In all, 37
    # epochs of 2 s are left, two at a time.
    assert re.search(r"2/6 0:0\d, at most 0:40 left", text)
    assert "cpu 93 % of 2 cores" in text
    assert re.search(r"gan-3-002 +3/10 +0\.550 +2\.0", text)
    assert re.search(r"gan-3-003 +0 ", text)
    assert re.search(r"gan 3: 1 \(lr 0\.0003457\) +2 +0\.712", text), "only what differs"


def test_a_view_is_no_taller_than_the_terminal() -> None:
    progress = half_done()
    progress.eta.planned = {TUNING: 100}
    for cls in range(30):
        finish(progress, trial_row(0, 0.5, cls=f"class{cls}"))
    progress.running = [f"gan-3-{n:03d}" for n in range(64)]
    for height in (10, 24, 50):
        lines = rendered(progress, 80, height)
        assert len(lines) < height
        text = "\n".join(lines)
        assert re.search(r"running \(and \d+ more\)", text)
        assert re.search(r"best so far \(and \d+ earlier\)", text)
        assert "class29" in text


def test_the_view_names_failed_searches_and_models_without_times() -> None:
    progress = Progress(eta(), [], "val_auroc")
    progress.running = ["gan-3-000"]
    assert "time left unknown" in "\n".join(rendered(progress, 80, 24))
    finish(progress, trial_row(0, None))
    assert "gan 3: all failed" in "\n".join(rendered(progress, 80, 24))
    progress.eta.planned |= {RunKind("other", "tuning", ""): 1}
    progress.eta.epochs |= {("other", ""): EPOCHS}
    progress.epoch(epoch_row("gan-3-001", 1))
    text = "\n".join(rendered(progress, 80, 24))
    assert "time left without other: not timed yet" in text
    assert "about " in text, "nothing is stopped early here"


def test_time_left_is_the_mean_of_each_models_measured_epochs() -> None:
    slow, final, fast = (
        RunKind(*kind, "") for kind in (("slow", "tuning"), ("slow", "final"), ("fast", "tuning"))
    )
    planned, done = {slow: 3, final: 1, fast: 2}, Counter({fast: 1})
    both = Eta(planned, done, epochs={("slow", ""): 4, ("fast", ""): 4}, final_scoring=3.0)
    assert both.left([], 2) == (None, ["fast", "slow"])
    both.add(slow, 8.0, 2.0)
    # 12 s per tuning epoch; 16 s per final one: 10 s of training, three times 2 s of scoring.
    both.add(slow, 12.0, 2.0)
    times = {"train_seconds": 3.0, "score_seconds": 1.0, "epochs": 4}
    both.add_row({"model": "fast", "kind": "tuning"} | times)
    running = [(slow, 2)]
    assert both.left(running, 1) == ((12 - 2) * 12 + 4 * 16 + 4 * 1, [])
    assert both.left(running, 2) == (48 + 64, []), "beside 24 s, 48 s and 4 s"
    assert both.left(running, 64) == (64, []), "that of the longest run"
    paused = [(slow, 2), (slow, 2), (slow, 2)]
    assert both.left(paused, 1) == (3 * 24 + 64 + 4, []), "one place for all"
    both.add(final, 20.0, 10.0)
    assert both.left(running, 1) == ((12 - 2) * 12 + 4 * 30 + 4 * 1, [])
    assert [clock(s) for s in (0.4, 65, 3725)] == ["0:00", "1:05", "1:02:05"]


def test_epochs_of_a_learning_curve_are_timed_by_the_number_of_images() -> None:
    few, many = (RunKind("gan", "final", f"{size} images") for size in (100, 2000))
    epochs = {(kind.model, kind.variant): 4 for kind in (few, many)}
    curve = Eta({few: 1, many: 1}, Counter(), epochs)
    curve.add(few, 0.5, 0.5)
    assert curve.left([(few, 1)], 1) == (3 + 4, []), "the other size has not begun"
    curve.add(many, 9.0, 1.0)
    assert curve.left([(few, 1), (many, 1)], 2) == (3 * 10, [])


def test_rows_of_an_earlier_command_are_timed_and_compared() -> None:
    rows = [trial_row(0, 0.6, lr=1e-4), trial_row(1, 0.7, lr=1e-3)]
    progress = Progress(eta(finished=2), rows, "val_auroc")
    assert progress.eta.epoch_seconds(TUNING) == 2.0
    text = "\n".join(rendered(progress, 80, 24))
    assert "2/6" in text
    assert "gan 3: 1 (lr 0.001)" in text


def test_off_a_terminal_each_run_prints_a_line_when_it_ends(
    capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Progress(eta(), [], "val_auroc") as progress:
        progress.epoch(epoch_row("gan-3-000", 1))
        monkeypatch.setattr("bench.watching.progress.LINE_SECONDS", 0.0)
        progress.epoch(epoch_row("gan-3-000", 2))
        finish(progress, trial_row(0, 0.6))
        finish(progress, trial_row(1, None))
        progress.eta.planned |= {RunKind("other", "tuning", ""): 1}
        finish(progress, trial_row(2, 0.6))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["gan-3-000", "epoch", "2/10", "val_auroc", "0.500"]
    left = r"  \(about \S+ left\)"
    assert re.fullmatch(rf"\[1/6\] gan-3-000  done  epoch 10  val_auroc 0\.600{left}", lines[1])
    assert re.fullmatch(rf"\[2/6\] gan-3-001  error  FloatingPointError: .* nan{left}", lines[2])
    assert re.search(r"  \(about \S+ left without other\)$", lines[3])


@pytest.mark.parametrize("terminal", [True, False])
def test_quiet_prints_nothing(terminal: bool) -> None:
    out = io.StringIO()
    console = Console(file=out, force_terminal=terminal)
    with Progress(eta(), [], "val_auroc", quiet=True, console=console) as progress:
        progress.running = ["gan-3-000"]
        progress.epoch(epoch_row("gan-3-000", 1))
        finish(progress, trial_row(0, 0.6))
    assert out.getvalue() == ""


def test_a_terminal_is_left_as_it_was() -> None:
    """At the end the view is erased; the lines of finished runs stay."""
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=80, highlight=False)
    with Progress(eta(), [], "val_auroc", console=console) as progress:
        progress.running = ["gan-3-000"]
        finish(progress, trial_row(0, 0.6))
    assert "running" in out.getvalue()
    assert "[1/6] gan-3-000" in out.getvalue()
    assert out.getvalue().rstrip("\r").endswith("\x1b[2K"), "the last lines are erased"


def test_the_load_names_the_processor_and_the_memory() -> None:
    text = machine_load.processor()
    assert re.fullmatch(r"cpu \d+ % of \d+ cores, memory [\d.]+ of \d+ GB", text)


def test_gpus_are_read_from_nvidia_smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A script in its place prints two GPUs, of which one is cut into parts, or fails."""
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho '0, 93, 2048, 81920'\necho '1, [N/A], 10240, 81920'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert machine_load.gpus() == []
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    assert machine_load.gpus() == ["gpu 0 93 %, 2.0 of 80 GB", "gpu 1 10.0 of 80 GB"]
    for failure in ("exit 9", "echo no devices were found"):
        tool.write_text(f"#!/bin/sh\n{failure}\n")
        assert machine_load.gpus() == []


def test_dry_run_prints_the_cost_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    flags = ["--model", "w_skipganomaly", "pca", "anogan", "--abnormal_class", "3", "4"]
    small = [*SMALL, *NARROW, "search_steps=5", "--trials", "6"]
    out = ["--epochs", "5", "--seeds", "2", "--results_dir", str(tmp_path / "results")]
    assert train_tune.main([*DIGITS[:2], *flags, *small, *out, "--dry_run"]) == 0
    text = capsys.readouterr().out
    table = [line for line in text.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table]
    # Of two classes: 6 configurations; the best 3 and the default under 2 seeds; the winner and the
    # default under 2 more. PCA is fitted in one epoch.
    assert [line[:6] for line in cells[2:]] == [
        ["w_skipganomaly", "2", "12", "16", "8", "180"],
        ["pca", "2", "12", "16", "8", "36"],
        ["anogan", "2", "12", "16", "8", "180"],
    ]
    seconds = [[float(cell) for cell in line[6:]] for line in cells[2:]]
    assert all(0 < tuning <= final for tuning, final, _ in seconds)
    assert "108 run(s), 396 epoch(s) at most" in text
    assert not list(tmp_path.iterdir())


def test_dry_run_counts_a_grid_and_what_is_left_of_an_unfinished_study(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    grid = ["--searcher", "grid", "--space", "w_con=25,50,75"]
    flags = [*grid, "--epochs", "1", "--seeds", "1", "--dry_run"]
    assert train_tune.main([*DIGITS, *SMALL, *NARROW, *flags, "--results_dir", str(tmp_path)]) == 0
    assert "11 run(s), 11 epoch(s) at most" in capsys.readouterr().out
    out = ["--results_dir", str(tmp_path), "--name", "one"]
    assert train.main([*DIGITS, "--model", "pca", "--epochs", "1", *out]) == 0
    study = tmp_path / "one" / "study.json"
    study.write_text(json.dumps(json.loads(study.read_text()) | {"made_by": "train_tune.py"}))
    assert train_tune.main([*out, "--resume", "--dry_run"]) == 0
    # 10 configurations, 4 finalists under 2 seeds, winner and default under 5. Whether the run that
    # is finished is one of them is known once the search is over.
    assert "28 run(s), 28 epoch(s) at most" in capsys.readouterr().out


def test_quiet_train_prints_only_the_result(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    flags = [*DIGITS, *SMALL, "--ngf", "4", "--ndf", "4", "--epochs", "2"]
    assert train.main([*flags, "--results_dir", str(tmp_path), "--quiet"]) == 0
    text = capsys.readouterr().out
    assert "epoch 1/2" not in text
    assert "test AUROC" in text
    assert "next: python report.py" in text


@pytest.mark.parametrize(
    ("runs", "mps", "times"), [(1, True, 1), (10, False, 10), (10, True, 50 / 7)]
)
def test_runs_that_share_a_gpu_take_turns_in_the_estimate(monkeypatch, runs, mps, times) -> None:
    monkeypatch.setattr(cost_estimate, "mps_is_running", lambda: mps)
    assert cost_estimate.slowdown(runs) == pytest.approx(times)
