"""COCO's files: caption annotations and Karpathy's split files (of Flickr8k and Flickr30k too)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from seesay.data.entries import Entry, fault, field, identifier, objects, shown
from seesay.errors import DataError
from seesay.text.json_file import read_json
from seesay.text.names import karpathy_file, karpathy_id
from seesay.text.splits import canonical_split


def annotation_entries(content: dict[str, Any], path: Path) -> list[Entry]:
    """The entries of a COCO annotations file, `{"images": [...], "annotations": [...]}`, in the order of its images.

    Such a file holds one split and does not say which, so its name does (`captions_train2017.json`); a name that says
    nothing, or two things, gives "test": never trained on by mistake.
    Raises DataError where an annotation is not a caption or belongs to an unknown picture.
    """
    split = _split_of(path)
    captions: dict[str, list[Any]] = {}
    entries = []
    for number, image in enumerate(objects(content["images"], path, "image"), start=1):
        where = f"image {number}"
        name = identifier(field(image, "id", path, where), path, where)
        own = captions.setdefault(name, [])
        entries.append(Entry(where, name, field(image, "file_name", path, where), split, own))
    for number, annotation in enumerate(objects(content["annotations"], path, "annotation"), start=1):
        where = f"annotation {number}"
        name = identifier(field(annotation, "image_id", path, where), path, where)
        if name not in captions:
            problem = f"a caption of picture {shown(name)}; expected one of the {len(captions)} listed images"
            raise fault(path, where, problem, "list the image or remove the annotation")
        captions[name].append(field(annotation, "caption", path, where))
    return entries


def annotation_files(folder: Path) -> list[Path]:
    """COCO's caption files in a folder, or in its `annotations`, one for each split at most; none where it has none.

    Raises DataError where two are of one split, such as those of 2014 and of 2017, which hold the same pictures.
    """
    for place in (folder, folder / "annotations"):
        found: dict[str, Path] = {}
        for path in sorted(place.glob("captions_*.json")):
            match = re.fullmatch(r"captions_([a-z]+\d*)", path.stem)
            split = canonical_split(match[1]) if match else None
            if split is None:
                continue
            if split in found:
                raise DataError(
                    f"{place}: {found[split].name} and {path.name} are both of split '{split}'; expected one file for "
                    "each split; put those of one year into a folder of their own."
                )
            found[split] = path
        if found:
            return [found[split] for split in ("train", "dev", "test") if split in found]
    return []


def remedy_for(path: Path) -> str:
    """What to do where a split is missing, if `path` holds COCO annotations, which are all of one split; else ""."""
    if path.is_dir() and annotation_files(path):
        return "put the other one of captions_train*.json and captions_val*.json beside it"
    content = read_json(path) if path.suffix == ".json" and path.is_file() else None
    if not isinstance(content, dict) or not {"images", "annotations"} <= set(content):
        return ""
    return (
        "a file of COCO annotations is all of one split, which its name says; give the folder that holds both "
        "captions_train*.json and captions_val*.json"
    )


def _split_of(path: Path) -> str:
    named = {canonical_split(word) for word in re.findall(r"[a-z]+", path.stem.lower())} - {None}
    return (named.pop() or "test") if len(named) == 1 else "test"


def karpathy_entries(content: dict[str, Any], path: Path) -> list[Entry]:
    """The entries of a Karpathy split file (`dataset_coco.json` and its like; Karpathy and Fei-Fei, CVPR 2015).

    The picture is `filepath/filename` where there is a `filepath`; the id is `cocoid`, or else that path.
    """
    entries = []
    for number, image in enumerate(objects(content["images"], path, "image"), start=1):
        where = f"image {number}"
        field(image, "filename", path, where)
        sentences = objects(field(image, "sentences", path, where), path, f"{where}: sentence")
        captions = [field(sentence, "raw", path, f"{where}: sentence {n}") for n, sentence in enumerate(sentences, 1)]
        folder = image.get("filepath") or ""
        if not isinstance(folder, str):
            raise fault(path, where, f"the folder is {shown(folder)}; expected a path", "correct its 'filepath'")
        split = field(image, "split", path, where)
        file = karpathy_file(image) or image["filename"]  # what is no text is refused as it stands
        entries.append(Entry(where, karpathy_id(image) if "cocoid" in image else file, file, split, captions))
    return entries
