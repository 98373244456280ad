"""A training step (forward and backward, float32) of our recurrent layers against torch.nn's: a ratio of medians.

    .venv/bin/python benchmarks/recurrent.py [--rounds 15] [--threads 1 2] [--only "LSTM (a)" ...]

Both sides take turns in one process, with the same weights and inputs, and both give gradients by the input, by the
initial state and by every weight. Sizes: (a) batch 32, 64 steps, 128 in and 128 hidden, 2 layers, both directions;
(b) batch 64, 30 steps, 512 and 512, 1 layer; (c) batch 16, lengths from 50 to 200, 40 in and 256 hidden, 3 layers, both
directions, packed by torch. A ratio above 1 means that ours is faster. The peak is that of one large NumPy product on
one thread, times the threads. Last: one step of decoding at batch 1.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from seesay.scratch.rnn import GRU, LSTM, RNN
from seesay.scratch.stepper import Stepper
from seesay.scratch.threads import set_num_threads, single_threaded_products

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


def lengths_of(size: str) -> Any:
    """Lengths from 50 to the whole, the first one the whole."""
    batch, steps, _ = SIZES[size]
    lengths = np.random.default_rng(1).integers(50, steps + 1, batch)
    lengths[0] = steps
    return lengths


def contestants(kind: Any, size: str) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """Our training step and torch's, which give the same gradients by the input."""
    batch, steps, arguments = SIZES[size]
    random = np.random.default_rng(0)
    x = random.standard_normal((steps, batch, arguments["input_size"]), dtype=np.float32)
    lengths = lengths_of(size) if size == "(c)" else None
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
        gc.collect()
        for step, found in zip(steps, times, strict=True):
            began = time.perf_counter()
            step()
            found.append((time.perf_counter() - began) * 1e3)
    return [statistics.median(found[1:]) for found in times]


def products(kind: Any, size: str) -> float:
    """The floating-point operations of a step's matrix products, in thousands of millions."""
    batch, steps, given = SIZES[size]
    rows = int(lengths_of(size).sum()) if size == "(c)" else batch * steps
    layer = kind(**given)
    return sum(6e-9 * rows * array.size for name, array in layer.parameters.items() if name.startswith("weight"))


def peak() -> float:
    """Thousands of millions of operations a second that one thread reaches in one large float32 product."""
    one = np.random.default_rng(0).standard_normal((1024, 1024), dtype=np.float32)
    with single_threaded_products():
        return 2.147 / (min(in_turns((lambda: one @ one,), 9)) / 1e3)


def _repeat(step: Callable[[], Any], times: int) -> None:
    for _ in range(times):
        step()


def decoding(rounds: int) -> None:
    """One step at batch 1, 512 in and 512 hidden."""
    layer = LSTM(512, 512)
    x = np.random.default_rng(0).standard_normal((1, 512), dtype=np.float32)
    plain, words = Stepper(layer), Stepper(layer, table=np.repeat(x, 1000, 0))
    ids = np.array([7])
    whole, cell, tensor = torch.nn.LSTM(512, 512), torch.nn.LSTMCell(512, 512), torch.from_numpy(x)
    with torch.inference_mode(), single_threaded_products():
        state, held = whole(tensor[None])[1], cell(tensor)
        steps: dict[str, Callable[[], Any]] = {
            "Stepper": lambda: plain.step(x),
            "Stepper with a table of words": lambda: words.step(ids),
            "torch.nn.LSTM": lambda: whole(tensor[None], state),
            "torch.nn.LSTMCell": lambda: cell(tensor, held),
        }
        # Each takes many steps running, as in decoding: one alone would find the others' weights in the cache.
        runs = tuple(partial(_repeat, step, 50) for step in steps.values())
        medians = {name: each / 50 for name, each in zip(steps, in_turns(runs, rounds), strict=True)}
    for name, milliseconds in medians.items():
        against = (medians[f"torch.nn.{other}"] / milliseconds for other in ("LSTM", "LSTMCell"))
        print(f"decoding step, {name}: {milliseconds * 1e3:.0f} us; ", end="")
        print("times nn.LSTM {:.1f}, times LSTMCell {:.2f}".format(*against))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--only", nargs="+", help="names of rows")
    options = parser.parse_args()
    best = peak()
    print(f"peak of one thread: {best:.0f} GFLOP/s")
    for threads in options.threads:
        torch.set_num_threads(threads)
        set_num_threads(threads)
        for name, kind, size, aim in ROWS:
            if options.only and name not in options.only:
                continue
            steps = contestants(kind, size)
            difference = float(np.abs(steps[0]() - steps[1]()).max())
            ours, theirs = in_turns(steps, options.rounds)
            share = products(kind, size) / (ours / 1e3) / (best * threads)
            print(
                f"{name}, {threads} threads: {ours:.1f} ms, torch.nn {theirs:.1f} ms, ratio {theirs / ours:.2f} "
                f"(aim {aim}), {share:.0%} of the peak, largest difference {difference:.1e}",
                flush=True,
            )
    torch.set_num_threads(1)
    decoding(options.rounds)


if __name__ == "__main__":
    main()
