"""The report as one HTML file that needs nothing else."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jinja2

from bench.reporting.drawing import FONTS, Drawing
from bench.reporting.writers import Table, file_names
from bench.results.reading import Results


@dataclass(frozen=True)
class Section:
    """One question that the page answers."""

    name: str
    title: str
    tables: Sequence[Table] = ()
    drawings: Sequence[Drawing] = ()
    lead: Sequence[Drawing] = ()  # before the tables


UNQUOTED = ' !$"()*+,-./:;=?@[\\]^_`{|}~'  # in a data: URI between single quotes
MOST_IN_SHORT = 3  # different values of a setting; the table of all settings has more
IN_SHORT = ("data", "protocol", "chosen by", "final runs")  # settings that the page begins with
MARK = '<meta name="generator" content="ganomaly-bench">'  # tells a report from a user's own page


def page(
    studies: Mapping[str, Results],
    sections: Sequence[Section],
    runs: Sequence[dict[str, Any]],
    warnings: Mapping[str, Sequence[str]],
    title: str = "",
    lead: str = "",
) -> str:
    """The page's HTML: every text from a study is escaped, every figure is inside it.

    `warnings`: each line, with the single warnings that it sums up. `title` replaces the studies'
    names (or their number); `lead` is HTML below the title, and is not escaped.
    """
    loader = jinja2.FileSystemLoader(Path(__file__).parent)
    environment = jinja2.Environment(
        loader=loader,
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "quoted": quoted,
        "heat": heat,
        "file_name": lambda name: file_names([name])[0],
    }
    provenance = {
        name: flat(study.provenance) | flat(study.study) for name, study in studies.items()
    }
    settings = next(part.tables[0] for part in sections if part.name == "measured").frame
    in_short = {
        choice: list(dict.fromkeys(values))
        for choice, *values in settings.itertuples(index=False, name=None)
        if choice in IN_SHORT and len(set(values)) <= MOST_IN_SHORT
    }
    template = environment.get_template("page.html.j2")
    return template.render(
        sections=sections,
        runs=runs,
        warnings=warnings,
        title=title,
        lead=lead,
        provenance=provenance,
        in_short=in_short,
        fonts=FONTS,
        mark=MARK,
    )


def quoted(data: str | bytes, also: str = "") -> str:
    """Percent-encodes the data of a data: URI, which is a fifth shorter than base64.

    `also`: further characters to leave as they are.
    """
    return quote(data, safe=UNQUOTED + also)


def heat(text: str, scale: tuple[float, float]) -> str:
    """A cell's background colour: none at the middle of the scale, strongest at its end.

    `scale`: the middle, and how far its ends are from it. Empty for a text that is no figure.
    """
    figure = re.match(r"[+-]?\d\.\d+", text)
    if not figure:
        return ""
    away = (float(figure[0]) - scale[0]) / scale[1]
    name = "good" if away > 0 else "bad"
    return f"color-mix(in srgb, var(--{name}) {min(50, 50 * abs(away)):.0f}%, var(--back))"


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """A nested dict as a flat one of texts (`hardware cpu`), without None and empty lists."""
    texts: dict[str, str] = {}
    for name, value in values.items():
        if isinstance(value, dict):
            texts |= flat(value, f"{prefix}{name} ")
        elif value is not None and value != []:
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            texts[prefix + name] = text
    return texts
