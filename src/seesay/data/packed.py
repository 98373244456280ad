"""The content of text files, also of those that gzip packed, as corpora often come."""

from __future__ import annotations

import gzip
import io
import zlib
from pathlib import Path

from seesay.errors import DataError

_GZIP = b"\x1f\x8b"  # how its files begin
_LARGEST = 1 << 30  # bytes that a packed file may hold


def read_content(path: Path, expected: str) -> bytes:
    """The bytes of a file, unpacked where gzip packed it, whatever its name.

    Raises DataError, which says what was `expected`, for a file that cannot be read, is damaged or holds more than
    2**30 bytes.

    >>> import gzip, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, "neg.txt.gz").write_bytes(gzip.compress(b"an hour too long ."))
    ...     read_content(Path(folder, "neg.txt.gz"), "labelled texts")
    b'an hour too long .'
    """
    try:
        content = path.read_bytes()
    except OSError as fault:
        reason = f"cannot be read ({fault.strerror}); expected {expected}; check the path."
        raise DataError(f"{path}: {reason}") from None
    return _unpacked(path, content) if content.startswith(_GZIP) else content


def _unpacked(path: Path, content: bytes) -> bytes:
    """What a file packed by gzip holds, in one piece or several, as far as it is whole and no larger than allowed."""
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(content)) as file:
            found = file.read(_LARGEST + 1)
    except (EOFError, OSError, zlib.error):
        reason, remedy = "a damaged or unfinished one", "download or pack it again"
    else:
        if len(found) <= _LARGEST:
            return found
        reason, remedy = f"more than {_LARGEST:,} bytes", "unpack it with gunzip, and cut it"
    raise DataError(f"{path}: received a file packed by gzip, {reason}; expected a whole one; {remedy}.")
