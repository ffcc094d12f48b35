"""Names from other systems: bytes that are no UTF-8 (archives from Windows), letters in two parts (from macOS)."""

import codecs
import contextlib
import os
import re
import unicodedata
from pathlib import Path

UNDECODED = re.compile("[\udc80-\udcff]+")  # how Python holds bytes of file names that it cannot decode
LEGIBLE = "legible"  # `errors` of a stream or of str.encode: such bytes come out as `legible` shows them


def legible(name: str) -> str:
    """The name as a person reads it: undecodable bytes as Windows' Western letters, each letter as one character."""
    return unicodedata.normalize("NFC", UNDECODED.sub(lambda part: _decode(part[0]), name))


def on_disk(path: Path) -> Path:
    """The path; where there is none, one that is shown alike, so that what was printed or saved can be opened."""
    if path == path.parent or os.path.exists(path):
        return path
    parent = on_disk(path.parent)
    with contextlib.suppress(OSError):
        for entry in parent.iterdir():
            if legible(entry.name) == legible(path.name):
                return entry
    return parent / path.name


def _decode(undecoded: str) -> str:
    data = undecoded.encode("ascii", "surrogateescape")
    for encoding in ("utf-8", "cp1252"):  # UTF-8: where the locale is C
        with contextlib.suppress(UnicodeDecodeError):
            return data.decode(encoding)
    return data.decode("latin-1")


def _encode(error: UnicodeError) -> tuple[bytes, int]:
    """What is written for characters that an encoding lacks."""
    assert isinstance(error, UnicodeEncodeError)
    text = legible(error.object[error.start : error.end])
    encoding = "ascii" if error.encoding == "charmap" else error.encoding  # so all code pages call themselves
    return text.encode(encoding, "backslashreplace"), error.end


codecs.register_error(LEGIBLE, _encode)
