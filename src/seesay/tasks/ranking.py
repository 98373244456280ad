"""The ranking test of Liu et al. (2018): is the true question likelier, given picture and answer, than 23 wrong ones?

Each true question stands among `CANDIDATES`: itself, and of other questions
- contrastive ones, about the pictures most like this one, whose answers are of another type: the picture alone does
  not give them away;
- plausible ones, about any picture, with the same answer, or where there are too few with one of the same type: the
  answer alone does not give them away;
- popular ones, the commonest of the training data: that a question is likely anywhere does not help;
- random ones, which fill what is left.
No question that somebody asked about the picture is a wrong one, and none stands there twice. Of questions without a
known answer, their first words tell the type. Candidates are drawn by the picture's id: all models get the same ones.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from seesay.asker import Asker
from seesay.data.batches import pad
from seesay.data.features import FeatureStore
from seesay.data.questions import AskBatch, encode_answer, pad_answers
from seesay.data.vqa import Asked, Question
from seesay.metrics.ranking import rank_scores, ranks
from seesay.text.ptb import tokenize
from seesay.text.vocabulary import PAD

CONTRASTIVE, PLAUSIBLE, POPULAR, CANDIDATES = 5, 6, 6, 24
PER_WORD = " per word"
MOST = 500  # pictures: every question is held against those about all the others
AT_HAND = 2**16  # questions of which is remembered what they ask for
AT_ONCE = 8  # true questions with their candidates
_AUXILIARIES = "is are was were am do does did can could will would should has have had may might must"
_MEASURED = "many much old tall big long high"
_NUMBERS = "zero one two three four five six seven eight nine ten"
Words = tuple[str, ...]


class Trial(NamedTuple):
    """One true question, the first of its candidates; all are tokenised."""

    asked: Asked
    answer: str
    candidates: tuple[Words, ...]


@lru_cache(AT_HAND)
def kind_of(question: Question) -> str:
    """The type of a question's answer as VQA has it: as the data say, or else as the answer or the question tells.

    >>> [kind_of(Question(text)) for text in ("Is it red?", "How many dogs?", "What is it?")]
    ['yes/no', 'number', 'other']
    """
    if question.kind:
        return question.kind
    answer, words = tokenize(question.answer), [*tokenize(question.text), "", ""]
    if answer:
        yes_no, number = answer[0] in ("yes", "no"), answer[0][0].isdigit() or answer[0] in _NUMBERS.split()
    else:
        yes_no, number = words[0] in _AUXILIARIES.split(), words[0] == "how" and words[1] in _MEASURED.split()
    return "yes/no" if yes_no else "number" if number else "other"


@lru_cache(AT_HAND)
def _said(answer: str) -> Words:
    return tuple(tokenize(answer))


def make_trials(asked: Sequence[Asked], train: Iterable[Asked], features: NDArray[np.floating]) -> Iterator[Trial]:
    """A trial for each question about each picture, but those for which the data have too few wrong candidates.

    `features` (pictures, D) tell which pictures are alike: those whose features have the largest cosine.
    """
    counts = Counter(tuple(tokenize(one.text)) for each in train for one in each.questions)
    popular = sorted(counts, key=lambda words: (-counts[words], words))
    pool = [(each.id, one, tuple(tokenize(one.text))) for each in asked for one in each.questions]
    by_picture: dict[str, list[tuple[Question, Words]]] = {}
    for name, one, words in pool:
        by_picture.setdefault(name, []).append((one, words))
    unit = features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)
    for place, each in enumerate(asked):
        others = [(one, words) for name, one, words in pool if name != each.id]
        nearest = [asked[i].id for i in np.argsort(-(unit @ unit[place]), kind="stable").tolist() if i != place]
        near = [pair for name in nearest for pair in by_picture[name]]
        right = {words for _, words in by_picture[each.id]}
        for number, (one, words) in enumerate(by_picture[each.id]):
            seed = hashlib.sha256(f"{each.id}/{number}".encode()).digest()[:8]
            order = np.random.default_rng(int.from_bytes(seed, "little")).permutation(len(others))
            wrong = _wrong(one, right, near, [others[i] for i in order.tolist()], popular)
            if words and len(wrong) == CANDIDATES - 1:
                yield Trial(each, one.answer, (words, *wrong))


def _wrong(
    true: Question,
    right: set[Words],
    near: Sequence[tuple[Question, Words]],
    others: Sequence[tuple[Question, Words]],
    popular: Sequence[Words],
) -> list[Words]:
    """The wrong candidates, as many as can be had up to `CANDIDATES` - 1."""
    kind, answer = kind_of(true), _said(true.answer)
    same = [words for one, words in others if answer and _said(one.answer) == answer]
    alike = [words for one, words in others if kind_of(one) == kind]
    groups = (
        ([words for one, words in near if kind_of(one) != kind], CONTRASTIVE),
        ([*same, *alike], PLAUSIBLE),
        (popular, POPULAR),
        ([words for _, words in others], CANDIDATES),
    )
    chosen: dict[Words, None] = {}
    for group, most in groups:
        fresh = dict.fromkeys(words for words in group if words and words not in right and words not in chosen)
        chosen |= dict.fromkeys(list(fresh)[: min(most, CANDIDATES - 1 - len(chosen))])
    return list(chosen)


def some_of(asked: Sequence[Asked], most: int = MOST) -> list[Asked]:
    """At most so many of the pictures, in their order; which ones hangs on their ids alone, as if drawn.

    >>> some = [Asked(str(n), f"{n}.jpg", "dev", ()) for n in range(100)]
    >>> [one.id for one in some_of(some, 3)] == [one.id for one in some_of(some[::-1], 3)][::-1]
    True
    """
    drawn = sorted(asked, key=lambda one: hashlib.sha256(one.id.encode()).digest())[:most]
    chosen = {one.id for one in drawn}
    return [one for one in asked if one.id in chosen]


def ranking(
    asker: Asker, asked: Sequence[Asked], train: Iterable[Asked], store: FeatureStore, max_words: int
) -> dict[str, dict[str, float]]:
    """Rank-1, Rank-3 and the mean rank of true questions, with their number; by chance 0.042, 0.125 and 12.5.

    The paper ranks by p(q | picture, answer), of which short questions have more than long ones; keys that end with
    `PER_WORD` are of ranks by the mean log-probability of a word, its end counting as one, to which length is nothing.
    "answered" are those of a known answer, which the model is given, "any" those without. A kind of question that the
    data have none of is left out, and all where there are too few different questions for wrong candidates. Of a large
    split, `MOST` pictures are taken, those of `some_of`.
    """
    asked = some_of(asked)
    features = {one.id: store.read([one.file])[0] for one in asked}
    means = np.stack([features[one.id].astype(np.float32).mean(axis=0) for one in asked])
    concepts = dict(zip(features, asker.namer.probabilities(np.stack(list(features.values()))), strict=True))
    trials = list(make_trials(asked, train, means))
    found: dict[str, list[NDArray[np.int64]]] = {}  # (2,): the place by probability and that by a word's
    for start in range(0, len(trials), AT_ONCE):
        some = trials[start : start + AT_ONCE]
        batch = _batch(asker, some, features, concepts, max_words)
        scores = asker.engine.log_likelihoods(asker.model, batch, asker.device)
        ways = (scores, scores / (batch.tokens[:, 1:] != PAD).sum(axis=1))
        places = [ranks(way.reshape(len(some), -1), np.zeros(len(some))) for way in ways]
        for trial, place in zip(some, np.stack(places, axis=1), strict=True):
            found.setdefault("answered" if trial.answer else "any", []).append(place)
    return {name: _summed(np.stack(places)) for name, places in sorted(found.items())}


def _summed(places: NDArray[np.int64]) -> dict[str, float]:
    """The scores of ranks (N, 2)."""
    by_word = {f"{key}{PER_WORD}": value for key, value in rank_scores(places[:, 1]).items()}
    return {**rank_scores(places[:, 0]), **by_word, "questions": float(len(places))}


def _batch(
    asker: Asker,
    trials: Sequence[Trial],
    features: dict[str, NDArray[np.float16]],
    concepts: dict[str, NDArray[np.float32]],
    max_words: int,
) -> AskBatch:
    """All candidates of some trials, those of one after those of another."""
    ids = tuple(dict.fromkeys(trial.asked.id for trial in trials))
    rows = [ids.index(trial.asked.id) for trial in trials for _ in trial.candidates]
    answers = [encode_answer(trial.answer, asker.vocabulary) for trial in trials for _ in trial.candidates]
    words = [asker.vocabulary.encode(each)[:max_words] for trial in trials for each in trial.candidates]
    whole = np.stack([features[name] for name in ids])
    mask = np.ones(whole.shape[:2], dtype=bool)
    seen = np.stack([concepts[name] for name in ids])
    return AskBatch(ids, whole, mask, seen, pad_answers(answers), pad(words), np.array(rows))
