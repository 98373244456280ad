"""A trained namer in use: from photographs or features to how likely a picture shows each of many concepts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Image

from seesay.checkpoint import read_checkpoint
from seesay.data.images import open_picture, to_square
from seesay.engines import Engine
from seesay.errors import DataError
from seesay.restoring import best_of, check_header, restore, words_of
from seesay.text.concepts import ConceptWords
from seesay.vision.encoders import Encoder, load_encoder

BATCH = 8  # photographs at a time: the first are told soon, and larger batches are hardly faster
AT_ONCE = 50  # pictures whose features go through the model together
Picture = Path | bytes | Image
_HEADER = {  # what a checkpoint must say of itself to be used
    "task": str,
    "vocabulary": str,
    "encoder": str,
    "model.name": str,
    "model.settings": dict,
    "model.feature_size": int,
    "progress.step": int,
}


@dataclass(frozen=True)
class Namer:
    """A model with its concepts; make one with `Namer.open(run)`."""

    engine: Engine
    model: Any  # as the engine built it
    concepts: ConceptWords
    header: dict[str, Any]  # of the checkpoint
    device: str = "cpu"

    @classmethod
    def open(cls, run: Path, device: str = "cpu") -> Namer:
        """Read the best checkpoint of a run folder, or a given checkpoint file within one."""
        file = best_of(run)
        arrays, header = read_checkpoint(file)
        check_header(header, _HEADER, "concepts", file)
        concepts = words_of(file, header, ConceptWords.load)
        sizes = {"feature_size": header["model"]["feature_size"], "concept_count": len(concepts)}
        engine, model = restore("concepts", file, arrays, header, sizes, None, device)
        return cls(engine, model, concepts, header, device)

    @property
    def words(self) -> tuple[str, ...]:
        """The C concepts, in the order of the probabilities."""
        return self.concepts.words

    @property
    def digest(self) -> str:
        """The SHA-256 of the concepts, as hexadecimal: equal exactly when probabilities are of the same concepts."""
        return self.concepts.digest

    @cached_property
    def encoder(self) -> Encoder:
        """The encoder whose features the model was trained on, loaded at first use."""
        return load_encoder(self.header["encoder"].partition("@")[0], engine=self.engine.name)

    def probabilities(self, features: NDArray[Any], mask: NDArray[np.bool_] | None = None) -> NDArray[np.float32]:
        """How likely pictures with features (B, R, D) show each concept: (B, C), whatever the other pictures are.

        `mask` (B, R) says which regions are real, all by default. Raises DataError for features of another shape than
        in training, and for a picture without a region.
        """
        size = self.header["model"]["feature_size"]
        if features.ndim != 3 or features.shape[2] != size:
            raise DataError(f"Features of shape {features.shape}; expected (pictures, regions, {size}) as in training.")
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
        batch: list[tuple[Picture, NDArray[np.uint8]]] = []
        for picture in pictures:
            try:
                opened = picture if isinstance(picture, Image) else open_picture(picture)
                batch.append((picture, to_square(opened, self.encoder.side)))
            except DataError as fault:
                if on_bad is None:
                    raise
                on_bad(fault)
                continue
            if len(batch) == BATCH:
                yield from self._named(batch, top)
                batch = []
        if batch:
            yield from self._named(batch, top)

    def _named(
        self, batch: list[tuple[Picture, NDArray[np.uint8]]], top: int
    ) -> Iterator[tuple[Picture, list[tuple[str, float]]]]:
        pictures, squares = zip(*batch, strict=True)
        rows = self.probabilities(self.encoder(np.stack(squares)))
        return zip(pictures, [self.likeliest(row, top) for row in rows], strict=True)

    def likeliest(self, probabilities: NDArray[np.float32], top: int = 10) -> list[tuple[str, float]]:
        """The `top` concepts of one picture's probabilities (C,), the likeliest first, the more frequent of equals."""
        order = np.argsort(-probabilities, kind="stable")[:top]
        return [(self.words[i], float(probabilities[i])) for i in order.tolist()]
