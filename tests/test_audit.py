"""train.py --audit: the table that it writes, and how a stopped audit goes on."""

from pathlib import Path

import pandas as pd
import pytest
from commands import ROOT

import report
import train
from bench.choices.errors import UserError
from bench.training import audit
from bench.training.run import Run

SMALL = ["--epochs", "1", "--batch_size", "16", "--ngf", "4", "--ndf", "4"]


def test_an_audit_whose_training_diverges_says_so(
    capsys, tmp_path: Path, wganomaly_folder: Path, monkeypatch
) -> None:
    def diverge(*_: object, **__: object) -> None:
        raise FloatingPointError("the loss 'critic' became nan (step 5)")

    monkeypatch.setattr(audit, "Run", diverge)
    place = ["--results_dir", str(tmp_path), "--dataroot", str(tmp_path)]
    flags = ["--dataset", str(wganomaly_folder), *SMALL, "--audit"]
    assert train.main([*flags, *place]) == 1
    assert "failed: the loss" in capsys.readouterr().err


def test_a_stopped_audit_goes_on_to_the_same_table(
    capsys, tmp_path: Path, wganomaly_folder: Path, monkeypatch
) -> None:
    """Stopped in its third of five trainings; every finished step stays."""
    place = ["--results_dir", str(tmp_path), "--dataroot", str(tmp_path)]
    whole, stopped = [*place, "--name", "whole"], [*place, "--name", "stopped"]
    flags = ["--dataset", str(wganomaly_folder), *SMALL, "--audit"]
    assert train.main([*flags, *whole]) == 0
    expected = (tmp_path / "whole" / "audit.csv").read_text()
    markdown = (tmp_path / "whole" / "audit.md").read_text()
    table, caution = markdown.split("\n\n")
    assert expected.count("\n") - 1 == table.count("\n") - 1 == 10
    assert caution.startswith(
        "w_skipganomaly: 10 step(s) had 0 generator steps, where 2100 are fair"
    )
    out = capsys.readouterr().out
    assert table in out
    assert f"warning: {caution}" in out

    begun = []

    def run(*args, **kwargs) -> Run:
        begun.append(kwargs["hyperparameters"])
        if len(begun) == 3:
            raise KeyboardInterrupt
        return Run(*args, **kwargs)

    monkeypatch.setattr(audit, "Run", run)
    with pytest.raises(SystemExit, match="130"):
        train.main([*flags, *stopped])
    assert "interrupted with 7 steps done; go on with:" in capsys.readouterr().out
    assert len(pd.read_csv(tmp_path / "stopped" / "audit.csv")) == 7
    assert train.main([*stopped, "--resume"]) == 0
    assert len(begun) == 6, "three trainings, of which the first began twice"
    assert (tmp_path / "stopped" / "audit.csv").read_text() == expected
    assert train.main([*stopped, "--resume", "--audit"]) == 0, "it is over, and is shown again"
    assert len(begun) == 6
    assert table in capsys.readouterr().out


def test_the_report_of_an_audit_says_where_its_table_is(tmp_path):
    folder = ROOT / "results" / "measured" / "audit-digits"
    with pytest.raises(UserError, match=r"an audit has no rows; its table is audit.md"):
        report.main([str(folder), "--out", str(tmp_path)])


def test_differences_of_released_code_are_noted_below_the_table(tmp_path, capsys):
    small = ["--ngf", "4", "--ndf", "4", "--nz", "4", "--joint", "8", "--batch_size", "8"]
    flags = ["--dataset", "digits", "--normal_class", "3", "--model", "egbad", *small]
    place = ["--results_dir", str(tmp_path), "--name", "one"]
    assert train.main([*flags, "--epochs", "1", "--steps", "2", "--audit", *place]) == 0
    lines = (tmp_path / "one" / "audit.md").read_text().splitlines()
    mode = "egbad: its released code scores in evaluation mode; the first row does not."
    assert mode in lines
    assert f"note: {mode}\n" in capsys.readouterr().err
    assert any("reports the last epoch, not the best by test images; the" in line for line in lines)
