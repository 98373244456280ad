"""A folder of pictures to one feature file: reading, encoding and writing overlap, and a killed run resumes."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from seesay.arguments import path_of
from seesay.cores import usable_cores
from seesay.data.feature_writer import FeatureWriter, open_writer
from seesay.data.images import find_pictures, find_unread, open_picture, to_squares
from seesay.errors import DataError
from seesay.vision.encoders import Encoder, encoder_name, load_encoder

Progress = Callable[[int, int], None]


@dataclasses.dataclass(frozen=True)
class Summary:
    """What an extraction did: pictures made now, there already, and left out with the reason (id -> one line).

    `unread` counts by suffix what looks like a picture of a kind that is not read: such files are passed over.
    """

    made: int
    kept: int
    skipped: dict[str, str]
    unread: dict[str, int] = dataclasses.field(default_factory=dict)

    @property
    def nothing_to_do(self) -> bool:
        """Whether the file was complete already."""
        return self.made == 0 and not self.skipped


@dataclasses.dataclass(frozen=True)
class Batch:
    """Encoded pictures on their way to the file, and those that could not be read."""

    ids: list[str]
    features: npt.NDArray[np.float16]
    faults: dict[str, DataError]


def extract(
    folder: Path | str,
    output: Path | str,
    *,
    flipped: bool = False,
    mirrored: bool = False,
    two_scales: bool = False,
    batch_size: int = 8,
    on_bad: Literal["stop", "skip"] = "stop",
    progress: Progress = lambda done, total: None,
    encoder: Encoder | None = None,
    threads: int | None = None,
) -> Summary:
    """Writes the grid features of every picture under `folder` to `output`; ids are paths relative to the folder.

    They are of the pictures `flipped` left to right, or means over each and its mirror image (`mirrored`), and seen at
    `two_scales`, if asked.
    Each of `threads` (by default one a core) reads and encodes whole batches by itself; the caller's thread writes.
    `progress(done, total)` is called after each batch. With `on_bad="skip"` pictures that cannot be read are left out
    and listed; run again, they are tried again. Where pictures came or went since `output` was made, it follows, and
    the features of the others stay. Raises `DataError` for an empty folder, a bad picture (`"stop"`), and where
    `output` was begun with other settings or holds other pictures alone.
    """
    folder, output = path_of(folder, "pictures", "a folder of pictures"), path_of(output, "features")
    ids = [path.relative_to(folder).as_posix() for path in find_pictures(folder)]
    unread = dict(sorted(Counter(path.suffix.lower() for path in find_unread(folder)).items()))
    encoder = encoder or load_encoder(encoder_name(mirrored, two_scales), flipped)
    faults: dict[str, DataError] = {}
    with open_writer(output, ids, encoder.regions, encoder.size, encoder.name, encoder.flipped) as writer:
        missing = writer.missing()
        if not missing:
            writer.finish()  # a process killed at the very end has left it unsealed
            return Summary(0, len(ids), {}, unread)
        done = len(ids) - len(missing)
        progress(done, len(ids))
        for batch in _encoded(folder, missing, encoder, batch_size, threads or usable_cores()):
            _store(writer, batch, on_bad)
            faults.update(batch.faults)
            done += len(batch.ids) + len(batch.faults)
            progress(done, len(ids))
        if len(faults) == len(ids):
            raise DataError(f"{folder}: none of its {len(ids):,} pictures can be read; the first: {faults[ids[0]]}")
        writer.finish()
    skipped = {name: str(faults[name]) for name in sorted(faults)}
    return Summary(len(missing) - len(faults), len(ids) - len(missing), skipped, unread)


def _store(writer: FeatureWriter, batch: Batch, on_bad: str) -> None:
    writer.write(batch.ids, batch.features)
    for name, error in batch.faults.items():
        if on_bad == "stop":
            raise error
        writer.skip(name)


def _encoded(folder: Path, ids: list[str], encoder: Encoder, batch_size: int, threads: int) -> Iterator[Batch]:
    """Batches as they become ready; each thread encodes whole ones, and two a thread are under way at most."""
    parts = iter([ids[start : start + batch_size] for start in range(0, len(ids), batch_size)])
    with encoder.network.in_threads() as begin, ThreadPoolExecutor(threads, initializer=begin) as pool:
        running: list[Future[Batch]] = []  # in the order of the pictures
        try:
            while True:
                for part in parts:
                    running.append(pool.submit(_encode, folder, part, encoder))
                    if len(running) >= 2 * threads:
                        break
                if not running:
                    return
                ready = wait(running, return_when=FIRST_COMPLETED).done
                done, running = [f for f in running if f in ready], [f for f in running if f not in ready]
                for future in done:
                    yield future.result()
        finally:
            for future in running:
                future.cancel()


def _encode(folder: Path, ids: list[str], encoder: Encoder) -> Batch:
    squares, good, faults = [], [], {}
    for name in ids:
        try:
            squares.append(to_squares(open_picture(folder / name), encoder.sides))
            good.append(name)
        except DataError as error:
            faults[name] = error
    stacked = [np.stack(some) for some in zip(*squares, strict=True)] if squares else encoder.nothing()
    return Batch(good, encoder(*stacked), faults)
