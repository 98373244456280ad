"""Pictures opened safely, upright and in colour: whatever the file, an RGB picture or one line saying what is wrong."""

from __future__ import annotations

import io
import os
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import product
from pathlib import Path

import numpy as np
import numpy.typing as npt

# Imported by name, because Pillow otherwise loads all of its plugins at the first WebP.
from PIL import (  # noqa: F401
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    JpegImagePlugin,
    PngImagePlugin,
    UnidentifiedImageError,
    WebPImagePlugin,
)
from PIL.Image import Transpose

from seesay.arguments import path_of
from seesay.data.entries import shown
from seesay.errors import DataError

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP")
SUFFIXES = (".bmp", ".gif", ".jfif", ".jpe", ".jpeg", ".jpg", ".png", ".webp")
UNREAD_SUFFIXES = (".arw", ".avif", ".cr2", ".cr3", ".dng", ".heic", ".heif", ".jp2", ".jxl", ".nef", ".tif", ".tiff")
MAX_BYTES = 10 * 2**20
MAX_PIXELS = 24_000_000
MAX_SCANS = 50  # of a progressive JPEG, which costs a pass over all pixels for each; cameras and tools write about 10

_TILE = 512  # pixels a side
_ORIENTATION = 0x0112  # the EXIF tag: which way the camera was held
_UPRIGHT = {
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_270,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_90,
}
_WITH_ALPHA = ("RGBA", "LA", "PA", "RGBa", "La")
_OPAQUE = ("RGB", "L", "1", "P", "CMYK", "YCbCr", "RGBX")
_GREY_16 = ("I;16", "I;16B", "I;16L", "I")


def open_picture(source: Path | str | bytes, name: str | None = None) -> Image.Image:
    """The picture in a file, or in the bytes of one, as its viewer should see it: mode "RGB", upright, on white.

    EXIF orientation is applied, 16-bit grey is scaled to 8 bits, transparency is laid over white, and of an animation
    the first frame is taken. `name` stands for the picture in messages (default: the path, or "picture").
    Raises DataError, in one line, for anything but a whole JPEG, PNG, WebP, GIF or BMP file of at most 10 MiB and 24
    megapixels; the pixel count is read from the header, before any memory is set aside for pixels.

    >>> import io
    >>> file = io.BytesIO()
    >>> Image.new("RGBA", (4, 2), (255, 0, 0, 0)).save(file, "PNG")
    >>> picture = open_picture(file.getvalue())
    >>> picture.mode, picture.size, picture.getpixel((0, 0))
    ('RGB', (4, 2), (255, 255, 255))
    >>> open_picture(b"not a picture", name="notes.jpg")
    Traceback (most recent call last):
    seesay.errors.DataError: notes.jpg: not a picture; expected JPEG, PNG, WebP, GIF or BMP; save it as one of these.
    """
    if isinstance(source, bytes):
        name, data = name or "picture", source
    else:
        name = name or str(source)
        data = _read(path_of(source, "picture", "a path or the bytes of a file"), name)
    _refuse_size(len(data), name)
    try:
        return _decode(data, name)
    except DataError:
        raise
    except Image.DecompressionBombError:
        raise _too_many("far more than 24 million", name) from None
    except Exception as error:  # fed hostile bytes, a decoder may raise anything at all
        reason = shown(str(error) or type(error).__name__)
        problem = f"the picture is damaged or cut short ({reason}); expected a whole file; copy it again or remove it."
        raise DataError(f"{name}: {problem}") from error


def as_seen(image: Image.Image, name: str = "picture") -> Image.Image:
    """An opened picture in mode "RGB", upright and on white, as those in files; itself where it is so already.

    Raises DataError for more than 24 megapixels or neither grey nor colour, and Pillow's errors for a damaged one.
    """
    _refuse_pixels(image.size, name)
    image.load()
    turn = _UPRIGHT.get(_orientation(image))
    return _in_colour(image if turn is None else image.transpose(turn), name)


def to_square(image: Image.Image, size: int) -> npt.NDArray[np.uint8]:
    """The pixels of an RGB picture, squashed to `size` x `size`, as a (size, size, 3) array of 0 to 255.

    Both sides are resized on their own (bicubic, antialiased), so that nothing at the rim is lost; a picture that has
    the size already keeps its pixels as they are. The array is the caller's own. Raises DataError unless it is "RGB".

    >>> to_square(Image.new("RGB", (640, 480), "red"), 224).shape
    (224, 224, 3)
    """
    if image.mode != "RGB":
        raise DataError(f"picture: the mode is {shown(image.mode)}; expected 'RGB'; open it with open_picture.")
    if image.size != (size, size):
        image = image.resize((size, size), Image.Resampling.BICUBIC)
    return np.array(image, dtype=np.uint8)


def to_squares(image: Image.Image, sides: Sequence[int]) -> tuple[npt.NDArray[np.uint8], ...]:
    """The pixels of a picture squashed to each of the sides, as `to_square` does it."""
    return tuple(to_square(image, side) for side in sides)


def find_pictures(folder: Path | str) -> list[Path]:
    """The pictures in a folder and its subfolders, known by their suffixes, in the order of their relative paths.

    Hidden files and folders are left out (some systems put unreadable doubles of pictures there).
    Raises DataError when the folder is missing, cannot be read, or holds no picture.
    """
    folder = path_of(folder, "pictures", "a folder of pictures")
    if not folder.is_dir():
        raise DataError(f"{folder}: not a folder; expected a folder of pictures; check the path.")
    found = _with_suffixes(folder, SUFFIXES)
    if not found:
        received = "no picture in it"
        if others := find_unread(folder):
            received += f" of a kind that is read, but {len(others):,} of others, such as {others[0].name!a}"
        raise DataError(f"{folder}: {received}; expected files named {' '.join(SUFFIXES)}; check the path.")
    for path in found:
        _refuse_undecodable(path)
    return sorted(found, key=lambda path: path.relative_to(folder).as_posix())


def find_unread(folder: Path) -> list[Path]:
    """What looks like a picture, by its suffix, but of a kind that `open_picture` does not read; hidden ones aside."""
    return sorted(_with_suffixes(folder, UNREAD_SUFFIXES))


def _with_suffixes(folder: Path, suffixes: tuple[str, ...]) -> list[Path]:
    found = []
    for place, folders, files in os.walk(folder, onerror=_refuse_folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(place, f) for f in files if f.lower().endswith(suffixes) and not f.startswith(".")]
    return found


def _read(path: Path, name: str) -> bytes:
    try:
        if not path.is_file():  # a pipe would be waited for without end
            received = "not a file" if path.exists() else "no such file"
            raise DataError(f"{name}: {received}; expected a picture; check the path.")
        _refuse_size(path.stat().st_size, name)
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except OSError as error:
        raise DataError(f"{name}: cannot be read ({error.strerror}); expected a picture; check the file.") from None


def _refuse_size(size: int, name: str) -> None:
    if size == 0:
        raise DataError(f"{name}: the file is empty; expected a picture; copy it again or remove it.")
    if size > MAX_BYTES:
        megabytes = f"larger than {MAX_BYTES // 2**20} MiB"
        raise DataError(f"{name}: {megabytes}; expected at most {MAX_BYTES:,} bytes; save it smaller.")


def _decode(data: bytes, name: str) -> Image.Image:
    image = as_seen(_open(data, name), name)
    image.info = {}  # the orientation above all: it is used up
    return image


def _open(data: bytes, name: str) -> Image.Image:
    """The picture with its header read and checked, its pixels not yet decoded."""
    _refuse_pixels(_webp_size(data), name)
    try:
        with _quietly():
            image: Image.Image = Image.open(io.BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError:
        formats = "expected JPEG, PNG, WebP, GIF or BMP; save it as one of these."
        raise DataError(f"{name}: not a picture; {formats}") from None
    _refuse_pixels(image.size, name)
    if data.startswith(b"\xff\xd8") and data.count(b"\xff\xda") > MAX_SCANS:
        raise DataError(f"{name}: more than {MAX_SCANS} scans in a JPEG; expected about 10; save it anew.")
    return image


def _webp_size(data: bytes) -> tuple[int, int]:
    """Width and height in a WebP header, (0, 0) for other files; its decoder takes memory for them on creation."""
    if data[:4] + data[8:12] != b"RIFFWEBP":
        return 0, 0
    number = int.from_bytes
    if data[12:16] == b"VP8X":
        return number(data[24:27], "little") + 1, number(data[27:30], "little") + 1
    if data[12:16] == b"VP8L":
        bits = number(data[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    return number(data[26:28], "little") & 0x3FFF, number(data[28:30], "little") & 0x3FFF


def _refuse_pixels(size: tuple[int, int], name: str) -> None:
    width, height = size
    if width * height > MAX_PIXELS:
        raise _too_many(f"{width} x {height} = {width * height:,}", name)


def _too_many(pixels: str, name: str) -> DataError:
    return DataError(f"{name}: {pixels} pixels; expected at most {MAX_PIXELS:,}; save it smaller.")


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 (upright) to 8; damaged EXIF says nothing about the pixels, so it counts as none."""
    try:
        with _quietly():
            value = image.getexif().get(_ORIENTATION)
    except Exception:
        return 1
    return value if isinstance(value, int) else 1


_filters = threading.Lock()


@contextmanager
def _quietly() -> Iterator[None]:
    """Pillow's remarks on odd metadata silenced, whether warnings are shown or are errors.

    The lock is for pictures read in several threads: the filters belong to the process, and threads that put them back
    out of order would leave them silenced.
    """
    with _filters, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _in_colour(image: Image.Image, name: str) -> Image.Image:
    mode = image.mode
    transparent = "transparency" in image.info
    if mode == "RGB" and not transparent:
        return image
    if mode in _GREY_16:
        return _by_tiles(image, _from_16_bits)
    if mode in _WITH_ALPHA or transparent:
        return _by_tiles(image, _over_white)
    if mode in _OPAQUE:
        return image.convert("RGB")
    raise DataError(f"{name}: pixels of the kind {shown(mode)}; expected grey or colour; convert it to RGB.")


def _by_tiles(image: Image.Image, convert: Callable[[Image.Image], Image.Image]) -> Image.Image:
    """`convert(image)`, a tile at a time: what the conversion needs beside its input and its result stays small."""
    whole = Image.new("RGB", image.size)
    width, height = image.size
    for left, top in product(range(0, width, _TILE), range(0, height, _TILE)):
        tile = image.crop((left, top, min(left + _TILE, width), min(top + _TILE, height)))
        whole.paste(convert(tile), (left, top))
    return whole


def _over_white(image: Image.Image) -> Image.Image:
    layer = image.convert("RGBA")
    white = Image.new("RGB", layer.size, "white")
    white.paste(layer, mask=layer)
    return white


def _from_16_bits(image: Image.Image) -> Image.Image:
    """Grey of 16 bits scaled by 1/257; Pillow's own conversion clips it at 255, which is all white."""
    values = np.asarray(image).astype(np.int64).clip(0, 65535)
    grey = ((values + 128) // 257).astype(np.uint8)
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        grey[values == transparent] = 255
    return Image.fromarray(grey).convert("RGB")


def _refuse_folder(error: OSError) -> None:
    raise DataError(f"{error.filename}: cannot be read ({error.strerror}); expected a folder of pictures; check it.")


def _refuse_undecodable(path: Path) -> None:
    try:
        str(path).encode("utf-8")
    except UnicodeError:
        raise DataError(f"{str(path)!a}: the name is not UTF-8; expected one that is; rename the file.") from None
