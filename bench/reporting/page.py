"""The report as one HTML file that needs nothing else."""

import base64
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2

from bench.reporting.figures import Drawing
from bench.reporting.writers import Table
from bench.results import Results


def page(
    studies: Mapping[str, Results], tables: Sequence[Table], drawings: Sequence[Drawing], warnings: Sequence[str]
) -> str:
    """The page's HTML: every text from a study is escaped, every figure is inside it."""
    loader = jinja2.FileSystemLoader(Path(__file__).parent)
    environment = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined)
    environment.filters["base64"] = lambda data: base64.b64encode(data).decode()
    provenance = {name: flat(study.provenance) | flat(study.study) for name, study in studies.items()}
    return environment.get_template("page.html.j2").render(
        tables=tables, drawings=drawings, warnings=warnings, provenance=provenance
    )


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested choices as one level of texts (`hardware cpu`); what was not chosen is left out."""
    found: dict[str, str] = {}
    for name, value in values.items():
        if isinstance(value, dict):
            found |= flat(value, f"{prefix}{name} ")
        elif value is not None and value != []:
            found[prefix + name] = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return found
