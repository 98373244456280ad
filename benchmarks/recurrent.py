"""A training step (forward and backward, float32) of our recurrent layers against torch.nn's: ratios of medians.

    .venv/bin/python benchmarks/recurrent.py [--rounds 15] [--threads 1 2] [--only "LSTM (a)" ...] [--cpu-time]

Three take turns, each in a process of its own, since one side's memory disturbs another's allocator, with the same
weights and inputs: torch.nn, ours in NumPy, and ours with the compiled step where there is one
(`python -m seesay.scratch.compiled` tells). All give gradients by the input, by the initial state and by every weight.
Sizes: (a) batch 32, 64 steps, 128 in and 128 hidden, 2 layers, both directions; (b) batch
64, 30 steps, 512 and 512, 1 layer; (c) batch 16, lengths from 50 to 200, 40 in and 256 hidden, 3 layers, both
directions, packed by torch. A ratio above 1 means that ours is faster. The peak is that of multiply-adds in registers
on one thread, in C, times the threads; it is taken before and after every step, since clocks wander, and a share is the
median over the rounds. Then: one step of decoding at batch 1, and the memory that a training step takes, each side in a
process of its own.
"""

from __future__ import annotations

import argparse
import gc
import multiprocessing
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peak import measured_peak
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from seesay.cores import single_threaded_products
from seesay.scratch.compiled import available, reason, use_compiled
from seesay.scratch.compiled.build import NotBuilt
from seesay.scratch.rnn import GRU, LSTM, RNN
from seesay.scratch.stepper import Stepper
from seesay.scratch.threads import set_num_threads

SIZES: dict[str, tuple[int, int, dict[str, Any]]] = {
    "(a)": (32, 64, {"input_size": 128, "hidden_size": 128, "num_layers": 2, "bidirectional": True}),
    "(b)": (64, 30, {"input_size": 512, "hidden_size": 512}),
    "(c)": (16, 200, {"input_size": 40, "hidden_size": 256, "num_layers": 3, "bidirectional": True}),
}
ROWS: list[tuple[str, Any, str, tuple[float, float]]] = [  # layer, size, the ratios aimed at: NumPy, compiled
    ("LSTM (a)", LSTM, "(a)", (0.85, 1.5)),
    ("GRU (a)", GRU, "(a)", (1.0, 2.5)),
    ("RNN (a)", RNN, "(a)", (1.5, 1.5)),
    ("LSTM (b)", LSTM, "(b)", (0.85, 1.05)),
    ("LSTM (c)", LSTM, "(c)", (2.4, 4.0)),
]
_clock: Callable[[], float] = time.perf_counter


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


def turn(step: Callable[[], Any], peak: Callable[[], float]) -> tuple[float, float]:
    """The milliseconds of a step, and 1 / (seconds peak), the peak being the mean of that before and that after it."""
    gc.collect()
    before = peak()
    began = _clock()
    step()
    took = _clock() - began
    return took * 1e3, 2 / (took * (before + peak()))


def in_turns(steps: Mapping[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    """The median milliseconds of each, after one round that does not count."""
    times: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(rounds + 1):
        for name, step in steps.items():
            times[name].append(turn(step, lambda: 1.0)[0])
    return {name: statistics.median(found[1:]) for name, found in times.items()}


def products(kind: Any, size: str) -> float:
    """The floating-point operations of a step's matrix products, in thousands of millions."""
    batch, steps, given = SIZES[size]
    rows = int(lengths_of(size).sum()) if size == "(c)" else batch * steps
    layer = kind(**given)
    return sum(6e-9 * rows * array.size for name, array in layer.parameters.items() if name.startswith("weight"))


def ours_as(use: bool, step: Callable[[], Any]) -> Any:
    """A step with the compiled step allowed, or not."""
    use_compiled(use)
    try:
        return step()
    finally:
        use_compiled()


def _repeat(step: Callable[[], Any], times: int) -> None:
    for _ in range(times):
        step()


def decoding(rounds: int) -> None:
    """One step at batch 1, 512 in and 512 hidden."""
    layer = LSTM(512, 512)
    x = np.random.default_rng(0).standard_normal((1, 512), dtype=np.float32)
    ids, table = np.array([7]), np.repeat(x, 1000, 0)
    whole, cell, tensor = torch.nn.LSTM(512, 512), torch.nn.LSTMCell(512, 512), torch.from_numpy(x)
    steps: dict[str, Callable[[], Any]] = {}
    for name in ("compiled", "NumPy")[not available() :]:
        plain, words = (ours_as(name == "compiled", partial(Stepper, layer, 1, given)) for given in (None, table))
        steps[f"{name}"] = partial(plain.step, x)
        steps[f"{name}, with a table of words"] = partial(words.step, ids)
    with torch.inference_mode(), single_threaded_products():
        state, held = whole(tensor[None])[1], cell(tensor)
        steps["torch.nn.LSTM"] = lambda: whole(tensor[None], state)
        steps["torch.nn.LSTMCell"] = lambda: cell(tensor, held)
        # Each takes many steps running, as in decoding: one alone would find the others' weights in the cache.
        runs = {name: partial(_repeat, step, 50) for name, step in steps.items()}
        medians = {name: each / 50 for name, each in in_turns(runs, rounds).items()}
    for name, milliseconds in medians.items():
        against = (medians[f"torch.nn.{other}"] / milliseconds for other in ("LSTM", "LSTMCell"))
        print(f"decoding step, {name}: {milliseconds * 1e3:.0f} us; ", end="")
        print("times nn.LSTM {:.1f}, times LSTMCell {:.2f}".format(*against))


def memory_of(name: str, side: str) -> None:
    """Prints the MB by which three training steps of one side lift the peak of this process."""
    _, kind, size, _ = next(row for row in ROWS if row[0] == name)
    our_step, their_step = contestants(kind, size)
    if side == "compiled":
        available()  # building and checking is not a step's
    before = _status("VmRSS")
    step = their_step if side == "torch.nn" else partial(ours_as, side == "compiled", our_step)
    _repeat(step, 3)
    print((_status("VmHWM") - before) / 1e3)


def _status(name: str) -> float:
    """A figure of this process in KB. Not getrusage's: its peak is inherited from whoever started the process."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return float(next(line.split()[1] for line in lines if line.startswith(name)))


def memory(names: list[str], sides: list[str]) -> None:
    for name in names:
        found = {}
        for side in sides:
            command = [sys.executable, __file__, "--threads", "1", "--only", name, "--memory-of", side]
            done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=True)
            found[side] = float(done.stdout)
        parts = (
            f"{side} {found[side]:.0f} MB ({found[side] / found['torch.nn']:.2f} of torch.nn)" for side in sides[:-1]
        )
        print(f"memory of a training step, {name}: torch.nn {found['torch.nn']:.0f} MB, {', '.join(parts)}")


def side_of(connection: Connection, name: str, side: str, threads: int, clock: str) -> None:
    """One side in a process of its own: sends its gradient, then measures a step whenever it is asked to."""
    global _clock
    _clock = getattr(time, clock)
    torch.set_num_threads(threads)
    set_num_threads(threads)
    kind, size = next((kind, size) for row, kind, size, _ in ROWS if row == name)
    our_step, their_step = contestants(kind, size)
    step = their_step if side == "torch.nn" else partial(ours_as, side == "compiled", our_step)
    peak = measured_peak()
    connection.send(step())
    while connection.recv():
        connection.send(turn(step, peak))


def training(threads: int, rounds: int, names: list[str], sides: list[str]) -> None:
    """A line for each row, with all sides on so many threads."""
    spawn = multiprocessing.get_context("spawn")
    for name, kind, size, aims in ROWS:
        if name not in names:
            continue
        ends = [spawn.Pipe() for _ in sides]
        for side, (_, far) in zip(sides, ends, strict=True):
            spawn.Process(target=side_of, args=(far, name, side, threads, _clock.__name__), daemon=True).start()
        gradients = [near.recv() for near, _ in ends]
        turns: dict[str, list[tuple[float, float]]] = {side: [] for side in sides}
        for _ in range(rounds + 2):
            for side, (near, _) in zip(sides, ends, strict=True):
                near.send(True)
                turns[side].append(near.recv())
        for near, _ in ends:
            near.send(False)
        medians = {side: tuple(map(statistics.median, zip(*found[2:], strict=True))) for side, found in turns.items()}
        theirs = medians["torch.nn"][0]
        print(f"{name}, {threads} threads: torch.nn {theirs:.1f} ms", end="")
        for side in sides[:-1]:
            found, rate = medians[side]
            print(
                f"; {side} {found:.1f} ms, ratio {theirs / found:.2f} (aim {aims[side == 'compiled']}), "
                f"{products(kind, size) * rate / threads:.0%} of the peak",
                end="",
            )
        difference = max(float(np.abs(one - gradients[-1]).max()) for one in gradients[:-1])
        print(f"; largest difference {difference:.1e}", flush=True)


def main() -> None:
    global _clock
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--only", nargs="+", default=[row[0] for row in ROWS], help="names of rows")
    parser.add_argument("--cpu-time", action="store_true", help="of one thread, where others use the machine too")
    parser.add_argument("--memory-of", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.memory_of:
        torch.set_num_threads(1)
        set_num_threads(1)
        return memory_of(options.only[0], options.memory_of)
    if options.cpu_time:
        _clock = time.thread_time
    sides = ["compiled", "NumPy", "torch.nn"]
    if not available():
        print(f"no compiled step: {reason()}")
        del sides[0]
    try:
        peak = measured_peak()
    except (NotBuilt, OSError, subprocess.CalledProcessError) as fault:
        parser.error(f"the peak needs a C compiler: {fault}")
    print(f"peak of one thread now: {statistics.median(peak() for _ in range(7)):.0f} GFLOP/s")
    for threads in options.threads:
        training(threads, options.rounds, options.only, sides)
    torch.set_num_threads(1)
    set_num_threads(1)
    decoding(options.rounds)
    memory(options.only, sides)
    return None


if __name__ == "__main__":
    main()
