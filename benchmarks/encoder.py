"""How fast our encoder is by torch and by NumPy, over its package's own float32 forward: ratios of medians.

    python benchmarks/encoder.py [FOLDER] [--rounds 15] [--threads 2]

All encode the same pictures (by default the demonstration photographs) in the same process, in turns, so that whatever
else the machine does falls on each. The package is timed at several batch sizes and its best one counts. NumPy takes
one picture at a time, on one thread whatever --threads says.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from importlib import resources
from pathlib import Path

import numpy as np
import torch
from efficientnet_lite_pytorch import EfficientNet

from seesay.data.images import find_pictures, open_picture, to_square
from seesay.vision.encoders import load_encoder
from seesay.vision.weights import read_weights, weights_path

BATCHES = (1, 4, 8, 32)


def package_forward() -> Callable[[np.ndarray], np.ndarray]:
    """The package's own network as its users run it: float32, batch norms apart, eval and inference mode."""
    network = EfficientNet.from_name("efficientnet-lite0").eval()
    network.load_state_dict({name: torch.from_numpy(array) for name, array in read_weights(weights_path()).items()})

    @torch.inference_mode()
    def forward(pixels: np.ndarray) -> np.ndarray:
        x = (torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous().float() - 127) / 128
        grid = network.extract_features(x)
        return grid.permute(0, 2, 3, 1).reshape(len(pixels), 49, 1280).half().numpy()

    return forward


def in_batches(encode: Callable[[np.ndarray], np.ndarray], pixels: np.ndarray, batch: int) -> float:
    """Seconds a picture."""
    started = time.perf_counter()
    for start in range(0, len(pixels), batch):
        encode(pixels[start : start + batch])
    return (time.perf_counter() - started) / len(pixels)


def main() -> None:
    """Measures in turns and prints one line a contestant, then the ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    demo = Path(str(resources.files("seesay"))) / "data" / "demo" / "images"
    parser.add_argument("folder", nargs="?", type=Path, default=demo)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    pixels = np.stack([to_square(open_picture(path), 224) for path in find_pictures(options.folder)[:32]])
    encoders = {engine: load_encoder(engine=engine) for engine in ("torch", "numpy")}
    theirs = package_forward()
    contestants = {(engine, batch): encode for engine, encode in encoders.items() for batch in BATCHES}
    contestants |= {("package", batch): theirs for batch in BATCHES}
    seconds: dict[tuple[str, int], list[float]] = {key: [] for key in contestants}
    for _ in range(options.rounds):
        for key, encode in contestants.items():
            seconds[key].append(in_batches(encode, pixels, key[1]))
    medians = {key: statistics.median(values) for key, values in seconds.items()}
    for (who, batch), median in medians.items():
        print(f"{who:8} batches of {batch:2}: {1 / median:6.1f} pictures/s (best {1 / min(seconds[who, batch]):6.1f})")
    expected = theirs(pixels).astype(np.float32)
    best = min(medians["package", batch] for batch in BATCHES)
    for engine, encode in encoders.items():
        difference = np.abs(encode(pixels).astype(np.float32) - expected)
        print(f"{engine}: largest difference {difference.max():.5f}, mean {difference.mean():.7f}")
        for batch in BATCHES:
            same = medians["package", batch] / medians[engine, batch]
            over_best = best / medians[engine, batch]
            print(f"{engine}, batches of {batch:2}: {same:.2f} times the package, {over_best:.2f} times its best")


if __name__ == "__main__":
    main()
