"""The architecture as tests: what imports what, and how long files are."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FILES = sorted(
    path for path in ROOT.rglob("*.py") if path.relative_to(ROOT).parts[0] in ("bench", "models", "search_spaces")
)
SCRIPTS = [ROOT / name for name in ("train.py", "train_tune.py", "report.py")]


def imports(path: Path) -> set[str]:
    """The modules that a file imports anywhere."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
    return found


def roots(path: Path) -> set[str]:
    return {name.split(".")[0] for name in imports(path)}


@pytest.mark.parametrize("path", FILES + SCRIPTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_one_way(path: Path) -> None:
    inside = path.relative_to(ROOT).parts
    if inside[:2] != ("bench", "tuning"):
        assert "ray" not in roots(path), "only bench/tuning imports ray"
    if inside[0] in ("models", "search_spaces"):
        assert "bench" not in roots(path), "models and search spaces know nothing of the harness"
    if inside[0] == "bench":
        assert not roots(path) & {"train", "train_tune", "report"}
    if inside[:2] == ("bench", "reporting") or inside == ("report.py",):
        assert not roots(path) & {"torch", "models"}, "reporting never loads torch"


@pytest.mark.parametrize("path", FILES + SCRIPTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_file_is_long(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 300
