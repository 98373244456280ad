"""EfficientNet-Lite0 in torch.

TensorFlow's 'same' padding puts the odd column of a stride-2 convolution at the right and bottom, which torch can do
only by copying every activation into a larger one. The network here sees the picture turned by 180 degrees, with its
kernels turned likewise: then the odd column falls at the left and top, which is what torch's own symmetric padding
gives where it rounds down. The grid is turned back at the end; no activation is ever copied.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from seesay.vision.efficientnet import CHANNELS, MEAN, SCALE, SIDE, STRIDE, InvertedResidual, Layer, Layers

# The fused operators are not public: used where they exist, and on the processors where they have been tested.
FUSED = (
    platform.machine() in ("x86_64", "AMD64")
    and torch.backends.mkldnn.is_available()
    and hasattr(torch.ops.mkldnn, "_convolution_pointwise")
    and hasattr(torch.ops.mkldnn, "_reorder_convolution_weight")
)
# Buffers up to 32 MiB are kept by malloc for the next layer; with more than 4 pictures they cost page faults.
CHUNK = 4 * SIDE * SIDE  # pixels at a time


class Convolution(nn.Module):
    """A layer, its weight turned by 180 degrees, and unless `linear` ReLU6 behind it.

    Where `fused`, one oneDNN call does convolution, ReLU6 and the sum with `residual`, so that no activation is read
    twice; this is what torch.compile would make of it, without its minute of compiling. Otherwise torch's public
    operators do the same sums.
    """

    def __init__(self, layer: Layer, depthwise: bool = False, linear: bool = False, fused: bool = FUSED) -> None:
        super().__init__()
        padding, groups = layer.weight.shape[-1] // 2, len(layer.bias) if depthwise else 1
        self.window = ([padding] * 2, [layer.stride] * 2, [1, 1], groups)  # padding, stride, dilation
        self.linear, self.fused = linear, fused
        weight = torch.from_numpy(layer.weight).flip(2, 3).contiguous(memory_format=torch.channels_last)
        self.weight = torch.ops.mkldnn._reorder_convolution_weight(weight, *self.window) if fused else weight
        self.bias = torch.from_numpy(layer.bias)

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
    """An inverted residual block."""

    def __init__(self, block: InvertedResidual, fused: bool) -> None:
        super().__init__()
        layers = [Convolution(block.expand, fused=fused)] if block.expand else []
        layers.append(Convolution(block.depthwise, depthwise=True, fused=fused))
        layers.append(Convolution(block.project, linear=True, fused=fused))
        self.layers = nn.ModuleList(layers)
        self.residual = block.residual

    def forward(self, x: Tensor) -> Tensor:
        """(B, in, height, width) to (B, out, height / stride, width / stride)."""
        *before, narrow = self.layers
        y = x
        for layer in before:
            y = layer(y)
        return narrow(y, x if self.residual else None)


class EfficientNetLite0(nn.Module):
    """The network: (B, 3, side, side) in [-1, 1] -> (B, 1280, side / 32, side / 32); `fused` as in `Convolution`."""

    engine = "torch"

    def __init__(self, layers: Layers, fused: bool = FUSED) -> None:
        super().__init__()
        self.stem = Convolution(layers.stem, fused=fused)
        self.blocks = nn.Sequential(*(Block(block, fused) for block in layers.blocks))
        self.head = Convolution(layers.head, fused=fused)
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        """The grid of each picture, not turned: at a side of 224, (B, 3, 224, 224) to (B, 1280, 7, 7)."""
        x = x.flip(2, 3).contiguous(memory_format=torch.channels_last)
        return self.head(self.blocks(self.stem(x))).flip(2, 3)

    @torch.inference_mode()
    def features(self, pixels: NDArray[np.uint8]) -> NDArray[np.float16]:
        """The last grid of each picture: uint8 (B, side, side, 3) to (B, (side / 32) ** 2, 1280)."""
        side = pixels.shape[1]
        features = np.empty((len(pixels), (side // STRIDE) ** 2, CHANNELS), np.float16)
        some = max(1, CHUNK // side**2)
        for start in range(0, len(pixels), some):
            chunk = np.ascontiguousarray(pixels[start : start + some])
            grid = self((torch.from_numpy(chunk).permute(0, 3, 1, 2).float() - MEAN) / SCALE)
            features[start : start + some] = grid.permute(0, 2, 3, 1).reshape(len(chunk), -1, CHANNELS).half().numpy()
        return features

    @contextmanager
    def in_threads(self) -> Iterator[Callable[[], None]]:
        """While several threads call `features`: what each of them does first, to work alone on its pictures.

        Threads that share a picture wait for one another at every layer, these never do.
        """
        usual = torch.get_num_threads()
        try:
            yield lambda: torch.set_num_threads(1)
        finally:
            torch.set_num_threads(usual)  # threads started later would otherwise inherit the one of these
