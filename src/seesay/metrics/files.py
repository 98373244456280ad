"""The two files that scoring needs, human captions and generated ones, in the shapes that people have them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from seesay.errors import DataError
from seesay.files import write_json
from seesay.text.json_file import read_json

_Captions = TypeVar("_Captions", str, list[str])


def read_references(path: Path | str) -> dict[str, list[str]]:
    """Human captions by picture id, from COCO annotations, a captions.json list or {id: [captions]}.

    In COCO annotations, {"annotations": [{"image_id", "caption"}, ...]}, the captions of a picture are gathered; in a
    captions.json list the id is the entry's "id", or else its "image_id" or its "file", and all splits are read.
    Texts become NFC.
    Raises DataError, in one line naming the file and the id, for anything else.
    """
    content = read_json(path)
    if isinstance(content, dict) and isinstance(content.get("annotations"), list):
        references: dict[str, list[str]] = {}
        for where, item in _items(content["annotations"], path):
            references.setdefault(_id(item, "image_id", path, where), []).append(_caption(item, path, where))
        return _filled(references, path)
    if isinstance(content, list):
        named = ((_id(item, _key(item), path, where), item.get("captions"))
                 for where, item in _items(content, path))  # fmt: skip
        return _filled({key: _captions(value, path, key) for key, value in _once(named, path)}, path)
    if isinstance(content, dict):
        return _filled({key: _captions(value, path, key) for key, value in content.items()}, path)
    raise _fault(path, "a single value", "COCO annotations, a captions.json list or {id: [captions]}")


def read_results(path: Path | str) -> dict[str, str]:
    """Generated captions by picture id, from a COCO result list [{"image_id", "caption"}, ...] or {id: caption}.

    A caption may be empty, since a model may say nothing. Texts become NFC. Raises DataError, in one line naming the
    file and the id, for anything else; a picture with two captions is refused, not silently scored by one of them.
    """
    content = read_json(path)
    if isinstance(content, list):
        named = ((_id(item, "image_id", path, where), _caption(item, path, where))
                 for where, item in _items(content, path))  # fmt: skip
        return _filled(dict(_once(named, path)), path)
    if isinstance(content, dict):
        return _filled({key: _text(value, path, f"picture {key}") for key, value in content.items()}, path)
    raise _fault(path, "a single value", "a COCO result list or {id: caption}")


def write_results(path: Path, captions: Mapping[str, str]) -> None:
    """Write `{id: caption}` as a COCO result file; ids that are whole numbers become numbers, as COCO's tools expect.

    The file appears whole or not at all. Raises DataError where it cannot be written.
    """
    write_json(path, [{"image_id": _number_or_text(name), "caption": caption} for name, caption in captions.items()])


def _number_or_text(name: str) -> int | str:
    # "007" and "+7" are ids of their own: only a number that is spelt back the same way may become one.
    return int(name) if re.fullmatch(r"0|[1-9][0-9]{0,17}", name) else name


def _items(content: list[Any], path: Path | str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The objects of a list, each with the words that say which it is."""
    for number, item in enumerate(content, start=1):
        if not isinstance(item, dict):
            raise _fault(path, f"entry {number} is {item!r:.60}", "an object with an id and captions")
        yield f"entry {number}", item


def _key(item: dict[str, Any]) -> str:
    return next((key for key in ("id", "image_id") if key in item), "file")


def _id(item: dict[str, Any], key: str, path: Path | str, where: str) -> str:
    value = item.get(key)
    # True is an int to Python, and 1.0 would be another id than 1.
    if type(value) not in (int, str) or value == "":
        raise _fault(path, f"{where} has the {key} {value!r:.60}", "a whole number or a name")
    return str(value)


def _caption(item: dict[str, Any], path: Path | str, where: str) -> str:
    place = f"picture {item['image_id']} ({where})"
    if "caption" not in item:
        raise _fault(path, f"{place} has no 'caption'", "a string")
    return _text(item["caption"], path, place)


def _captions(value: Any, path: Path | str, key: str) -> list[str]:
    if not isinstance(value, list) or not value:
        raise _fault(path, f"picture {key} has the captions {value!r:.60}", "a list of one or more strings")
    return [_text(caption, path, f"picture {key}") for caption in value]


def _text(value: Any, path: Path | str, where: str) -> str:
    if not isinstance(value, str):
        raise _fault(path, f"{where} has the caption {value!r:.60}", "a string")
    return unicodedata.normalize("NFC", value)


def _once(named: Iterator[tuple[str, Any]], path: Path | str) -> Iterator[tuple[str, Any]]:
    seen = set()
    for key, value in named:
        if key in seen:
            raise _fault(path, f"picture {key} comes twice", "each picture once")
        seen.add(key)
        yield key, value


def _filled(captions: dict[str, _Captions], path: Path | str) -> dict[str, _Captions]:
    if not captions:
        raise _fault(path, "no caption at all", "one picture or more")
    return captions


def _fault(path: Path | str, received: str, expected: str) -> DataError:
    return DataError(f"{path}: {received}; expected {expected}; correct the file.")
