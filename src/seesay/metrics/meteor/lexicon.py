"""Which words METEOR takes for one another: the same stem, or a synset of WordNet in common."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

from seesay.metrics.meteor.cache import MeteorMissing
from seesay.metrics.meteor.hashing import hash_word
from seesay.metrics.meteor.store import Arrays

EXACT, STEM, SYNONYM, PARAPHRASE = range(4)

# Endings of inflected forms and what stands in the base form; the first base that WordNet has is the one.
_ENDINGS = (
    ("s", ""),
    ("ies", "y"),
    ("es", ""),
    ("ed", "e"),
    ("ed", ""),
    ("ing", "e"),
    ("ing", ""),
    ("men", "man"),
    ("er", ""),
    ("est", ""),
    ("er", "e"),
    ("est", "e"),
)
_WORDS_KEPT = 50_000

Modules = tuple[int, ...]


def _load_stemmer() -> Callable[[str], str]:
    # Not snowballstemmer.stemmer(): that takes PyStemmer where it is installed, of whatever release.
    try:
        from snowballstemmer.english_stemmer import EnglishStemmer  # type: ignore[import-untyped]
    except ImportError:
        raise MeteorMissing(
            "the package snowballstemmer is missing; run pip install 'seesay[meteor]' to have it."
        ) from None
    stem: Callable[[str], str] = EnglishStemmer().stemWord
    if stem("evening") != "even":  # release 3 stems some words otherwise, and scores would differ unnoticed
        raise MeteorMissing("snowballstemmer is too new; expected a 2.x; run pip install 'snowballstemmer<3'.")
    return stem


class Lexicon:
    """The relations between the words met so far; a word is looked up once, when it is first met."""

    def __init__(self, arrays: Arrays) -> None:
        self._arrays = arrays
        self.function_words = frozenset(bytes(arrays["function_words"]).decode().split())
        self._stem = _load_stemmer()
        self._forget()

    def related(self, word: str) -> dict[str, Modules]:
        """The words met so far that match `word`, itself among them, and the modules that say so."""
        return self._related[word]

    def meet(self, words: set[str]) -> None:
        """Look up the words that are new."""
        if len(self._related) > _WORDS_KEPT:
            self._forget()
        for word in sorted(words - self._related.keys()):
            self._add(word)

    def _forget(self) -> None:
        self._related: dict[str, dict[str, Modules]] = {}
        self._by_stem: defaultdict[str, list[str]] = defaultdict(list)
        self._by_synset: defaultdict[int, list[str]] = defaultdict(list)

    def _add(self, word: str) -> None:
        stem, synsets = self._stem(word), self.synsets(word)
        related: defaultdict[str, Modules] = defaultdict(tuple)
        for other in self._by_stem[stem]:
            related[other] = (STEM,)
        for other in {other for synset in synsets for other in self._by_synset[synset]}:
            related[other] += (SYNONYM,)
        for other, modules in related.items():
            self._related[other][word] = modules
        self._related[word] = {word: (EXACT,), **related}
        self._by_stem[stem].append(word)
        for synset in synsets:
            self._by_synset[synset].append(word)

    def synsets(self, word: str) -> frozenset[int]:
        """The synsets of a word and of its base form."""
        return (self._row("synset", word) or frozenset()) | self._base_synsets(word)

    def _base_synsets(self, word: str) -> frozenset[int]:
        irregular = self._row("irregular", word)
        if irregular is not None:
            return irregular
        if len(word) > 2 and not word.endswith("ss"):
            for ending, instead in _ENDINGS:
                if word.endswith(ending) and (found := self._row("synset", word.removesuffix(ending) + instead)):
                    return found
        return frozenset()

    def _row(self, table: str, word: str) -> frozenset[int] | None:
        hashes, starts = self._arrays[f"{table}_hashes"], self._arrays[f"{table}_starts"]
        key = hashes.dtype.type(hash_word(word))
        place = int(hashes.searchsorted(key))
        if place == len(hashes) or hashes[place] != key:
            return None
        return frozenset(self._arrays[f"{table}_ids"][starts[place] : starts[place + 1]].tolist())
