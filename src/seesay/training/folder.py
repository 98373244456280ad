"""The run folder: where everything of a run lies, its log, and the lock that keeps a second writer out."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seesay.checkpoint import read_checkpoint
from seesay.errors import CheckpointError
from seesay.files import remove_leftovers


@dataclass(frozen=True)
class RunFolder:
    """Paths of one run. Nothing is made until `prepare`."""

    path: Path

    @property
    def recipe(self) -> Path:
        """The effective settings, complete."""
        return self.path / "recipe.toml"

    @property
    def vocabulary(self) -> Path:
        """The words and their ids."""
        return self.path / "vocabulary.json"

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

    def predictions(self, split: str) -> Path:
        """Captions of a split, with attention and per-picture scores."""
        return self.path / "predictions" / f"{split}.json"

    def results(self, split: str) -> Path:
        """The first caption of each picture as a COCO result file, for other people's tools."""
        return self.path / "results" / f"{split}.json"

    def scores(self, split: str) -> Path:
        """Scores of a split."""
        return self.path / "scores" / f"{split}.json"

    def prepare(self) -> None:
        """Make the folders, and clear away what a killed writer left behind."""
        for part in ("checkpoints", "tensorboard"):
            (self.path / part).mkdir(parents=True, exist_ok=True)
        remove_leftovers(self.path)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder for writing; a second writer gets one line instead of a mixed-up run."""
        self.path.mkdir(parents=True, exist_ok=True)
        with open(self.path / ".lock", "w", encoding="utf-8") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise CheckpointError(
                    f"{self.path}: another process is training into this folder; wait or stop it."
                ) from None
            yield

    def append(self, path: Path, entry: Mapping[str, Any]) -> None:
        """Add one line to a .jsonl file of this folder."""
        with open(path, "a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")

    def log_size(self) -> int:
        """Bytes of the log, safe on the disk when this returns; a checkpoint remembers them."""
        if not self.log.exists():
            return 0
        with open(self.log, "rb") as file:
            os.fsync(file.fileno())
        return self.log.stat().st_size

    def cut_log(self, size: int) -> None:
        """Forget what was logged after the checkpoint that a run goes on from."""
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
