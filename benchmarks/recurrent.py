"""A training step (forward and backward, float32) of our recurrent layers against torch.nn's: a ratio of medians.

    .venv/bin/python benchmarks/recurrent.py [--rounds 15] [--threads 1 2] [--only "LSTM (a)" ...]

Both sides take turns in one process, with the same weights and inputs, and both give gradients by the input, by the
initial state and by every weight. Sizes: (a) batch 32, 64 steps, 128 in and 128 hidden, 2 layers, both directions;
(b) batch 64, 30 steps, 512 and 512, 1 layer; (c) batch 16, lengths from 50 to 200, 40 in and 256 hidden, 3 layers, both
directions, packed by torch. A ratio above 1 means that ours is faster. Last: one step of decoding at batch 1.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from seesay.scratch.rnn import GRU, LSTM, RNN
from seesay.scratch.threads import set_num_threads

SIZES: dict[str, tuple[int, int, dict[str, Any]]] = {
    "(a)": (32, 64, {"input_size": 128, "hidden_size": 128, "num_layers": 2, "bidirectional": True}),
    "(b)": (64, 30, {"input_size": 512, "hidden_size": 512}),
    "(c)": (16, 200, {"input_size": 40, "hidden_size": 256, "num_layers": 3, "bidirectional": True}),
}
ROWS: list[tuple[str, Any, str, float]] = [  # name, layer, size, the ratio aimed at in plain NumPy
    ("LSTM (a)", LSTM, "(a)", 0.85),
    ("GRU (a)", GRU, "(a)", 1.0),
    ("RNN (a)", RNN, "(a)", 1.5),
    ("LSTM (b)", LSTM, "(b)", 0.85),
    ("LSTM (c)", LSTM, "(c)", 2.4),
]


def contestants(kind: Any, size: str) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """Our training step and torch's, which give the same gradients by the input."""
    batch, steps, arguments = SIZES[size]
    random = np.random.default_rng(0)
    x = random.standard_normal((steps, batch, arguments["input_size"]), dtype=np.float32)
    lengths = None
    if size == "(c)":
        lengths = random.integers(50, steps + 1, batch)
        lengths[0] = steps
    ours = kind(**arguments)
    theirs = getattr(torch.nn, kind.__name__)(**arguments)
    theirs.load_state_dict({name: torch.from_numpy(array) for name, array in ours.parameters.items()})
    dout = random.standard_normal((steps, batch, ours.directions * ours.hidden_size), dtype=np.float32)
    tensor, gradient = torch.from_numpy(x).requires_grad_(), torch.from_numpy(dout)

    def our_step() -> Any:
        return ours.backward(ours.forward(x, None, lengths)[2], dout).x

    def their_step() -> Any:
        theirs.zero_grad(set_to_none=True)
        tensor.grad = None
        if lengths is None:
            output, _ = theirs(tensor)
        else:
            packed = pack_padded_sequence(tensor, torch.from_numpy(lengths), enforce_sorted=False)
            output, _ = pad_packed_sequence(theirs(packed)[0])
        output.backward(gradient)
        return tensor.grad.numpy()

    return our_step, their_step


def in_turns(steps: tuple[Callable[[], Any], ...], rounds: int) -> list[float]:
    """The median milliseconds of each, after one round that does not count."""
    times: list[list[float]] = [[] for _ in steps]
    for _ in range(rounds + 1):
        for step, found in zip(steps, times, strict=True):
            gc.collect()
            began = time.perf_counter()
            step()
            found.append((time.perf_counter() - began) * 1e3)
    return [statistics.median(found[1:]) for found in times]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--only", nargs="+", help="names of rows")
    options = parser.parse_args()
    for threads in options.threads:
        torch.set_num_threads(threads)
        set_num_threads(threads)
        for name, kind, size, aim in ROWS:
            if options.only and name not in options.only:
                continue
            steps = contestants(kind, size)
            difference = float(np.abs(steps[0]() - steps[1]()).max())
            ours, theirs = in_turns(steps, options.rounds)
            print(
                f"{name}, {threads} threads: {ours:.1f} ms, torch.nn {theirs:.1f} ms, ratio {theirs / ours:.2f} "
                f"(aim {aim}), largest difference {difference:.1e}",
                flush=True,
            )


if __name__ == "__main__":
    main()
