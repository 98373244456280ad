"""Where METEOR's packed data lies, and how it gets there."""

from __future__ import annotations

import fcntl
import importlib.util
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from seesay.errors import DataError, MissingPart
from seesay.files import cache_folder
from seesay.metrics.meteor.store import Arrays, is_whole, map_arrays, write_arrays

_NAME = "meteor-1.5-en-2.bin"


class MeteorMissing(MissingPart):
    """METEOR's data, which the pycocoevalcap wheel holds, is not installed."""


def open_cache(path: Path | None, progress: Callable[[str], None]) -> Arrays:
    """The packed data at `path` (or in the user's cache folder), built first where it is absent or damaged."""
    path = path or cache_folder() / _NAME
    if not is_whole(path):
        source = find_source()
        with _alone(path):
            if not is_whole(path):  # another process may have built it meanwhile
                from seesay.metrics.meteor.pack import pack  # needed once in the life of a cache

                try:
                    write_arrays(path, pack(source, progress))
                except DataError as fault:  # other metrics are still worth having
                    raise MeteorMissing(str(fault)) from None
                progress(f"METEOR: packed data written to {path}\n")
    return map_arrays(path)


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """One process builds at a time: it takes most of a minute and half a gigabyte."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = path.with_suffix(".lock").open("w")
    except OSError as fault:
        raise MeteorMissing(
            f"{path}: cannot be written ({fault.strerror}); expected a writable folder; set SEESAY_CACHE to one."
        ) from None
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def find_source() -> Path:
    """The folder of METEOR's files in the installed pycocoevalcap, which is not imported: it would want Java.

    Raises MeteorMissing where there is none.
    """
    spec = importlib.util.find_spec("pycocoevalcap")
    for folder in (spec and spec.submodule_search_locations) or ():
        source = Path(folder) / "meteor"
        if (source / "meteor-1.5.jar").is_file() and (source / "data" / "paraphrase-en.gz").is_file():
            return source
    raise MeteorMissing("its data is missing (the package pycocoevalcap); run pip install 'seesay[meteor]' to have it.")
