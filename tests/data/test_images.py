"""Pictures: each kind of pixel against a reference computed without Pillow, each fault against its line."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import time
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from seesay.data import images
from seesay.data.images import find_pictures, find_unread, open_picture, to_square
from seesay.errors import DataError

Pixels = npt.NDArray[np.uint8]
HEIGHT, WIDTH = 32, 48
ORIENTATION = 0x0112


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(samples: npt.NDArray[np.generic], colour: int, *chunks: bytes) -> bytes:
    """A PNG written by hand, so that its samples are certain: (height, width[, channels]) of uint8 or uint16."""
    depth = samples.dtype.itemsize * 8
    height, width = samples.shape[:2]
    rows = b"".join(b"\0" + row.astype(f">u{depth // 8}").tobytes() for row in samples)
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


@pytest.fixture
def colours() -> Pixels:
    """Blocks of 8 x 8 in one colour each, which JPEG keeps nearly as they are; no two corners are alike."""
    blocks = np.random.default_rng(7).integers(0, 256, (HEIGHT // 8, WIDTH // 8, 3), dtype=np.uint8)
    return blocks.repeat(8, axis=0).repeat(8, axis=1)


@pytest.fixture
def ramp() -> Pixels:
    """Grey or alpha from 0 to 255, (HEIGHT, WIDTH)."""
    return np.linspace(0, 255, HEIGHT * WIDTH).round().astype(np.uint8).reshape(HEIGHT, WIDTH)


def grey(values: npt.ArrayLike) -> npt.NDArray[np.float64]:
    return np.repeat(np.asarray(values, dtype=np.float64)[:, :, None], 3, axis=2)


def over_white(colour: npt.ArrayLike, alpha: npt.ArrayLike) -> npt.NDArray[np.float64]:
    share = np.asarray(alpha, dtype=np.float64)[:, :, None] / 255
    return np.asarray(colour) * share + 255 * (1 - share)


def assert_shows(data: bytes, expected: npt.ArrayLike, tolerance: float = 2) -> None:
    picture = open_picture(data)
    assert picture.mode == "RGB"
    assert np.asarray(picture).shape == np.shape(expected)
    assert np.abs(np.asarray(picture, dtype=np.float64) - expected).max() <= tolerance


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP"])
def test_each_format_shows_its_colours(colours: Pixels, kind: str) -> None:
    options = {"JPEG": {"quality": 100, "subsampling": 0}, "WEBP": {"lossless": True}}.get(kind, {})
    assert_shows(encoded(Image.fromarray(colours), kind, **options), colours)


def test_grey_jpeg_and_png(ramp: Pixels) -> None:
    assert_shows(encoded(Image.fromarray(ramp), "JPEG", quality=100), grey(ramp))
    assert_shows(png(ramp, 0), grey(ramp), tolerance=0)


def test_black_and_white_is_0_and_255(ramp: Pixels) -> None:
    bits = Image.fromarray(ramp >= 128)
    assert bits.mode == "1"
    for kind in ("PNG", "BMP"):
        assert_shows(encoded(bits, kind), grey(np.where(ramp >= 128, 255, 0)), tolerance=0)


def test_16_bit_grey_is_scaled_not_clipped() -> None:
    values = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    assert_shows(png(values, 0), grey(np.floor(values / 257 + 0.5)), tolerance=0)


def test_16_bit_grey_in_32_bit_mode_is_scaled_too() -> None:
    values = np.array([[0, 257, 32896, 65535, 70000, -5]], dtype=np.int32)
    picture = images._in_colour(Image.fromarray(values), "x")
    assert np.asarray(picture)[0, :, 0].tolist() == [0, 1, 128, 255, 255, 0]


def test_16_bit_grey_with_a_transparent_value() -> None:
    values = np.array([[0, 1000, 65535, 30000]], dtype=np.uint16)
    data = png(values, 0, chunk(b"tRNS", struct.pack(">H", 1000)))
    assert_shows(data, grey([[0, 255, 255, 117]]), tolerance=0)


@pytest.mark.parametrize(("colour", "channels"), [(2, 3), (4, 2), (6, 4)])
def test_16_bit_colour_and_alpha(colour: int, channels: int) -> None:
    samples = np.random.default_rng(1).integers(0, 65536, (20, 30, channels)).astype(np.uint16)
    eight = samples / 257
    shade = grey(eight[..., 0]) if channels == 2 else eight[..., :3]
    assert_shows(png(samples, colour), shade if channels == 3 else over_white(shade, eight[..., -1]))


def test_cmyk_jpeg_is_not_a_negative() -> None:
    ink = np.random.default_rng(3).integers(0, 256, (4, 6, 4), dtype=np.uint8).repeat(8, axis=0).repeat(8, axis=1)
    data = encoded(Image.frombytes("CMYK", (48, 32), ink.tobytes()), "JPEG", quality=100)
    assert b"Adobe" in data  # and so its samples are stored inverted
    share = 1 - ink / 255
    assert_shows(data, 255 * share[..., :3] * share[..., 3:])


def test_cmyk_paper_is_white_and_full_key_is_black() -> None:
    for key, shade in ((0, 255), (255, 0)):
        data = encoded(Image.new("CMYK", (16, 16), (0, 0, 0, key)), "JPEG", quality=100)
        assert_shows(data, np.full((16, 16, 3), shade))


def test_transparency_lies_over_white(colours: Pixels, ramp: Pixels) -> None:
    samples = np.dstack([colours, ramp])
    assert_shows(png(samples, 6), over_white(colours, ramp), tolerance=1)
    assert_shows(encoded(Image.fromarray(samples), "WEBP", lossless=True, exact=True), over_white(colours, ramp))


def test_grey_with_alpha_lies_over_white(ramp: Pixels) -> None:
    samples = np.dstack([ramp, ramp[::-1, ::-1]])
    assert_shows(png(samples, 4), over_white(grey(ramp), ramp[::-1, ::-1]), tolerance=1)


@pytest.mark.parametrize("alphas", [bytes([0]), bytes([255, 0]), bytes([0, 64, 128, 255])])
def test_palette_with_transparency(alphas: bytes) -> None:
    palette = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [9, 9, 9]], dtype=np.uint8)
    indices = np.arange(600 * 700).reshape(600, 700) % 4  # more than a tile
    data = png(indices.astype(np.uint8), 3, chunk(b"PLTE", palette.tobytes()), chunk(b"tRNS", alphas))
    alpha = np.array([*alphas, *[255] * 4][:4])
    assert_shows(data, over_white(palette[indices], alpha[indices]), tolerance=1)


def test_one_colour_declared_transparent(ramp: Pixels, colours: Pixels) -> None:
    assert_shows(png(ramp, 0, chunk(b"tRNS", struct.pack(">H", 0))), grey(np.where(ramp == 0, 255, ramp)), 0)
    first = colours[0, 0]
    expected = np.where((colours == first).all(axis=2, keepdims=True), 255, colours)
    assert_shows(png(colours, 2, chunk(b"tRNS", struct.pack(">HHH", *first.tolist()))), expected, 0)


def test_gif_with_transparency() -> None:
    image = Image.new("P", (16, 8), 1)
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putpixel((3, 2), 0)
    expected = np.tile(np.array([200, 100, 50]), (8, 16, 1))
    expected[2, 3] = 255
    assert_shows(encoded(image, "GIF", transparency=0), expected, tolerance=0)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_an_animation_shows_its_first_frame(kind: str) -> None:
    frames = [Image.new("RGB", (20, 10), colour) for colour in ("red", "lime", "blue")]
    options = {"lossless": True} if kind == "WEBP" else {}
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:], duration=50, **options)
    assert Image.open(io.BytesIO(data)).n_frames == 3
    assert_shows(data, np.tile(np.array([255, 0, 0]), (10, 20, 1)), tolerance=0)


STORED = {  # how a camera stores the picture that its orientation then turns upright (EXIF 2.3, 4.6.4 A)
    1: lambda p: p,
    2: lambda p: p[:, ::-1],
    3: lambda p: p[::-1, ::-1],
    4: lambda p: p[::-1],
    5: lambda p: p.transpose(1, 0, 2),
    6: lambda p: np.rot90(p),
    7: lambda p: p[::-1, ::-1].transpose(1, 0, 2),
    8: lambda p: np.rot90(p, -1),
}


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(colours: Pixels, orientation: int, kind: str) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    options = {"JPEG": {"quality": 100, "subsampling": 0}, "WEBP": {"lossless": True}}.get(kind, {})
    stored = Image.fromarray(np.ascontiguousarray(STORED[orientation](colours)))
    data = encoded(stored, kind, exif=exif, **options)
    assert_shows(data, colours)
    assert open_picture(data).getexif().get(ORIENTATION) in (None, 1)  # nobody downstream can turn it again


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_orientation_that_does_not_exist_is_none(colours: Pixels, orientation: int) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    assert_shows(encoded(Image.fromarray(colours), "PNG", exif=exif), colours, tolerance=0)


DAMAGED_EXIF = [
    b"",
    b"Exif\0\0",
    b"Exif\0\0garbage",
    b"Exif\0\0II*\0\xff\xff\xff\xff",
    b"Exif\0\0II*\0\x08\0\0\0\xff\xff" + b"\x12\x01\x03\0\xff\xff\xff\xff\xff\xff\xff\xff",
    b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x05\0\0\0\x01\0\0\0\x1a\0\0\0\0\0\0\0\0\0\0\0\0",
]


@pytest.mark.parametrize("exif", DAMAGED_EXIF)
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_damaged_exif_leaves_the_picture_as_it_is(colours: Pixels, exif: bytes, kind: str) -> None:
    options = {"JPEG": {"quality": 100, "subsampling": 0}, "WEBP": {"lossless": True}}.get(kind, {})
    assert_shows(encoded(Image.fromarray(colours), kind, exif=exif, **options), colours)


def test_threads_leave_the_warning_filters_as_they_were(colours: Pixels) -> None:
    data = encoded(Image.fromarray(colours), "JPEG", exif=DAMAGED_EXIF[4])
    before = list(warnings.filters)
    with ThreadPoolExecutor(8) as pool:
        sizes = set(pool.map(lambda _: open_picture(data).size, range(200)))
    assert sizes == {(WIDTH, HEIGHT)}
    assert warnings.filters == before


def refused(data: bytes) -> str:
    with pytest.raises(DataError) as caught:
        open_picture(data, name="photo.jpg")
    message = str(caught.value)
    assert message.startswith("photo.jpg: ")
    assert "\n" not in message
    return message.removeprefix("photo.jpg: ")


NOT_A_PICTURE = "not a picture; expected JPEG, PNG, WebP, GIF or BMP; save it as one of these."


STARTS = [b"hello", bytes(100), b"%PDF", b"\xff\xd8", b"RIFF\0\0\0\0WEBPVP8 ", b"\x89PNG\r\n\x1a\n", b"BM", b"GIF89a"]


@pytest.mark.parametrize("data", STARTS)
def test_what_is_no_picture(data: bytes) -> None:
    assert refused(data) == NOT_A_PICTURE or refused(data).startswith("the picture is damaged or cut short")


def test_text_and_formats_outside_the_list_are_no_pictures() -> None:
    assert refused(b"a text file named .jpg") == NOT_A_PICTURE
    for kind in ("TIFF", "PPM", "ICO", "TGA", "PCX", "EPS"):
        assert refused(encoded(Image.new("RGB", (16, 16)), kind)) == NOT_A_PICTURE
    assert refused(encoded(Image.new("F", (16, 16)), "TIFF")) == NOT_A_PICTURE


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP"])
@pytest.mark.parametrize("share", [0.5, 0.8, 0.95])
def test_a_truncated_picture_is_refused(kind: str, share: float) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    data = encoded(Image.fromarray(noise), kind)
    message = refused(data[: int(len(data) * share)])
    assert message.startswith("the picture is damaged or cut short (")
    assert message.endswith("); expected a whole file; copy it again or remove it.")


def test_a_damaged_checksum_is_refused(colours: Pixels) -> None:
    data = bytearray(png(colours, 2))
    data[data.index(b"IDAT") + 30] ^= 1
    assert refused(bytes(data)).startswith("the picture is damaged or cut short (")


@pytest.mark.parametrize("error", [OSError, ValueError, SyntaxError, MemoryError, struct.error, EOFError, zlib.error])
def test_whatever_a_decoder_raises_becomes_one_line(monkeypatch: pytest.MonkeyPatch, error: type[Exception]) -> None:
    def fail(*_: object) -> None:
        raise error("two\nlines")

    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", fail)
    message = refused(encoded(Image.new("RGB", (4, 4)), "BMP"))
    assert message.startswith(r"the picture is damaged or cut short ('two\nlines'); expected a whole file; ")


def test_empty_and_missing_files(tmp_path: Path) -> None:
    assert refused(b"") == "the file is empty; expected a picture; copy it again or remove it."
    with pytest.raises(DataError, match=r"no\.jpg: no such file; expected a picture; check the path\.$"):
        open_picture(tmp_path / "no.jpg")
    with pytest.raises(DataError, match=r": not a file; expected a picture; check the path\.$"):
        open_picture(tmp_path)


def test_a_file_too_large_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "large.jpg"
    with path.open("wb") as file:
        file.truncate(10 * 2**20 + 1)
    expected = r"large\.jpg: larger than 10 MiB; expected at most 10,485,760 bytes; save it smaller\.$"
    with pytest.raises(DataError, match=expected):
        open_picture(path)
    with path.open("wb") as file:
        file.truncate(2**40)  # reading this would take the machine down
    with pytest.raises(DataError, match="larger than 10 MiB"):
        open_picture(path)
    assert refused(bytes(10 * 2**20 + 1)).startswith("larger than 10 MiB")


def overwritten(data: bytes, marker: bytes, offset: int, new: bytes) -> bytes:
    start = data.index(marker) + offset
    return data[:start] + new + data[start + len(new) :]


def bomb(kind: str, width: int, height: int) -> bytes:
    """A small picture whose header declares another size."""
    plain = Image.new("RGB", (16, 16))
    big, little = struct.pack(">HH", height, width), struct.pack("<HH", width, height)
    if kind == "PNG":
        header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
        return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(10**6))) + chunk(b"IEND", b"")
    if kind == "JPEG":
        return overwritten(encoded(plain, "JPEG"), b"\xff\xc0", 5, big)
    if kind == "GIF":
        return overwritten(encoded(plain, "GIF"), b"GIF8", 6, little)
    if kind == "GIF frame":
        return overwritten(encoded(plain, "GIF"), b",\0\0\0\0", 5, little)
    if kind == "BMP":
        return overwritten(encoded(plain, "BMP"), b"BM", 18, struct.pack("<ii", width, height))
    if kind == "WEBP":
        return overwritten(encoded(plain, "WEBP"), b"\x9d\x01\x2a", 3, little)
    if kind == "WEBP lossless":
        bits = struct.pack("<I", (width - 1) | (height - 1) << 14)
        return overwritten(encoded(plain, "WEBP", lossless=True), b"VP8L", 9, bits)
    sides = struct.pack("<I", width - 1)[:3] + struct.pack("<I", height - 1)[:3]
    return overwritten(encoded(plain, "WEBP", exif=b"Exif\0\0II*\0\x08\0\0\0\0\0"), b"VP8X", 12, sides)


BOMBS = ["PNG", "JPEG", "GIF", "GIF frame", "BMP", "WEBP", "WEBP lossless", "WEBP extended"]


@pytest.mark.parametrize("kind", BOMBS)
def test_a_picture_of_too_many_pixels_is_refused_by_its_header(kind: str) -> None:
    expected = "6001 x 4000 = 24,004,000 pixels; expected at most 24,000,000; save it smaller."
    assert refused(bomb(kind, 6001, 4000)) == expected


@pytest.mark.parametrize("kind", BOMBS)
@pytest.mark.parametrize("side", [10_000, 16_383])
def test_a_bomb_is_refused_within_5_ms_without_a_warning(kind: str, side: int) -> None:
    data = bomb(kind, side, side)
    refused(data)
    times = []
    for _ in range(5):
        start = time.perf_counter()
        assert "pixels; expected at most 24,000,000; save it smaller." in refused(data)
        times.append(time.perf_counter() - start)
    assert min(times) < 0.005


def test_a_jpeg_of_endless_scans_is_refused() -> None:
    data = encoded(Image.new("RGB", (16, 16)), "JPEG", progressive=True)
    scan = data[data.index(b"\xff\xda") : -2]
    message = refused(data[:-2] + scan * 60 + data[-2:])
    assert message == "more than 50 scans in a JPEG; expected about 10; save it anew."


PEAK = """
import sys, zlib, struct, pathlib
from seesay.data.images import open_picture
def peak():
    lines = pathlib.Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
open_picture(pathlib.Path(sys.argv[1]))
before = peak()
assert open_picture(pathlib.Path(sys.argv[2])).size == (6000, 4000)
print((peak() - before) * 1024 / 1e6)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc to read the peak of memory")
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "I;16"])
def test_24_megapixels_are_accepted_within_200_mb(tmp_path: Path, mode: str) -> None:
    large, small = tmp_path / "large.png", tmp_path / "small.png"
    Image.new(mode, (6000, 4000)).save(large, compress_level=1)
    Image.new(mode, (16, 16)).save(small)
    command = [sys.executable, "-c", PEAK, small, large]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", timeout=60)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) <= 200


def test_to_square_keeps_a_picture_of_the_right_size(colours: Pixels) -> None:
    square = colours[:32, :32]
    pixels = to_square(Image.fromarray(square), 32)
    assert pixels.dtype == np.uint8
    assert (pixels == square).all()
    pixels[0, 0] = 1  # the caller's own


def test_to_square_squashes_both_sides_and_antialiases() -> None:
    wide = np.zeros((64, 256, 3), dtype=np.uint8)
    wide[:, 128:] = 200
    pixels = to_square(Image.fromarray(wide), 32)
    assert pixels.shape == (32, 32, 3)
    assert (pixels[:, :14] == 0).all()
    assert (pixels[:, 18:] == 200).all()
    checks = np.indices((256, 256)).sum(axis=0) % 2 * 255
    fine = to_square(Image.fromarray(grey(checks).astype(np.uint8)), 16)
    assert np.abs(fine.astype(int) - 128).max() <= 2  # without antialiasing it would be all black, or all white


def test_to_square_enlarges(colours: Pixels) -> None:
    pixels = to_square(Image.new("RGB", (1, 1), (9, 8, 7)), 5)
    assert (pixels == [9, 8, 7]).all()
    with pytest.raises(DataError, match=r"the mode is 'L'; expected 'RGB'; open it with open_picture\.$"):
        to_square(Image.new("L", (4, 4)), 4)


def test_find_pictures_recurses_sorts_and_leaves_hidden_files_out(tmp_path: Path) -> None:
    names = ["b.jpg", "a/z.PNG", "a/b/c.webp", "a.gif", "é.bmp", "x.jpeg"]
    for name in [*names, ".hidden.jpg", ".trash/t.jpg", "notes.txt", "jpg", "a/._z.png"]:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    (tmp_path / "folder.jpg").mkdir()
    found = [path.relative_to(tmp_path).as_posix() for path in find_pictures(tmp_path)]
    assert found == sorted(names)


def test_find_pictures_of_nothing(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r": no picture in it; expected files named \.bmp .* \.webp; check the path\.$"):
        find_pictures(tmp_path)
    with pytest.raises(DataError, match=r"none: not a folder; expected a folder of pictures; check the path\.$"):
        find_pictures(tmp_path / "none")


def test_files_of_kinds_that_are_not_read_are_found_apart(tmp_path: Path) -> None:
    for name in ("b.tiff", "a.HEIC", ".c.tif", "notes.txt"):
        (tmp_path / name).touch()
    assert [path.name for path in find_unread(tmp_path)] == ["a.HEIC", "b.tiff"]
    with pytest.raises(DataError) as caught:
        find_pictures(tmp_path)
    assert str(caught.value).startswith(
        f"{tmp_path}: no picture in it of a kind that is read, but 2 of others, such as 'a.HEIC'; expected files named "
    )


def test_find_pictures_refuses_a_name_that_is_not_utf_8(tmp_path: Path) -> None:
    try:
        (tmp_path / "caf\udce9.jpg").write_bytes(b"")
    except (OSError, UnicodeError):
        pytest.skip("this file system has no such names")
    with pytest.raises(DataError, match=r"caf\\udce9\.jpg': the name is not UTF-8; expected one that is; rename the "):
        find_pictures(tmp_path)


def test_the_demonstration_pictures_open(demo_pictures: Path) -> None:
    found = find_pictures(demo_pictures)
    assert len(found) == 76
    start = time.perf_counter()
    shapes = {to_square(open_picture(path), 224).shape for path in found}
    assert shapes == {(224, 224, 3)}
    assert (time.perf_counter() - start) / len(found) < 0.02  # about 2 ms on one core


def test_pictures_of_the_right_size_cost_under_5_ms(shared_data: Path) -> None:
    paths = find_pictures(shared_data / "flickr8k" / "images")[:50]
    times = []
    for path in paths:
        start = time.perf_counter()
        assert to_square(open_picture(path), 224).shape == (224, 224, 3)
        times.append(time.perf_counter() - start)
    assert np.median(times) < 0.005
