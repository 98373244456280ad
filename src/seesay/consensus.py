"""Saying what most of a model's own captions would say: of the likeliest ones, that which agrees best with many drawn.

Minimum Bayes risk (Kumar and Byrne 2004) with CIDEr-D: a caption's risk is how badly it can expect to score, if the
model is right about what people say. The likeliest caption is often a safe one; this one shares most with all others.
How much words weigh is learned from the captions of training, once for a run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from seesay.data.records import read_records, split
from seesay.decoding.settings import Hypothesis
from seesay.errors import DataError
from seesay.metrics.agreement import agreement
from seesay.metrics.cider import CiderD
from seesay.restoring import recipe_in
from seesay.text.ptb import tokenize
from seesay.training.folder import RunFolder


def frequencies_of(run: Path | str) -> CiderD:
    """The document frequencies of a run's training captions, each picture a document, from its frequencies.json.

    Where there is none yet, they are counted and the file is written, which takes a second for 30,000 captions.
    Raises DataError where the captions are gone by then, or the file is damaged.
    """
    from seesay.recipe import Recipe, locate  # takes a tenth of a second, which other searches need not wait for

    file = RunFolder(run).frequencies
    if file.exists():
        return CiderD.load(file)
    captions = locate(recipe_in(run, Recipe).data.captions)
    try:
        records = split(read_records(captions), "train")
    except DataError as fault:
        raise DataError(
            f"{file}: not there yet, and the captions that it is counted from cannot be read ({fault}); put them back "
            "once, or search without consensus."
        ) from fault
    scorer = CiderD.fit({record.id: [tokenize(text) for text in record.captions] for record in records})
    scorer.save(file)
    return scorer


def by_consensus(
    likely: Sequence[Hypothesis],
    drawn: Sequence[Hypothesis],
    scorer: CiderD,
    words_of: Callable[[list[int]], list[str]],
) -> list[Hypothesis]:
    """The `likely` sentences about a picture, the one first that agrees best with all `drawn` ones.

    Scores become the CIDEr-D (0 to 10) with these as references; of equal ones the likelier stays first.

    >>> some = [Hypothesis([4], -1.0, True, None), Hypothesis([5], -2.0, True, None)]
    >>> scorer = CiderD({("a",): 3, ("dog",): 1}, 4)
    >>> by_consensus(some, [some[1]] * 2, scorer, lambda ids: [{4: "a", 5: "dog"}[i] for i in ids])
    [Hypothesis(tokens=[5], score=2.5, ...), Hypothesis(tokens=[4], score=0.0, ...)]
    """
    scores = agreement(scorer, [words_of(one.tokens) for one in likely], [words_of(one.tokens) for one in drawn])
    found = [one._replace(score=score) for one, score in zip(likely, scores.tolist(), strict=True)]
    return sorted(found, key=lambda one: -one.score)
