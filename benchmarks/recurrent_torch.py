"""A training step (forward and backward, float32) of seesay.nn.recurrent against torch.nn: ratios of medians.

    .venv/bin/python benchmarks/recurrent_torch.py [--rounds 15] [--threads 1 2] [--only varied ...] [--cpu-time]

Both take turns, each in a process of its own (see recurrent.py), with the same weights and inputs, and give gradients
by the input and by every weight. Batch 16, 200 steps, 40 in and 256 hidden, 3 layers, both directions: "varied" has
lengths from 50 to 200, which torch packs; "padded" is the same with torch running over the padding too, which gives its
backward direction other results; at "fixed" all are 200 long; "dropout" is "varied" with dropout 0.3 between layers. A
ratio above 1 means that ours is faster; where others use the machine too, the ratios of rounds are the steadier figure,
and their quartiles stand behind the median. --cpu-time is good for one thread alone.
"""

from __future__ import annotations

import argparse
import multiprocessing
import platform
import statistics
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import recurrent
import torch
from recurrent import SIZES, lengths_of, turn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from seesay.nn.recurrent import LSTM
from seesay.scratch.compiled import available, reason

SIZE = "(c)"
AIMS = {"varied": 2.0, "padded": None, "fixed": 0.9, "dropout": 2.0}
SIDES = ("ours", "torch.nn")


def training_step(side: str, row: str) -> Callable[[], Any]:
    """A function that makes one step and returns the gradient by the input."""
    batch, steps, given = SIZES[SIZE]
    given = given | {"dropout": 0.3 if row == "dropout" else 0.0}
    random = np.random.default_rng(0)
    x = torch.from_numpy(random.standard_normal((steps, batch, given["input_size"]), dtype=np.float32))
    lengths = torch.from_numpy(np.full(batch, steps) if row == "fixed" else lengths_of(SIZE))
    torch.manual_seed(0)
    layer = (LSTM if side == "ours" else torch.nn.LSTM)(**given)
    dout = torch.from_numpy(random.standard_normal((steps, batch, 2 * layer.hidden_size), dtype=np.float32))
    dout *= (torch.arange(steps)[:, None] < lengths).unsqueeze(2)
    x.requires_grad_()

    def run() -> torch.Tensor:
        if side == "ours":
            return layer(x, lengths=None if row == "fixed" else lengths)[0]
        if row in ("fixed", "padded"):
            return layer(x)[0]
        return pad_packed_sequence(layer(pack_padded_sequence(x, lengths, enforce_sorted=False))[0])[0]

    def step() -> Any:
        layer.zero_grad(set_to_none=True)
        x.grad = None
        run().backward(dout)
        assert x.grad is not None
        return x.grad.numpy()

    return step


def side_of(connection: Connection, row: str, side: str, threads: int, clock: str) -> None:
    """One side in a process of its own: sends its gradient, then measures a step whenever it is asked to."""
    recurrent._clock = getattr(time, clock)
    torch.set_num_threads(threads)
    step = training_step(side, row)
    connection.send(step())
    while connection.recv():
        connection.send(turn(step, lambda: 1.0)[0])


def compare(row: str, threads: int, rounds: int, clock: str) -> None:
    """Prints a line for one row with both sides on so many threads."""
    spawn = multiprocessing.get_context("spawn")
    ends = [spawn.Pipe() for _ in SIDES]
    for side, (_, far) in zip(SIDES, ends, strict=True):
        spawn.Process(target=side_of, args=(far, row, side, threads, clock), daemon=True).start()
    ours, theirs = (near.recv() for near, _ in ends)
    times: list[list[float]] = []
    for _ in range(rounds + 1):
        times.append([])
        for near, _ in ends:
            near.send(True)
            times[-1].append(near.recv())
    for near, _ in ends:
        near.send(False)
    mine, others = (statistics.median(found) for found in zip(*times[1:], strict=True))
    low, middle, high = statistics.quantiles([other / one for one, other in times[1:]], n=4)
    aim = "" if AIMS[row] is None else f" (aim {AIMS[row]})"
    print(
        f"{row}, {threads} threads: torch.nn {others:.0f} ms, ours {mine:.0f} ms, ratio {others / mine:.2f}{aim}; "
        f"ratios of rounds {middle:.2f} ({low:.2f} to {high:.2f})",
        end="",
    )
    # Dropout draws differently on the two sides, and over padding the backward direction is another network.
    print("" if row in ("dropout", "padded") else f"; largest difference {np.abs(ours - theirs).max():.1e}", flush=True)


def processor() -> str:
    """The processor's own name, where the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--only", nargs="+", choices=list(AIMS), default=list(AIMS), help="names of rows")
    parser.add_argument("--cpu-time", action="store_true", help="of one thread, where others use the machine too")
    options = parser.parse_args()
    compiled = "compiled step" if available() else f"NumPy alone ({reason()})"
    print(f"{processor()}; Python {platform.python_version()}, torch {torch.__version__}, ", end="")
    print(f"NumPy {np.__version__}, {compiled}", flush=True)
    for threads in options.threads:
        for row in options.only:
            compare(row, threads, options.rounds, "thread_time" if options.cpu_time else "perf_counter")


if __name__ == "__main__":
    main()
