"""environment.yml and uv.lock install the same versions."""

import re
import tomllib

import yaml
from commands import ROOT


def test_environment_yml_has_the_locked_versions() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lock = tomllib.loads((ROOT / "uv.lock").read_text())
    locked = {package["name"]: package.get("version") for package in lock["package"]}
    wanted = []
    for requirement in project["dependencies"]:
        name, extra = re.findall(r"^([\w-]+)(\[\w+\])?", requirement)[0]
        wanted.append(f"{name}{extra}=={locked[name]}")
    conda = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    assert next(entry for entry in conda if isinstance(entry, dict))["pip"] == wanted
    assert f"python{project['requires-python']}" in conda
