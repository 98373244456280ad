"""The run folder: where everything of a run lies, its log, and the lock that keeps a second writer out."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from seesay.arguments import path_of
from seesay.checkpoint import read_checkpoint
from seesay.errors import CheckpointError
from seesay.files import make_folder, remove_leftovers, writing


@dataclass(frozen=True, init=False)
class RunFolder:
    """Paths of one run. Nothing is made until `prepare`."""

    path: Path

    def __init__(self, path: Path | str) -> None:
        object.__setattr__(self, "path", path_of(path, "run", "a run folder, as text or a pathlib.Path"))

    @property
    def recipe(self) -> Path:
        """The effective settings, complete."""
        return self.path / "recipe.toml"

    @property
    def vocabulary(self) -> Path:
        """The words and their ids."""
        return self.path / "vocabulary.json"

    @property
    def frequencies(self) -> Path:
        """In how many pictures' captions n-grams occur, once a search by consensus has asked for it."""
        return self.path / "frequencies.json"

    @property
    def log(self) -> Path:
        """One JSON object a line; nothing in it depends on the clock."""
        return self.path / "log.jsonl"

    @property
    def timings(self) -> Path:
        """Seconds, apart from the log so that two equal runs have equal logs."""
        return self.path / "timings.jsonl"

    @property
    def last(self) -> Path:
        """The newest checkpoint."""
        return self.path / "checkpoints" / "last.safetensors"

    @property
    def best(self) -> Path:
        """The checkpoint with the best score on development data."""
        return self.path / "checkpoints" / "best.safetensors"

    def predictions(self, split: str, ending: str = "json") -> Path:
        """What a model said of a split: captions, with attention and per-picture scores, or tags, or labels."""
        return self.path / "predictions" / f"{split}.{ending}"

    def results(self, split: str) -> Path:
        """The first caption of each picture as a COCO result file, for other people's tools."""
        return self.path / "results" / f"{split}.json"

    def scores(self, split: str) -> Path:
        """Scores of a split."""
        return self.path / "scores" / f"{split}.json"

    def prepare(self) -> None:
        """Make the folders, and clear away what a killed writer left behind."""
        for part in ("checkpoints", "tensorboard"):
            make_folder(self.path / part)
        with writing(self.path):
            remove_leftovers(self.path)

    def begun(self) -> bool:
        """Whether a run lies here that has come further than its first checkpoint, or that cannot be told from one."""
        if not os.path.lexists(self.last):
            return os.path.lexists(self.log)
        try:
            return bool(read_checkpoint(self.last)[1]["progress"]["step"])
        except (CheckpointError, KeyError, TypeError):
            return True

    def clear(self) -> None:
        """Remove what a run that never came further than its first checkpoint has left."""
        with writing(self.path):
            for path in (
                self.frequencies,
                self.log,
                self.timings,
                self.best,
                self.last,
                *self.path.glob("tensorboard/events.*"),
            ):
                path.unlink(missing_ok=True)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder for writing; a second writer gets one line instead of a mixed-up run.

        A folder that was made for it goes again if it is still empty at the end.
        """
        lock, new = self.path / ".lock", not os.path.lexists(self.path)
        make_folder(self.path)
        with contextlib.ExitStack() as stack:
            if new:
                stack.callback(_if_possible, self.path.rmdir)  # a folder that is not empty stays
            with writing(lock):
                file = stack.enter_context(open(lock, "w", encoding="utf-8"))
            self._take(file, lock)
            stack.callback(_if_possible, lock.unlink)
            yield

    def _take(self, file: IO[str], lock: Path) -> None:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            held = os.path.samestat(os.fstat(file.fileno()), os.stat(lock))  # not one that its owner has just removed
        except OSError:
            held = False
        if not held:
            raise CheckpointError(f"{self.path}: another process is training into this folder; wait or stop it.")

    def append(self, path: Path, entry: Mapping[str, Any]) -> None:
        """Add one line to a .jsonl file of this folder; DataError where there is no room for it."""
        with writing(path), open(path, "a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")

    def log_size(self) -> int:
        """Bytes of the log, safe on the disk when this returns; a checkpoint remembers them."""
        if not self.log.exists():
            return 0
        with writing(self.log):
            with open(self.log, "rb") as file:
                os.fsync(file.fileno())
            return self.log.stat().st_size

    def cut_log(self, size: int) -> None:
        """Forget what was logged after the checkpoint that a run goes on from."""
        with writing(self.log):
            if self.log.exists() and self.log.stat().st_size > size:
                os.truncate(self.log, size)

    def newest(self) -> tuple[dict[str, Any], dict[str, Any], str]:
        """The arrays and header of the newest whole checkpoint, and a note on any that was refused."""
        try:
            return *read_checkpoint(self.last), ""
        except CheckpointError as fault:
            if not self.best.exists():
                raise
            return *read_checkpoint(self.best), f"{fault} Going on from {self.best.name}."


def _if_possible(remove: Callable[[], None]) -> None:
    with contextlib.suppress(OSError):
        remove()
