"""The report's main table: models by classes, the best first, with what stands behind each cell."""

import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from studies import ONE_RUN, auroc_table, caution_lines, edit, load, make_study

import report
from bench.judging.intervals import mean_interval
from bench.reporting import cautions, fair, headline, mismatches


def test_models_are_rows_the_best_first_with_published_figures_apart(tmp_path):
    models = ("skipganomaly", "w_skipganomaly", "pca")  # the last one's scores are the best
    *_, finals, _, aurocs = load(make_study(tmp_path / "s", models=models))
    table = auroc_table(aurocs)
    names = ["w_skipganomaly", "skipganomaly", "pca", "w_skipganomaly", "w_skipganomaly_noskip"]
    assert table.frame["model"].tolist() == names
    assert table.groups == ["GANs"] * 2 + ["baselines"] + ["published figures"] * 2
    assert table.frame.columns.tolist() == ["model", "bird", "cat", "mean"]
    pca, known = table.frame.iloc[2], table.frame.iloc[3]
    runs = finals.query("model == 'pca'")
    by_class = runs.groupby("class")["test_auroc"].mean()
    assert pca[["bird", "cat"]].tolist() == [f"{area:.3f}" for area in by_class]
    assert pca["mean"] == f"{by_class.mean():.3f}"
    assert known[["bird", "cat", "mean"]].tolist() == ["0.660", "0.709", "0.684"]
    small = table.details.iloc[2]
    spread = runs.query("`class` == 'bird'")["test_auroc"].std()
    assert re.fullmatch(rf"± {spread:.3f}\n\[0\.\d+, 0\.\d+\]", small["bird"])
    row = aurocs.query("model == 'pca' and `class` == 'bird'").iloc[0]
    assert row["low"] < row["auroc"] < row["high"]
    assert row["seeds"] == 3
    of_mean = fair.class_means(aurocs).loc["pca", ["mean", "low", "high"]]
    assert of_mean.tolist() == pytest.approx(np.clip(mean_interval(by_class), 0, 1))


PARTS = ({"selection": "test"}, {"scoring_mode": "training"}, {"test_pool": "with_training"})


@pytest.mark.parametrize("parts", [None, *PARTS], ids=str)
def test_results_of_the_published_protocol_or_a_part_of_it_are_no_rivals(tmp_path, parts):
    def protocol(trial):
        if trial["model"] != "pca":
            return trial | {"protocol": "sound"}
        if parts is None:
            return trial | {"protocol": "published"}
        return trial | {"protocol": "sound"} | {f"protocol_{k}": v for k, v in parts.items()}

    aurocs = load(edit(make_study(tmp_path / "s", classes="abcdefgh"), protocol))[-1]
    assert set(fair.rivals(aurocs)["model"]) == {"w_skipganomaly"}
    table = auroc_table(aurocs)
    assert table.groups == ["GANs", headline.BY_PUBLISHED]
    assert "The baseline" not in table.note
    (line,) = cautions.unsound(aurocs)
    assert re.match(r"8 result\(s\) were measured by the protocol '(published|sound but .*)'", line)
    alone = aurocs.assign(protocol="published")
    assert fair.rivals(alone).equals(alone)
    other = alone.assign(protocol=alone["protocol"].where(alone["class"] > "b", "sound but less"))
    assert set(fair.rivals(other)["protocol"]) == {"published"}, "no protocol is another's rival"


@pytest.mark.parametrize("family", ["labelled", "pretrained"])
def test_models_that_know_more_than_normal_images_are_in_the_table_but_no_rivals(tmp_path, family):
    aurocs = load(make_study(tmp_path / "s", classes="abcdefgh"))[-1]
    seen = aurocs["model"] == "pca"
    aurocs = aurocs.assign(family=aurocs["family"].mask(seen, family))
    assert set(fair.rivals(aurocs)["model"]) == {"w_skipganomaly"}
    table = auroc_table(aurocs)
    assert table.groups == ["GANs", headline.FAMILIES[family]]
    assert "Models that know more than normal images" in table.note
    assert fair.rivals(aurocs[seen]).equals(aurocs[seen])


def test_data_sets_and_tasks_that_share_no_models_have_tables_of_their_own(tmp_path):
    def data(trial):
        return trial | {"dataset": "digits" if trial["class"] in "ab" else "cifar10"}

    def apart(trial):
        return trial if (trial["model"] == "pca") == (trial["dataset"] == "digits") else None

    folder = edit(make_study(tmp_path / "s", classes="abcd"), data)
    assert list(fair.comparable(load(folder)[-1])) == [""]
    parts = fair.comparable(load(edit(folder, apart))[-1])
    cells = {title: (set(part["row"]), set(part["column"])) for title, part in parts.items()}
    assert cells == {
        "digits, leave-one-class-out": ({"a", "b"}, {"pca"}),
        "cifar10, leave-one-class-out": ({"c", "d"}, {"w_skipganomaly"}),
    }


def test_best_is_marked_only_where_the_test_supports_it(tmp_path):
    folders = (make_study(tmp_path / classes, classes=classes) for classes in ("abcde", "abcdefgh"))
    without, marked = (auroc_table(load(folder)[-1]) for folder in folders)
    assert "5 shared class(es) are too few to test (6 are needed)" in without.note
    assert not without.frame["mean"].str.contains("*", regex=False).any()
    assert marked.frame.set_index("model").loc["pca", "mean"].endswith(" *")
    assert "* above every other model" in marked.note


def test_a_baseline_above_every_gan_is_noted(tmp_path):
    models = ("w_skipganomaly", "skipganomaly", "pca")
    *_, aurocs = load(make_study(tmp_path / "s", models=models))
    assert "The baseline pca (0.9" in (note := auroc_table(aurocs).note)
    assert "the best of them is skipganomaly" in note
    *_, aurocs = load(make_study(tmp_path / "t", models=("pca", "skipganomaly")))
    assert "above every GAN" not in auroc_table(aurocs).note


def test_mean_is_over_the_classes_that_all_models_have(tmp_path):
    folder = make_study(tmp_path / "s", classes=("bird", "cat", "dog"))
    edit(folder, lambda row: None if (row["model"], row["class"]) == ("pca", "dog") else row)
    *_, finals, _, aurocs = load(folder)
    table = auroc_table(aurocs)
    expected = finals.query("model == 'w_skipganomaly' and `class` != 'dog'")["test_auroc"].mean()
    assert table.frame.iloc[0]["mean of 2"] == f"{expected:.3f}"
    assert "over the 2 classes that all models share" in table.note


def test_a_model_without_most_classes_costs_the_others_none(tmp_path):
    folder = make_study(tmp_path / "s", models=("a", "b", "c"), classes="0123")
    edit(folder, lambda row: None if (row["model"], row["class"] > "0") == ("c", True) else row)
    *_, aurocs = load(folder)
    assert fair.shared(aurocs).shape == (4, 2)
    table = auroc_table(aurocs)
    assert table.frame["model"].tolist() == ["b", "a", "c"]
    assert table.frame.iloc[2].tolist()[2:] == ["–"] * 4
    assert "Too few classes for a mean: c (1)." in table.note


def test_notes_on_every_model_are_on_those_with_a_mean_only(tmp_path):
    models, classes = ("low", "pca", "best"), "abcdefgh"
    folder = make_study(tmp_path / "s", models=models, classes=classes, seeds=(1,))
    edit(folder, lambda row: row if row["model"] != "best" or row["class"] < "c" else None)
    *_, aurocs = load(folder)
    note = auroc_table(aurocs).note
    assert "* above every other model of those compared" in note
    assert "is above every GAN that has a mean in the mean; the best of them is low" in note


@pytest.mark.parametrize("column", ["protocol", "family"])
def test_a_model_is_named_by_what_differs_between_data_sets(tmp_path, column):
    other = {"protocol": "published", "family": "labelled"}[column]

    def on_two_data_sets(row: dict) -> dict:
        if row["class"] < "c":
            return row | {"dataset": "digits", "protocol": "sound"}
        return row | {"protocol": "sound"} | ({column: other} if row["model"] == "m1" else {})

    folder = make_study(tmp_path / "s", models=("m1", "m2"), classes="abcd", seeds=(1,))
    *_, aurocs = load(edit(folder, on_two_data_sets))
    assert aurocs.groupby("column")[column].nunique().eq(1).all()


def test_models_that_different_signals_chose_are_warned_of(tmp_path):
    def change(row: dict) -> dict:
        return row | {"select_on": "last_epoch" if row["model"] == "pca" else "val_auroc"}

    studies, trials, *_, aurocs = load(edit(make_study(tmp_path / "s"), change))
    lines = caution_lines(studies, trials, aurocs)
    (line,) = (line for line in lines if "different signals chose" in line)
    assert "some see anomalies of the tested class (last epoch: pca; validation AUROC: w_" in line
    without = trials.assign(select_on=trials["select_on"].replace("val_auroc", "val_loss"))
    (line,) = mismatches.chosen_differently(without)
    assert "weights of parts (last epoch: pca; validation loss: w_skipganomaly)" in line
    for unlike in (trials.assign(epochs=1), trials.assign(signal="test_auroc")):
        assert not mismatches.chosen_differently(unlike)
    assert "For 2 of 4 results the validation AUROC" in auroc_table(aurocs).note
    assert "The validation AUROC" in auroc_table(aurocs.assign(select_on="val_auroc")).note
    assert "validation AUROC" not in auroc_table(aurocs.assign(select_on="val_loss")).note


def test_studies_of_different_images_are_named(tmp_path):
    choices = {"limit_test": 9, "limit_train": 99, "contamination": 0.1, "limit_anomalies": 5}
    choices |= {"untrained_classes": "normal"}
    folders = []
    for name, study in (("a", {}), ("b", choices)):  # a is of a version without these choices
        origin = {"dataset": {"name": "cifar10", "fingerprint": name}}
        folders.append(make_study(tmp_path / name, study=study, provenance=origin))
        pools = {"final": {"protocol_test_pool": name}}  # the other rows are older
        edit(folders[-1], lambda row, pools=pools: row | pools.get(row["kind"], {}))
    (line,) = mismatches.different_images(load(*folders)[0])
    assert line.endswith(f"(fingerprint, {', '.join(choices)}, test_pool differ)")


def test_results_of_fewer_seeds_or_none_are_warned_of(tmp_path):
    lacking = {f"final-1-{place}-{seed}" for place, seed in ((0, 3), (1, 1), (1, 2), (1, 3))}
    folder = edit(make_study(tmp_path / "s"), lambda r: None if r["trial"] in lacking else r)
    studies, trials, *_, aurocs = load(folder)
    lines = caution_lines(studies, trials, aurocs)
    assert "s: no final run yet in 1 of 4 searches" in lines
    assert "results rest on different numbers of seeds (see auroc.csv)" in lines


def test_models_that_share_no_class_have_no_mean(tmp_path):
    folder = make_study(tmp_path / "s", models=("a", "b"))
    edit(folder, lambda row: row if (row["model"] == "a") == (row["class"] == "cat") else None)
    *_, aurocs = load(folder)
    table = auroc_table(aurocs)
    assert table.frame.columns.tolist() == ["model", "bird", "cat"]
    assert "share no class" in table.note
    assert fair.class_means(aurocs).empty


def test_a_class_called_mean_is_not_overwritten(tmp_path):
    *_, aurocs = load(make_study(tmp_path / "s", classes=("mean", "cat")))
    assert auroc_table(aurocs).frame.columns.tolist() == ["model", "cat", "mean", "mean"]


def test_classes_stand_in_the_order_of_their_numbers(tmp_path):
    *_, finals, _, aurocs = load(make_study(tmp_path / "s", classes=("10", "9", "b2", "b10")))
    assert auroc_table(aurocs).frame.columns.tolist()[1:5] == ["9", "10", "b2", "b10"]
    assert finals["row"].unique().tolist() == ["9", "10", "b2", "b10"]


def test_the_interval_of_one_seed_is_noted_as_of_test_images_only(tmp_path):
    studies, trials, *_, aurocs = load(make_study(tmp_path / "s", **ONE_RUN))
    table = auroc_table(aurocs)
    assert "test images only" in table.note
    assert table.details["bird"].iloc[0].startswith("[0.")
    lines = caution_lines(studies, trials, aurocs)
    assert any("1 of 1 result(s) rest on a single seed" in line for line in lines)


def test_groups_and_details_are_in_the_files(tmp_path):
    *_, aurocs = load(make_study(tmp_path / "s", classes=("a_b", "cat")))
    table = auroc_table(aurocs)
    rows = [line.split("|")[1].strip() for line in table.markdown().splitlines() if "|" in line]
    assert rows[2:] == ["*GANs*", "w_skipganomaly", "*baselines*", "pca", *rows[6:]]
    latex = table.latex().splitlines()
    heads = [number for number, line in enumerate(latex) if r"\emph{" in line]
    assert r"\multicolumn{4}{l}{\emph{baselines}}" in latex[heads[1]]
    assert latex[heads[1] + 1].startswith(r"pca & \shortstack{0.")
    small = table.details.iloc[1]["cat"].splitlines()
    assert rf"\\\tiny $\pm${small[0][1:]}\\\tiny {{[}}{small[1][1:]}" in latex[heads[1] + 1]


@pytest.mark.parametrize("column", ["protocol", "limit_train", "contamination", "family"])
def test_no_mean_joins_results_of_different_conditions(tmp_path, column):
    """Also where they never meet in a cell, as they are of different classes."""
    values = {"protocol": ("sound", "published"), "family": ("GAN", "labelled")}
    one, other = values.get(column, (0.1, 0.2))
    folder = make_study(tmp_path / "s", models=("ganomaly",), classes=("bird", "cat"))
    edit(folder, lambda row: row | {column: one if row["class"] == "bird" else other})
    *_, aurocs = load(folder)
    assert aurocs["column"].nunique() == 2
    assert auroc_table(aurocs).frame.shape[0] >= 2


CELLS = st.lists(st.lists(st.booleans(), min_size=4, max_size=4), min_size=1, max_size=6)


@given(CELLS)
def test_the_shared_classes_are_the_most_that_several_models_have(cells: list[list[bool]]):
    table = pd.DataFrame(np.where(cells, 0.5, np.nan))
    part = fair.gapless(table)
    assert part.notna().all(axis=None)
    pairs = [table[[a, b]].dropna().size for a in table for b in table if a < b]
    assert part.size >= max(pairs)
    assert part.empty or part.shape[1] > 1


def test_classes_and_studies_may_be_called_like_columns(tmp_path):
    places = {"models": ("pca",), "classes": ("model", "mean"), "seeds": (1,)}
    folder = make_study(tmp_path / "choice", **places)
    assert report.main([str(folder)]) == 0
    assert "· chosen by: validation AUROC ·" in (folder / "report" / "index.html").read_text()
