"""The encoder by either engine: equal to its package's own network, the same alone and in a batch, or mirrored."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch

from seesay.data.images import find_pictures, open_picture, to_square, to_squares
from seesay.errors import RecipeError, UnknownName
from seesay.vision.efficientnet import fold
from seesay.vision.efficientnet_torch import EfficientNetLite0
from seesay.vision.encoders import Encoder, load_encoder
from seesay.vision.weights import read_weights, weights_path

Pixels = npt.NDArray[np.uint8]


@pytest.fixture(scope="module", params=["torch", "numpy"])
def encoder(request: pytest.FixtureRequest) -> Encoder:
    return load_encoder(engine=request.param)


@pytest.fixture(scope="module")
def pixels(demo_pictures: Path) -> Pixels:
    return np.stack([to_square(open_picture(path), 224) for path in find_pictures(demo_pictures)[:6]])


def test_the_shape_of_an_encoder(encoder: Encoder, pixels: Pixels) -> None:
    features = encoder(pixels[:2])
    assert (encoder.name, encoder.precision) == ("efficientnet-lite0@224", "float32")
    assert (encoder.sides, encoder.regions, encoder.size) == ((224,), 49, 1280)
    assert features.shape == (2, 49, 1280) and features.dtype == np.float16
    assert features.min() == 0 and features.max() == 6  # ReLU6
    assert 0.15 < features.astype(np.float32).mean() < 0.35


def test_features_equal_those_of_the_packages_own_network(encoder: Encoder, pixels: Pixels) -> None:
    package = pytest.importorskip("efficientnet_lite_pytorch")
    network = package.EfficientNet.from_name("efficientnet-lite0").eval()
    network.load_state_dict({name: torch.from_numpy(array) for name, array in read_weights(weights_path()).items()})
    with torch.inference_mode():
        x = (torch.from_numpy(pixels).permute(0, 3, 1, 2).float() - 127) / 128
        expected = network.extract_features(x).permute(0, 2, 3, 1).reshape(6, 49, 1280).numpy()
    # In the file they are float16: within one step of it, 2^-9 of 4.
    assert np.abs(encoder(pixels).astype(np.float32) - expected).max() < 2**-9 + 2e-4
    assert np.abs(encoder(pixels).astype(np.float32) - expected).mean() < 1e-4


def test_the_engines_agree_but_for_the_last_bit_of_a_few_numbers(pixels: Pixels) -> None:
    by_torch, by_numpy = load_encoder(engine="torch"), load_encoder(engine="numpy")
    assert (by_torch.name, by_torch.precision) == (by_numpy.name, by_numpy.precision)
    one, other = by_torch(pixels), by_numpy(pixels)
    assert (one != other).mean() < 0.01
    # Rounded to float16, two numbers on either side of a midpoint are one step apart: 2^-8 from 4 to 8.
    np.testing.assert_allclose(one.astype(np.float32), other.astype(np.float32), rtol=2**-10, atol=1e-4)


def test_the_engine_is_torch_where_it_is_installed_unless_another_is_asked_for() -> None:
    assert load_encoder().network.engine == "torch"
    assert load_encoder(engine="numpy").network.engine == "numpy"
    with pytest.raises(UnknownName, match="Did you mean 'numpy'"):
        load_encoder(engine="nunpy")


def test_fused_and_public_operators_agree(pixels: Pixels) -> None:
    public = Encoder(EfficientNetLite0(fold(read_weights(weights_path())), fused=False))
    difference = public(pixels[:2]).astype(np.float32) - load_encoder(engine="torch")(pixels[:2]).astype(np.float32)
    assert np.abs(difference).max() <= 2**-9 and (difference != 0).mean() < 0.01


def test_a_picture_alone_and_among_others_has_the_same_features(encoder: Encoder, pixels: Pixels) -> None:
    together = encoder(pixels)
    for place in range(len(pixels)):
        alone = encoder(pixels[place : place + 1])[0]
        assert np.abs(alone.astype(np.float32) - together[place].astype(np.float32)).max() <= 2**-9
    np.testing.assert_array_equal(encoder(pixels[::-1][:4]), encoder(np.ascontiguousarray(pixels[::-1][:4])))
    assert encoder(pixels[:0]).shape == (0, 49, 1280)


def test_by_numpy_neighbours_and_threads_change_no_bit(pixels: Pixels) -> None:
    encoder = load_encoder(engine="numpy")
    together = encoder(pixels)
    with encoder.network.in_threads() as begin, ThreadPoolExecutor(3, initializer=begin) as pool:
        alone = list(pool.map(encoder, [picture[None] for picture in pixels]))
    np.testing.assert_array_equal(np.concatenate(alone), together)


def test_with_mirrored_is_the_mean_of_what_is_seen_of_both(encoder: Encoder, pixels: Pixels) -> None:
    both = Encoder(encoder.network, mirrored=True)
    plain, other = (found.astype(np.float32) for found in (encoder(pixels), encoder(pixels[:, :, ::-1])))
    turned = other.reshape(-1, 7, 7, 1280)[:, :, ::-1].reshape(-1, 49, 1280)
    np.testing.assert_array_equal(both(pixels), ((plain + turned) / 2).astype(np.float16))
    assert both.name == "efficientnet-lite0@224+mirrored" and not np.array_equal(plain, both(pixels))
    # A picture and its mirror image are seen alike, but for where things are.
    again = both(pixels[:, :, ::-1]).reshape(-1, 7, 7, 1280)[:, :, ::-1].reshape(-1, 49, 1280)
    np.testing.assert_array_equal(again, both(pixels))


def test_two_scales_are_the_picture_s_own_regions_and_the_means_of_smaller_ones(
    encoder: Encoder, demo_pictures: Path
) -> None:
    two = Encoder(encoder.network, two_scales=True)
    assert (two.name, two.sides, two.regions, two.size) == ("efficientnet-lite0@224,448", (224, 448), 49, 2560)
    opened = [open_picture(path) for path in find_pictures(demo_pictures)[:2]]
    small, large = (np.stack(some) for some in zip(*(to_squares(each, two.sides) for each in opened), strict=True))
    features = two(small, large).astype(np.float32)
    np.testing.assert_array_equal(features[..., :1280], encoder(small))
    fine = encoder.network.features(large).astype(np.float32)
    assert fine.shape == (2, 196, 1280)
    means = fine.reshape(2, 7, 2, 7, 2, 1280).mean((2, 4)).reshape(2, 49, 1280)
    np.testing.assert_allclose(features[..., 1280:], means, rtol=2**-10, atol=2**-12)
    # What is mirrored is both parts, at their places.
    both = Encoder(encoder.network, mirrored=True, two_scales=True)
    turned = two(small[:, :, ::-1], large[:, :, ::-1]).reshape(-1, 7, 7, 2560)[:, :, ::-1].reshape(-1, 49, 2560)
    expected = ((features + turned.astype(np.float32)) / 2).astype(np.float16)
    np.testing.assert_array_equal(both(small, large), expected)
    assert two(*two.nothing()).shape == (0, 49, 2560)
    for wrong in ((small,), (large, small), (small, large[:1]), (small, small, large)):
        with pytest.raises(ValueError, match=r"expected uint8 \(B, 224, 224, 3\) and uint8 \(B, 448, 448, 3\)"):
            two(*wrong)


def test_the_engines_agree_at_two_scales(demo_pictures: Path) -> None:
    squares = to_squares(open_picture(find_pictures(demo_pictures)[0]), (224, 448))
    name = "efficientnet-lite0@224,448"
    one, other = (load_encoder(name, engine=engine)(*(s[None] for s in squares)) for engine in ("torch", "numpy"))
    assert (one != other).mean() < 0.01
    np.testing.assert_allclose(one.astype(np.float32), other.astype(np.float32), rtol=2**-10, atol=2e-4)


def test_an_encoder_is_known_by_the_name_that_files_say() -> None:
    for name in ("efficientnet-lite0@224", "efficientnet-lite0@224+mirrored", "efficientnet-lite0@224,448+mirrored"):
        assert load_encoder(name, engine="numpy").name == name
    assert load_encoder("efficientnet-lite0", engine="numpy").name == "efficientnet-lite0@224"
    with pytest.raises(UnknownName, match="efficientnet-lite0@224"):
        load_encoder("efficientnet-lite0@999")
    with pytest.raises(RecipeError, match=r"^--flipped, --with-mirrored: received both; expected one of them"):
        load_encoder("efficientnet-lite0@224+mirrored", flipped=True)


def test_flipped_is_the_mirrored_picture_encoded(encoder: Encoder, pixels: Pixels) -> None:
    flipped = Encoder(encoder.network, flipped=True)
    mirrored = np.ascontiguousarray(pixels[:2, :, ::-1])
    np.testing.assert_array_equal(flipped(pixels[:2]), encoder(mirrored))
    assert not np.array_equal(flipped(pixels[:2]), encoder(pixels[:2]))
    assert load_encoder(flipped=True, engine=encoder.network.engine).flipped


def test_regions_run_row_by_row_from_the_top_left(encoder: Encoder) -> None:
    grey = np.full((1, 224, 224, 3), 127, np.uint8)
    spotted = grey.copy()
    spotted[0, :32, 160:192] = 255  # the first row of the 7 by 7 grid, its sixth column
    change = np.abs(encoder(spotted).astype(np.float32) - encoder(grey).astype(np.float32)).mean(-1).reshape(7, 7)
    assert change[:3].sum() > 0.9 * change.sum() and change[:, 3:].sum() > 0.9 * change.sum()


def test_calls_from_several_threads_agree(encoder: Encoder, pixels: Pixels) -> None:
    expected = encoder(pixels[:1])
    with ThreadPoolExecutor(3, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        for features in pool.map(encoder, [pixels[:1]] * 6):
            assert np.abs(features.astype(np.float32) - expected.astype(np.float32)).max() <= 2**-9


@pytest.mark.parametrize("shape", [(224, 224, 3), (1, 224, 223, 3), (1, 3, 224, 224)])
def test_pixels_of_another_shape_are_refused(encoder: Encoder, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="expected uint8"):
        encoder(np.zeros(shape, np.uint8))
    with pytest.raises(ValueError, match="received float32"):
        encoder(np.zeros((1, 224, 224, 3), np.float32))  # type: ignore[arg-type]


def test_an_unknown_encoder_suggests_the_nearest() -> None:
    with pytest.raises(UnknownName, match="Did you mean 'efficientnet-lite0@224'"):
        load_encoder("efficientnet-lite")
