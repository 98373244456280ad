"""Labels of whole texts: the classifier of a recipe against words without order and against reading one way.

    .venv/bin/python benchmarks/classifying.py [--recipe recipes/sentence-polarity.toml] [--seeds 1 2 3]
                                               [--only words words-and-pairs one-way recipe] [--test] [--set KEY=VALUE]

words, words-and-pairs: a bag of words, and of words and pairs of neighbours. Each feature that a text has counts by the
ratio of its probabilities among the label's texts and among the others (its logarithm, added-one), and logistic
regression weighs these (Wang and Manning 2012). "ratios alone" is naive Bayes: all weights 1. How much the weights are
held to zero is chosen on the development part.
one-way, recipe: the recipe's network reading forwards alone, and as the recipe has it.

All learn from the same part of the data that the recipe keeps for training; the best epoch is chosen on the development
part, whose accuracy therefore flatters a little, each of them alike. With --test the test part is scored once, at the
end. The baselines draw nothing at random: they are the same for every seed.
"""

from __future__ import annotations

import argparse
import itertools
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before NumPy and torch are loaded: the last bits depend on it

import numpy as np
from numpy.typing import NDArray

from seesay.data.labels import Labelled
from seesay.recipe import ClassifyRecipe, find_recipe, read_recipe
from seesay.run import Check, train
from seesay.tasks.classify import evaluate, parts_of, splitter
from seesay.text.tokens import Split

HELD = (0.01, 0.1, 0.3, 1.0, 3.0, 10.0)  # how much weights are held to zero; tried on the development part
RARE = 1  # features that fewer training texts have count nothing

Words = Sequence[Sequence[str]]


class Bags(NamedTuple):
    """Which features which text has, each once: entry i says that text `rows[i]` has feature `columns[i]`."""

    rows: NDArray[np.int64]
    columns: NDArray[np.int64]
    texts: int

    def times(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """The sums (texts, N) over each text's features of their `weights` (features, N)."""
        return np.stack(
            [np.bincount(self.rows, column[self.columns], minlength=self.texts) for column in weights.T], axis=1
        )

    def transposed_times(self, errors: NDArray[np.float64], features: int) -> NDArray[np.float64]:
        """The sums (features, N) over each feature's texts of their `errors` (texts, N)."""
        return np.stack([np.bincount(self.columns, column[self.rows], minlength=features) for column in errors.T], 1)


def features_of(words: Sequence[str], pairs: bool) -> set[tuple[str, ...]]:
    """The words of a text, and the pairs of neighbours."""
    return {(word,) for word in words} | (set(itertools.pairwise(words)) if pairs else set())


def bags_of(texts: Words, known: dict[tuple[str, ...], int], pairs: bool) -> Bags:
    entries = [
        (row, known[feature])
        for row, words in enumerate(texts)
        for feature in sorted(features_of(words, pairs))
        if feature in known
    ]
    rows, columns = np.array(entries, dtype=np.int64).reshape(-1, 2).T
    return Bags(rows, columns, len(texts))


def log_ratios(bags: Bags, gold: NDArray[np.float64], features: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """For each feature and label log(p / q), p its share of the features of the label's texts and q of the others';
    and the same of the labels themselves.
    """
    inside, outside = (1 + bags.transposed_times(part, features) for part in (gold, 1 - gold))
    ratios = np.log(inside / inside.sum(0)) - np.log(outside / outside.sum(0))
    return ratios, np.log(gold.sum(0)) - np.log((1 - gold).sum(0))


def regress(
    bags: Bags, ratios: NDArray[np.float64], gold: NDArray[np.float64], held: float, steps: int = 300
) -> Callable[[Bags], NDArray[np.float64]]:
    """Softmax regression on the ratios, by Adam over all texts at once; held to zero by held / 2 ||w||^2."""
    scale, bias = np.zeros_like(ratios), np.zeros(ratios.shape[1])
    moments = [(np.zeros_like(one), np.zeros_like(one)) for one in (scale, bias)]
    for step in range(1, steps + 1):
        scores = bags.times(scale * ratios) + bias
        shares = np.exp(scores - scores.max(1, keepdims=True))
        errors = (shares / shares.sum(1, keepdims=True) - gold) / len(gold)
        gradients = (bags.transposed_times(errors, len(ratios)) * ratios + held / len(gold) * scale, errors.sum(0))
        rate = 0.05 * (1 - (step - 1) / steps)
        for value, gradient, (mean, square) in zip((scale, bias), gradients, moments, strict=True):
            mean += 0.1 * (gradient - mean)
            square += 0.001 * (gradient**2 - square)
            value -= rate * mean / (1 - 0.9**step) / (np.sqrt(square / (1 - 0.999**step)) + 1e-12)
    return lambda other: other.times(scale * ratios) + bias


def bag_of_words(parts: dict[str, list[Labelled]], split: Split, pairs: bool, test: bool) -> None:
    """Print what naive Bayes and logistic regression reach."""
    words = {name: [split(one.text) for one in part] for name, part in parts.items()}
    counts = Counter(feature for some in words["train"] for feature in features_of(some, pairs))
    known = {feature: i for i, feature in enumerate(sorted(f for f, count in counts.items() if count >= RARE))}
    bags = {name: bags_of(some, known, pairs) for name, some in words.items()}
    labels = sorted({one.label for one in parts["train"]})
    ids = {name: np.array([labels.index(one.label) for one in part]) for name, part in parts.items()}
    gold = np.eye(len(labels))[ids["train"]]
    ratios, prior = log_ratios(bags["train"], gold, len(known))

    def accuracy(score: Callable[[Bags], NDArray[np.float64]], name: str) -> float:
        return float((score(bags[name]).argmax(1) == ids[name]).mean())

    def show(name: str, score: Callable[[Bags], NDArray[np.float64]]) -> None:
        line = f"  {name:<28} train {accuracy(score, 'train'):.4f}  dev {accuracy(score, 'dev'):.4f}"
        print(line + (f"  test {accuracy(score, 'test'):.4f}" if test else ""), flush=True)

    print(f"{'words and pairs' if pairs else 'words'}: {len(known):,} features")
    show("ratios alone", lambda some: some.times(ratios) + prior)
    tried = {held: regress(bags["train"], ratios, gold, held) for held in HELD}
    best = max(HELD, key=lambda held: accuracy(tried[held], "dev"))
    show(f"regression, held by {best:g}", tried[best])


def network(name: str, recipe: ClassifyRecipe, seeds: Sequence[int], test: bool) -> None:
    """Print what the recipe's network reaches with each seed."""
    found: dict[str, list[float]] = {}
    for seed in seeds:
        with tempfile.TemporaryDirectory() as folder:
            checks = [event for event in train(recipe.model_copy(update={"seed": seed}), Path(folder) / "run")
                      if isinstance(event, Check)]  # fmt: skip
            best = max(checks, key=lambda check: check.scores["accuracy"])
            line = f"  {name}, seed {seed}: dev {best.scores['accuracy']:.4f} in epoch {best.epoch} of {len(checks)}"
            found.setdefault("dev", []).append(best.scores["accuracy"])
            if test:
                found.setdefault("test", []).append(evaluate(Path(folder) / "run", "test")[0].accuracy)
                line += f"  test {found['test'][-1]:.4f}"
            print(f"{line}  {np.mean([check.seconds for check in checks]):.0f} s an epoch", flush=True)
    for part, values in found.items():
        spread = f", deviation {np.std(values, ddof=1):.4f}" if len(values) > 1 else ""
        print(f"  {name}: {part} mean {np.mean(values):.4f}{spread}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = ["words", "words-and-pairs", "one-way", "recipe"]
    parser.add_argument("--recipe", default="sentence-polarity")
    parser.add_argument("--set", nargs="+", default=[], dest="settings")
    parser.add_argument("--only", nargs="+", choices=names, default=names)
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--test", action="store_true")
    given = parser.parse_args()
    recipe: Any = read_recipe(find_recipe(given.recipe), given.settings)
    if not isinstance(recipe, ClassifyRecipe):
        sys.exit(f"{given.recipe}: received a recipe of task '{recipe.task}'; expected one of task 'classify'.")
    found = parts_of(recipe)
    parts = {"train": found.train, "dev": found.dev, "test": found.test}
    print("texts:", ", ".join(f"{len(part):,} {name}" for name, part in parts.items()))
    for pairs, name in ((False, "words"), (True, "words-and-pairs")):
        if name in given.only:
            bag_of_words(parts, splitter(recipe), pairs, given.test)
    if "one-way" in given.only:
        model = recipe.model.model_copy(update={"bidirectional": False})
        network("one way", recipe.model_copy(update={"model": model}), given.seeds, given.test)
    if "recipe" in given.only:
        network("both ways", recipe, given.seeds, given.test)


if __name__ == "__main__":
    main()
