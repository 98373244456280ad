"""Linear layers over 8 bits in C, where the processor multiplies bytes by fours. N rows, I inputs, O outputs."""

from __future__ import annotations

import torch
from torch import Tensor

from seesay.nn.compiled.binding import Library, Linear8, library

COLUMNS, CHUNK = 64, 96  # as in linear8.h


def bytes_library() -> Library | None:
    """The library, where it is one that multiplies bytes."""
    found = library()
    return found if found is not None and found.multiplies_bytes else None


class Panels:
    """A layer's weights as the kernel wants them: bytes (O, I), their scales (O,), the bias (O,) or none."""

    def __init__(self, found: Library, whole: Tensor, scales: Tensor, bias: Tensor | None) -> None:
        self.library = found
        self.outputs, self.size = whole.shape
        more, beyond = -self.size % 4, -self.outputs % COLUMNS
        padded = torch.nn.functional.pad(whole, (0, more, 0, beyond))
        panels = padded.view(-1, COLUMNS, (self.size + more) // 4, 4)
        self.weight = panels.transpose(1, 2).contiguous()
        self.start = -128 * padded.sum(1, dtype=torch.int32)
        self.scale = torch.nn.functional.pad(scales, (0, beyond))
        self.bias = scales.new_zeros(len(padded)) if bias is None else torch.nn.functional.pad(bias, (0, beyond))

    def __call__(self, x: Tensor, slope: float | None = None) -> Tensor:
        """(N, O) of float32 rows x (N, I); numbers below zero are multiplied by `slope`."""
        x, y = x.contiguous(), x.new_empty(len(x), self.outputs)
        parts = self.library.parts(len(x), 2 * len(x) * self.size * self.outputs // 16)
        narrow = x.new_empty(parts * CHUNK * (self.size + 3), dtype=torch.uint8)
        job = Linear8(rows=len(x), size=self.size, outputs=self.outputs, slope=1.0 if slope is None else slope)
        job.put(x=x, weight=self.weight, start=self.start, scale=self.scale, bias=self.bias, y=y, narrow=narrow)
        self.library.run("linear8", job, parts)
        return y
