"""Tagged sentences from column files: one word a line with its tag, a blank line after each sentence.

    Dogs    NNS
    run     VBP

Columns are separated by tabs, or by runs of spaces in a file whose words have no tab. What the CoNLL tasks put in
between is left out: lines of `-DOCSTART-`, and comments, which are lines that begin with `#` and do not have the
columns of a word (the word `#` has) or read `# name = ...`. In CoNLL-U (ten columns, the first one a number) the words
are in column 1 and the tags in column 3 unless asked otherwise, and ranges (`1-2`) and empty nodes (`1.1`), which are
no words, are left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from seesay.errors import DataError

_SETTING = re.compile(r"# *\w+ = ")  # a comment such as `# sent_id = 4`, however many words it has
_NUMBER = re.compile(r"\d+([-.]\d+)?")  # the first column of CoNLL-U: 7, 7-8 or 7.1
_GZIP = b"\x1f\x8b"  # how its files begin; treebanks often come so


class Sentence(NamedTuple):
    """Words in their order, and the tag of each.

    >>> Sentence(("Dogs", "run"), ("NNS", "VBP")).tags
    ('NNS', 'VBP')
    """

    words: tuple[str, ...]
    tags: tuple[str, ...]


def read_conll(path: Path | str, word_column: int | None = None, tag_column: int | None = None) -> list[Sentence]:
    """The sentences of a column file, in its order.

    Columns count from 0, or from -1 at the end backwards. Without a choice the first and the last one are taken, and
    columns 1 and 3 (UPOS) of CoNLL-U.
    Raises DataError in one line that names the file and the line: ragged or missing columns, an empty word or tag, text
    that is not UTF-8, no sentence at all, a file that cannot be read.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "train.conll")
    ...     _ = path.write_text("Dogs\\tNNS\\nrun\\tVBP\\n\\nStop\\tVB\\n", encoding="utf-8")
    ...     read_conll(path)
    [Sentence(words=('Dogs', 'run'), tags=('NNS', 'VBP')), Sentence(words=('Stop',), tags=('VB',))]
    """
    path = Path(path)
    lines = _lines(path)
    number, first = next(((n, row) for n, row in lines if row and not row.startswith(("#", "-DOCSTART-"))), (0, ""))
    empty = DataError(f"{path}: received no sentence; expected lines of a word and its tag; check the file.")
    if not first:
        raise empty
    table = _Table(path, tabs := "\t" in first, number, len(_columns(first, tabs)))
    universal = table.width == 10 and table.tabs and bool(_NUMBER.fullmatch(first.split("\t")[0]))
    word = table.place("word_column", word_column, 1 if universal else 0)
    tag = table.place("tag_column", tag_column, 3 if universal else -1)
    found: list[Sentence] = []
    open_: list[tuple[str, str]] = []
    for number, line in [*lines, (0, "")]:
        if not line:
            found += [Sentence(*zip(*open_, strict=True))] if open_ else []
            open_ = []
        elif (columns := table.row(number, line)) and (not universal or columns[0].isdecimal()):
            open_.append(table.pair(number, columns[word], columns[tag]))
    if not found:
        raise empty
    return found


class _Table(NamedTuple):
    """How the words of one file stand in columns: as its first one does."""

    path: Path
    tabs: bool
    first: int  # the line that says so
    width: int

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
        columns = _columns(line, self.tabs)
        comment = line.startswith("#") and (len(columns) != self.width or _SETTING.match(line))
        if comment or columns[0] == "-DOCSTART-":
            return []
        if len(columns) == self.width:
            return columns
        raise DataError(
            f"{self.path}:{number}: received {len(columns)} columns; expected {self.width}, as line {self.first} has; "
            "correct the line."
        )

    def pair(self, number: int, word: str, tag: str) -> tuple[str, str]:
        """A word and its tag, neither of them empty."""
        if not word.strip() or not tag.strip():
            raise DataError(
                f"{self.path}:{number}: received the word {word[:40]!r} with the tag {tag[:40]!r}; expected both; "
                "fill in what is empty."
            )
        return word, tag


def _columns(line: str, tabs: bool) -> list[str]:
    return line.split("\t") if tabs else re.split(" +", line.strip(" "))


def _lines(path: Path) -> list[tuple[int, str]]:
    """All lines with their numbers from 1; blank ones are empty."""
    try:
        content = path.read_bytes()
        if content.startswith(_GZIP):
            raise DataError(f"{path}: received a file packed by gzip; expected text; unpack it with gunzip.")
        text = content.decode("utf-8-sig")
    except OSError as error:
        reason = f"cannot be read ({error.strerror}); expected tagged sentences; check the path."
        raise DataError(f"{path}: {reason}") from None
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        reason = f"received bytes that are not UTF-8 ({error.reason}); expected text in UTF-8; save it again as UTF-8."
        raise DataError(f"{path}:{line}: {reason}") from None
    # Not splitlines(): it also breaks at characters that may stand within a word.
    rows = (line.rstrip("\r") for line in text.split("\n"))
    return [(number, row if row.strip() else "") for number, row in enumerate(rows, start=1)]


def known_words(sentences: Iterable[Sentence]) -> frozenset[str]:
    """Every word of the sentences, as they spell it: what counts as seen in training.

    >>> sorted(known_words([Sentence(("a", "dog"), ("DT", "NN")), Sentence(("a",), ("DT",))]))
    ['a', 'dog']
    """
    return frozenset(word for sentence in sentences for word in sentence.words)
