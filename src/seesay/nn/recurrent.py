"""RNN, GRU and LSTM that know lengths, drop out between layers by themselves, and train to the same bits every time.

    layer = LSTM(40, 64, num_layers=2, bidirectional=True, dropout=0.3)
    output, (h_n, c_n) = layer(x, lengths=lengths)      # x (T, B, I), lengths (B,) in any order, 0 allowed

Arguments, parameter names and results are torch.nn's, so weights move either way by `load_state_dict`, and the same
seed starts from the same weights. `seesay.nn.recurrence` holds what the three share and describes calls.
"""

from __future__ import annotations

import torch

from seesay.nn.recurrence import Recurrence
from seesay.scratch import rnn as scratch


class RNN(Recurrence):
    """h_t = tanh(x_t W_ihᵀ + b_ih + h_{t-1} W_hhᵀ + b_hh), or relu (Elman 1990); as torch.nn.RNN. See `Recurrence`.

    >>> layer = RNN(3, 5, num_layers=2, bidirectional=True)
    >>> output, h_n = layer(torch.zeros(7, 2, 3), lengths=[4, 7])
    >>> output.shape, h_n.shape, output[4:, 0].any().item()
    (torch.Size([7, 2, 10]), torch.Size([4, 2, 5]), False)
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
        *,
        variational: bool = False,
        generator: torch.Generator | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        engine = scratch.RNN(
            input_size, hidden_size, num_layers, nonlinearity, bias, batch_first, dropout, bidirectional
        )
        super().__init__(f"rnn_{nonlinearity}", engine, variational, generator, device, dtype)
        self.nonlinearity = nonlinearity


class GRU(Recurrence):
    """Gated recurrent units (Cho et al. 2014), gates in the order r z n; as torch.nn.GRU. See `Recurrence`.

    >>> output, h_n = GRU(3, 5, batch_first=True)(torch.zeros(2, 7, 3), lengths=[0, 7])
    >>> output.shape, h_n.shape, h_n[0, 0].any().item()
    (torch.Size([2, 7, 5]), torch.Size([1, 2, 5]), False)
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
        *,
        variational: bool = False,
        generator: torch.Generator | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        engine = scratch.GRU(input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional)
        super().__init__("gru", engine, variational, generator, device, dtype)


class LSTM(Recurrence):
    """Long short-term memory (Hochreiter and Schmidhuber 1997), gates in the order i f g o, state (h, c), outputs
    projected where `proj_size` (Sak et al. 2014); as torch.nn.LSTM. See `Recurrence`.

    >>> output, (h_n, c_n) = LSTM(3, 5, proj_size=2)(torch.zeros(7, 1, 3))
    >>> output.shape, h_n.shape, c_n.shape
    (torch.Size([7, 1, 2]), torch.Size([1, 1, 2]), torch.Size([1, 1, 5]))
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
        *,
        variational: bool = False,
        generator: torch.Generator | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        engine = scratch.LSTM(input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, proj_size)
        super().__init__("lstm", engine, variational, generator, device, dtype)
