"""A whole recurrent stack as one operation of torch's graph, with the gradients that `seesay.scratch` derives by hand.

The arrays of the scratch engine are the very memory of torch's tensors, both ways; nothing is copied on the border.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from seesay.scratch.arrays import Array
from seesay.scratch.recurrent import Cache, Recurrent
from seesay.scratch.threads import get_num_threads, set_num_threads


@dataclass
class Run:
    """One call of a layer: everything that it needs besides tensors."""

    layer: Recurrent[Any]
    parts: int  # of the initial state, h or (h, c); none for zeros
    lengths: Array | None
    factors: list[Array]  # what dropout multiplies with between two layers

    def __call__(self, operands: Sequence[Tensor]) -> tuple[Array, list[Array], Cache]:
        """Outputs, the parts of the last state, and what the way back needs; x, state and weights are `operands`."""
        x, *others = (operand.detach().numpy() for operand in operands)
        # A copy, sharing the memory of spare buffers: calls at once, in threads, have each their own weights.
        layer = self.layer = copy.copy(self.layer)
        layer.parameters = dict(zip(layer.parameter_shapes(), others[self.parts :], strict=True))
        layer.dtype = x.dtype
        if get_num_threads() != torch.get_num_threads():
            set_num_threads(torch.get_num_threads())
        state = layer.unpack_state(tuple(others[: self.parts])) if self.parts else None
        output, last, cache = layer.forward(x, state, self.lengths, factors=self.factors)
        return output, list(layer.pack_state(last, "state")), cache


class _Recurrence(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, run: Run, *operands: Tensor) -> tuple[Tensor, ...]:
        output, last, ctx.cache = run(operands)
        ctx.run = run
        ctx.save_for_backward(*operands)  # torch then notices what is changed in place before the way back
        ctx.set_materialize_grads(False)
        return tuple(torch.from_numpy(array) for array in (output, *last))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, doutput: Tensor | None, *dlast: Tensor | None) -> tuple[Tensor | None, ...]:
        operands, run = ctx.saved_tensors, ctx.run
        # The way back works inside the cache, so a second one (retain_graph) goes forward again, to the same bits.
        cache, ctx.cache = ctx.cache or run(operands)[2], None
        layer = run.layer
        found = layer.backward(cache, None if doutput is None else doutput.numpy(), _state_of(layer, cache, dlast))
        states = layer.pack_state(found.state, "state")[: run.parts]
        gradients = (found.x, *states, *found.parameters.values())
        wanted = ctx.needs_input_grad[1:]
        return None, *(torch.from_numpy(d) if want else None for d, want in zip(gradients, wanted, strict=True))


def _state_of(layer: Recurrent[Any], cache: Cache, parts: Sequence[Tensor | None]) -> Any:
    """A gradient by the last state in the layer's form, zeros for a part without one; None where no part has one."""
    if all(part is None for part in parts):
        return None
    rows, sizes = layer.num_layers * layer.directions, layer.state_sizes().values()
    zeros = (np.zeros((rows, cache.batch, size), layer.dtype) for size in sizes)
    return layer.unpack_state(tuple(z if p is None else p.numpy() for p, z in zip(parts, zeros, strict=True)))


def recurrence(
    layer: Recurrent[Any],
    x: Tensor,
    state: Sequence[Tensor],
    weights: Sequence[Tensor],
    lengths: Tensor | None,
    factors: Sequence[Tensor],
) -> tuple[Tensor, list[Tensor]]:
    """Outputs (T, B, D P) and the parts of the last state ((L D, B, P), ...), from x (T, B, I), all on the CPU.

    `layer` is one of `seesay.scratch.rnn`, time first, whose own weights are not looked at; `state` is empty for zeros,
    or as long as the layer's; `weights` are in the order of its `parameter_shapes`; `factors` (T, B, D P) stand between
    layers. float32 or float64. Nothing is kept for a way back where none can follow. The engine takes on torch's number
    of threads.

    >>> from seesay.scratch.rnn import RNN
    >>> layer, x = RNN(1, 1, bias=False, nonlinearity="relu"), torch.ones(3, 1, 1, requires_grad=True)
    >>> output, (last,) = recurrence(layer, x, [], [torch.ones(1, 1), torch.ones(1, 1)], None, [])
    >>> last.sum().backward()
    >>> output.flatten().tolist(), x.grad.flatten().tolist()
    ([1.0, 2.0, 3.0], [1.0, 1.0, 1.0])
    """
    counts = None if lengths is None else lengths.numpy()
    run, operands = Run(layer, len(state), counts, [factor.numpy() for factor in factors]), (x, *state, *weights)
    if torch.is_grad_enabled() and any(operand.requires_grad for operand in operands):
        output, *last = _Recurrence.apply(run, *operands)
        return output, last
    values, ends, cache = run(operands)
    for one in cache.done:  # the memory serves the next call
        one.cache.release()
    return torch.from_numpy(values), [torch.from_numpy(end) for end in ends]
