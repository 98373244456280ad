"""Taggers against what knows a word alone: its commonest tag, and a logistic regression on how it looks.

    .venv/bin/python benchmarks/entities.py data/wnut17/wnut17train.conll data/wnut17/emerging.dev.conll \
        --scheme BIO runs/wnut17-tagger

The baselines learn from all of the first file and are scored on the second; of runs, the `scores/test.json` that
`seesay evaluate RUN --split test` wrote is shown beside them.
"""

from __future__ import annotations

import argparse
import json
import platform
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from seesay.data.conll import Sentence, read_conll
from seesay.metrics.tagging import TagScores, evaluate_tags
from seesay.text.lexicon import Lexicon

Found = list[tuple[str, ...]]


def commonest(train: Sequence[Sentence], test: Sequence[Sentence]) -> Found:
    """Each word's commonest tag in training; of a word that training did not show, the commonest of all."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for sentence in train:
        for word, tag in zip(*sentence, strict=True):
            counts[word.lower()][tag] += 1
            counts[""][tag] += 1
    known = {word: some.most_common(1)[0][0] for word, some in counts.items()}
    return [tuple(known.get(word.lower(), known[""]) for word in sentence.words) for sentence in test]


def logistic(train: Sequence[Sentence], test: Sequence[Sentence], columns: bool, epochs: int = 10) -> Found:
    """A softmax regression on the word's id, or with `columns` on its affixes and shape too (Adagrad, batches)."""
    words, gold = [one.words for one in train], [one.tags for one in train]
    prefixes, suffixes = (3, 4) if columns else (0, 0)
    lexicon = Lexicon.build(words, gold, minimum_count=2, prefixes=prefixes, suffixes=suffixes, shape=columns)
    offsets = np.cumsum([0, *lexicon.sizes])[:-1]
    rows = np.array([row for one in train for row in lexicon.encode(one.words)]) + offsets
    tags = np.array([tag for one in train for tag in lexicon.encode_tags(one.tags)])
    weights = np.zeros((sum(lexicon.sizes), len(lexicon.tags)), dtype=np.float32)
    squares = np.full_like(weights, 1e-6)
    random = np.random.default_rng(0)
    for _ in range(epochs):
        for batch in np.array_split(random.permutation(len(rows)), max(1, len(rows) // 256)):
            gradient = _softmax(weights[rows[batch]].sum(1))
            gradient[np.arange(len(batch)), tags[batch]] -= 1
            whole = np.zeros_like(weights)
            np.add.at(whole, rows[batch], gradient[:, None, :])
            squares += whole**2
            weights -= 0.1 * whole / np.sqrt(squares)
    best = [weights[np.array(lexicon.encode(one.words)) + offsets].sum(1).argmax(1) for one in test]
    return [tuple(lexicon.tags[i] for i in some.tolist()) for some in best]


def _softmax(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    weights = np.exp(scores - scores.max(1, keepdims=True))
    return np.asarray(weights / weights.sum(1, keepdims=True))


def shown(name: str, scores: TagScores) -> str:
    spans = f"  span F1 {scores.spans.overall.f1:.4f}" if scores.spans else ""
    return f"{name:40} accuracy {scores.accuracy:.4f}{spans}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("train", type=Path)
    parser.add_argument("test", type=Path)
    parser.add_argument("runs", type=Path, nargs="*")
    parser.add_argument("--scheme", default="")
    arguments = parser.parse_args()
    train, test = read_conll(arguments.train), read_conll(arguments.test)
    print(f"{platform.machine()}, numpy {np.__version__}; {len(train):,} and {len(test):,} sentences")
    baselines = {
        "commonest tag of each word": commonest(train, test),
        "logistic regression on the word": logistic(train, test, columns=False),
        "... and on its affixes and shape": logistic(train, test, columns=True),
    }
    for name, found in baselines.items():
        print(shown(name, evaluate_tags([one.tags for one in test], found, scheme=arguments.scheme)))
    for run in arguments.runs:
        scores = json.loads((run / "scores" / "test.json").read_text(encoding="utf-8"))
        spans = f"  span F1 {scores['spans']['overall']['f1']:.4f}" if scores.get("spans") else ""
        print(f"{run.name:40} accuracy {scores['accuracy']:.4f}{spans}")


if __name__ == "__main__":
    main()
