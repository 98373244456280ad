"""Grid features of pictures in one HDF5 file: read by row with a checksum each, written so that a killed run resumes.

The file: `/features` (N, R, D) float16, `/ids` (N,), `/crc32` (N,) one checksum a row, `/done` (N,) 0 missing, 1 done,
2 skipped, `/sha256` over everything else once the file is complete; attributes format, version, encoder, flipped.
"""

from __future__ import annotations

import fcntl
import os
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from seesay.data import feature_file
from seesay.data.feature_file import DONE, MISSING, SKIPPED
from seesay.errors import DataError

Features = npt.NDArray[np.float16]


class FeatureStore:
    """Reads the grid features of pictures by id; it may be copied into worker processes, which open the file anew.

    `ids` are the pictures with features, `index` their rows, `regions` R and `size` D the shape of one picture's grid,
    `encoder` and `flipped` how it was made, `digest` (hexadecimal SHA-256) which file it is.
    Raises `DataError` for a damaged, incomplete or foreign file.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self._header = feature_file.read_header(self.path)
        self.encoder, self.flipped = self._header.encoder, self._header.flipped
        self.regions, self.size = self._header.regions, self._header.size
        self._descriptor: int | None = None
        self.digest = self._checked_digest()
        ids = feature_file.read_ids(self._header, self._open())
        done = feature_file.read_array(self._header, self._open(), "done")
        self.index = {name: row for row, name in enumerate(ids) if done[row] == DONE}
        self.ids = tuple(self.index)
        self._crc32 = feature_file.read_array(self._header, self._open(), "crc32")

    def read(self, ids: Sequence[str], source: str = "") -> Features:
        """The features of these pictures, in this order: (len(ids), R, D) float16.

        `source` names the file that asked for them, for the message. Raises `DataError` for an id without features
        and for a row whose checksum is wrong.
        """
        rows = [self._row(name, source) for name in ids]
        features = np.empty((len(rows), self.regions, self.size), np.float16)
        for place, row in enumerate(rows):
            self._read_row(row, features[place])
        return features

    def require(self, ids: Sequence[str], source: str = "") -> None:
        """Raises `DataError` now where a picture has no features, rather than in the middle of an epoch."""
        for name in ids:
            self._row(name, source)

    def close(self) -> None:
        """Lets go of the file; the next read opens it again."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __len__(self) -> int:
        return len(self.ids)

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_descriptor": None}

    def __del__(self) -> None:
        if getattr(self, "_descriptor", None) is not None:
            self.close()

    def _open(self) -> int:
        # A plain descriptor read with `pread` has no position of its own: forks and threads may share it.
        if self._descriptor is None:
            try:
                self._descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
            except OSError as error:
                raise DataError(f"{self.path}: cannot be read ({error.strerror}); expected a feature file.") from error
        return self._descriptor

    def _row(self, name: str, source: str) -> int:
        row = self.index.get(name)
        if row is None:
            where = f"{self.path} ({len(self.ids):,} pictures)"
            asked = (
                f"{source}: picture {name} has no features in {where}" if source else f"{where}: no features of {name}"
            )
            raise DataError(f"{asked}; expected those of every picture; run 'seesay features' over its folder again.")
        return row

    def _read_row(self, row: int, out: Features) -> None:
        data = out.data.cast("B")
        got = os.preadv(self._open(), [data], self._header.offsets["features"] + row * out.nbytes)
        if got != out.nbytes or zlib.crc32(data) != self._crc32[row]:
            name = next(name for name, place in self.index.items() if place == row)
            raise DataError(
                f"{self.path}: the features of {name} are damaged (checksum differs); expected them as written; "
                "delete the file and run 'seesay features' again."
            )

    def _checked_digest(self) -> str:
        stored = feature_file.read_array(self._header, self._open(), "sha256").tobytes()
        if stored == feature_file.digest(self._header, self._open()):
            return stored.hex()
        if stored != bytes(32):
            raise DataError(f"{self.path}: damaged (SHA-256 differs); delete it and run 'seesay features' again.")
        done = feature_file.read_array(self._header, self._open(), "done")
        raise DataError(
            f"{self.path}: {np.count_nonzero(done == DONE):,} of {len(done):,} pictures have features; expected all; "
            "run the same 'seesay features' command again and it goes on where it stopped."
        )


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

    def __exit__(self, *_: object) -> None:
        self.close()

    def _put(self, name: str, offset: int, data: bytes) -> None:
        try:
            os.pwrite(self._descriptor, data, self._header.offsets[name] + offset)
        except OSError as error:
            raise DataError(f"{self.path}: cannot be written ({error.strerror}); the rows before are kept.") from error


def open_writer(
    path: Path | str, ids: Sequence[str], regions: int, size: int, encoder: str, flipped: bool, sync_rows: int = 256
) -> FeatureWriter:
    """A writer for the features of these pictures: of a new file, or of one begun earlier with the same settings.

    Raises `DataError` where the existing file belongs to other pictures, another encoder or the other flip, where it is
    damaged, and where another process is writing it.
    """
    path = Path(path)
    if not path.exists():
        feature_file.create(path, ids, regions, size, encoder, flipped)
    header = feature_file.read_header(path)
    _same(header, regions, size, encoder, flipped)
    writer = FeatureWriter(path, header, _locked(path), sync_rows)
    try:
        if tuple(writer._rows) != tuple(ids):
            raise DataError(
                f"{path}: holds features of {len(writer._rows):,} other pictures; received {len(ids):,} pictures; "
                "choose another file or delete it."
            )
        _resume(writer, header)
    except BaseException:
        writer.close()
        raise
    return writer


def _resume(writer: FeatureWriter, header: feature_file.Header) -> None:
    stored = feature_file.read_array(header, writer._descriptor, "sha256").tobytes()
    if stored == bytes(32):
        writer.drop_damaged()
    elif stored != feature_file.digest(header, writer._descriptor):
        raise DataError(f"{header.path}: damaged (SHA-256 differs); delete it and run 'seesay features' again.")
    elif writer.missing():
        writer.reopen()


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
    except OSError as error:
        os.close(descriptor)
        raise DataError(f"{path}: another process is writing it; wait for its end or choose another file.") from error
    return descriptor
