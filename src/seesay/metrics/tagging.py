"""How well words were tagged: accuracy, precision and recall by tag, and what was taken for what."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

from seesay.errors import DataError
from seesay.metrics.spans import SpanScores, evaluate_spans


class TagScore(NamedTuple):
    """One tag: the share of its findings that are right, the share of its words that were found, and their F1.

    Each is 0 where it has nothing to be a share of. `words` is how many have the tag.
    """

    precision: float
    recall: float
    f1: float
    words: int


@dataclass(frozen=True)
class TagScores:
    """The scores of a set of sentences.

    `accuracy` is the share of words with the right tag, `sentence_accuracy` that of sentences without a mistake;
    `unseen_accuracy` is the share among the `unseen_words`, which training did not show, None where there are none
    or where nobody said what it showed. `confusion[gold][found]` counts words, right ones included. `untaught` counts
    the words with a tag that training did not show, which count as wrong; `spans` are the scores of spans, if asked
    for.
    """

    accuracy: float
    sentence_accuracy: float
    words: int
    sentences: int
    unseen_accuracy: float | None
    unseen_words: int
    per_tag: dict[str, TagScore]
    confusion: dict[str, dict[str, int]]
    untaught: dict[str, int] = field(default_factory=dict)
    spans: SpanScores | None = None

    def to_json(self) -> dict[str, Any]:
        """The scores as plain objects: what a run folder keeps in scores/SPLIT.json."""
        per_tag = {tag: score._asdict() for tag, score in self.per_tag.items()}
        return {**asdict(self), "per_tag": per_tag, "spans": self.spans.to_json() if self.spans else None}

    def mistakes(self) -> list[tuple[str, str, int]]:
        """What was taken for what, and how often: (gold, found, count), the commonest first."""
        pairs = [
            (gold, found, count)
            for gold, row in self.confusion.items()
            for found, count in row.items()
            if gold != found
        ]
        return sorted(pairs, key=lambda pair: (-pair[2], pair[:2]))


def evaluate_tags(
    gold: Sequence[Sequence[str]],
    found: Sequence[Sequence[str]],
    *,
    words: Sequence[Sequence[str]] | None = None,
    known_words: Collection[str] | None = None,
    known_tags: Collection[str] | None = None,
    scheme: str = "",
) -> TagScores:
    """The scores of found tags against the right ones, sentence by sentence.

    `words` and `known_words` (those of the training sentences; best a set) together give the accuracy on unseen words;
    `known_tags` are those that training showed. With a `scheme` (see `seesay.text.spans`) spans are scored as well.
    Raises DataError where there is no word, where the three do not belong together, naming the sentence, and where
    only one of `words` and `known_words` is given.

    >>> scores = evaluate_tags([("DT", "NN"), ("NN",)], [("DT", "NN"), ("VB",)])
    >>> round(scores.accuracy, 3), scores.per_tag["NN"], scores.mistakes()
    (0.667, TagScore(precision=1.0, recall=0.5, f1=0.6666666666666666, words=2), [('NN', 'VB', 1)])
    """
    if (words is None) != (known_words is None):
        raise DataError("words and known_words: received one of them; expected both or neither.")
    _check_fit("found", gold, found)
    pairs = [pair for one, other in zip(gold, found, strict=True) for pair in zip(one, other, strict=True)]
    if not pairs:
        raise DataError("gold: received no word; expected at least one; give sentences that have some.")
    confusion = Counter(pairs)
    unseen: list[bool] = []
    if words is not None and known_words is not None:
        _check_fit("words", gold, words)
        spoken = (word for sentence in words for word in sentence)
        unseen = [one == other for word, (one, other) in zip(spoken, pairs, strict=True) if word not in known_words]
    return TagScores(
        accuracy=sum(one == other for one, other in pairs) / len(pairs),
        sentence_accuracy=sum(tuple(one) == tuple(other) for one, other in zip(gold, found, strict=True)) / len(gold),
        words=len(pairs),
        sentences=len(gold),
        unseen_accuracy=sum(unseen) / len(unseen) if unseen else None,
        unseen_words=len(unseen),
        per_tag=_per_tag(confusion),
        confusion={
            tag: {other: count for (one, other), count in sorted(confusion.items()) if one == tag}
            for tag in sorted({one for one, _ in confusion})
        },
        untaught=_untaught(confusion, known_tags) if known_tags is not None else {},
        spans=evaluate_spans(gold, found, scheme) if scheme else None,
    )


def _check_fit(name: str, gold: Sequence[Sequence[str]], other: Sequence[Sequence[str]]) -> None:
    if len(gold) != len(other):
        raise DataError(f"{name}: received {len(other)} sentences; expected {len(gold)}, as there are with gold tags.")
    for number, (one, two) in enumerate(zip(gold, other, strict=True), start=1):
        if len(one) != len(two):
            raise DataError(f"{name}: sentence {number}: received {len(two)}; expected {len(one)}, one for each tag.")


def _untaught(confusion: Counter[tuple[str, str]], known: Collection[str]) -> dict[str, int]:
    """How many words have each gold tag that is not a known one, the commonest first."""
    counts: Counter[str] = Counter()
    for (tag, _), count in confusion.items():
        if tag not in known:
            counts[tag] += count
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _per_tag(confusion: Counter[tuple[str, str]]) -> dict[str, TagScore]:
    """Every tag that is right or was found somewhere, in code point order."""
    gold: Counter[str] = Counter()
    found: Counter[str] = Counter()
    for (one, other), count in confusion.items():
        gold[one] += count
        found[other] += count
    return {tag: _score(confusion[tag, tag], gold[tag], found[tag]) for tag in sorted(gold | found)}


def _score(right: int, gold: int, found: int) -> TagScore:
    # F1 from counts: the harmonic mean of the two shares, without their rounding.
    return TagScore(right / found if found else 0.0, right / gold if gold else 0.0, 2 * right / (gold + found), gold)
