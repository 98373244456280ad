"""What a tagger sees of a word: the word itself, its beginnings and endings and its shape, each as an id; where asked,
its letters; and the tags.

An unknown word is not lost on the tagger: `-ing` and `Xx` say much about what it can be.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

from seesay.errors import DataError
from seesay.files import make_folder
from seesay.text.json_file import Kind, read_checked, sha256_of, write_checked

PAD, UNK = 0, 1  # of every column
UNKNOWN_TAG = -1
_FIRST = 2  # the id of a column's first value
LONGEST_WORD = 40  # letters; of a longer word the first and the last half of these are seen
_FILE = Kind(
    format="seesay-lexicon",
    version=1,
    keys=frozenset({"sight", "columns", "tags"}),
    other="not a seesay lexicon",
    of_version="lexicon format version",
    checked="its content does",
    further=frozenset({"characters"}),
)


@dataclass(frozen=True)
class Sight:
    """Which columns there are: the word, its first 1 to `prefixes` and last 1 to `suffixes` letters, its shape.

    `lower`: case is left to the shape; `digits`: every digit counts as 0. Both are for all columns but the shape.

    >>> Sight(prefixes=1, suffixes=2).columns("Pre-1990")
    ['pre-0000', 'p', '0', '00', 'Xx-d']
    """

    prefixes: int = 3
    suffixes: int = 4
    shape: bool = True
    lower: bool = True
    digits: bool = True

    def columns(self, word: str) -> list[str]:
        """The value in each column; an affix longer than the word is the word after a space."""
        word = unicodedata.normalize("NFC", word)
        seen = re.sub(r"\d", "0", word) if self.digits else word
        seen = seen.lower() if self.lower else seen
        starts = [seen[:size] if len(seen) >= size else f" {seen}" for size in range(1, self.prefixes + 1)]
        ends = [seen[-size:] if len(seen) >= size else f" {seen}" for size in range(1, self.suffixes + 1)]
        return [seen, *starts, *ends, *([shape(word)] if self.shape else [])]


@dataclass(frozen=True)
class Lexicon:
    """Turns words into rows of ids, and tags into ids and back; it never changes once built.

    In every column id 0 fills up short sentences, 1 stands for what is not known, and values follow by frequency, the
    commonest first, ties in code point order; so it is with the letters of words. Tags are in code point order. What
    has tags alone, such as frames of sound, has a lexicon without columns.

    >>> lexicon = Lexicon.build([["A", "dog"]], [["DT", "NN"]], prefixes=0, suffixes=1, shape=False, rare_affixes=1)
    >>> lexicon.encode(["a", "frog"]), lexicon.sizes, lexicon.tags
    ([(2, 2), (1, 3)], (4, 4), ('DT', 'NN'))
    """

    values: tuple[tuple[str, ...], ...]  # by column
    tags: tuple[str, ...]
    sight: Sight = field(default_factory=Sight)
    characters: tuple[str, ...] = ()  # none where words are not spelled
    _ids: tuple[dict[str, int], ...] = field(init=False, repr=False, compare=False)
    _tag_ids: dict[str, int] = field(init=False, repr=False, compare=False)
    _character_ids: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        ids = tuple({value: i for i, value in enumerate(column, _FIRST)} for column in self.values)
        object.__setattr__(self, "_ids", ids)
        object.__setattr__(self, "_tag_ids", {tag: i for i, tag in enumerate(self.tags)})
        object.__setattr__(self, "_character_ids", {letter: i for i, letter in enumerate(self.characters, _FIRST)})

    @classmethod
    def build(
        cls,
        words: Iterable[Sequence[str]],
        tags: Iterable[Sequence[str]],
        *,
        minimum_count: int = 1,
        rare_affixes: int = 2,
        prefixes: int = 3,
        suffixes: int = 4,
        shape: bool = True,
        lower: bool = True,
        digits: bool = True,
        characters: bool = False,
    ) -> Lexicon:
        """What occurs in the sentences: words `minimum_count` times or more, affixes, shapes and, where asked,
        characters `rare_affixes` times.

        Raises DataError when no word does, when there is no tag, or for a sentence that is a string.
        """
        sight = Sight(prefixes, suffixes, shape, lower, digits)
        found: Counter[str] = Counter()
        for sentence in words:
            found.update(_tokens(sentence))
        counts: list[Counter[str]] = [Counter() for _ in sight.columns("")]
        for word, count in found.items():
            for column, value in zip(counts, sight.columns(word), strict=True):
                column[value] += count
        least = [minimum_count, *[rare_affixes] * (len(counts) - 1)]
        values = tuple(_common(column, count) for column, count in zip(counts, least, strict=True))
        names = tuple(sorted({tag for sentence in tags for tag in _tokens(sentence)}))
        if not values[0] or not names:
            raise DataError(
                f"lexicon: received {_counted(found, 'word')} and {_counted(names, 'tag')}, "
                f"{_counted(values[0], 'word')} of them at least {minimum_count} times; expected one at least; "
                "give more sentences or lower the minimum count."
            )
        letters: Counter[str] = Counter()
        for word, count in found.items() if characters else ():
            letters.update(dict.fromkeys(_seen(word), count))
        return cls(values, names, sight, _common(letters, rare_affixes))

    @property
    def sizes(self) -> tuple[int, ...]:
        """How many ids each column has, those for padding and for the unknown included."""
        return tuple(len(column) + _FIRST for column in self.values)

    def encode(self, words: Sequence[str]) -> list[tuple[int, ...]]:
        """The ids of each word, one a column."""
        rows = map(self.sight.columns, _tokens(words))
        return [tuple(ids.get(value, UNK) for ids, value in zip(self._ids, row, strict=True)) for row in rows]

    def spell(self, word: str) -> list[int]:
        """The ids of a word's letters, case and all; of a word beyond 40 those of its two ends.

        >>> Lexicon((("dog",),), ("NN",), Sight(0, 0, shape=False), ("o", "g")).spell("Dog")
        [1, 2, 3]
        """
        return [self._character_ids.get(letter, UNK) for letter in _seen(word)]

    @property
    def character_count(self) -> int:
        """How many ids letters have, those for padding and for the unknown included; 0 where words are not spelled."""
        return len(self.characters) + _FIRST if self.characters else 0

    def encode_tags(self, tags: Iterable[str]) -> list[int]:
        """The ids of the tags; -1 for a tag that did not occur in training, which nothing can find.

        >>> Lexicon((("dog",),), ("DT", "NN"), Sight(0, 0, shape=False)).encode_tags(["NN", "XX"])
        [1, -1]
        """
        return [self._tag_ids.get(tag, UNKNOWN_TAG) for tag in tags]

    @property
    def digest(self) -> str:
        """The SHA-256 of columns and tags, as hexadecimal: equal exactly when all ids mean the same."""
        return sha256_of(self._content())

    def save(self, path: Path | str) -> None:
        """Write the lexicon as JSON; the file appears whole or not at all. Raises DataError when it cannot be."""
        make_folder(Path(path).parent)
        write_checked(path, self._content())

    @classmethod
    def load(cls, path: Path | str) -> Lexicon:
        """Read what `save` wrote; any damage raises DataError in one line that names the file."""
        content = read_checked(path, _file_fault)
        values = tuple(tuple(column) for column in content["columns"])
        letters = tuple(content.get("characters", ()))
        return cls(values, tuple(content["tags"]), Sight(**content["sight"]), letters)

    def _content(self) -> dict[str, Any]:
        columns = [list(column) for column in self.values]
        spelling = {"characters": list(self.characters)} if self.characters else {}
        return {**_FILE.head, "sight": asdict(self.sight), "columns": columns, "tags": list(self.tags), **spelling}


def shape(word: str) -> str:
    """The kinds of a word's letters, runs of the same kind as one: X capital, x small, a without case, d digit.

    >>> [shape(word) for word in ("McCoy", "U.S.", "1,000", "--")]
    ['XxXx', 'X.X.', 'd,d', '-']
    """
    return "".join(kind for kind, _ in groupby(map(_kind, word)))


def _kind(letter: str) -> str:
    if letter.isalpha():
        return "X" if letter.isupper() else "x" if letter.islower() else "a"
    return "d" if letter.isdigit() else letter


def _seen(word: str) -> str:
    """The letters of a word that are looked at."""
    word = unicodedata.normalize("NFC", word)
    return word if len(word) <= LONGEST_WORD else word[: LONGEST_WORD // 2] + word[-LONGEST_WORD // 2 :]


def _tokens(sentence: Sequence[str]) -> Sequence[str]:
    if isinstance(sentence, str):
        raise DataError(f"lexicon: received the string {sentence[:40]!r}; expected a list of words; split it.")
    return sentence


def _common(counts: Counter[str], least: int) -> tuple[str, ...]:
    kept = [value for value, count in counts.items() if count >= least]
    return tuple(sorted(kept, key=lambda value: (-counts[value], value)))


def _counted(some: Collection[str], what: str) -> str:
    return f"{len(some)} {what}{'s' if len(some) != 1 else ''}"


def _file_fault(content: Any) -> str:
    """What is wrong with a lexicon file's content, or the empty string."""
    if fault := _FILE.fault(content) or _FILE.damage(content):
        return fault
    if not isinstance(content["sight"], dict) or _types(content["sight"]) != _types(asdict(Sight())):
        return f"its sight is {content['sight']!r:.120}"
    lists = [*content["columns"], content["tags"]] if isinstance(content["columns"], list) else [None]
    lists.append(content.get("characters", []))
    if not all(isinstance(one, list) and len(set(map(str, one))) == len(one) for one in lists):
        return "a column, the letters or the tags are no list of different texts"
    if content["columns"] and len(content["columns"]) != len(Sight(**content["sight"]).columns("")):
        return f"{len(content['columns'])} columns do not fit its sight {content['sight']!r:.120}"
    return ""


def _types(settings: dict[str, Any]) -> dict[str, type]:
    return {key: type(value) for key, value in settings.items()}
