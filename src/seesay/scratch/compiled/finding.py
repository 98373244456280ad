"""Whether a library in C may be used, and looking for it once."""

from __future__ import annotations

import os
from collections.abc import Callable
from threading import Lock
from typing import Generic, TypeVar

Found = TypeVar("Found")
_allowed = True


def use_compiled(use: bool = True) -> None:
    """Allows what is compiled from now on, or with False does without, as SEESAY_COMPILED=0 does from the start.

    A model that was prepared for 8 bits before stays as it was prepared.

    >>> use_compiled(False); reason_not_allowed()
    'use_compiled(False)'
    >>> use_compiled()
    """
    global _allowed
    _allowed = use


def reason_not_allowed() -> str:
    """Who has forbidden it; "" where nobody has."""
    if os.environ.get("SEESAY_COMPILED", "") == "0":
        return "SEESAY_COMPILED=0"
    return "" if _allowed else "use_compiled(False)"


class Finder(Generic[Found]):
    """A library that `find` opens at the first call, or else says in a line why there is none.

    >>> finder: Finder[int] = Finder(lambda: "no compiler")
    >>> finder.library(), finder.reason()
    (None, 'no compiler')
    """

    def __init__(self, find: Callable[[], Found | str]) -> None:
        self._find, self._lock = find, Lock()
        self._found: Found | str | None = None  # None before anybody asked

    def library(self) -> Found | None:
        """The library if it may be used, built at the first call; None where there is none (see `reason`)."""
        if reason_not_allowed():
            return None
        with self._lock:
            if self._found is None:
                self._found = self._find()
            return None if isinstance(self._found, str) else self._found

    def reason(self) -> str:
        """Why `library` gives None, in a line; "" where it does not."""
        return "" if self.library() is not None else reason_not_allowed() or str(self._found)

    def forget(self) -> None:
        """Looks for the library again at the next call."""
        with self._lock:
            self._found = None
