"""Models, data sets and search spaces in Python files outside this project.

Python imports such a file as if it lay in its kind's folder. A command reads each file once and
runs what it read, in every process. So the SHA-256 in a row is that of the code behind it, even if
the file is edited meanwhile.
"""

import builtins
import hashlib
import importlib.abc
import importlib.util
import linecache
import os
import re
import sys
import traceback
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import models
from bench.choices.errors import UserError
from bench.choices.names import on_disk

# By flag: the package that a file joins, and the beginnings of lines that the file must have.
KINDS = {
    "model": ("models", ("class Model", "class Config")),
    "dataset": ("bench.data.datasets", ("CLASSES", "def load")),
    "space": ("search_spaces", ("SPACE",)),
}
FILES: dict[str, "OutsideFile"] = {}  # by the name that Python imports it by


@dataclass(frozen=True)
class OutsideFile(importlib.abc.SourceLoader):
    """A Python file as it was when it was read; Python's loader of its module too."""

    kind: str  # the flag that named it
    path: str  # absolute
    content: bytes = field(repr=False)

    @property
    def name(self) -> str:
        """What rows and names of trials call it: the file's name without .py."""
        return name_of(self.path)

    @property
    def module(self) -> str:
        return f"{KINDS[self.kind][0]}.{self.name}"

    @property
    def sha256(self) -> str:
        return sha256_of(self.content)

    @property
    def text(self) -> str:
        return importlib.util.decode_source(self.content)

    def get_filename(self, fullname: str) -> str:
        return self.path

    def get_data(self, path: str | bytes) -> bytes:
        return self.content

    def exec_module(self, module: ModuleType) -> None:
        # Tracebacks then show what runs, not what the file has become.
        lines = self.text.splitlines(keepends=True)
        linecache.cache[self.path] = (len(self.content), None, lines, self.path)
        super().exec_module(module)

    def defines(self, beginning: str) -> bool:
        """Whether a line of the file begins with this word or these words."""
        return bool(re.search(rf"^{beginning}\b", self.text, re.MULTILINE))

    def load(self) -> ModuleType:
        """The file's module; UserError for an error that importing it raises."""
        try:
            return importlib.import_module(self.module)
        except (Exception, SystemExit) as error:
            raise self.fault(error) from None

    def fault(self, error: BaseException) -> UserError:
        """The UserError that says which error a line of the file raised."""
        frames = traceback.extract_tb(error.__traceback__)
        line = next((f.lineno for f in reversed(frames) if f.filename == self.path), None)
        text = str(error)
        if isinstance(error, SyntaxError) and error.filename == self.path:
            line, text = error.lineno, error.msg
        where = self.path if line is None else f"{self.path}, line {line}"
        return UserError(f"--{self.kind}: {where}: {type(error).__name__}: {text}")


class Finder(importlib.abc.MetaPathFinder):
    """Tells Python of the modules in FILES."""

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> Any:
        file = FILES.get(fullname)
        return file and importlib.util.spec_from_loader(fullname, file)


sys.meta_path.insert(0, Finder())


def sha256_of(content: bytes) -> str:
    """The SHA-256 of a file's content, as `sha256sum` prints it."""
    return hashlib.sha256(content).hexdigest()


def is_file(choice: str) -> bool:
    """Whether a flag's value is a Python file, not a name."""
    return choice.endswith(".py")


def name_of(choice: str) -> str:
    """The name of a flag's value: a file's is its own, without folders and .py."""
    return Path(choice).stem if is_file(choice) else choice


def absolute(choice: str) -> str:
    """A flag's value; of a file, its path from any working directory."""
    return os.path.abspath(os.path.expanduser(choice)) if is_file(choice) else choice


def read(kind: str, path: str) -> OutsideFile:
    """Reads the Python file that a flag names, without running it.

    UserError if it cannot be read, has a name that Python cannot import it by, or lacks what its
    kind must define.
    """
    place = on_disk(Path(absolute(path)))
    try:
        file = OutsideFile(kind, str(place), place.read_bytes())
    except FileNotFoundError:
        raise UserError(f"--{kind}: there is no file {path}") from None
    except OSError as error:
        raise UserError(f"--{kind}: {path} cannot be read ({error.strerror})") from None
    if not re.fullmatch(r"[\w+][\w+-]*", file.name):  # --name takes no dash at its beginning
        raise UserError(f"--{kind}: {place.name}: name the file by letters, digits, _ and - only")
    if file.module not in FILES and importlib.util.find_spec(file.module):
        taken = file.module.replace(".", "/") + ".py"
        raise UserError(f"--{kind}: there is a {taken} already; give {path} another name")
    if hides_another(file):
        raise UserError(
            f"--{kind}: this project's code uses the name '{file.name}'; give {path} another name"
        )
    try:
        compile(file.content, file.path, "exec", dont_inherit=True)
        missing = [word for word in KINDS[kind][1] if not file.defines(word)]
    except (SyntaxError, ValueError) as error:  # ValueError: null bytes
        raise file.fault(error) from None
    if missing:
        raise UserError(f"--{kind}: {path} has no '{missing[0]}' (README.md: add a model)")
    return file


def hides_another(file: OutsideFile) -> bool:
    """Whether the file's name, once it is imported, hides one that its package uses (such as `all`)."""
    package = importlib.import_module(KINDS[file.kind][0])
    used = getattr(package, file.name, getattr(builtins, file.name, None))
    return used is not None and getattr(used, "__name__", None) != file.module


def add(files: Iterable[OutsideFile]) -> None:
    """Lets Python import the files; a model's with a SPACE is a search space too."""
    for file in files:
        if FILES.get(file.module) != file:
            sys.modules.pop(file.module, None)  # of an earlier command in this process
            FILES[file.module] = file
        if file.kind == "model":
            models.NAMES.extend({file.name} - set(models.NAMES))
            if file.defines("SPACE"):
                add([replace(file, kind="space")])


def file(kind: str, choice: str) -> OutsideFile:
    """The file as this command read it; reads it now if that has not happened yet."""
    module = f"{KINDS[kind][0]}.{name_of(choice)}"
    if module not in FILES:
        add([read(kind, choice)])
    return FILES[module]


def module(kind: str, choice: str) -> ModuleType:
    """The module of a flag's value, a file or a name; UserError for an error in a file."""
    if is_file(choice):
        return file(kind, choice).load()
    return importlib.import_module(f"{KINDS[kind][0]}.{choice}")


def hashes(files: Iterable[tuple[str, str]]) -> dict[str, dict[str, str]]:
    """The SHA-256 of files, by flag and name; `files`: flag and path of each."""
    by_flag: dict[str, dict[str, str]] = {}
    for flag, path in files:
        by_flag.setdefault(flag, {})[name_of(path)] = file(flag, path).sha256
    return by_flag
