"""Which images train, choose and test."""

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from images import dataset_of
from stand_ins import STAND_INS

from bench.choices.errors import UserError
from bench.choices.study import Study
from bench.choices.tasks import (
    LEAVE_ONE_CLASS_OUT,
    ONE_CLASS,
    PUBLISHED,
    SOUND,
    Protocol,
    Task,
    protocol_of,
)
from bench.data import datasets
from bench.data.datasets import Dataset
from bench.data.datasets._pixels import hashes
from bench.data.pseudo_anomalies import pseudo_anomalies
from bench.data.splits import make_split, tasks_of
from bench.data.unused import left_out
from bench.training.prepare import choose_select_on

CIFAR10 = pytest.param("folder", marks=pytest.mark.slow)  # it takes seconds to unpack


@pytest.fixture(params=[CIFAR10, *(n for n in datasets.NAMES if n not in STAND_INS)])
def dataset(request: pytest.FixtureRequest, tmp_path: Path) -> Dataset:
    """The data sets with enough images that need no download, and one's own."""
    if request.param == "folder":
        return datasets.load(str(request.getfixturevalue("cifar10_folder")), root=tmp_path)
    return datasets.load(request.param, root=tmp_path)


@pytest.mark.parametrize("kind", [LEAVE_ONE_CLASS_OUT, ONE_CLASS])
def test_no_image_is_in_two_parts(dataset: Dataset, kind: str) -> None:
    cls = dataset.classes[np.bincount(dataset.train_labels).argmax()]
    if kind == LEAVE_ONE_CLASS_OUT and len(set(dataset.train_labels.tolist())) == 1:
        pytest.skip(f"only {cls} is trained on")
    split = make_split(dataset, Task(kind, cls), SOUND, seed=0)
    parts = [
        set(hashes(part[:].numpy())) for part in (split.train, split.val.images, split.test.images)
    ]
    assert len(parts[0]) == len(split.train)
    assert len(parts[1]) == len(split.val.images)
    for i, one in enumerate(parts):
        for other in parts[i + 1 :]:
            assert not one & other


def test_anomalies_that_choose_are_not_tested() -> None:
    """Where the training images' anomalies are tested too: each field can be switched by itself."""
    dataset, task = dataset_of([200, 300], [10, 10]), Task(LEAVE_ONE_CLASS_OUT, "b")
    split = make_split(dataset, task, replace(SOUND, test_pool="with_training"), seed=0)
    tested, chosen = split.test.images.index, split.val.images.index
    assert not set(tested.tolist()) & set(chosen.tolist())
    assert (split.test.labels == 1).sum() == 10 + 300 - (split.val.labels == 1).sum()


def test_no_validation_signal_chooses_where_the_test_images_do() -> None:
    dataset, task = dataset_of([30, 30], [10, 10]), Task(ONE_CLASS, "a")
    split = make_split(dataset, task, PUBLISHED, seed=0)
    for select_on, expected in ((None, "test_auroc"), ("last_epoch", "last_epoch")):
        study = Study(protocol="published", select_on=select_on)
        assert choose_select_on(study, task, split) == expected


def test_duplicates_are_kept_apart_and_each_kind_has_its_line() -> None:
    """An image that train and test share trains nothing.

    One that the training set holds twice is taken once.
    """
    dataset = dataset_of([30, 30], [10, 10])
    dataset.train_images[:5] = dataset.test_images[:5]
    dataset.train_images[10] = dataset.train_images[11]
    tasks = [Task(ONE_CLASS, "a"), Task(ONE_CLASS, "b")]
    split = make_split(dataset, tasks[0], SOUND, seed=0)
    assert len(split.train) + (split.val.labels == 0).sum() == 30 - 5 - 1
    in_test, twice = left_out(dataset, tasks, SOUND)  # once for all classes
    five, one = (f"{count} of 60 training images (a: {count})" for count in (5, 1))
    assert in_test == f"{five} are left out: the test set holds the same images"
    assert twice == f"{one} are left out: they equal another training image"
    assert len(make_split(dataset, tasks[0], PUBLISHED, seed=0).train) == 30
    (stays,) = left_out(dataset, tasks, PUBLISHED)
    assert stays == f"{five} are in the test set too, and train all the same (--selection test)"
    assert left_out(dataset_of([30, 30], [10, 10]), tasks, SOUND) == []
    empty = dataset_of([30, 30, 0, 0], [10, 10, 5, 0])
    assert left_out(empty, tasks, SOUND)[0] == "there are no images of d"


def test_test_images_that_are_there_twice_are_counted() -> None:
    dataset, task = dataset_of([3, 3], [2, 2]), Task(LEAVE_ONE_CLASS_OUT, "a")
    assert left_out(dataset, [task], SOUND) == []
    images = dataset.test_images[[0, 1, 2, 2]]
    (line,) = left_out(replace(dataset, test_images=images), [task], SOUND)
    assert line == "1 test image(s) equal others, and each counts by itself"
    unknown = replace(dataset, test_images=images, test_labels=np.array([0, 0, 1, -1]))
    assert left_out(unknown, [task], SOUND) == [line], "no label is no other one"


def test_a_class_whose_images_are_all_tested_says_so() -> None:
    dataset = dataset_of([20, 0], [20, 6])
    dataset.train_images[:] = dataset.test_images[:20]
    reason = r"no normal training images \(20 are left out: they equal test images or"
    with pytest.raises(UserError, match=reason):
        make_split(dataset, Task(ONE_CLASS, "a"), SOUND, seed=0)


@pytest.mark.parametrize("protocol", [SOUND, PUBLISHED])
def test_classes_without_training_images_are_not_normal_unless_asked(protocol: Protocol) -> None:
    """As in MVTec AD: `a` is good, the others are kinds of defects."""
    dataset = dataset_of([30, 0, 0], [10, 5, 6])
    tasks = tasks_of(Study(abnormal_class=("b",)), dataset)
    split = make_split(dataset, tasks[0], protocol, seed=0)
    assert np.bincount(split.test.labels).tolist() == [10, 5]
    (line,) = left_out(dataset, tasks, protocol)
    assert line.startswith("c: no training images")
    assert "the 6 test images" in line
    tasks = tasks_of(Study(abnormal_class=("b",), untrained_classes="normal"), dataset)
    split = make_split(dataset, tasks[0], protocol, seed=0)
    assert np.bincount(split.test.labels).tolist() == [16, 5]
    assert left_out(dataset, tasks, protocol) == []
    tasks = tasks_of(Study(normal_class=("a",)), dataset)
    split = make_split(dataset, tasks[0], protocol, seed=0)
    assert np.bincount(split.test.labels).tolist() == [10, 11]
    assert left_out(dataset, tasks, protocol) == []


def test_errors_name_the_way_out() -> None:
    dataset = dataset_of([30, 0, 0], [0, 5, 6])
    with pytest.raises(UserError, match="did you mean --normal_class a"):
        make_split(dataset, Task(LEAVE_ONE_CLASS_OUT, "a"), SOUND, seed=0)
    reason = r"no normal test images \(no training images of c: --untrained_classes normal"
    with pytest.raises(UserError, match=reason):
        make_split(dataset, Task(LEAVE_ONE_CLASS_OUT, "b"), SOUND, seed=0)


sizes = st.lists(st.integers(0, 12), min_size=1, max_size=5)


@settings(max_examples=150)
@given(
    train=sizes,
    test=sizes,
    own=st.integers(0, 4),
    kind=st.sampled_from([LEAVE_ONE_CLASS_OUT, ONE_CLASS]),
)
def test_any_class_sizes_give_a_right_split_or_a_clear_error(
    train, test, own: int, kind: str
) -> None:
    test = (test + [0] * 5)[: len(train)]
    dataset = dataset_of(train, test)
    own %= len(train)
    for protocol in (SOUND, PUBLISHED):
        split, message = None, ""
        try:
            split = make_split(dataset, Task(kind, dataset.classes[own]), protocol, seed=1)
        except UserError as error:
            message = str(error)
        if split is None:
            assert dataset.classes[own] in message
            continue
        normal = [i for i in range(len(train)) if (i == own) == (kind == ONE_CLASS)]
        held_out = 0 if split.val is None else int((split.val.labels == 0).sum())
        assert len(split.train) + held_out == sum(train[i] for i in normal)
        if split.test is not None:
            extra = sum(train) - sum(train[i] for i in normal) if protocol is PUBLISHED else 0
            # There are some only where one class is abnormal.
            untrained = sum(test[i] for i in normal if not train[i])
            assert len(split.test.labels) == sum(test) + extra - untrained
            assert (split.test.labels == 0).sum() == sum(test[i] for i in normal) - untrained


@pytest.mark.parametrize(
    ("normal", "abnormal", "held_out", "anomalies"),
    [
        (2000, 1500, 200, 200),  # a tenth, and as many anomalies
        (200, 150, 25, 100),  # few images: more of them, or chance would choose
        (40, 30, 10, 30),  # but not more than a quarter
        (2, 50, 1, 50),
    ],
)
def test_sound_holds_out_a_tenth_but_not_too_few(
    normal: int, abnormal: int, held_out: int, anomalies: int
) -> None:
    dataset = dataset_of([normal, abnormal], [20, 20])
    split = make_split(dataset, Task(LEAVE_ONE_CLASS_OUT, "b"), SOUND, seed=0)
    assert len(split.train) == normal - held_out
    assert np.bincount(split.val.labels).tolist() == [held_out, anomalies]


def test_published_trains_on_all_and_tests_on_training_images_sorted() -> None:
    dataset = dataset_of([100, 100, 100], [20, 20, 20])
    split = make_split(dataset, Task(LEAVE_ONE_CLASS_OUT, "b"), PUBLISHED, seed=0)
    assert split.val is None
    assert len(split.train) == 200
    assert split.test.labels.tolist() == [0] * 40 + [1] * 120
    # Normal images are not sorted by their class, whatever order the data set has.
    normal = dataset.test_labels[split.test.images.index[:40] - len(dataset.train_images)]
    assert sorted(normal) == [0] * 20 + [2] * 20
    assert normal.tolist() not in ([0] * 20 + [2] * 20, [2] * 20 + [0] * 20)


@pytest.mark.parametrize("contamination", [0.0, 0.2])
def test_anomalies_that_choose_or_hide_are_drawn_from_all_classes(contamination: float) -> None:
    """In a data set that is sorted by class, as folders are."""
    dataset = dataset_of([400, 400, 400, 400], [9, 9, 9, 9])
    split = make_split(dataset, Task(ONE_CLASS, "a", contamination=contamination), SOUND, seed=0)
    chosen = split.val.images.index[split.val.labels == 1]
    assert set(dataset.train_labels[chosen]) == {1, 2, 3}
    hidden = {1, 2, 3} if contamination else set()
    assert set(dataset.train_labels[split.train.index]) == {0} | hidden


def test_split_is_seeded() -> None:
    dataset = dataset_of([50, 50], [10, 10])
    task = Task(ONE_CLASS, "a")
    one, same, other = (make_split(dataset, task, SOUND, seed) for seed in (0, 0, 1))
    assert torch.equal(one.train[:], same.train[:])
    assert not torch.equal(one.train[:], other.train[:])
    assert [Study(seed=5, split_seed=s).seed_of_splits() for s in (None, 0)] == [5, 0]


def test_each_field_can_be_switched_by_itself() -> None:
    for field in fields(Protocol):
        value = getattr(PUBLISHED, field.name)
        study = Study(**{field.name: value})
        changed = {field.name: value}
        if field.name == "selection":  # leaves no validation images to standardise by
            changed["mix"] = "raw"
        assert protocol_of(study) == replace(SOUND, **changed)
        assert value != getattr(SOUND, field.name)
    assert protocol_of(Study(protocol="published")) == PUBLISHED


def test_each_chosen_class_is_a_task() -> None:
    dataset = dataset_of([5, 5, 5], [5, 5, 5])
    tasks = tasks_of(Study(abnormal_class=("all",)), dataset)
    assert [task.cls for task in tasks] == ["a", "b", "c"]
    assert tasks_of(Study(normal_class=("b",)), dataset) == [Task(ONE_CLASS, "b")]
    with pytest.raises(UserError, match="classes: a, b, c"):
        tasks_of(Study(), dataset)


@settings(max_examples=30)
@given(
    count=st.integers(1, 9),
    channels=st.sampled_from([1, 3]),
    size=st.sampled_from([16, 32]),
    seed=st.integers(0, 99),
)
def test_pseudo_anomalies_differ_and_are_seeded(count, channels, size, seed) -> None:
    images = torch.randint(
        0, 256, (count, channels, size, size), generator=torch.Generator().manual_seed(seed)
    )
    images = images.to(torch.uint8)
    anomalies = pseudo_anomalies(images, seed)
    assert anomalies.dtype == torch.uint8
    assert anomalies.shape == images.shape
    assert torch.equal(anomalies, pseudo_anomalies(images, seed))
    changed = (anomalies != images).flatten(1).any(dim=1)
    assert changed[1::3].all(), "shuffled patches always differ"
    assert changed[2::3].all(), "a rotation of a random image differs"


@pytest.mark.parametrize("mode", ["evaluation", "training"])
@pytest.mark.parametrize("order", ["shuffled", "sorted"])
def test_labels_are_mixed_where_the_protocol_shuffles_images(mode: str, order: str) -> None:
    """Those of validation images in training mode only, in which a batch's images interact."""
    protocol = replace(SOUND, scoring_mode=mode, test_order=order)
    task = Task(LEAVE_ONE_CLASS_OUT, "b")
    split = make_split(dataset_of([40, 40], [10, 10]), task, protocol, seed=0)
    mixed = [bool((np.diff(part.labels) < 0).any()) for part in (split.val, split.test)]
    assert mixed == [(mode, order) == ("training", "shuffled"), order == "shuffled"]


@pytest.mark.parametrize("protocol", [SOUND, replace(SOUND, scoring_mode="training"), PUBLISHED])
@pytest.mark.parametrize("kind", [LEAVE_ONE_CLASS_OUT, ONE_CLASS])
def test_labels_are_those_of_the_images(digits: Dataset, kind: str, protocol: Protocol):
    parts = make_split(digits, Task(kind, "3"), protocol, seed=0)
    classes = np.concatenate([digits.train_labels, digits.test_labels])
    for part in filter(None, (parts.val, parts.test)):
        is_three = classes[part.images.index] == digits.classes.index("3")
        assert (part.labels == (is_three == (kind == LEAVE_ONE_CLASS_OUT))).all()
    assert parts.test.defects is None, "classes with training images are no defects"
