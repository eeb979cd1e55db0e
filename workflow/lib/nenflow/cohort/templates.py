"""Names of files and columns that say what they hold: templates such as "{patient}_{phase}.csv"."""

import glob
import re
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path

WILD = re.compile(r"(\{[^{}]*\}|\*)")


def placeholders(template: str) -> list[str]:
    """What a template names in braces, as often as it does."""
    return [piece.strip("{}") for piece in WILD.findall(template) if piece != "*"]


def readings(template: str, path: str) -> list[dict[str, str]]:
    """The ways in which a path (or another name) fits a template: what each placeholder stands for.

    A placeholder, or `*`, stands for any text without "/".

    Example:
        >>> readings("{patient}_{phase}.csv", "P1_arterial.csv")
        [{'patient': 'P1', 'phase': 'arterial'}]
    """
    found: list[dict[str, str]] = []
    for reading in _match([piece for piece in WILD.split(template) if piece], path):
        if reading not in found:
            found.append(reading)
    return found


def _match(pieces: Sequence[str], path: str) -> Iterator[dict[str, str]]:
    if not pieces:
        if not path:
            yield {}
        return
    if not WILD.fullmatch(pieces[0]):
        if path.startswith(pieces[0]):
            yield from _match(pieces[1:], path[len(pieces[0]) :])
        return
    name = pieces[0].strip("{}")
    for length in range(1, len(path.split("/", 1)[0]) + 1):
        for reading in _match(pieces[1:], path[length:]):
            if name == "*":
                yield reading
            elif reading.get(name, path[:length]) == path[:length]:
                yield {name: path[:length], **reading}


def plain_identifier(text: str) -> str:
    """Letters without accents, digits, and "-" for all that lies between them.

    Letters of other alphabets have no equal here, and names that differ in them only must not become one: "" then.
    """
    plain = "".join(sign for sign in unicodedata.normalize("NFKD", text) if not unicodedata.combining(sign))
    if any(sign.isalnum() and not sign.isascii() for sign in plain):
        return ""
    return re.sub(r"[^A-Za-z0-9]+", "-", plain).strip("-")


def fitting_files(template: str) -> list[str]:
    """The files whose path fits a template, sorted; a template without placeholders is the one file itself."""
    pieces = [piece for piece in WILD.split(template) if piece]
    if not any(WILD.fullmatch(piece) for piece in pieces):
        return [template]
    pattern = "".join("*" if WILD.fullmatch(piece) else glob.escape(piece) for piece in pieces)
    return sorted(Path(path).as_posix() for path in glob.glob(pattern) if Path(path).is_file())
