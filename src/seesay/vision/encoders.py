"""Picture encoders: uint8 pixels in, float16 grid features out, by torch or by NumPy alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from seesay.errors import MissingPart, RecipeError, UnknownName
from seesay.vision import efficientnet, efficientnet_numpy
from seesay.vision.efficientnet import fold
from seesay.vision.weights import read_weights, weights_path

NAME = f"efficientnet-lite0@{efficientnet.SIDE}"
NAME_OF_TWO = f"{NAME},{2 * efficientnet.SIDE}"  # at two scales
MIRRORED = "+mirrored"  # behind either name: the mean of what is seen of a picture and of its mirror image
KNOWN = (NAME, NAME + MIRRORED, NAME_OF_TWO, NAME_OF_TWO + MIRRORED)
ENGINES = ("numpy", "torch")


class Network(Protocol):
    """What computes the features; calls from several threads are allowed."""

    engine: str

    def features(self, pixels: NDArray[np.uint8], /) -> NDArray[np.float16]:
        """Of uint8 (B, side, side, 3), `side` a multiple of 32, the grids, float16 (B, (side / 32) ** 2, channels)."""

    def in_threads(self) -> AbstractContextManager[Callable[[], None]]:
        """To be open while several threads encode whole batches each; gives what a thread calls before its first."""


class Encoder:
    """Pictures to grid features: called with uint8 (B, side, side, 3) for each of its `sides`, gives float16
    (B, regions, size).

    `name` says which network at which sides, `precision` in which it computes, `flipped` whether pictures are mirrored
    left to right first. With `two_scales`, pictures come at twice the side as well, and behind a region's own numbers
    stand the means of the four smaller regions that the larger picture has there: small things are seen too, for five
    times the work. With `mirrored`, features are the mean of those of the picture and of its mirror
    image, turned back: truer ones, for twice the work. Regions run row by row from the top left. A picture's features
    do not depend on its neighbours in the batch. Those by torch and by NumPy are the same but for the last bit of one
    number in some hundreds: so are `name` and `precision`, and files made by one engine serve the other. Calls from
    several threads are allowed.
    """

    precision = "float32"
    regions = efficientnet.GRID**2

    def __init__(
        self, network: Network, *, flipped: bool = False, mirrored: bool = False, two_scales: bool = False
    ) -> None:
        if flipped and mirrored:
            raise RecipeError(
                "--flipped, --with-mirrored: received both; expected one of them, as the mean of a picture and its "
                "mirror image shows nothing new when it is mirrored itself; leave one out."
            )
        self.network = network
        self.flipped, self.mirrored = flipped, mirrored
        self.name = encoder_name(mirrored, two_scales)
        self.sides = (efficientnet.SIDE, 2 * efficientnet.SIDE)[: 1 + two_scales]
        self.size = efficientnet.CHANNELS * len(self.sides)

    def __call__(self, *pixels: NDArray[np.uint8]) -> NDArray[np.float16]:
        """The grid features of pictures; `ValueError` for pixels of another shape or type."""
        count = pixels[0].shape[:1] if pixels else ()
        fits = [some.shape for some in pixels] == [(*count, side, side, 3) for side in self.sides]
        if not fits or any(some.dtype != np.uint8 for some in pixels):
            received = " and ".join(f"{some.dtype} {some.shape}" for some in pixels)
            expected = " and ".join(f"uint8 (B, {side}, {side}, 3)" for side in self.sides)
            raise ValueError(f"received {received}; expected {expected}")
        if not self.mirrored:
            return self._grids([some[:, :, ::-1] for some in pixels] if self.flipped else pixels)
        plain, other = self._grids(pixels), self._grids([some[:, :, ::-1] for some in pixels])
        return ((plain.astype(np.float32) + _turned(other)) / 2).astype(np.float16)

    def _grids(self, pixels: Sequence[NDArray[np.uint8]]) -> NDArray[np.float16]:
        own, *finer = (self.network.features(some) for some in pixels)
        return np.concatenate([own, *map(_joined, finer)], axis=2) if finer else own

    def nothing(self) -> list[NDArray[np.uint8]]:
        """What it is called with for no picture at all."""
        return [np.empty((0, side, side, 3), np.uint8) for side in self.sides]


def encoder_name(mirrored: bool = False, two_scales: bool = False) -> str:
    """The name of the encoder that sees pictures so: what features that one run may use have in common.

    >>> encoder_name(mirrored=True)
    'efficientnet-lite0@224+mirrored'
    """
    return (NAME_OF_TWO if two_scales else NAME) + MIRRORED * mirrored


def _joined(features: NDArray[np.float16]) -> NDArray[np.float16]:
    """Grids of half as many regions a side, each the mean of four."""
    grid, size = efficientnet.GRID, features.shape[2]
    rows = features.reshape(len(features), grid, 2, grid, 2, size).astype(np.float32)
    return rows.mean((2, 4)).reshape(len(features), grid * grid, size).astype(np.float16)


def _turned(features: NDArray[np.float16]) -> NDArray[np.float32]:
    """Grids with left and right exchanged."""
    grid = efficientnet.GRID
    columns = features.reshape(len(features), grid, grid, features.shape[2])[:, :, ::-1]
    return columns.reshape(features.shape).astype(np.float32)


def load_encoder(name: str = NAME, flipped: bool = False, engine: str | None = None) -> Encoder:
    """The encoder of that name with its trained weights, computed by `engine`: "torch" or "numpy".

    The name is one that feature files and runs say; without "@" it is that of plain pictures. By default the engine is
    torch where it is installed, as it is about twice as fast, else NumPy. Raises `UnknownName`, `RecipeError` for a
    mean over mirror images that is to be flipped itself, `MissingPart` where the package with the weights is not
    installed or torch is asked for and not there, and `CheckpointError` where the weight file is not the one known
    here (pinned SHA-256).

    >>> load_encoder(engine="numpy")(np.zeros((1, 224, 224, 3), np.uint8)).shape
    (1, 49, 1280)
    """
    name = NAME if name == NAME.partition("@")[0] else name
    if name not in KNOWN:
        raise UnknownName("encoder", name, KNOWN)
    if engine not in (None, *ENGINES):
        raise UnknownName("engine", str(engine), ENGINES)
    return Encoder(
        _network(engine),
        flipped=flipped,
        mirrored=name.endswith(MIRRORED),
        two_scales=name.startswith(NAME_OF_TWO),
    )


def _network(engine: str | None) -> Network:
    layers = fold(read_weights(weights_path()))
    if engine == "numpy":
        return efficientnet_numpy.EfficientNetLite0(layers)
    try:
        from seesay.vision import efficientnet_torch
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        if engine == "torch":
            raise MissingPart(
                "engine torch: torch is not installed; expected the package torch; run 'pip install torch', or use the "
                "engine numpy."
            ) from error
        return efficientnet_numpy.EfficientNetLite0(layers)
    return efficientnet_torch.EfficientNetLite0(layers)
