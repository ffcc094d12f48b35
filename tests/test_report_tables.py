"""The report's tables and warnings, on small studies written as plain files."""

import itertools
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from studies import ONE_RUN, caution_lines, edit, load, make_study, with_default_beside

import report
from bench.choices.errors import UserError
from bench.judging import metrics
from bench.judging.comparison import compare
from bench.reporting import cautions, fair, frames, mismatches, parts, searches, tables, writers
from bench.reporting.writers import Table, file_names


def test_studies_are_joined_and_columns_name_what_differs(tmp_path):
    sound, published = make_study(tmp_path / "one"), make_study(tmp_path / "two")
    edit(published, lambda row: row | {"protocol": "published"})
    *_, aurocs = load(sound, published)
    assert aurocs["study"].unique().tolist() == ["one", "two"]
    assert aurocs["column"].unique().tolist() == [
        "w_skipganomaly (sound)", "pca (sound)", "w_skipganomaly (published)", "pca (published)"
    ]  # fmt: skip
    edit(published, lambda row: row | {"protocol": "sound"})
    names = load(sound, published)[-1]["column"].unique().tolist()[::2]
    assert names == ["w_skipganomaly (one)", "w_skipganomaly (two)"]


def test_studies_without_families_are_named_so_where_others_have_some(tmp_path):
    old, new = (make_study(tmp_path / name, models=("a",)) for name in ("old", "new"))
    edit(old, lambda row: {k: v for k, v in row.items() if k != "family"})
    edit(new, lambda row: row | {"family": "GAN" if row["number"] else "labelled"})
    trials = load(old, new)[1]
    assert set(trials["search"]) == {"a (unknown family)", "a (GAN or labelled)"}


def test_tuning_gain_is_set_against_the_default_configuration(tmp_path):
    trials = load(make_study(tmp_path / "s"))[1]
    row = searches.tuning_table(trials).frame.iloc[0]
    columns = ["class", "model", "configurations", "changed"]
    assert row[columns].tolist() == ["bird", "w_skipganomaly", 3, "lr=0.003"]
    assert row[["default", "winner", "gain"]].tolist() == pytest.approx([0.5, 0.7, 0.2])
    # the winner is the one that was trained again, also where --tune_for mean chose it for other
    # classes' sake
    trials.loc[trials["kind"] == "final", "number"] = 1
    assert searches.tuning_table(trials).frame["winner"].tolist() == pytest.approx([0.6] * 4)
    stopped = trials["status"].mask(trials["kind"].eq("tuning") & trials["number"].eq(0), "stopped")
    early = searches.tuning_table(trials.assign(status=stopped))
    assert early.frame["default"].isna().all()
    assert "4 default(s) were stopped early" in early.note
    stopped = trials["status"].mask(trials["kind"].eq("tuning") & trials["number"].eq(1), "stopped")
    cut = searches.tuning_table(trials.assign(status=stopped))
    assert cut.frame["default"].notna().all()
    assert cut.frame[["winner", "gain"]].isna().all(axis=None)
    assert "4 winner(s) were stopped early" in cut.note
    assert "The winner is the best of many on this very signal, which flatters it" in cut.note
    by_pbt = trials.assign(tried_lr=trials["config_lr"].where(trials["number"] == 0))
    changed = searches.tuning_table(by_pbt).frame
    assert changed[["default", "gain"]].isna().all(axis=None), "it says nothing of the default"
    trials = trials[trials["number"] != 0]
    assert searches.tuning_table(trials).frame["gain"].isna().all()


def test_thresholds_for_different_rates_are_named(tmp_path):
    studies, trials, *_ = load(
        make_study(tmp_path / "s"), make_study(tmp_path / "t", study={"false_alarms": 0.2})
    )
    assert mismatches.thresholds(studies, trials) == [], "no run has one"
    for name in studies:
        edit(tmp_path / name, lambda row: row | {"threshold": 0.5})
    studies, trials, *_ = load(tmp_path / "s", tmp_path / "t")
    (line,) = mismatches.thresholds(studies, trials)
    assert line.endswith("set for different rates of false alarms (5 %, 20 %)")
    assert mismatches.thresholds(studies, trials[trials["study"] == "s"]) == []


@pytest.mark.parametrize("name", ["reconstruction", "class", "model"])
def test_parts_say_which_one_carries_the_signal(tmp_path, name):
    *_, finals, scores, _ = load(make_study(tmp_path / "s", **ONE_RUN))
    frame = scores["s", "final-0-0-1"].rename(columns={"part_reconstruction": f"part_{name}"})
    row = parts.parts_table(finals, {("s", "final-0-0-1"): frame}).frame.iloc[0]
    assert row["class"] == "bird"
    strong = metrics.auroc(frame["labels"], frame[f"part_{name}"])
    assert row[f"{name} alone"] == strong > row["latent alone"]
    assert row["strongest part"] == name
    assert row[f"{name}, share"] + row["latent, share"] == pytest.approx(1)
    assert row[f"{name}, share"] > 0.95  # a weight of 1, the other's is 0.1


def test_metrics_and_comparison_tables(tmp_path):
    *_, finals, _, aurocs = load(make_study(tmp_path / "s", classes="abcdef"))
    table = tables.metrics_table(finals)
    known = ["class", "model", "AP", "best F1"]
    assert table.frame.columns.tolist() == known, "what no run has is left out"
    assert table.frame["AP"].unique().tolist() == ["0.500 ± 0.000"]
    why = fair.dependence(aurocs)
    both = compare(fair.shared(aurocs)), fair.class_means(aurocs)
    ranks, pairs = tables.comparison_tables(*both, why)
    assert fair.dependence(aurocs.assign(task="category")) == ""
    assert ranks.frame["model"].tolist() == ["pca", "w_skipganomaly"]
    assert pairs.frame["verdict"].tolist() == ["differ"]
    assert pairs.frame["p"].item() == pytest.approx(0.03125)  # the least that six classes can give
    assert "but classes share most of their training images: p is too small" in pairs.note


def test_final_runs_of_the_default_beside_the_winner_are_in_no_figure(tmp_path):
    folder = make_study(tmp_path / "s", models=("pca",))
    whole = load(folder)[-1]
    _, _, _, finals, _, aurocs = load(with_default_beside(folder, "pca", seed=1))
    assert set(finals["seed"]) == {2, 3}
    assert aurocs["seeds"].tolist() == [2, 2]
    assert (aurocs["auroc"] != whole["auroc"]).all()


def test_a_mean_that_one_class_carries_has_a_verdict_of_its_own(tmp_path):
    compared = compare(pd.DataFrame({"a": [0.99, *[0.48] * 14], "b": [0.2, *[0.5] * 14]}))
    means = pd.DataFrame({"low": 0.0, "high": 1.0}, index=["a", "b"])
    _, pairs = tables.comparison_tables(compared, means)
    assert pairs.frame["verdict"].tolist() == ["differ, but most classes favour the lower mean"]


def test_warnings(tmp_path):
    folder = make_study(tmp_path / "s", models=("skipganomaly",), provenance={"dirty": True})
    other = make_study(tmp_path / "t", models=("pca",), study={"limit_test": 100})

    def change(row):
        if row["trial"] == "tune-0-0-1":
            return row | {"status": "error", "error": "Traceback …\nloss_generator is nan"}
        if row["trial"] == "final-0-0-2":
            row |= {"sha256_load": "abc"}
        return row | {"test_auroc": 0.25} if row["trial"].startswith("final-0-1") else row

    edit(folder, change)
    (folder / "scores" / "final-0-0-2" / "histogram.csv").write_text("scores,labels\n1,0\n")
    studies, trials, _, finals, _, aurocs = load(folder, other)
    lines = "\n".join(caution_lines(studies, trials, aurocs))
    assert "is under 0.5" not in lines, "these scores are not of the row, and give no interval"
    aurocs.loc[aurocs["auroc"] < 0.5, "high"] = 0.4
    lines = "\n".join(caution_lines(studies, trials, aurocs))
    assert "s: made from a tree with uncommitted changes (on commit abc)" in lines
    failed = "s: 1 of 12 trials failed: loss_generator is nan"
    assert f"{failed} (skipganomaly, bird, trial tune-0-0-1)" in lines
    assert "skipganomaly, cat: AUROC 0.250 is under 0.5" in lines
    assert "s: 1 final run(s) began with the weights of a model trained before (--load)" in lines
    assert "the studies of cifar10 are not of the same images (limit_test differ)" in lines
    unread = [*itertools.chain(*frames.read_scores(studies, finals)[1].values())]
    assert "the scores of trial final-0-0-2 cannot be used (both classes are needed" in unread[0]
    other = r"s: trial final-0-1-1: its scores give AUROC 0\.[5-9]\d*, its row 0\.2500"
    assert re.fullmatch(other, unread[1])
    assert len(unread) == 4


def test_an_unfinished_study_says_what_is_missing(tmp_path):
    asked = {"model": ["w_skipganomaly", "pca", "models/knn.py"], "seeds": 9}
    studies, trials, *_ = load(make_study(tmp_path / "s", study=asked))
    (line,) = cautions.partly_done(studies, trials)
    assert line == "s: no final run of knn, fewer than 9 seed(s) in 4 of 4 results"
    assert not cautions.partly_done(*load(make_study(tmp_path / "t", study={"seeds": 3}))[:2])


def test_tuned_models_beside_others_are_named(tmp_path):
    study = make_study(tmp_path / "s")
    assert not mismatches.some_tuned(load(study)[1])
    for most in (1, 0):  # the default alone, then nothing
        of_pca = {("pca", "tuning", number) for number in range(most, 3)}
        edit(
            study, lambda r, out=of_pca: None if (r["model"], r["kind"], r["number"]) in out else r
        )
        (line,) = mismatches.some_tuned(load(study)[1])
        assert line == "cifar10, leave-one-class-out: tuned: w_skipganomaly; not tuned: pca"


def test_a_row_that_joins_studies_which_differ_is_named(tmp_path):
    studies = [
        make_study(tmp_path / name, models=("pca",), classes=(cls,))
        for name, cls in (("a", "bird"), ("b", "cat"))
    ]
    for number, study in enumerate(studies):
        edit(study, lambda row, nz=number: row | {"config_nz": nz})
    assert not mismatches.unlike_studies_joined(load(*studies)[1]), "a search chose it"
    for number, study in enumerate(studies):
        changes = {"number": 0, "select_on": ["val_loss", "last_epoch"][number]}
        changes |= {"config_nz": number, "sha256_model": str(number)}
        edit(study, lambda row, new=changes: row | new)
    (line,) = mismatches.unlike_studies_joined(load(*studies)[1])
    assert line == "pca: a and b differ in select_on, the model's file, nz"


def test_one_reason_of_failures_is_one_whatever_processes_it_ended(tmp_path):
    def failed(row: dict) -> dict:
        pid = f"\x1b[36m(pid={row['seed']}, repr=<at 0x{row['seed']}>)\x1b[39m {'x' * 300}"
        return row | {"status": "error", "error": f"ActorDiedError: {pid} no memory"}

    trials = load(edit(make_study(tmp_path / "s"), failed))[1]
    (line,) = cautions.failures(trials)
    assert f"{len(trials)} of {len(trials)} trials failed" in line
    assert "no memory (" in line
    assert "\x1b" not in line


def test_warnings_of_a_kind_are_one_line_with_a_count():
    several = [f"{name}: bad" for name in "abc"]
    lines = cautions.gathered({"results are bad": several, "x": ["alone\nhere"], "y": []})
    assert lines == {
        "3 results are bad, such as a: bad": ["a: bad", "b: bad", "c: bad"],
        "alone here": [],
    }


@pytest.mark.parametrize(("column", "first"), [("fingerprint", "f"), ("commit", "abc")])
def test_rows_of_different_images_or_code_are_named(tmp_path, column, first):
    folder = edit(make_study(tmp_path / "s"), lambda row: row | {column: first})
    studies, trials, *_, aurocs = load(folder)
    assert column not in "\n".join(caution_lines(studies, trials, aurocs))
    edit(folder, lambda row: row | ({column: "other"} if row["trial"] == "final-0-1-2" else {}))
    studies, trials, *_, aurocs = load(folder)
    (line,) = (line for line in caution_lines(studies, trials, aurocs) if column in line)
    assert line.startswith("s: not all of its rows are of the same")
    assert f"({column}s {', '.join(sorted([first, 'other']))})" in line


def test_settings_name_every_value_that_rows_have(tmp_path):
    def change(row):
        sizes = {"w_skipganomaly": 64, "pca": None}
        return row | {"config_batch_size": sizes[row["model"]], "select_on": f"by {row['class']}"}

    studies, trials, *_ = load(edit(make_study(tmp_path / "s"), change))
    settings = tables.settings_table(studies, trials).frame.set_index("choice")["s"]
    assert settings["chosen by"] == "by bird, by cat"
    assert settings["final runs"] == "3 seed(s), 3 epoch(s), batches of 64"


@pytest.mark.parametrize(
    ("text", "escaped"), [("a_b", "a_b"), ("_good_", r"\_good\_"), ("__x", r"\_\_x")]
)
def test_an_underscore_at_a_word_s_edge_begins_no_italics(text: str, escaped: str):
    assert writers.markdown_escape(text) == escaped


def test_texts_are_escaped():
    frame = pd.DataFrame(
        {"class": ["<b>x", "a_b|c", r"50% \ {x}", "[-1e-5]\nz"], "model": [0.5, np.nan, None, 3]}
    )
    table = Table("t", "A & B", frame, "p < 0.05")
    rows = table.markdown().splitlines()
    assert [row.replace(" ", "") for row in rows[4:8]] == [
        r"|\<b\>x|0.500|", r"|a_b\|c|–|", r"|50%\\{x}|–|", r"|\[-1e-5\]z|3.000|"
    ]  # fmt: skip
    assert all(row.replace(r"\|", "").count("|") == 3 for row in rows[2:8])
    tex = table.latex()
    cells = [r"\textless{}b\textgreater{}x", r"a\_b\textbar{}c", r"50\% \textbackslash{} \{x\}"]
    assert all(text in tex for text in [*cells, "{[}$-$1e-5] z", r"A \& B"])
    assert "<" not in tex
    assert r"\label{tab:my-study-t}" in replace(table, study="my study").latex()


def test_file_names_are_safe_and_different():
    safe = ["a_b", "a_b_2", "A_b_3", "0.normal", "é"]
    assert file_names(["a/b", "a|b", "A b", "0.normal", "é"]) == safe


def test_a_study_without_scores_says_so_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    study, other = (make_study(tmp_path / name, seeds=(1, 2)) for name in "st")
    *_, aurocs = load(study, other)
    shutil.rmtree(study / "scores")
    assert report.main([str(study), str(other), "--out", str(tmp_path / "out")]) == 0
    assert r"\label{tab:s-auroc}" in (tmp_path / "out" / "auroc.tex").read_text()
    lines = [line for line in capsys.readouterr().out.splitlines() if "scores" in line]
    assert [line for line in lines if line.startswith("warning")] == [
        "warning: s: its scores were not kept: its figures are those of its rows, "
        "without curves, histograms and intervals over seeds"
    ]
    table = pd.read_csv(tmp_path / "out" / "auroc.csv").query("source == 'measured'")
    assert table["auroc"].tolist() == pytest.approx(aurocs["auroc"].tolist())
    assert table.groupby("study")["low"].count().to_dict() == {"s": 0, "t": 4}


def test_the_interval_of_one_seed_is_in_its_row(tmp_path):
    study = make_study(tmp_path / "s", seeds=(1,))
    edit(study, lambda row: row | {"test_auroc_low": 0.125, "test_auroc_high": 0.875})
    shutil.rmtree(study / "scores")
    *_, aurocs = load(study)
    assert set(zip(aurocs["low"], aurocs["high"], strict=True)) == {(0.125, 0.875)}


def test_a_study_that_does_not_say_what_won_is_not_guessed(tmp_path):
    def with_a_default(row: dict) -> dict:
        return row | {"number": 0} if row["kind"] == "final" and row["seed"] == 1 else row

    folder = edit(make_study(tmp_path / "s"), with_a_default)
    with pytest.raises(UserError, match=r"winners.jsonl is missing, or does not say"):
        report.main([str(folder)])
