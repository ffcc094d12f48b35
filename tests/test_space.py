"""Search spaces on the command line, and the configurations that searches draw from them."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

import models
import search_spaces
from bench.errors import UserError
from bench.space import edges, grid, grid_points, held_of, inside, parse, space_of
from bench.study import SEARCHERS, Study
from bench.tuning.searchers import Search


def test_parse() -> None:
    assert parse(["w_con=25,50,75", "lr=1e-5..1e-3:log", "nz=50..200:int", "skip=True,False", "beta1=0..0.9"]) == {
        "w_con": CategoricalDistribution([25, 50, 75]),
        "lr": FloatDistribution(1e-5, 1e-3, log=True),
        "nz": IntDistribution(50, 200),
        "skip": CategoricalDistribution([True, False]),
        "beta1": FloatDistribution(0, 0.9),
    }


@settings(max_examples=400, deadline=None)
@given(st.one_of(st.text(max_size=25), st.from_regex(r"\w{1,4}=[-+.,:e0-9a-z]{0,14}", fullmatch=True)))
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
    assert points[-1] == pytest.approx(low * factor)


def test_grid_has_every_point_once() -> None:
    points = grid(parse(["a=1,2,3", "b=1.0,2.0", "c=1..9:int"]), seed=0)
    assert len({tuple(point.items()) for point in points}) == len(points) == 18
    assert points == grid(parse(["a=1,2,3", "b=1.0,2.0", "c=1..9:int"]), seed=0)


@pytest.mark.parametrize("name", ["w_skipganomaly", "pca"])  # a large space and a small one
@pytest.mark.parametrize("searcher", SEARCHERS)
def test_searches_are_functions_of_seed_number_and_history(name: str, searcher: str) -> None:
    """A search that starts over with what it was told goes on as it would have: nothing is forgotten."""
    space = space_of(Study(), name)
    default = {key: field.default for key, field in models.get(name).Config.hyperparameters().items()}

    def search() -> Search:
        return Search(name, searcher, space, default, seed=3)

    whole, configs = search(), []
    count = min(7, whole.size()) if searcher == "grid" else 7
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


def test_default_outside_the_space_is_tried_all_the_same() -> None:
    space = parse(["w_con=25,75"])
    search = Search("s", "tpe", space, {"w_con": 50.0}, seed=0)
    assert search.ask(0) == {"w_con": 50.0}
    search.tell(0, {"w_con": 50.0}, 0.7)
    assert search.ask(1)["w_con"] in (25, 75)


def test_every_space_belongs_to_a_model() -> None:
    assert set(search_spaces.NAMES) <= set(models.NAMES)


def test_set_holds_for_the_models_that_have_it() -> None:
    study = Study(model=("w_skipganomaly", "pca"), set=("ngf=8",))
    assert held_of(study, "w_skipganomaly") == {"ngf": 8, "batch_size": 64}
    assert held_of(study, "pca") == {"batch_size": 64}
    with pytest.raises(UserError, match="ngf"):
        held_of(Study(model=("pca",), set=("ngf=8",)), "pca")
