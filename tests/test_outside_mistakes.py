"""Files outside the repository that will not do: one line that says which, where and why."""

import importlib
import re
from pathlib import Path
from types import ModuleType

import pytest
from commands import fails
from own_files import DATASET, MODEL, SPACE

import models
import train
import train_tune
from bench.commands.checks import mistake_in_model

NO_MODEL = MODEL.partition("class Model")[0]
EMPTY_MODEL = NO_MODEL + "from models import base\nclass Model(base.AnomalyModel):\n"
MODELS = {
    "no Model": (NO_MODEL, "has no 'class Model'"),
    "no Config": (MODEL.replace("class Config(", "class Settings("), "has no 'class Config'"),
    "syntax": (MODEL.replace("class Model(", "class Model(("), "line 20: SyntaxError: invalid"),
    "raises": (MODEL.replace("SPACE = {", "SPACE = {1 / 0: 0,"), "line 3\\d: ZeroDivisionError"),
    "imports": ("import nothing_here\n" + MODEL, "line 1: ModuleNotFoundError: No module named"),
    "leaves": ("import sys\nsys.exit('bye')\n" + MODEL, "line 2: SystemExit: bye"),
    "no detector": (NO_MODEL + "class Model:\n    pass\n", "no subclass of models.base.Anomaly"),
    "no methods": (EMPTY_MODEL + "    Config = Config\n", "Model lacks build, parts, train_step"),
    "not its Config": (MODEL.replace("    Config = Config", ""), "Model needs `Config = Config`"),
    "no comment": (MODEL.replace("  # standard", "\n    # standard"), "for each hyperparameter"),
    "no value": (MODEL.replace("= 0.3", "= LESS"), "of noise must be written out, as in 0.5, not LESS"),
    "study's": (MODEL.replace("    noise:", "    seed:"), "--seed is a flag of its own; give its"),
    "alias": (MODEL.replace("    noise:", "    nc:"), "--nc is a flag of its own; give its"),
    "run's": (MODEL.replace("    noise:", "    load:"), "--load is a flag of its own; give its"),
    "text": (MODEL.replace("= 0.3", "= 'x'"), "Config.noise: its default 'x' is no float"),
    "range": (MODEL.replace("= 0.3", "= -0.3"), "Config: noise must be a finite number, 0 or more"),
    "no type": (MODEL.replace("    noise:", "    more = 4\n    noise:"), "Config.more has no type"),
    "weights": (MODEL.replace("def train_step", "def weights"), "weights must be a dictionary, or"),
    "no steps": (MODEL.replace("    Config =", "    STEPS = 0\n    Config ="), "Model.STEPS must"),
    "family": (MODEL.replace("    Config =", "    FAMILY = 'labeled'\n    Config ="), "not 'labeled'"),
    "no parent": (MODEL.replace("autoencoder.Config", "other.Config"), "there is no models/other"),
}  # fmt: skip
RAISES = DATASET.replace("load_digits(", "open(").replace("return_X_y=True", "'gone'")
DATASETS = {
    "no load": (DATASET.replace("def load", "def read"), "has no 'def load'"),
    "classes": (DATASET.replace("CLASSES = tuple", "CLASSES = list"), "must be a tuple of names"),
    "raises": (RAISES, "line 12: FileNotFoundError: .*'gone'"),
    "leaves": (DATASET.replace("return Data", "raise SystemExit('bye') #"), "line 15: SystemExit"),
    "nothing": (DATASET.replace("return Dataset", "Dataset"), "gives no .*Dataset but a NoneType"),
    "floats": (DATASET.replace("np.uint8", "np.float32"), "float32 .* must be uint8 .*255 . x"),
    "binary": (DATASET.replace("* 15", "> 7"), "train_images of pixels 0 and 1; they must be 0 to"),
    "not square": (DATASET.replace("8, 8", "4, 16"), "train_images of 4 x 16; they must be square"),
    "labels": (DATASET.replace("np.int64", "np.int8"), "train_labels int8 .* must be int64"),
    "none": (DATASET.replace('"digits", CLASSES', '"digits", None'), "classes as a NoneType; they"),
    "other": (DATASET.replace('"digits", CLASSES', '"digits", (0, 1)'), "gives the classes 0, 1,"),
    "slash": (DATASET.replace('"0123456789"', '("a/b", *"123456789")'), "a class called 'a/b'"),
    "twice": (DATASET.replace('"0123456789"', '"0123456788"'), "CLASSES has a name twice"),
    "defaults": (DATASET.replace('{"batch_size": 8}', "[8]"), "DEFAULTS must be a dict"),
    "kind": (DATASET.replace('_size": 8', "_size\": '8'"), "must be of type int, not '8'"),
    "range": (DATASET.replace('_size": 8', '_size": 0'), "DEFAULTS: batch_size must be 1 or more"),
    "default": (DATASET.replace('"batch_size"', '"bach_size"'), "did you mean 'batch_size'"),
    "list": (DATASET.replace("labels[:900]", "labels[:900].tolist()"), "train_labels as a list"),
    "masks": (DATASET.replace("labels[900:])", "labels[900:], masks=labels > 0)"), "masks bool"),
    "index": (DATASET.replace("astype(np.int64)", "astype(np.int64) + 1"), "no index into CLASSES"),
}
SPACES = {
    "no SPACE": ("", "has no 'SPACE'"),
    "no dict": ("SPACE = [1, 2]", "SPACE must be a dictionary of Optuna's"),
    "no ranges": ("SPACE = {'lr': (0, 1)}", "SPACE must be a dictionary of Optuna's"),
    "unknown": (SPACE.replace("noise", "noice"), "there is no 'noice'; did you mean 'noise'"),
    "none": (SPACE + "SPACE['noise'] = CategoricalDistribution([None, 1])", "noise is a number"),
    "needs": (SPACE + "NEEDS = ['lr']", "NEEDS must be a dictionary"),
    "need": (
        SPACE + "NEEDS = {'noice': 'augment'}",
        "NEEDS: there is no 'noice'; did you mean 'noise'",
    ),
    "switch": (SPACE + "NEEDS = {'noise': 'augmnt'}", "NEEDS: there is no 'augmnt'"),
    "bad": (SPACE.replace("0.1", "-1"), "noise must be a finite number, 0 or more"),
}
CASES = [
    pytest.param(flag, text, message, id=f"{flag}-{what}")
    for flag, cases in (("model", MODELS), ("dataset", DATASETS), ("space", SPACES))
    for what, (text, message) in cases.items()
]
NAMES = [
    (["--model", "none.py"], "--model: there is no file .*/none.py"),
    (["--model", "folder.py"], "--model: .*/folder.py cannot be read .Is a directory"),
    (["--model", "knn.py"], "there is a models/knn.py already; give .*/knn.py another name"),
    (["--model", "base.py"], "there is a models/base.py already"),
    (["--model", "my model.py"], "name the file by letters, digits, _ and - only"),
    (["--model=-mine.py"], "name the file by letters, digits, _ and - only"),
    (["--model", "mine.py", "folder/mine.py"], "two files are called mine.py"),
    (["--model", "mine"], "there is no 'mine' .*a Python file"),
    (["--dataset", "digits.py"], "there is a bench/data/datasets/digits.py already"),
    (
        ["--dataset", "all.py"],
        "--dataset: this project's code uses the name 'all'; give .*all.py another name",
    ),
    (["--dataset", "none.py"], "--dataset: there is no file .*/none.py"),
]


@pytest.mark.parametrize("name", models.NAMES)
def test_no_model_of_the_project_makes_these_mistakes(name):
    """Such as a hyperparameter over several lines, which no flag and no table would know."""
    assert mistake_in_model(importlib.import_module(f"models.{name}")) is None


def refused(capsys: pytest.CaptureFixture, script: ModuleType, flags: list[str]) -> str:
    data = [] if "--dataset" in flags else ["--dataset", "digits"]
    line = fails(capsys, script, [*data, "--normal_class", "8", *flags], Path())
    assert not Path("results").exists()
    return line


@pytest.mark.usefixtures("own")
@pytest.mark.parametrize(("flag", "text", "message"), CASES)
def test_a_file_that_will_not_do_is_one_line(capsys, flag: str, text: str, message: str) -> None:
    Path("bad.py").write_text(text)
    model = ["--model", "mine.py"] if flag != "model" else []
    for script in (train, train_tune) if flag != "space" else (train_tune,):
        line = refused(capsys, script, [*model, f"--{flag}", "bad.py"])
        assert line.startswith(f"error: --{flag}")
        assert re.search(message, line), line


@pytest.mark.usefixtures("own")
@pytest.mark.parametrize(
    ("flags", "message"), NAMES, ids=lambda value: value if isinstance(value, str) else ""
)
def test_a_name_that_will_not_do_is_one_line(capsys, flags: list[str], message: str) -> None:
    Path("folder.py").mkdir()
    Path("folder").mkdir()
    for name in ("knn.py", "base.py", "my model.py", "-mine.py", "digits.py", "folder/mine.py"):
        Path(name).write_text(MODEL)
    Path("all.py").write_text(DATASET)
    assert re.search(message, refused(capsys, train_tune, flags))


@pytest.mark.usefixtures("own")
def test_a_flag_that_is_a_hyperparameter_of_ones_own_model_has_a_hint(capsys) -> None:
    line = refused(capsys, train_tune, ["--model", "mine.py", "--noise", "0.1"])
    assert "--noise: a hyperparameter is fixed with --set noise=VALUE" in line
