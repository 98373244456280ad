"""The concepts that a picture can show: the most frequent content words of captions, in a fixed order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from seesay.errors import DataError
from seesay.files import make_folder
from seesay.text.content_words import is_content
from seesay.text.json_file import Kind, read_checked, sha256_of, write_checked

_FILE = Kind(
    format="seesay-concepts",
    version=1,
    keys=frozenset({"words"}),
    other="no concepts of seesay",
    of_version="concepts of format version",
    checked="its words do",
)


@dataclass(frozen=True)
class ConceptWords:
    """Turns captions into the ids of the concepts that they name; it never changes once built.

    Ids follow frequency, the commonest first, ties in alphabetical (code point) order, so that the same captions always
    give the same ids.

    >>> concepts = ConceptWords.build([["a", "red", "dog"], ["the", "dog", "runs"]], count=2)
    >>> concepts.words
    ('dog', 'red')
    >>> concepts.encode(["red", "and", "red", "snow"])
    [1]
    """

    words: tuple[str, ...]
    _ids: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "words", tuple(self.words))
        object.__setattr__(self, "_ids", {word: i for i, word in enumerate(self.words)})

    @classmethod
    def build(cls, tokenized: Iterable[Sequence[str]], count: int, source: Path | str = "concepts") -> ConceptWords:
        """The `count` most frequent content words of the tokenised captions of the file `source`, or all if fewer.

        Raises DataError where there is none, or where a caption is a string instead of a list of tokens.
        """
        counts: Counter[str] = Counter()
        for tokens in tokenized:
            if isinstance(tokens, str):
                raise DataError(
                    f"concepts: received the string {tokens[:40]!r}; expected a list of tokens; tokenize it."
                )
            counts.update(filter(is_content, tokens))
        if not counts:
            raise DataError(
                f"{source}: received no content word in its captions; expected at least one, such as a noun; give more "
                "captions, in English."
            )
        return cls(tuple(sorted(counts, key=lambda word: (-counts[word], word))[:count]))

    def __len__(self) -> int:
        return len(self.words)

    def encode(self, tokens: Iterable[str]) -> list[int]:
        """The ids of the concepts among the tokens, each once, in rising order; other words have none."""
        return sorted({self._ids[token] for token in tokens if token in self._ids})

    @property
    def digest(self) -> str:
        """The SHA-256 of the words in their order, as hexadecimal: equal exactly when all ids mean the same."""
        return sha256_of(self._content())

    def save(self, path: Path | str) -> None:
        """Write the concepts as JSON; the file appears whole or not at all. Raises DataError when it cannot be."""
        make_folder(Path(path).parent)
        write_checked(path, self._content())

    @classmethod
    def load(cls, path: Path | str) -> ConceptWords:
        """Read what `save` wrote; any damage raises DataError in one line that names the file."""
        return cls(tuple(read_checked(path, _file_fault)["words"]))

    def _content(self) -> dict[str, Any]:
        return {**_FILE.head, "words": list(self.words)}


def _file_fault(content: Any) -> str:
    """What is wrong with the content of a file of concepts, or the empty string."""
    if fault := _FILE.fault(content) or _FILE.damage(content):
        return fault
    words = content["words"]
    if not isinstance(words, list) or not words or not all(isinstance(word, str) and word for word in words):
        return f"words {words!r:.60} are no list of words"
    return "" if len(set(words)) == len(words) else "a word occurs twice"
