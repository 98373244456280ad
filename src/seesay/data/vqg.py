"""The files of VQG, "natural questions about an image" (Mostafazadeh et al. 2016): five questions a picture."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from seesay.data.entries import fault, field, identifier, objects, shown
from seesay.errors import DataError

BETWEEN = "---"  # stands between the questions of a picture
Row = tuple[str, str, list[str]]  # id, file, questions


def read_csv(path: Path) -> Iterator[Row]:
    """The rows of a CSV with the columns image_id, image_url and questions; other columns are left alone.

    The picture's file is the last part of its address. Raises DataError naming file and line.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "coco_train_all.csv")
    ...     _ = path.write_text("image_id,image_url,questions\\n7,http://a/b/7.jpg,Why?---Is it?\\n", encoding="utf-8")
    ...     list(read_csv(path))
    [('7', '7.jpg', ['Why?', 'Is it?'])]
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); expected a CSV file; check the path.") from None
    except UnicodeDecodeError as error:
        reason = f"not UTF-8 text ({error.reason} at {error.start})"
        raise DataError(f"{path}: {reason}; expected CSV in UTF-8; save it so.") from None
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        for row in reader:
            where = f"line {reader.line_num}"
            yield _row({key: value for key, value in row.items() if isinstance(key, str)}, path, where)
    except csv.Error as error:
        raise fault(path, f"line {reader.line_num}", f"{error}; expected CSV", "check its quotation marks") from None


def of_json(content: Any, path: Path) -> Iterator[Row]:
    """The same rows as JSON objects; `questions` may be a list."""
    for number, item in enumerate(objects(content, path, "record"), start=1):
        yield _row(item, path, f"record {number}")


def _row(item: dict[str, Any], path: Path, where: str) -> Row:
    name = identifier(field(item, "image_id", path, where), path, where)
    address, asked = field(item, "image_url", path, where), field(item, "questions", path, where)
    file = _file(address) if isinstance(address, str) else ""
    if not file:
        raise fault(path, where, f"image_url is {shown(address)}; expected an address that ends with a file", "add it")
    texts = asked.split(BETWEEN) if isinstance(asked, str) else asked
    if not isinstance(texts, list):
        raise fault(path, where, f"questions: {shown(asked)}; expected text", f"put '{BETWEEN}' between questions")
    return name, file, [text for text in texts if not isinstance(text, str) or text.strip()]


def _file(address: str) -> str:
    """The last part of an address, without what follows a question mark; nothing where it has none."""
    try:
        name = PurePosixPath(urlsplit(address).path).name
    except ValueError:  # such as half of a bracket
        return ""
    return name if name.strip(".") and name.isprintable() else ""
