"""--contamination: abnormal images, unknown to the model, among those it trains on."""

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
