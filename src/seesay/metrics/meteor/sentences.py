"""Sentences made ready for alignment, and the possible matches between two of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from seesay.metrics.meteor.align import Match
from seesay.metrics.meteor.lexicon import PARAPHRASE, Lexicon, Modules
from seesay.metrics.meteor.phrases import Phrase, PhraseTable


class Sentence(NamedTuple):
    """What the aligner asks of a sentence, looked up once for all the pairs it is part of.

    `related` holds for each word the words that match it; `spots` where each known phrase (by place in the table)
    stands; `sources` the phrases that have paraphrases within the batch, with those.
    """

    is_function: list[bool]
    positions: dict[str, list[int]]
    related: list[dict[str, Modules]]
    spots: dict[int, list[Phrase]]
    places: frozenset[int]
    sources: list[tuple[Phrase, tuple[int, ...], frozenset[int]]]


def prepare(sentences: Sequence[list[str]], lexicon: Lexicon, table: PhraseTable) -> list[Sentence]:
    """The sentences, given as words, of one batch; only those of one batch can be matched with one another."""
    lexicon.meet({word for words in sentences for word in words})
    phrases, targets = table.find(sentences)
    sources = {place: (found, frozenset(found)) for place, found in targets.items()}
    return [_sentence(words, found, lexicon, sources) for words, found in zip(sentences, phrases, strict=True)]


def _sentence(
    words: list[str],
    phrases: list[Phrase],
    lexicon: Lexicon,
    sources: dict[int, tuple[tuple[int, ...], frozenset[int]]],
) -> Sentence:
    positions: dict[str, list[int]] = {}
    for place, word in enumerate(words):
        positions.setdefault(word, []).append(place)
    spots: dict[int, list[Phrase]] = {}
    for phrase in phrases:
        spots.setdefault(phrase[2], []).append(phrase)
    return Sentence(
        [word in lexicon.function_words for word in words],
        positions,
        [lexicon.related(word) for word in words],
        spots,
        frozenset(spots),
        [(phrase, *sources[phrase[2]]) for phrase in phrases if phrase[2] in sources],
    )


def possible_matches(candidate: Sentence, reference: Sentence) -> list[list[Match]]:
    """For each word of the reference the matches that start there: exact, stem, synonym, then paraphrase.

    The order within a module is that of METEOR 1.5, because it decides between alignments that are equally good: by
    the candidate's words; paraphrases first from the reference to the candidate, then the other way. A pair that the
    table has both ways is there twice, which keeps it from being certain.
    """
    possible = [word_matches(start, related, candidate.positions) for start, related in enumerate(reference.related)]
    for phrase, targets, found in reference.sources:
        if not found.isdisjoint(candidate.places):
            for target in targets:
                for other in candidate.spots.get(target, ()):
                    possible[phrase[0]].append(_paraphrase(phrase, other))
    for other, targets, found in candidate.sources:
        if not found.isdisjoint(reference.places):
            for target in targets:
                for phrase in reference.spots.get(target, ()):
                    possible[phrase[0]].append(_paraphrase(phrase, other))
    return possible


def word_matches(start: int, related: dict[str, Modules], positions: dict[str, list[int]]) -> list[Match]:
    """The matches of the reference's word at `start` with single words of the candidate."""
    common = related.keys() & positions.keys()
    if not common:
        return []
    found = [(module, place) for word in common for module in related[word] for place in positions[word]]
    if len(found) > 1:
        found.sort()
    return [(start, 1, place, 1, module) for module, place in found]


def _paraphrase(phrase: Phrase, other: Phrase) -> Match:
    return phrase[0], phrase[1], other[0], other[1], PARAPHRASE
