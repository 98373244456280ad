from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from seesay.data.conll import Sentence, known_words, read_conll
from seesay.errors import DataError

TREEBANK = Path(__file__).resolve().parents[3] / "shared" / "data" / "treebank"
UNIVERSAL = """# sent_id = 1
# text = Vámonos al mar	azul
1-2	Vámonos	_	_	_	_	_	_	_	_
1	Vamos	ir	VERB	_	_	0	root	_	_
2	nos	nosotros	PRON	_	_	1	obj	_	_
2.1	ellos	_	PRON	_	_	_	_	_	_
3	al	al	ADP	_	_	1	obl	_	SpaceAfter=No

1	Ya	ya	ADV	_	_	0	root	_	_
"""


@pytest.fixture
def write(tmp_path: Path):
    def write(text: str | bytes) -> Path:
        path = tmp_path / "words.conll"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


@pytest.mark.parametrize(
    "text",
    [
        "Dogs\tNNS\nrun\tVBP\n\nStop\tVB\n",
        "Dogs\tNNS\nrun\tVBP\n\nStop\tVB",  # the last line has no end
        "\n\nDogs\tNNS\nrun\tVBP\n\n \n\t\nStop\tVB\n\n\n",  # blank lines of every kind
        "Dogs\tNNS\r\nrun\tVBP\r\n\r\nStop\tVB\r\n",
        "\ufeffDogs\tNNS\nrun\tVBP\n\nStop\tVB\n",
        "Dogs NNS\nrun   VBP\n\n  Stop VB  \n",
        "Dogs x NNS\nrun x VBP\n\nStop x VB\n",
        "-DOCSTART- -X- O\n\nDogs x NNS\nrun x VBP\n\n-DOCSTART-\n\nStop x VB\n",
        "# text = Dogs run\nDogs\tNNS\nrun\tVBP\n\n# newdoc\nStop\tVB\n",
    ],
)
def test_one_sentence_after_each_blank_line(write, text: str) -> None:
    assert read_conll(write(text)) == [Sentence(("Dogs", "run"), ("NNS", "VBP")), Sentence(("Stop",), ("VB",))]


def test_the_pound_sign_is_a_word_and_a_comment_is_none(write) -> None:
    assert read_conll(write("# a comment here\nfor\tIN\n#\t#\n3\tCD\n"))[0].words == ("for", "#", "3")
    spaced = "# sent_id = 7\nfor IN B O\n# # I O\n"  # as many columns as the words have
    assert read_conll(write(spaced)) == [Sentence(("for", "#"), ("O", "O"))]


def test_words_keep_their_spelling(write) -> None:
    text = "New York\tNNP\na\u2028b\tX\n\u00a0x\tY\n"  # characters at which splitlines() and split() would break
    assert read_conll(write(text)) == [Sentence(("New York", "a\u2028b", "\u00a0x"), ("NNP", "X", "Y"))]


def test_conll_u_leaves_out_ranges_and_empty_nodes(write) -> None:
    path = write(UNIVERSAL)
    assert read_conll(path) == [
        Sentence(("Vamos", "nos", "al"), ("VERB", "PRON", "ADP")),
        Sentence(("Ya",), ("ADV",)),
    ]
    assert read_conll(path, word_column=2, tag_column=7)[0] == Sentence(
        ("ir", "nosotros", "al"), ("root", "obj", "obl")
    )


def test_a_file_may_begin_with_a_range(write) -> None:
    assert read_conll(write(UNIVERSAL.split("\n", 2)[2]))[0].words == ("Vamos", "nos", "al")


def test_ten_columns_without_numbers_are_not_conll_u(write) -> None:
    line = "\t".join("abcdefghij")
    assert read_conll(write(line)) == [Sentence(("a",), ("j",))]


def test_blanks_around_a_tag_and_a_stray_tab_among_spaces_mean_nothing(write) -> None:
    wanted = [Sentence(("Dogs", "run"), ("NNS", "VBP"))]
    assert read_conll(write("Dogs\tNNS \nrun\t VBP\n")) == wanted
    assert read_conll(write("Dogs NNS\nrun\tVBP\n")) == wanted


def test_chosen_columns(write) -> None:
    path = write("0 Dogs NNS I-NP\n1 run VBP O\n")
    assert read_conll(path, 1, 2) == [Sentence(("Dogs", "run"), ("NNS", "VBP"))]
    assert read_conll(path, word_column=-3) == [Sentence(("Dogs", "run"), ("I-NP", "O"))]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Dogs\tNNS\nrun\n", r"words\.conll:2: received 1 column; expected 2, as line 1 has; correct the line\."),
        ("# x\nDogs\tNNS\n\na\tb\tc\n", r"words\.conll:4: received 3 columns; expected 2, as line 2 has"),
        ("Dogs\nrun\n", r"words\.conll:1: received one column; expected a word and its tag"),
        ("Dogs\tNNS\nrun\t\n", r"words\.conll:2: received the word 'run' with the tag ''; expected both"),
        ("Dogs\tNNS\n\tVB\n", r"words\.conll:2: received the word '' with the tag 'VB'"),
        ("", r"words\.conll: received no sentence"),
        ("# only\n\n-DOCSTART- O\n", r"words\.conll: received no sentence"),
        (b"Dogs\tNNS\n\xff\xfe\tX\n", r"words\.conll:2: received bytes that are not UTF-8"),
        (b"Dogs\tNNS\rrun\tVBP\r", r"words\.conll:1: received a carriage return within the line"),
        (
            "\t".join(["1", "x", "x", "NOUN", *"_" * 6]) + "\n" + "\t".join(["l2", "y", *"_" * 8]),
            r"words\.conll:2: received 'l2' in the first column; expected the word's number, as in CoNLL-U",
        ),
    ],
)
def test_what_is_wrong_names_the_line(write, text: str | bytes, expected: str) -> None:
    with pytest.raises(DataError, match=expected):
        read_conll(write(text))


@pytest.mark.parametrize("text", [UNIVERSAL, "Dogs\tNNS\n"], ids=["CoNLL-U", "columns"])
def test_packed_files_are_read_as_they_are(write, text: str) -> None:
    plain = read_conll(write(text))
    first, rest = text.encode()[:9], text.encode()[9:]
    assert read_conll(write(gzip.compress(text.encode(), mtime=0))) == plain
    assert read_conll(write(gzip.compress(first, mtime=0) + gzip.compress(rest, mtime=0))) == plain


def test_a_damaged_packed_file_is_refused(write, monkeypatch: pytest.MonkeyPatch) -> None:
    packed = gzip.compress(b"Dogs\tNNS\n" * 50, mtime=0)
    for content in (packed[:-9], packed[:12] + b"\0\0\0" + packed[15:]):
        with pytest.raises(
            DataError, match=r"words\.conll: received a file packed by gzip, a damaged or unfinished one"
        ):
            read_conll(write(content))
    monkeypatch.setattr("seesay.data.packed._LARGEST", 100)
    with pytest.raises(DataError, match=r"packed by gzip, more than 100 bytes"):
        read_conll(write(packed))


def test_bad_sentences_are_left_out_and_told_where_asked(write) -> None:
    lines = ["a\tX", "", "b\tX\tY", "c", "", "d\tX", "e\t", "", "", "f\tX", "g\tX", "", "caf\xe9\tX", ""]
    skipped: list[str] = []
    found = read_conll(write("\n".join(lines).encode("latin-1")), told=skipped.append)
    assert found == [Sentence(("a",), ("X",)), Sentence(("f", "g"), ("X", "X"))]
    assert [reason.split(": ")[0].rpartition("/")[2] for reason in skipped] == [f"words.conll:{n}" for n in (3, 7, 13)]
    assert "not UTF-8" in skipped[2]


def test_nothing_left_is_refused_all_the_same(write) -> None:
    with pytest.raises(DataError, match="received no sentence"):
        read_conll(write("a\tX\nb\n"), told=print)


def test_other_encodings(write) -> None:
    path = write("caf\xe9\tX\n".encode("latin-1"))
    assert read_conll(path, encoding="latin-1")[0].words == ("café",)
    with pytest.raises(DataError, match=r"words\.conll:1: received bytes that are not ASCII"):
        read_conll(path, encoding="ascii")
    for name in ("utf9", "rot13", "utf-16"):
        with pytest.raises(DataError, match=f"received encoding '{name}', in which it cannot be read; expected utf-8"):
            read_conll(path, encoding=name)


def test_a_file_of_nothing_but_ranges_is_refused(write) -> None:
    with pytest.raises(DataError, match="received no sentence"):
        read_conll(write("\t".join(["1-2", "x", *"_" * 8])))


def test_a_tag_that_conll_u_does_not_give_is_no_tag(write) -> None:
    lines = [
        ["1", "a", "a", "DET", "DT", "_", "2", "det", "_", "_"],
        ["2", "_", "_", "_", "_", "_", "0", "root", "_", "_"],
    ]
    path = write("\n".join("\t".join(line) for line in lines))
    for column in (None, 4, -6):
        with pytest.raises(
            DataError, match=r"words\.conll:2: received the word '_' with the tag '_', which in CoNLL-U"
        ):
            read_conll(path, tag_column=column)
    assert read_conll(path, tag_column=5)[0].tags == ("_", "_")  # a word may have no feature
    assert read_conll(path, tag_column=7)[0] == Sentence(("a", "_"), ("det", "root"))
    assert read_conll(write("a\t_\n"))[0].tags == ("_",)


@pytest.mark.parametrize(("word", "tag"), [(0, 0), (1, -1), (None, 0), (-1, None)])
def test_one_column_for_both_is_refused(write, word: int | None, tag: int | None) -> None:
    with pytest.raises(DataError, match=r"words\.conll: received column -?\d for the words and -?\d for their tags"):
        read_conll(write("Dogs\tNNS\n"), word, tag)


@pytest.mark.parametrize(("word", "tag"), [(2, -1), (0, 2), (-3, 1)])
def test_a_column_that_is_not_there(write, word: int, tag: int) -> None:
    with pytest.raises(
        DataError, match=r"words\.conll:1: received 2 columns; expected one numbered -?\d \((word|tag)_"
    ):
        read_conll(write("Dogs\tNNS\n"), word, tag)


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.conll: cannot be read \(No such file or directory\)"):
        read_conll(tmp_path / "none.conll")
    with pytest.raises(DataError, match=r"cannot be read \(Is a directory\)"):
        read_conll(tmp_path)


def test_known_words_keep_their_case() -> None:
    assert known_words([Sentence(("The", "the"), ("DT", "DT"))]) == {"The", "the"}


@pytest.mark.skipif(not TREEBANK.is_dir(), reason="the treebank sample is not at ../shared/data/treebank")
def test_the_treebank_sample() -> None:
    train, test = (read_conll(TREEBANK / f"{name}.conll") for name in ("train", "test"))
    assert (len(train), len(test)) == (3000, 914)
    assert sum(len(sentence.words) for sentence in train + test) == 100_676
    assert len({tag for sentence in train + test for tag in sentence.tags}) == 46
