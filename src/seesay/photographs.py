"""Photographs on their way to a model: opened one at a time, made square at once, and encoded a few together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Image

from seesay.data.images import open_picture, to_squares
from seesay.engines import Engine
from seesay.errors import DataError
from seesay.restoring import OF_ALL
from seesay.vision.encoders import Encoder, load_encoder

BATCH = 8  # photographs at a time: what is said of the first comes soon, and larger batches are hardly faster
OF_SIGHTED = OF_ALL | {"encoder": str, "model.feature_size": int}  # what a checkpoint must say to be shown photographs
Picture = Path | bytes | Image
Squares = tuple[NDArray[np.uint8], ...]  # a picture at each side that the encoder sees it at


class Seen(NamedTuple):
    """A few photographs, encoded."""

    places: tuple[int, ...]  # among all that are shown, from 0; those that cannot be read count too
    pictures: tuple[Picture, ...]
    features: NDArray[Any]  # (B, R, D)


class Sighted:
    """What every trained model that is shown photographs can do with them, whatever it says of them."""

    engine: Engine
    header: dict[str, Any]  # of the checkpoint

    @cached_property
    def encoder(self) -> Encoder:
        """The encoder whose features the model was trained on, loaded at first use."""
        return load_encoder(self.header["encoder"], engine=self.engine.name)

    def see(
        self, pictures: Iterable[Picture], on_bad: Callable[[DataError], None] | None = None, size: int = BATCH
    ) -> Iterator[Seen]:
        """The photographs (paths, the bytes of files, or opened ones), `size` at a time; one is opened at a time.

        Raises DataError for a picture that cannot be read; with `on_bad`, it is told there and left out.
        """
        some: list[tuple[int, Picture, Squares]] = []
        for place, picture in enumerate(pictures):
            try:
                squares = self._squares(picture)
            except DataError as fault:
                if on_bad is None:
                    raise
                on_bad(fault)
                continue
            some.append((place, picture, squares))
            if len(some) == size:
                yield self._encoded(some)
                some = []
        if some:
            yield self._encoded(some)

    def _squares(self, picture: Picture) -> Squares:
        """What the encoder sees of a photograph: all that is kept of it, as it may have 24 megapixels."""
        opened = picture if isinstance(picture, Image) else open_picture(picture)
        return to_squares(opened, self.encoder.sides)

    def _encoded(self, some: list[tuple[int, Picture, Squares]]) -> Seen:
        places, pictures, squares = zip(*some, strict=True)
        return Seen(places, pictures, self.encoder(*map(np.stack, zip(*squares, strict=True))))

    def check_features(self, features: NDArray[Any]) -> None:
        """Raises DataError unless features are (B, R, D), with the D of training."""
        size = self.header["model"]["feature_size"]
        if features.ndim != 3 or features.shape[2] != size:
            raise DataError(f"Features of shape {features.shape}; expected (pictures, regions, {size}) as in training.")
