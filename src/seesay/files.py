"""Files that appear whole or not at all, whenever the machine stops."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from seesay.errors import DataError


def replace_file(path: Path, *parts: bytes | memoryview) -> None:
    """Put `parts`, joined, at `path` in one step: temporary file, fsync, rename, fsync of the folder.

    Raises DataError where it cannot be written (a full disk, a folder without write permission); whatever stood at
    `path` is then untouched.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     replace_file(Path(folder) / "note.txt", b"one ", b"whole")
    ...     (Path(folder) / "note.txt").read_text(encoding="utf-8")
    'one whole'
    """
    if path.exists() and not path.is_file() and not path.is_dir():
        with writing(path), open(path, "wb") as device:  # /dev/stdout, a named pipe: nothing to replace
            device.writelines(parts)
        return
    if path.is_symlink():
        path = path.resolve()  # what the link points to is meant, not the link
    temporary = temporary_beside(path)
    try:
        with open(temporary, "wb") as file:
            for part in parts:
                file.write(part)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        sync_folder(path.parent)
    except OSError as fault:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise DataError(
            f"{path}: cannot be written ({fault.strerror}); expected a writable place with room; "
            "what stood there before is untouched."
        ) from None


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Within it, whatever the system refuses becomes a DataError of one line that names `path`.

    >>> with writing(Path("runs/log.jsonl")):
    ...     raise OSError(28, "No space left on device")
    Traceback (most recent call last):
    seesay.errors.DataError: runs/log.jsonl: cannot be written (No space left on device); expected a writable place...
    """
    try:
        yield
    except OSError as fault:
        raise DataError(
            f"{path}: cannot be written ({fault.strerror or fault}); expected a writable place with room; "
            "make room there or choose another place."
        ) from None


def make_folder(path: Path) -> None:
    """Make the folder `path` and those above it, as far as they are not there yet; DataError where that is refused."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as fault:
        raise DataError(
            f"{path}: the folder cannot be made ({fault.strerror or fault}); expected a free name in a writable place; "
            "choose another."
        ) from None


def check_outputs(outputs: Sequence[Path | None], inputs: Sequence[Path | None]) -> None:
    """Make the folders of the files to write; DataError where one is an input or another output, or cannot be there.

    >>> check_outputs([Path("scores.json")], [Path("./scores.json")])
    Traceback (most recent call last):
    seesay.errors.DataError: scores.json: would be written over; expected a file that is not read or written too; ...
    """
    taken = {path.resolve() for path in inputs if path}
    for path in filter(None, outputs):
        if path.resolve() in taken:
            raise DataError(
                f"{path}: would be written over; expected a file that is not read or written too; choose another name."
            )
        taken.add(path.resolve())
        make_folder(path.parent)


def write_json(path: Path, content: Any) -> None:
    """Write `content` as JSON to `path`, whose folder is made if need be, in one step."""
    make_folder(path.parent)
    replace_file(path, json.dumps(content, ensure_ascii=False, indent=1).encode() + b"\n")


def link_file(source: Path, path: Path) -> None:
    """Make `path` another name of the file `source`, in one step; a copy where the file system knows no such names.

    Raises DataError where neither can be made; whatever stood at `path` is then untouched.
    """
    temporary = temporary_beside(path)
    with writing(path):
        temporary.unlink(missing_ok=True)
        try:
            os.link(source, temporary)
        except OSError:
            return replace_file(path, source.read_bytes())
        try:
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)  # renaming onto another name of the same file leaves both
        sync_folder(path.parent)


def remove_leftovers(folder: Path) -> Sequence[Path]:
    """Delete the temporary files that a killed writer left in `folder` or below; tells which."""
    found = sorted(folder.rglob(".*.tmp.*"))
    for leftover in found:
        leftover.unlink(missing_ok=True)
    return found


def temporary_beside(path: Path) -> Path:
    """What a file is called until it is whole: hidden, this process's own, found by `remove_leftovers`."""
    return path.with_name(f".{path.name}.tmp.{os.getpid()}")


def sync_folder(folder: Path) -> None:
    """Make a rename in `folder` outlast a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def cache_folder() -> Path:
    """$SEESAY_CACHE, else $XDG_CACHE_HOME/seesay, else ~/.cache/seesay."""
    if chosen := os.environ.get("SEESAY_CACHE"):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "seesay"
