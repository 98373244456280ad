"""EfficientNet-Lite0 in NumPy, for where torch is not installed: one picture at a time, channels last.

A 1x1 convolution is one product with all places as rows. A depthwise one is a sum over a window, which einsum does with
one multiply-add a number and no activation in between. Products stay on the thread that asks for them: they are too
small to share, and so the numbers do not depend on how many processors there are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from seesay.cores import single_threaded_products
from seesay.vision.efficientnet import CHANNELS, MEAN, SCALE, STRIDE, InvertedResidual, Layer, Layers

Array = NDArray[np.float32]
RUN = 1024  # numbers that einsum's innermost loop should see at least, where that is possible


class Pointwise:
    """A 1x1 convolution: places as rows."""

    def __init__(self, layer: Layer) -> None:
        self.matrix = np.ascontiguousarray(layer.weight[:, :, 0, 0].T)
        self.bias = layer.bias

    def __call__(self, x: Array) -> Array:
        """(..., in) to (..., out), before ReLU6."""
        y = x.reshape(-1, len(self.matrix)) @ self.matrix
        y += self.bias
        return y.reshape(*x.shape[:-1], len(self.bias))


class Depthwise:
    """A convolution of each channel by itself, with TensorFlow's padding: an odd line goes below and to the right."""

    def __init__(self, layer: Layer, side: int) -> None:
        self.stride, self.bias, self.side = layer.stride, layer.bias, side
        self.kernel, self.size = layer.weight.shape[-1], len(layer.bias)
        self.out = -(-side // self.stride)
        padding = (self.out - 1) * self.stride + self.kernel - side
        self.before, self.padded = padding // 2, side + padding
        # With few channels einsum's inner loop would be short: where neighbours in a row lie side by side, it takes
        # several at once, for which the weights are repeated.
        self.together = 1
        while self.stride == 1 and self.together * self.size < RUN and self.out % (2 * self.together) == 0:
            self.together *= 2
        self.taps = np.tile(layer.weight[:, 0].transpose(1, 2, 0), (1, 1, self.together))

    def buffer(self) -> tuple[Array, Array]:
        """A padded input, (padded, padded, channels), and its inside, (side, side, channels), which is to be set."""
        buffer = np.empty((self.padded, self.padded, self.size), np.float32)
        end = self.before + self.side
        buffer[: self.before] = buffer[end:] = 0
        buffer[:, : self.before] = buffer[:, end:] = 0
        return buffer, buffer[self.before : end, self.before : end]

    def __call__(self, buffer: Array) -> Array:
        """The padded input to (out, out, channels), before ReLU6."""
        row, column, number = buffer.strides
        shape = (self.out, self.out // self.together, self.kernel, self.kernel, self.together * self.size)
        steps = (self.stride * row, self.together * self.stride * column, row, column, number)
        windows = as_strided(buffer, shape, steps, writeable=False)
        y = np.einsum("hwijc,ijc->hwc", windows, self.taps).reshape(self.out, self.out, self.size)
        y += self.bias
        return y


class Block:
    """An inverted residual block; the first one's input is not yet cut by ReLU6, as an expanded one is not."""

    def __init__(self, block: InvertedResidual, side: int) -> None:
        self.expand = Pointwise(block.expand) if block.expand else None
        self.depthwise = Depthwise(block.depthwise, side)
        self.project = Pointwise(block.project)
        self.residual = block.residual

    def __call__(self, x: Array) -> Array:
        """(side, side, in) to (side / stride, side / stride, out)."""
        buffer, inside = self.depthwise.buffer()
        _relu6(self.expand(x) if self.expand else x, inside)
        wide = self.depthwise(buffer)
        y = self.project(_relu6(wide, wide))
        if self.residual:
            y += x
        return y


class EfficientNetLite0:
    """The network; its numbers are those of `efficientnet_torch` but for rounding."""

    engine = "numpy"

    def __init__(self, layers: Layers) -> None:
        weight = layers.stem.weight / np.float32(SCALE)  # exact: a power of two
        self.stem = np.ascontiguousarray(weight.transpose(2, 3, 1, 0).reshape(-1, len(weight)))
        self.stem_bias = layers.stem.bias
        self.layers = layers.blocks
        self.blocks: dict[int, list[Block]] = {}  # by the side of the pictures, at first use
        self.head = Pointwise(layers.head)

    def features(self, pixels: NDArray[np.uint8]) -> NDArray[np.float16]:
        """The last grid of each picture: uint8 (B, side, side, 3) to (B, (side / 32) ** 2, 1280)."""
        features = np.empty((len(pixels), (pixels.shape[1] // STRIDE) ** 2, CHANNELS), np.float16)
        with single_threaded_products():
            for place, picture in enumerate(pixels):
                features[place] = self.grid(picture)
        return features

    @contextmanager
    def in_threads(self) -> Iterator[Callable[[], None]]:
        """While several threads call `features`: what each of them does first, here nothing."""
        yield lambda: None

    def grid(self, picture: NDArray[np.uint8]) -> Array:
        """The last grid of one picture: (side, side, 3) to ((side / 32) ** 2, 1280)."""
        x = self._stem(picture)
        for block in self._sized(len(picture)):
            x = block(x)
        y = self.head(x)
        return _relu6(y, y).reshape(-1, CHANNELS)

    def _sized(self, side: int) -> list[Block]:
        """The blocks for pictures of that side; threads that make them at once make the same."""
        if side not in self.blocks:
            blocks, inner = [], side // 2
            for block in self.layers:
                blocks.append(Block(block, inner))
                inner = blocks[-1].depthwise.out
            self.blocks[side] = blocks
        return self.blocks[side]

    def _stem(self, picture: NDArray[np.uint8]) -> Array:
        """(side, side, 3) to (side / 2, side / 2, 32), before ReLU6: a 3x3 convolution of stride 2 as one product."""
        side = len(picture)
        padded = np.zeros((side + 1, side + 1, 3), np.float32)
        np.subtract(picture, np.float32(MEAN), out=padded[:side, :side])
        row, column, number = padded.strides
        shape, steps = (side // 2, side // 2, 3, 9), (2 * row, 2 * column, row, number)
        windows = as_strided(padded, shape, steps, writeable=False).reshape(-1, 27)
        y = windows @ self.stem
        y += self.stem_bias
        return y.reshape(side // 2, side // 2, -1)


def _relu6(x: Array, out: Array) -> Array:
    """`x` cut to [0, 6], in `out`."""
    return np.clip(x, 0, 6, out=out)
