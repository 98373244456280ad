"""What pictures are called: one rule for the names of Karpathy's files, and names spelt in other bytes found again.

A letter with an accent is one sign to some systems and two to others (macOS takes names apart, most keyboards do not),
so the name of a file and the name in a list can look alike and differ. Names are matched exactly first, and only where
that fails by their composed form (Unicode's NFC).
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterable, Mapping
from difflib import SequenceMatcher, get_close_matches
from pathlib import Path, PurePosixPath
from typing import Any

_NUMBERS = re.compile(r"\d+")
_COMPARED = 1000  # names that are compared letter by letter, to suggest one: more would take seconds


def composed(name: str) -> str:
    """The name with every accent put together with its letter, which is how two spellings of one name compare.

    >>> composed("cafe" + chr(0x301)) == "café"
    True
    """
    return unicodedata.normalize("NFC", name)


def karpathy_file(image: Mapping[str, Any]) -> Any:
    """The path of a picture of a Karpathy split file: `filepath/filename` where there is a `filepath`.

    None where one of them is not text, for the caller to refuse.

    >>> karpathy_file({"filepath": "val2014", "filename": "1.jpg"}), karpathy_file({"filename": "1.jpg"})
    ('val2014/1.jpg', '1.jpg')
    """
    folder, file = image.get("filepath"), image.get("filename")
    if not folder or not isinstance(file, str):
        return file if isinstance(file, str) else None
    return f"{folder}/{file}" if isinstance(folder, str) else None


def karpathy_id(image: Mapping[str, Any]) -> Any:
    """What a picture of a Karpathy split file goes by: its `cocoid`, or else its path; not checked.

    >>> karpathy_id({"cocoid": 42, "filename": "1.jpg"}), karpathy_id({"filepath": "a", "filename": "1.jpg"})
    (42, 'a/1.jpg')
    """
    return image["cocoid"] if "cocoid" in image else karpathy_file(image)


class Names:
    """Names that are there, to be found by names that may be spelt in other bytes.

    >>> there = Names(["cafe" + chr(0x301) + ".jpg", "png/1.png"])
    >>> there.find("café.jpg") == "cafe" + chr(0x301) + ".jpg", there.find("tea.jpg")
    (True, None)
    >>> there.nearest("photos/png/1.png")
    'png/1.png'
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._names = dict.fromkeys(names)
        self._composed: dict[str, list[str]] | None = None  # made at the first name that is not there as it is

    def find(self, name: str) -> str | None:
        """The name itself where it is there, else the only one of the same composed form; None for anything else."""
        if name in self._names:
            return name
        if self._composed is None:
            self._composed = {}
            for each in self._names:
                self._composed.setdefault(composed(each), []).append(each)
        found = self._composed.get(composed(name), [])
        return found[0] if len(found) == 1 else None

    def nearest(self, name: str) -> str | None:
        """The name that was perhaps meant: of the same file in another folder, else one that is nearly the same.

        Names whose numbers differ are of different pictures, however alike they look.
        """
        file = _file_of(name)
        if same := [each for each in self._names if _file_of(each) == file]:
            ends = [_common_end(each, name) for each in same]
            nearest = [each for each, end in zip(same, ends, strict=True) if end == max(ends)][:_COMPARED]
            return max(nearest, key=lambda each: SequenceMatcher(None, each, name).ratio())
        numbers = _numbers_of(name)
        alike = {_stem_of(each): each for each in self._names if _numbers_of(each) == numbers}
        if len(alike) > _COMPARED:
            return None
        near = get_close_matches(_stem_of(name), alike, n=1, cutoff=0.75)
        return alike[near[0]] if near else None


def picture_path(folder: Path, file: str) -> Path:
    """Where a picture named in a list lies: `folder / file`, with each part spelt as it is on the disk.

    Where nothing of that name is there, under any spelling or under two, it is `folder / file` as given.
    """
    exact = folder / file
    try:
        if exact.exists() or file.isascii():
            return exact
        place = folder
        for part in PurePosixPath(file).parts:
            found = part if (place / part).exists() else Names(os.listdir(place)).find(part)
            if found is None:
                return exact
            place = place / found
    except OSError:  # a name longer than the disk has any, a folder that may not be looked into
        return exact
    return place


def _file_of(name: str) -> str:
    return composed(PurePosixPath(name).name).casefold()


def _numbers_of(name: str) -> list[str]:
    return _NUMBERS.findall(name)


def _stem_of(name: str) -> str:
    """The path without its suffix, which says nothing of which picture it is."""
    return str(PurePosixPath(composed(name).casefold()).with_suffix(""))


def _common_end(one: str, other: str) -> int:
    """How many parts of two paths are the same, counted from their ends."""
    pairs = zip(reversed(PurePosixPath(one).parts), reversed(PurePosixPath(other).parts), strict=False)
    same = [composed(a).casefold() == composed(b).casefold() for a, b in pairs]
    return same.index(False) if False in same else len(same)
