"""Names from other systems: bytes that are no UTF-8 (archives from Windows), letters in two parts (from macOS)."""

import codecs
import re
import unicodedata
from pathlib import Path

UNDECODED = re.compile("[\udc80-\udcff]")  # how Python holds a file name's bytes that are no UTF-8
LEGIBLE = "legible"  # `errors` of a stream or of str.encode: such bytes come out as `legible` shows them


def legible(name: str) -> str:
    """The name as a person reads it: undecodable bytes as Windows' Western letters, each letter as one character."""
    return unicodedata.normalize("NFC", UNDECODED.sub(lambda byte: _letter(ord(byte[0]) - 0xDC00), name))


def on_disk(path: Path) -> Path:
    """The path; where there is none, one that is shown alike, so that what was printed or saved can be opened."""
    if path == path.parent or path.exists():
        return path
    parent = on_disk(path.parent)
    alike = (
        [entry for entry in parent.iterdir() if legible(entry.name) == legible(path.name)] if parent.is_dir() else []
    )
    return alike[0] if alike else parent / path.name


def _letter(byte: int) -> str:
    try:
        return bytes([byte]).decode("cp1252")
    except UnicodeDecodeError:
        return chr(byte)


def _encode(error: UnicodeError) -> tuple[bytes, int]:
    """What is written for characters that an encoding lacks."""
    assert isinstance(error, UnicodeEncodeError)
    text = legible(error.object[error.start : error.end])
    return text.encode(error.encoding, "backslashreplace"), error.end


codecs.register_error(LEGIBLE, _encode)
