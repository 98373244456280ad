from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from seesay.data.labels import Labelled, decoded, hold_out, labels_of, read_labelled
from seesay.errors import DataError


def pairs(texts: list[Labelled]) -> list[tuple[str, str]]:
    return [(one.label, one.text) for one in texts]


def some(**counts: int) -> list[Labelled]:
    """So many texts of each label, a label after another."""
    return [
        Labelled(label, f"{label} {i}", f"{label}.txt:{i + 1}") for label, count in counts.items() for i in range(count)
    ]


def test_a_file_of_lines_with_their_labels(tmp_path: Path) -> None:
    file = tmp_path / "train.tsv"
    file.write_bytes("\ufeffpos\tquiet grace .\r\nneg\ttoo\tlong \nvery good\tr\u00eaverie\u2028\x85 .".encode())
    assert read_labelled(file) == [
        Labelled("pos", "quiet grace .", f"{file}:1"),
        Labelled("neg", "too\tlong", f"{file}:2"),
        Labelled("very good", "r\u00eaverie\u2028\x85 .", f"{file}:3"),
    ]


def test_a_folder_of_a_file_for_each_label(tmp_path: Path) -> None:
    (tmp_path / "pos.txt").write_text("one\ntwo\ta tab\n", encoding="utf-8")
    (tmp_path / "neg.txt").write_text("three\n", encoding="utf-8")
    (tmp_path / "README.md").write_text("not texts\n", encoding="utf-8")
    found = read_labelled(tmp_path)
    assert pairs(found) == [("neg", "three"), ("pos", "one"), ("pos", "two\ta tab")]
    assert [one.place for one in found] == [f"{tmp_path}/neg.txt:1", f"{tmp_path}/pos.txt:1", f"{tmp_path}/pos.txt:2"]
    assert read_labelled(tmp_path / "*.txt") == found


def test_a_star_stands_for_the_label(tmp_path: Path) -> None:
    for name in ("rt-[1].pos", "rt-[1].neg", "rt-[1].", "README"):
        (tmp_path / name).write_text(f"{name}\n", encoding="utf-8")
    (tmp_path / "rt-[1].folder").mkdir()
    assert pairs(read_labelled(tmp_path / "rt-[1].*")) == [("neg", "rt-[1].neg"), ("pos", "rt-[1].pos")]


def test_packed_files_are_read_as_they_are(tmp_path: Path) -> None:
    for name, text in (("rt.pos.gz", "one\r\ntwo\n"), ("rt.neg.gz", "three\n"), ("plain", "pos\ta\n")):
        (tmp_path / name).write_bytes(gzip.compress(text.encode(), mtime=0))
    for pattern in ("rt.*.gz", "rt.*"):
        assert pairs(read_labelled(tmp_path / pattern)) == [("neg", "three"), ("pos", "one"), ("pos", "two")]
    (tmp_path / "rt.pos").write_text("four\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"rt\.pos\.gz: received texts of the label 'pos', as rt\.pos has; keep one"):
        read_labelled(tmp_path / "rt.*")
    (tmp_path / "all").mkdir()
    for label in ("neg", "pos"):
        (tmp_path / "all" / f"{label}.txt.gz").write_bytes(gzip.compress(b"a text\n"))
    assert pairs(read_labelled(tmp_path / "all")) == [("neg", "a text"), ("pos", "a text")]
    assert pairs(read_labelled(tmp_path / "plain")) == [("pos", "a")]
    (tmp_path / "plain").write_bytes(gzip.compress(b"pos\ta\n")[:-3])
    with pytest.raises(DataError, match=r"plain: received a file packed by gzip, a damaged or unfinished one"):
        read_labelled(tmp_path / "plain")


def test_a_named_encoding(tmp_path: Path) -> None:
    file = tmp_path / "train.tsv"
    file.write_bytes("pos\tun caf\u00e9 .\n".encode("latin-1"))
    assert pairs(read_labelled(file, "latin-1")) == [("pos", "un caf\u00e9 .")]
    file.write_bytes("pos\tun caf\u00e9 .\nneg\tnon .\n".encode("utf-16"))
    assert pairs(read_labelled(file, "utf-16")) == [("pos", "un caf\u00e9 ."), ("neg", "non .")]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"pos\ta\n\nneg\tb\n", r"bad\.tsv:2: received an empty line; expected a text"),
        (b"pos\ta\nno tab\n", r"bad\.tsv:2: received 'no tab' without a label; expected a label, a tab and a text"),
        (b"\ta text\n", r"bad\.tsv:1: received '\\ta text' without a label"),
        (b"pos\t \n", r"bad\.tsv:1: received 'pos\\t ' without a text"),
        (b"pos\ta\rneg\tb\r", r"bad\.tsv:1: received a carriage return within the line"),
        (b"pos\ta\npos\t\xe9t\xe9\n", r"bad\.tsv:2: received bytes that are not UTF-8 \(.*\); expected text in UTF-8"),
        (b"", r"bad\.tsv: received no text; expected at least one"),
    ],
    ids=["an empty line", "no tab", "no label", "no text", "line ends", "bytes of another encoding", "an empty file"],
)
def test_a_bad_line_is_told_with_its_number(content: bytes, expected: str, tmp_path: Path) -> None:
    file = tmp_path / "bad.tsv"
    file.write_bytes(content)
    with pytest.raises(DataError, match=expected) as fault:
        read_labelled(file)
    assert "\n" not in str(fault.value)


def test_bad_lines_are_left_out_and_told_where_asked(tmp_path: Path) -> None:
    (tmp_path / "pos.txt").write_text("one\n\n \ntwo\n\n", encoding="utf-8")
    (tmp_path / "neg.tsv").write_text("\nneg\t\nneg\tthree\n", encoding="utf-8")
    told: list[str] = []
    assert pairs(read_labelled(tmp_path, told=told.append)) == [("pos", "one"), ("pos", "two")]
    assert [line.partition(": ")[0] for line in told] == [f"{tmp_path}/pos.txt:{n}" for n in (2, 3, 5)]
    assert pairs(read_labelled(tmp_path / "neg.tsv", told=told.append)) == [("neg", "three")]
    assert len(told) == 5


def test_nothing_but_bad_lines_is_an_error_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "pos.txt").write_text("\n \n", encoding="utf-8")
    with pytest.raises(DataError, match="received no text"):
        read_labelled(tmp_path, told=lambda line: None)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("none.tsv", r"none\.tsv: cannot be read \(No such file or directory\); expected labelled texts"),
        ("", r"\*\.txt: received no such file; expected one for each label"),
        ("none/*.txt", r"\*\.txt: received no such file"),
        ("a*b*.txt", r"received several '\*'; expected one, in the last part"),
        ("*/*.txt", r"received several '\*'"),
    ],
    ids=["no file", "a folder without any", "no folder", "two stars", "a star in the folder"],
)
def test_what_names_no_file_is_told(name: str, expected: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=expected):
        read_labelled(tmp_path / name)


@pytest.mark.parametrize("encoding", ["utf-9", "hex", "rot13", "a\0b"])
def test_an_encoding_that_there_is_not(encoding: str, tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_bytes(b"pos\t\xe9t\xe9\n")
    with pytest.raises(DataError, match=r"a\.tsv: received the encoding .*; expected one of text, such as 'utf-8'"):
        read_labelled(tmp_path / "a.tsv", encoding)


def test_bytes_that_are_wrong_are_told_by_line_in_any_encoding() -> None:
    with pytest.raises(DataError, match=r"^x, line 3: received bytes that are not UTF-16"):
        decoded("a\nb\nc".encode("utf-16-le") + b"\0", "utf-16", "x", ", line ")


def test_hold_out_takes_from_every_label_alike() -> None:
    texts = some(neg=50, pos=30, odd=10)
    train, test, dev = hold_out(texts, [0.2, 0.1], seed=3)
    assert labels_of(train) == {"neg": 35, "pos": 21, "odd": 7}
    assert labels_of(test) == {"neg": 10, "pos": 6, "odd": 2}
    assert labels_of(dev) == {"neg": 5, "pos": 3, "odd": 1}
    assert sorted(train + test + dev, key=texts.index) == texts
    assert all(part == sorted(part, key=texts.index) for part in (train, test, dev))
    assert hold_out(texts, [0.2, 0.1], seed=3) == [train, test, dev]
    assert hold_out(texts, [0.2, 0.1], seed=4)[1] != test
    assert hold_out(texts, [0.2, 0.3], seed=3)[1] == test  # another part to choose by leaves the test as it is


def test_a_label_has_one_text_at_least_in_every_part() -> None:
    assert [labels_of(part)["b"] for part in hold_out(some(a=30, b=3), [0.1, 0.1], seed=0)] == [1, 1, 1]


def test_a_share_of_nothing_is_nothing() -> None:
    assert hold_out(some(a=1), [0.0, 0.0], seed=0) == [some(a=1), [], []]


@pytest.mark.parametrize(
    ("counts", "shares", "expected"),
    [
        ({"a": 9, "b": 1}, [0.0, 0.1], r"b\.txt:1: received 1 text with the label 'b'; .* for development and to"),
        ({"a": 2}, [0.1, 0.1], r"a\.txt:1: received 2 texts with the label 'a'; .* for development and test and to"),
        ({"a": 9}, [0.6, 0.4], r"a\.txt:1: received 9 texts with the label 'a'"),
    ],
    ids=["one", "two for three parts", "shares of all"],
)
def test_a_label_with_too_few_texts_is_told(counts: dict[str, int], shares: list[float], expected: str) -> None:
    with pytest.raises(DataError, match=expected):
        hold_out(some(**counts), shares, seed=0)
    told: list[str] = []
    parts = hold_out(some(**counts), shares, seed=0, told=told.append)
    short = max(counts, key=lambda label: label)
    assert len(told) == 1 and labels_of(parts[0])[short] == counts[short]


def test_the_polarity_data(shared_data: Path) -> None:
    texts = read_labelled(shared_data / "sentence_polarity" / "rt-polarity.*")
    assert labels_of(texts) == {"neg": 5331, "pos": 5331}
    assert [len(part) for part in hold_out(texts, [0.1, 0.1], seed=1)] == [8530, 1066, 1066]
