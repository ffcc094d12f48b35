"""What choosing did: the search's winner against the default, finalists, and every signal."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from bench.judging.comparison import compare, fewest_classes
from bench.judging.intervals import mean_interval
from bench.judging.selection import SIGNALS, best_run, improves, objective, title_and_sign
from bench.reporting.differences import signed
from bench.reporting.fair import dependence, dependence_note
from bench.reporting.frames import KEY
from bench.reporting.writers import Table

ORACLE = "oracle (upper bound)"
# A significant p above this is only a hint: classes share training images, so p is too small.
A_HINT = 0.01


def tuning_gain_table(trials: pd.DataFrame) -> Table | None:
    """Did tuning help? The winner's test AUROC minus the default's, under the same fresh seeds."""
    finals = trials[(trials["kind"] == "final") & trials["test_auroc"].notna()]
    searched = {key for key, group in trials.groupby(KEY) if (group["kind"] == "finalist").any()}
    rows: list[dict[str, Any]] = []
    by_test = 0  # searches that the test images decided
    for key, group in finals.groupby(KEY, sort=False):
        winner, default = (
            group[part].set_index("seed")["test_auroc"]
            for part in (group["role"] == "winner", group["number"] == 0)
        )
        pairs = pd.DataFrame({"winner": winner, "default": default}).dropna()
        if key not in searched or pairs.empty:
            continue
        mean, low, high = mean_interval(pairs["winner"] - pairs["default"])
        number = group.loc[group["role"] == "winner", "number"].iloc[0]
        row = {"class": group["row"].iloc[0], "model": group["search"].iloc[0]}
        row |= {"configuration": "default" if number == 0 else str(number), "seeds": len(pairs)}
        row |= dict(pairs[["default", "winner"]].mean())
        rows.append(row | {"gain": mean, "low": low, "high": high})
        by_test += group["signal"].iloc[0] == "test_auroc"
    if not rows:
        return None
    frame = pd.DataFrame(rows)
    verdicts = [verdict(str(model), group) for model, group in frame.groupby("model", sort=False)]
    where = f"in {by_test} of {len(rows)} searches " if by_test < len(rows) else ""
    chose = f"{where}the test images chose epochs and winner, which flatters both"
    if not by_test:
        chose = "these chose nothing"
    note = (
        f"Test AUROC under the same fresh seeds ({chose}); gain: their paired difference with its "
        "95 % interval over seeds (Student's t; it does not cover chance in the test images, and "
        "is missing where seeds change nothing). " + " ".join(verdicts)
    )
    if "Wilcoxon" in note:
        several = " Each p is of one model, without correction for several."
        note += several * (len(verdicts) > 1) + dependence_note(dependence(finals))
    return Table("tuning_gain", "Did tuning help?", frame, note)


def verdict(model: str, rows: pd.DataFrame) -> str:
    """The answer over classes, in a sentence."""
    gain = rows["gain"].mean()
    changed = int((rows["configuration"] != "default").sum())
    text = f"{model}: {signed(gain)}, mean of {len(rows)} class(es), default replaced in {changed}"
    if not changed:
        return f"{text}: no, the default won everywhere."
    if (rows["gain"] != 0).sum() < fewest_classes():  # the test leaves out those without any
        return f"{text}; too few classes to test."
    pair = compare(rows.set_index("class")[["winner", "default"]]).pairs.iloc[0]
    p = pair["p"]
    helped = "no clear answer" if not pair["differ"] else "yes" if gain > 0 else "no, it harmed"
    if pair["differ"] and p > A_HINT:
        helped = f"a hint that it {'did' if gain > 0 else 'harmed'}"
    return f"{text}; Wilcoxon p = {p:.2g}: {helped}."


def luck_table(trials: pd.DataFrame) -> Table | None:
    """What finalists are worth: the winner by one seed and by several, both judged by fresh seeds.

    Each fresh seed in turn judges the winner that the other fresh seeds choose, so that no seed
    judges its own choice.
    """
    finalists = trials[(trials["kind"] == "finalist") & trials["objective"].notna()]
    tuning = trials[(trials["kind"] == "tuning") & trials["objective"].notna()]
    searches, rows, unjudged = dict(list(tuning.groupby(KEY))), [], 0
    for key, group in finalists.groupby(KEY, sort=False):
        by_seed = group.pivot_table(index="seed", columns="number", values="objective")
        by_seed = by_seed.dropna(axis=1)  # without those that failed under a seed
        search = searches.get(key, tuning[:0]).drop_duplicates("number")
        first: Any = best_run(search.to_dict("records"))
        search = search.set_index("number")["objective"]
        if len(by_seed) < 2 or first is None:
            continue
        if first not in by_seed:
            unjudged += 1
            continue
        judged = [own[by_seed.drop(index=seed).mean().idxmax()] for seed, own in by_seed.iterrows()]
        signal, sign = title_and_sign(group["signal"].iloc[0])
        again, winner = by_seed[first].mean(), float(np.mean(judged))
        rows.append(
            {
                "class": group["row"].iloc[0],
                "model": group["search"].iloc[0],
                "signal": signal,
                "seeds": len(by_seed),
                "in the search": sign * search[first],
                "again": sign * again,
                "finalists' winner": sign * winner,
                "another won": "no" if by_seed.mean().idxmax() == first else "yes",
                "gain": winner - again,
            }
        )
    if not rows:
        return None
    frame = pd.DataFrame(rows)
    note = (
        "Values of the signal that chose. 'In the search' and 'again': the search's best "
        "configuration, under the search's one seed and under fresh ones. 'Finalists' winner': "
        "chosen by all fresh seeds but one and judged by that one, each in turn; gain: its lead "
        "over 'again'."
    )
    means = [
        f"{model} (by {signal}) {signed((group['again'] - group['in the search']).mean())}, "
        f"another won in {(group['another won'] == 'yes').sum()} of {len(group)} search(es), gain "
        f"{signed(group['gain'].mean())}"
        for (signal, model), group in frame.groupby(["signal", "model"], sort=False)
    ]
    note += (
        " How much the best of one seed changed under fresh ones, and the gain, in the mean: "
        f"{'; '.join(means)}. A gain above 0 is better."
    )
    if unjudged:
        note += f" Without {unjudged} search(es) whose best failed under a fresh seed."
    return Table("luck", "Was the search won by luck?", frame, note)


def signals_table(finals: pd.DataFrame, epochs: pd.DataFrame) -> Table | None:
    """The test AUROC of the epoch that each signal would have chosen, mean over final runs."""
    if "test_auroc" not in epochs:
        return None
    places = finals[["study", "trial"]]
    known = places.merge(epochs).dropna(subset="test_auroc")
    rows = [
        {"class": run["row"].iloc[0], "model": run["column"].iloc[0]} | dict(auroc_by_signal(run))
        for _, run in known.groupby(["study", "trial"], sort=False)
    ]
    if not rows:
        return None
    frame = pd.DataFrame(rows)
    titles = [*(signal.title for signal in SIGNALS.values()), ORACLE]
    frame = frame[["class", "model", *(title for title in titles if title in frame)]]
    table = frame.groupby(["class", "model"], sort=False).mean().reset_index()
    classes = table.groupby("model")["class"].nunique()
    if (classes > 1).any():
        # NaN, a dash, unless all classes have the signal: means of other classes do not compare.
        by_model = table.drop(columns="class").groupby("model", sort=False)
        means = by_model.agg(lambda column: column.mean(skipna=False)).reset_index()
        means["class"] = "mean of " + means["model"].map(classes).astype(str)
        means = means[means["model"].map(classes) > 1]
        table = pd.concat([table, means], ignore_index=True)
    note = (
        "Test AUROC of the epoch that each signal would have chosen in the same final runs, mean "
        "over seeds. In the column of the study's own signal, a score's parts have the weights "
        "that this signal chose; in the others, the model's default weights. The validation AUROC "
        "sees anomalies of the tested class, the others need none; but in a study whose signal is "
        "the validation AUROC, the AUROC against pseudo-anomalies is of scores with the weights "
        "that the validation AUROC chose. The oracle takes the best epoch and the better weights "
        "on the test images: no result, but an upper bound for these choices."
    )
    if len(rows) < len(finals):
        note += (
            f" Of {len(rows)} of {len(finals)} final runs: the other rows lack epochs' test AUROC."
        )
    return Table("signals", "What would each signal have chosen?", table, note)


def auroc_by_signal(run: pd.DataFrame) -> Iterator[tuple[str, float]]:
    """By signal: the test AUROC of the epoch that it chooses in a run (frames.join's epochs).

    `test_auroc` has the weights of the score's parts that the study's signal chose, which no other
    signal may profit from.
    """
    run = run.sort_values("epoch")
    default = by_default_weights(run)
    records = run.assign(default=default).to_dict("records")
    for name, signal in SIGNALS.items():
        known = all(pd.notna(record.get(signal.column)) for record in records)
        if name == "test_auroc" or not (signal.last or known):
            continue
        best, area = None, math.nan
        for record in records:
            value = objective({signal.column: record.get(signal.column) or 0.0}, name)
            if improves(value, best, name):
                own = signal.weighs and signal.column == record["signal"]
                best, area = value, record["test_auroc" if own else "default"]
        yield signal.title, float(area)
    yield ORACLE, float(max(run["test_auroc"].max(), default.max()))


def by_default_weights(epochs: pd.DataFrame) -> pd.Series:
    """The epochs' test AUROC with the model's own weights of the score's parts, where it has any."""
    return epochs.get("test_default_mix_auroc", epochs["test_auroc"]).fillna(epochs["test_auroc"])
