"""Read a JSON file strictly: whatever is wrong with it becomes one line naming the file.

Those that a run keeps hold their own SHA-256, so that damage shows.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from seesay.errors import DataError
from seesay.files import replace_file

# A whole surrogate pair, or half of one (the group), or any other escape.
_ESCAPES = re.compile(r"\\(?:ud[89ab][0-9a-f]{2}\\ud[c-f][0-9a-f]{2}|(ud[89a-f][0-9a-f]{2})|.)", re.IGNORECASE)


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose keys are all different: json keeps the last of two equal keys without a word."""
    keys = dict(pairs)
    if len(keys) < len(pairs):
        seen: set[str] = set()
        repeated = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"the key {repeated!r} occurs twice in one object")
    return keys


def read_json(path: Path | str, accepted: str = "") -> Any:
    """The content of a UTF-8 JSON file (a leading byte order mark is allowed).

    Raises DataError, in one line that names the file, when it cannot be opened, is not UTF-8 or not JSON, repeats a
    key within an object, or holds half of a surrogate pair (which no file or terminal can print). `accepted` lists the
    kinds of files that could stand there: a file in another format, such as CSV, is then told of them.

    >>> read_json("no-such-file.json")
    Traceback (most recent call last):
    seesay.errors.DataError: no-such-file.json: cannot be read (No such file or directory); expected a JSON file; ...
    """
    try:
        text = Path(path).read_bytes().decode("utf-8-sig")
        content = json.loads(text, object_pairs_hook=_unique_keys, parse_constant=_refuse_constant)
        if "\\ud" in text.lower():
            json.dumps(content, ensure_ascii=False).encode("utf-8")
    except OSError as error:
        reason = f"cannot be read ({error.strerror}); expected a JSON file; check the path."
    except UnicodeEncodeError:
        reason = f"half of a surrogate pair ({_half_pair(text)}); expected whole characters; repair or remove it."
    except UnicodeDecodeError as error:
        reason = f"not UTF-8 text ({error.reason} at {error.start}); expected JSON in UTF-8; save it again as UTF-8."
    except RecursionError:
        reason = "nested too deeply; expected a flat JSON file; check that it is the right file."
    except ValueError as error:
        reason = _other_format(text, error, accepted) if accepted else ""
        reason = (
            reason or f"not valid JSON ({str(error)[:100]}); expected a complete JSON file; write or download it again."
        )
    else:
        return content
    raise DataError(f"{path}: {reason}")


def _half_pair(text: str) -> str:
    """The first escape in a JSON text that is half of a surrogate pair without its other half, and its place."""
    found = next(escape for escape in _ESCAPES.finditer(text) if escape[1])
    line, column = text.count("\n", 0, found.start()) + 1, found.start() - text.rfind("\n", 0, found.start())
    return f"{found[0]} at line {line} column {column}"


def _other_format(text: str, error: ValueError, accepted: str) -> str:
    """What to say of a file that was never meant to be one JSON value; "" of one that is merely faulty."""
    first = text.strip().partition("\n")[0]
    if first and first[0] not in "[{":
        return f"not JSON, its first line is {first[:40]!r}; expected {accepted}; convert it to one of these."
    if str(error).startswith("Extra data") and _is_json(first):
        return f"one JSON value a line; expected {accepted}; convert it to one of these."
    return ""


def _is_json(line: str) -> bool:
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True


class Kind(NamedTuple):
    """A kind of file that holds its own SHA-256: what must be in it, and what messages call it."""

    format: str
    version: int
    keys: frozenset[str]  # besides format, version and sha256
    other: str  # what a file of another kind is told, such as "not a seesay lexicon"
    of_version: str  # what stands before its version, such as "lexicon format version"
    checked: str  # what its SHA-256 is over, such as "its words do"
    further: frozenset[str] = frozenset()  # keys that may be in it

    @property
    def head(self) -> dict[str, Any]:
        """What a file of this kind begins with."""
        return {"format": self.format, "version": self.version}

    def fault(self, content: Any) -> str:
        """Why a file's content is not of this kind and version with its keys, or the empty string."""
        if not isinstance(content, dict) or content.get("format") != self.format:
            return self.other
        if content.get("version") != self.version:
            return f"{self.of_version} {content.get('version')!r:.40}, this seesay reads {self.version}"
        if unfit := (content.keys() - self.further) ^ self.keys ^ {*self.head, "sha256"}:
            return f"keys {sorted(unfit)!r:.80} are missing or unknown"
        return ""

    def damage(self, content: Mapping[str, Any]) -> str:
        """What to say where the content is not what its SHA-256 was taken of, or the empty string."""
        whole = content["sha256"] == sha256_of({key: value for key, value in content.items() if key != "sha256"})
        return "" if whole else f"damaged: {self.checked} not match its SHA-256"


def sha256_of(content: Any) -> str:
    """The SHA-256 of what JSON can say, as hexadecimal: the same however a file spells it and orders its keys.

    >>> sha256_of({"a": 1, "b": []}) == sha256_of({"b": [], "a": 1})
    True
    """
    text = json.dumps(content, ensure_ascii=True, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def write_checked(path: Path | str, content: Mapping[str, Any], indent: int = 1) -> None:
    """Write `content` with its SHA-256 as JSON; the file appears whole or not at all. DataError where it cannot be.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_checked(Path(folder, "words.json"), {"words": ["dog"]})
    ...     read_checked(Path(folder, "words.json"), lambda content: "")["words"]
    ['dog']
    """
    text = json.dumps({**content, "sha256": sha256_of(content)}, ensure_ascii=False, indent=indent)
    replace_file(Path(path), text.encode() + b"\n")


def read_checked(path: Path | str, fault: Callable[[Any], str]) -> Any:
    """What `write_checked` wrote; DataError in one line that names the file where `fault` says what is wrong with it.

    `fault` is given the content and says nothing ("") of one without fault; `Kind` tells the most common ones.
    """
    content = read_json(path)
    if found := fault(content):
        raise DataError(f"{path}: {found}; expected a file written by seesay; restore it or train again.")
    return content
