"""Files of questions about pictures: VQA's, VQG's, a plain questions.json, and captions as questions without answers.

To bring your own, write a `questions.json`: a list with one object for each picture,

    [{"file": "beach/0001.jpg", "split": "train", "questions": ["Whose dogs are these?", "Is the water cold?"],
      "vqa": [{"question": "How many dogs are there?", "answer": "2", "answer_type": "number"}]}]

`questions` are those without a known answer, `vqa` those with one; either may be missing. `answer_type` (as VQA has it:
"yes/no", "number" or "other") may be missing too: the ranking test then takes it from the answer.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seesay.data.entries import fault, field, identifier, objects, shown
from seesay.data.records import file_within, read_records, split_at
from seesay.errors import DataError
from seesay.text.json_file import read_json
from seesay.text.splits import canonical_split, known_split


@dataclass(frozen=True)
class Question:
    """What somebody asked; `answer` is empty where it is not known, `kind` is the answer's type or empty."""

    text: str
    answer: str = ""
    kind: str = ""


@dataclass(frozen=True)
class Asked:
    """One picture and what people asked about it; see `seesay.data.records.Record`."""

    id: str
    file: str
    split: str
    questions: tuple[Question, ...]

    @property
    def references(self) -> tuple[str, ...]:
        """What a question about the picture as a whole is held against: those without an answer, or else all."""
        return tuple(one.text for one in self.questions if not one.answer) or tuple(one.text for one in self.questions)


def read_questions(path: Path | str) -> list[Asked]:
    """The pictures of a file or folder with their questions; which kind it is shows in its content.

    Read are the plain questions.json (see above); VQA's `*questions.json` with the `*annotations.json` beside it
    (Goyal et al. 2017), or a folder of such pairs; VQG's CSV, one file or a folder of them, and the same as JSON
    (Mostafazadeh et al. 2016); and whatever `read_records` reads: there, captions stand for questions.
    Raises DataError, or UnknownName for a split, in one line that names the file and the place in it.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "questions.json")
    ...     _ = path.write_text('[{"file": "a.jpg", "split": "val", "questions": ["Why?"]}]', encoding="utf-8")
    ...     read_questions(path)
    [Asked(id='a.jpg', file='a.jpg', split='dev', questions=(Question(text='Why?', answer='', kind=''),))]
    """
    path = Path(path)
    parts = [*path.glob("*questions.json"), *path.glob("*.csv")] if path.is_dir() else [path]
    found = [asked for part in sorted(parts) for asked in _read(part)] if parts else list(_captions(path))
    if not found:
        raise DataError(f"{path}: received no picture; expected at least one with questions; add some.")
    for kind, names in (("id", [asked.id for asked in found]), ("file", [asked.file for asked in found])):
        if len(set(names)) < len(names):
            twice = shown(Counter(names).most_common(1)[0][0])
            raise DataError(
                f"{path}: received the {kind} {twice} twice; expected each once; put its questions together."
            )
    return found


def part_of(asked: Sequence[Asked], name: str, source: Path) -> list[Asked]:
    """The pictures of one split; UnknownName for no split, DataError where it is empty."""
    wanted = known_split(name)
    chosen = [one for one in asked if one.split == wanted]
    if not chosen:
        there = ", ".join(sorted({one.split for one in asked})) or "none"
        raise DataError(
            f"{source}: received no picture of split '{wanted}', but of {there}; expected at least one; give some that "
            "split, or choose another."
        )
    return chosen


def _read(path: Path) -> Iterator[Asked]:
    if path.suffix.lower() == ".csv":
        from seesay.data.vqg import read_csv

        return _grouped(read_csv(path), path)
    content = read_json(path) if _start(path) in (b"[", b"{") else None
    if isinstance(content, dict) and isinstance(content.get("questions"), list):
        return _pairs(content, path)
    if isinstance(content, list) and any(isinstance(one, dict) and {"questions", "vqa"} & set(one) for one in content):
        if isinstance(content[0], dict) and "image_url" in content[0]:
            from seesay.data.vqg import of_json

            return _grouped(of_json(content, path), path)
        return _plain(content, path)
    return _captions(path)


def _start(path: Path) -> bytes:
    """The first letter: JSON shows by it, and whatever else captions come in is left to their reader."""
    try:
        with path.open("rb") as file:
            return file.read(4096).removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); expected questions; check the path.") from None


def _captions(path: Path) -> Iterator[Asked]:
    for record in read_records(path):
        yield Asked(record.id, record.file, record.split, tuple(map(Question, record.captions)))


def _plain(content: list[Any], path: Path) -> Iterator[Asked]:
    for number, item in enumerate(objects(content, path, "record"), start=1):
        where = f"record {number}"
        file = file_within(_text(field(item, "file", path, where), "the file", path, where), path, where)
        split = _text(field(item, "split", path, where), "the split", path, where)
        asked = item.get("questions", [])
        if not isinstance(asked, list):
            raise fault(path, where, f"questions: {shown(asked)}; expected a list of sentences", "correct it")
        questions = [Question(_words(one, "a question", path, where)) for one in asked]
        questions += [_answered(one, path, where) for one in objects(item.get("vqa", []), path, f"{where}: vqa")]
        name = identifier(item.get("id", item.get("image_id", file)), path, where)
        yield _asked(name, file, split, questions, path, where)


def _answered(item: dict[str, Any], path: Path, where: str) -> Question:
    text = _words(field(item, "question", path, where), "a question", path, where)
    answer = _words(field(item, "answer", path, where), f"the answer to '{text}'", path, where)
    return Question(text, answer, _kind(item))


def _kind(item: dict[str, Any]) -> str:
    kind = item.get("answer_type", "")
    return kind if isinstance(kind, str) else ""


def _asked(name: str, file: str, split: str, questions: list[Question], path: Path, where: str) -> Asked:
    if not questions:
        raise fault(path, where, "received no question; expected one at least", "write one or leave the picture out")
    return Asked(name, file, split_at(split, path, where), tuple(questions))


def _pairs(content: dict[str, Any], path: Path) -> Iterator[Asked]:
    """VQA's questions with the answers beside them; pictures are named as COCO's files are."""
    subtype = _text(field(content, "data_subtype", path, "its head"), "data_subtype", path, "its head")
    answers = _annotations(path, canonical_split(subtype.partition("-")[0]) == "test")
    grouped: dict[str, list[Question]] = {}
    seen: set[str] = set()
    for number, item in enumerate(objects(content["questions"], path, "question"), start=1):
        where = f"question {number}"
        name = identifier(field(item, "question_id", path, where), path, where)
        text = _words(field(item, "question", path, where), "the question", path, where)
        if name in seen:
            raise fault(path, where, f"id {name} came before; expected each once", "download the file again")
        seen.add(name)
        if answers is not None and name not in answers:
            raise fault(path, where, f"id {name} has no annotation; expected one", "take files of the same release")
        picture = identifier(field(item, "image_id", path, where), path, where)
        grouped.setdefault(picture, []).append(Question(text, *(answers or {}).get(name, ())))
    for picture, questions in grouped.items():
        year = subtype.partition("-")[2] or subtype  # "test-dev2015" has the pictures of test2015
        folder = f"test{year[-4:]}" if "-" in subtype else subtype
        file = f"COCO_{folder}_{picture:0>12}.jpg"
        yield _asked(picture, file, subtype.partition("-")[0], questions, path, f"picture {picture}")


def _annotations(path: Path, unpublished: bool) -> dict[str, tuple[str, str]] | None:
    """Answers and their types by question id; None for the test split, whose answers were never published."""
    name = re.sub(r"(OpenEnded|MultipleChoice)_", "", path.name).replace("questions", "annotations")
    file = path.with_name(name)
    if unpublished and not file.exists():
        return None
    content = read_json(file)
    items = content.get("annotations") if isinstance(content, dict) else None
    found: dict[str, tuple[str, str]] = {}
    for number, item in enumerate(objects(items, file, "annotation"), start=1):
        where = f"annotation {number}"
        answer = _text(field(item, "multiple_choice_answer", file, where), "the answer", file, where)
        key = identifier(field(item, "question_id", file, where), file, where)
        if key in found:
            raise fault(file, where, f"question {key} has an annotation already; expected one", "download it again")
        heard = any(map(str.isalnum, answer))  # signs alone are not: such an answer counts as not known
        found[key] = (answer if heard else "", _kind(item))
    return found


def _grouped(rows: Iterable[tuple[str, str, list[str]]], path: Path) -> Iterator[Asked]:
    """VQG's rows; a file holds one split, which its name says."""
    named = {canonical_split(word) for word in re.findall(r"[a-z]+\d*", path.stem.lower())} - {None}
    split = (named.pop() or "test") if len(named) == 1 else "test"  # never trained on by mistake
    for number, (name, file, texts) in enumerate(rows, start=1):
        where = f"row {number}"
        questions = [Question(_words(text, "a question", path, where)) for text in texts]
        yield _asked(name, file, split, questions, path, where)


def _words(value: Any, what: str, path: Path, where: str) -> str:
    """A text with a word in it: from signs alone, such as "???", nothing can be learned."""
    text = _text(value, what, path, where)
    if not any(map(str.isalnum, text)):
        raise fault(path, where, f"{what} is {shown(text)}; expected a word in it", "write one or remove it")
    return text


def _text(value: Any, what: str, path: Path, where: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise fault(path, where, f"{what} is {shown(value)}; expected text", "write it or remove it")
    return unicodedata.normalize("NFC", value.strip())
