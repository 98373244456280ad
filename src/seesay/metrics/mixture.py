"""A reward that weighs several scores, for captions that are ids: CIDEr-D, BLEU-4 and METEOR."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from seesay.errors import DataError, UnknownName
from seesay.metrics import bleu
from seesay.metrics.cider import CiderD
from seesay.metrics.meteor import Meteor
from seesay.metrics.pairs import Caption, Counts, by_id, ngrams, several, tokens_of
from seesay.metrics.reward import CiderDReward
from seesay.text.vocabulary import Vocabulary

SCORES = ("CIDEr-D", "Bleu_4", "METEOR")
Floats = NDArray[np.float64]
Score = Callable[[NDArray[np.integer], Sequence[str]], Floats]


class MixedReward:
    """`reward(ids, pictures)`: the weighted sum of the scores of sentences that are ids, each against its picture's.

    `references` are the captions of each picture by its id, texts or tokens. `weights` are by name, of SCORES; CIDEr-D
    is from 0 to 10, the others from 0 to 1. CIDEr-D is computed on the ids themselves, BLEU-4 and METEOR on the words
    that they stand for. With `with_end` the end of a sentence counts as a word in CIDEr-D and BLEU-4; METEOR knows
    words alone. `documents` says what has document frequencies, a "picture" or a "caption": see `CiderD.fit`.
    Raises UnknownName for another score, DataError where a picture has no references, MeteorMissing without its data.

    >>> references = {"x": ["a red dog runs"], "y": ["a blue cat sits"]}
    >>> words = Vocabulary.build([caption.split() for some in references.values() for caption in some], 1)
    >>> reward = MixedReward(references, words, {"CIDEr-D": 1.0, "Bleu_4": 2.0}, with_end=False)
    >>> ids = np.array([words.encode("a red dog runs".split()), words.encode("a dog sits a".split())])
    >>> reward(ids, ["x", "x"]).round(3).tolist()
    [12.0, 1.021]
    """

    def __init__(
        self,
        references: Mapping[str, Sequence[Caption]],
        vocabulary: Vocabulary,
        weights: Mapping[str, float],
        *,
        with_end: bool = True,
        documents: str = "picture",
    ) -> None:
        if other := [name for name in weights if name not in SCORES]:
            raise UnknownName("score", other[0], SCORES)
        by_id("references", references)
        if empty := [picture for picture, captions in references.items() if not several(picture, captions)]:
            raise DataError(f"reward: picture {empty[0]} has no references; expected at least one; give it a caption.")
        self._vocabulary, self._with_end = vocabulary, with_end
        self._place = {picture: n for n, picture in enumerate(references)}
        words = {picture: [tokens_of(caption) for caption in captions] for picture, captions in references.items()}
        ended = {picture: [self._ended(tokens) for tokens in captions] for picture, captions in words.items()}
        self._parts: list[tuple[float, Score]] = []
        if weight := weights.get("CIDEr-D"):
            scorer = CiderD.fit(ended, documents)
            cider = CiderDReward(scorer, list(words.values()), vocabulary, with_end=with_end)
            self._parts.append((weight, lambda ids, pictures: cider(ids, self._places(pictures))))
        if weight := weights.get("Bleu_4"):
            counts = {picture: [ngrams(tokens) for tokens in captions] for picture, captions in ended.items()}
            self._parts.append((weight, lambda ids, pictures: self._bleu(ids, pictures, counts)))
        if weight := weights.get("METEOR"):
            meteor = Meteor.load()
            self._parts.append((weight, lambda ids, pictures: self._meteor(ids, pictures, meteor, words)))

    def _ended(self, tokens: Sequence[str]) -> list[str]:
        return [*tokens, self._vocabulary.words[self._vocabulary.eos]] if self._with_end else list(tokens)

    def __call__(self, ids: NDArray[np.integer], pictures: Sequence[str]) -> Floats:
        """The reward of each row of `ids` (N, T), a sentence up to its first <eos>, for the picture of that id; (N,).

        Raises DataError for a picture without references.
        """
        self._places(pictures)
        return np.asarray(sum(weight * score(ids, pictures) for weight, score in self._parts) + np.zeros(len(ids)))

    def _places(self, pictures: Sequence[str]) -> NDArray[np.int64]:
        if unknown := [picture for picture in pictures if picture not in self._place]:
            raise DataError(
                f"reward: picture {unknown[0]} has no references; expected those of every picture that captions are "
                "drawn of; give it a caption."
            )
        return np.array([self._place[picture] for picture in pictures], np.int64)

    def _bleu(self, ids: NDArray[np.integer], pictures: Sequence[str], counts: Mapping[str, list[Counts]]) -> Floats:
        words = [self._vocabulary.decode(row) for row in ids]
        ends = (np.asarray(ids) == self._vocabulary.eos).any(1)
        said = [self._ended(some) if end else some for some, end in zip(words, ends, strict=True)]
        candidates = {str(n): ngrams(tokens) for n, tokens in enumerate(said)}
        scores = bleu.score_counts(candidates, {str(n): counts[picture] for n, picture in enumerate(pictures)})
        return np.array([*scores["Bleu_4"].per_id.values()])

    def _meteor(
        self,
        ids: NDArray[np.integer],
        pictures: Sequence[str],
        meteor: Meteor,
        words: Mapping[str, Sequence[Caption]],
    ) -> Floats:
        candidates = {str(n): self._vocabulary.decode(row) for n, row in enumerate(ids)}
        scores = meteor.score(candidates, {str(n): words[picture] for n, picture in enumerate(pictures)})
        return np.array([scores.per_id[n] for n in candidates])
