"""Runs real studies on Ray, and what holds for every one of them."""

import re
from fnmatch import fnmatch
from pathlib import Path

import pandas as pd
import pytest
from commands import TINY, replaced

import train_tune
from bench import results
from bench.results.columns import COLUMNS


@pytest.fixture(name="study")
def study_runner(tmp_path: Path, ray_session):
    """Runs a study and gives its exit status and results."""

    def run(*flags: str, name: str = "study") -> tuple[int, results.Results]:
        place = ["--results_dir", str(tmp_path), "--name", name]
        status = train_tune.main([*replaced(TINY, flags), *place])
        return status, results.read(tmp_path / name)

    return run


def check_study(saved: results.Results, trials: int, seeds: int) -> None:
    rows = saved.trials
    assert (rows.kind == "tuning").sum() == trials
    assert (rows.role == "winner").sum() == seeds
    assert rows.trial.is_unique
    assert set(rows.status) <= {"done", "stopped"}
    for name in (*map(str, rows), *map(str, saved.epochs)):
        assert any(fnmatch(name, column) for column in COLUMNS), f"{name} is not in COLUMNS"
    for row in rows[rows.status == "stopped"].itertuples():
        assert row.kind == "tuning"
        assert row.stopped_by == saved.study["scheduler"]
        assert re.fullmatch(
            rf"after epoch {row.epochs}: objective \S+, place \d of \d", row.stop_reason
        )
    assert rows[rows.kind == "tuning"].filter(regex="^test_").isna().all(axis=None), (
        "a tuning run saw the test images"
    )
    default = rows[rows.number == 0].iloc[0]
    began = default.get("tried_w_con")  # where PBT changed it
    assert (default.config_w_con if pd.isna(began) else began) == 50
    for row in rows[rows.kind == "final"].itertuples():
        scores = saved.scores(row.trial)
        assert len(scores) == row.n_test_normal + row.n_test_abnormal
        assert scores.columns[:2].tolist() == ["scores", "labels"]
    assert (rows.images_seen > 0).all()
    last = saved.epochs.groupby("trial").last().loc[rows.trial]
    for name in ("generator_steps", "images_seen"):
        assert last[name].tolist() == rows[name].tolist()
    assert last["epoch"].tolist() == rows.epochs.tolist()
    if saved.study["scheduler"] not in ("pbt", "pb2"):  # these may take over a run that is ahead
        epochs = saved.epochs.groupby("trial").size()
        assert (epochs[rows.trial].to_numpy() == rows.epochs.to_numpy()).all()
