"""A batch run as one, or in shares of its sequences on a thread each, whose results are put together again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from seesay.scratch.arrays import Array, State, Weights
from seesay.scratch.memory import Memory
from seesay.scratch.packing import Packing
from seesay.scratch.sequence import Kernel
from seesay.scratch.stack import StackCache, stack_backward, stack_forward
from seesay.scratch.threads import in_parallel

Lengths = NDArray[np.intp]
Share = slice | Lengths  # the sequences of a share
ROWS_A_SHARE = 16  # a thinner share would read the weights for too little work
SHARES = 4  # at most: each holds weight gradients of its own until they are added up


class Done(NamedTuple):
    """One share's way forth: which sequences, and the cache."""

    share: Share
    cache: StackCache


def share_out(lengths: Lengths | None, batch: int, count: int) -> list[Share]:
    """The sequences of a batch in `count` shares of equal work.

    >>> share_out(None, 5, 2)
    [slice(0, 3, None), slice(3, 5, None)]
    >>> [share.tolist() for share in share_out(np.array([1, 9, 8, 2]), 4, 2)]
    [[1, 3], [2, 0]]
    """
    if count == 1:
        return [slice(0, batch)]
    if lengths is None:
        size = -(-batch // count)
        return [slice(low, min(low + size, batch)) for low in range(0, batch, size)]
    order = np.argsort(-lengths, kind="stable")
    return [order[start::count] for start in range(count)]


def forward_shares(
    kernel: Callable[[int, Lengths | None], tuple[Kernel, Packing]],
    layers: list[list[Weights]],
    x: Array,
    state: State,
    lengths: Lengths | None,
    masks: Sequence[Array],
    shares: list[Share],
    memory: Memory,
) -> tuple[Array, State, list[Done]]:
    """Outputs (T, B, D P), last state ((L D, B, P), ...) and caches, from x (T, B, I) and an initial state.

    `kernel` gives the kernel and the packing for a share's size and lengths; `masks` (T, B, D P) are dropout's factors.
    """

    def run(share: Share) -> tuple[Array, State, StackCache]:
        inner, packing = kernel(state[0][:, share].shape[1], None if lengths is None else lengths[share])
        first = tuple(np.stack([packing.sort(layer) for layer in part[:, share]]) for part in state)
        factors = [packing.pack(mask[:, share]) for mask in masks]
        rows, last, cache = stack_forward(inner, layers, packing.pack(x[:, share]), first, packing, factors, memory)
        output = packing.unpack(rows)
        # The way back reads the rows; what the caller gets must be his own.
        return output.copy() if np.may_share_memory(output, rows) else output, _restored(packing, last), cache

    found = in_parallel([partial(run, share) for share in shares])
    output = _merged(shares, [one[0] for one in found])
    last = tuple(_merged(shares, parts) for parts in zip(*(one[1] for one in found), strict=True))
    return output, last, [Done(share, one[2]) for share, one in zip(shares, found, strict=True)]


def backward_shares(done: list[Done], dout: Array, dstate: State) -> tuple[Array, State, list[Weights]]:
    """Gradients by x (T, B, I), by the initial state and by the weights, the latter added up over shares."""

    def run(one: Done) -> tuple[Array, State, list[Weights]]:
        packing = one.cache.packing
        last = tuple(part[:, one.share] for part in dstate)
        if not packing.even:
            last = tuple(np.stack([packing.sort(layer) for layer in part]) for part in last)
        found = stack_backward(one.cache, packing.pack(dout[:, one.share]), last)
        dx = packing.unpack(found.x)
        if not np.may_share_memory(dx, found.x):
            one.cache.memory.give(found.x)
        return dx, _restored(packing, found.state), found.weights

    found = in_parallel([partial(run, one) for one in done])
    shares = [one.share for one in done]
    for _, _, others in found[1:]:
        for weights, more in zip(found[0][2], others, strict=True):
            for total, part in zip(weights, more, strict=True):
                if total is not None and part is not None:
                    total += part
    first = tuple(_merged(shares, parts) for parts in zip(*(one[1] for one in found), strict=True))
    return _merged(shares, [one[0] for one in found]), first, found[0][2]


def _restored(packing: Packing, state: State) -> State:
    """A state that nobody else holds, in the caller's order."""
    return state if packing.even else tuple(np.stack([packing.restore(layer) for layer in part]) for part in state)


def _merged(shares: list[Share], parts: Sequence[Array]) -> Array:
    """Parts (·, b, ·) of a batch as one array (·, B, ·)."""
    if len(parts) == 1 and isinstance(shares[0], slice):
        return parts[0]
    first = parts[0]
    whole = np.empty((first.shape[0], sum(part.shape[1] for part in parts), first.shape[2]), first.dtype)
    for share, part in zip(shares, parts, strict=True):
        whole[:, share] = part
    return whole
