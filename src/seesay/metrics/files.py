"""The two files that scoring needs, human captions and generated ones, in the shapes that people have them."""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

from seesay.errors import DataError
from seesay.files import replace_file, write_json
from seesay.text.json_file import read_json
from seesay.text.names import Names, karpathy_file, karpathy_id
from seesay.text.splits import canonical_split

_Captions = TypeVar("_Captions", str, list[str])
_REFERENCES = "COCO annotations, a Karpathy split file, a captions.json list or {id: [captions]}"
_RESULTS = 'COCO results, [{"image_id", "caption"}], or {id: caption}'


def read_references(path: Path | str, split: str | None = None) -> dict[str, list[str]]:
    """Human captions by picture id, from COCO annotations, a Karpathy split file, captions.json or {id: [captions]}.

    In COCO annotations, {"annotations": [{"image_id", "caption"}, ...]}, the captions of a picture are gathered; in a
    Karpathy file, {"images": [{"filename", "sentences": [{"raw"}]}]}, the id is "cocoid", or else the path of the
    picture ("filepath/filename" where there is a "filepath"), as in training; in a captions.json list it is the
    entry's "id", or else its "image_id" or its "file". The latter two name the split of each picture: `split` chooses
    one, otherwise all are read. Texts become NFC.
    Raises DataError, in one line naming the file and the id, for anything else.
    """
    return _references(read_json(path, _REFERENCES), path, split)


def _references(content: Any, path: Path | str, split: str | None, remedy: str = "") -> dict[str, list[str]]:
    named: Iterator[tuple[str, Any]]
    if isinstance(content, dict) and isinstance(content.get("annotations"), list):
        _no_splits(path, split)
        return _filled(_gathered(content["annotations"], path), path)
    if isinstance(content, dict) and isinstance(content.get("images"), list):
        items = _of_split(_items(content["images"], path), path, split, remedy)
        named = ((_picture(item, path, where), _sentences(item, path, where)) for where, item in items)
    elif isinstance(content, list):
        items = _of_split(_items(content, path), path, split, remedy)
        named = ((_picture(item, path, where), item.get("captions")) for where, item in items)
    elif isinstance(content, dict):
        _no_splits(path, split)
        named = iter(content.items())
    else:
        raise _fault(path, "a single value", _REFERENCES)
    return _filled({key: _captions(value, path, key) for key, value in _once(named, path)}, path)


def read_results(path: Path | str) -> dict[str, str]:
    """Generated captions by picture id, from a COCO result list [{"image_id", "caption"}, ...] or {id: caption}.

    A caption may be empty, since a model may say nothing. Texts become NFC. Raises DataError, in one line naming the
    file and the id, for anything else; a picture with two captions is refused, not silently scored by one of them.
    """
    content = read_json(path, _RESULTS)
    if isinstance(content, list):
        named = ((_id(item, "image_id", path, where), _caption(item, path, where))
                 for where, item in _items(content, path))  # fmt: skip
        return _filled(dict(_once(named, path)), path)
    if isinstance(content, dict):
        _no_file_of_a_run(content, Path(path))
        return _filled({key: _text(value, path, f"picture {key}") for key, value in content.items()}, path)
    raise _fault(path, "a single value", _RESULTS)


def read_pair(
    references: Path, results: Path, split: str | None = None, subset: bool = False
) -> tuple[dict[str, list[str]], dict[str, str]]:
    """The captions of two files of the same pictures; with `subset`, of the pictures of `results` alone.

    Raises DataError, naming the file and the id, for a picture that only one of them has.
    """
    human = read_references(references, split)
    generated = _spelt_as(human, read_results(results))
    for path, lacking in ((references, [i for i in generated if i not in human]),
                          (results, [] if subset else [i for i in human if i not in generated])):  # fmt: skip
        if lacking:
            other = results if path is references else references
            count = "picture" if len(lacking) == 1 else "pictures"
            advice = "--subset or --split scores a part" if path is results else "give the references of these results"
            if path is references and (near := Names(human).nearest(lacking[0])):
                advice = f"perhaps {near} is meant"
            raise DataError(
                f"{path}: no caption of picture {lacking[0]} ({len(lacking):,} {count} in all); expected the same "
                f"ids as in {other}; {advice}."
            )
    return {i: human[i] for i in generated}, generated


def write_results(path: Path, captions: Mapping[str, str]) -> None:
    """Write `{id: caption}` as a COCO result file; ids that are whole numbers become numbers, as COCO's tools expect.

    The file appears whole or not at all. Raises DataError where it cannot be written.
    """
    write_json(path, [{"image_id": _number_or_text(name), "caption": caption} for name, caption in captions.items()])


def write_table(path: Path, per_id: Mapping[str, Mapping[str, float]], captions: Mapping[str, str]) -> None:
    """Write a CSV file with a line for each picture: id, its scores, its caption. DataError where it cannot be."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    metrics = list(next(iter(per_id.values())))
    writer.writerow(["id", *metrics, "caption"])
    writer.writerows([key, *(row[name] for name in metrics), captions[key]] for key, row in per_id.items())
    replace_file(path, text.getvalue().encode("utf-8"))


def read_novelty(path: Path) -> list[str]:
    """All captions of the file that a system learned from; of a file with splits, those of its training split.

    Raises DataError where none of its splits is for training, and what `read_references` raises.
    """
    content = read_json(path, _REFERENCES)
    items = content.get("images") if isinstance(content, dict) else content
    # COCO annotations list pictures too, but their captions are apart and belong to one split.
    whole = isinstance(content, dict) and "annotations" in content
    has_splits = (
        not whole and isinstance(items, list) and any("split" in each for each in items if isinstance(each, dict))
    )
    found = _references(content, path, "train" if has_splits else None, "give captions that were learned from")
    return [caption for captions in found.values() for caption in captions]


def read_other(path: Path, generated: Mapping[str, str]) -> dict[str, str]:
    """The captions of another system on the pictures of `generated`; DataError naming the file where one is missing."""
    other = _spelt_as(generated, read_results(path))
    lacking = [picture for picture in generated if picture not in other]
    if lacking:
        raise DataError(
            f"{path}: no caption of picture {lacking[0]} ({len(lacking):,} in all); expected one for each picture of "
            "the first system; give the results on the same pictures."
        )
    return {picture: other[picture] for picture in generated}


def _spelt_as(pictures: Mapping[str, Any], captions: dict[str, str]) -> dict[str, str]:
    """The captions under the names of these pictures, where theirs differ in their bytes alone."""
    names = Names(pictures)
    found = {names.find(name) or name: caption for name, caption in captions.items()}
    return found if len(found) == len(captions) else captions  # never two captions for one picture


def _number_or_text(name: str) -> int | str:
    # "007" and "+7" are ids of their own: only a number that is spelt back the same way may become one.
    return int(name) if re.fullmatch(r"0|[1-9][0-9]{0,17}", name) else name


def _items(content: list[Any], path: Path | str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The objects of a list, each with the words that say which it is."""
    for number, item in enumerate(content, start=1):
        if not isinstance(item, dict):
            raise _fault(path, f"entry {number} is {item!r:.60}", "an object with an id and captions")
        yield f"entry {number}", item


def _picture(item: dict[str, Any], path: Path | str, where: str) -> str:
    if "sentences" in item:  # Karpathy's, whose "imgid" and "sentids" are of no use outside the file
        faulty = "filepath" if isinstance(item.get("filename"), str) and karpathy_file(item) is None else "filename"
        key = "cocoid" if "cocoid" in item else faulty
        if key == "filepath":
            raise _fault(path, f"{where} has the filepath {item[key]!r:.60}", "a path")
        name = karpathy_id(item)
        return _named(item.get(key) if name is None else name, item, key, path, where)
    return _id(item, next((key for key in ("id", "image_id") if key in item), "file"), path, where)


def _of_split(
    items: Iterator[tuple[str, dict[str, Any]]], path: Path | str, split: str | None, remedy: str
) -> Iterator[tuple[str, dict[str, Any]]]:
    seen, found, any_at_all = dict[str, None](), False, False
    for where, item in items:
        any_at_all = True
        if "split" in item:
            seen[str(item["split"])] = None
        if split is None or _is_split(item.get("split"), split):
            found = True
            yield where, item
    if split is not None and not found:
        if not any_at_all:
            raise _fault(path, "no caption at all", "one picture or more")
        if not seen:
            _no_splits(path, split)
        near = get_close_matches(split, seen, n=1)
        remedy = remedy or (f"perhaps --split {near[0]} was meant" if near else "choose another --split")
        raise _fault(path, f"no picture of split {split!r}", f"one of {', '.join(sorted(seen))}", remedy)


def _is_split(given: Any, wanted: str) -> bool:
    """Whether two names mean the same split: "val" is "dev", "restval" is "train"."""
    if not isinstance(given, str):
        return False
    return given == wanted or (canonical_split(given) or given) == (canonical_split(wanted) or wanted)


def _no_splits(path: Path | str, split: str | None) -> None:
    if split is not None:
        received = f"a file without splits, and split {split!r} asked for"
        raise _fault(path, received, "captions.json or a Karpathy file for that", "leave --split out")


def _no_file_of_a_run(content: dict[str, Any], path: Path) -> None:
    """Refuses what 'seesay evaluate' writes beside the captions: it is of the same name, in another folder."""
    for kind, keys in (("predictions", {"items", "decoding"}), ("scores", {"corpus", "per_id"})):
        if keys <= set(content) and not all(isinstance(content[key], str) for key in keys):
            results = path.parent.parent / "results" / path.name
            raise _fault(path, f"the {kind} of a run", _RESULTS, f"give {results}, which has the captions alone")


def _gathered(annotations: list[Any], path: Path | str) -> dict[str, list[str]]:
    references: dict[str, list[str]] = {}
    for where, item in _items(annotations, path):
        references.setdefault(_id(item, "image_id", path, where), []).append(_caption(item, path, where))
    return references


def _sentences(item: dict[str, Any], path: Path | str, where: str) -> list[Any]:
    sentences = item.get("sentences")
    if not isinstance(sentences, list) or not all(isinstance(each, dict) and "raw" in each for each in sentences):
        raise _fault(path, f"{where} has the sentences {sentences!r:.60}", 'a list of {"raw": caption}')
    return [each["raw"] for each in sentences]


def _id(item: dict[str, Any], key: str, path: Path | str, where: str) -> str:
    return _named(item.get(key), item, key, path, where)


def _named(value: Any, item: dict[str, Any], key: str, path: Path | str, where: str) -> str:
    if key not in item:
        raise _fault(path, f"{where} has {', '.join(map(repr, list(item)[:8])) or 'no key'}", f"{key!r} among them")
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


def _fault(path: Path | str, received: str, expected: str, remedy: str = "correct the file") -> DataError:
    return DataError(f"{path}: {received}; expected {expected}; {remedy}.")
