"""METEOR's own data: the packed file, the way it comes about, and the normaliser. None of it needs the wheel."""

from __future__ import annotations

import gzip
import importlib.util
import zipfile
from pathlib import Path

import numpy as np
import pytest

from seesay.errors import MissingPart
from seesay.metrics.meteor import Meteor, MeteorMissing, cache
from seesay.metrics.meteor.normalize import Prefixes, normalize
from seesay.metrics.meteor.store import is_whole, map_arrays, write_arrays

PREFIXES = "# titles\nDr\nMr\n\n# before numbers\nNo #NUMERIC_ONLY# \n"


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small folder of the wheel's form, which stands in for the installed one."""
    folder = tmp_path / "wheel"
    (folder / "data").mkdir(parents=True)
    with zipfile.ZipFile(folder / "meteor-1.5.jar", "w") as jar:
        jar.writestr("function/english.words", "a\nthe\n")
        jar.writestr("nonbreaking/english.prefixes", PREFIXES)
        jar.writestr("synonym/english.synsets", "car\n00000001 00000002\nautomobile\n00000001\ngoose\n00000003\n")
        jar.writestr("synonym/english.exceptions", "goose\ngeese\n")
    with gzip.open(folder / "data" / "paraphrase-en.gz", "wt", encoding="utf-8") as table:
        table.write("0.5\nnext to\nbeside\n0.25\nnext to\nclose by\n")
    monkeypatch.setattr(cache, "find_source", lambda: folder)
    return folder


def one(meteor: Meteor, candidate: str, reference: str) -> float:
    return meteor.score({"1": candidate.split()}, {"1": [reference.split()]}).corpus


def test_a_pack_holds_what_the_wheel_says(source: Path, tmp_path: Path) -> None:
    told: list[str] = []
    meteor = Meteor.load(tmp_path / "deep" / "meteor.bin", told.append)
    assert told[-2] == "METEOR: read 2 paraphrases"
    assert one(meteor, "automobile", "car") == pytest.approx(0.8)
    assert one(meteor, "geese", "goose") == pytest.approx(0.8)
    assert one(meteor, "running", "runs") == pytest.approx(0.6)
    assert one(meteor, "beside", "next to") == one(meteor, "next to", "beside") == pytest.approx(0.6)
    assert one(meteor, "beside", "close by") == 0


def test_a_damaged_cache_is_built_again(source: Path, tmp_path: Path) -> None:
    path = tmp_path / "meteor.bin"
    before = one(Meteor.load(path), "a goose next to x", "geese close by x")
    content = bytearray(path.read_bytes())
    content[-70] ^= 1
    path.write_bytes(content)
    assert not is_whole(path)
    assert one(Meteor.load(path), "a goose next to x", "geese close by x") == before > 0
    assert is_whole(path)


def test_a_whole_cache_needs_no_wheel(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Meteor.load(tmp_path / "meteor.bin")
    monkeypatch.setattr(cache, "find_source", lambda: pytest.fail("looked for the wheel"))
    Meteor.load(tmp_path / "meteor.bin")


def test_without_the_wheel_one_line_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MeteorMissing, match=r"pip install 'seesay\[meteor\]'") as caught:
        Meteor.load(tmp_path / "meteor.bin")
    assert isinstance(caught.value, MissingPart) and "\n" not in str(caught.value)


@pytest.mark.parametrize("damage", ["meteor-1.5.jar", "data/paraphrase-en.gz"])
def test_a_damaged_wheel_is_named(source: Path, tmp_path: Path, damage: str) -> None:
    (source / damage).write_bytes(b"not this")
    with pytest.raises(MeteorMissing, match="METEOR's data cannot be read"):
        Meteor.load(tmp_path / "meteor.bin")
    assert not (tmp_path / "meteor.bin").exists()


def test_arrays_come_back_as_they_were(tmp_path: Path) -> None:
    arrays = {"a": np.arange(5, dtype=np.uint64), "none": np.zeros(0, np.uint32), "b": np.arange(7, dtype=np.uint8)}
    write_arrays(tmp_path / "x.bin", arrays)
    assert is_whole(tmp_path / "x.bin") and not is_whole(tmp_path / "absent")
    read = map_arrays(tmp_path / "x.bin")
    assert {name: array.tolist() for name, array in read.items()} == {n: a.tolist() for n, a in arrays.items()}
    assert all(array.dtype == arrays[name].dtype for name, array in read.items())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a dog runs", "a dog runs"),
        ("is n't", "is n 't"),
        ("it 's", "it ' s"),
        ("dog's 1990's rock'n'roll", "dog 's 1990 's rock 'n'roll"),
        ("the u.s. and e.g. a.b", "the us and eg a.b"),
        ("mr. smith . mr.", "mr. smith . mr ."),
        ("no. 5 No. 5 no. x", "no . 5 no. 5 no. x"),
        ("a... b .. .", "a ... b .. ."),
        ("1,000 1,x a,b", "1,000 1 , x a , b"),
        ("co-ed a-b-c -lrb- a--b", "co ed a b-c -lrb- a b"),
        ("“q” ‘r’ ``s''", '" q " \' r \' " s "'),
        ("3\u00a01/2", "3 1 / 2"),
        ("日本 Ωx é", "日 本 ω x é"),
        ("$5.00 50% a&b", "$ 5.00 50 % a & b"),
        ("", ""),
        (" \x01 ", ""),
    ],
)
def test_normalises_as_the_original(text: str, words: str) -> None:
    assert normalize(text, Prefixes.read(PREFIXES)) == words.split()


def test_titles_keep_their_full_stop_before_a_capital() -> None:
    prefixes = Prefixes.read(PREFIXES)
    assert prefixes == (frozenset({"Dr", "Mr"}), frozenset({"No"}))
    assert normalize("Dr. Who No. X No. 5 Hon. X", prefixes) == [
        "dr.",
        "who",
        "no",
        ".",
        "x",
        "no.",
        "5",
        "hon",
        ".",
        "x",
    ]


def test_sums_give_the_corpus_score_of_any_sample(source: Path, tmp_path: Path) -> None:
    meteor = Meteor.load(tmp_path / "meteor.bin")
    candidates = {"1": "a car runs far", "2": "geese", "3": "x y", "4": "a b c d e"}
    references = {"1": ["the automobile is running"], "2": ["a goose"], "3": ["z"], "4": ["a b d c e", "b"]}
    scores = meteor.score(candidates, references)
    assert scores.sums is not None
    rows = scores.sums.statistics
    found = scores.sums.combine(np.stack([rows.sum(0), rows[0], rows[2], 2 * rows[1] + rows[3]]))
    twice = {"a": "2", "b": "2", "c": "4"}
    sample = meteor.score({i: candidates[j] for i, j in twice.items()}, {i: references[j] for i, j in twice.items()})
    expected = [scores.corpus, scores.per_id["1"], 0.0, sample.corpus]
    assert found == pytest.approx(expected, rel=1e-12, abs=0) and sample.corpus > 0.1


def test_a_cache_that_cannot_be_written_is_a_missing_part(source: Path) -> None:
    with pytest.raises(MeteorMissing, match=r"/proc/none/meteor\.bin: cannot be written .*SEESAY_CACHE"):
        Meteor.load(Path("/proc/none/meteor.bin"))
