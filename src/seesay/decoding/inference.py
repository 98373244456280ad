"""A model made ready to be asked and not to be trained: its linear layers packed for the processor, or narrowed.

- float32: weights laid out once as oneDNN wants them, not at every product; the same numbers up to rounding.
- bf16: weights and inputs of linear layers in bfloat16, sums in float32. Fast where the processor multiplies bfloat16
  at a higher rate than float32 (AMD from Zen 4, or Intel's AMX); some have the instructions but not the rate.
- int8: weights in 8 bits with a scale for each output, inputs with a scale for each row, whole sums. A row's scale is
  its own, so a picture's caption does not depend on its neighbours.
A ReLU that follows a layer, leaky or not, is done where the products lie, before they leave a core's own memory.
Everything else (attention, normalisation, recurrent layers, small layers) stays as it is.
N rows, I inputs, O outputs, H hidden size.
"""

from __future__ import annotations

import copy
import weakref
from typing import Any

import torch
from torch import Tensor, nn

from seesay.decoding.settings import PRECISIONS
from seesay.errors import RecipeError, UnknownName
from seesay.nn.compiled.linear8 import Panels, bytes_library
from seesay.nn.transformer import FeedForward

NUMBERS = 1 << 17  # narrowed at a time
BLOCK = 512  # rows that go through two layers at a time
LEAST = 32  # a layer with fewer inputs or outputs gains nothing


def prepare(model: Any, precision: str = "float32") -> Any:
    """A copy of `model` for inference alone, at that precision; on a device that is no processor, bf16 or itself.

    Raises UnknownName for another precision, RecipeError for one that this machine or device has not.

    >>> layer = nn.Sequential(nn.Linear(64, 32))
    >>> x = torch.randn(3, 64)
    >>> bool((prepare(layer, "int8")(x) - layer(x)).abs().max() < 0.1)
    True
    """
    if precision not in PRECISIONS:
        raise UnknownName("precision", precision, PRECISIONS)
    device = next((part.device.type for part in model.parameters()), "cpu")
    packs = device == "cpu" and torch.backends.mkldnn.is_available()
    if precision == "int8" and not packs:
        raise RecipeError(f"precision: received int8 on {device}; expected a processor with oneDNN; take float32.")
    if precision == "float32" and not packs:
        return model
    kind = {"float32": Packed, "bf16": Packed16, "int8": Packed8}[precision]
    prepared = copy.deepcopy(model).eval()
    for part in list(prepared.modules()):
        sisters = {"narrowed": _Narrowed()} if precision == "int8" else {}
        for name, child in list(part.named_children()):
            if type(child) is nn.Linear and min(child.in_features, child.out_features) >= LEAST:
                setattr(part, name, kind(child, **sisters))
        if isinstance(part, nn.Sequential):
            _join(part)
    for part in list(prepared.modules()):
        for name, child in list(part.named_children()):
            if type(child) is FeedForward and isinstance(child.inner, kind) and isinstance(child.outer, kind):
                setattr(part, name, _Through(child))
    return prepared


def _join(layers: nn.Sequential) -> None:
    """Makes each ReLU, leaky or not, that follows a packed layer a part of it."""
    for number in range(len(layers) - 1):
        first, second = layers[number], layers[number + 1]
        if isinstance(first, Packed | Packed8) and type(second) in (nn.ReLU, nn.LeakyReLU):
            first.slope = float(getattr(second, "negative_slope", 0))
            layers[number + 1] = nn.Identity()


class _Through(nn.Module):
    """`FeedForward` in use: rows (..., H) go through both layers a block at a time."""

    def __init__(self, layer: FeedForward) -> None:
        super().__init__()
        inner: Any = layer.inner
        inner.slope = 0.0
        self.inner, self.outer, self.residual = inner, layer.outer, layer.residual

    def forward(self, x: Tensor) -> Tensor:
        """(..., H) to (..., H)."""
        rows = x.reshape(-1, x.shape[-1])
        blocks = rows.split(BLOCK) if x.device.type == "cpu" else (rows,)
        found = [self.residual.leave(some, self.outer(self.inner(self.residual.enter(some)))) for some in blocks]
        return (found[0] if len(found) == 1 else torch.cat(found)).view(x.shape)


class Packed(nn.Module):
    """`nn.Linear` in the same precision with its weights in oneDNN's own order: (..., I) to (..., O).

    With a `slope`, numbers below zero are multiplied by it afterwards.
    """

    dtype = torch.float32

    def __init__(self, layer: nn.Linear, slope: float | None = None) -> None:
        super().__init__()
        self.slope = slope
        self.out_features = layer.out_features
        self.bias = None if layer.bias is None else layer.bias.detach().to(self.dtype)
        self.weight = layer.weight.detach().to(self.dtype)
        self.packs = self.weight.device.type == "cpu" and torch.backends.mkldnn.is_available()
        if self.packs:
            self.weight = torch.ops.mkldnn._reorder_linear_weight(self.weight)

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        """What the layer makes of x, in the type of x."""
        if not self.packs or not x.numel():
            y = nn.functional.linear(x.to(self.dtype), self._plain(), self.bias)
            return (y if self.slope is None else nn.functional.leaky_relu_(y, self.slope)).to(x.dtype)
        after = ("none", []) if self.slope is None else ("leaky_relu", [self.slope]) if self.slope else ("relu", [])
        return torch.ops.mkldnn._linear_pointwise(x.to(self.dtype), self.weight, self.bias, *after, "").to(x.dtype)

    def _plain(self) -> Tensor:
        return self.weight.to_dense() if self.packs else self.weight


class Packed16(Packed):
    """The same with weights and inputs in bfloat16."""

    dtype = torch.bfloat16


class _Narrowed:
    """Rows in 8 bits with their scales, kept for the sisters of a layer: queries, keys and values have one input."""

    def __init__(self) -> None:
        # Processors without such an instruction add two products in 16 bits, where 7 bits of input are safe.
        self.zero = 128 if _multiplies_bytes() else 64
        self._of: Any = lambda: None  # a weak reference to the last input, and which state of it was seen
        self._version = -1
        self._kept: tuple[Tensor, Tensor] | None = None

    def __call__(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Rows (N, I) of x (..., I) as unsigned bytes, and what one of them is worth in each row, (N, 1)."""
        version = -1 if x.is_inference() else x._version
        if self._kept is None or self._of() is not x or version != self._version or version < 0:
            self._of, self._version, self._kept = weakref.ref(x), version, self._narrow(x.reshape(-1, x.shape[-1]))
        return self._kept

    def _narrow(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        whole, most = torch.empty(rows.shape, dtype=torch.int8), _largest(rows).float()
        each, often = max(1, NUMBERS // max(1, rows.shape[1])), (self.zero - 1) / most
        # In blocks that stay in a core's own memory.
        for some, into, times in zip(rows.split(each), whole.split(each), often.split(each), strict=True):
            into.copy_(torch.mul(some, times).round_())
        # oneDNN is quick with unsigned inputs alone: the zero stands in their middle.
        return whole.view(torch.uint8).add_(self.zero), most.div_(self.zero - 1)

    def __deepcopy__(self, memo: Any) -> _Narrowed:
        return _Narrowed()


class Packed8(nn.Module):
    """`nn.Linear` over 8 bits: round(127 w / max|w|) for each output, round(127 x / max|x|) for each row.

    With a `slope`, numbers below zero are multiplied by it afterwards.
    """

    def __init__(self, layer: nn.Linear, narrowed: _Narrowed, slope: float | None = None) -> None:
        super().__init__()
        self.slope = slope
        weight = layer.weight.detach().float()
        self.narrowed = narrowed
        self.out_features = layer.out_features
        self.bias = None if layer.bias is None else layer.bias.detach().float()
        self.scales = _largest(weight).squeeze(1) / 127
        whole = (weight / self.scales.unsqueeze(1)).round_().to(torch.int8)
        found = bytes_library()
        self.panels = None if found is None else Panels(found, whole, self.scales, self.bias)
        if found is None:
            self.weight = torch.ops.onednn.qlinear_prepack(whole, None)
            self.zeros = torch.zeros(len(whole), dtype=torch.int32)

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        """What the layer makes of x (..., I), in the type of x."""
        if not x.numel():
            return x.new_zeros(*x.shape[:-1], self.out_features)
        if self.panels is not None:
            y = self.panels(x.reshape(-1, x.shape[-1]).float(), self.slope)
            return y.view(*x.shape[:-1], self.out_features).to(x.dtype)
        whole, scale = self.narrowed(x)
        product, zero = torch.ops.onednn.qlinear_pointwise, self.narrowed.zero
        y = product(whole, 1.0, zero, self.weight, self.scales, self.zeros, None, 1.0, 0, torch.float32, "none", [], "")
        y = y.mul_(scale) if self.bias is None else torch.addcmul(self.bias, y, scale, out=y)
        if self.slope is not None:
            y = nn.functional.leaky_relu_(y, self.slope) if self.slope else y.relu_()
        return y.view(*x.shape[:-1], self.out_features).to(x.dtype)


def _largest(rows: Tensor) -> Tensor:
    """The greatest magnitude of each row, (N, 1), and never zero."""
    # Without a copy of their magnitudes, which would cost as much as the product of a narrow layer.
    return torch.maximum(rows.amax(1, keepdim=True), -rows.amin(1, keepdim=True)).clamp_min_(1e-30)


def _multiplies_bytes() -> bool:
    found = torch.cpu.get_capabilities()
    return any(bool(found.get(name)) for name in ("avx512_vnni", "avx_vnni", "amx_int8"))
