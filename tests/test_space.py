"""Search spaces on the command line, and the configurations that searches draw from them."""

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from small_models import NETWORKS, make

import models
from bench.choices.errors import UserError
from bench.choices.flags import held_values
from bench.choices.options import SEARCHERS
from bench.choices.study import HYPERPARAMETERS, Study
from bench.tuning.grid import count, grid, grid_points
from bench.tuning.searchers import INFORMED, Search
from bench.tuning.spaces import changeable, default_of, edges, inside, parse, space_of, spaces_of


def test_parse() -> None:
    assert parse(["nz=4, 8"]) == {"nz": CategoricalDistribution([4, 8])}
    assert parse(
        ["w_con=25,50,75", "lr=1e-5..1e-3:log", "nz=50..200:int", "skip=True,False", "beta1=0..0.9"]
    ) == {
        "w_con": CategoricalDistribution([25, 50, 75]),
        "lr": FloatDistribution(1e-5, 1e-3, log=True),
        "nz": IntDistribution(50, 200),
        "skip": CategoricalDistribution([True, False]),
        "beta1": FloatDistribution(0, 0.9),
    }


@settings(max_examples=400)
@given(
    st.one_of(st.text(max_size=25), st.from_regex(r"\w{1,4}=[-+.,:e0-9a-z]{0,14}", fullmatch=True))
)
def test_any_text_is_a_space_or_a_clear_error(text: str) -> None:
    message = None
    try:
        space = parse([text])
    except UserError as error:
        message = str(error)
    if message is None:
        assert len(space) == 1
        for distribution in space.values():
            assert all(inside(distribution, value) for value in edges(distribution))
    else:
        assert message.startswith("--space: '")


@given(low=st.floats(1e-6, 1e3), factor=st.floats(1.01, 100), log=st.booleans())
def test_ranges_come_back(low: float, factor: float, log: bool) -> None:
    (distribution,) = parse([f"lr={low!r}..{low * factor!r}{':log' if log else ''}"]).values()
    assert distribution == FloatDistribution(low, low * factor, log=log)
    points = grid_points(distribution)
    assert points[0] == pytest.approx(low)
    assert points[1] == pytest.approx(low * (factor**0.5 if log else (1 + factor) / 2))
    assert points[-1] == pytest.approx(low * factor)


@given(low=st.integers(-9, 9), count=st.integers(1, 6), step=st.integers(2, 9), real=st.booleans())
def test_a_stepped_range_holds_its_steps_and_no_others(
    low: int, count: int, step: int, real: bool
) -> None:
    kind = FloatDistribution if real else IntDistribution
    distribution = kind(low, low + count * step, step=step)
    assert grid_points(distribution) == [low + i * step for i in range(count + 1)]
    assert all(inside(distribution, point) for point in grid_points(distribution))
    assert not inside(distribution, low + step / 2 if real else low + 1)
    assert not inside(distribution, low - step)


def test_steps_of_real_numbers_are_all_counted():
    eleven, four = (FloatDistribution(0, high, step=0.1) for high in (1, 0.3))
    assert count({"a": eleven, "b": four}) == 44
    assert count({"a": IntDistribution(8, 40, log=True)}) == 33


def test_grid_has_every_point_once() -> None:
    points = grid(parse(["a=1,2,3", "b=1.0,2.0", "c=1..9:int"]), seed=0)
    assert len({tuple(point.items()) for point in points}) == len(points) == 18
    same, other = (grid(parse(["a=1,2,3", "b=1.0,2.0", "c=1..9:int"]), seed) for seed in (0, 1))
    assert points == same != other, "the first few are spread over it"


@pytest.mark.parametrize("name", ["w_skipganomaly", "pca"])  # a large space and a small one
@pytest.mark.parametrize("searcher", SEARCHERS)
def test_searches_are_functions_of_seed_number_and_history(name: str, searcher: str) -> None:
    """A search that is told of earlier results again goes on as it would have gone on."""
    space = space_of(Study(), name)
    default = {key: field.default for key, field in models.hyperparameters(name).items()}

    def search() -> Search:
        return Search(name, searcher, space, default, seed=3)

    whole, configs = search(), []
    count = whole.trials(7)
    for number in range(count):
        configs.append(whole.ask(number))
        whole.tell(number, configs[-1], None if number == 2 else 0.5 + 0.01 * number)
    assert configs[0] == {key: default[key] for key in space}
    assert all(inside(space[key], value) for config in configs for key, value in config.items())
    if searcher == "cmaes":
        return  # its state is in the study: after a restart it draws anew from what it was told
    again = search()
    for number in range(count - 1):
        again.tell(number, configs[number], None if number == 2 else 0.5 + 0.01 * number)
    assert again.ask(count - 1) == configs[-1]
    resumed = search()
    resumed.propose = None  # which can take minutes
    for number in range(count - 1):
        assert resumed.ask(number, known=configs[number]) == configs[number]
        resumed.tell(number, configs[number], None if number == 2 else 0.5 + 0.01 * number)
    del resumed.propose
    assert resumed.ask(count - 1) == configs[-1]


@pytest.mark.parametrize("searcher", SEARCHERS)
def test_no_configuration_is_tried_twice(searcher: str) -> None:
    for words, wanted in (["w_con=25,50,75"], 3), (["nz=3..8:int", "skip=True,False"], 12):
        space = parse(words)
        default = {"w_con": 50.0, "nz": 100, "skip": True}
        search = Search("s", searcher, space, {name: default[name] for name in space}, seed=0)
        own = not search.holds(search.default)
        assert (searcher == "grid") or search.trials(100) == wanted + own
        configs = []
        for number in range(search.trials(100)):
            configs.append(search.ask(number))
            search.tell(number, configs[-1], 0.5)
        assert len({tuple(config.values()) for config in configs}) == len(configs)
    nearly = parse(["nz=8..40:log:int"])
    whole = Search("s", searcher, nearly, {"nz": 100}, seed=1)
    if searcher not in ("grid", "gp"):  # of a grid's three points, and for a minute
        known = [{"nz": 100}, *({"nz": nz, "lr": 1e-3} for nz in range(8, 40))]
        for number, config in enumerate(known):
            whole.ask(number, known=config)
        assert whole.ask(len(known)) == {"nz": 40}, "the only one that was not tried"
        whole.tell(len(known), {"nz": 40}, 0.5)
    assert whole.trials(99) == (4 if searcher == "grid" else 34)
    assert (search.trials(0), search.trials(1), search.trials(5)) == (0, 1, 5)
    assert Search("s", "tpe", parse(["lr=1e-4..1e-3"]), {"lr": 2e-4}, seed=0).trials(None) == 10


@pytest.mark.parametrize("searcher", SEARCHERS)
def test_searchers_that_learn_seek_higher_objectives(searcher: str) -> None:
    """And each search of a study draws its own configurations."""

    def tried(sign: int, name: str = "s") -> float:
        search = Search(name, searcher, parse(["a=0..1", "b=0..1"]), {"a": 0.5, "b": 0.5}, seed=0)
        values = []
        for number in range(search.trials(12)):
            values.append((config := search.ask(number))["a"])
            search.tell(number, config, sign * config["a"])
        return sum(values)

    assert (tried(1) > tried(-1)) == (searcher in INFORMED)
    assert (tried(1) != tried(1, "t")) == (searcher != "grid")


@pytest.mark.parametrize("searcher", SEARCHERS)
def test_earlier_winners_are_tried_once_whether_in_the_space_or_beside_it(searcher: str) -> None:
    first = [{"nz": 7}, {"nz": 4}]
    search = Search("s", searcher, parse(["nz=3..5:int"]), {"nz": 100}, seed=0, first=first)
    assert search.trials(99) == 5
    tried = [search.ask(number)["nz"] for number in range(5)]
    assert tried[:3] == [100, 7, 4], "the default first, though it is not in the space"
    assert sorted(tried[3:]) == [3, 5]


def test_pbt_may_change_a_real_number_whose_choices_are_whole():
    space = space_of(Study(space=("w_con=25,50,75", "nz=10,20")), "ganomaly")
    assert space["w_con"].choices == (25.0, 50.0, 75.0)
    assert set(changeable("ganomaly", space)) == {"w_con"}


def test_a_hyperparameter_is_searched_only_with_its_switch(monkeypatch):
    def searches_w_con(switch: str, *held: str) -> bool:
        monkeypatch.setattr("search_spaces.needs", lambda model: {"w_con": switch})
        return "w_con" in space_of(Study(set=held), "skipganomaly")

    assert searches_w_con("latent_gradient")
    assert not searches_w_con("latent_gradient", "latent_gradient=False")
    assert not searches_w_con("augment"), "False by the model's own default"
    assert searches_w_con("augment", "augment=True")
    assert searches_w_con("skip"), "which is searched itself"
    assert not searches_w_con("skip", "skip=False")


def test_what_is_not_searched_is_named(capsys) -> None:
    spaces_of(Study(model=("knn",), set=("neighbours=3",)))
    line = "note: knn: nothing is searched: --set fixes all of its search space"
    assert line in capsys.readouterr().err
    spaces_of(Study(model=("skipganomaly",), set=("adversarial_gradient=False",)))
    line = "note: skipganomaly: w_adv is not searched, because adversarial_gradient is False\n"
    assert capsys.readouterr().err == line


def test_set_holds_for_the_models_that_have_it() -> None:
    study = Study(model=("w_skipganomaly", "pca"), set=("ngf=8",))
    assert held_values(study, "w_skipganomaly") == {"ngf": 8}
    assert held_values(study, "pca") == {}
    with pytest.raises(UserError, match="ngf"):
        held_values(Study(model=("pca",), set=("ngf=8",)), "pca")


@pytest.mark.parametrize("model", models.NAMES)
def test_the_batch_size_is_the_models_own_unless_one_is_given(model: str) -> None:
    own = models.hyperparameters(model)["batch_size"].default
    assert default_of(Study(), model)["batch_size"] == own
    for study in (Study(batch_size=16), Study(set=("batch_size=16",))):
        assert default_of(study, model)["batch_size"] == 16
        assert "batch_size" not in space_of(study, model)
    searched = Study(space=("batch_size=16,32",))
    assert space_of(searched, model) == {"batch_size": CategoricalDistribution([16, 32])}
    assert default_of(searched, model)["batch_size"] == own


@pytest.mark.parametrize("model", models.NAMES)
def test_every_hyperparameter_is_held_or_searched_and_never_both(model: str) -> None:
    """None of them is lost to a Study's field of its name."""
    for name, (kind, default, _) in models.hyperparameters(model).items():
        assert str(default_of(Study(set=(f"{name}={default}",)), model)[name]) == str(default)
        searched = f"{name}={'True,False' if kind is bool else default}"
        assert name in space_of(Study(space=(searched,)), model)
        with pytest.raises(UserError, match=f"--space: '{name}' is held at {default}"):
            space_of(Study(space=(searched,), set=(f"{name}={default}",)), model)
        flags = {field.name for field in dataclasses.fields(Study)}
        assert (name in flags) == (name in HYPERPARAMETERS)


def test_a_value_is_given_once() -> None:
    with pytest.raises(UserError, match="--set: 'lr' is given twice"):
        held_values(Study(set=("lr=1", "lr=2")), "pca")
    with pytest.raises(UserError, match="--set: 'batch_size' is given twice"):
        held_values(Study(set=("batch_size=16",), batch_size=32), "pca")
    with pytest.raises(UserError, match="'batch_size' is held at 32"):
        space_of(Study(space=("batch_size=16,32",), batch_size=32), "pca")


@pytest.mark.parametrize(
    ("item", "message"),
    [("nz=10..20", "whole number"), ("nz=10.5,20", "whole number"), ("skip=1,0", "True or False"),
     ("lr=True,False", "a number"), ("skip=0..1", "True or False")],
)  # fmt: skip
def test_a_space_has_the_hyperparameters_type(item: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        space_of(Study(space=(item,)), "w_skipganomaly")


def test_values_that_only_fit_together() -> None:
    assert default_of(Study(set=("restarts=600", "starts=1000")), "anogan")["restarts"] == 600
    with pytest.raises(UserError, match="restarts"):
        default_of(Study(set=("restarts=600",)), "anogan")
    with pytest.raises(UserError, match=r"--space .*nu"):
        default_of(Study(space=("nu=0.5..1.5",)), "one_class_svm")
    with pytest.raises(UserError, match=r"own space does not fit.*: neighbours: 100 of 50"):
        default_of(Study(set=("samples=50",)), "knn")


@pytest.mark.parametrize("name", NETWORKS)
def test_what_pbt_may_change_fits_the_checkpoints_of_runs_without_it(name: str):
    """A trial takes over another's checkpoint, whose hyperparameters may have been 0."""
    known = models.hyperparameters(name).items()
    floats = {key: FloatDistribution(0.1, 0.9) for key, field in known if field.type is float}
    without = make(name, **dict.fromkeys(floats, 0.0)).checkpoint()
    for value in changeable(name, floats):
        make(name, **dict.fromkeys(floats, 0.0) | {value: 0.5}).restore(without)
