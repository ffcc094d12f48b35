"""docs/examples/classifier.py: classifiers that learn the anomalies by which detectors are chosen."""

import io
import runpy
from pathlib import Path

import pandas as pd
import pytest

EXAMPLE = Path(__file__).parents[1] / "docs" / "examples" / "classifier.py"


def test_more_anomalies_teach_more(capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(EXAMPLE))["main"](["digits", "8", "3", "100"])
    table = pd.read_csv(io.StringIO(capsys.readouterr().out))
    assert table[["class", "anomalies"]].drop_duplicates().values.tolist() == [[8, 3], [8, 100]]
    areas = table.pivot(index="classifier", columns="anomalies", values="auroc")
    assert (areas[100] > areas[3] + 0.05).all()
    assert areas[100].between(0.9, 1).all()
