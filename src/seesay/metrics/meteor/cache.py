"""Where METEOR's packed data lies, and how it gets there."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from pathlib import Path

from seesay.errors import MissingPart
from seesay.metrics.meteor.store import Arrays, is_whole, map_arrays, write_arrays

_NAME = "meteor-1.5-en-1.bin"


class MeteorMissing(MissingPart):
    """METEOR's data, which the pycocoevalcap wheel holds, is not installed."""


def open_cache(path: Path | None, progress: Callable[[str], None]) -> Arrays:
    """The packed data at `path` (or in the user's cache folder), built first where it is absent or damaged."""
    path = path or cache_folder() / _NAME
    if not is_whole(path):
        from seesay.metrics.meteor.pack import pack  # needed once in the life of a cache

        write_arrays(path, pack(find_source(), progress))
        progress(f"METEOR: packed data written to {path}")
    return map_arrays(path)


def cache_folder() -> Path:
    """$SEESAY_CACHE, else $XDG_CACHE_HOME/seesay, else ~/.cache/seesay."""
    if chosen := os.environ.get("SEESAY_CACHE"):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "seesay"


def find_source() -> Path:
    """The folder of METEOR's files in the installed pycocoevalcap, which is not imported: it would want Java.

    Raises MeteorMissing where there is none.
    """
    spec = importlib.util.find_spec("pycocoevalcap")
    for folder in (spec and spec.submodule_search_locations) or ():
        source = Path(folder) / "meteor"
        if (source / "meteor-1.5.jar").is_file() and (source / "data" / "paraphrase-en.gz").is_file():
            return source
    raise MeteorMissing(
        "METEOR: its data is missing (the package pycocoevalcap); run pip install 'seesay[meteor]' to have it."
    )
