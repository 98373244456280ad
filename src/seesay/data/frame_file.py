"""Files of frames: npz or HDF5, with two arrays for each sequence.

    NAME/frames   (T, D)  numbers
    NAME/labels   (T,)    text, or whole numbers, which become text

NumPy writes one with `np.savez(path, **{"one/frames": x, "one/labels": y})`, h5py with `file["one/frames"] = x`.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from seesay.data.frames import Frames
from seesay.errors import DataError

ENDINGS = (".npz", ".h5", ".hdf5")
LARGEST = 1 << 32  # bytes that the arrays of one file may take: a small packed file can claim any number
_DEEPEST = 8  # groups within groups; hard links can go round in a circle
_LAYOUT = "expected NAME/frames (T, D) of numbers and NAME/labels (T,), text or whole numbers, for each sequence"
_TEXT, _BREAKS = "iuU", re.compile("[\t\n\r]")  # kinds of labels; what would end a column where labels are written

Arrays = dict[str, NDArray[Any]]


def read_frames(path: Path | str, told: Callable[[str], None] | None = None, *, labelled: bool = True) -> list[Frames]:
    """The sequences of an npz or HDF5 file, in the order of their names; not `labelled`, each label is empty.

    Raises DataError in one line that names the file and the sequence: frames and labels that are not equally many,
    frames of another size than those before or that are not finite, an array that is missing or of another kind, a file
    that is neither. With `told` such a sequence is left out instead, one without a frame too, and `told` hears why.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "train.npz")
    ...     np.savez(path, **{"a/frames": np.ones((2, 3)), "a/labels": np.array(["x", "y"])})
    ...     [(one.name, one.frames.shape, one.tags) for one in read_frames(path)]
    [('a', (2, 3), ('x', 'y'))]
    """
    path = Path(path)
    arrays = _arrays(path)
    found: list[Frames] = []
    for name in sorted({name.rpartition("/")[0] for name in arrays}):
        where = f"{path}: sequence '{name:.60}'"
        try:
            if not labelled and f"{name}/frames" in arrays:
                arrays[f"{name}/labels"] = np.full(arrays[f"{name}/frames"].shape[:1], "_")
            one = _sequence(where, name, arrays, found[0].frames.shape[1] if found else None)
            one = one if labelled else one._replace(tags=("",) * len(one.tags))
            if told and not one.tags:
                raise DataError(f"{where}: received no frame; expected one at least; leave it out.")
            found.append(one)
        except DataError as fault:
            if told is None:
                raise
            told(str(fault))
    if not any(len(one.frames) for one in found):
        raise DataError(f"{path}: received no frame; {_LAYOUT}; check the file.")
    return found


def _sequence(where: str, name: str, arrays: Arrays, size: int | None) -> Frames:
    """One sequence, checked; its frames must have `size` numbers, if that is known."""
    frames, labels = arrays.get(f"{name}/frames"), arrays.get(f"{name}/labels")
    if frames is None or labels is None:
        raise DataError(f"{where}: received no {'frames' if frames is None else 'labels'}; {_LAYOUT}; add them.")
    told = labels.dtype.kind in _TEXT or not labels.size  # np.array([]) is of fractions
    if frames.ndim != 2 or frames.dtype.kind not in "biuf" or labels.ndim != 1 or not told:
        raise DataError(
            f"{where}: received frames {frames.shape} of {frames.dtype} and labels {labels.shape} of {labels.dtype}; "
            f"{_LAYOUT}; write them so."
        )
    if len(frames) != len(labels):
        raise DataError(
            f"{where}: received {len(frames):,} frames and {len(labels):,} labels; expected a label for each frame; "
            "correct it or leave it out."
        )
    if not frames.shape[1] or frames.shape[1] != (size or frames.shape[1]):
        raise DataError(
            f"{where}: received {frames.shape[1]} numbers a frame; expected {size or 'one at least'}, as all sequences "
            "of a file have; make them alike."
        )
    with np.errstate(over="ignore"):  # told below
        real = np.asarray(frames, dtype=np.float32)
    if not np.isfinite(real).all():
        raise DataError(
            f"{where}: received a number that is not finite in single precision; expected finite ones; correct it."
        )
    texts = tuple(str(label) for label in labels.tolist())
    if not all(map(str.strip, texts)):
        raise DataError(f"{where}: received an empty label; expected text or a whole number; fill it in.")
    if wrong := next(filter(_BREAKS.search, (name, *texts)), None):
        raise DataError(
            f"{where}: received {wrong[:40]!r}; expected names and labels of one line without a tab; rename."
        )
    return Frames(name, real, texts)


def _arrays(path: Path) -> Arrays:
    """Every array of a file by its name, as large as it says."""
    try:
        if path.suffix == ".npz":
            with zipfile.ZipFile(path) as archive:
                return _unpacked(path, archive)
        with h5py.File(path, "r", locking=False) as file:
            found = dict(_datasets(path, file, "", 0))
            _check_size(path, sum(dataset.nbytes for dataset in found.values()))
            return {name: _read(dataset) for name, dataset in found.items()}
    except DataError:
        raise
    except FileNotFoundError:
        raise DataError(f"{path}: not found; expected frames in npz or HDF5; check the path.") from None
    except Exception as fault:  # damage shows as OSError, KeyError, ValueError, RuntimeError, BadZipFile and others
        raise DataError(
            f"{path}: cannot be read ({str(fault)[:80]}); expected frames in npz or HDF5; write or download it again."
        ) from None


def _unpacked(path: Path, archive: zipfile.ZipFile) -> Arrays:
    names = [name for name in archive.namelist() if name.endswith(".npy")]
    total = 0
    for name in names:
        with archive.open(name) as member:
            shape, _, dtype = _header(member)
        if dtype.hasobject:
            raise DataError(f"{path}: received objects in '{name:.60}'; expected numbers or text, written as such.")
        total += dtype.itemsize * int(np.prod(shape, dtype=object))
    _check_size(path, total)
    found: Arrays = {}
    for name in names:
        with archive.open(name) as member:
            found[name.removesuffix(".npy")] = npy.read_array(member, allow_pickle=False)
    return found


def _header(member: Any) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, order and type that an array in a file says it has."""
    if npy.read_magic(member) == (1, 0):
        return npy.read_array_header_1_0(member)
    return npy.read_array_header_2_0(member)


def _datasets(path: Path, group: h5py.Group, prefix: str, depth: int) -> Iterator[tuple[str, h5py.Dataset]]:
    """The arrays of an HDF5 file; links and arrays that lie outside of it are refused: they may be anyone's."""
    for key in group:
        name = f"{prefix}{key}"
        item = group[key] if isinstance(group.get(key, getlink=True), h5py.HardLink) else None
        outside = isinstance(item, h5py.Dataset) and (item.external or item.is_virtual)
        if item is None or outside or depth > _DEEPEST:
            raise DataError(f"{path}: received '{name:.60}', which lies elsewhere; expected arrays in the file itself.")
        if isinstance(item, h5py.Dataset):
            yield name, item
        else:
            yield from _datasets(path, item, f"{name}/", depth + 1)


def _read(dataset: h5py.Dataset) -> NDArray[Any]:
    text = h5py.check_string_dtype(dataset.dtype) is not None
    return np.asarray(dataset.asstr()[()], dtype=str) if text else np.asarray(dataset[()])


def _check_size(path: Path, size: int) -> None:
    if size > LARGEST:
        raise DataError(f"{path}: received arrays of {size:,} bytes; expected at most {LARGEST:,}; split the file.")
