from __future__ import annotations

import random

import numpy as np
import pytest

from seesay.errors import DataError
from seesay.metrics import bleu
from seesay.metrics.pairs import Sums, mean_of
from seesay.metrics.significance import compare, intervals

WORDS = ["a", "the", "red", "dog", "cat", "runs", "sits", "on", "grass"]


def captions(seed: int, pictures: int = 60) -> dict[str, list[str]]:
    chance = random.Random(seed)
    return {str(i): chance.choices(WORDS, k=chance.randrange(3, 9)) for i in range(pictures)}


def normal(mean: float, seed: int, pictures: int = 400) -> Sums:
    return mean_of(dict(enumerate(np.random.default_rng(seed).normal(mean, 1, pictures).tolist())))  # type: ignore[arg-type]


def test_sums_give_the_corpus_score_of_any_sample() -> None:
    """BLEU of a corpus with some pictures left out and some there twice, from the sums and from captions."""
    candidates, references = captions(1), {i: [c, c[::-1]] for i, c in captions(2).items()}
    times = np.random.default_rng(3).integers(0, 3, len(candidates))
    chosen = [(i, n) for i, n in zip(candidates, times, strict=True)]
    sample = {f"{i}.{k}": candidates[i] for i, n in chosen for k in range(n)}
    whole = bleu.score(sample, {f"{i}.{k}": references[i] for i, n in chosen for k in range(n)})
    for name, scores in bleu.score(candidates, references).items():
        assert scores.sums is not None
        found = scores.sums.combine(np.stack([times @ scores.sums.statistics, scores.sums.statistics.sum(0)]))
        assert found == pytest.approx([whole[name].corpus, scores.corpus], rel=1e-12)
        assert 0 < whole[name].corpus < 1


def test_an_interval_is_as_wide_as_statistics_say() -> None:
    """A mean of 400 draws of standard deviation 1: 95% lie within 1.96 / 20."""
    sums = normal(5, seed=1)
    found = intervals({"x": sums}, samples=4000)["x"]
    assert found.score == pytest.approx(sums.statistics.mean())
    spread = sums.statistics.std() / 20
    assert found.low == pytest.approx(found.score - 1.96 * spread, abs=0.15 * spread)
    assert found.high == pytest.approx(found.score + 1.96 * spread, abs=0.15 * spread)


def test_the_interval_holds_the_truth_in_95_of_100_corpora() -> None:
    inside = 0
    for seed in range(200):
        found = intervals({"x": normal(0, seed, pictures=100)}, samples=300, seed=seed)["x"]
        inside += found.low <= 0 <= found.high
    assert 0.90 <= inside / 200 <= 0.99


def test_p_is_uniform_where_there_is_no_difference() -> None:
    values = [compare({"x": normal(0, 2 * s, 80)}, {"x": normal(0, 2 * s + 1, 80)}, 200)["x"].p for s in range(200)]
    assert 0.01 <= np.mean(np.array(values) <= 0.05) <= 0.10
    assert 0.4 < np.mean(values) < 0.6


def test_a_real_difference_is_found() -> None:
    better, worse = {"x": normal(0.5, 1)}, {"x": normal(0, 2)}
    found = compare(better, worse)["x"]
    assert found.p == 1 / 1001 and found.low > 0
    assert found.difference == pytest.approx(found.first - found.second)
    back = compare(worse, better)["x"]
    assert back.difference == -found.difference and back.p == found.p and back.high == pytest.approx(-found.low)


def test_a_system_against_itself_is_no_difference() -> None:
    sums = bleu.score(captions(1), {i: [c] for i, c in captions(2).items()})["Bleu_2"].sums
    assert sums is not None
    found = compare({"Bleu_2": sums}, {"Bleu_2": sums})["Bleu_2"]
    assert (found.difference, found.low, found.high, found.p) == (0, 0, 0, 1)


def test_the_same_seed_gives_the_same_limits() -> None:
    sums = {"x": normal(0, 1), "y": normal(0, 2)}
    assert intervals(sums, seed=4) == intervals(sums, seed=4) != intervals(sums, seed=5)
    assert intervals({"x": sums["x"]}, seed=4)["x"] == intervals(sums, seed=4)["x"]


def test_one_picture_has_an_interval_of_no_width() -> None:
    assert intervals({"x": mean_of({"1": 0.25})})["x"] == (0.25, 0.25, 0.25)


def test_other_pictures_are_refused() -> None:
    with pytest.raises(DataError, match=r"systems of \[3, 400\] pictures"):
        compare({"x": normal(0, 1)}, {"x": normal(0, 1, pictures=3)})
