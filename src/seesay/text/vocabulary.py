"""The words a model knows, each with its id."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from seesay.errors import DataError
from seesay.text.json_file import Kind, read_checked, sha256_of, write_checked

SPECIALS = ("<unk>", "<pad>", "<bos>", "<eos>")
UNK, PAD, BOS, EOS = range(4)
_FILE = Kind(
    format="seesay-vocabulary",
    version=1,
    keys=frozenset({"minimum_count", "words"}),
    other="not a seesay vocabulary",
    of_version="vocabulary format version",
    checked="its words do",
)


@dataclass(frozen=True)
class Vocabulary:
    """Turns tokens into ids and back; it never changes once built.

    Ids 0 to 3 are `<unk>`, `<pad>`, `<bos>`, `<eos>`; words follow by frequency, the commonest first, ties in
    alphabetical (code point) order, so that the same captions always give the same ids.

    >>> vocabulary = Vocabulary.build([["a", "dog"], ["a", "cat"]], minimum_count=1)
    >>> vocabulary.words
    ('<unk>', '<pad>', '<bos>', '<eos>', 'a', 'cat', 'dog')
    >>> vocabulary.encode(["a", "zebra"])
    [4, 0]
    >>> vocabulary.decode([2, 4, 6, 3, 5])
    ['a', 'dog']
    """

    words: tuple[str, ...]
    minimum_count: int = 1
    _ids: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "words", tuple(self.words))
        fault = _fault(self.words, self.minimum_count)
        if fault:
            raise DataError(f"vocabulary: {fault}; build it again from the captions.")
        # A caption may contain the text "<eos>": only the model may end a sentence, so specials are never encoded.
        object.__setattr__(self, "_ids", {word: i for i, word in enumerate(self.words) if word not in SPECIALS})

    @classmethod
    def build(
        cls, tokenized: Iterable[Sequence[str]], minimum_count: int, source: Path | str = "vocabulary"
    ) -> Vocabulary:
        """The words that occur at least `minimum_count` times in the tokenised captions of the file `source`.

        Raises DataError when no word does, or when a caption is a string instead of a list of tokens.
        """
        counts: Counter[str] = Counter()
        for tokens in tokenized:
            if isinstance(tokens, str):
                raise _untokenized(tokens)
            counts.update(tokens)
        kept = [word for word, count in counts.items() if count >= minimum_count and word not in SPECIALS]
        if not kept:
            what = "word" if len(counts) == 1 else "words"
            raise DataError(
                f"{source}: none of {len(counts)} {what} occurs {minimum_count} times; expected at least one word; "
                "lower the minimum count (data.minimum_count) or give more captions."
            )
        return cls((*SPECIALS, *sorted(kept, key=lambda word: (-counts[word], word))), minimum_count)

    @property
    def unk(self) -> int:
        """The id that stands for every word outside the vocabulary."""
        return UNK

    @property
    def pad(self) -> int:
        """The id that fills short captions of a batch."""
        return PAD

    @property
    def bos(self) -> int:
        """The id that begins a caption."""
        return BOS

    @property
    def eos(self) -> int:
        """The id that ends a caption."""
        return EOS

    def __len__(self) -> int:
        return len(self.words)

    def encode(self, tokens: Iterable[str]) -> list[int]:
        """The ids of the tokens; an unknown token becomes `unk`. Neither `bos` nor `eos` is added.

        Raises DataError for a string, whose letters would be taken for tokens.
        """
        if isinstance(tokens, str):
            raise _untokenized(tokens)
        return [self._ids.get(token, UNK) for token in tokens]

    def decode(self, ids: Iterable[int]) -> list[str]:
        """The words of the ids up to the first `eos`, without `bos` and `pad`.

        Raises DataError for an id outside the vocabulary (a checkpoint of another vocabulary, usually).
        """
        words = []
        for i in map(int, ids):
            if i == EOS:
                break
            if not 0 <= i < len(self.words):
                raise DataError(f"vocabulary: id {i}; expected 0 to {len(self) - 1}; use its own vocabulary.")
            if i not in (BOS, PAD):
                words.append(self.words[i])
        return words

    @property
    def digest(self) -> str:
        """The SHA-256 of the words in their order, as hexadecimal: equal exactly when the ids mean the same words."""
        return sha256_of(list(self.words))

    def save(self, path: Path | str) -> None:
        """Write the vocabulary as JSON; the file appears whole or not at all. Raises DataError when it cannot be."""
        content = {**_FILE.head, "minimum_count": self.minimum_count, "words": list(self.words)}
        write_checked(path, content, indent=0)

    @classmethod
    def load(cls, path: Path | str) -> Vocabulary:
        """Read what `save` wrote; any damage raises DataError in one line that names the file."""
        content = read_checked(path, _file_fault)
        return cls(tuple(content["words"]), content["minimum_count"])


def _untokenized(text: str) -> DataError:
    return DataError(f"vocabulary: got the string {text[:40]!r}; expected a list of tokens; tokenize it.")


def _fault(words: Sequence[Any], minimum_count: Any) -> str:
    """What is wrong with the words, or the empty string."""
    if tuple(words[: len(SPECIALS)]) != SPECIALS:
        return f"begins with {list(words[: len(SPECIALS)])!r:.80}, expected {', '.join(SPECIALS)}"
    if not all(isinstance(word, str) and word for word in words):
        return "a word is empty or not a string"
    if len(set(words)) < len(words):
        return f"the word {Counter(words).most_common(1)[0][0]!r} occurs twice"
    if type(minimum_count) is not int or minimum_count < 1:
        return f"minimum_count is {minimum_count!r:.40}, expected a whole number from 1 up"
    return ""


def _file_fault(content: Any) -> str:
    """What is wrong with a vocabulary file's content, or the empty string."""
    if fault := _FILE.fault(content):
        return fault
    if not isinstance(content["words"], list):
        return "words is not a list"
    return _FILE.damage(content) or _fault(content["words"], content["minimum_count"])
