"""The architecture as tests: which folder imports which, and how long files are."""

import ast
import re
from pathlib import Path

import pytest
from commands import ROOT

# The folders of bench/ that each of them may import from, besides itself.
BELOW = {
    "choices": {"judging"},  # the names of what can choose
    "judging": set(),
    "data": {"choices"},
    "results": {"choices", "judging", "watching"},
    "watching": {"choices", "judging"},
    "training": {"choices", "judging", "data", "results", "watching"},
    "tuning": {"choices", "judging", "data", "results", "watching", "training"},
    "reporting": {"choices", "judging", "results"},
    "commands": {*"choices judging data results watching training tuning reporting".split()},
    "speed": {"choices", "data", "results", "training"},
}
WITHOUT_TORCH = {"choices", "judging", "results", "reporting"}
WITHOUT_MODELS = {"judging", "results", "reporting"}
FILES = [
    path
    for name in ("bench", "models", "search_spaces")
    for path in sorted((ROOT / name).rglob("*.py"))
]
SCRIPTS = [ROOT / name for name in ("train.py", "train_tune.py", "report.py")]
each_file = pytest.mark.parametrize(
    "path", FILES + SCRIPTS, ids=lambda path: str(path.relative_to(ROOT))
)


def imports(path: Path) -> set[str]:
    """The modules that a file imports anywhere, `from a import b` as a.b."""
    modules = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: an import says where from"
            modules |= {f"{node.module}.{alias.name}" for alias in node.names}
    return modules


def test_every_folder_has_a_rule() -> None:
    folders = {path.name for path in (ROOT / "bench").iterdir() if (path / "__init__.py").exists()}
    assert folders == set(BELOW)
    assert [path.name for path in (ROOT / "bench").glob("*.py")] == ["__init__.py"], "a loose file"


@each_file
def test_imports_go_down(path: Path) -> None:
    inside, modules = path.relative_to(ROOT).parts, imports(path)
    packages = {name.split(".")[0] for name in modules}
    if inside[0] in ("models", "search_spaces"):
        assert "bench" not in packages, "models and search spaces know nothing of the harness"
    if inside[0] == "bench" and len(inside) > 2:
        folder = inside[1]
        folders = {name.split(".")[1] for name in modules if name.startswith("bench.")}
        assert folders <= BELOW[folder] | {folder}
        assert "ray" not in packages or folder == "tuning", "only bench/tuning imports Ray"
        assert not (folder in WITHOUT_TORCH and packages & {"torch", "torchvision"})
        assert not (folder in WITHOUT_MODELS and "models" in packages)
        assert not packages & {"train", "train_tune", "report"}
    if inside == ("report.py",):
        assert not packages & {"torch", "models", "ray"}


def test_no_file_is_long() -> None:
    files = [*FILES, *SCRIPTS, *(ROOT / "tests").glob("*.py")]
    lengths = {str(path): len(path.read_text().splitlines()) for path in files}
    assert {name: length for name, length in lengths.items() if length > 300} == {}


def test_the_map_names_every_folder_and_only_files_that_exist() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text()
    assert all(f"  {folder}/" in text for folder in BELOW)
    paths = re.findall(r"`((?:bench|models|search_spaces|tests)/[\w/.]+|\w+/\w+\.py)`", text)
    assert len(paths) > 10
    for path in paths:
        assert (ROOT / path).exists() or (ROOT / "bench" / path).exists(), path
