"""What the screen shows while a study runs: the live view, the lines, the time left, or nothing at all."""

import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

import train
import train_tune
from bench.watching import machine_load
from bench.watching.progress import Progress
from bench.watching.time_left import Eta, clock

EPOCHS = 10
DIGITS = ["--dataset", "digits", "--abnormal_class", "3", "--set", "ngf=4", "ndf=4", "--limit_train", "300"]


def eta(tuning: int = 4, final: int = 2, **more: Any) -> Eta:
    return Eta({("gan", "tuning"): tuning, ("gan", "final"): final}, EPOCHS, **more)


def record(epoch: int, value: float = 0.5, train_seconds: float = 1.5, score_seconds: float = 0.5) -> dict[str, Any]:
    return {"epoch": epoch, "val_auroc": value, "train_seconds": train_seconds, "score_seconds": score_seconds}


def row(number: int, value: float | None, cls: str = "3", kind: str = "tuning", **config: Any) -> dict[str, Any]:
    found = record(EPOCHS, value or 0.0, 15.0, 5.0) | {"epochs": EPOCHS, "objective": value, "number": number}
    if value is None:
        found |= {"status": "error", "error": "FloatingPointError: the loss became nan", "val_auroc": None}
    about = {"trial": f"gan-{cls}-{number:03d}", "kind": kind, "model": "gan", "class": cls, "status": "done"}
    return about | found | {f"config_{name}": value for name, value in config.items()}


def about(trial: str, kind: str = "tuning") -> dict[str, str]:
    return {"trial": trial, "kind": kind, "model": "gan", "class": "3"}


def rendered(progress: Progress, width: int, height: int) -> list[str]:
    console = Console(file=io.StringIO(), width=width, height=height, force_terminal=True, color_system=None)
    progress.console = console
    console.print(progress.view())
    return console.file.getvalue().splitlines()  # type: ignore[attr-defined]


def watched(**more: Any) -> Progress:
    """Two runs are done, one of two that run is in its third epoch."""
    progress = Progress(eta(), [], "val_auroc", at_a_time=lambda: 2, **more)
    progress.console = Console(file=io.StringIO())
    progress.trial(row(0, 0.6, lr=2e-4, w_con=50))
    progress.trial(row(1, 0.71234, lr=0.000345678, w_con=50))
    progress.set_running(["gan-3-002", "gan-3-003"])
    for epoch in (1, 2, 3):
        progress.epoch(about("gan-3-002") | record(epoch, 0.55))
    progress.machine.lines = ["cpu 93 % of 2 cores, memory 5.1 of 8 GB"]
    return progress


@pytest.mark.parametrize("width", [60, 120])
def test_the_view_fits_and_says_it_all(width: int) -> None:
    lines = rendered(watched(stops_early=True), width, 24)
    assert all(len(line) <= width for line in lines)
    text = "\n".join(lines)
    # 2 of 4 tuning runs are done, 3 epochs of another, and 2 final runs wait: 37 epochs of 2 s, two at a time
    assert re.search(r"2/6 0:0\d, at most 0:37 left", text)
    assert "cpu 93 % of 2 cores" in text
    assert re.search(r"gan-3-002 +3/10 +0\.550 +2\.0", text)
    assert re.search(r"gan-3-003 +0/10", text)
    assert re.search(r"gan 3: 1 \(lr 0\.0003457\) +2 +0\.712", text), "what differs from the default"


def test_a_view_is_no_taller_than_the_terminal() -> None:
    progress = watched()
    progress.eta.planned = {("gan", "tuning"): 100}
    for cls in range(30):
        progress.trial(row(0, 0.5, cls=f"class{cls}"))
    progress.set_running([f"gan-3-{n:03d}" for n in range(64)])
    for height in (10, 24, 50):
        lines = rendered(progress, 80, height)
        assert len(lines) < height
        text = "\n".join(lines)
        assert re.search(r"running \(and \d+ more\)", text)
        assert re.search(r"best so far \(and \d+ earlier\)", text)
        assert "class29" in text


def test_failures_and_unknowns_in_the_view() -> None:
    progress = Progress(eta(), [], "val_auroc")
    progress.set_running(["gan-3-000"])
    assert "time left unknown" in "\n".join(rendered(progress, 80, 24))
    progress.trial(row(0, None))
    assert "gan 3: none came through" in "\n".join(rendered(progress, 80, 24))
    progress.eta.planned |= {("other", "tuning"): 1}
    progress.epoch(about("gan-3-001") | record(1))
    text = "\n".join(rendered(progress, 80, 24))
    assert "time left without other: not timed yet" in text
    assert "about " in text, "nothing is stopped early here"


def test_time_left_is_the_measured_epochs_of_each_model() -> None:
    both = Eta({("slow", "tuning"): 3, ("slow", "final"): 1, ("fast", "tuning"): 2}, epochs=4, final_scoring=3.0)
    assert both.left([], 2) == (None, ["fast", "slow"])
    both.add(("slow", "tuning"), 8.0, 2.0)
    both.add(("slow", "tuning"), 12.0, 2.0)  # 12 s an epoch; a final one 10 s, and three times the scoring: 16 s
    both.add_row(
        {"model": "fast", "kind": "tuning", "train_seconds": 3.0, "score_seconds": 1.0, "epochs": 4}, timed=True
    )
    begun = [(("slow", "tuning"), 2)]
    assert both.left(begun, 1) == ((12 - 2) * 12 + 4 * 16 + 4 * 1, [])
    assert both.left(begun, 4) == (188 / 4, [])
    assert both.left(begun, 64) == (188 / 5, []), "no more run at a time than there are"
    both.add(("slow", "final"), 20.0, 10.0)
    assert both.left(begun, 1) == ((12 - 2) * 12 + 4 * 30 + 4 * 1, [])
    assert [clock(s) for s in (0.4, 65, 3725)] == ["0:00", "1:05", "1:02:05"]


def test_rows_of_an_earlier_command_are_counted_and_timed() -> None:
    progress = Progress(eta(), [row(0, 0.6, lr=1e-4), row(1, 0.7, lr=1e-3)], "val_auroc")
    assert progress.eta.epoch_seconds(("gan", "tuning")) == 2.0
    text = "\n".join(rendered(progress, 80, 24))
    assert "2/6" in text
    assert "gan 3: 1 (lr 0.001)" in text


def test_off_a_terminal_a_line_a_run(capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    with Progress(eta(), [], "val_auroc") as progress:
        progress.epoch(about("gan-3-000") | record(1))
        monkeypatch.setattr("bench.watching.progress.QUIET_SECONDS", 0.0)
        progress.epoch(about("gan-3-000") | record(2))
        progress.trial(row(0, 0.6))
        progress.trial(row(1, None))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["gan-3-000", "epoch", "2/10", "val_auroc", "0.500"]
    assert lines[1] == "[1/6] gan-3-000  done  epoch 10  val_auroc 0.600"
    assert lines[2] == "[2/6] gan-3-001  error  FloatingPointError: the loss became nan"


@pytest.mark.parametrize("terminal", [True, False])
def test_quiet_prints_nothing(terminal: bool) -> None:
    out = io.StringIO()
    with Progress(eta(), [], "val_auroc", quiet=True, console=Console(file=out, force_terminal=terminal)) as progress:
        progress.set_running(["gan-3-000"])
        progress.epoch(about("gan-3-000") | record(1))
        progress.trial(row(0, 0.6))
    assert out.getvalue() == ""


def test_a_terminal_is_left_as_it_was() -> None:
    """The view is drawn while it runs and gone at the end; the finished runs' lines stay."""
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=80, highlight=False)
    with Progress(eta(), [], "val_auroc", console=console) as progress:
        progress.set_running(["gan-3-000"])
        progress.trial(row(0, 0.6))
    assert "running" in out.getvalue()
    assert "[1/6] gan-3-000" in out.getvalue()
    assert out.getvalue().rstrip("\r").endswith("\x1b[2K"), "the last lines are erased"


def test_the_machine_is_looked_at() -> None:
    assert re.fullmatch(r"cpu \d+ % of \d+ cores, memory [\d.]+ of \d+ GB", machine_load.processor())


def test_gpus_by_nvidias_tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in for nvidia-smi: what it prints for two GPUs, one cut into parts, and its failure."""
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho '0, 93, 2048, 81920'\necho '1, [N/A], 10240, 81920'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    assert machine_load.gpus() == ["gpu 0 93 %, 2.0 of 80 GB", "gpu 1 10.0 of 80 GB"]
    for failure in ("exit 9", "echo no devices were found"):
        tool.write_text(f"#!/bin/sh\n{failure}\n")
        assert machine_load.gpus() == []


def test_dry_run_says_what_a_study_costs_and_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    flags = ["--model", "w_skipganomaly", "pca", "anogan", "--abnormal_class", "3", "4", "--trials", "6"]
    small = ["--limit_train", "300", "--set", "ngf=4", "ndf=4", "search_steps=5"]
    out = ["--epochs", "5", "--seeds", "2", "--results_dir", str(tmp_path / "results")]
    assert train_tune.main([*DIGITS[:2], *flags, *small, *out, "--dry_run"]) == 0
    text = capsys.readouterr().out
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("|")]
    assert [line[:5] for line in cells[2:]] == [
        [model, "2", "12", "4", "80"] for model in ("w_skipganomaly", "pca", "anogan")
    ]
    seconds = [[float(cell) for cell in line[5:]] for line in cells[2:]]
    assert all(0 < tuning <= final for tuning, final, _ in seconds)
    assert "48 runs, 240 epochs at most" in text
    assert not list(tmp_path.iterdir())


def test_dry_run_of_a_grid_and_of_a_study_half_done(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    flags = ["--searcher", "grid", "--space", "w_con=25,50,75", "--epochs", "1", "--seeds", "1", "--dry_run"]
    assert train_tune.main([*DIGITS, *flags, "--results_dir", str(tmp_path)]) == 0
    assert "4 runs, 4 epochs at most" in capsys.readouterr().out
    out = ["--results_dir", str(tmp_path), "--name", "one"]
    assert train.main([*DIGITS[:4], "--model", "pca", "--epochs", "1", *out]) == 0
    begun = tmp_path / "one" / "study.json"
    begun.write_text(json.dumps(json.loads(begun.read_text()) | {"made_by": "train_tune.py"}))
    assert train_tune.main([*out, "--resume", "--dry_run"]) == 0
    assert "14 runs, 14 epochs at most" in capsys.readouterr().out, "one of five final runs is done already"


def test_quiet_train_says_what_came_out_only(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    flags = [*DIGITS[:4], "--ngf", "4", "--ndf", "4", *DIGITS[7:], "--epochs", "2", "--results_dir", str(tmp_path)]
    assert train.main([*flags, "--quiet"]) == 0
    text = capsys.readouterr().out
    assert "epoch 1/2" not in text
    assert "test AUROC" in text
    assert "next: python report.py" in text
