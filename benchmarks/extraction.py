"""How fast a folder becomes a feature file, against the encoder alone on pixels in memory: a ratio of medians.

    python benchmarks/extraction.py [FOLDER] [--pictures 152] [--rounds 5] [--threads 2]

The pipeline finds, reads, decodes, resizes, encodes, writes and syncs; the encoder alone gets the same pictures as
ready arrays, once in one call that uses all threads and once in as many threads as the pipeline has. All three take
turns, and the faster way of the encoder alone counts.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib import resources
from pathlib import Path

import numpy as np
import torch

from seesay.data.images import find_pictures, open_picture, to_square
from seesay.vision.encoders import Encoder, load_encoder
from seesay.vision.extraction import extract


def seconds(work: Callable[[], object]) -> float:
    """How long this takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def copied(source: Path, folder: Path, pictures: int) -> None:
    """So many pictures, those of the source over and over."""
    paths = find_pictures(source)
    for number in range(pictures):
        path = paths[number % len(paths)]
        shutil.copy(path, folder / f"{number:05}{path.suffix}")


def apart(encoder: Encoder, pixels: np.ndarray, threads: int) -> None:
    """The encoder in several threads, each with whole batches."""
    with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        list(pool.map(encoder, [pixels[start : start + 8] for start in range(0, len(pixels), 8)]))
    torch.set_num_threads(threads)


def main() -> None:
    """Measures in turns and prints a line each, then the ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    demo = Path(str(resources.files("seesay"))) / "data" / "demo" / "images"
    parser.add_argument("folder", nargs="?", type=Path, default=demo)
    parser.add_argument("--pictures", type=int, default=152)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    encoder = load_encoder()
    with tempfile.TemporaryDirectory() as temporary:
        folder, output = Path(temporary) / "photos", Path(temporary) / "grids.h5"
        folder.mkdir()
        copied(options.folder, folder, options.pictures)
        pixels = np.stack([to_square(open_picture(path), encoder.sides[0]) for path in find_pictures(folder)])
        times: dict[str, list[float]] = {"whole pipeline": [], "encoder, one call": [], "encoder, in threads": []}
        for _ in range(options.rounds):
            output.unlink(missing_ok=True)
            times["whole pipeline"].append(
                seconds(lambda: extract(folder, output, encoder=encoder, threads=options.threads))
            )
            times["encoder, one call"].append(seconds(lambda: encoder(pixels)))
            times["encoder, in threads"].append(seconds(lambda: apart(encoder, pixels, options.threads)))
    medians = {name: statistics.median(values) for name, values in times.items()}
    for name, median in medians.items():
        print(f"{name:20} {options.pictures / median:6.1f} pictures/s")
    alone = min(medians["encoder, one call"], medians["encoder, in threads"])
    print(f"the whole pipeline reaches {alone / medians['whole pipeline']:.2f} of the encoder alone")


if __name__ == "__main__":
    main()
