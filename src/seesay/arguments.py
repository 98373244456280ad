"""What callers hand in, before it is used: lists that are lists, and paths as text or as objects."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from seesay.errors import DataError


def listed(values: Any, where: str, expected: str) -> list[Any]:
    """`values` as a list, those of a generator too; DataError, which begins with `where`, for what is none.

    A lone string is a sequence of letters to Python, a dict one of its keys: taken so, either would go unnoticed.

    >>> listed((one for one in "ab"), "texts", "a list of texts")
    ['a', 'b']
    >>> listed("ab", "texts", "a list of texts")
    Traceback (most recent call last):
    seesay.errors.DataError: texts: received 'ab'; expected a list of texts; put even a single one in a list.
    """
    if isinstance(values, str | bytes | os.PathLike | Mapping) or not isinstance(values, Iterable):
        raise DataError(f"{where}: received {shortened(values)}; expected {expected}; put even a single one in a list.")
    return list(values)


def path_of(value: Any, where: str, expected: str = "a path, as text or a pathlib.Path") -> Path:
    """The path that `value` is or spells; DataError, which begins with `where`, for anything but text or a path.

    >>> path_of("runs/demo", "run").name
    'demo'
    """
    if not isinstance(value, str | os.PathLike) or isinstance(name := os.fspath(value), bytes):
        raise DataError(f"{where}: received {shortened(value)}; expected {expected}.")
    if not name:
        raise DataError(f"{where}: received an empty path; expected {expected}; name one.")
    return Path(name)


def shortened(value: Any) -> str:
    """A value in a message: itself where that is short, or else its type.

    >>> shortened([1, 2]), shortened(["a long one"] * 9)
    ('[1, 2]', "a value of type 'list'")
    """
    plain = value is None or isinstance(value, str | bytes | int | float | list | tuple | dict | os.PathLike)
    shown = repr(value) if plain else ""
    if isinstance(value, str) or (shown and len(shown) <= 60):
        return f"{shown:.60}"
    return f"a value of type '{type(value).__name__}'"
