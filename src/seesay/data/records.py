"""Caption files as records: which pictures there are, in which split, with which captions.

To bring your own data, write a `captions.json`: a list with one object for each picture,

    [{"file": "beach/0001.jpg", "split": "train", "captions": ["Two dogs run along a beach.", "Dogs playing."]},
     {"file": "beach/0002.jpg", "split": "dev",   "captions": ["A child digs in the sand."]}]

`file` is the picture's path within the picture folder, with `/` between folders; `split` is `train`, `dev` (also `val`
or `validation`) or `test`; `captions` holds at least one sentence. An `id` (text or a whole number; `image_id` does
too) may be added where results are to be matched by something other than the file. Any other key is left alone.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from seesay.arguments import path_of
from seesay.data import coco, flickr
from seesay.data.entries import Entry, fault, identifier, objects, shown
from seesay.errors import DataError, UnknownName
from seesay.text.json_file import read_json
from seesay.text.splits import known_split

SPLITS = ("train", "dev", "test")
_ACCEPTED = "a list of {file, split, captions}, COCO annotations, a Karpathy split file, or Flickr8k's token file"


@dataclass(frozen=True)
class Record:
    """One picture and what people said about it.

    `file` is the path within the picture folder, and the name of its features; `split` is "train", "dev" or "test".
    """

    id: str
    file: str
    split: str
    captions: tuple[str, ...]


def read_records(path: Path | str) -> list[Record]:
    """The records of a caption file, in its order; which kind of file it is shows in its content.

    Read are the plain `captions.json` (see above), COCO annotations, Karpathy's split files, and Flickr8k's token file;
    or a folder: of Flickr8k's files, or of COCO's, of which `captions_train*.json`, `captions_val*.json` and
    `captions_test*.json` are joined. Captions come NFC-normalised and without white space at their ends.
    Raises DataError, or UnknownName for a split, in one line that names the file and the place in it.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "captions.json")
    ...     _ = path.write_text('[{"file": "a.jpg", "split": "val", "captions": ["A dog."]}]', encoding="utf-8")
    ...     read_records(path)
    [Record(id='a.jpg', file='a.jpg', split='dev', captions=('A dog.',))]
    """
    path = path_of(path, "captions")
    source = (flickr.token_file(path) or path) if path.is_dir() else path
    entries = _joined(source) if source.is_dir() else _entries(source)
    records = [_record(entry, source) for entry in entries]
    if not records:
        raise DataError(f"{source}: received no record; expected at least one picture with captions; add some.")
    _refuse_repeats(entries, records, source)
    return records


def split(records: Iterable[Record], name: str) -> list[Record]:
    """The records of one split, in their order; `name` may be any usual spelling, such as "val".

    Raises UnknownName for a name that is no split, DataError for a split without records.

    >>> split([Record("1", "a.jpg", "dev", ("A dog.",))], "val")[0].file
    'a.jpg'
    """
    wanted = known_split(name)
    records = list(records)
    chosen = [record for record in records if record.split == wanted]
    if not chosen:
        counts = Counter(record.split for record in records)
        known = ", ".join(f"{key} ({counts[key]})" for key in SPLITS if counts[key]) or "none"
        raise DataError(f"split '{name}': it has no records; expected one of: {known}; choose one or add pictures.")
    return chosen


def _joined(folder: Path) -> list[Entry]:
    """The entries of COCO's files in a folder, with the name of the file that each is from."""
    parts = coco.annotation_files(folder)
    if not parts:
        raise DataError(
            f"{folder}: a folder without {flickr.TOKEN_FILE} and without COCO's captions_train*.json and "
            "captions_val*.json; expected a caption file; give the path of the file."
        )
    return [entry._replace(where=f"{part.name}: {entry.where}") for part in parts for entry in _annotated(part)]


def _annotated(part: Path) -> list[Entry]:
    """The entries of one of COCO's files: a list of another kind, which names splits itself, is no such file."""
    content = read_json(part)
    if not isinstance(content, dict) or not {"images", "annotations"} <= set(content):
        raise DataError(f"{part}: received no COCO annotations; expected an object with 'images' and 'annotations'.")
    return coco.annotation_entries(content, part)


def _entries(path: Path) -> list[Entry]:
    if flickr.is_token_file(_start(path)):
        return flickr.token_entries(path)
    content = read_json(path, _ACCEPTED)
    if isinstance(content, list):
        return _plain(content, path)
    keys = set(content) if isinstance(content, dict) else set()
    if {"images", "annotations"} <= keys:
        return coco.annotation_entries(content, path)
    if "images" in keys:
        return coco.karpathy_entries(content, path)
    received = f"an object with {', '.join(sorted(map(repr, keys))[:8]) or 'no key'}" if keys else shown(content)
    raise DataError(f"{path}: received {received}; expected {_ACCEPTED}; convert it to one of these.")


def _start(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(4096)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); expected captions; check the path.") from None


def _plain(content: list[Any], path: Path) -> list[Entry]:
    entries = []
    for number, item in enumerate(objects(content, path, "record"), start=1):
        missing = [key for key in ("file", "split", "captions") if key not in item]
        if missing:
            keys = ", ".join(map(repr, list(item)[:8])) or "no key"
            problem = f"received {keys}; expected 'file', 'split' and 'captions'"
            raise fault(path, _place(number, item.get("file")), problem, f"add {' and '.join(map(repr, missing))}")
        name = item.get("id", item.get("image_id", item["file"]))
        where = _place(number, item["file"])
        entries.append(Entry(where, name, item["file"], item["split"], item["captions"]))
    return entries


def _place(number: int, file: Any) -> str:
    return f"record {number} ({shown(file)})" if isinstance(file, str) else f"record {number}"


def _record(entry: Entry, path: Path) -> Record:
    file = _file(entry, path)
    if not isinstance(entry.captions, list) or not entry.captions:
        received = "an empty list" if entry.captions == [] else shown(entry.captions)
        raise fault(path, entry.where, f"captions: {received}; expected a list of sentences", "write at least one")
    captions = tuple(_caption(text, number, entry, path) for number, text in enumerate(entry.captions, start=1))
    return Record(identifier(entry.id, path, entry.where), file, _split(entry, path), captions)


def _file(entry: Entry, path: Path) -> str:
    file = entry.file
    if not isinstance(file, str) or not file.strip():
        raise fault(path, entry.where, f"the file is {shown(file)}; expected a path", "name the picture")
    return file_within(file, path, entry.where)


def file_within(file: str, path: Path, where: str) -> str:
    """The path of a picture, if it is one that stays within the picture folder; DataError at `where` otherwise.

    >>> file_within("beach//1.jpg", Path("captions.json"), "record 1")
    'beach/1.jpg'
    """
    if re.match(r"/|[A-Za-z]:", file) or "\\" in file or ".." in PurePosixPath(file).parts:
        problem = f"the file is {shown(file)}; expected a path within the picture folder, with '/' and without '..'"
        raise fault(path, where, problem, "move the picture there")
    if re.search(r"[\x00-\x1f\x7f]", file) or file.strip("./") == "":
        raise fault(path, where, f"the file is {shown(file)}; expected the name of a file", "rename the picture")
    return str(PurePosixPath(file))


def _caption(text: Any, number: int, entry: Entry, path: Path) -> str:
    if not isinstance(text, str) or not any(map(str.isalnum, text)):  # from signs alone nothing can be learned
        problem = f"caption {number} is {shown(text)}; expected a sentence"
        if isinstance(text, str) and text.strip():
            problem += " with a word in it"
        raise fault(path, entry.where, problem, "write one or remove it")
    return unicodedata.normalize("NFC", text.strip())


def _split(entry: Entry, path: Path) -> str:
    if not isinstance(entry.split, str):
        problem = f"the split is {shown(entry.split)}; expected 'train', 'dev' or 'test'"
        raise fault(path, entry.where, problem, "correct it")
    return split_at(entry.split, path, entry.where)


def split_at(name: str, path: Path, where: str) -> str:
    """ "train", "dev" or "test" for any usual spelling of it; UnknownName, with the place, for anything else.

    >>> split_at("val", Path("captions.json"), "record 1")
    'dev'
    """
    try:
        return known_split(name)
    except UnknownName as error:
        error.args = (f"{path}: {where}: {error}",)  # the family's wording, with the place before it
        raise


def _refuse_repeats(entries: list[Entry], records: list[Record], path: Path) -> None:
    files: dict[str, str] = {}
    ids: dict[str, str] = {}
    for entry, record in zip(entries, records, strict=True):
        for kind, name, places in (("file", record.file, files), ("id", record.id, ids)):
            if name in places:
                problem = f"the {kind} {shown(name)} came before, at {places[name]}; expected each {kind} once"
                raise fault(path, entry.where, problem, "put all captions of a picture together")
            places[name] = entry.where
