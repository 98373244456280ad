"""Read a JSON file strictly: whatever is wrong with it becomes one line naming the file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from seesay.errors import DataError


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


def read_json(path: Path | str) -> Any:
    """The content of a UTF-8 JSON file (a leading byte order mark is allowed).

    Raises DataError, in one line that names the file, when it cannot be opened, is not UTF-8 or not JSON, repeats a
    key within an object, or holds half of a surrogate pair (which no file or terminal can print).

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
    except (UnicodeDecodeError, UnicodeEncodeError) as error:
        reason = f"not UTF-8 text ({error.reason} at {error.start}); expected JSON in UTF-8; save it again as UTF-8."
    except RecursionError:
        reason = "nested too deeply; expected a flat JSON file; check that it is the right file."
    except ValueError as error:
        reason = f"not valid JSON ({str(error)[:100]}); expected a complete JSON file; write or download it again."
    else:
        return content
    raise DataError(f"{path}: {reason}")
