"""What every caption file is turned into first: entries, not yet checked, each knowing where it stands in its file."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from seesay.errors import DataError

_KINDS = {dict: "an object", list: "a list", type(None): "null", bool: "a truth value"}


class Entry(NamedTuple):
    """One picture as its file spells it: nothing but `where` can be trusted until `records` has checked it."""

    where: str
    id: Any
    file: Any
    split: Any
    captions: Any


def shown(value: Any) -> str:
    """A value as an error message shows it: on one line, and short however large it is.

    >>> shown("two words"), shown(["a"] * 1000), shown(None)
    ("'two words'", 'a list', 'null')
    """
    return _KINDS.get(type(value)) or f"{value!r:.80}"


def fault(path: Path, where: str, problem: str, remedy: str) -> DataError:
    """The error for one place in a caption file; `problem` says what was received and what was expected.

    >>> print(fault(Path("captions.json"), "record 3", "'file' is null; expected a path", "name the picture"))
    captions.json: record 3: 'file' is null; expected a path; name the picture.
    """
    return DataError(f"{path}: {where}: {problem}; {remedy}.")


def objects(value: Any, path: Path, where: str) -> list[dict[str, Any]]:
    """The value, if it is a list of JSON objects; DataError at `where` otherwise."""
    if not isinstance(value, list):
        raise fault(path, where, f"received {shown(value)}; expected a list of objects", "check that it is whole")
    for number, item in enumerate(value, start=1):
        if not isinstance(item, dict):
            remedy = "check that the file is whole"
            raise fault(path, f"{where} {number}", f"received {shown(item)}; expected an object", remedy)
    return value


def field(item: dict[str, Any], key: str, path: Path, where: str) -> Any:
    """`item[key]`; DataError naming the keys that are there when it is missing."""
    if key not in item:
        keys = ", ".join(map(repr, list(item)[:8])) or "no key"
        raise fault(path, where, f"received {keys}; expected '{key}' among them", "add it")
    return item[key]


def identifier(value: Any, path: Path, where: str) -> str:
    """An id, which files give as a whole number or as text, as text.

    >>> identifier(391895, Path("a.json"), "record 1")
    '391895'
    """
    if isinstance(value, bool) or not isinstance(value, int | str) or value == "":
        raise fault(path, where, f"the id is {shown(value)}; expected a whole number or text", "correct it")
    return str(value)
