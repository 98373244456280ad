"""Tagged sentences from column files: one word a line with its tag, a blank line after each sentence.

    Dogs    NNS
    run     VBP

Columns are separated by tabs, or by runs of blanks in a file whose first word's line has no tab. What the CoNLL tasks
put in between is left out: lines of `-DOCSTART-`, and comments, which are lines that begin with `#` and do not have the
columns of a word (the word `#` has) or read `# name = ...`. In CoNLL-U (ten columns, the first one a number) the words
are in column 1 and the tags in column 3 unless asked otherwise, and ranges (`1-2`) and empty nodes (`1.1`), which are
no words, are left out. Files packed by gzip are read as they are.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from seesay.data.packed import read_content
from seesay.errors import DataError

_SETTING = re.compile(r"# *\w+ = ")  # a comment such as `# sent_id = 4`, however many words it has
_NUMBER = re.compile(r"\d+([-.]\d+)?")  # the first column of CoNLL-U: 7, 7-8 or 7.1
_GIVEN_OR_NOT = (3, 4)  # UPOS and XPOS, whose `_` is no tag; among relations and features it may be one
_ESCAPED = re.compile("[\udc80-\udcff]")  # what stands for a byte that is no text


class Sentence(NamedTuple):
    """Words in their order, and the tag of each.

    >>> Sentence(("Dogs", "run"), ("NNS", "VBP")).tags
    ('NNS', 'VBP')
    """

    words: tuple[str, ...]
    tags: tuple[str, ...]


def read_conll(
    path: Path | str,
    word_column: int | None = None,
    tag_column: int | None = None,
    *,
    encoding: str = "utf-8",
    told: Callable[[str], None] | None = None,
) -> list[Sentence]:
    """The sentences of a column file, in its order.

    Columns count from 0, or from -1 at the end backwards. Without a choice the first and the last one are taken, and
    columns 1 and 3 (UPOS) of CoNLL-U. `encoding` is any that Python knows and in which a line feed is one byte.
    Raises DataError in one line that names the file and the line: ragged or missing columns, an empty word or tag, text
    in another encoding, no sentence at all, a file that cannot be read. With `told` a sentence with such a line is left
    out instead, and `told` hears why.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "train.conll")
    ...     _ = path.write_text("Dogs\\tNNS\\nrun\\tVBP\\n\\nStop\\tVB\\n", encoding="utf-8")
    ...     read_conll(path)
    [Sentence(words=('Dogs', 'run'), tags=('NNS', 'VBP')), Sentence(words=('Stop',), tags=('VB',))]
    """
    path = Path(path)
    lines = _lines(path, encoding)
    number, first = next(((n, row) for n, row in lines if row and not row.startswith(("#", "-DOCSTART-"))), (0, ""))
    empty = DataError(f"{path}: received no sentence; expected lines of a word and its tag; check the file.")
    if not first:
        raise empty
    table = _Table(path, encoding, tabs := "\t" in first, number, len(_columns(first, tabs)))
    universal = table.width == 10 and table.tabs and bool(_NUMBER.fullmatch(first.split("\t")[0]))
    word = table.place("word_column", word_column, 1 if universal else 0)
    tag = table.place("tag_column", tag_column, 3 if universal else -1)
    if word % table.width == tag % table.width:
        raise DataError(f"{path}: received column {word} for the words and {tag} for their tags; expected two columns.")
    table = table._replace(universal=universal, tag=tag % table.width)
    found: list[Sentence] = []
    open_: list[tuple[str, str]] = []
    whole = True
    for number, line in [*lines, (0, "")]:
        if not line:
            found += [Sentence(*zip(*open_, strict=True))] if open_ and whole else []
            open_, whole = [], True
            continue
        try:
            columns = table.row(number, line)
            if columns and (not universal or table.is_word(number, columns[0])):
                open_.append(table.pair(number, columns[word], columns[tag]))
        except DataError as fault:
            if told is None:
                raise
            if whole:  # one reason a sentence
                told(str(fault))
            whole = False
    if not found:
        raise empty
    return found


class _Table(NamedTuple):
    """How the words of one file stand in columns: as its first one does."""

    path: Path
    encoding: str
    tabs: bool
    first: int  # the line that says so
    width: int
    universal: bool = False  # CoNLL-U
    tag: int = -1  # the column of the tags

    def place(self, name: str, chosen: int | None, default: int) -> int:
        """The column to read: the chosen one, if there is one."""
        column = default if chosen is None else chosen
        if self.width == 1:
            raise DataError(
                f"{self.path}:{self.first}: received one column; expected a word and its tag, separated by a tab or by "
                "spaces; add the tags."
            )
        if not -self.width <= column < self.width:
            raise DataError(
                f"{self.path}:{self.first}: received {self.width} columns; expected one numbered {column} ({name}); "
                f"choose from 0 to {self.width - 1}."
            )
        return column

    def row(self, number: int, line: str) -> list[str]:
        """The columns of a line; none for a line that is no word."""
        if _ESCAPED.search(line):
            name = self.encoding.upper()
            raise DataError(
                f"{self.path}:{number}: received bytes that are not {name}; expected text in {name}; save it so, or "
                "name its encoding."
            )
        if "\r" in line:  # else the words of a whole file could pass for columns of one line
            raise DataError(
                f"{self.path}:{number}: received a carriage return within the line; expected lines that end in a line "
                "feed; convert the line ends."
            )
        columns = _columns(line, self.tabs)
        comment = line.startswith("#") and (len(columns) != self.width or _SETTING.match(line))
        if comment or columns[0] == "-DOCSTART-":
            return []
        if len(columns) == self.width:
            return columns
        received = f"{len(columns)} column{'' if len(columns) == 1 else 's'}"
        raise DataError(
            f"{self.path}:{number}: received {received}; expected {self.width}, as line {self.first} has; "
            "correct the line."
        )

    def is_word(self, number: int, place: str) -> bool:
        """Whether the first column of a line of CoNLL-U is that of a word, not of a range or an empty node."""
        if _NUMBER.fullmatch(place):
            return place.isdecimal()
        raise DataError(
            f"{self.path}:{number}: received {place[:40]!r} in the first column; expected the word's number, as in "
            "CoNLL-U; correct the line."
        )

    def pair(self, number: int, word: str, tag: str) -> tuple[str, str]:
        """A word and its tag, neither of them empty; blanks around a tag, which nobody sees, make no other tag.

        In CoNLL-U, `_` stands for a tag that is not given.
        """
        if not word.strip() or not tag.strip():
            raise DataError(
                f"{self.path}:{number}: received the word {word[:40]!r} with the tag {tag[:40]!r}; expected both; "
                "fill in what is empty."
            )
        if self.universal and self.tag in _GIVEN_OR_NOT and tag.strip() == "_":
            raise DataError(
                f"{self.path}:{number}: received the word {word[:40]!r} with the tag '_', which in CoNLL-U says that "
                "none is given; expected a tag; choose another column (data.columns), or fill it in."
            )
        return word, tag.strip()


def _columns(line: str, tabs: bool) -> list[str]:
    return line.split("\t") if tabs else re.split("[ \t]+", line.strip(" \t"))  # no word may hold a tab


def _lines(path: Path, encoding: str) -> list[tuple[int, str]]:
    """All lines with their numbers from 1; blank ones are empty, and bytes that are no text stand escaped."""
    content = read_content(path, "tagged sentences")
    try:
        name = codecs.lookup(encoding).name
        text = content.decode("utf-8-sig" if name == "utf-8" else name, "surrogateescape")
    except (LookupError, ValueError):  # no encoding at all, or one of bytes that come in pairs
        raise DataError(
            f"{path}: received encoding {encoding!r:.40}, in which it cannot be read; expected utf-8, latin-1 or "
            "cp1252; choose one of these, or save it as UTF-8."
        ) from None
    # Not splitlines(): it also breaks at characters that may stand within a word.
    rows = (line.rstrip("\r") for line in text.split("\n"))
    return [(number, row if row.strip() else "") for number, row in enumerate(rows, start=1)]


def known_words(sentences: Iterable[Sentence]) -> frozenset[str]:
    """Every word of the sentences, as they spell it: what counts as seen in training.

    >>> sorted(known_words([Sentence(("a", "dog"), ("DT", "NN")), Sentence(("a",), ("DT",))]))
    ['a', 'dog']
    """
    return frozenset(word for sentence in sentences for word in sentence.words)
