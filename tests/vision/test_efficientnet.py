"""The layers and both engines: folding, and each kind of convolution against torch's in float64."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from seesay.data.images import find_pictures, open_picture, to_square
from seesay.vision import efficientnet_torch
from seesay.vision.efficientnet import EPSILON, InvertedResidual, Layer, Layers, fold
from seesay.vision.efficientnet_numpy import Block, Depthwise, EfficientNetLite0, Pointwise
from seesay.vision.weights import Weights, read_weights, weights_path


@pytest.fixture(scope="module")
def weights() -> Weights:
    return read_weights(weights_path())


@pytest.fixture(scope="module")
def layers(weights: Weights) -> Layers:
    return fold(weights)


def random_layer(out: int, into: int, kernel: int, stride: int = 1, seed: int = 0) -> Layer:
    rng = np.random.default_rng(seed)
    weight, bias = rng.normal(0, 0.3, (out, into, kernel, kernel)), rng.normal(0, 0.3, out)
    return Layer(weight.astype(np.float32), bias.astype(np.float32), stride)


def same_convolution(x: np.ndarray, layer: Layer, groups: int = 1) -> np.ndarray:
    """A convolution in float64 with TensorFlow's padding: (height, width, in) to (height, width, out)."""
    kernel, side = layer.weight.shape[-1], len(x)
    odd = max((-(-side // layer.stride) - 1) * layer.stride + kernel - side, 0)
    before, after = odd // 2, odd - odd // 2
    y = torch.from_numpy(x.astype(np.float64)).permute(2, 0, 1)
    y = functional.pad(y, (before, after, before, after))[None]
    weight, bias = (torch.from_numpy(array.astype(np.float64)) for array in (layer.weight, layer.bias))
    return functional.conv2d(y, weight, bias, layer.stride, groups=groups)[0].permute(1, 2, 0).numpy()


def test_a_folded_layer_is_the_convolution_and_its_batch_norm(weights: Weights, layers: Layers) -> None:
    x = torch.from_numpy(np.random.default_rng(0).normal(size=(1, 3, 9, 9)))
    weight = torch.from_numpy(weights["_conv_stem.weight"]).double()
    mean, variance, gamma, beta = (
        torch.from_numpy(weights[f"_bn0.{name}"]).double() for name in ("running_mean", "running_var", "weight", "bias")
    )
    expected = functional.batch_norm(functional.conv2d(x, weight), mean, variance, gamma, beta, eps=EPSILON)
    stem = layers.stem
    folded = functional.conv2d(x, torch.from_numpy(stem.weight).double(), torch.from_numpy(stem.bias).double())
    torch.testing.assert_close(folded, expected, rtol=0, atol=1e-5)


def test_the_layers_are_those_of_the_paper(layers: Layers) -> None:
    depthwise = [block.depthwise for block in layers.blocks]
    assert [layer.weight.shape[-1] for layer in depthwise] == [3, 3, 3, 5, 5, 3, 3, 3, 5, 5, 5, 5, 5, 5, 5, 3]
    assert [layer.stride for layer in depthwise] == [1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1, 1, 1, 1]
    residual = [number for number, block in enumerate(layers.blocks) if block.residual]
    assert residual == [2, 4, 6, 7, 9, 10, 12, 13, 14]
    assert [number for number, block in enumerate(layers.blocks) if block.expand is None] == [0]


def test_a_missing_weight_is_named(weights: Weights) -> None:
    with pytest.raises(KeyError, match=r"_blocks\.3\._bn2\.weight"):
        fold({name: array for name, array in weights.items() if name != "_blocks.3._bn2.weight"})


@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize(("side", "size"), [(28, 8), (14, 40), (7, 16), (2, 3), (1, 1)])
def test_a_depthwise_convolution(side: int, size: int, stride: int, kernel: int) -> None:
    layer = random_layer(size, 1, kernel, stride)
    x = np.random.default_rng(1).normal(size=(side, side, size)).astype(np.float32)
    depthwise = Depthwise(layer, side)
    buffer, inside = depthwise.buffer()
    inside[...] = x
    np.testing.assert_allclose(depthwise(buffer), same_convolution(x, layer, size), rtol=0, atol=1e-5)


def test_a_pointwise_convolution() -> None:
    layer = random_layer(7, 5, 1)
    x = np.random.default_rng(1).normal(size=(4, 4, 5)).astype(np.float32)
    np.testing.assert_allclose(Pointwise(layer)(x), same_convolution(x, layer), rtol=0, atol=1e-5)


@pytest.mark.parametrize(("expansion", "stride", "out"), [(1, 1, 6), (4, 1, 5), (4, 1, 6), (4, 2, 6)])
def test_a_block(expansion: int, stride: int, out: int) -> None:
    wide = 6 * expansion
    expand = random_layer(wide, 6, 1) if expansion > 1 else None
    block = InvertedResidual(
        expand, random_layer(wide, 1, 3, stride, 1), random_layer(out, wide, 1, seed=2), stride == 1 and out == 6
    )
    x = np.random.default_rng(3).normal(0, 3, (8, 8, 6)).astype(np.float32)
    expected = same_convolution(x, expand).clip(0, 6) if expand else x.clip(0, 6)
    expected = same_convolution(expected, block.depthwise, wide).clip(0, 6)
    expected = same_convolution(expected, block.project) + (x if block.residual else 0)
    received = Block(block, 8)(x.copy())
    np.testing.assert_allclose(received, expected, rtol=0, atol=1e-4)


def test_the_whole_network_by_both_engines(layers: Layers, demo_pictures: Path) -> None:
    pixels = np.stack([to_square(open_picture(path), 224) for path in find_pictures(demo_pictures)[:2]])
    network = EfficientNetLite0(layers)
    with torch.inference_mode():
        x = (torch.from_numpy(pixels).permute(0, 3, 1, 2).float() - 127) / 128
        expected = efficientnet_torch.EfficientNetLite0(layers)(x).permute(0, 2, 3, 1).reshape(2, 49, 1280).numpy()
    for place, picture in enumerate(pixels):
        grid = network.grid(picture)
        assert grid.dtype == np.float32 and grid.min() == 0 and grid.max() == 6
        np.testing.assert_allclose(grid, expected[place], rtol=0, atol=1e-4)
