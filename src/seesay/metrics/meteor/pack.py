"""METEOR's English data out of the pycocoevalcap wheel, packed into arrays: WordNet and the paraphrase table."""

from __future__ import annotations

import gzip
import zipfile
from collections.abc import Callable, Iterator
from functools import lru_cache
from itertools import islice
from pathlib import Path

import numpy as np

from seesay.errors import DataError
from seesay.metrics.meteor.hashing import PHRASE_WORDS, SEED, Hashes, extend, hash_word
from seesay.metrics.meteor.store import Arrays

JAR, PARAPHRASES = "meteor-1.5.jar", "data/paraphrase-en.gz"

_CHUNK = 200_000  # paraphrases at a time: bounds the memory
_KNOWN_WORDS = 1 << 17  # more than the table's 43,139


def pack(source: Path, progress: Callable[[str], None]) -> Arrays:
    """The arrays of all that METEOR looks up, from the folder `pycocoevalcap/meteor`.

    Raises DataError where its files are not what they should be.
    """
    try:
        progress("METEOR: reading WordNet")
        arrays = _pack_wordnet(source / JAR)
        return {**arrays, **_pack_paraphrases(source / PARAPHRASES, progress)}
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile) as fault:
        raise DataError(
            f"{source}: METEOR's data cannot be read ({fault}); expected pycocoevalcap 1.2; reinstall it."
        ) from None


def _pack_wordnet(jar: Path) -> Arrays:
    """The synsets of each word, and for irregular forms those of all their base forms."""
    with zipfile.ZipFile(jar) as archive:
        read = {
            name: archive.read(f"synonym/english.{name}").decode().split("\n") for name in ("synsets", "exceptions")
        }
        function_words = archive.read("function/english.words")
        prefixes = archive.read("nonbreaking/english.prefixes")
    synsets: dict[str, set[int]] = {}
    for word, ids in _two_by_two(read["synsets"]):
        synsets.setdefault(word, set()).update(map(int, ids.split()))
    irregular: dict[str, set[int]] = {}
    for base, forms in _two_by_two(read["exceptions"]):
        for form in forms.split():
            irregular.setdefault(form, set()).update(synsets.get(base, ()))
    return {
        "function_words": np.frombuffer(function_words, np.uint8),
        "prefixes": np.frombuffer(prefixes, np.uint8),
        **_rows("synset", synsets),
        **_rows("irregular", irregular),
    }


def _two_by_two(lines: list[str]) -> Iterator[tuple[str, str]]:
    return zip(lines[::2], lines[1::2], strict=False)


def _rows(name: str, sets: dict[str, set[int]]) -> Arrays:
    """Sets of synsets as hash -> start, end in a flat list; sorted by hash."""
    ordered = sorted((hash_word(word), sorted(ids)) for word, ids in sets.items())
    starts = np.cumsum([0, *(len(ids) for _, ids in ordered)], dtype=np.uint32)
    return {
        f"{name}_hashes": np.array([key for key, _ in ordered], np.uint64),
        f"{name}_starts": starts,
        f"{name}_ids": np.array([i for _, ids in ordered for i in ids], np.uint32),
    }


def _pack_paraphrases(table: Path, progress: Callable[[str], None]) -> Arrays:
    """The phrases, sorted by hash, and the paraphrases of each."""
    sources, targets = [], []
    with gzip.open(table, "rt", encoding="utf-8", newline="\n") as lines:
        while chunk := list(islice(lines, 3 * _CHUNK)):
            if len(chunk) % 3:
                raise ValueError("the last paraphrase is cut off")
            sources.append(_hash_phrases(chunk[1::3]))
            targets.append(_hash_phrases(chunk[2::3]))
            progress(f"METEOR: read {sum(map(len, sources)):,} paraphrases")
    left, right = np.concatenate(sources), np.concatenate(targets)
    sources.clear()
    targets.clear()
    phrases = np.unique(np.concatenate((left, right)))
    return {"phrase_hashes": phrases, **_targets(phrases, left, right)}


def _targets(phrases: Hashes, left: Hashes, right: Hashes) -> Arrays:
    """For each phrase the places of its paraphrases, in the table's order: it decides between equal alignments."""
    sources = np.searchsorted(phrases, left)
    order = np.argsort(sources, kind="stable")
    counts = np.bincount(sources, minlength=len(phrases))
    return {
        "target_starts": np.concatenate(([0], np.cumsum(counts))).astype(np.uint32),
        "targets": np.searchsorted(phrases, right).astype(np.uint32)[order],
    }


_hash_known_word = lru_cache(_KNOWN_WORDS)(hash_word)


def _hash_phrases(lines: list[str]) -> Hashes:
    """The numbers of phrases, one a line."""
    words = [line.split() for line in lines]
    counts = np.fromiter(map(len, words), np.int64, len(words))
    if counts.max() > PHRASE_WORDS or counts.min() < 1:
        raise ValueError(f"a paraphrase of {counts.max()} words; expected 1 to {PHRASE_WORDS}")
    flat = np.fromiter((_hash_known_word(word) for phrase in words for word in phrase), np.uint64, counts.sum())
    starts = np.cumsum(counts) - counts
    hashes = np.full(len(words), SEED, np.uint64)
    for place in range(PHRASE_WORDS):
        longer = counts > place
        hashes[longer] = extend(hashes[longer], flat[starts[longer] + place])
    return hashes
