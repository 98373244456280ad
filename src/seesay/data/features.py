"""Grid features of pictures in one HDF5 file: read by row with a checksum each, written so that a killed run resumes.

The file: `/features` (N, R, D) float16, `/ids` (N,), `/crc32` (N,) one checksum a row, `/done` (N,) 0 missing, 1 done,
2 skipped, `/sha256` over everything else once the file is complete; attributes format, version, encoder, flipped.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from seesay.arguments import path_of
from seesay.data import feature_file
from seesay.data.feature_file import DONE
from seesay.data.feature_writer import Features, FeatureWriter, open_writer
from seesay.errors import DataError
from seesay.text.names import Names

__all__ = ["FeatureStore", "FeatureWriter", "Features", "open_writer"]


class FeatureStore:
    """Reads the grid features of pictures by id; it may be copied into worker processes, which open the file anew.

    `ids` are the pictures with features, `index` their rows, `regions` R and `size` D the shape of one picture's grid,
    `encoder` and `flipped` how it was made, `digest` (hexadecimal SHA-256) which file it is.
    Raises `DataError` for a damaged, incomplete or foreign file.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = path_of(path, "features")
        self._header = feature_file.read_header(self.path)
        self.encoder, self.flipped = self._header.encoder, self._header.flipped
        self.regions, self.size = self._header.regions, self._header.size
        self._descriptor: int | None = None
        self.digest = self._checked_digest()
        ids = feature_file.read_ids(self._header, self._open())
        done = feature_file.read_array(self._header, self._open(), "done")
        self.index = {name: row for row, name in enumerate(ids) if done[row] == DONE}
        self.ids = tuple(self.index)
        self._names = Names(self.ids)
        self._crc32 = feature_file.read_array(self._header, self._open(), "crc32")

    def read(self, ids: Sequence[str], source: str = "") -> Features:
        """The features of these pictures, in this order: (len(ids), R, D) float16.

        An id may be spelt in other bytes than in the file (see `seesay.text.names`). `source` names the file that asked
        for them, for the message. Raises `DataError` for an id without features, for a row whose checksum is wrong and
        for a picture that shows nothing: all of its features are zero.
        """
        rows = [self._row(name, source) for name in ids]
        features = np.empty((len(rows), self.regions, self.size), np.float16)
        for place, row in enumerate(rows):
            self._read_row(row, features[place])
            # The first region tells nearly always: no copy of all features to look for one that is not zero.
            if not features[place, :1].any() and not features[place].any():
                raise DataError(
                    f"{self.path}: picture {ids[place]} has no region: all of its features are zero; expected one at "
                    "least; run 'seesay features' over its folder again, or leave the picture out."
                )
        return features

    def require(self, ids: Sequence[str], source: str = "") -> None:
        """Raises `DataError` now where a picture has no features, rather than in the middle of an epoch.

        Likewise where two of `ids` differ in their bytes alone and the file has only one picture for both.
        """
        taken: dict[int, str] = {}
        for name in ids:
            first = taken.setdefault(self._row(name, source), name)
            if first != name:
                raise DataError(
                    f"{source or self.path}: {first!a} and {name!a} are one name in two spellings, and {self.path} "
                    "has only one such picture; expected one for each; name the picture once, or rename one of them."
                )

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
        found = self._names.find(name)
        if found is None:
            raise self._lacking(name, source)
        return self.index[found]

    def _lacking(self, name: str, source: str) -> DataError:
        where = f"{self.path} ({len(self.ids):,} pictures)"
        asked = f"{source}: picture {name} has no features in {where}" if source else f"{where}: no features of {name}"
        if near := self._names.nearest(name):
            return DataError(
                f"{asked}; did you mean {near}? Names are paths from the folder of the pictures on; "
                "correct the name, or run 'seesay features' over the folder again if the picture is new."
            )
        return DataError(f"{asked}; expected those of every picture; run 'seesay features' over its folder again.")

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
