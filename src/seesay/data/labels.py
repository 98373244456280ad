r"""Labelled texts: a text a line behind its label, or a file for each label with a text a line.

    pos	a film of quiet grace .
    neg	an hour too long .

A path is a file of lines `LABEL<TAB>TEXT`, a folder of files `LABEL.txt`, or a pattern in whose last part one `*`
stands for the label: `reviews/rt-polarity.*` reads rt-polarity.neg and rt-polarity.pos.
Files packed by gzip are read as they are.
"""

from __future__ import annotations

import glob
import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from seesay.arguments import path_of
from seesay.data.packed import read_content
from seesay.errors import DataError

_PACKED = ".gz"

Told = Callable[[str], None]  # hears what is wrong with a line that is then left out


class Labelled(NamedTuple):
    """A text, its label, and the file and line that they stand in, for messages.

    >>> Labelled("pos", "a film of quiet grace .", "reviews.tsv:1").label
    'pos'
    """

    label: str
    text: str
    place: str = ""


def read_labelled(path: Path | str, encoding: str = "utf-8", told: Told | None = None) -> list[Labelled]:
    r"""The texts that `path` names (see above), in the order of the file, or file after file by label.

    Raises DataError in one line that names the file and the line: a line without a label or a text, bytes that are not
    of the encoding, no text at all, a file that cannot be read. With `told` a line without a label or a text is left
    out, and `told` hears of it.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, "neg.txt").write_text("an hour too long .\n", encoding="utf-8")
    ...     _ = Path(folder, "pos.txt").write_text("quiet grace .\nsee it .\n", encoding="utf-8")
    ...     [(one.label, one.text) for one in read_labelled(folder)]
    [('neg', 'an hour too long .'), ('pos', 'quiet grace .'), ('pos', 'see it .')]
    """
    path = path_of(path, "texts")
    found: list[Labelled] = []
    for label, file in _files(path):
        for number, line in _lines(file, encoding):
            one = _labelled(label, line, f"{file}:{number}")
            if isinstance(one, Labelled):
                found.append(one)
            elif told is None:
                raise DataError(f"{one.removesuffix('.')}, or say data.on_bad = 'skip'.")
            else:
                told(one)
    if not found:
        raise DataError(f"{path}: received no text; expected at least one; check the file.")
    return found


def hold_out(
    texts: Sequence[Labelled], shares: Sequence[float], seed: int, told: Told | None = None
) -> list[list[Labelled]]:
    """Most texts to train on, then a part for each of `shares`, drawn by `seed` from every label alike.

    Each part keeps the given order, and has at least one text of each label. Raises DataError for a label with too few
    texts for that, naming its first one; with `told` they all stay in the first part, and `told` hears of it.

    >>> texts = [Labelled(label, word) for label in ("neg", "pos") for word in "abcdefghij"]
    >>> [len(part) for part in hold_out(texts, [0.1, 0.2], seed=1)]
    [14, 2, 4]
    """
    random = np.random.default_rng(seed)
    part_of = np.zeros(len(texts), dtype=np.int64)
    for label in sorted({one.label for one in texts}):
        places = np.array([place for place, one in enumerate(texts) if one.label == label])
        places = places[random.permutation(len(places))]
        counts = [max(1, round(share * len(places))) if share else 0 for share in shares]
        if sum(counts) >= len(places):
            fault = _too_few(texts[int(places.min())], len(places), shares)
            if told is None:
                raise DataError(fault)
            told(fault)
            continue
        ends = np.cumsum([0, *counts])
        for part, (low, high) in enumerate(itertools.pairwise(ends), start=1):
            part_of[places[low:high]] = part
    return [[texts[place] for place in np.flatnonzero(part_of == part).tolist()] for part in range(len(shares) + 1)]


def labels_of(texts: Sequence[Labelled]) -> Counter[str]:
    """How many texts there are of each label.

    >>> labels_of([Labelled("pos", "a"), Labelled("neg", "b"), Labelled("pos", "c")])
    Counter({'pos': 2, 'neg': 1})
    """
    return Counter(one.label for one in texts)


def _too_few(first: Labelled, count: int, shares: Sequence[float]) -> str:
    texts = "1 text" if count == 1 else f"{count} texts"
    wanted = "development" if sum(map(bool, shares)) == 1 else "development and test"
    return (
        f"{first.place}: received {texts} with the label {first.label[:40]!r}; expected enough to hold some out for "
        f"{wanted} and to train on others; add some, leave the label out, or name files of their own."
    )


def _files(path: Path) -> Iterator[tuple[str, Path]]:
    """The files to read, each with the label of its texts; the empty string where its lines say it.

    The `.gz` of a packed file is no part of its label, nor need a pattern have it.
    """
    pattern = path / "*.txt" if path.is_dir() else path
    if "*" not in pattern.name or path.is_file():
        yield "", path
        return
    before, _, after = pattern.name.partition("*")
    if "*" in after or "*" in str(pattern.parent):
        raise DataError(f"{path}: received several '*'; expected one, in the last part, that stands for the label.")
    after = after.removesuffix(_PACKED)
    found: dict[str, Path] = {}
    for file in sorted(pattern.parent.glob(f"{glob.escape(before)}*")):
        name = file.name.removesuffix(_PACKED)
        label = name.removeprefix(before).removesuffix(after)
        if not label or not name.endswith(after) or not file.is_file():
            continue
        if label in found:
            raise DataError(f"{file}: received texts of the label {label!r}, as {found[label].name} has; keep one.")
        found[label] = file
    if not found:
        raise DataError(f"{pattern}: received no such file; expected one for each label; check the path.")
    yield from sorted(found.items())


def _labelled(label: str, line: str, place: str) -> Labelled | str:
    """The text of a line, or what is wrong with it."""
    if not line.strip():
        return f"{place}: received an empty line; expected a text; remove it."
    if "\r" in line:  # else all texts of a file could pass for one
        return (
            f"{place}: received a carriage return within the line; expected lines that end in a line feed; convert the "
            "line ends."
        )
    if not label:
        label, tab, line = line.partition("\t")
        if not (tab and label.strip() and line.strip()):
            lacking = "text" if tab and label.strip() else "label"
            return (
                f"{place}: received {(label + tab + line)[:40]!r} without a {lacking}; expected a label, a tab and a "
                "text; correct it."
            )
    return Labelled(label.strip(), line.strip(), place)


def _lines(path: Path, encoding: str) -> Iterator[tuple[int, str]]:
    """All lines with their numbers from 1."""
    text = decoded(read_content(path, "labelled texts"), encoding, str(path), ":")
    # Not splitlines(): it also breaks at characters that may stand within a text.
    lines = text.removesuffix("\n").split("\n") if text else []
    return enumerate((line.rstrip("\r") for line in lines), start=1)


def decoded(content: bytes, encoding: str, source: str, before_line: str) -> str:
    """The text that the bytes of `source` are in that encoding, without a byte order mark.

    Raises DataError that names the line, after `source` and `before_line`; or one for an encoding that there is
    not.

    >>> decoded(b"caf\\xe9", "latin-1", "menu.txt", ":")
    'café'
    """
    try:
        return content.decode(encoding).removeprefix("\ufeff")
    except (LookupError, ValueError) as fault:
        if not isinstance(fault, UnicodeDecodeError):
            raise DataError(
                f"{source}: received the encoding {encoding[:40]!r}; expected one of text, such as 'utf-8' or "
                "'latin-1'; correct it."
            ) from None
        line = content.count(b"\n", 0, fault.start) + 1
        raise DataError(
            f"{source}{before_line}{line}: received bytes that are not {encoding.upper()} ({fault.reason}); expected "
            f"text in {encoding.upper()}; name its encoding, or convert it first."
        ) from None
