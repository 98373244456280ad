"""Photographs and attention maps as small `data:` pictures, so that a page needs no other file."""

from __future__ import annotations

import base64
import io
import math

import numpy as np
import numpy.typing as npt
from PIL import Image

Floats = npt.NDArray[np.float64]

SHADES = 64  # of a heat map: more make the file larger and look the same
SIDE = 42  # pixels of a heat map's side: the browser's own smoothing does the rest
FLAT = 0.25  # a map whose dimmest cell is within a quarter of its brightest is shown as nearly flat, not stretched

# (level, red, green, blue, alpha): a dark veil where the model did not look, clear with a warm glow where it did
RAMP = (
    (0.0, 10, 12, 30, 168),
    (0.3, 30, 18, 60, 132),
    (0.55, 176, 52, 46, 80),
    (0.78, 255, 148, 40, 72),
    (1.0, 255, 214, 110, 88),
)


def grid_side(regions: int) -> int | None:
    """The side of a square grid of that many regions, or None when they form none.

    >>> grid_side(49), grid_side(36), grid_side(50)
    (7, 6, None)
    """
    side = math.isqrt(regions)
    return side if side and side * side == regions else None


def levels(weights: Floats, side: int = SIDE) -> npt.NDArray[np.uint8]:
    """One word's attention over a square grid, (R,), as a (side, side) map of 0 to 255.

    The most attended cell gets 255 and the least attended 0, unless they are nearly the same: then the map stays
    nearly flat and bright, for the model looked everywhere and the picture must not pretend otherwise.
    """
    cells = grid_side(weights.size)
    if cells is None:
        raise ValueError(f"{weights.size} regions are not a square grid")
    top = float(weights.max())
    span = max(top - float(weights.min()), FLAT * top)
    scaled = 1.0 - (top - weights) / span if span > 0 else np.ones_like(weights)
    grid = Image.fromarray(scaled.reshape(cells, cells).astype(np.float32))
    smooth = np.asarray(grid.resize((side, side), Image.Resampling.BICUBIC))
    return (np.clip(smooth, 0.0, 1.0) * 255).round().astype(np.uint8)


def heat_png(weights: Floats, side: int = SIDE) -> bytes:
    """One word's attention, (R,), as a (side, side) PNG with transparency, to be stretched over the whole photograph.

    Pictures are squashed to a square before the features are taken, so the stretched grid fits the photograph.
    """
    image = Image.fromarray((levels(weights, side) * ((SHADES - 1) / 255)).round().astype(np.uint8))
    image.putpalette(_RGBA[:, :3].tobytes())
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True, transparency=_RGBA[:, 3].tobytes())
    return buffer.getvalue()


def spread(weights: Floats) -> float:
    """Over how many cells a word's attention is spread: the exponential of its entropy, 1 to R.

    >>> round(spread(np.full(49, 1 / 49)), 6), spread(np.eye(49)[3])
    (49.0, 1.0)
    """
    total = float(weights.sum())
    if total <= 0:
        return float(weights.size)
    share = weights[weights > 0] / total
    return float(np.exp(-(share * np.log(share)).sum()))


def jpeg(picture: Image.Image, longest: int, quality: int) -> tuple[bytes, int, int]:
    """A picture as JPEG, shrunk (never enlarged) to `longest` pixels; with its width and height."""
    scale = min(1.0, longest / max(picture.size))
    width, height = (max(1, round(length * scale)) for length in picture.size)
    small = picture if scale == 1.0 else picture.resize((width, height), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=quality, optimize=True, progressive=True)
    return buffer.getvalue(), width, height


def data_uri(content: bytes, kind: str) -> str:
    """Bytes as a `data:` address.

    >>> data_uri(b"seesay", "image/png")
    'data:image/png;base64,c2Vlc2F5'
    """
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"


def _ramp() -> npt.NDArray[np.uint8]:
    """The colours of all shades, (SHADES, 4), between the stops of RAMP."""
    stops = np.array(RAMP)
    where = np.linspace(0, 1, SHADES)
    channels = [np.interp(where, stops[:, 0], stops[:, channel]) for channel in range(1, 5)]
    return np.stack(channels, axis=1).round().astype(np.uint8)


_RGBA = _ramp()
