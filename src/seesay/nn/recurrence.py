"""What the recurrent layers of `recurrent.py` have in common: parameters, shapes, lengths, dropout, and the two roads.

On the CPU the whole stack is one operation with the scratch engine's gradients (see `by_hand.py`); on other devices,
and in half precision, torch's kernels run layer by layer (see `vendor.py`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from seesay.errors import DataError
from seesay.nn import by_hand, vendor
from seesay.nn.dropout import keep_factors
from seesay.nn.sequences import Lengths, counts_of
from seesay.scratch.recurrent import Recurrent

State: TypeAlias = Any  # h (L D, B, P), or a pair (h, c) for an LSTM


class Recurrence(nn.Module):
    """What RNN, GRU and LSTM have in common; use one of these.

    Called with x (T, B, I), or (B, T, I) where `batch_first`, or (T, I) for one sequence, a state of parts (L D, B, P)
    (zeros where None) and the true lengths (B,), on the CPU, of padded sequences; returns the last layer's outputs
    (T, B, D P) and the state after each sequence's last step. L layers, D directions; a layer sees both directions of
    the one below. The backward direction starts at each sequence's own end. Outputs beyond an end are zero, what x
    holds there is never used, and a sequence of length 0 hands its state through.

    In training `dropout` acts between layers, on each number by itself or, where `variational`, with one mask for all
    steps of a sequence (Gal and Ghahramani 2016). It draws from torch's generator of the device, or from `generator`.

    From equal seeds and numbers of threads follow equal bits, in one process and in several. On the CPU, where the
    scratch engine takes on torch's number of threads, layers of two directions and all that run compiled (see
    `seesay.scratch.compiled`) have the same bits on any number. There the layer computes in the dtype of its weights,
    float32 under autocast too, and its gradients cannot be differentiated again, which torch refuses. Where `by_hand`
    is False, torch's own kernels do it all, and can.

    Raises DataError for arguments, shapes, dtypes and lengths that do not fit, naming them.
    """

    def __init__(
        self,
        kind: str,
        engine: Recurrent[Any],
        variational: bool,
        generator: torch.Generator | None,
        device: torch.device | str | None,
        dtype: torch.dtype | None,
    ) -> None:
        super().__init__()
        if generator is not None and not isinstance(generator, torch.Generator):
            raise DataError(
                f"generator: received {generator!r:.40}; expected a torch.Generator, or None for torch's own."
            )
        engine.parameters = {}  # it gets this module's at every call
        self._kind, self._engine = kind, engine
        self.input_size, self.hidden_size, self.num_layers = engine.input_size, engine.hidden_size, engine.num_layers
        self.bias, self.batch_first, self.bidirectional = engine.bias, engine.batch_first, engine.bidirectional
        self.dropout, self.proj_size, self.variational = engine.dropout, engine.proj_size, variational
        self.generator, self.by_hand = generator, True
        engine.batch_first = False  # both roads run time first
        for name, shape in engine.parameter_shapes().items():
            setattr(self, name, nn.Parameter(torch.empty(shape, device=device, dtype=dtype)))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws all parameters anew, evenly between ±1/√H: the very numbers that torch.nn draws from the same seed."""
        bound = 1 / math.sqrt(self.hidden_size)
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -bound, bound)

    def forward(self, x: Tensor, state: State = None, lengths: Lengths | None = None) -> tuple[Tensor, State]:
        """Outputs and last state; see the class."""
        weights = [getattr(self, name) for name in self._engine.parameter_shapes()]  # a parametrization may make them
        x, parts = self._cast([x, *self._parts_of(state)], weights[0])
        batched = self._check(x, parts, weights[0], lengths)
        x, parts = (x, parts) if batched else (x.unsqueeze(1), [part.unsqueeze(1) for part in parts])
        turned = batched and self.batch_first
        x = x.transpose(0, 1) if turned else x
        counts = None if lengths is None else counts_of(lengths, *x.shape[:2])
        output, last = self._run(x, parts, weights, counts)
        if not batched:
            output, last = output.squeeze(1), [part.squeeze(1) for part in last]
        return output.transpose(0, 1) if turned else output, tuple(last) if len(last) > 1 else last[0]

    def _run(
        self, x: Tensor, parts: list[Tensor], weights: list[Tensor], counts: Tensor | None
    ) -> tuple[Tensor, list[Tensor]]:
        """Time first, with a batch, all checked."""
        factors = self._factors(x)
        if self.by_hand and x.device.type == "cpu" and weights[0].dtype in (torch.float32, torch.float64):
            return by_hand.recurrence(self._engine, x, parts, weights, counts, factors)
        if not parts:
            sizes, rows = self._engine.state_sizes().values(), self.num_layers * self._engine.directions
            parts = [weights[0].new_zeros(rows, x.shape[1], size) for size in sizes]
        each = len(weights) // (self.num_layers * self._engine.directions)
        directions = [weights[low : low + each] for low in range(0, len(weights), each)]
        width = self._engine.directions
        layers = [directions[low : low + width] for low in range(0, len(directions), width)]
        return vendor.recurrence(self._kind, x, parts, layers, counts, factors)

    def _factors(self, x: Tensor) -> list[Tensor]:
        """For each gap between layers (T, B, D P) of 0 and 1/(1 - p), so that the expected value stays."""
        if not (self.training and self.dropout and self.num_layers > 1):
            return []
        steps, batch = x.shape[:2]
        shape = (1 if self.variational else steps, batch, self._width)
        drawn = (keep_factors(shape, self.dropout, x, self.generator) for _ in range(self.num_layers - 1))
        return [one.expand(steps, -1, -1) for one in drawn]

    @property
    def _width(self) -> int:
        return self._engine.directions * self._engine.state_sizes()["h"]

    def _parts_of(self, state: State) -> list[Tensor]:
        """The parts of a state, none of None."""
        parts: Any = () if state is None else self._engine.pack_state(state, "state")
        return list(parts)

    def _cast(self, given: list[Tensor], weight: Tensor) -> tuple[Tensor, list[Tensor]]:
        """x and the state's parts; under autocast on the CPU in the weights' dtype, since others may have halved it."""
        for tensor in given:
            if not isinstance(tensor, Tensor):
                raise DataError(f"x and state: expected tensors, received {type(tensor).__name__}.")
        if given[0].device.type == "cpu" and torch.is_autocast_enabled("cpu"):
            given = [tensor.to(weight.dtype) for tensor in given]
        return given[0], given[1:]

    def _check(self, x: Tensor, parts: list[Tensor], weight: Tensor, lengths: Lengths | None) -> bool:
        """Whether x is a batch; raises DataError for what does not fit."""
        batched = x.dim() != 2
        if not batched and lengths is not None:
            raise DataError(
                "lengths: expected a batch (three axes), received one sequence; cut it to its length instead."
            )
        lead = ["time"] if not batched else ["batch", "time"] if self.batch_first else ["time", "batch"]
        _expect("x", x, dict.fromkeys(lead) | {"input_size": self.input_size}, weight)
        rows = {"layers x directions": self.num_layers * self._engine.directions}
        batch = {"batch": x.shape[lead.index("batch")]} if batched else {}
        sizes = self._engine.state_sizes() if parts else {}
        for (letter, size), part in zip(sizes.items(), parts, strict=True):
            _expect(f"state {letter}", part, rows | batch | {"size": size}, weight)
        return batched

    def extra_repr(self) -> str:
        """As torch's own shows itself."""
        shown = f"{self.input_size}, {self.hidden_size}"
        usual: dict[str, Any] = {"nonlinearity": "tanh", "num_layers": 1, "bias": True, "batch_first": False}
        usual |= {"dropout": 0.0, "bidirectional": False, "proj_size": 0, "variational": False, "by_hand": True}
        for name, value in usual.items():
            if getattr(self, name, value) != value:
                shown += f", {name}={getattr(self, name)!r}"
        return shown


def _expect(name: str, tensor: Tensor, axes: Mapping[str, int | None], like: Tensor) -> None:
    """Raises DataError unless a tensor has these axes, and the weights' device and (but for autocast) dtype."""
    free = torch.is_autocast_enabled(like.device.type) if like.device.type != "meta" else False
    fits = tensor.dim() == len(axes) and all(
        size in (None, found) for size, found in zip(axes.values(), tensor.shape, strict=True)
    )
    if fits and tensor.device == like.device and (free or tensor.dtype == like.dtype):
        return
    wanted = ", ".join(axis if size is None else f"{axis}={size}" for axis, size in axes.items())
    kinds = [f"{str(one.dtype).removeprefix('torch.')} on {one.device}" for one in (like, tensor)]
    raise DataError(f"{name}: expected ({wanted}) of {kinds[0]}, received {tuple(tensor.shape)} of {kinds[1]}.")
