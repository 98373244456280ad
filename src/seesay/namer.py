"""A trained namer in use: from photographs or features to how likely a picture shows each of many concepts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seesay.engines import Engine
from seesay.errors import DataError
from seesay.photographs import OF_SIGHTED, Picture, Sighted
from seesay.restoring import open_run
from seesay.text.concepts import ConceptWords

AT_ONCE = 50  # pictures whose features go through the model together
_HEADER = {"task": str} | OF_SIGHTED  # what a checkpoint must say of itself to be used


@dataclass(frozen=True)
class Namer(Sighted):
    """A model with its concepts; make one with `Namer.open(run)`."""

    engine: Engine
    model: Any  # as the engine built it
    concepts: ConceptWords
    header: dict[str, Any]  # of the checkpoint
    device: str = "cpu"

    @classmethod
    def open(cls, run: Path | str, device: str = "cpu") -> Namer:
        """Read the best checkpoint of a run folder, or a given checkpoint file within one."""
        opened = open_run(run, "concepts", _HEADER, ConceptWords.load)
        sizes = {"feature_size": opened.header["model"]["feature_size"], "concept_count": len(opened.words)}
        engine, model = opened.restore(sizes, None, device)
        return cls(engine, model, opened.words, opened.header, device)

    @property
    def words(self) -> tuple[str, ...]:
        """The C concepts, in the order of the probabilities."""
        return self.concepts.words

    @property
    def digest(self) -> str:
        """The SHA-256 of the concepts, as hexadecimal: equal exactly when probabilities are of the same concepts."""
        return self.concepts.digest

    def probabilities(self, features: NDArray[Any], mask: NDArray[np.bool_] | None = None) -> NDArray[np.float32]:
        """How likely pictures with features (B, R, D) show each concept: (B, C), whatever the other pictures are.

        `mask` (B, R) says which regions are real, all by default. Raises DataError for features of another shape than
        in training, and for a picture without a region.
        """
        self.check_features(features)
        mask = np.ones(features.shape[:2], dtype=bool) if mask is None else mask
        found = np.empty((len(features), len(self.words)), dtype=np.float32)
        for start in range(0, len(features), AT_ONCE):
            some = slice(start, start + AT_ONCE)
            found[some] = self.engine.concepts(self.model, features[some], mask[some], self.device)
        return found

    def name(self, pictures: Sequence[Picture], top: int = 10) -> list[list[tuple[str, float]]]:
        """The likeliest concepts of photographs (paths, the bytes of files, or opened ones), each with its probability.

        Raises DataError for a picture that cannot be read.
        """
        return [named for _, named in self.stream(pictures, top)]

    def stream(
        self, pictures: Iterable[Picture], top: int = 10, on_bad: Callable[[DataError], None] | None = None
    ) -> Iterator[tuple[Picture, list[tuple[str, float]]]]:
        """Each photograph with its `top` likeliest concepts, as they come; a few photographs are open at a time.

        With `on_bad`, a picture that cannot be read is told there and left out.
        """
        for seen in self.see(pictures, on_bad):
            rows = self.probabilities(seen.features)
            yield from zip(seen.pictures, [self.likeliest(row, top) for row in rows], strict=True)

    def likeliest(self, probabilities: NDArray[np.float32], top: int = 10) -> list[tuple[str, float]]:
        """The `top` concepts of one picture's probabilities (C,), the likeliest first, the more frequent of equals."""
        order = np.argsort(-probabilities, kind="stable")[:top]
        return [(self.words[i], float(probabilities[i])) for i in order.tolist()]
