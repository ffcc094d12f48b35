"""Opponents of the Skip-GANomaly family that learn to tell the normal classes by their labels."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from small_models import (
    FAMILY,
    assert_same_to_the_bit,
    make,
    pictures,
    slow_except,
    stored,
    train,
    with_classes,
)
from torch import Tensor

from bench.choices.errors import UserError
from bench.choices.study import Study
from bench.choices.tasks import LEAVE_ONE_CLASS_OUT, SOUND, Task
from bench.data import datasets
from bench.data.splits import Split, make_split
from bench.judging import metrics
from bench.training.prepare import prepare
from models.class_head import MOST, ClassHead


def split(contamination: float = 0.0) -> Split:
    """Digits: 7 left out."""
    digits = datasets.load("digits", root=Path("unused"))
    return make_split(digits, Task(LEAVE_ONE_CLASS_OUT, "7", contamination=contamination), SOUND, 0)


@pytest.mark.parametrize("name", slow_except(FAMILY, "skipganomaly"))
def test_images_of_no_trained_class_are_abnormal_to_an_opponent_that_tells_classes(name: str):
    sevens, model = split(), make(name, w_class=1.0, batch_size=32, ndf=16, nz=32)
    losses = train(model, sevens.train, epochs=10)
    assert losses["class"] < math.log(9) / 2, "half of chance"
    assert model.FAMILY == "labelled", "tables have it apart from models without labels"
    part = model.score_parts(sevens.test.images)["class"]
    assert metrics.auroc(sevens.test.labels, part.numpy()) > 0.75


@pytest.mark.parametrize("name", FAMILY)
def test_a_checkpoint_keeps_the_class_head(name: str):
    """And so do the other parts that the family's score may have."""
    images, parts = with_classes(pictures(12)), {"w_class": 1.0, "score_near": 0.5, "w_rot": 1.0}
    whole = make(name, **parts)
    train(whole, images)
    again = make(name, seed=3, **parts)
    again.restore(stored(whole.checkpoint()))
    for model in (whole, again):
        train(model, images, seed=1)
    assert_same_to_the_bit(whole.checkpoint(), again.checkpoint())
    assert_same_to_the_bit(whole.score_parts(pictures(5)), again.score_parts(pictures(5)))


@pytest.mark.parametrize("name", FAMILY)
def test_each_image_of_a_batch_has_its_own_class(name: str):
    images, trained = with_classes(pictures(8)), []
    model = make(name, w_class=1.0)
    step = model.train_step

    def recording(x: Tensor, rng: torch.Generator) -> dict[str, Tensor]:
        trained.extend(zip(x.clone(), model.classes.of_batch.tolist(), strict=True))
        return step(x, rng)

    model.train_step = recording
    train(model, images)
    wanted = dict(zip(map(bytes, model.normalise(images[:]).numpy()), range(8), strict=True))
    assert len(trained) == 8
    assert all(wanted[bytes(x.numpy())] % 3 == cls for x, cls in trained)


def test_classes_without_training_images_do_not_count():
    torch.manual_seed(0)
    head, features = ClassHead(4, 2), torch.randn(2, 4)
    head.begin(torch.tensor([5, 2, 5]))
    logits = head(features)
    assert logits.isfinite().any(0).nonzero().flatten().tolist() == [2, 5]
    assert torch.equal(head.energy(features), -logits[:, [2, 5]].logsumexp(1))
    head.of_batch[:] = torch.tensor([2, 5])
    assert head.loss(features).isfinite()


def test_models_know_classes_of_normal_training_images_alone():
    sevens = split()
    digits = datasets.load("digits", root=Path("unused"))
    assert np.array_equal(sevens.train.classes.numpy(), digits.train_labels[sevens.train.index])
    assert 7 not in sevens.train.classes
    assert sevens.val.images.classes is None
    assert sevens.test.images.classes is None
    assert split(contamination=0.01).train.classes is None, "it would tell the hidden anomalies"


def test_without_several_classes_the_class_head_is_refused():
    of_one, unknown = with_classes(pictures(4), 1), pictures(4)
    for images, reason in ((of_one, "of one class alone"), (unknown, "are not known")):
        with pytest.raises(ValueError, match=f"w_class: .*{reason}"):
            train(make("skipganomaly", w_class=1.0), images)
    with pytest.raises(ValueError, match=f"more than {MOST} classes"):
        ClassHead.check(torch.tensor([0, MOST]))
    study = Study(dataset="digits", normal_class=("3",), model=("skipganomaly",))
    config = {"batch_size": 16, "w_class": 1.0}
    ready = prepare(study)
    with pytest.raises(UserError, match=r"skipganomaly on 3: w_class: .*one class alone"):
        ready.budget(study, "skipganomaly", ready.tasks[0], config)
