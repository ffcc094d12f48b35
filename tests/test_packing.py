"""Packing a study: small files that give the same report; nothing is lost."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from studies import edit, every_run, make_study

import report
from bench import results
from bench.choices.errors import UserError
from bench.judging import metrics
from bench.results import packing
from bench.results.reading import PACKED
from bench.results.rows import PACKED_EPOCHS
from bench.results.store import Store


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """Two models on two classes with two seeds; the second model's score has one part only."""
    folder = make_study(tmp_path / "s", seeds=(1, 2))
    for path in folder.glob("scores/final-1-*/histogram.csv"):
        run = pd.read_csv(path).drop(columns="part_latent")
        run.assign(scores=run["part_reconstruction"]).to_csv(path, index=False)
    runs = every_run(folder)
    aurocs = {trial: metrics.auroc(run["labels"], run["scores"]) for trial, run in runs.items()}
    edit(folder, lambda row: row | {"test_auroc": aurocs.get(row["trial"])})
    return folder


def files(folder: Path) -> dict[Path, bytes]:
    """What lies in a folder, but for the lock of a command that has ended."""
    return {p: p.read_bytes() for p in folder.rglob("*") if p.is_file() and p.name != ".lock"}


def test_scores_come_back_to_float32_and_each_run_has_its_own_parts(study: Path) -> None:
    before = every_run(study)
    packing.pack(study)
    after = every_run(study)
    assert not (study / "scores").exists()
    assert list(after) == list(before)
    for trial, run in before.items():
        assert list(after[trial]) == list(run)
        assert after[trial].dtypes.equals(run.dtypes)
        rounded = (frame.astype(np.float32) for frame in (after[trial], run))
        pd.testing.assert_frame_equal(*rounded, check_exact=True)
        for name in run.drop(columns="labels"):
            aurocs = [metrics.auroc(frame["labels"], frame[name]) for frame in (run, after[trial])]
            assert aurocs[0] == pytest.approx(aurocs[1], abs=1e-6)


@pytest.mark.slow
def test_a_packed_study_gives_the_same_tables(study: Path, tmp_path: Path) -> None:
    assert report.main([str(study), "--out", str(tmp_path / "before")]) == 0
    packing.pack(study)
    assert report.main([str(study), "--out", str(tmp_path / "after")]) == 0
    names = {path.name for path in (tmp_path / "before").iterdir()}
    assert names == {path.name for path in (tmp_path / "after").iterdir()}
    for name in sorted(name for name in names if name.endswith(".csv")):
        one, other = (pd.read_csv(tmp_path / where / name) for where in ("before", "after"))
        pd.testing.assert_frame_equal(one, other, rtol=1e-6)


def test_float32_scores_come_back_as_the_csv_file_had_them(study: Path) -> None:
    """A model's scores are float32, which a CSV file has in their fewest digits."""
    for path in study.glob("scores/*/histogram.csv"):
        run = pd.read_csv(path)
        numbers = dict.fromkeys(run.drop(columns="labels"), np.float32)
        run.astype(numbers).to_csv(path, index=False)
    before = every_run(study)
    packing.pack(study)
    for trial, run in every_run(study).items():
        pd.testing.assert_frame_equal(run, before[trial], check_exact=True)


def test_the_file_is_smaller_and_readable_by_itself(study: Path) -> None:
    size = sum(path.stat().st_size for path in study.glob("scores/*/histogram.csv"))
    packing.pack(study)
    assert (study / PACKED).stat().st_size < size / 3
    frame = pd.read_parquet(study / PACKED)
    parts = ["part_reconstruction", "part_latent"]
    assert {"trial", "scores", "labels", *parts, "same_part"} == set(frame)
    assert frame.groupby("trial").size().tolist() == [90] * 8
    assert frame["same_part"].dropna().tolist() == ["part_reconstruction"] * 360
    assert frame[parts].count().tolist() == [360, 360], "a part is there twice"
    assert frame["scores"].dtype == np.float32


@pytest.mark.parametrize(
    ("column", "change"),
    [("scores", lambda scores: 1 + 1e-12 * scores), ("part_latent", lambda part: 1e300 * part)],
    ids=["too close for float32", "a part too large for it"],
)
def test_float64_stays_where_float32_would_change_an_auroc(study: Path, column, change) -> None:
    path = study / "scores" / "final-0-0-1" / "histogram.csv"
    run = pd.read_csv(path)
    run.assign(**{column: change(run[column])}).to_csv(path, index=False)
    before = every_run(study)
    assert "as float64, as float32 would change an AUROC" in packing.pack(study)
    for trial, run in every_run(study).items():
        pd.testing.assert_frame_equal(run, before[trial], check_exact=True)


def test_without_an_auroc_float32_is_for_scores_that_it_holds() -> None:
    normal = pd.DataFrame({"scores": [0.5, 0.25], "labels": [0, 0]})
    assert packing.keeps_aurocs(normal)
    assert not packing.keeps_aurocs(normal / 3)


def test_a_packed_run_with_unusable_scores_is_the_only_one_that_is_refused(study: Path) -> None:
    packing.pack(study)
    frame = pd.read_parquet(study / PACKED)
    frame.loc[frame["trial"] == "final-0-0-1", "labels"] = 2
    frame.to_parquet(study / PACKED)
    packed = results.read(study)
    with pytest.raises(UserError, match=r"scores\.parquet, trial final-0-0-1: labels must be 0"):
        packed.scores("final-0-0-1")
    assert len(packed.scores("final-0-0-2")) == 90


def test_a_run_whose_folder_lies_deeper_is_packed_too(study: Path) -> None:
    """Its class has a slash in its name, as a data set's of an earlier version may."""
    edit(study, lambda row: row | {"trial": row["trial"].replace("final-0-0-1", "final/0")})
    (study / "scores" / "final").mkdir()
    (study / "scores" / "final-0-0-1").rename(study / "scores" / "final" / "0")
    before = every_run(study)["final/0"]
    packing.pack(study)
    assert np.allclose(every_run(study)["final/0"], before, atol=1e-5)


def test_one_command_packs_several_studies_and_says_what_it_did(
    study: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    other = make_study(tmp_path / "t", models=("pca",), seeds=(1,))
    assert report.main([str(study), str(other), "--pack"]) == 0
    first, epochs, second, _ = capsys.readouterr().out.splitlines()
    assert first.startswith(f"{study / PACKED}: 0.0")
    assert "scores of 8 runs as float32, which keeps every AUROC to 1e-06" in first
    assert f"{study / 'scores'} is removed (8 score files, 8 pictures, 0." in first
    assert epochs == f"{study / PACKED_EPOCHS}: 0.00 MB, 24 rows (0.00 MB)"
    assert second.startswith(f"{other / PACKED}: 0.0")
    assert "scores of 2 runs" in second
    assert report.main([str(study), "--pack"]) == 0
    assert capsys.readouterr().out == f"{study}: it has nothing to pack\n"


def test_no_study_is_packed_where_one_of_them_is_none(study: Path, tmp_path: Path) -> None:
    before = files(study)
    with pytest.raises(UserError, match="there is no such folder"):
        report.main([str(study), str(tmp_path / "nowhere"), "--pack"])
    with pytest.raises(UserError, match="--pack and --reproduce"):
        report.main([str(study), "--pack", "--reproduce", "final-0-0-1"])
    with pytest.raises(UserError, match="--out: no report is written"):
        report.main([str(study), "--pack", "--out", "elsewhere"])
    assert files(study) == before


def test_a_study_that_another_command_works_on_is_not_packed(study: Path) -> None:
    store, before = Store(study), files(study)
    with pytest.raises(UserError, match="another command is working on this study"):
        packing.pack(study)
    store.close()
    assert files(study) == before
    packing.pack(study)
    Store(study).close()  # packing let go of it


def broken_csv(study: Path) -> None:
    (study / "scores" / "final-0-0-1" / "histogram.csv").write_text("scores,labels\nx,0\n")


def own_file(study: Path) -> None:
    (study / "scores" / "notes.txt").write_text("mine")


def lost_row(study: Path) -> None:
    edit(study, lambda row: row if row["trial"] != "final-0-0-1" else None)


def other_scores(study: Path) -> None:
    """A run that is packed has a CSV file with other scores."""
    whole = study.with_name("whole")
    shutil.copytree(study / "scores", whole)
    packing.pack(study)
    shutil.copytree(whole / "final-0-0-2", study / "scores" / "final-0-0-1")


def broken_file(study: Path) -> None:
    (study / PACKED).write_bytes(b"PAR1")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (broken_csv, r"final-0-0-1.histogram\.csv: not all values are finite numbers"),
        (own_file, r"notes\.txt would be lost"),
        (lost_row, r"final-0-0-1.histogram\.csv: this trial has no row"),
        (other_scores, r"scores\.parquet has other scores of this trial"),
        (broken_file, r"scores\.parquet: not readable"),
    ],
)
def test_nothing_is_removed_where_something_would_be_lost(
    study: Path, spoil: Callable[[Path], None], message: str
) -> None:
    spoil(study)
    before = files(study)
    with pytest.raises(UserError, match=message):
        packing.pack(study)
    assert files(study) == before


def test_nothing_is_removed_where_the_file_does_not_give_the_scores_back(
    study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = files(study)

    def wrong(content: bytes) -> dict[str, pd.DataFrame]:
        runs = unpacked(content)
        runs["final-0-0-1"].loc[0, "scores"] += 1
        return runs

    unpacked = packing.unpacked
    monkeypatch.setattr(packing, "unpacked", wrong)
    with pytest.raises(UserError, match="would not give back the scores of final-0-0-1"):
        packing.pack(study)
    assert files(study) == before


def test_nothing_is_removed_where_the_disk_gives_other_bytes(
    study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut(path: Path, content: bytes) -> None:
        path.write_bytes(content[:-1])

    before = files(study)
    monkeypatch.setattr(packing, "write_whole", cut)
    with pytest.raises(UserError, match="does not hold what was written"):
        packing.pack(study)
    assert before.items() <= files(study).items()


def test_a_pack_that_was_stopped_while_it_removed_files_is_finished_by_the_next(
    study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = every_run(study)

    def stopped(folder: Path) -> None:
        (folder / "final-0-0-1" / "histogram.csv").unlink()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(packing.shutil, "rmtree", stopped)
        with pytest.raises(KeyboardInterrupt):
            packing.pack(study)
    assert set(every_run(study)) == set(before)
    packing.pack(study)
    assert not (study / "scores").exists()
    assert {trial: len(run) for trial, run in every_run(study).items()} == dict.fromkeys(before, 90)


def test_a_new_run_has_its_csv_beside_the_file_until_the_study_is_packed_again(study: Path) -> None:
    before = every_run(study)
    packing.pack(study)
    row = results.read(study).trials.query("trial == 'final-0-0-1'").iloc[0].to_dict()
    store = Store(study)
    store.add_trial(row | {"trial": "new"}, scores=before["final-0-0-1"])
    store.close()
    assert [path.parent.name for path in study.glob("scores/*/histogram.csv")] == ["new"]
    assert set(every_run(study)) == {*before, "new"}
    assert "scores of 9 runs" in packing.pack(study)
    after = every_run(study)
    assert set(after) == {*before, "new"}
    pd.testing.assert_frame_equal(after["new"], after["final-0-0-1"], check_exact=True)
