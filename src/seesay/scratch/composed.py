"""RNN, GRU and LSTM composed of elementary operations, step by step: the readable proof that the fast ones are right.

Constructors, parameters and results are those of `nn_recurrent.py`; the gradient is left to the graph. No formula of a
gradient stands here.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

from seesay.scratch import functional, nn_recurrent
from seesay.scratch.arrays import expect_lengths
from seesay.scratch.nn_recurrent import RecurrentModule
from seesay.scratch.tensor import Tensor, as_tensor, concat, split, stack, unbind, where

State: TypeAlias = tuple[Tensor, ...]
Weights: TypeAlias = dict[str, Any]  # ih, hh; bias_ih and bias_hh, and hr of a projecting LSTM, or None


def rnn_cell(x: Tensor, state: State, w: Weights, relu: bool) -> State:
    """h' = tanh(x W_ihᵀ + b_ih + h W_hhᵀ + b_hh), or relu.

    >>> w = {"ih": [[1.0]], "hh": [[1.0]], "bias_ih": None, "bias_hh": None}
    >>> rnn_cell(Tensor([[2.0]]), (Tensor([[-1.0]]),), w, relu=True)[0].item()
    1.0
    """
    (h,) = state
    a = functional.linear(x, w["ih"], w["bias_ih"]) + functional.linear(h, w["hh"], w["bias_hh"])
    return (a.relu() if relu else a.tanh(),)


def gru_cell(x: Tensor, state: State, w: Weights) -> State:
    """r, z = σ(a_r), σ(a_z); n = tanh(x W_in + b_in + r (h W_hn + b_hn)); h' = (1 - z) n + z h.

    >>> w = {"ih": np.zeros((3, 1)), "hh": np.zeros((3, 1)), "bias_ih": None, "bias_hh": None}
    >>> gru_cell(Tensor([[5.0]]), (Tensor([[1.0]]),), w)[0].item()
    0.5
    """
    (h,) = state
    x_r, x_z, x_n = split(functional.linear(x, w["ih"], w["bias_ih"]), h.shape[1], axis=1)
    h_r, h_z, h_n = split(functional.linear(h, w["hh"], w["bias_hh"]), h.shape[1], axis=1)
    r, z = (x_r + h_r).sigmoid(), (x_z + h_z).sigmoid()
    return ((1 - z) * (x_n + r * h_n).tanh() + z * h,)


def lstm_cell(x: Tensor, state: State, w: Weights) -> State:
    """i, f, o = σ(a); g = tanh(a_g); c' = f c + i g; h' = o tanh(c'), times W_hrᵀ where it projects.

    >>> w = {"ih": np.zeros((4, 1)), "hh": np.zeros((4, 1)), "bias_ih": None, "bias_hh": None, "hr": None}
    >>> lstm_cell(Tensor([[5.0]]), (Tensor([[0.0]]), Tensor([[2.0]])), w)[1].item()
    1.0
    """
    h, c = state
    a = functional.linear(x, w["ih"], w["bias_ih"]) + functional.linear(h, w["hh"], w["bias_hh"])
    i, f, g, o = split(a, c.shape[1], axis=1)
    new_c = f.sigmoid() * c + i.sigmoid() * g.tanh()
    new_h = o.sigmoid() * new_c.tanh()
    return (new_h if w["hr"] is None else functional.linear(new_h, w["hr"]), new_c)


class _Composed(RecurrentModule):
    def cell(self, x: Tensor, state: State, w: Weights) -> State:
        """One step; each kind has its own."""
        raise NotImplementedError

    def forward(self, x: Any, state: Any = None, lengths: Any = None) -> tuple[Tensor, Any]:
        """Outputs and last state, as `RecurrentModule.forward` gives them."""
        about = self.layer
        x, batched = as_tensor(x), as_tensor(x).ndim == 3
        rows = (x.swapaxes(0, 1) if about.batch_first else x) if batched else x.unsqueeze(1)
        time, batch = rows.shape[:2]
        working = np.arange(time)[:, None] < expect_lengths([time] * batch if lengths is None else lengths, time, batch)
        working = working[:, :, None]
        ends: list[State] = []
        rows = where(working, rows, 0)  # what stands beyond an end is never used, be it nan
        for layer in range(about.num_layers):
            if layer:
                rows = functional.dropout(rows, about.dropout, self.training, self.generator)
            sides = []
            for side in range(about.directions):
                first = self._first(state, layer * about.directions + side, batch, batched)
                outputs, last = self._run(rows, first, self._weights(layer, side), working, reverse=side == 1)
                sides.append(outputs)
                ends.append(last)
            rows = sides[0] if len(sides) == 1 else concat(sides, axis=2)
        last_state = tuple(stack(parts) for parts in zip(*ends, strict=True))
        if not batched:
            rows, last_state = rows.squeeze(1), tuple(part.squeeze(1) for part in last_state)
        elif about.batch_first:
            rows = rows.swapaxes(0, 1)
        return rows, last_state if len(last_state) > 1 else last_state[0]

    def _run(self, rows: Tensor, state: State, w: Weights, working: Any, reverse: bool) -> tuple[Tensor, State]:
        """One direction of one layer. Who has ended, or going backwards not begun, keeps the state and says zero."""
        steps, outputs = unbind(rows), []
        for t in reversed(range(len(steps))) if reverse else range(len(steps)):
            new = self.cell(steps[t], state, w)
            state = tuple(where(working[t], after, before) for after, before in zip(new, state, strict=True))
            outputs.append(where(working[t], state[0], 0))
        return stack(outputs[::-1] if reverse else outputs), state

    def _first(self, state: Any, place: int, batch: int, batched: bool) -> State:
        if state is None:
            return tuple(Tensor(np.zeros((batch, n), self.layer.dtype)) for n in self.layer.state_sizes().values())
        parts = state if isinstance(state, tuple | list) else (state,)
        return tuple(as_tensor(part)[place] if batched else as_tensor(part)[place].unsqueeze(0) for part in parts)

    def _weights(self, layer: int, side: int) -> Weights:
        suffix = f"_l{layer}" + ("_reverse" if side else "")
        names = {"ih": "weight_ih", "hh": "weight_hh", "bias_ih": "bias_ih", "bias_hh": "bias_hh", "hr": "weight_hr"}
        return {short: getattr(self, name + suffix, None) for short, name in names.items()}


class RNN(_Composed, nn_recurrent.RNN):
    """`nn.RNN`, composed of `rnn_cell`.

    >>> RNN(3, 5)(np.zeros((7, 2, 3), np.float32))[0].shape
    (7, 2, 5)
    """

    def cell(self, x: Tensor, state: State, w: Weights) -> State:
        """See `rnn_cell`."""
        return rnn_cell(x, state, w, self.nonlinearity == "relu")


class GRU(_Composed, nn_recurrent.GRU):
    """`nn.GRU`, composed of `gru_cell`.

    >>> GRU(3, 5)(np.zeros((7, 2, 3), np.float32))[0].shape
    (7, 2, 5)
    """

    def cell(self, x: Tensor, state: State, w: Weights) -> State:
        """See `gru_cell`."""
        return gru_cell(x, state, w)


class LSTM(_Composed, nn_recurrent.LSTM):
    """`nn.LSTM`, composed of `lstm_cell`.

    >>> LSTM(3, 5)(np.zeros((7, 2, 3), np.float32))[0].shape
    (7, 2, 5)
    """

    def cell(self, x: Tensor, state: State, w: Weights) -> State:
        """See `lstm_cell`."""
        return lstm_cell(x, state, w)
