"""The reward on ids equals the score of the decoded text."""

from __future__ import annotations

import random

import numpy as np
import pytest

from seesay.errors import DataError
from seesay.metrics.cider import CiderD
from seesay.metrics.reward import CiderDReward
from seesay.text.vocabulary import SPECIALS, Vocabulary

WORDS = ["a", "red", "dog", "runs", "blue", "cat", "on", "grass", "3\xa01/2", "<unk>"]
VOCABULARY = Vocabulary((*SPECIALS, *WORDS[:-1]))


def caption(chance: random.Random, longest: int = 12) -> list[str]:
    """Words with repetitions, now and then one that no model knows."""
    return chance.choices([*WORDS[:-1], "zebra"], weights=[9, 5, 5, 5, 3, 3, 3, 2, 1, 1], k=chance.randrange(longest))


def world(seed: int, pictures: int = 30) -> list[list[list[str]]]:
    chance = random.Random(seed)
    return [[caption(chance) for _ in range(chance.choice([1, 2, 5]))] for _ in range(pictures)]


def sampled(seed: int, rows: int, steps: int) -> np.ndarray:
    """Ids as an untrained model draws them: any word, <unk>, <pad> and <bos> too, the end anywhere or nowhere."""
    return np.random.default_rng(seed).choice(
        len(VOCABULARY), size=(rows, steps), p=_favour(len(VOCABULARY), rare=(0, 1, 2))
    )


def _favour(size: int, rare: tuple[int, ...]) -> np.ndarray:
    weights = np.ones(size)
    weights[list(rare)] = 0.05
    return weights / weights.sum()


@pytest.mark.parametrize("with_end", [False, True])
@pytest.mark.parametrize("per", ["picture", "caption"])
@pytest.mark.parametrize("steps", [1, 2, 3, 20])
def test_equals_the_text_scorer(per: str, with_end: bool, steps: int) -> None:
    references = world(steps)
    ending = ["<eos>"] if with_end else []
    ended = {str(i): [[*words, *ending] for words in captions] for i, captions in enumerate(references)}
    scorer = CiderD.fit(ended, per)
    ids = sampled(steps, 300, steps)
    pictures = np.random.default_rng(1).integers(0, len(references), 300)
    rewards = CiderDReward(scorer, references, VOCABULARY, with_end=with_end)(ids, pictures)
    assert rewards.dtype == np.float64 and rewards.shape == (300,)
    for row, picture, reward in zip(ids, pictures, rewards, strict=True):
        words = VOCABULARY.decode(row) + (ending if VOCABULARY.eos in row else [])
        expected = scorer.similarity(scorer.prepare([words])[0], scorer.prepare(ended[str(picture)]))
        assert reward == pytest.approx(expected, rel=0, abs=1e-9)
    assert steps < 3 or rewards.max() > 1


def test_a_reference_itself_is_the_best() -> None:
    references = [[["a", "red", "dog", "runs"]], [["a", "blue", "cat", "runs"]], [["grass"]]]
    reward = CiderDReward(CiderD.fit({str(i): r for i, r in enumerate(references)}), references, VOCABULARY)
    ids = np.array([[*VOCABULARY.encode(references[0][0]), VOCABULARY.eos, 7]] * 2)
    assert reward(ids, np.array([0, 1])) == pytest.approx([10, 10 / 4 * reward_of_shared_words()], abs=1e-12)


def reward_of_shared_words() -> float:
    """ "a" and "runs" of four words, each word's weight log(3 / its pictures); no shared pair of words."""
    common, rare = np.log(3 / 2) ** 2, np.log(3) ** 2
    return float(2 * common / (2 * common + 2 * rare))


def test_frequencies_of_other_pictures() -> None:
    scorer = CiderD.fit({str(i): captions for i, captions in enumerate(world(7, 200))})
    references = world(8, 3)
    reward = CiderDReward(scorer, references, VOCABULARY)
    ids = sampled(9, 50, 10)
    for row, found in zip(ids, reward(ids, np.full(50, 2)), strict=True):
        candidate = scorer.prepare([VOCABULARY.decode(row)])[0]
        assert found == pytest.approx(scorer.similarity(candidate, scorer.prepare(references[2])), rel=0, abs=1e-9)


def test_no_candidates_and_empty_ones() -> None:
    references = world(3, 4)
    reward = CiderDReward(CiderD.fit({str(i): r for i, r in enumerate(references)}), references, VOCABULARY)
    assert reward(np.zeros((0, 5), np.int64), np.zeros(0, np.int64)).shape == (0,)
    assert reward(np.full((2, 5), VOCABULARY.eos), np.array([0, 3])).tolist() == [0, 0]


def test_a_vocabulary_that_does_not_fit_is_an_error() -> None:
    words = Vocabulary((*SPECIALS, *map(str, range(65_531))))
    with pytest.raises(DataError, match="65,535 words; at most 65,534 fit"):
        CiderDReward(CiderD.fit({"1": ["a dog"]}), [["a dog"]], words)


REFERENCES = [[["a", "red", "dog", "runs"]], [["zebra", "zebra"]], [["a", "blue", "cat", "runs"], []]]


@pytest.fixture
def reward() -> CiderDReward:
    return CiderDReward(CiderD.fit({str(i): r for i, r in enumerate(REFERENCES)}), REFERENCES, VOCABULARY)


@pytest.mark.parametrize("kind", [np.uint8, np.int8, np.int16, np.int32, np.uint64])
def test_any_kind_of_whole_numbers(kind: type) -> None:
    words = Vocabulary((*SPECIALS, *(f"w{i}" for i in range(124))))  # the last id is 127, the most of int8
    references = [[["w123", "w122"]], [["w1"]]]
    reward = CiderDReward(CiderD.fit({"0": references[0], "1": references[1]}), references, words)
    ids = np.array([[127, 126, 3, 3]])
    assert reward(ids.astype(kind), np.array([0], kind)).tolist() == pytest.approx([5])


def test_a_picture_of_unknown_words_has_no_reward_from_its_neighbours(reward: CiderDReward) -> None:
    ids = np.array([VOCABULARY.encode(["a", "red", "dog", "runs"])] * 3)
    found = reward(ids, np.array([0, 1, 2]))
    assert found[0] == pytest.approx(10) and found[1] == 0 and 0 < found[2] < 5
    only = CiderDReward(CiderD.fit({"0": [["zebra"]], "1": [[]]}), [[["zebra"]], [[]]], VOCABULARY)
    assert only(ids, np.array([0, 1, 1])).tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    ("ids", "pictures", "words"),
    [
        ([[4]], [3], "picture 3 to 3"),
        ([[4]], [-1], "picture -1 to -1"),
        ([[99]], [0], "id 99 to 99"),
        ([[-1, 4]], [0], "id -1 to 4"),
        ([[4.0]], [0], "float64"),
        ([4, 5], [0], r"ids \(2,\), pictures \(1,\); expected \(N, T\) and \(N,\)"),
        ([[4], [5]], [0], r"ids \(2, 1\), pictures \(1,\)"),
    ],
)
def test_what_is_not_there_is_an_error(
    reward: CiderDReward, ids: list[object], pictures: list[int], words: str
) -> None:
    with pytest.raises(DataError, match=words):
        reward(np.array(ids), np.array(pictures))


def test_no_steps_and_no_references(reward: CiderDReward) -> None:
    assert reward(np.zeros((3, 0), np.int64), np.zeros(3, np.int64)).tolist() == [0, 0, 0]
    with pytest.raises(DataError, match="picture 1 has no references"):
        CiderDReward(CiderD.fit({"0": [["a"]]}), [[["a"]], []], VOCABULARY)
