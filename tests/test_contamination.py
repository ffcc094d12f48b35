"""--contamination hides abnormal images in training; --limit_anomalies limits those that choose."""

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from images import dataset_of

from bench.choices.errors import UserError
from bench.choices.tasks import LEAVE_ONE_CLASS_OUT, ONE_CLASS, SOUND, Task
from bench.data.splits import make_split


@given(share=st.floats(0, 0.49), kind=st.sampled_from([LEAVE_ONE_CLASS_OUT, ONE_CLASS]))
def test_contamination_hides_a_share_of_abnormal_images_in_the_training_set(share, kind):
    dataset = dataset_of([300, 200, 400], [20, 20, 20])
    task = Task(kind, dataset.classes[0])
    clean = make_split(dataset, task, SOUND, seed=0)
    spare = (dataset.train_labels == 0) == (kind == LEAVE_ONE_CLASS_OUT)
    spare = spare.sum() - (clean.val.labels == 1).sum()
    hidden, told = round(len(clean.train) * share / (1 - share)), ""
    if hidden > spare:
        told = rf"--contamination: .* {spare} abnormal images .*\(give (\S+) or less\)"
    elif share and not hidden:
        told = r"--contamination: .* adds none \(give (\S+) or more\)"
    if told:
        with pytest.raises(UserError, match=told) as error:
            make_split(dataset, replace(task, contamination=share), SOUND, seed=0)
        share = float(re.search(told, str(error.value))[1])  # which then works
    split = make_split(dataset, replace(task, contamination=share), SOUND, seed=0)
    own = dataset.train_labels[split.train.index] == 0
    abnormal = own if kind == LEAVE_ONE_CLASS_OUT else ~own
    assert abnormal.mean() == pytest.approx(share, abs=1 / len(clean.train))
    assert set(clean.train.index) <= set(split.train.index)
    for part in ("val", "test"):  # as without it
        same, other = getattr(clean, part), getattr(split, part)
        assert same.images.index.tolist() == other.images.index.tolist()
        assert not set(other.images.index) & set(split.train.index)


@given(
    limit=st.integers(1, 150),
    share=st.sampled_from([0.0, 0.1]),
    kind=st.sampled_from([LEAVE_ONE_CLASS_OUT, ONE_CLASS]),
)
def test_fewer_anomalies_choose_and_all_else_stays(limit, share, kind):
    """Those of a smaller limit are among those of a larger one."""
    dataset = dataset_of([180, 200, 400], [20, 20, 20])
    task = Task(kind, dataset.classes[0], contamination=share)
    every = make_split(dataset, task, SOUND, seed=0)
    count = every.counts["n_val_abnormal"]
    assert count == every.val.labels.sum() == 100
    if limit > count:
        told = rf"--limit_anomalies: .* 100 abnormal images to choose by, not {limit} \(give 100 or"
        with pytest.raises(UserError, match=told):
            make_split(dataset, replace(task, limit_anomalies=limit), SOUND, seed=0)
        limit = count
    few, one_less = (
        make_split(dataset, replace(task, limit_anomalies=n or None), SOUND, seed=0)
        for n in (limit, limit - 1)
    )
    assert few.counts == every.counts | {"n_val_abnormal": limit}
    assert few.train.index.tolist() == every.train.index.tolist()
    assert few.test.images.index.tolist() == every.test.images.index.tolist()
    (normal, chosen), (others, fewer) = (
        [set(split.val.images.index[split.val.labels == label]) for label in (0, 1)]
        for split in (few, one_less)
    )
    assert normal == others
    assert limit == 1 or fewer < chosen
