"""File names from other systems, as a person reads them.

Archives from Windows hold names whose bytes are not UTF-8; macOS writes "ä" as two characters, a
letter and its dots.
"""

import codecs
import contextlib
import datetime
import os
import re
import unicodedata
from pathlib import Path

UNDECODED = re.compile("[\udc80-\udcff]+")  # Python's stand-ins for bytes that it cannot decode
LEGIBLE = "legible"  # the encoding error handler that writes them as `legible` does


def legible(name: str) -> str:
    """The name as a person reads it.

    Bytes that are not UTF-8 are read as Windows' Western letters (cp1252), and a letter with its
    accent becomes one character.
    """
    return unicodedata.normalize("NFC", UNDECODED.sub(lambda part: _decode(part[0]), name))


def on_disk(path: Path) -> Path:
    """The path if it exists, else an existing path whose legible form is the same.

    So a path that was printed or saved in its legible form can be opened. If nothing of the path
    exists, it is returned unchanged.
    """
    if path == path.parent or os.path.exists(path):
        return path
    parent = on_disk(path.parent)
    with contextlib.suppress(OSError):
        for entry in parent.iterdir():
            if legible(entry.name) == legible(path.name):
                return entry
    return parent / path.name


def natural(name: str) -> tuple[list[int | str], str]:
    """What sorts names with the numbers in them by size: `2.jpg` before `10.jpg`."""
    words = re.split(r"(\d+)", name)  # every second one is a number
    return [int(word) if i % 2 else word for i, word in enumerate(words)], name


def folder_name(text: str) -> str:
    """The text as a plain folder name."""
    return re.sub(r"[^\w.+-]", "_", legible(text))


def stamped(*parts: str) -> str:
    """The parts and the time, as a folder name."""
    return folder_name("-".join([*parts, f"{datetime.datetime.now():%Y%m%d-%H%M%S}"]))


def _decode(undecoded: str) -> str:
    data = undecoded.encode("ascii", "surrogateescape")
    for encoding in ("utf-8", "cp1252"):  # UTF-8 stays undecoded where the locale is C
        with contextlib.suppress(UnicodeDecodeError):
            return data.decode(encoding)
    return data.decode("latin-1")


def _encode(error: UnicodeError) -> tuple[bytes, int]:
    """The LEGIBLE error handler: the replacement for characters that an encoding lacks."""
    assert isinstance(error, UnicodeEncodeError)
    text = legible(error.object[error.start : error.end])
    # Every Windows code page calls itself "charmap", which says nothing of its characters.
    encoding = "ascii" if error.encoding == "charmap" else error.encoding
    return text.encode(encoding, "backslashreplace"), error.end


codecs.register_error(LEGIBLE, _encode)
