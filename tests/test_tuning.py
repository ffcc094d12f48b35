"""Real studies on Ray: every searcher and every scheduler, and what they write."""

from pathlib import Path

import pytest
from images import write_images
from tuning_studies import TINY, check_study, study_runner  # noqa: F401

from bench.choices.errors import UserError
from bench.choices.options import SCHEDULERS, SEARCHERS
from bench.reporting import report as reporting

PAIRS = [("tpe", "asha"), ("gp", "median"), ("cmaes", "hyperband"), ("grid", "fifo")]
PAIRS += [("random", name) for name in SCHEDULERS if name not in dict(PAIRS).values()]
PAIRS += [(name, "fifo") for name in SEARCHERS if name not in dict(PAIRS)]


@pytest.mark.slow
@pytest.mark.parametrize(("searcher", "scheduler"), PAIRS)
def test_searchers_and_schedulers(study, tmp_path: Path, searcher: str, scheduler: str) -> None:
    """Paused trials of one of them lie elsewhere, and no study leaves any behind."""
    scratch = tmp_path / "scratch"
    flags = ["--searcher", searcher, "--scheduler", scheduler]
    flags += ["--storage", f"file://{scratch}"] if scheduler == "pbt" else []
    status, saved = study(*flags, "--trials", "4", "--epochs", "3", "--seeds", "1")
    assert status == 0
    check_study(saved, trials=4, seeds=1)
    tuning = saved.trials[saved.trials.kind == "tuning"]
    proposed = tuning.filter(like="config_").astype(str)
    for tried in tuning.filter(like="tried_"):  # which PBT and PB2 changed
        name = tried.replace("tried_", "config_")
        proposed[name] = tuning[tried].astype(str).where(tuning[tried].notna(), proposed[name])
    assert not proposed.duplicated().any()
    finals = saved.trials[saved.trials.kind == "final"]
    assert (finals.epochs == 3).all(), "a final run is never stopped early"
    assert scratch.is_dir() == (scheduler == "pbt")
    assert not [*scratch.glob("**/*.pt"), *saved.path.glob(".ray-*")]


@pytest.mark.slow
def test_two_models_two_classes(study) -> None:
    """Every task has its own default, finalists, winner and final runs."""
    flags = "--model w_skipganomaly skipganomaly --abnormal_class 0 1 --trials 2 --epochs 1".split()
    status, saved = study(*flags, "--seeds", "2", "--finalists", "3")
    assert status == 0
    finals = saved.trials[saved.trials.role == "winner"]
    assert (finals.groupby(["model", "class"]).size() == 2).all()
    assert finals.groupby(["model", "class"]).ngroups == 4
    for (model, cls), group in saved.trials.groupby(["model", "class"]):
        assert sorted(group[group.kind == "tuning"].number) == [0, 1]
        finalists = group[group.kind == "finalist"]
        assert set(zip(finalists.number, finalists.seed, strict=True)) == {
            *((number, seed) for number in (0, 1) for seed in (1001, 1002))
        }
        judged = finalists.groupby("number").objective.mean()
        winner = judged.idxmax()  # the first of equals
        tested = group[group.kind == "final"]
        assert set(tested[tested.role == "winner"].number) == {winner}, (model, cls)
        assert set(tested.number) == {0, winner}
        assert set(tested.seed) == {1, 2}
        decision = saved.winners[model, cls, ""]
        assert decision["number"] == winner
        assert decision["objectives"] == pytest.approx({str(n): v for n, v in judged.items()})


@pytest.fixture
def uneven(tmp_path: Path) -> Path:
    """Classes a, b and c; c has test images alone, so that nothing abnormal validates it."""
    folder = tmp_path / "uneven"
    for seed, place in enumerate(("train/a", "train/b", "test/a", "test/b", "test/c")):
        write_images(folder / place, 30 if "train" in place else 8, seed, (16, 16))
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("classes", [["a", "c"], pytest.param(["c", "a"], marks=pytest.mark.long)])
def test_each_class_has_its_own_signal_to_choose_by(
    study, uneven: Path, classes: list[str]
) -> None:
    flags = ["--dataset", str(uneven), "--dataroot", str(uneven), "--abnormal_class", *classes]
    flags += ["--batch_size", "8", "--limit_train", "60"]  # all of them
    for mistake in (["--tune_for", "mean"], ["--select_on", "val_auroc"]):
        with pytest.raises(UserError, match="val_loss"):
            study(*flags, *mistake)
    search = "--trials 2 --epochs 2 --seeds 1 --scheduler fifo".split()
    status, saved = study(*flags, *search)
    assert status == 0
    assert set(saved.trials.status) == {"done"}
    signals = saved.trials.groupby("class").select_on.unique().map(list).to_dict()
    assert signals == {"a": ["val_auroc"], "c": ["val_loss"]}
    for name, signal in (("a", saved.trials.val_auroc), ("c", -saved.trials.val_loss)):
        mine = saved.trials["class"] == name
        assert saved.trials.objective[mine].tolist() == signal[mine].tolist()
    reporting.report({"study": saved}, saved.path / "report")
    names = {path.stem for path in (saved.path / "report").glob("*.svg")}
    assert {"learning", "learning_val_loss"} <= names
    settings = (saved.path / "report" / "settings.csv").read_text()
    assert "validation AUROC, validation loss" in settings


@pytest.mark.slow
def test_classical_models_run_where_all_gpus_are_taken(study) -> None:
    """Here there are none at all: a trial that reserved one would wait for ever."""
    flags = "--model pca knn --device cuda --address auto --trials 2 --epochs 1".split()
    status, saved = study(*flags, "--set", "samples=100", "--seeds", "1", "--precision", "tf32")
    assert status == 0
    assert set(saved.trials["device"]) == {"cpu"}
    assert set(saved.trials["precision"]) == {"float32"}
    assert saved.trials["hardware"].notna().all()
