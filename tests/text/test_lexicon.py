from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from seesay.errors import DataError
from seesay.text.lexicon import PAD, UNK, UNKNOWN_TAG, Lexicon, Sight, shape

WORDS = [["The", "dogs", "ran", "in", "1987"], ["the", "cat", "Ran"]]
TAGS = [["DT", "NNS", "VBD", "IN", "CD"], ["DT", "NN", "VBD"]]


@pytest.fixture
def lexicon() -> Lexicon:
    return Lexicon.build(WORDS, TAGS, prefixes=1, suffixes=2, rare_affixes=1)


def test_ids_follow_frequency_then_code_points(lexicon: Lexicon) -> None:
    words, prefixes, one, two, shapes = lexicon.values
    assert words == ("ran", "the", "0000", "cat", "dogs", "in")
    assert prefixes == ("r", "t", "0", "c", "d", "i")
    assert one == ("n", "e", "0", "s", "t")
    assert two == ("an", "he", "00", "at", "gs", "in")
    assert shapes == ("x", "Xx", "d")
    assert lexicon.tags == ("CD", "DT", "IN", "NN", "NNS", "VBD")
    assert lexicon.sizes == (8, 8, 7, 8, 5)


def test_known_values_have_ids_from_two_and_others_are_unknown(lexicon: Lexicon) -> None:
    assert (PAD, UNK) == (0, 1)
    assert lexicon.encode(["THE", "zebras", "1812"]) == [(3, 3, 3, 3, UNK), (UNK, UNK, 5, UNK, 2), (4, 4, 4, 4, 4)]
    assert lexicon.encode([]) == []
    assert max(max(row) for row in lexicon.encode(["in"])) < max(lexicon.sizes)


def test_rare_words_and_rare_affixes_are_left_out_apart() -> None:
    lexicon = Lexicon.build(WORDS, TAGS, minimum_count=2, rare_affixes=3, prefixes=0, suffixes=1)
    assert lexicon.values == (("ran", "the"), ("n",), ("x",))


def test_an_affix_longer_than_the_word_says_so() -> None:
    assert Sight(prefixes=3, suffixes=2, shape=False).columns("a") == ["a", "a", " a", " a", "a", " a"]
    assert Sight(prefixes=2, suffixes=0, shape=False).columns("") == ["", " ", " "]


def test_case_and_digits_can_be_kept() -> None:
    assert Sight(0, 2, shape=False, lower=False, digits=False).columns("McX7") == ["McX7", "7", "X7"]
    assert Sight(0, 0, shape=False, digits=True).columns("X٣7") == ["x00"]


@pytest.mark.parametrize(
    ("word", "expected"),
    [("", ""), ("don't", "x'x"), ("*T*-1", "*X*-d"), ("北京2008", "ad"), ("É", "X"), ("...", "."), ("aB1-b", "xXd-x")],
)
def test_shapes(word: str, expected: str) -> None:
    assert shape(word) == expected


def test_two_spellings_of_one_accent_are_one_word() -> None:
    lexicon = Lexicon.build([["caf\u00e9"]], [["NN"]], rare_affixes=1)
    assert lexicon.encode(["cafe\u0301"]) == lexicon.encode(["caf\u00e9"])
    assert UNK not in lexicon.encode(["cafe\u0301"])[0]


def test_a_tag_of_no_training_sentence_has_an_id_of_its_own(lexicon: Lexicon) -> None:
    assert lexicon.encode_tags(["CD", "UH", "VBD"]) == [0, UNKNOWN_TAG, 5]


def test_the_order_of_sentences_does_not_matter(lexicon: Lexicon) -> None:
    again = Lexicon.build(WORDS[::-1], TAGS[::-1], prefixes=1, suffixes=2, rare_affixes=1)
    assert again == lexicon
    assert again.digest == lexicon.digest


def test_any_change_changes_the_digest(lexicon: Lexicon) -> None:
    others = [
        Lexicon(lexicon.values, (*lexicon.tags, "X"), lexicon.sight),
        Lexicon((*lexicon.values[:-1], ("Xx", "x", "d")), lexicon.tags, lexicon.sight),
        Lexicon(lexicon.values, lexicon.tags, Sight(1, 2, lower=False)),
        Lexicon(lexicon.values, lexicon.tags, Sight(2, 1)),
        Lexicon(lexicon.values, lexicon.tags, lexicon.sight, ("a",)),
    ]
    assert len({one.digest for one in (lexicon, *others)}) == 6


def test_letters_follow_frequency_and_keep_their_case() -> None:
    lexicon = Lexicon.build([["Aab", "ab", "b", "c"]], [["X"] * 4], rare_affixes=2, characters=True)
    assert lexicon.characters == ("b", "a")  # in 3 words and in 2; A and c only in one
    assert lexicon.character_count == 4
    assert lexicon.spell("Aab") == [UNK, 3, 2]
    assert lexicon.spell("") == []


def test_a_long_word_shows_its_two_ends() -> None:
    lexicon = Lexicon.build([["ab", "ab"]], [["X", "X"]], characters=True)
    assert lexicon.spell("a" * 40) == [2] * 40
    assert lexicon.spell("a" * 20 + "x" * 9 + "b" * 20) == [2] * 20 + [3] * 20


@pytest.mark.parametrize(
    ("characters", "sha256"),
    [
        (False, "04e411f6096dfb1b5503d21162d97309697e7de5a02c045893869a04b5bf76e5"),
        (True, "ce188ee17d7d7d1546f077f49b7a1c1070254070e1349d5ddfea6cb216c426e8"),
    ],
)
def test_the_file_is_as_it_always_was(characters: bool, sha256: str, tmp_path: Path) -> None:
    lexicon = Lexicon.build([["A", "dog", "né"]], [["DT", "NN", "JJ"]], characters=characters, rare_affixes=1)
    lexicon.save(tmp_path / "lexicon.json")
    assert hashlib.sha256((tmp_path / "lexicon.json").read_bytes()).hexdigest() == sha256


def test_without_letters_the_file_is_as_it_always_was(lexicon: Lexicon, tmp_path: Path) -> None:
    lexicon.save(tmp_path / "lexicon.json")
    assert "characters" not in json.loads((tmp_path / "lexicon.json").read_text(encoding="utf-8"))
    assert lexicon.character_count == 0


def test_letters_come_back_from_the_file_and_so_do_tags_alone(tmp_path: Path) -> None:
    spelled = Lexicon.build(WORDS, TAGS, characters=True)
    for lexicon in (spelled, Lexicon((), ("silence", "speech"))):
        lexicon.save(tmp_path / "lexicon.json")
        assert Lexicon.load(tmp_path / "lexicon.json") == lexicon
    assert lexicon.sizes == () and lexicon.encode_tags(["speech"]) == [1]


@pytest.mark.parametrize(("words", "tags"), [([], []), ([["a"]], [[]]), ([[]], [["DT"]])])
def test_nothing_to_learn_from_is_an_error(words: list[list[str]], tags: list[list[str]]) -> None:
    with pytest.raises(DataError, match=r"lexicon: received \d words? and \d tags?, \d"):
        Lexicon.build(words, tags)


def test_a_minimum_count_that_no_word_reaches() -> None:
    with pytest.raises(DataError, match="9 words and 6 tags, 0 words of them at least 9 times"):
        Lexicon.build([[*WORDS[0], "a"], WORDS[1]], TAGS, minimum_count=9)


def test_one_word_is_called_a_word() -> None:
    with pytest.raises(DataError, match="received 1 word and 1 tag, 0 words of them at least 2 times"):
        Lexicon.build([["dog"]], [["NN"]], minimum_count=2)


def test_a_string_is_not_a_list_of_words(lexicon: Lexicon) -> None:
    with pytest.raises(DataError, match="received the string 'a dog'"):
        Lexicon.build(["a dog"], TAGS)
    with pytest.raises(DataError, match="received the string 'dog'"):
        lexicon.encode("dog")


def test_comes_back_from_its_file(lexicon: Lexicon, tmp_path: Path) -> None:
    lexicon.save(tmp_path / "run" / "lexicon.json")
    again = Lexicon.load(tmp_path / "run" / "lexicon.json")
    assert again == lexicon
    assert again.digest == lexicon.digest
    assert again.encode(["The", "x"]) == lexicon.encode(["The", "x"])


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda c: c.update(format="seesay-vocabulary"), "not a seesay lexicon"),
        (lambda c: c.update(version=2), "lexicon format version 2, this seesay reads 1"),
        (lambda c: c.pop("tags"), r"keys \['tags'\] are missing or unknown"),
        (lambda c: c.update(more=1), r"keys \['more'\] are missing or unknown"),
        (lambda c: c["columns"][0].reverse(), "damaged: its content does not match"),
        (lambda c: c["sight"].update(lower=False), "damaged: its content does not match"),
        (lambda c: c["tags"].append("X"), "damaged: its content does not match"),
    ],
)
def test_a_damaged_file_is_refused_by_name(lexicon: Lexicon, tmp_path: Path, change, expected: str) -> None:
    path = tmp_path / "lexicon.json"
    lexicon.save(path)
    content = json.loads(path.read_text(encoding="utf-8"))
    change(content)
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(DataError, match=rf"lexicon\.json: {expected}.*restore it or train again"):
        Lexicon.load(path)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda c: c.update(sight=[]), r"its sight is \[\]"),
        (lambda c: c["sight"].update(prefixes="1"), "its sight is"),
        (lambda c: c["columns"].pop(), "4 columns do not fit its sight"),
        (lambda c: c["columns"][0].append("ran"), "no list of different texts"),
        (lambda c: c.update(tags="DT"), "no list of different texts"),
        (lambda c: c.update(characters=["a", "a"]), "no list of different texts"),
    ],
)
def test_a_file_made_by_another_hand_is_refused_too(lexicon: Lexicon, tmp_path: Path, change, expected: str) -> None:
    path = tmp_path / "lexicon.json"
    lexicon.save(path)
    content = json.loads(path.read_text(encoding="utf-8"))
    change(content)
    checked = {key: value for key, value in content.items() if key != "sha256"}
    text = json.dumps(checked, sort_keys=True, separators=(",", ":"))
    content["sha256"] = hashlib.sha256(text.encode()).hexdigest()
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(DataError, match=expected):
        Lexicon.load(path)


def test_a_missing_or_cut_file(lexicon: Lexicon, tmp_path: Path) -> None:
    path = tmp_path / "lexicon.json"
    with pytest.raises(DataError, match="cannot be read"):
        Lexicon.load(path)
    lexicon.save(path)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match="not valid JSON"):
        Lexicon.load(path)
    path.write_text("[]", encoding="utf-8")
    with pytest.raises(DataError, match="not a seesay lexicon"):
        Lexicon.load(path)
