"""Thresholds and p-values: what they promise, whatever the scores are."""

import base64
import io
import re
from dataclasses import asdict

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from images import save
from PIL import Image

import models
from bench.choices.monitoring import View
from bench.commands.score import score_folder
from bench.data.datasets import Decoding
from bench.judging.verdicts import Verdicts, from_file, verdicts, why_no_verdicts

SCORES = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=60)
RATES = st.floats(0.001, 0.999)
GREYS = (120, 0, 60)  # the darkest is the most anomalous


@given(pool=st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=60), rate=RATES)
def test_no_more_false_alarms_than_promised(pool, rate):
    """Each image in turn is the new one, the others are held out: as likely as any other order."""
    others = [pool[:i] + pool[i + 1 :] for i in range(len(pool))]
    alarms = [Verdicts(rest, rate).abnormal([x])[0] for rest, x in zip(others, pool, strict=True)]
    assert np.mean(alarms) <= rate + 1e-9


@given(normal=SCORES, scores=SCORES, rate=RATES)
def test_the_threshold_says_the_same_as_the_p_values(normal, scores, rate):
    judged = Verdicts(normal, rate)
    values = np.array(scores + normal)
    threshold = np.inf if judged.threshold is None else judged.threshold
    assert (judged.abnormal(values) == (values > threshold)).all()
    assert (judged.p_values(values) > 0).all()
    assert (judged.p_values(values) <= 1).all()
    order = values.argsort()
    assert (np.diff(judged.p_values(values)[order]) <= 0).all()


def test_figures_of_a_small_example():
    normal = [float(i) for i in range(19)]  # 0 to 18: with 19 of them, 5 % is the highest score
    judged = Verdicts(normal, 0.05)
    assert judged.threshold == 18
    assert judged.p_values([18.5, 18.0, -1.0]).tolist() == [0.05, 0.1, 1.0]
    figures = judged.figures([1, 1, 0, 0, 0, 0], [20, 3, 19, 1, 2, 3])
    assert figures["true_alarms"] == 0.5
    assert figures["false_alarms"] == 0.25
    assert figures["alarm_f1"] == pytest.approx(0.5)


def test_too_few_held_out_images_give_no_threshold():
    judged = Verdicts([1.0, 2.0], 0.05)
    assert judged.threshold is None
    assert not judged.abnormal([1e9]).any()
    assert judged.figures([0, 1], [0.0, 1.0]) == {}
    assert Verdicts([1.0, 2.0], 1 - 1e-10).threshold == 1


def test_a_rate_of_whole_images_is_no_image_less():
    """0.29 of 100 images is 28.999999999999996 in floating point."""
    for percent in range(1, 100):
        judged = Verdicts([float(i) for i in range(99)], percent / 100)
        assert judged.threshold == 99 - percent
        assert judged.abnormal([99.5 - percent, 99 - percent]).tolist() == [True, False]


@pytest.mark.parametrize("rate", [0.03, 0.05, 0.3])
def test_as_many_held_out_images_as_are_said_to_be_enough_are(rate):
    enough = int(re.search(r"\((\d+) are enough\)", why_no_verdicts(Verdicts([0.0], rate)))[1])
    assert Verdicts([0.0] * enough, rate).threshold == 0
    assert Verdicts([0.0] * (enough - 1), rate).threshold is None
    assert "no normal images were held out" in why_no_verdicts(None)


def test_a_trained_model_keeps_its_verdicts_at_its_own_rate_or_another():
    kept = {"verdicts": asdict(Verdicts([1.0, 2.0], 0.05, balanced=1.5))}
    assert from_file(kept, None) == Verdicts([1.0, 2.0], 0.05, 1.5)
    assert from_file(kept, 0.5) == Verdicts([1.0, 2.0], 0.5, 1.5)
    assert from_file({"verdicts": {}}, 0.5) is None


def test_balanced_errors():
    labels, scores = [0] * 5 + [1] * 5, [0, 1, 2, 3, 6, 4, 5, 7, 8, 9]
    assert verdicts(labels, scores, 0.05).balanced == 4  # one of five mistaken on either side
    assert verdicts([0, 0], [1, 2], 0.05).balanced is None


def scored(tmp_path, judged):
    """The table and the page of three new images, each of one grey: GREYS."""
    model = models.create("pca", (1, 16, 16), components=2)
    rng = np.random.default_rng(0)
    images = rng.integers(0, 255, (20, 1, 16, 16), np.uint8)
    model.train_epoch(torch.from_numpy(images), torch.Generator())
    for i in range(3):
        save(tmp_path / "new" / f"{i}.png", GREYS[i])
    out = tmp_path / "out"
    score_folder(model, Decoding(), tmp_path / "new", out, View(quiet=True), judged)
    return pd.read_csv(out / "scores.csv"), (out / "scores.html").read_text()


def test_each_picture_and_heat_map_stands_beside_its_own_name(tmp_path):
    frame, page = scored(tmp_path, None)
    figure = r'src="\S+,(\S+)" alt="image".*?src="\S+,(\S+)" alt="heat map.*?\d+\. (\S+):'
    figures = re.findall(figure, page, re.DOTALL)
    names = [name for _, _, name in figures]
    assert names == frame["image"].tolist() != sorted(names)
    for image, heat, name in figures:
        with Image.open(io.BytesIO(base64.b64decode(image))) as picture:
            assert picture.getextrema() == (GREYS[int(name[0])],) * 2
        assert base64.b64decode(heat) == (tmp_path / "out/heat_maps" / f"{name}.png").read_bytes()


def test_where_too_few_images_were_held_out_no_new_image_has_a_verdict(tmp_path):
    frame, page = scored(tmp_path, Verdicts([0.1] * 10, 0.05))
    assert frame["verdict"].isna().all()
    assert "No image is called abnormal or normal" in page
    assert "are too few to call any image abnormal (19 are enough)" in page
    assert '<figure class="abnormal">' not in page
