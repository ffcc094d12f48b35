"""Each part's share of the anomaly score, and the warning of a score that is one part alone."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from studies import edit, load, make_study

import report
from bench.reporting import cautions
from bench.reporting.parts import dominated, parts_table, variance_shares

weights = st.floats(0.1, 10)


@given(st.lists(st.tuples(weights, weights), min_size=1, max_size=4), st.integers(0, 99))
def test_shares_of_the_variance(parts, seed):
    """A part's own variance over that of all, if they are independent; whatever the unit."""
    values = np.random.default_rng(seed).normal(size=(4000, len(parts)))
    values = np.linalg.qr(values - values.mean(axis=0))[0].astype(np.float32)  # uncorrelated
    weight, unit = np.array(parts, np.float32).T
    frame = pd.DataFrame({f"part_{i}": values[:, i] * unit[i] for i in range(len(parts))})
    frame["scores"] = 5 + (frame * weight).sum(axis=1)
    expected = (weight * unit) ** 2 / ((weight * unit) ** 2).sum()
    assert list(variance_shares(frame).values()) == pytest.approx(expected, abs=1e-3)


def test_shares_of_what_is_no_sum_of_parts():
    part = np.linspace(-1, 1, 50)
    assert variance_shares(pd.DataFrame({"scores": part})) == {}
    for scores in (part**2, part * 0):
        frame = pd.DataFrame({"scores": scores, "part_a": part, "part_b": part * 0})
        shares = variance_shares(frame)
        assert all(math.isnan(share) for share in shares.values())


def test_a_part_that_dominates_the_others_is_warned_of(tmp_path, capsys):
    """In one line for all runs.

    Not where the score is that part by definition, as GANomaly's latent distance.
    """
    models = ("skipganomaly", "ganomaly")
    folder = make_study(tmp_path / "s", models=models, classes=("bird",), seeds=(1, 2))
    for path in folder.glob("scores/*/histogram.csv"):
        frame = pd.read_csv(path)
        share = 0 if path.parent.name.startswith("final-1") else 0.01
        frame["scores"] = frame["part_latent"] + share * frame["part_reconstruction"]
        frame.to_csv(path, index=False)
    *_, finals, scores, _ = load(folder)
    (line,) = dominated(finals, scores)
    assert line == (
        "skipganomaly: in 2 of 2 final runs its latent part has more than 95 % of the score's "
        "variance, and the others hardly count"
    )
    table = parts_table(finals, scores).frame.set_index("model")
    shares = table.loc["ganomaly", ["latent, share", "reconstruction, share"]]
    assert shares.tolist() == pytest.approx([1, 0])
    assert table.loc["skipganomaly", "latent, share"] == pytest.approx(1, abs=0.01)
    assert report.main([str(folder)]) == 0
    assert line in capsys.readouterr().out
    assert dominated(finals.head(0), scores) == []
    # one outlier has all the variance, and changes no rank but its own
    for frame in scores.values():
        frame["part_reconstruction"] = np.append(np.zeros(89), 1e6)
        frame["scores"] = frame["part_latent"] + frame["part_reconstruction"]
    assert dominated(finals, scores) == []


def test_runs_whose_first_or_last_epoch_was_chosen_are_counted(tmp_path):
    epochs = {"final-0-0-1": 3, "final-0-0-2": 1, "final-0-0-3": 2}

    def change(row: dict) -> dict:
        if row["model"] == "pca":
            return row | {"generator_steps": 0, "epoch": 1}
        row |= {"generator_steps": 75, "fair_steps": 100}
        return row | {"epoch": epochs.get(row["trial"], 2)}

    trials = load(edit(make_study(tmp_path / "s", classes=("bird",)), change))[1]
    runs = "in 1 of 3 final runs of winners, of 75 generator steps, the chosen epoch is"
    assert cautions.edge_epochs(trials) == [
        f"{runs} the last one: longer training may do better",
        f"{runs} the first one: no later one was better by the signal that chooses",
    ]
    assert cautions.short_budgets(trials) == [
        "w_skipganomaly: 3 final run(s) had 75 generator steps, where 100 are fair: their figures "
        "are of a network that is not fully trained"
    ]
    perfect = trials.assign(objective=1.0)
    assert cautions.edge_epochs(perfect) == cautions.edge_epochs(trials)[1:], "of equals the last"
    by_last = cautions.edge_epochs(trials.assign(select_on="last_epoch"))
    assert by_last == cautions.edge_epochs(trials)[1:]
    assert cautions.edge_epochs(trials.assign(epochs=1, epoch=1)) == [], "there was no other"
    for change in ({"generator_steps": 100}, {"status": "error"}):
        assert cautions.short_budgets(trials.assign(**change)) == []
    older = load(make_study(tmp_path / "older", classes=("bird",)))[1]
    assert cautions.edge_epochs(older) == []
