"""What report.py writes to a folder, overwrites there, and leaves alone."""

import os
from pathlib import Path

import pytest
from studies import make_study

import report
from bench.choices.errors import UserError
from bench.choices.study import SWEEP
from bench.reporting.report import replace_report


@pytest.mark.slow
def test_a_users_own_page_is_not_overwritten_and_an_earlier_report_is(tmp_path: Path) -> None:
    study, out = make_study(tmp_path / "s"), tmp_path / "out"
    out.mkdir()
    (out / "index.html").write_text("<html>mine</html>")
    with pytest.raises(UserError, match=r"index.html is no report's page \(give another folder\)"):
        report.main([str(study), "--out", str(out)])
    assert (out / "index.html").read_text() == "<html>mine</html>"
    (out / "index.html").unlink()
    (out / "metrics.csv").write_text("mine")
    with pytest.raises(UserError, match=r"--out: .*metrics.csv was not written by a report"):
        report.main([str(study), "--out", str(out)])
    assert [path.read_text() for path in out.iterdir()] == ["mine"]
    (out / "metrics.csv").unlink()
    replace_report(out, {"auroc.md": "old", "gone.md": "old"}, default_folder=False)
    (out / "index.html").unlink(missing_ok=True)  # as if it had been stopped before the page
    for _ in range(2):
        assert report.main([str(study), str(study.parent / "s"), "--out", str(out)]) == 0
    earlier = study / "report" / "index.html"
    earlier.parent.mkdir()
    earlier.write_text("<html>of an earlier version</html>")
    assert report.main([str(study)]) == 0, "a study's own folder of reports"
    assert "earlier version" not in earlier.read_text()
    sweep = tmp_path / "sweep"
    make_study(sweep / "data")
    (sweep / SWEEP).write_text("{}")
    (sweep / "report").mkdir()
    (sweep / "report" / "metrics.csv").write_text("mine")
    assert report.main([str(sweep)]) == 0, "likewise a sweep's"
    (earlier.parent / "notes.md").write_text("mine")
    assert report.main([str(study), str(make_study(tmp_path / "other"))]) == 0
    assert (earlier.parent / "difference.csv").exists()
    assert report.main([str(study)]) == 0
    assert not (earlier.parent / "difference.csv").exists(), "a table of the earlier report"
    assert (earlier.parent / "notes.md").read_text() == "mine"
    assert not (out / "gone.md").exists()
    (out / "difference.csv").write_text("mine")
    with pytest.raises(UserError, match=r"--out: .*difference.csv was not written by a report"):
        report.main([str(study), str(tmp_path / "other"), "--out", str(out)])
    assert (out / "difference.csv").read_text() == "mine"
    assert "studies" not in (out / "index.html").read_text().partition("</title>")[0]


def test_what_a_killed_report_was_writing_is_removed_a_day_later(tmp_path: Path) -> None:
    replace_report(tmp_path, {"index.html": "whole"}, default_folder=True)
    old, new, own = (tmp_path / f".{name}" for name in ("index.html.12", "index.html.3", "own.4"))
    for path in (old, new, own):
        path.touch()
    os.utime(old, (0, 0))
    os.utime(own, (0, 0))
    replace_report(tmp_path, {"index.html": "again"}, default_folder=True)
    left = {".index.html.3", ".own.4", ".written", "index.html"}
    assert {path.name for path in tmp_path.iterdir()} == left
