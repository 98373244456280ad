"""RNN, GRU and LSTM over sequences as modules: each is one operation of the graph, with the gradients of `rnn.py`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import DTypeLike

from seesay.errors import DataError
from seesay.scratch import rnn
from seesay.scratch.arrays import Array
from seesay.scratch.graph import recording
from seesay.scratch.module import Module, Parameter
from seesay.scratch.recurrent import Recurrent
from seesay.scratch.tensor import Tensor, as_tensor, joint

Seed = np.random.Generator | int
State: TypeAlias = Any  # h, or a pair (h, c) for an LSTM; Tensors or arrays
Lengths: TypeAlias = Sequence[int] | Array | None


class RecurrentModule(Module):
    """What RNN, GRU and LSTM have in common; use one of these.

    Called with x (T, B, I), or (B, T, I) where `batch_first`, or (T, I), a state (zeros where None), and the true
    lengths (B,) in any order, 0 allowed, where sequences are padded; returns outputs and the last state, as torch.nn
    does. Gradients reach x, the initial state and the parameters, and may come through the last state alone.

    Raises DataError for wrong shapes and dtypes, naming them.
    """

    def __init__(self, layer: Recurrent[Any]) -> None:
        super().__init__()
        self._layer = layer
        self.generator = layer.generator
        self.input_size, self.hidden_size, self.num_layers = layer.input_size, layer.hidden_size, layer.num_layers
        self.bias, self.batch_first, self.bidirectional = layer.bias, layer.batch_first, layer.bidirectional
        self.dropout, self.proj_size = layer.dropout, layer.proj_size
        for name, array in layer.parameters.items():
            setattr(self, name, Parameter(array))

    @property
    def layer(self) -> Recurrent[Any]:
        """The layer of `rnn.py` over the very arrays of this module's parameters, as they are now."""
        self._layer.parameters = {name: parameter.data for name, parameter in self.weights().items()}
        self._layer.dtype = next(iter(self._layer.parameters.values())).dtype
        self._layer.training, self._layer.generator, self._layer.dropout = self.training, self.generator, self.dropout
        return self._layer

    def weights(self) -> dict[str, Parameter]:
        """The layer's own parameters in torch's order, whatever a subclass adds and in what order they were set."""
        held = dict(self.own_parameters())
        missing = [name for name in self._layer.parameter_shapes() if name not in held]
        if missing:
            raise DataError(f"{missing[0]}: received no Parameter of this name; expected nn.Parameter(array).")
        return {name: held[name] for name in self._layer.parameter_shapes()}

    def forward(self, x: Any, state: State = None, lengths: Lengths = None) -> tuple[Tensor, Any]:
        """Outputs and last state; see the class."""
        layer, given = self.layer, as_tensor(x)
        if state is not None and len(layer.state_sizes()) == 2:
            _expect_pair(state)
        several = isinstance(state, tuple | list)
        parts = [] if state is None else [as_tensor(part) for part in (state if several else [state])]
        first = None if state is None else tuple(p.data for p in parts) if several else parts[0].data
        operands = [given, *parts, *self.weights().values()]
        if not recording(operands):
            output, last = layer(given.data, first, lengths)
            return Tensor(output), _tensors(last)
        output, last, cache = layer.forward(given.data, first, lengths)
        ends = list(last) if isinstance(last, tuple) else [last]

        def back(gradients: list[Array | None]) -> list[Array]:
            found = layer.backward(cache, gradients[0], _filled(gradients[1:], shapes, layer.dtype))
            states = list(found.state) if isinstance(found.state, tuple) else [found.state]
            return [found.x, *states[: len(parts)], *found.parameters.values()]

        shapes = [end.shape for end in ends]
        whole, *tensors = joint([output, *ends], operands, back)
        return whole, tuple(tensors) if len(tensors) > 1 else tensors[0]


def _expect_pair(state: State) -> None:
    if not isinstance(state, tuple | list) or len(state) != 2:
        received = f"{len(state)} parts" if isinstance(state, tuple | list) else type(state).__name__
        raise DataError(f"state: expected a pair (h, c), received {received}.")


def _tensors(state: Any) -> Any:
    return tuple(Tensor(part) for part in state) if isinstance(state, tuple) else Tensor(state)


def _filled(gradients: list[Array | None], shapes: list[tuple[int, ...]], dtype: DTypeLike) -> Any:
    """The gradient by the last state in its own form, zeros for a part without one; None where no part has one."""
    if all(d is None for d in gradients):
        return None
    filled = [np.zeros(shape, dtype) if d is None else d for d, shape in zip(gradients, shapes, strict=True)]
    return tuple(filled) if len(filled) > 1 else filled[0]


class RNN(RecurrentModule):
    """h_t = tanh(x_t W_ihᵀ + b_ih + h_{t-1} W_hhᵀ + b_hh), or relu with `nonlinearity="relu"`, as torch.nn.RNN.

    >>> layer = RNN(3, 5, num_layers=2, bidirectional=True)
    >>> output, h_n = layer(np.zeros((7, 2, 3), np.float32), lengths=[7, 4])
    >>> output.shape, h_n.shape
    ((7, 2, 10), (4, 2, 5))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        dtype: DTypeLike = np.float32,
        seed: Seed = 0,
    ) -> None:
        arguments = (num_layers, nonlinearity, bias, batch_first, dropout, bidirectional, dtype, seed)
        super().__init__(rnn.RNN(input_size, hidden_size, *arguments))
        self.nonlinearity = nonlinearity


class GRU(RecurrentModule):
    """Gated recurrent units, gates in the order r z n, as torch.nn.GRU.

    >>> output, h_n = GRU(3, 5, batch_first=True)(np.zeros((2, 7, 3), np.float32))
    >>> output.shape, h_n.shape
    ((2, 7, 5), (1, 2, 5))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        dtype: DTypeLike = np.float32,
        seed: Seed = 0,
    ) -> None:
        arguments = (num_layers, bias, batch_first, dropout, bidirectional, dtype, seed)
        super().__init__(rnn.GRU(input_size, hidden_size, *arguments))


class LSTM(RecurrentModule):
    """Long short-term memory, gates in the order i f g o, state (h, c), projected where `proj_size`, as torch.nn.LSTM.

    >>> output, (h_n, c_n) = LSTM(3, 5, proj_size=2)(np.zeros((7, 1, 3), np.float32))
    >>> output.shape, h_n.shape, c_n.shape
    ((7, 1, 2), (1, 1, 2), (1, 1, 5))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        dtype: DTypeLike = np.float32,
        seed: Seed = 0,
    ) -> None:
        arguments = (num_layers, bias, batch_first, dropout, bidirectional, proj_size, dtype, seed)
        super().__init__(rnn.LSTM(input_size, hidden_size, *arguments))
