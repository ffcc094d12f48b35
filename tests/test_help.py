"""What --help and --list say, and that they load nothing heavy."""

import subprocess
import sys

import pytest
from commands import ROOT

import train
import train_tune


def test_help_teaches(capsys) -> None:
    with pytest.raises(SystemExit):
        train.main(["--model", "skipganomaly", "--help"])
    text = capsys.readouterr().out
    assert "--lr_discriminator" in text
    assert "examples:" in text
    with pytest.raises(SystemExit):
        train_tune.main(["--help"])
    assert "--time_budget" in capsys.readouterr().out


def test_list(capsys) -> None:
    assert train_tune.main(["--list"]) == 0
    text = capsys.readouterr().out
    for name in ("w_skipganomaly", "digits", "asha", "tpe"):
        assert name in text


def test_help_loads_nothing_heavy() -> None:
    lines = [
        "import sys, train, train_tune",
        "train_tune.parser(), train.parser('anogan')",
        "assert not {'torch', 'pandas', 'ray'} & sys.modules.keys()",
    ]
    subprocess.run([sys.executable, "-c", "; ".join(lines)], check=True, cwd=ROOT)
