"""Photographs on their way to a model: opened one at a time, made square at once, and encoded a few together."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Image

from seesay.arguments import listed, path_of, shortened
from seesay.data.images import as_seen, open_picture, to_squares
from seesay.engines import Engine
from seesay.errors import CheckpointError, DataError, UnknownName
from seesay.restoring import OF_ALL
from seesay.vision.encoders import Encoder, load_encoder

BATCH = 8  # photographs at a time: what is said of the first comes soon, and larger batches are hardly faster
OF_SIGHTED = OF_ALL | {"encoder": str, "model.feature_size": int}  # what a checkpoint must say to be shown photographs
Picture = str | os.PathLike[str] | bytes | Image
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
        """The encoder whose features the model was trained on, loaded at first use; CheckpointError for another's."""
        try:
            return load_encoder(self.header["encoder"], engine=self.engine.name)
        except UnknownName:
            name = self.header["encoder"]
            raise CheckpointError(
                f"encoder: received '{name}', which made the features that the model was trained on; expected one of "
                "seesay's own, to show it photographs; make features with that encoder, and have 'seesay evaluate' "
                "describe these."
            ) from None

    def see(
        self, pictures: Iterable[Picture], on_bad: Callable[[DataError], None] | None = None, size: int = BATCH
    ) -> Iterator[Seen]:
        """The photographs (paths, the bytes of files, or opened ones), `size` at a time; one is opened at a time.

        Raises DataError for a picture that cannot be read; with `on_bad`, it is told there and left out.
        """
        some: list[tuple[int, Picture, Squares]] = []
        for place, picture in enumerate(_several(pictures)):
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
        return to_squares(_opened(picture), self.encoder.sides)

    def _encoded(self, some: list[tuple[int, Picture, Squares]]) -> Seen:
        places, pictures, squares = zip(*some, strict=True)
        return Seen(places, pictures, self.encoder(*map(np.stack, zip(*squares, strict=True))))

    def check_features(self, features: NDArray[Any]) -> None:
        """Raises DataError unless features are (B, R, D), with the D of training."""
        size = self.header["model"]["feature_size"]
        if not isinstance(features, np.ndarray):
            raise DataError(f"features: received {shortened(features)}; expected an array (pictures, regions, {size}).")
        if features.ndim != 3 or features.shape[2] != size:
            raise DataError(f"Features of shape {features.shape}; expected (pictures, regions, {size}) as in training.")


def _several(pictures: Iterable[Picture]) -> Iterable[Picture]:
    """The same, unless it is a single picture, whose letters or bytes would be taken for pictures."""
    if isinstance(pictures, str | bytes | os.PathLike | Image) or not isinstance(pictures, Iterable):
        return listed(pictures, "pictures", "a list of pictures")
    return pictures


def _opened(picture: Picture) -> Image:
    """The picture, whatever it comes as; DataError for what is none."""
    if isinstance(picture, Image):
        try:
            return as_seen(picture)
        except (OSError, ValueError, SyntaxError) as fault:  # closed, or its file is damaged
            reason = str(fault) or type(fault).__name__
            raise DataError(f"picture: cannot be read ({reason}); expected an opened one; open it again.") from None
    if isinstance(picture, bytes):
        return open_picture(picture)
    return open_picture(path_of(picture, "picture", "a path, the bytes of a file or an opened picture"))
