from __future__ import annotations

import hashlib
import json
import pickle
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seesay.errors import DataError
from seesay.text.vocabulary import BOS, EOS, PAD, SPECIALS, UNK, Vocabulary

CAPTIONS = [["a", "dog", "runs"], ["a", "cat", "runs"], ["a", "bird"]]


@pytest.fixture
def vocabulary() -> Vocabulary:
    return Vocabulary.build(CAPTIONS, minimum_count=1)


def test_specials_come_first_then_frequency_then_alphabet(vocabulary: Vocabulary) -> None:
    assert vocabulary.words == ("<unk>", "<pad>", "<bos>", "<eos>", "a", "runs", "bird", "cat", "dog")
    assert (vocabulary.unk, vocabulary.pad, vocabulary.bos, vocabulary.eos) == (UNK, PAD, BOS, EOS) == (0, 1, 2, 3)
    assert len(vocabulary) == 9


def test_rare_words_are_left_out() -> None:
    vocabulary = Vocabulary.build(CAPTIONS, minimum_count=2)
    assert vocabulary.words[4:] == ("a", "runs")
    assert vocabulary.encode(["a", "dog", "runs"]) == [4, UNK, 5]


def test_nothing_left_is_an_error() -> None:
    for captions in ([], CAPTIONS):
        with pytest.raises(DataError, match="lower the minimum count"):
            Vocabulary.build(captions, minimum_count=4)


def test_one_word_is_called_a_word() -> None:
    with pytest.raises(DataError, match="none of 1 word occurs 2 times"):
        Vocabulary.build([["dog"]], minimum_count=2)


def test_a_string_is_not_a_list_of_tokens() -> None:
    with pytest.raises(DataError, match="expected a list of tokens"):
        Vocabulary.build(["a dog"], minimum_count=1)
    with pytest.raises(DataError, match=r"^vocabulary: got the string 'a dog'; expected a list of tokens; tokenize it"):
        Vocabulary.build([["a", "dog"]], 1).encode("a dog")


@pytest.mark.parametrize("count", [0, -1, 1.5, True])
def test_the_minimum_count_is_a_positive_whole_number(count: int) -> None:
    with pytest.raises(DataError, match="minimum_count"):
        Vocabulary.build(CAPTIONS, minimum_count=count)


def test_a_caption_cannot_smuggle_in_a_special() -> None:
    vocabulary = Vocabulary.build([["<eos>", "a", "<pad>"]], minimum_count=1)
    assert vocabulary.words == (*SPECIALS, "a")
    assert vocabulary.encode(["<eos>", "a", "<bos>"]) == [UNK, 4, UNK]


def test_decoding_stops_at_the_end_and_drops_bos_and_pad(vocabulary: Vocabulary) -> None:
    assert vocabulary.decode([BOS, 4, PAD, 8, UNK, EOS, 5, 99]) == ["a", "dog", "<unk>"]
    assert vocabulary.decode([]) == []


@pytest.mark.parametrize("stray", [-1, 9, 10**20])
def test_an_id_outside_the_vocabulary_is_an_error(vocabulary: Vocabulary, stray: int) -> None:
    with pytest.raises(DataError, match="expected 0 to 8"):
        vocabulary.decode([4, stray])


@given(st.lists(st.lists(st.sampled_from(["a", "b", "c", "d", "é", "日", "dog"]), max_size=8), min_size=1).filter(any))
def test_kept_words_survive_a_round_trip(captions: list[list[str]]) -> None:
    vocabulary = Vocabulary.build(captions, minimum_count=1)
    assert all(vocabulary.decode(vocabulary.encode(caption)) == caption for caption in captions)
    counts = Counter(word for caption in captions for word in caption)
    frequencies = [counts[word] for word in vocabulary.words[4:]]
    assert frequencies == sorted(frequencies, reverse=True)


def test_the_order_of_captions_does_not_matter(vocabulary: Vocabulary) -> None:
    assert Vocabulary.build(CAPTIONS[::-1], minimum_count=1) == vocabulary


def test_it_cannot_be_changed(vocabulary: Vocabulary) -> None:
    with pytest.raises(AttributeError):
        vocabulary.words = ()  # type: ignore[misc]


def test_it_crosses_a_process_border(vocabulary: Vocabulary) -> None:
    copy = pickle.loads(pickle.dumps(vocabulary))  # what a loading worker receives; never a file
    assert copy == vocabulary and copy.encode(["dog"]) == [8]


def test_the_digest_tells_orders_apart(vocabulary: Vocabulary) -> None:
    other = Vocabulary((*vocabulary.words[:-2], *vocabulary.words[:-3:-1]))
    assert sorted(other.words) == sorted(vocabulary.words) and other.digest != vocabulary.digest
    assert len(vocabulary.digest) == 64
    # Fixed for ever: checkpoints carry it.
    small = Vocabulary((*SPECIALS, "a"))
    assert small.digest == "2ae4425c2d2a93c0a1833c5d47a5258b96820015eefa2707f0c9bdb0276649b4"


def test_save_and_load(vocabulary: Vocabulary, tmp_path: Path) -> None:
    path = tmp_path / "vocabulary.json"
    vocabulary.save(path)
    vocabulary.save(path)
    assert Vocabulary.load(path) == vocabulary
    assert [file.name for file in tmp_path.iterdir()] == ["vocabulary.json"]
    content = json.loads(path.read_text(encoding="utf-8"))
    assert list(content) == ["format", "version", "minimum_count", "words", "sha256"]
    assert (content["format"], content["version"], content["minimum_count"]) == ("seesay-vocabulary", 1, 1)


def test_the_file_is_as_it_always_was(tmp_path: Path) -> None:
    Vocabulary.build([["a", "dog", "é"], ["a", "cat"]], 1).save(tmp_path / "vocabulary.json")
    found = hashlib.sha256((tmp_path / "vocabulary.json").read_bytes()).hexdigest()
    assert found == "343d7b0c6ac505b18f539bf87afc886f7fc92f69e0078329c15361e5646479cc"


def test_a_place_that_cannot_be_written_is_one_line(vocabulary: Vocabulary, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be written"):
        vocabulary.save(tmp_path / "missing" / "vocabulary.json")


def test_every_flipped_bit_is_noticed_or_harmless(tmp_path: Path) -> None:
    path = tmp_path / "vocabulary.json"
    vocabulary = Vocabulary.build([["a", "dog"]], minimum_count=1)
    vocabulary.save(path)
    whole = path.read_bytes()
    noticed = 0
    for bit in range(len(whole) * 8):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        try:
            assert Vocabulary.load(path) == vocabulary  # a space for a line feed, at most
        except DataError as error:
            noticed += 1
            assert str(path) in str(error) and "\n" not in str(error)
    assert noticed > 0.95 * len(whole) * 8


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"format": "other"}, "not a seesay vocabulary"),
        ({"version": 2}, "format version 2"),
        ({"words": "abc"}, "words is not a list"),
        ({"words": [*SPECIALS, "dog"]}, "damaged"),
        ({"minimum_count": 3}, "damaged"),
        ({"sha256": None}, "damaged"),
        ({"extra": 1}, "extra"),
    ],
)
def test_a_changed_file_is_refused(
    vocabulary: Vocabulary, tmp_path: Path, change: dict[str, object], words: str
) -> None:
    path = tmp_path / "vocabulary.json"
    vocabulary.save(path)
    path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), **change}), encoding="utf-8")
    with pytest.raises(DataError, match=words):
        Vocabulary.load(path)


def test_a_file_that_is_not_an_object_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "vocabulary.json"
    path.write_text("[]", encoding="utf-8")
    with pytest.raises(DataError, match="not a seesay vocabulary"):
        Vocabulary.load(path)


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        (("a", "b"), "begins with"),
        ((*SPECIALS, "a", "a"), "occurs twice"),
        ((*SPECIALS, ""), "empty or not a string"),
        ((*SPECIALS, 5), "empty or not a string"),
    ],
)
def test_words_that_make_no_vocabulary(words: tuple[str, ...], fault: str) -> None:
    with pytest.raises(DataError, match=fault):
        Vocabulary(words)
