"""`python -m pytest --model=FILE` and the like: the contract tests, on a file of one's own."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from commands import ROOT
from own_files import MODEL

WRONG = MODEL.replace(
    "\n\nSPACE",
    """
    def parts(self, x):
        error = super().parts(x)["reconstruction"]
        return {"reconstruction": error - error.min()}


SPACE""",
)


def checked(*flags: str) -> tuple[int, str]:
    """The exit status of pytest in a process of its own, and what it printed."""
    words = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--tb=line", "-v", *flags]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.slow
def test_a_model_whose_score_depends_on_its_batch_fails_and_only_it_is_tested(tmp_path: Path):
    (tmp_path / "wrong.py").write_text(WRONG)
    some = ["tests/test_models.py", "-n", "0", "-k", "rest_of_the_batch or finite_numbers"]
    status, text = checked(f"--model={tmp_path / 'wrong.py'}", *some)
    assert status == 1
    tests = dict(re.findall(r"^tests/test_models.py::(\w+)\[.*\] (PASSED|FAILED)", text, re.M))
    assert tests == {
        "test_training_and_scoring_give_finite_numbers_of_the_promised_types": "PASSED",
        "test_scores_do_not_depend_on_the_size_order_or_rest_of_the_batch": "FAILED",
    }
    assert set(re.findall(r"::\w+\[(\w+)", text)) == {"wrong"}


@pytest.mark.slow
def test_a_file_that_is_no_model_is_one_line(tmp_path: Path):
    (tmp_path / "empty.py").write_text("")
    status, text = checked(f"--model={tmp_path / 'empty.py'}", "-n", "0")
    assert status == pytest.ExitCode.USAGE_ERROR
    assert f"ERROR: --model: {tmp_path / 'empty.py'} has no 'class Model'" in text
    assert "Traceback" not in text


@pytest.mark.long
@pytest.mark.slow
def test_the_example_and_a_data_set_pass(own: Path):
    flags = [f"--model={own / 'mine.py'}", f"--dataset={own / 'flipped.py'}"]
    status, text = checked(*flags, f"--space={own / 'narrow.py'}", "-n", "2")
    assert status == 0, text
    files = set(re.findall(r"PASSED (?:\[.*?\] )?tests/(\w+)\.py", text))
    assert {"test_models", "test_models_learn", "test_datasets", "test_search_spaces"} <= files
