"""How varied captions are: what agreement with human captions does not see."""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Mapping, Sequence

from seesay.arguments import listed
from seesay.errors import DataError
from seesay.metrics import bleu
from seesay.metrics.pairs import Caption, by_id, several, tokens_of


def diversity(captions: Mapping[str, Caption], training: Collection[Caption] | None = None) -> dict[str, float]:
    """Properties of a set of captions (id -> text or tokens), by name.

    distinct_1, distinct_2: different words (pairs of words) as a share of all (Li et al. 2016, section 5.1).
    unique: different captions as a share of all. novel: the share that is no caption of `training`, where that is
    given. repetition: the share of captions that say a word twice running or a pair of words twice. length: words a
    caption. Raises DataError without a caption.

    >>> found = diversity({"1": "a dog runs", "2": "a dog runs", "3": "a a cat"}, ["A dog runs."])
    >>> {name: round(value, 3) for name, value in found.items()}
    {'distinct_1': 0.444, 'distinct_2': 0.667, 'unique': 0.667, 'novel': 0.333, 'repetition': 0.333, 'length': 3.0}
    """
    by_id("captions", captions)
    if not captions:
        raise DataError("captions: no candidate at all; expected one for each picture; generate captions first.")
    tokens = [tuple(tokens_of(caption)) for caption in captions.values()]
    found = {
        "distinct_1": _distinct(tokens, 1),
        "distinct_2": _distinct(tokens, 2),
        "unique": len(set(tokens)) / len(tokens),
    }
    if training is not None:
        known = {tuple(tokens_of(caption)) for caption in listed(training, "training", "a list of captions")}
        found["novel"] = sum(caption not in known for caption in tokens) / len(tokens)
    found["repetition"] = sum(map(_repeats, tokens)) / len(tokens)
    found["length"] = sum(map(len, tokens)) / len(tokens)
    return found


def mutual_bleu(captions: Mapping[str, Sequence[Caption]], order: int = 4) -> float:
    """mBLEU: how alike several captions of one picture are (id -> captions); 1 is all the same, lower is more diverse.

    Each caption is scored by BLEU-`order` against the others of its picture; the mean over captions, then over
    pictures. Source: Shetty et al. 2017, "Speaking the Same Language", section 5.1. Raises DataError for a picture
    with fewer than two captions.

    >>> round(mutual_bleu({"1": ["a dog runs here", "a dog runs here"], "2": ["a dog", "two cats"]}), 3)
    0.5
    """
    by_id("captions", captions)
    for picture, some in captions.items():
        if len(several(picture, some)) < 2:
            raise DataError(f"captions: picture {picture} has {len(some)}; expected two or more for mBLEU.")
    candidates, references = {}, {}
    for picture, some in captions.items():
        tokens = [tokens_of(caption) for caption in some]
        for place, caption in enumerate(tokens):
            candidates[f"{picture}\n{place}"] = caption
            references[f"{picture}\n{place}"] = tokens[:place] + tokens[place + 1 :]
    scores = bleu.score(candidates, references)[f"Bleu_{order}"].per_id
    means = [math.fsum(scores[f"{i}\n{place}"] for place in range(len(c))) / len(c) for i, c in captions.items()]
    return math.fsum(means) / len(means)


def _distinct(captions: Sequence[Sequence[str]], n: int) -> float:
    grams = [gram for tokens in captions for gram in zip(*(tokens[start:] for start in range(n)), strict=False)]
    return len(set(grams)) / len(grams) if grams else 0.0


def _repeats(tokens: Sequence[str]) -> bool:
    pairs = list(itertools.pairwise(tokens))
    return len(set(pairs)) < len(pairs) or any(first == second for first, second in pairs)
