"""How long `seesay caption` takes on one photograph, start of the process included.

    .venv/bin/python benchmarks/caption.py RUN PHOTO

Side by side, in turns, with the floor that no captioner on torch can go below: a process that imports torch and stops.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path

ROUNDS = 7


def seconds(command: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def main(run: str, photo: str) -> None:
    seesay = str(Path(sys.executable).with_name("seesay"))
    commands = {
        "seesay caption": [seesay, "caption", run, photo],
        "import torch": [sys.executable, "-c", "import torch"],
    }
    for command in commands.values():
        seconds(command)  # once to fill the page cache
    times = {name: [] for name in commands}
    for _ in range(ROUNDS):
        for name, command in commands.items():
            times[name].append(seconds(command))
    median = {name: statistics.median(some) for name, some in times.items()}
    for name, some in times.items():
        print(f"{name:15} median {median[name]:.2f} s, {min(some):.2f} to {max(some):.2f} over {ROUNDS} runs")
    print(f"ratio of medians, caption : import torch = {median['seesay caption'] / median['import torch']:.2f}")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
