"""Checkpoints: named arrays and a JSON header in one safetensors file, checksummed and written atomically.

A reader finds the old file or the new one, never half of one, whenever the machine stops; and it notices a single
flipped bit. Nothing here needs torch, so that the NumPy engine reads the same files.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from seesay.errors import CheckpointError
from seesay.files import replace_file

Arrays = dict[str, NDArray[Any]]
FORMAT = "seesay-checkpoint-1"
_BLANK = b"0" * 64  # stands where the SHA-256 will be while the SHA-256 is computed


def write_checkpoint(path: Path, arrays: Mapping[str, NDArray[Any]], header: Mapping[str, Any]) -> None:
    """Write `arrays` and the JSON-able `header` to `path`; on return they are safe on the disk.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "last.safetensors"
    >>> write_checkpoint(path, {"weight": np.ones(2)}, {"step": 7})
    >>> arrays, header = read_checkpoint(path)
    >>> arrays["weight"].tolist(), header["step"]
    ([1.0, 1.0], 7)
    """
    whole = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    metadata = {"format": FORMAT, "header": json.dumps(header), "sha256": _BLANK.decode()}
    content = _ordered(save(whole, metadata=metadata))
    place = _digest_place(path, content)
    view = memoryview(content)
    replace_file(path, view[:place], _sha256(content, place), view[place + 64 :])


def _ordered(content: bytes) -> bytes:
    """The same file with its metadata in order: safetensors puts them anyhow, and equal runs give equal bytes."""
    size = 8 + int.from_bytes(content[:8], "little")
    about = json.loads(content[8:size])
    about["__metadata__"] = dict(sorted(about["__metadata__"].items()))
    text = json.dumps(about, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # arrays begin at a multiple of eight bytes
    return b"".join([len(text).to_bytes(8, "little"), text, memoryview(content)[size:]])


def read_checkpoint(path: Path) -> tuple[Arrays, dict[str, Any]]:
    """The arrays and the header of `path`, or a CheckpointError that says what is wrong with it."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise CheckpointError(f"{path}: no such checkpoint; expected a file written by 'seesay train'.") from None
    except OSError as fault:
        raise CheckpointError(f"{path}: cannot be read ({fault.strerror}).") from None
    place = _digest_place(path, content)
    if content[place : place + 64] != _sha256(content, place):
        raise CheckpointError(f"{path}: damaged: its content does not match its SHA-256; use another checkpoint.")
    try:
        header = json.loads(_metadata(path, content)["header"])
        return load(content), header
    except (SafetensorError, KeyError, ValueError) as fault:
        raise CheckpointError(f"{path}: not a seesay checkpoint ({fault}).") from None


def _metadata(path: Path, content: bytes) -> dict[str, str]:
    size = int.from_bytes(content[:8], "little")
    try:
        metadata = json.loads(content[8 : 8 + size])["__metadata__"]
    except (ValueError, KeyError, TypeError):
        metadata = None
    if not isinstance(metadata, dict) or metadata.get("format") != FORMAT:
        raise CheckpointError(f"{path}: damaged, or not a seesay checkpoint; expected format {FORMAT}.")
    return metadata


def _digest_place(path: Path, content: bytes) -> int:
    """Where in the file the 64 hexadecimal digits of the SHA-256 stand."""
    digest = _metadata(path, content).get("sha256", "")
    place = content.find(f'"sha256":"{digest}"'.encode(), 0, 8 + int.from_bytes(content[:8], "little"))
    if len(digest) != 64 or place < 0:
        raise CheckpointError(f"{path}: damaged: it has no SHA-256; use another checkpoint.")
    return place + len('"sha256":"')


def _sha256(content: bytes, place: int) -> bytes:
    digest = hashlib.sha256(memoryview(content)[:place])
    digest.update(_BLANK)
    digest.update(memoryview(content)[place + 64 :])
    return digest.hexdigest().encode()
