"""docs/tour.ipynb: it runs, and what it shows is what it gives."""

import nbformat
import pytest
from commands import ROOT
from nbclient import NotebookClient

TOUR = ROOT / "docs" / "tour.ipynb"


def tables(notebook: nbformat.NotebookNode) -> list[str]:
    """The notebook's tables, which are of committed rows."""
    outputs = (output for cell in notebook.cells for output in cell.get("outputs", []))
    return [
        output["data"]["text/plain"] for output in outputs if "text/html" in output.get("data", {})
    ]


def test_the_tour_is_small_and_has_all_its_outputs():
    notebook = nbformat.read(TOUR, as_version=4)
    assert TOUR.stat().st_size < 150_000
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert "error" not in {output["output_type"] for output in outputs}
    assert len(tables(notebook)) == 3
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 2
    assert "/tmp" not in TOUR.read_text()
    assert "docs/tour.ipynb" in (ROOT / "README.md").read_text()


@pytest.mark.slow
def test_the_tour_runs_and_gives_the_same_tables():
    notebook = nbformat.read(TOUR, as_version=4)
    before = tables(notebook)
    place = {"metadata": {"path": str(TOUR.parent)}}
    NotebookClient(notebook, timeout=300, resources=place).execute()
    assert tables(notebook) == before
