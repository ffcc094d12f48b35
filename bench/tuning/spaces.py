"""What a study searches in each model: --space or its own space, without what --set holds."""

import dataclasses
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

import models
import search_spaces
from bench.choices.errors import UserError, note, unknown
from bench.choices.flags import held_values
from bench.choices.options import WHOLE_POPULATION
from bench.choices.outside import is_file, name_of
from bench.choices.study import Study
from bench.choices.tasks import Task
from bench.data import datasets
from bench.judging.selection import SIGNALS
from bench.tuning.earlier import Winners, note_held_values, winners_of
from bench.tuning.space_text import Space, parse
from models import fields

Changeable = dict[str, FloatDistribution | CategoricalDistribution]  # see `changeable`


def space_of(study: Study, model: str) -> Space:
    """The study's search space for a model, without the hyperparameters that are held.

    UserError for a hyperparameter or a value that the model cannot have.
    """
    known, held = models.hyperparameters(model), study.hyperparameters()
    file = file_of(study, model)
    given = {} if file else parse(study.space)
    if both := [name for name in given if name in held]:
        raise UserError(
            f"--space: '{both[0]}' is held at {held[both[0]]} (by --set or a flag of its own: give "
            "one of them)"
        )
    space = given
    if file:
        start = {name: each.default for name, each in known.items()} | start_of(study, model)
        own, needs = search_spaces.get(file), search_spaces.needs(file)
        # A hyperparameter means nothing where its switch is False, and not searched itself.
        off = {switch for switch in needs.values() if start.get(switch) is False}
        off -= own.keys() - held.keys()
        space = {name: each for name, each in own.items() if needs.get(name) not in off}
        every = dict.fromkeys(n for m in study.model_names() for n in models.hyperparameters(m))
        if wrong := [name for name in (*needs, *needs.values()) if name not in every]:
            raise unknown("--space: NEEDS", wrong[0], every)
    for name, distribution in space.items():
        if name not in known:
            raise unknown(f"--space (model {model})", name, known)
        try:
            kind = known[name].type
            check_type(name, kind, distribution)
            if kind in (float, str) and isinstance(distribution, CategoricalDistribution):
                space[name] = CategoricalDistribution([kind(v) for v in edges(distribution)])
            for value in edges(space[name]):
                fields.check(name, kind, value)
        except ValueError as error:
            raise UserError(f"--space (model {model}): {error}") from None
    return {name: distribution for name, distribution in space.items() if name not in held}


def file_of(study: Study, model: str) -> str | None:
    """The file whose SPACE is searched: --space's, or else the model's own; None without one."""
    if study.space and not is_file(study.space[0]):
        return None
    name = name_of(study.space[0]) if study.space else model
    return name if search_spaces.has(name) else None


def check_type(name: str, kind: type, distribution: BaseDistribution) -> None:
    """ValueError unless every value of the distribution is one of the hyperparameter's type."""
    types = {type(value) for value in edges(distribution)}
    if kind is bool and types != {bool}:
        raise ValueError(f"{name} is True or False")
    if kind is not str and str in types:
        raise ValueError(f"{name} is a number")
    if kind is int and types != {int}:
        raise ValueError(f"{name} is a whole number (as in {name}=10..50:int or {name}=10,20)")
    if kind is float and not types <= {int, float}:
        raise ValueError(f"{name} is a number")


def start_of(study: Study, model: str) -> dict[str, Any]:
    """Hyperparameters of the default configuration that are not the model's own defaults."""
    suited, published = datasets.defaults_of(study.dataset), study.protocol == "published"
    return models.starting_values(model, suited, published) | held_values(study, model)


def default_of(study: Study, model: str) -> dict[str, Any]:
    """Every hyperparameter of the configuration that a search starts from.

    UserError where a value, or an end of a range, does not fit the model's others.
    """
    config = models.get(model).Config
    held = start_of(study, model)
    try:
        default = config.make(held)
        models.get(model).fetch(default)
    except ValueError as error:
        raise UserError(f"--set (model {model}): {error}") from None
    for name, distribution in space_of(study, model).items():
        for value in edges(distribution):
            try:
                config.make(held | {name: value})
            except ValueError as error:
                whose = "" if study.space else ", whose own space does not fit"
                raise UserError(f"--space (model {model}{whose}): {error}") from None
    return dataclasses.asdict(default)


@dataclass(frozen=True)
class SearchSpace:
    """What a study searches in one model."""

    distributions: Space  # by hyperparameter; those that are held have none
    default: dict[str, Any]  # every hyperparameter of the configuration that the search starts from

    # (class, configuration) of --start_from's winners
    earlier: Winners = field(default_factory=list)
    unsearched: frozenset[Task] = frozenset()  # whose signals cannot compare configurations

    def first(self, classes: Collection[str]) -> list[dict[str, Any]]:
        """The earlier winners of these classes, or of all where these have none."""
        own = [config for cls, config in self.earlier if cls in classes]
        return own or [config for _, config in self.earlier]

    def largest(self) -> dict[str, Any]:
        """The largest value of each hyperparameter."""
        searched = self.distributions.items()
        return self.default | {k: max([self.default[k], *edges(d)]) for k, d in searched}


def spaces_of(study: Study, began_with: dict[str, Winners] | None = None) -> dict[str, SearchSpace]:
    """The search space of each of the study's models; UserError for values that do not fit.

    `began_with`: the winners of --start_from that a resumed study recorded when it began: their own
    studies may have grown since, or be gone.
    """
    defaults = {model: default_of(study, model) for model in study.model_names()}
    earlier = winners_of(study, defaults) if began_with is None else began_with
    spaces = {m: SearchSpace(space_of(study, m), defaults[m], earlier.get(m, [])) for m in defaults}
    for model, space in spaces.items():
        note_held_values(model, space.earlier, space.distributions, space.default)
        file = file_of(study, model)
        for name, switch in (search_spaces.needs(file) if file else {}).items():
            if not (name in space.distributions or space.default.get(switch, True)):
                note(f"{model}: {name} is not searched, because {switch} is False")
        if not (space.distributions or study.trials == 0):
            fixed = "--set fixes all of its search space"
            why = fixed if file or study.space else "its file has no SPACE (or give --space)"
            note(f"{model}: nothing is searched: {why}")
    return spaces


def mark_unsearched(
    spaces: Mapping[str, SearchSpace], select_on: Mapping[Task, str], searching: bool
) -> dict[str, SearchSpace]:
    """The spaces, with the tasks whose signals cannot compare a model's configurations.

    `searching`: more than the default is tried, so that networks get a note, too.
    """
    from models.fitted import FittedModel  # loads torch

    by_loss = [task for task, name in select_on.items() if SIGNALS[name].column == "val_loss"]
    marked, networks = dict(spaces), []
    for model, space in spaces.items():
        if not (by_loss and space.distributions):
            continue
        if not issubclass(models.get(model), FittedModel):
            networks.append(model)
        else:
            marked[model] = replace(space, unsearched=frozenset(by_loss))
            classes = ", ".join(dict.fromkeys(task.cls for task in by_loss))
            where = f" on {classes}" if len(by_loss) < len(select_on) else ""
            note(
                f"{model}: nothing is searched{where}: {select_on[by_loss[0]]} cannot compare its "
                "configurations (--select_on pseudo_auroc can)"
            )
    if networks and searching:
        note(
            f"{', '.join(networks)}: {select_on[by_loss[0]]} compares configurations by validation "
            "loss, and so prefers those that copy images best, perhaps abnormal ones too (--trials 0 "
            "takes the default)"
        )
    return marked


def changeable(model: str, space: Space) -> Changeable:
    """What PBT may change during training: real numbers, where no network depends on them.

    Whole numbers and switches shape networks, and a checkpoint fits only networks of its own shape.
    """
    try:
        left_alone = fields.constant(model, "NOT_BY_PBT") or ()
    except ValueError:
        reason = "NOT_BY_PBT must be written out, as in ('w_rot',)"
        raise UserError(f"--model: {model}: {reason}") from None
    real = {k: d for k, d in space.items() if all(isinstance(v, float) for v in edges(d))}
    return {k: d for k, d in real.items() if k not in left_alone}  # type: ignore[misc]


def check_scheduler(study: Study, model: str) -> None:
    """UserError where the scheduler has nothing in the model's space that it could change."""
    if study.tune_for == "mean" and study.scheduler in WHOLE_POPULATION:
        reason = "gives each class a configuration of its own"
        if study.scheduler == "hyperband":
            reason = "compares a class's trials at the same time, but they run in turn (try asha)"
        raise UserError(f"--tune_for mean: {study.scheduler} {reason}")
    ranges = changeable(model, space_of(study, model))
    if study.scheduler == "pb2":
        ranges = {name: d for name, d in ranges.items() if isinstance(d, FloatDistribution)}
    if study.scheduler in ("pbt", "pb2") and not ranges:
        raise UserError(
            f"--scheduler {study.scheduler}: the space of {model} has no range of real numbers (as "
            "lr=1e-5..1e-3)"
        )


def edges(distribution: BaseDistribution) -> list[Any]:
    """All choices, or the two ends of a range."""
    if isinstance(distribution, CategoricalDistribution):
        return list(distribution.choices)
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    return [distribution.low, distribution.high]


def inside(distribution: BaseDistribution, value: Any) -> bool:
    """Whether a value could have come from the distribution; the model's default need not."""
    try:
        return bool(distribution._contains(distribution.to_internal_repr(value)))
    except ValueError:  # not among the choices
        return False
