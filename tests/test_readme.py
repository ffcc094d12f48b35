"""The documents' commands run: the real ones, on fewer and smaller things."""

import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from commands import ROOT, replaced
from small_models import FITTED

import report
import train
import train_tune
from bench import results
from bench.reporting import documents

GUIDES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
MEASURED = sorted((ROOT / "results").glob("*.md"))
SMALL = ["--epochs", "1", "--steps", "2", "--limit_train", "300", "--limit_test", "100"]
SET = ["--set", "ngf=4", "ndf=4"]
TINY = {
    "train_tune.py": [*SMALL, "--trials", "1", "--seeds", "1", *SET],
    "train.py": [*SMALL, "--ngf", "4", "--ndf", "4"],
    "report.py": [],
}


def commands(documents: list[Path]) -> Iterator[list[str]]:
    """The words of every `python` or `uv run SCRIPT.py …`, shell variables filled in."""
    text = "\n".join(path.read_text() for path in documents)
    blocks = re.findall(r"^```(\w*)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    variables: dict[str, str] = {}
    for line in "".join(block for kind, block in blocks if not kind).splitlines():
        if match := re.match(r'([A-Z]+)="(.*)"', line):
            variables[f"${match[1]}"] = match[2]
        elif match := re.search(r"(?:^python|uv run) (\w+\.py .*)", line):
            words = match[1]
            for name, value in variables.items():
                words = words.replace(name, value)
            yield shlex.split(words, comments=True)


COMMANDS = list(dict.fromkeys(map(tuple, commands(GUIDES + MEASURED))))
RUN = set(map(tuple, commands(GUIDES)))  # of the others, of which many are alike, all but the runs


def read_models(words: list[str]) -> list[str]:
    """The models that a command names."""
    if "--model" not in words:
        return []
    rest = words[words.index("--model") + 1 :]
    return rest[: next((i for i, word in enumerate(rest) if word.startswith("--")), len(rest))]


def with_one_set(words: list[str]) -> list[str]:
    """Moves the values of a second --set, the last flag, to the first one."""
    if words.count("--set") < 2:
        return words
    last = len(words) - 1 - words[::-1].index("--set")
    more, names = words[last + 1 :], {word.partition("=")[0] for word in words[last + 1 :]}
    kept = [word for word in words[:last] if word.partition("=")[0] not in names]
    place = kept.index("--set") + 1
    return [*kept[:place], *more, *kept[place:]]


@pytest.fixture(scope="module")
def mnist_zero(tmp_path_factory: pytest.TempPathFactory, cifar10_folder: Path) -> Path:
    """A folder of the same form: one class to train on, and images without labels."""
    folder = tmp_path_factory.mktemp("mnist_zero")
    shutil.copytree(cifar10_folder / "train" / "cat", folder / "train" / "normal")
    shutil.copytree(cifar10_folder / "test" / "cat", folder / "test")
    return folder


@pytest.fixture(scope="module")
def whole_study(tmp_path_factory: pytest.TempPathFactory, ray_session) -> Path:
    folder = tmp_path_factory.mktemp("readme")
    flags = ["--dataset", "digits", "--abnormal_class", "3", *TINY["train_tune.py"]]
    assert train_tune.main([*flags, "--results_dir", str(folder), "--name", "my_study"]) == 0
    run = [*flags[:4], *TINY["train.py"], "--results_dir", str(folder), "--name", "my_run"]
    assert train.main(run) == 0
    return folder / "my_study"


def test_readme_has_commands_of_every_script() -> None:
    assert {command[0] for command in COMMANDS} == set(TINY)
    assert len(COMMANDS) >= 12


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: " ".join(command)[:70])
def test_readme_command(
    command: tuple[str, ...], whole_study: Path, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    script, *words = command
    runs = script != "report.py" and "--resume" not in words
    data: list[str] = []
    known: dict[str, object] = {}
    if {"path/to/cifar10", "cifar10"} & {*words} or (runs and "--dataset" not in words):
        folder = request.getfixturevalue("cifar10_folder")
        known |= {"path/to/cifar10": folder, "cifar10": folder}
        data = [] if "--dataset" in words else ["--dataset", str(folder)]  # else a download
    if "--limit_anomalies" in words:
        known["100"] = 20  # of so few images there are no hundred
    if any("mnist_zero" in word for word in words):
        folder = request.getfixturevalue("mnist_zero")
        known |= {"path/to/mnist_zero": folder, "path/to/mnist_zero/test": folder / "test"}
    known |= {
        "results/<study>": whole_study,
        "results/<other>": whole_study,
        "results/my_study": whole_study,
        "results/<study>/models/TRIAL.safetensors": next((whole_study / "models").iterdir()),
        "path/to/images": whole_study / "scores",  # a folder with galleries, which are images
        "TRIAL": results.read(whole_study).trials.trial.iloc[0],
        "all": "3" if "digits" in words else "cat",
    }
    for folder in (ROOT / "results" / "measured").iterdir():
        known[str(folder.relative_to(ROOT))] = whole_study
    words = [str(known.get(word, word)) for word in words]
    if script == "report.py":
        words += [] if "--reproduce" in words else ["--out", str(tmp_path)]
    elif "--load" in words:
        words += ["--results_dir", str(tmp_path)]
    elif "--resume" in words:
        words = [{"20": "2", "10": "2"}.get(word, word) for word in words]  # trials and seeds
        words += ["--results_dir", str(whole_study.parent)]
    else:
        smaller = [f for f in TINY[script] if f.startswith("--") and f != "--set"]
        words = replaced(words, smaller)[: -len(smaller)]
        words += ["--results_dir", str(tmp_path), *data, *TINY[script]]
        named = set(read_models(words))
        coders = {name for name in named if "autoencoder" in name}
        if coders and script == "train_tune.py":
            words = words[:-2] if named == coders else words  # without SET's values
            words += ["width=4"]
            words += [] if any(word.startswith("nz=") for word in words) else ["nz=8"]
        if script == "train_tune.py" and named and named <= set(FITTED):
            words = words[: -len(SET)]
        if "anogan" in words and script == "train_tune.py":
            words += ["search_steps=2"]
    words = with_one_set(words)
    if "path/to/mnist_zero" in command:  # of 120 images
        words = ["100" if word == "300" else word for word in words]
    if "--niter_decay" in words:  # there is one epoch only
        words[words.index("--niter_decay") + 1] = "0"
    if script == "train_tune.py" and (len(read_models(words)) > 1 or command not in RUN):
        words += ["--dry_run"]  # all but the runs, which would take minutes
    threads = torch.get_num_threads()
    scripts = {"train_tune.py": train_tune, "train.py": train, "report.py": report}
    status = scripts[script].main(words)
    torch.set_num_threads(threads)
    assert status == 0


@pytest.mark.slow
def test_the_tables_are_those_of_the_committed_rows():
    """`python -m bench.reporting.documents` writes them."""
    texts = [path.read_text() for path in documents.DOCUMENTS]
    for text in texts:
        assert documents.filled(text) == text
    assert set(re.findall(r"<!-- table: (\S+) -->", "".join(texts))) == set(documents.TABLES)
