"""RNN, GRU and LSTM over sequences: torch.nn's layers on NumPy arrays, with gradients derived by hand.

    layer = LSTM(input_size=40, hidden_size=64, num_layers=2, bidirectional=True)
    output, (h_n, c_n), cache = layer.forward(x, lengths=lengths)      # x (T, B, I)
    gradients = layer.backward(cache, doutput)                         # of x, of the state, of every parameter by name

`layer(x, state, lengths)` is `forward` without the cache. Weights are in `layer.parameters`, under torch.nn's names and
in its order, and move either way by name.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from seesay.errors import DataError
from seesay.scratch import cells
from seesay.scratch.arrays import Array, State
from seesay.scratch.recurrent import Recurrent
from seesay.scratch.sequence import Kernel
from seesay.scratch.sequence_gru import GRUKernel
from seesay.scratch.sequence_lstm import LSTMKernel
from seesay.scratch.sequence_rnn import RNNKernel

Seed = np.random.Generator | int


class _OnePart(Recurrent[Array]):
    """A layer whose state is h alone."""

    def pack_state(self, state: Any, name: str) -> State:
        """The state as the kernels hold it."""
        return (state,)

    def unpack_state(self, state: State) -> Array:
        """The state as the caller holds it."""
        return state[0]


class RNN(_OnePart):
    """h_t = tanh(x_t W_ihᵀ + b_ih + h_{t-1} W_hhᵀ + b_hh), or relu with `nonlinearity="relu"` (Elman 1990).

    Arguments, parameter names, shapes and results are those of torch.nn.RNN; mind that `nonlinearity` comes before
    `bias` here and is missing in the other two. See `Recurrent` for calls, lengths and gradients.

    >>> layer = RNN(input_size=3, hidden_size=5, num_layers=2, bidirectional=True)
    >>> output, h_n = layer(np.zeros((7, 2, 3), np.float32))  # 7 steps, 2 sequences
    >>> output.shape, h_n.shape
    ((7, 2, 10), (4, 2, 5))
    """

    gates = 1

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
        if nonlinearity not in ("tanh", "relu"):
            raise DataError(f"nonlinearity: expected 'tanh' or 'relu', received {nonlinearity!r}.")
        self.nonlinearity = nonlinearity
        super().__init__(input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, 0, dtype, seed)

    def kernel(self) -> Kernel:
        """The kernel of the packed road."""
        return RNNKernel(self.nonlinearity == "relu", self.memory)

    def cell(self) -> tuple[cells.Step, cells.StepBack]:
        """One step and its gradient, for the masked road."""
        relu = self.nonlinearity == "relu"
        return (lambda x, state, w: cells.rnn_step(x, state, w, relu)), cells.rnn_step_back


class GRU(_OnePart):
    """Gated recurrent units: `cells.gru_step` over sequences (Cho et al. 2014).

    Arguments, parameter names, shapes and results are those of torch.nn.GRU, gates in the order r z n. See `Recurrent`
    for calls, lengths and gradients.

    >>> layer = GRU(input_size=3, hidden_size=5, batch_first=True)
    >>> output, h_n = layer(np.zeros((2, 7, 3), np.float32), lengths=[7, 4])
    >>> output.shape, h_n.shape, output[1, 4:].any().item()
    ((2, 7, 5), (1, 2, 5), False)
    """

    gates = 3

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
        super().__init__(input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, 0, dtype, seed)

    def kernel(self) -> Kernel:
        """The kernel of the packed road."""
        return GRUKernel(self.memory)

    def cell(self) -> tuple[cells.Step, cells.StepBack]:
        """One step and its gradient, for the masked road."""
        return cells.gru_step, cells.gru_step_back


class LSTM(Recurrent[tuple[Array, Array]]):
    """Long short-term memory: `cells.lstm_step` over sequences (Hochreiter and Schmidhuber 1997).

    Arguments, parameter names, shapes and results are those of torch.nn.LSTM, gates in the order i f g o; the state is
    (h, c). With `proj_size` P > 0 outputs and h are projected to P (Sak et al. 2014). See `Recurrent` for calls,
    lengths and gradients.

    >>> layer = LSTM(input_size=3, hidden_size=5, proj_size=2)
    >>> output, (h_n, c_n) = layer(np.zeros((7, 4, 3), np.float32))
    >>> output.shape, h_n.shape, c_n.shape
    ((7, 4, 2), (1, 4, 2), (1, 4, 5))
    """

    gates = 4

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
        super().__init__(
            input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, proj_size, dtype, seed
        )

    def kernel(self) -> Kernel:
        """The kernel of the packed road."""
        return LSTMKernel(self.memory)

    def cell(self) -> tuple[cells.Step, cells.StepBack]:
        """One step and its gradient, for the masked road."""
        return cells.lstm_step, cells.lstm_step_back

    def state_sizes(self) -> dict[str, int]:
        """Names and sizes of the state's parts."""
        return {"h": self.proj_size or self.hidden_size, "c": self.hidden_size}

    def pack_state(self, state: Any, name: str) -> State:
        """The state as the kernels hold it."""
        if not isinstance(state, tuple | list) or len(state) != 2:
            received = f"{len(state)} parts" if isinstance(state, tuple | list) else type(state).__name__
            raise DataError(f"{name}: expected a pair (h, c), received {received}.")
        return tuple(state)

    def unpack_state(self, state: State) -> tuple[Array, Array]:
        """The state as the caller holds it."""
        return state[0], state[1]
