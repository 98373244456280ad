"""Filling a feature file: row by row, so that a killed run goes on, and following a folder whose pictures change."""

from __future__ import annotations

import fcntl
import os
import zlib
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from seesay.data import feature_file
from seesay.data.feature_file import DONE, MISSING, SKIPPED
from seesay.errors import DataError

Features = npt.NDArray[np.float16]


class FeatureWriter:
    """Fills a feature file row by row, in any order; made by `open_writer`.

    A row is marked done only after its bytes and checksum have reached the disk, so what is marked is whole, whenever
    the process is killed.
    """

    def __init__(self, path: Path, header: feature_file.Header, descriptor: int, sync_rows: int = 256) -> None:
        self.path = path
        self._header, self._descriptor, self._sync_rows = header, descriptor, sync_rows
        self._rows = {name: row for row, name in enumerate(feature_file.read_ids(header, descriptor))}
        self._done = feature_file.read_array(header, descriptor, "done").copy()
        self._pending: list[int] = []

    def missing(self) -> list[str]:
        """The ids still without features, those skipped in an earlier run included."""
        return [name for name, row in self._rows.items() if self._done[row] != DONE]

    def has(self, name: str) -> bool:
        """Whether the features of this picture are there."""
        return name in self._rows and bool(self._done[self._rows[name]] == DONE)

    def write(self, ids: Sequence[str], features: Features) -> None:
        """Stores the features of these pictures: (len(ids), R, D) float16."""
        shape = (len(ids), self._header.regions, self._header.size)
        if features.shape != shape or features.dtype != np.float16:
            raise ValueError(f"received {features.dtype} {features.shape}; expected float16 {shape}")
        for name, row in zip(ids, np.ascontiguousarray(features), strict=True):
            place = self._rows[name]
            self._put("features", place * row.nbytes, row.tobytes())
            self._put("crc32", place * 4, np.array(zlib.crc32(row), "<u4").tobytes())
            self._pending.append(place)
        if len(self._pending) >= self._sync_rows:
            self.flush()

    def skip(self, name: str) -> None:
        """Leaves a picture out of the file: it has no features, and the file can be complete without it."""
        self._done[self._rows[name]] = SKIPPED
        self._put("done", self._rows[name], bytes([SKIPPED]))

    def flush(self) -> None:
        """Brings the rows written so far to the disk, then marks them done."""
        os.fdatasync(self._descriptor)
        for place in self._pending:
            self._done[place] = DONE
            self._put("done", place, bytes([DONE]))
        self._pending.clear()

    def drop_damaged(self) -> None:
        """Forgets rows marked done whose checksum is wrong, so that a resumed run makes them anew."""
        crc32 = feature_file.read_array(self._header, self._descriptor, "crc32")
        for place in np.flatnonzero(self._done == DONE).tolist():
            start = self._header.offsets["features"] + place * self._header.row_bytes
            if zlib.crc32(os.pread(self._descriptor, self._header.row_bytes, start)) != crc32[place]:
                self._done[place] = MISSING
                self._put("done", place, bytes([MISSING]))

    def reopen(self) -> None:
        """Makes a complete file incomplete again, before its rows change."""
        self._put("sha256", 0, bytes(32))
        os.fdatasync(self._descriptor)

    def finish(self) -> str:
        """Seals the complete file with its SHA-256, which is returned; the writer is closed."""
        self.flush()
        if MISSING in self._done:
            raise ValueError(f"{np.count_nonzero(self._done == MISSING)} pictures are still missing")
        os.fdatasync(self._descriptor)
        value = feature_file.digest(self._header, self._descriptor)
        self._put("sha256", 0, value)
        os.fsync(self._descriptor)
        self.close()
        return value.hex()

    def close(self) -> None:
        """Keeps the rows written so far and lets go of the file and its lock."""
        if self._descriptor >= 0:
            try:
                self.flush()
            finally:
                os.close(self._descriptor)
                self._descriptor = -1

    def __enter__(self) -> FeatureWriter:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self.close()
        if kind is not None and DONE not in self._done:
            self.path.unlink(missing_ok=True)  # nothing came of it, so nothing stays

    def _put(self, name: str, offset: int, data: bytes) -> None:
        try:
            os.pwrite(self._descriptor, data, self._header.offsets[name] + offset)
        except OSError as error:
            raise DataError(f"{self.path}: cannot be written ({error.strerror}); the rows before are kept.") from error


def open_writer(
    path: Path | str, ids: Sequence[str], regions: int, size: int, encoder: str, flipped: bool, sync_rows: int = 256
) -> FeatureWriter:
    """A writer for the features of these pictures: of a new file, or of one begun earlier with the same settings.

    Where the existing file has some of these pictures and others too, a new one takes its place, with the rows that
    it has of these. Raises `DataError` where it has other pictures alone, is of another encoder or the other flip or
    damaged, and where another process is writing it.
    """
    path = Path(path)
    if not path.exists():
        feature_file.create(path, ids, regions, size, encoder, flipped)
    writer = _open(path, sync_rows)
    try:
        _same(writer._header, regions, size, encoder, flipped)
        sealed = _check(writer)
        if tuple(writer._rows) != tuple(ids):
            _renew(writer, ids)
            before, writer = writer, _open(path, sync_rows)
            before.close()  # its lock is held until the new file is in its place and locked
        elif sealed and writer.missing():
            writer.reopen()
    except BaseException:
        writer.close()
        raise
    return writer


def _open(path: Path, sync_rows: int) -> FeatureWriter:
    descriptor = _locked(path)
    try:
        return FeatureWriter(path, feature_file.read_header(path), descriptor, sync_rows)
    except BaseException:
        os.close(descriptor)
        raise


def _check(writer: FeatureWriter) -> bool:
    """Whether the file is sealed; one that is not forgets its damaged rows, and a damaged sealed one is refused."""
    stored = feature_file.read_array(writer._header, writer._descriptor, "sha256").tobytes()
    if stored == bytes(32):
        writer.drop_damaged()
        return False
    if stored != feature_file.digest(writer._header, writer._descriptor):
        raise DataError(f"{writer.path}: damaged (SHA-256 differs); delete it and run 'seesay features' again.")
    return True


def _renew(writer: FeatureWriter, ids: Sequence[str]) -> None:
    """Puts a file for these pictures in the place of the writer's, with the rows that this has of them."""
    if DONE in writer._done and not any(writer.has(name) for name in ids):
        raise DataError(
            f"{writer.path}: holds features of {len(writer._rows):,} other pictures; received {len(ids):,} pictures; "
            "choose another file or delete it."
        )
    header = writer._header
    settings = (header.regions, header.size, header.encoder, header.flipped)
    feature_file.create(writer.path, ids, *settings, fill=partial(_copy_rows, writer))


def _copy_rows(writer: FeatureWriter, header: feature_file.Header, descriptor: int) -> None:
    """The writer's whole rows, as far as the other file has these pictures."""
    crc32 = feature_file.read_array(writer._header, writer._descriptor, "crc32")
    for row, name in enumerate(feature_file.read_ids(header, descriptor)):
        if not writer.has(name):
            continue
        place, size = writer._rows[name], header.row_bytes
        data = os.pread(writer._descriptor, size, writer._header.offsets["features"] + place * size)
        if zlib.crc32(data) == crc32[place]:
            os.pwrite(descriptor, data, header.offsets["features"] + row * size)
            os.pwrite(descriptor, crc32[place].tobytes(), header.offsets["crc32"] + row * 4)
            os.pwrite(descriptor, bytes([DONE]), header.offsets["done"] + row)


def _same(header: feature_file.Header, regions: int, size: int, encoder: str, flipped: bool) -> None:
    there = (header.encoder, header.regions, header.size, header.flipped)
    if there != (encoder, regions, size, flipped):
        raise DataError(
            f"{header.path}: holds features of {_settings(*there)}; "
            f"received {_settings(encoder, regions, size, flipped)}; choose another file or delete it."
        )


def _settings(encoder: str, regions: int, size: int, flipped: bool) -> str:
    return f"{encoder} ({regions} x {size}, {'flipped' if flipped else 'not flipped'})"


def _locked(path: Path) -> int:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        raise DataError(f"{path}: cannot be written ({error.strerror}); choose another file.") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        held = os.path.samestat(os.fstat(descriptor), os.stat(path))  # not one that another process has just replaced
    except OSError:
        held = False
    if not held:
        os.close(descriptor)
        raise DataError(f"{path}: another process is writing it; wait for its end or choose another file.")
    return descriptor
