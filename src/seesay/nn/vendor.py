"""A recurrent stack by torch's own kernels, one layer and one direction at a time, so that it repeats to the bit.

What does not repeat on a GPU is the dropout inside a stack of several layers, whose random state outlives a new seed;
and two directions at once run on streams of their own, which share a workspace. Neither is used here.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import _VF, Tensor

from seesay.nn.sequences import Packing, reverse_padded

State = tuple[Tensor, ...]  # (h,), or (h, c) for an LSTM


def recurrence(
    kind: str,
    x: Tensor,
    state: Sequence[Tensor],
    weights: Sequence[Sequence[Sequence[Tensor]]],
    lengths: Tensor | None,
    factors: Sequence[Tensor],
) -> tuple[Tensor, list[Tensor]]:
    """Outputs (T, B, D P) and the parts of the last state ((L D, B, P), ...), from x (T, B, I) on any device.

    `kind` is "rnn_tanh", "rnn_relu", "gru" or "lstm"; `weights` are those of each direction of each layer, in
    torch.nn's order; `state` has parts (L D, B, P); `factors` (T, B, D P) stand between layers.

    >>> ones = [torch.ones(1, 1), torch.ones(1, 1)]
    >>> output, (h,) = recurrence("rnn_relu", torch.ones(3, 1, 1), [torch.zeros(1, 1, 1)], [[ones]], None, [])
    >>> output.flatten().tolist(), h.item()
    ([1.0, 2.0, 3.0], 3.0)
    """
    packing = None if lengths is None else Packing(lengths, len(x), device=x.device)
    last: list[State] = []
    for number, layer in enumerate(weights):
        if number and factors:
            x = x * factors[number - 1]
        outputs = []
        for way, part in enumerate(layer):
            first = tuple(one[number * len(layer) + way].unsqueeze(0) for one in state)
            seen = reverse_padded(x, lengths) if way else x
            output, end = _direction(kind, seen, first, part, packing)
            outputs.append(reverse_padded(output, lengths) if way else output)
            last.append(end)
        x = torch.cat(outputs, -1) if len(outputs) > 1 else outputs[0]
    return x, [torch.cat(parts) for parts in zip(*last, strict=True)]


def _direction(
    kind: str, x: Tensor, first: State, weights: Sequence[Tensor], packing: Packing | None
) -> tuple[Tensor, State]:
    """Outputs (T, B, P) and last state of one direction of one layer."""
    if packing is None:
        if not x.shape[0] * x.shape[1]:
            return _nothing(x, first, weights), first
        return _kernel(kind, (x,), first, weights)
    rows, sizes = packing.pack(x), packing.batch_sizes
    if not len(sizes):
        return packing.unpack(_nothing(rows, first, weights)), first
    state, some = tuple(packing.sort(part) for part in first), int(sizes[0])  # those that have a step at all
    output, end = _kernel(kind, (rows, sizes), tuple(part[:, :some].contiguous() for part in state), weights)
    ends = (torch.cat([new, old[:, some:].to(new.dtype)], 1) for new, old in zip(end, state, strict=True))
    return packing.unpack(output), tuple(packing.restore(part) for part in ends)


def _nothing(x: Tensor, first: State, weights: Sequence[Tensor]) -> Tensor:
    """The outputs of no rows at all, which torch's kernels refuse; a way back from them gives zeros."""
    return (x @ weights[0].T)[..., : first[0].shape[2]]


def _kernel(kind: str, given: tuple[Tensor, ...], first: State, weights: Sequence[Tensor]) -> tuple[Tensor, State]:
    """torch's own over x (T, B, I), or over packed rows (N, I) and the number of them in each step."""
    weights = list(weights)
    _compact(kind, weights)
    biases = any(weight.dim() == 1 for weight in weights)
    # One layer, no dropout; "training" says whether what a way back needs is kept; one direction; time first.
    rest = (1, 0.0, torch.is_grad_enabled(), False, *((False,) if len(given) == 1 else ()))
    output, *last = getattr(_VF, kind)(*given, first if kind == "lstm" else first[0], weights, biases, *rest)
    return output, tuple(last)


def _compact(kind: str, weights: list[Tensor]) -> None:
    """On a GPU, moves the weights into one piece of memory, which cuDNN would do at every call, with a warning."""
    if not (weights[0].is_cuda and all(weight.is_leaf for weight in weights) and torch._use_cudnn_rnn_flatten_weight()):
        return
    if len({weight.untyped_storage().data_ptr() for weight in weights}) == 1:
        return
    if not all(torch.backends.cudnn.is_acceptable(weight) for weight in weights):
        return
    from torch.backends.cudnn import rnn

    (_, inputs), (_, width) = weights[0].shape, weights[1].shape
    hidden = weights[0].shape[0] // {"lstm": 4, "gru": 3}.get(kind, 1)
    projection = width if width < hidden else 0
    mode = rnn.get_cudnn_mode(kind.upper())
    with torch.no_grad(), torch.cuda.device_of(weights[0]):
        torch._cudnn_rnn_flatten_weight(weights, len(weights), inputs, mode, hidden, projection, 1, False, False)
