"""The report on choosing: whether tuning helped, or luck, and what each signal would choose."""

import json

import pandas as pd
import pytest
from studies import edit, load, make_study, new_study, write_rows

from bench import results
from bench.commands.tune import summary
from bench.reporting import choosing, frames, hyperparameters, searches
from bench.reporting.cautions import growing
from bench.reporting.report import report


def test_every_signal_chooses_its_epoch(tmp_path):
    _, _, epochs, finals, *_ = load(make_study(tmp_path / "s"))
    aurocs = finals.groupby(["row", "column"], sort=False)["test_auroc"].mean().to_numpy()
    # Test AUROC and validation AUROC rise by 0.01 and 0.05 an epoch; the middle one was chosen.
    epochs["val_loss"] = epochs["epoch"].map({1: 0.2, 2: 0.3, 3: 0.3})
    frame = choosing.signals_table(finals, epochs).frame
    mean = frame["class"].str.startswith("mean of ")
    of_classes = frame[~mean]
    assert of_classes["validation AUROC"].to_numpy() == pytest.approx(aurocs + 0.01)
    assert of_classes["validation loss"].to_numpy() == pytest.approx(aurocs - 0.01)
    assert of_classes["last epoch"].to_numpy() == pytest.approx(aurocs + 0.01)
    assert of_classes[choosing.ORACLE].to_numpy() == pytest.approx(aurocs + 0.01)
    assert "AUROC against pseudo-anomalies" not in frame, "no epoch has it"
    means = frame[mean].set_index("model")["validation loss"]
    expected = of_classes.groupby("model")["validation loss"].mean()
    assert means.to_dict() == pytest.approx(expected.to_dict())
    assert choosing.signals_table(finals, epochs.drop(columns="test_auroc")) is None


@pytest.mark.parametrize("signal", ["val_auroc", "val_pseudo_auroc"])
def test_no_signal_profits_from_weights_that_another_one_chose(signal):
    epochs = {"epoch": [1, 2, 3], "val_auroc": [0.6, 0.9, 0.7], "val_loss": [3.0, 2.0, 1.0]}
    epochs |= {"val_pseudo_auroc": [0.9, 0.8, 0.7], "test_auroc": [0.7, 0.8, 0.6]}
    epochs |= {"test_default_mix_auroc": [0.5, 0.55, 0.95]}
    run = pd.DataFrame(epochs | {"signal": signal})[::-1]  # in whatever order rows are
    areas = dict(choosing.auroc_by_signal(run))
    by_pseudo = signal == "val_pseudo_auroc"
    assert areas == {
        "validation AUROC": 0.55 if by_pseudo else 0.8,
        "validation loss": 0.95,
        "AUROC against pseudo-anomalies": 0.7 if by_pseudo else 0.5,
        "last epoch": 0.95,
        choosing.ORACLE: 0.95,
    }
    chosen_weights_are_better = run.assign(test_auroc=run["test_auroc"] + 0.19)
    assert dict(choosing.auroc_by_signal(chosen_weights_are_better))[choosing.ORACLE] == 0.99


def test_the_mean_of_a_signal_is_over_all_classes_or_none(tmp_path):
    """One epoch of `cat` lacks the loss; one final run lacks its epochs' test AUROC."""
    *_, epochs, finals, _, _ = load(make_study(tmp_path / "s"))
    epochs["val_loss"] = 0.1
    epochs.loc[(epochs["row"] == "cat") & (epochs["epoch"] == 2), "val_loss"] = None
    epochs.loc[epochs["trial"] == finals["trial"].iloc[0], "test_auroc"] = None
    table = choosing.signals_table(finals, epochs)
    known = table.frame.set_index("class")["validation loss"].groupby("class").count()
    assert known.to_dict() == {"bird": 2, "cat": 0, "mean of 2": 0}
    assert table.frame["validation AUROC"].notna().all()
    assert table.note.endswith("Of 11 of 12 final runs: the other rows lack epochs' test AUROC.")


def searched(folder, gains: dict[str, float]):
    """A study with finalists: the default, and configuration 2, which is better by class's gain."""
    rows, classes = [], list(gains)
    base = {"model": "gan", "status": "done", "epochs": 3, "family": "GAN", "dataset": "cifar10"}
    base |= {"task": "one-class", "protocol": "sound", "select_on": "val_auroc"}
    for cls, gain in gains.items():
        here = base | {"class": cls}
        for number, objective in enumerate((0.6, 0.9, 0.8)):
            run = {"kind": "tuning", "number": number, "seed": 0, "objective": objective}
            rows.append(here | run | {"trial": f"{cls}-{number}"})
        for number, objective in ((0, 0.6), (1, 0.5), (2, 0.7)):
            for seed in (1001, 1002):
                run = {"kind": "finalist", "number": number, "seed": seed, "objective": objective}
                rows.append(here | run | {"trial": f"{cls}-{number}-{seed}"})
        for seed in (1, 2, 3):
            for number, area in ((0, 0.6), (2, 0.6 + gain)):
                run = {"kind": "final", "number": number, "seed": seed, "objective": 0.7}
                run |= {"test_auroc": area + 0.01 * seed}
                rows.append(here | run | {"trial": f"{cls}-{number}-{seed}"})
    new_study(folder, model=["gan"], dataset="cifar10")
    write_rows(folder / "trials.jsonl", rows)
    winner = {"trial": "t", "model": "gan", "number": 2, "steps": None}
    write_rows(folder / "winners.jsonl", [winner | {"class": cls} for cls in classes])
    return frames.join({"s": results.read(folder)})[0]


def test_did_tuning_help_is_answered_on_seeds_that_chose_nothing(tmp_path):
    trials = searched(tmp_path / "s", {f"c{k}": 0.05 + 0.01 * k for k in range(8)})
    table = choosing.tuning_gain_table(trials)
    assert table.frame["gain"].tolist() == pytest.approx([0.05 + 0.01 * k for k in range(8)])
    assert table.frame["seeds"].tolist() == [3] * 8
    assert table.frame[["low", "high"]].isna().all(axis=None), "the same gain under each seed"
    assert "gan: +0.085, mean of 8 class(es), default replaced in 8" in table.note
    assert "Wilcoxon p = 0.0078: yes." in table.note
    assert table.note.endswith("but classes share test images: p is too small.")
    assert "without correction" not in table.note
    other = trials.assign(model="other", search="other")
    note = choosing.tuning_gain_table(pd.concat([trials, other])).note
    assert "Each p is of one model, without correction for several." in note
    assert " Fresh seeds chose the winner among the best" in searches.tuning_table(trials).note
    of_six = choosing.tuning_gain_table(trials[~trials["class"].isin(["c6", "c7"])])
    assert "Wilcoxon p = 0.031: a hint that it did." in of_six.note
    assert "seeds (these chose nothing)" in table.note
    by_test = trials["signal"].mask(trials["class"] == "c0", "test_auroc")
    note = choosing.tuning_gain_table(trials.assign(signal=by_test)).note
    assert "(in 1 of 8 searches the test images chose epochs and winner, which" in note
    luckier = (trials["role"] == "winner") & (trials["seed"] == 1)
    trials.loc[luckier, "test_auroc"] += 0.03
    frame = choosing.tuning_gain_table(trials).frame
    assert ((frame["low"] < frame["gain"]) & (frame["gain"] < frame["high"])).all()
    failed = (trials["role"] == "winner") & (trials["seed"] == 3)
    trials.loc[failed, "test_auroc"] = None
    row = choosing.tuning_gain_table(trials).frame.iloc[0]
    expected = [2, 0.615, 0.68, 0.065]
    assert row[["seeds", "default", "winner", "gain"]].tolist() == pytest.approx(expected)


def test_where_the_default_won_tuning_did_not_help_and_without_a_search_none_asks(tmp_path):
    trials = searched(tmp_path / "s", {"a": 0.1, "b": 0.1})
    trials = trials[(trials["kind"] != "final") | (trials["number"] == 0)].assign(role="winner")
    note = choosing.tuning_gain_table(trials).note
    assert "mean of 2 class(es), default replaced in 0: no, the default won everywhere." in note
    assert choosing.tuning_gain_table(trials[trials["kind"] != "finalist"]) is None


def test_a_search_over_labels_is_one_search(tmp_path):
    trials = searched(tmp_path / "s", {f"c{k}": 0.05 + 0.01 * k for k in range(6)})
    labelled = trials["number"] == 2
    trials["family"] = trials["family"].mask(labelled, "labelled")
    trials.loc[trials["class"].eq("c0") & trials["number"].eq(1), "family"] = None  # failed runs
    trials = frames.placed(trials.sample(frac=1, random_state=0))
    assert set(trials["column"]) >= {"gan (GAN)", "gan (labelled)"}
    table = choosing.tuning_gain_table(trials)
    assert set(table.frame["model"]) == {"gan (GAN or labelled)"}
    assert "Wilcoxon p = 0.031: a hint" in table.note
    assert set(choosing.luck_table(trials).frame["model"]) == {"gan (GAN or labelled)"}
    trials["config_w_class"] = 3.0 * labelled
    more = [trials.assign(config_lr=0.001 * k) for k in range(1, 6)]
    ((model, varied, _),) = hyperparameters.searched(pd.concat(more, ignore_index=True))
    assert (model, set(varied)) == ("gan (GAN or labelled)", {"w_class", "lr"})


def test_an_honest_no_is_shown(tmp_path):
    losses = {f"c{k}": -0.05 - 0.01 * k for k in range(8)}
    trials = searched(tmp_path / "s", losses)
    assert "no, it harmed" in choosing.tuning_gain_table(trials).note
    of_six = choosing.tuning_gain_table(trials[~trials["class"].isin(["c6", "c7"])])
    assert "a hint that it harmed" in of_six.note
    few = choosing.tuning_gain_table(searched(tmp_path / "few", {"a": 0.1}))
    assert "too few classes to test" in few.note
    gains = {f"c{k}": 0.05 * (k < 5) for k in range(8)}  # five that differ allow no p below 0.06
    assert (
        "too few classes to test"
        in choosing.tuning_gain_table(searched(tmp_path / "t", gains)).note
    )
    assert choosing.tuning_gain_table(load(make_study(tmp_path / "old"))[1]) is None, "no finalists"


def test_the_luck_of_one_seed(tmp_path):
    """Configuration 1 is best in the search, and worst under fresh seeds."""
    table = choosing.luck_table(searched(tmp_path / "s", {"a": 0.1, "b": 0.1}))
    row = table.frame.iloc[0]
    assert (row["in the search"], row["again"], row["finalists' winner"]) == (0.9, 0.5, 0.7)
    assert row["gain"] == pytest.approx(0.2)
    assert row["another won"] == "yes"
    assert "gan (by validation AUROC) -0.400, another won in 2 of 2 search(es)" in table.note


@pytest.mark.parametrize(
    ("objectives", "judged"),
    [
        # Without seed 1001 number 2 is ahead, without 1002 number 1, without 1003 number 2 again;
        # over all seeds the default is.
        ({1: (0.9, 0.1, 0.2), 2: (0.2, 0.9, 0.2)}, (0.2 + 0.1 + 0.2) / 3),
        # Number 2 failed under a seed.
        ({1: (0.9, 0.1, 0.2), 2: (0.95, None, 0.95)}, (0.45 + 0.1 + 0.2) / 3),
    ],
)
def test_no_seed_judges_the_finalist_that_it_chose(tmp_path, objectives, judged):
    trials = searched(tmp_path / "s", {"a": 0.1})
    row = trials[trials["kind"] == "finalist"].iloc[0].to_dict()
    finalists = [
        row | {"number": number, "seed": 1001 + k, "objective": value}
        for number, values in ({0: (0.45, 0.45, 0.45)} | objectives).items()
        for k, value in enumerate(values)
    ]
    trials = pd.concat([trials[trials["kind"] == "tuning"], pd.DataFrame(finalists)])
    values = ["in the search", "again", "finalists' winner", "gain"]
    found = choosing.luck_table(trials).frame[values].iloc[0].tolist()
    assert found == pytest.approx([0.9, 0.4, judged, judged - 0.4])
    by_loss = choosing.luck_table(trials.assign(signal="val_loss"))  # the objective is negated
    assert by_loss.frame[values].iloc[0].tolist() == [*(-x for x in found[:3]), found[3]]
    assert "(by validation loss) +0.500, another won in 1 of 1" in by_loss.note


def test_luck_is_of_the_configuration_that_the_search_would_have_chosen(tmp_path):
    def tie(row: dict) -> dict:
        tuned = row["kind"] == "tuning" and row["number"] == 2
        return row | ({"objective": 0.9} if tuned else {})

    searched(tmp_path / "s", {"a": 0.1, "b": 0.1})
    rows = (edit(tmp_path / "s", tie) / "trials.jsonl").read_text().splitlines()
    for order in (rows, rows[::-1]):
        (tmp_path / "s" / "trials.jsonl").write_text("\n".join(order) + "\n")
        trials = frames.join({"s": results.read(tmp_path / "s")})[0]
        assert set(choosing.luck_table(trials).frame["again"]) == {0.5}, "the lower number's"
    best = (trials["kind"] == "finalist") & (trials["number"] == 1) & (trials["class"] == "a")
    table = choosing.luck_table(trials[~best])
    assert table.frame["class"].tolist() == ["b"]
    assert "Without 1 search(es) whose best failed" in table.note


def test_superseded_runs_are_not_reported(tmp_path):
    folder = tmp_path / "s"
    searched(folder, {"a": 0.1})
    decision = {"trial": "t", "model": "gan", "class": "a", "number": 1, "steps": None}
    with (folder / "winners.jsonl").open("a") as file:
        file.write(json.dumps(decision) + "\n")
    trials = frames.join({"s": results.read(folder)})[0]
    assert set(trials.loc[trials["kind"] == "final", "number"]) == {0}
    assert results.read(folder).trials["role"].value_counts()["superseded"] == 3


def test_finalists_count_once_their_search_is_decided_and_only_those_that_decided_it(tmp_path):
    folder = tmp_path / "s"
    searched(folder, {"a": 0.1})
    decision = {"trial": "t", "model": "gan", "class": "a", "number": 2, "steps": None}
    decision["objectives"] = {"0": 0.6, "2": 0.7}
    write_rows(folder / "winners.jsonl", [decision])
    runs = results.read(folder).trials
    assert set(runs.loc[runs["role"] == "superseded", "trial"]) == {"a-1-1001", "a-1-1002"}
    rows = [json.loads(line) for line in (folder / "trials.jsonl").read_text().splitlines()]
    write_rows(folder / "trials.jsonl", [row for row in rows if row["kind"] != "final"])
    (folder / "winners.jsonl").unlink()
    trials = frames.join({"s": results.read(folder)})[0]
    assert set(trials["kind"]) == {"tuning"}
    assert choosing.luck_table(trials) is None
    note = searches.tuning_table(trials).note
    assert "1 search(es) have no final run yet" in note
    assert "fresh seeds chose" not in note.lower()


def test_runs_of_a_larger_budget_wait_for_its_winner(tmp_path, capsys):
    """Their failures are named, and their figures are in no table with those of fewer steps."""
    folder = tmp_path / "s"
    searched(folder, {"a": 0.1})
    row = json.loads((folder / "trials.jsonl").read_text().splitlines()[0])
    failed = {"trial": "a-0-9steps", "status": "error", "error": "no memory", "steps": 9}
    with (folder / "trials.jsonl").open("a") as file:
        file.write(json.dumps(row | failed) + "\n")
    assert results.read(folder).trials["role"].value_counts()["pending"] == 1
    assert "a-0-9steps" not in set(frames.join({"s": results.read(folder)})[0]["trial"])
    assert "1 run(s) with more steps" in growing({"s": results.read(folder)})[0]
    assert summary(folder, None, 6, 1).status == 1
    assert "failed: a-0-9steps: no memory" in capsys.readouterr().err


@pytest.mark.parametrize("tune_for", ["class", "mean"])
def test_luck_is_a_matter_of_searches_of_one_class(tmp_path, tune_for):
    searched(tmp_path / "s", {"0": 0.1, "1": 0.0})
    content = json.loads((tmp_path / "s" / "study.json").read_text())
    content["study"]["tune_for"] = tune_for
    (tmp_path / "s" / "study.json").write_text(json.dumps(content))
    report({"s": results.read(tmp_path / "s")}, tmp_path / "out")
    assert (tmp_path / "out" / "luck.md").exists() == (tune_for == "class")
    assert (tmp_path / "out" / "tuning_gain.md").exists()
