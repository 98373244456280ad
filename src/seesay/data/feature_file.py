"""A feature file on disk: made once, checked at every opening, then read and written at known byte offsets.

HDF5 describes the arrays, so that any HDF5 tool can look inside; all of them are contiguous, so that after the header
has been checked plain `pread` and `pwrite` serve. Nothing but rows is ever rewritten in place, so a killed writer
cannot tear the header, and readers need no HDF5 handle that would have to survive a fork.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import h5py
import numpy as np
import numpy.typing as npt

from seesay.errors import DataError
from seesay.files import sync_folder, temporary_beside

FORMAT = b"seesay-features"
VERSION = 1
MISSING, DONE, SKIPPED = 0, 1, 2
# In this order in the file: `features` is last, so that all bytes before it can be covered by the one digest.
ARRAYS = ("ids", "crc32", "done", "sha256", "features")


@dataclasses.dataclass(frozen=True)
class Header:
    """What a feature file says of itself, and where its arrays begin."""

    path: Path
    encoder: str
    flipped: bool
    regions: int
    size: int
    rows: int
    offsets: dict[str, int]
    id_bytes: int

    @property
    def row_bytes(self) -> int:
        """Bytes of one picture's features."""
        return self.regions * self.size * 2


Fill = Callable[[Header, int], None]


def create(
    path: Path,
    ids: Sequence[str],
    regions: int,
    size: int,
    encoder: str,
    flipped: bool,
    fill: Fill = lambda header, descriptor: None,
) -> None:
    """A feature file for these pictures: whole at `path`, in place of what was there, or not there at all.

    It is empty but for the rows that `fill`, given its header and descriptor, writes.
    Raises `DataError` where ids repeat or are empty, and where the disk has no room for all rows.
    """
    names = _encoded(path, ids)
    temporary = temporary_beside(path)
    need = len(ids) * regions * size * 2
    try:
        if shutil.disk_usage(path.parent).free < need:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        _write_empty(temporary, names, regions, size, encoder, flipped, fill)
        os.replace(temporary, path)
        sync_folder(path.parent)
    except (OSError, RuntimeError) as error:  # HDF5 reports some failures to write as RuntimeError
        reason = getattr(error, "strerror", None) or str(error)
        raise DataError(
            f"{path}: cannot be written ({reason}); it needs {need / 1e6:,.0f} MB; choose another file."
        ) from error
    finally:
        with contextlib.suppress(OSError):  # a read-only place refuses even this, and the reason above counts
            temporary.unlink(missing_ok=True)


def read_header(path: Path) -> Header:
    """The checked header of a feature file; `DataError` for anything that is not a feature file of ours, and whole."""
    try:
        with h5py.File(path, "r", locking=False) as file:
            return _header(path, file)
    except FileNotFoundError as error:
        raise DataError(f"{path}: not found; expected a feature file; make it with 'seesay features'.") from error
    except DataError:
        raise
    except (
        Exception
    ) as error:  # HDF5 reports damage as OSError, KeyError, ValueError, RuntimeError, TypeError and others
        raise _foreign(path, f"HDF5 cannot read it ({str(error)[:80]})") from error


def read_array(header: Header, descriptor: int, name: str) -> npt.NDArray[np.generic]:
    """One of the small arrays: ids (bytes), crc32, done or sha256."""
    dtype = np.dtype({"ids": f"S{header.id_bytes}", "crc32": "<u4", "done": "u1", "sha256": "u1"}[name])
    count = 32 if name == "sha256" else header.rows
    return np.frombuffer(os.pread(descriptor, count * dtype.itemsize, header.offsets[name]), dtype)


def digest(header: Header, descriptor: int) -> bytes:
    """SHA-256 over every byte before the features (header, ids, CRCs, states); its own 32 bytes count as zero."""
    start = header.offsets["sha256"]
    data = bytearray(os.pread(descriptor, header.offsets["features"], 0))
    data[start : start + 32] = bytes(32)
    return hashlib.sha256(data).digest()


def read_ids(header: Header, descriptor: int) -> tuple[str, ...]:
    """The ids of all rows, in row order; `DataError` where they are not what a writer of ours would have written."""
    try:
        ids = tuple(bytes(name).decode("utf-8") for name in read_array(header, descriptor, "ids"))
    except UnicodeDecodeError as error:
        raise _foreign(header.path, "its ids are not UTF-8") from error
    if len(set(ids)) != len(ids) or "" in ids:
        raise _foreign(header.path, "its ids are empty or repeat")
    return ids


def _encoded(path: Path, ids: Sequence[str]) -> npt.NDArray[np.bytes_]:
    names = [name.encode("utf-8", "surrogatepass") for name in ids]
    if not names:
        raise DataError(f"{path}: no pictures to make features of; expected at least one.")
    if len(set(names)) != len(names):
        raise DataError(f"{path}: received picture ids that repeat; expected each id once.")
    for name, text in zip(names, ids, strict=True):
        if not name or b"\0" in name or len(name) > 4096 or name.decode("utf-8", "replace") != text:
            raise DataError(
                f"{path}: received the picture name {text!r}; expected 1 to 4096 bytes of UTF-8; rename it."
            )
    return np.array(names)


def _write_empty(
    path: Path, names: npt.NDArray[np.bytes_], regions: int, size: int, encoder: str, flipped: bool, fill: Fill
) -> None:
    with h5py.File(
        path, "w", libver=("v108", "v108"), locking=False
    ) as file:  # v108: its header blocks carry checksums
        file.attrs["format"], file.attrs["version"] = np.bytes_(FORMAT), np.int64(VERSION)
        file.attrs["encoder"], file.attrs["flipped"] = np.bytes_(encoder.encode()), np.uint8(flipped)
        _allocate(file, "ids", (len(names),), h5py.string_dtype("utf-8", names.dtype.itemsize))
        _allocate(file, "crc32", (len(names),), np.dtype("<u4"))
        _allocate(file, "done", (len(names),), np.dtype("u1"))
        _allocate(file, "sha256", (32,), np.dtype("u1"))
        _allocate(file, "features", (len(names), regions, size), np.dtype("<f2"))
    header = read_header(path)
    with _descriptor(path, os.O_RDWR) as descriptor:
        os.posix_fallocate(descriptor, 0, os.fstat(descriptor).st_size)  # a full disk is found now, not after an hour
        os.pwrite(descriptor, names.tobytes(), header.offsets["ids"])
        fill(header, descriptor)
        os.fsync(descriptor)


def _allocate(file: h5py.File, name: str, shape: tuple[int, ...], dtype: np.dtype[np.generic]) -> None:
    """A contiguous dataset whose place in the file is fixed now; no zeros are written."""
    settings = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    settings.set_obj_track_times(False)  # the same pictures make the same bytes
    settings.set_layout(h5py.h5d.CONTIGUOUS)
    settings.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    settings.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    kind = h5py.h5t.py_create(dtype, logical=True)
    h5py.h5d.create(file.id, name.encode(), kind, h5py.h5s.create_simple(shape), settings)


def _header(path: Path, file: h5py.File) -> Header:
    if file.attrs.get("format") != FORMAT or file.attrs.get("version") != VERSION:
        raise _foreign(path, f"format {file.attrs.get('format')!r}, version {file.attrs.get('version')!r}")
    offsets = {name: _offset(path, file, name) for name in ARRAYS}
    features, ids = file["features"], file["ids"]
    wanted = {
        "crc32": ("<u4", ids.shape),
        "done": ("u1", ids.shape),
        "sha256": ("u1", (32,)),
        "features": ("<f2", None),
    }
    for name, (dtype, shape) in wanted.items():
        if file[name].dtype != np.dtype(dtype) or (shape or file[name].shape) != file[name].shape:
            raise _foreign(path, f"/{name} is {file[name].dtype} {file[name].shape}")
    if (
        ids.ndim != 1
        or ids.dtype.kind != "S"
        or features.ndim != 3
        or features.shape[0] != len(ids)
        or 0 in features.shape
    ):
        raise _foreign(path, f"/ids is {ids.dtype} {ids.shape}, /features {features.shape}")
    length = path.stat().st_size
    end = offsets["features"] + features.size * 2
    if end != length or max(offsets.values()) != offsets["features"]:
        raise _foreign(path, f"{length} bytes instead of {end}")
    encoder, flipped = file.attrs["encoder"], file.attrs["flipped"]
    if not isinstance(encoder, bytes) or flipped not in (0, 1):
        raise _foreign(path, f"encoder {encoder!r}, flipped {flipped!r}")
    rows, regions, size = features.shape
    return Header(path, encoder.decode(), bool(flipped), regions, size, rows, offsets, ids.dtype.itemsize)


def _offset(path: Path, file: h5py.File, name: str) -> int:
    """Where a dataset begins; refuses links and external storage, which could read other files of the host."""
    if not isinstance(file.get(name, getlink=True), h5py.HardLink):
        raise _foreign(path, f"/{name} is missing or a link to elsewhere")
    dataset = file[name]
    if not isinstance(dataset, h5py.Dataset):
        raise _foreign(path, f"/{name} is not an array")
    settings = dataset.id.get_create_plist()
    if settings.get_layout() != h5py.h5d.CONTIGUOUS or settings.get_external_count() or dataset.id.get_offset() is None:
        raise _foreign(path, f"/{name} is not stored in one piece inside the file")
    return int(dataset.id.get_offset())


def _foreign(path: Path, received: str) -> DataError:
    return DataError(f"{path}: {received}; expected a whole feature file; make it again with 'seesay features'.")


@contextlib.contextmanager
def _descriptor(path: Path, flags: int) -> Iterator[int]:
    descriptor = os.open(path, flags | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
