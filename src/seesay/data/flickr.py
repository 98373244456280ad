"""Flickr8k's own files: `Flickr8k.token.txt` and the three lists of pictures (Hodosh et al., JAIR 47, 2013)."""

from __future__ import annotations

import re
from pathlib import Path

from seesay.data.entries import Entry, fault, shown
from seesay.errors import DataError

TOKEN_FILE = "Flickr8k.token.txt"
LISTS = {
    "train": "Flickr_8k.trainImages.txt",
    "dev": "Flickr_8k.devImages.txt",
    "test": "Flickr_8k.testImages.txt",
}
_LINE = re.compile(r"(?P<file>[^#\t]+)#\d+\t(?P<caption>.*)")


def is_token_file(start: bytes) -> bool:
    """Whether a file that starts so is a token file: lines of `picture.jpg#0`, a tab and a caption.

    >>> is_token_file(b"1000268201.jpg#0\\tA child climbs ."), is_token_file(b"[]")
    (True, False)
    """
    return bool(_LINE.match(start.partition(b"\n")[0].decode("utf-8", errors="replace")))


def token_file(folder: Path) -> Path | None:
    """The token file in a Flickr8k folder, or in its `Flickr8k_text`; None when there is none."""
    places = (folder / TOKEN_FILE, folder / "Flickr8k_text" / TOKEN_FILE)
    return next((path for path in places if path.is_file()), None)


def token_entries(path: Path) -> list[Entry]:
    """The entries of a token file, by the lists that lie beside it; pictures that are in no list are left out.

    (The token file names 92 pictures more than the official splits hold.)
    Raises DataError when there is no list at all, or when one names a picture without captions.
    """
    captions = _captions(path)
    lists = {split: path.with_name(name) for split, name in LISTS.items() if path.with_name(name).is_file()}
    if not lists:
        raise DataError(f"{path}: no split list beside it; expected {', '.join(LISTS.values())}; put them there.")
    found = []
    for split, listing in lists.items():
        for number, line in _lines(listing):
            file = line.strip()
            if file not in captions:
                problem = f"picture {shown(file)} has no captions; expected one of the {len(captions)} in {path.name}"
                raise fault(listing, f"line {number}", problem, "check that the files belong together")
            found.append(Entry(f"{listing.name} line {number}", file, file, split, captions[file]))
    return found


def _captions(path: Path) -> dict[str, list[str]]:
    captions: dict[str, list[str]] = {}
    for number, line in _lines(path):
        match = _LINE.fullmatch(line)
        if match is None:
            problem = f"received {shown(line)}; expected 'picture.jpg#0', a tab and a caption"
            raise fault(path, f"line {number}", problem, "correct it")
        captions.setdefault(match["file"], []).append(match["caption"])
    return captions


def _lines(path: Path) -> list[tuple[int, str]]:
    """The lines that are not blank, with their numbers from 1."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); expected a text file; check the path.") from None
    except UnicodeError:
        raise DataError(f"{path}: not UTF-8 text; expected Flickr8k's text file; save it again as UTF-8.") from None
    # Not splitlines(): it also breaks at characters that may stand within a caption.
    return [(n, line.rstrip("\r")) for n, line in enumerate(text.split("\n"), start=1) if line.strip()]
