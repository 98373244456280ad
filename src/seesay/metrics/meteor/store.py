"""A file of NumPy arrays that is checked whole and then mapped into memory: METEOR's packed data."""

from __future__ import annotations

import hashlib
import json
import mmap
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from seesay.files import make_folder, replace_file

Arrays = dict[str, "np.ndarray[Any, Any]"]

_MAGIC = b"seesay-meteor-1\n"
_ALIGN = 64
_DIGEST = 32
_BLOCK = 1 << 20


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray[Any, Any]]) -> None:
    """Put one-dimensional arrays at `path` in one step: magic, SHA-256 of the rest, a JSON table, the data.

    Raises DataError where the place cannot be written.
    """
    table, offset = [], 0
    parts: list[bytes | memoryview] = []
    for name, array in arrays.items():
        data = np.ascontiguousarray(array)
        gap = -data.nbytes % _ALIGN
        table.append({"name": name, "dtype": data.dtype.str, "offset": offset, "length": len(data)})
        parts += [data.view(np.uint8).data, bytes(gap)]
        offset += data.nbytes + gap
    header = json.dumps(table).encode()
    header += b" " * (-(len(_MAGIC) + _DIGEST + 8 + len(header)) % _ALIGN)
    body: list[bytes | memoryview] = [len(header).to_bytes(8, "little"), header, *parts]
    digest = hashlib.sha256()
    for part in body:
        digest.update(part)
    make_folder(path.parent)
    replace_file(path, _MAGIC, digest.digest(), *body)


def is_whole(path: Path) -> bool:
    """Whether `path` holds what `write_arrays` once put there, by its checksum.

    It is read through a small buffer, not through the mapping, so that the check leaves no memory behind.
    """
    try:
        with open(path, "rb", buffering=0) as file:
            promised = file.read(len(_MAGIC) + _DIGEST)
            digest = hashlib.sha256()
            for block in _blocks(file):
                digest.update(block)
    except OSError:
        return False
    return promised == _MAGIC + digest.digest()


def map_arrays(path: Path) -> Arrays:
    """The arrays of a whole file by name, read-only; pages are read when they are looked at."""
    with open(path, "rb") as file:
        view = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    if hasattr(mmap, "MADV_RANDOM"):
        view.madvise(mmap.MADV_RANDOM)  # look-ups are scattered: pages read ahead would only fill memory
    start = len(_MAGIC) + _DIGEST + 8
    size = int.from_bytes(view[start - 8 : start], "little")
    table = json.loads(view[start : start + size])
    return {
        entry["name"]: np.frombuffer(view, entry["dtype"], entry["length"], start + size + entry["offset"])
        for entry in table
    }


def _blocks(file: Any) -> Iterable[memoryview]:
    buffer = memoryview(bytearray(_BLOCK))
    while count := file.readinto(buffer):
        yield buffer[:count]
