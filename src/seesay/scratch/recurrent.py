"""What RNN, GRU and LSTM have in common: parameters, shapes, lengths, dropout, and the way back."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar

import numpy as np
from numpy.typing import DTypeLike

from seesay.cores import single_threaded_products
from seesay.errors import DataError
from seesay.scratch import cells
from seesay.scratch.arrays import (
    Array,
    State,
    Weights,
    expect,
    expect_float,
    expect_lengths,
    expect_probability,
    generator_from,
)
from seesay.scratch.compiled.kernel import CompiledKernel, faster
from seesay.scratch.masked import MaskedKernel
from seesay.scratch.memory import Memory
from seesay.scratch.packing import Packing
from seesay.scratch.sequence import Kernel
from seesay.scratch.shares import ROWS_A_SHARE, SHARES, Done, Lengths, backward_shares, forward_shares, share_out
from seesay.scratch.stack import worth_a_thread
from seesay.scratch.threads import get_num_threads

S = TypeVar("S")
_PARTS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr")


class LayerGradients(NamedTuple):
    """Gradients of a loss by a layer's input, initial state and parameters, each in the shape of what it is by."""

    x: Array
    state: Any  # as the layer's state: an array, or a pair for an LSTM
    parameters: dict[str, Array]


@dataclass
class Cache:
    """What `Recurrent.forward` hands to `Recurrent.backward`. Good for one way back, which works inside it."""

    layer: Any  # whose it is
    done: list[Done]
    time: int
    batch: int
    batched: bool
    spent: bool = False


class Recurrent(ABC, Generic[S]):
    """A stack of recurrent layers; use RNN, GRU or LSTM.

    Called with x (T, B, I), or (B, T, I) where `batch_first`, or (T, I) for one sequence, and an initial state of
    (L D, B, P) for each part (zero where None): L layers, D directions, layer-major, forwards before backwards. Returns
    the last layer's outputs (T, B, D P) and the state after each sequence's last step, both as torch.nn does.

    `lengths` (B,) are the true lengths, in any order; 0 is allowed and leaves the state as it was. The backward
    direction starts at each sequence's own end. Outputs beyond the end are zero and what x holds there is never used.

    `dropout` acts between layers while `training`, drawn from `generator`: from equal seeds equal calls follow.
    `parameters` may be replaced or changed in place between calls, but not between `forward` and its `backward`, and
    neither may x. Arrays of the caller are never written to.

    Raises DataError for an array of a wrong shape or dtype, naming it with expected and received shapes.
    """

    gates: ClassVar[int]

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int,
        bias: bool,
        batch_first: bool,
        dropout: float,
        bidirectional: bool,
        proj_size: int,
        dtype: DTypeLike,
        seed: np.random.Generator | int,
    ) -> None:
        sizes = {"input_size": input_size, "hidden_size": hidden_size, "num_layers": num_layers}
        for name, size in {**sizes, "proj_size": proj_size}.items():
            if isinstance(size, bool) or not isinstance(size, int | np.integer):
                raise DataError(f"{name}: expected a whole number, received {size!r}.")
            if size < 1 and name in sizes:
                raise DataError(f"{name}: expected 1 or more, received {size}.")
        expect_probability("dropout", dropout)
        if not 0 <= proj_size < hidden_size:
            raise DataError(f"proj_size: expected 0 to hidden_size - 1 = {hidden_size - 1}, received {proj_size}.")
        expect_float("dtype", dtype)
        self.input_size, self.hidden_size, self.num_layers, self.proj_size = (
            input_size,
            hidden_size,
            num_layers,
            proj_size,
        )
        self.bias, self.batch_first, self.dropout, self.bidirectional = bias, batch_first, dropout, bidirectional
        self.directions = 2 if bidirectional else 1
        self.dtype = np.dtype(dtype)
        self.training = True
        self.generator = generator_from(seed)
        self.memory = Memory()
        bound = hidden_size**-0.5
        self.parameters = {
            name: self.generator.uniform(-bound, bound, shape).astype(self.dtype)
            for name, shape in self.parameter_shapes().items()
        }

    @abstractmethod
    def kernel(self) -> Kernel:
        """The kernel of the packed road."""

    @abstractmethod
    def cell(self) -> tuple[cells.Step, cells.StepBack]:
        """One step and its gradient, for the masked road."""

    @abstractmethod
    def pack_state(self, state: Any, name: str) -> State:
        """The state as the kernels hold it, from the caller's."""

    @abstractmethod
    def unpack_state(self, state: State) -> S:
        """The state as the caller holds it, from the kernels'."""

    def state_sizes(self) -> dict[str, int]:
        """Names and sizes of the state's parts."""
        return {"h": self.hidden_size}

    def parameter_shapes(self) -> dict[str, tuple[int, ...]]:
        """Names and shapes of the parameters, in torch.nn's order."""
        rows, out = self.gates * self.hidden_size, self.proj_size or self.hidden_size
        shapes: dict[str, tuple[int, ...]] = {}
        for layer in range(self.num_layers):
            columns = self.directions * out if layer else self.input_size
            for suffix in ("", "_reverse")[: self.directions]:
                shapes[f"weight_ih_l{layer}{suffix}"] = (rows, columns)
                shapes[f"weight_hh_l{layer}{suffix}"] = (rows, out)
                if self.bias:
                    shapes |= {f"bias_{part}_l{layer}{suffix}": (rows,) for part in ("ih", "hh")}
                if self.proj_size:
                    shapes[f"weight_hr_l{layer}{suffix}"] = (out, self.hidden_size)
        return shapes

    def weights(self) -> list[list[Weights]]:
        """The parameters by layer and direction; raises DataError where one is missing or of a wrong shape or dtype."""
        for name, shape in self.parameter_shapes().items():
            expect(name, self.parameters.get(name), {f"axis {i}": size for i, size in enumerate(shape)}, self.dtype)
        return [
            [
                Weights(*(self.parameters.get(f"{part}_l{layer}{suffix}") for part in _PARTS))  # type: ignore[arg-type]
                for suffix in ("", "_reverse")[: self.directions]
            ]
            for layer in range(self.num_layers)
        ]

    def train(self, mode: bool = True) -> None:
        """Turns dropout on, or off with False."""
        self.training = mode

    def eval(self) -> None:
        """Turns dropout off."""
        self.train(False)

    def __call__(
        self, x: Array, state: S | None = None, lengths: Sequence[int] | Array | None = None
    ) -> tuple[Array, S]:
        """Outputs and last state; see the class."""
        output, last, cache = self.forward(x, state, lengths)
        for one in cache.done:
            one.cache.release()
        return output, last

    def forward(
        self,
        x: Array,
        state: S | None = None,
        lengths: Sequence[int] | Array | None = None,
        masked: bool = False,
        factors: Sequence[Array] | None = None,
    ) -> tuple[Array, S, Cache]:
        """Outputs, last state, and the cache that one call of `backward` needs.

        `masked` takes the readable road through `cells.py` and padded steps, with the same results. `factors`, one
        array (T, B, D P) for each gap between layers or none at all, stand in for those that dropout would draw.
        """
        batched = getattr(x, "ndim", 3) != 2
        expect("x", x, self._axes(None, None, batched) | {"input_size": self.input_size}, self.dtype)
        if not batched and lengths is not None:
            raise DataError(
                "lengths: expected a batch (three axes), received one sequence; cut it to its length instead."
            )
        x = self._time_first(x, batched)
        time, batch = x.shape[:2]
        parts = self._state_parts("state", state, batch, batched)
        counts = None if lengths is None else expect_lengths(lengths, time, batch)
        layers = self.weights()

        rows = time * batch if counts is None else int(counts.sum())
        threads = 1 if self.bidirectional else get_num_threads()
        packed = self.kernel()
        if not masked:
            packed = faster(packed, layers[0][0], rows, threads)
        # A compiled kernel shares its rows out itself, so that a weight's gradient is one sum on any number of threads.
        in_shares = (
            not masked and not isinstance(packed, CompiledKernel) and worth_a_thread(packed, layers[0][0], batch, rows)
        )
        shares = share_out(counts, batch, max(1, min(threads if in_shares else 1, batch // ROWS_A_SHARE, SHARES)))

        def kernel(size: int, some: Lengths | None) -> tuple[Kernel, Packing]:
            if not masked:
                return packed, Packing(time, size, some)
            return MaskedKernel(*self.cell(), np.full(size, time) if some is None else some), Packing(time, size)

        masks = self._dropout_masks(time, batch) if factors is None else factors
        with single_threaded_products():
            output, last, done = forward_shares(kernel, layers, x, parts, counts, masks, shares, self.memory)
        return (
            self._as_given(output, batched),
            self._state_as_given(last, batched),
            Cache(self, done, time, batch, batched),
        )

    def backward(self, cache: Cache, doutput: Array | None = None, dstate: S | None = None) -> LayerGradients:
        """Gradients by input, initial state and parameters, given those by the outputs and by the last state.

        None stands for zeros. A cache serves once; a second call raises DataError.
        """
        if not isinstance(cache, Cache) or cache.layer is not self:
            raise DataError("cache: expected one of this layer's own forward, received another; keep them apart.")
        if cache.spent:
            raise DataError("cache: expected one that no backward has used, received a spent one; run forward again.")
        time, batch, width = cache.time, cache.batch, self.directions * self.state_sizes()["h"]
        parts = self._state_parts("dstate", dstate, batch, cache.batched)
        if doutput is None:
            dout = np.zeros((time, batch, width), self.dtype)
        else:
            expect("doutput", doutput, self._axes(time, batch, cache.batched) | {"output": width}, self.dtype)
            dout = self._time_first(doutput, cache.batched)
        cache.spent = True
        with single_threaded_products():
            dx, first, weights = backward_shares(cache.done, dout, parts)
        cache.done = []
        arrays = (part for one in weights for part in one if part is not None)
        by_name = dict(zip(self.parameter_shapes(), arrays, strict=True))
        return LayerGradients(self._as_given(dx, cache.batched), self._state_as_given(first, cache.batched), by_name)

    def _axes(self, time: int | None, batch: int | None, batched: bool) -> dict[str, int | None]:
        if not batched:
            return {"time": time}
        return {"batch": batch, "time": time} if self.batch_first else {"time": time, "batch": batch}

    def _time_first(self, x: Array, batched: bool) -> Array:
        if not batched:
            return x[:, None]
        return x.swapaxes(0, 1) if self.batch_first else x

    def _as_given(self, x: Array, batched: bool) -> Array:
        if not batched:
            return x[:, 0]
        return x.swapaxes(0, 1) if self.batch_first else x

    def _state_parts(self, name: str, state: S | None, batch: int, batched: bool) -> State:
        """The parts of a state or of its gradient, each (L D, B, size); zeros where there is none."""
        layers = self.num_layers * self.directions
        if state is None:
            return tuple(np.zeros((layers, batch, size), self.dtype) for size in self.state_sizes().values())
        parts = self.pack_state(state, name)
        for (letter, size), part in zip(self.state_sizes().items(), parts, strict=True):
            axes = {"layers x directions": layers} | ({"batch": batch} if batched else {}) | {"size": size}
            expect(f"{name} {letter}", part, axes, self.dtype)
        return parts if batched else tuple(part[:, None] for part in parts)

    def _state_as_given(self, state: State, batched: bool) -> S:
        return self.unpack_state(state if batched else tuple(part[:, 0] for part in state))

    def _dropout_masks(self, time: int, batch: int) -> list[Array]:
        """For each gap between layers, (T, B, D P) of 0 and 1/(1 - p), so that the expected value stays."""
        if not (self.training and self.dropout and self.num_layers > 1):
            return []
        shape, kept = (time, batch, self.directions * self.state_sizes()["h"]), 1 - self.dropout
        factor = np.asarray(1 / kept if kept else 0, self.dtype)
        draws = (self.generator.random(shape, self.dtype) for _ in range(self.num_layers - 1))  # type: ignore[arg-type]
        return [(draw >= self.dropout) * factor for draw in draws]
