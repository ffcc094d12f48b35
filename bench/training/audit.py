"""The audit: from the published protocol to the sound one, field by field, and each step's cost."""

import dataclasses
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

import numpy as np
import pandas as pd

import models
from bench.choices.study import Study
from bench.choices.tasks import PUBLISHED, SOUND, Protocol
from bench.data.splits import Split, make_split
from bench.judging import metrics
from bench.judging.intervals import auroc_interval
from bench.judging.selection import improves, objective
from bench.training.prepare import Prepared
from bench.training.run import Run, score_parts, train

# The order of the steps that need no new training.
ORDER = ("test_order", "scoring_mode", "test_pool", "selection", "mix")


@dataclass(frozen=True)
class Step:
    """A protocol and the hyperparameters that one row of the audit is measured with."""

    change: str  # what differs from the step before
    protocol: Protocol
    hyperparameters: dict[str, Any]


def steps(
    model: str, hyperparameters: dict[str, Any], given: Collection[str] = ()
) -> Iterator[Step]:
    """From everything published to everything sound; hyperparameters that are `given` never change.

    Scoring comes first: those steps share one training.
    """
    config = models.hyperparameters(model)
    published = {k: v for k, v in models.get(model).PUBLISHED.items() if k not in given}
    protocol, held = PUBLISHED, hyperparameters | published
    yield Step("published", protocol, held)
    for name in ORDER:
        protocol = replace(protocol, **{name: getattr(SOUND, name)})
        yield Step(f"{name}: {getattr(SOUND, name)}", protocol, held)
    for name in published:
        sound = hyperparameters.get(name, config[name].default)
        held = held | {name: sound}
        yield Step(f"{name}: {sound}", protocol, held)


def audit(
    study: Study,
    ready: Prepared,
    model: str,
    hyperparameters: dict[str, Any],
    given: dict[str, Any],
    say: Callable[[str], None],
    done: pd.DataFrame,
) -> Iterator[pd.DataFrame]:
    """Yields the table so far after each training; goes on after the steps in the table `done`.

    One row per step: change, training (new or the same), epoch, auroc, low, high, cost, the
    generator steps of the whole training, and the fair ones.

    Every step holds out validation images, also where the published protocol would train on them,
    so that all steps up to `selection` are measured on the very same training. `given`: the
    hyperparameters that a user chose, which hold in every step.
    """
    task, rows = ready.tasks[0], done.to_dict("records")
    select_on = ready.select_on[task]
    budget = ready.budget(study, model, task, hyperparameters | models.get(model).PUBLISHED | given)

    def split(protocol: Protocol) -> Split:
        return make_split(ready.dataset, task, protocol, study.seed_of_splits())

    walk = steps(model, hyperparameters, given)
    trainings = [list(group) for _, group in groupby(walk, key=lambda step: step.hyperparameters)]
    for number, members in enumerate(trainings, 1):
        if members[0].change in {row["change"] for row in rows}:
            continue
        # All steps hold out the same validation images; each tests on its own protocol's pool.
        pools = {member.protocol: split(member.protocol).test for member in members}
        run = Run(
            model,
            split(SOUND),
            SOUND,
            hyperparameters=members[0].hyperparameters,
            seed=study.seed,
            select_on=select_on,
            device=ready.device,
            precision=study.precision,
            budget=budget,
        )
        device = run.setup["device"]
        tests = {protocol: pool.to(device) for protocol, pool in pools.items() if pool}
        best: dict[str, tuple[tuple[bool, float], dict[str, Any]]] = {}  # rank and figures
        for record in train(run):
            say(f"training {number} of {len(trainings)}, epoch {record['epoch']}/{budget.epochs}")
            scored: dict[Protocol, tuple[np.ndarray, np.ndarray]] = {}
            for member in members:
                # Steps that differ only in `selection` share their scores, and with them the
                # labels: the order of the test images may differ between the steps' splits, whose
                # numbers of training images (with or without duplicates) change the random draws.
                how = replace(member.protocol, selection="val")
                mix = run.mix(member.protocol.mix)
                if how not in scored:
                    test = tests[member.protocol]
                    parts = score_parts(run.model, test.images, member.protocol)
                    scored[how] = test.labels, (mix or run.model.combine)(parts).numpy()
                labels, scores = scored[how]
                auroc = metrics.auroc(labels, scores)
                by_test = member.protocol.selection == "test"
                own = auroc if by_test else objective(run.figures(mix), select_on)
                rank = (run.model.can_score, own)
                before, _ = best.get(member.change, (None, {}))
                if improves(rank, before, "test_auroc" if by_test else select_on):
                    _, low, high = auroc_interval([(labels, scores)])
                    figures = {"epoch": record["epoch"], "auroc": auroc, "low": low, "high": high}
                    best[member.change] = rank, figures
        del run  # a GPU then holds one model at a time
        for member in members:
            _, chosen = best[member.change]
            cost = chosen["auroc"] - rows[-1]["auroc"] if rows else np.nan
            training = "new" if member is members[0] else "the same"
            fields = dataclasses.asdict(member.protocol)
            row = {"change": member.change, "training": training} | chosen
            trained = {"generator_steps": record["generator_steps"], "fair_steps": budget.fair}
            rows.append(row | {"cost": cost} | trained | fields)
        yield pd.DataFrame(rows)


def markdown(rows: pd.DataFrame) -> str:
    """The audit table as Markdown."""
    shown = pd.DataFrame(
        {
            "step": rows["change"],
            "training": rows["training"],
            "epoch": rows["epoch"],
            "AUROC [95 % interval of the test set]": [
                f"{r.auroc:.3f} [{r.low:.3f}, {r.high:.3f}]" for r in rows.itertuples()
            ],
            "change": ["" if np.isnan(cost) else f"{cost:+.3f}" for cost in rows["cost"]],
        }
    )
    return shown.to_markdown(index=False, disable_numparse=True)
