"""Batches of pictures with the questions that people asked about them, and with the answers that are known.

B pictures, N questions, T words, S words of an answer, C concepts, R regions, D feature size.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seesay.data.batches import CaptionBatch, CaptionSet, Features
from seesay.data.records import Record
from seesay.data.vqa import Asked
from seesay.text.ptb import tokenize
from seesay.text.vocabulary import PAD, Vocabulary

LONGEST_ANSWER = 8  # words; VQA's are of one to three


@dataclass(frozen=True)
class AskBatch:
    """Some pictures and all questions about them; each picture stands once, however many questions it has."""

    ids: tuple[str, ...]
    features: Any  # (B, R, D) floating
    mask: Any  # (B, R) bool, True where a region is real
    concepts: Any  # (B, C) float32: how likely the picture shows each concept
    answers: Any  # (N, S) int64: the words of each question's answer, then <pad>; <pad> alone where it is not known
    tokens: Any  # (N, T) int64: <bos> words <eos> <pad>...
    rows: Any  # (N,) int64: the picture of each question

    @property
    def items(self) -> tuple[str, ...]:
        """What the batch is made of, for messages."""
        return self.ids

    @property
    def inputs(self) -> tuple[Any, ...]:
        """What a model is called with, in its order."""
        return self.features, self.mask, self.concepts, self.answers, self.tokens, self.rows

    def map(self, fn: Callable[[Any], Any]) -> AskBatch:
        """The same batch with `fn` applied to every array, such as one that moves it to a device."""
        return AskBatch(self.ids, *map(fn, self.inputs))


@dataclass(frozen=True)
class QuestionSet:
    """The pictures of one split with their encoded questions and answers, ready to be cut into batches.

    Pictures and questions are kept as a `CaptionSet`, whose order and mirrored pictures these batches share. In
    training an answer is hidden with chance `hidden`, so that questions without one are learned from these too.
    """

    captions: CaptionSet
    answers: Mapping[str, tuple[tuple[int, ...], ...]]  # words of each question's answer, by picture
    concepts: Mapping[str, NDArray[np.float32]]  # (C,) each, by picture
    hidden: float = 0.0
    cut_answers: int = 0  # so many had more words than are heard

    @classmethod
    def build(
        cls,
        asked: Sequence[Asked],
        vocabulary: Vocabulary,
        features: Features,
        concepts: Mapping[str, NDArray[np.float32]],
        *,
        max_words: int,
        flipped: Features | None = None,
        hidden: float = 0.0,
    ) -> QuestionSet:
        """Encode questions and answers; a question of more than `max_words` words is cut there, an answer at 8."""
        captions = CaptionSet.build(
            [record_of(one) for one in asked], vocabulary, features, max_words=max_words, flipped=flipped
        )
        spoken = {one.id: [vocabulary.encode(tokenize(question.answer)) for question in one.questions] for one in asked}
        answers = {name: tuple(tuple(words[:LONGEST_ANSWER]) for words in some) for name, some in spoken.items()}
        cut = sum(len(words) > LONGEST_ANSWER for some in spoken.values() for words in some)
        return cls(captions, answers, concepts, hidden, cut)

    def __len__(self) -> int:
        return len(self.captions)

    @property
    def digest(self) -> str:
        """SHA-256 over which pictures with which questions and answers: a run resumes on the same data only."""
        text = json.dumps([self.captions.digest, [self.answers[record.id] for record in self.captions.records]])
        return hashlib.sha256(text.encode()).hexdigest()

    def in_order(self, size: int) -> Iterator[AskBatch]:
        """Every picture once, in the order of the records, never mirrored, all answers shown; for evaluation."""
        for batch in self.captions.in_order(size):
            yield self._asked(batch, None)

    def shuffled(self, size: int, *, seed: int, epoch: int, start: int = 0) -> Iterator[AskBatch]:
        """The batches of one epoch from the `start`-th on; they depend on `seed` and `epoch` alone."""
        for batch in self.captions.shuffled(size, seed=seed, epoch=epoch, start=start):
            yield self._asked(batch, (seed, epoch))

    def _asked(self, batch: CaptionBatch, drawn: tuple[int, int] | None) -> AskBatch:
        answers: list[tuple[int, ...]] = []
        for name in batch.ids:
            for place, words in enumerate(self.answers[name]):
                keep = drawn is None or chance(*drawn, f"{name}/{place}") >= self.hidden
                answers.append(words if keep else ())
        concepts = np.stack([self.concepts[name] for name in batch.ids])
        return AskBatch(batch.ids, batch.features, batch.mask, concepts, pad_answers(answers), batch.tokens, batch.rows)


def record_of(asked: Asked) -> Record:
    """The picture with all its questions where captions would stand."""
    return Record(asked.id, asked.file, asked.split, tuple(question.text for question in asked.questions))


def encode_answer(answer: str, vocabulary: Vocabulary) -> list[int]:
    """The ids of an answer's words; none where it is not known.

    >>> encode_answer("Red!", Vocabulary.build([["red"]], 1))
    [4]
    """
    return vocabulary.encode(tokenize(answer))[:LONGEST_ANSWER]


def pad_answers(answers: Sequence[Sequence[int]]) -> NDArray[np.int64]:
    """Answers as one array (N, S), filled up with <pad>; S is 1 at least.

    >>> pad_answers([[7, 8], []]).tolist()
    [[7, 8], [1, 1]]
    """
    padded = np.full((len(answers), max([1, *map(len, answers)])), PAD, dtype=np.int64)
    for row, words in zip(padded, answers, strict=True):
        row[: len(words)] = words
    return padded


def chance(seed: int, epoch: int, item: str) -> float:
    """A number from 0 up to 1, the same for the same seed, epoch and item, in any process and in any order.

    >>> chance(1, 2, "a/0") == chance(1, 2, "a/0") != chance(1, 3, "a/0")
    True
    """
    digest = hashlib.sha256(f"{seed}/{epoch}/{item}/answer".encode()).digest()
    return int.from_bytes(digest[:6], "little") / 2**48
