"""The whole road on Flickr8k: features, mirrored features, training, scores on the development split, captions.

    .venv/bin/python benchmarks/flickr8k.py FOLDER [-o RUN] [-- --set key=value ...]

FOLDER holds `captions.json` (the plain format) and `images/`. Features are made beside the run, once. Each part is
the command that a person would type; its time is printed, and in the end the scores and some captions, good and bad.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

RECIPE = Path(__file__).parents[1] / "recipes" / "flickr8k-attend.toml"


def seesay(*arguments: str) -> float:
    began = time.perf_counter()
    subprocess.run([str(Path(sys.executable).with_name("seesay")), *arguments], check=True)
    took = time.perf_counter() - began
    print(f"seesay {arguments[0]}: {took:,.0f} s", flush=True)
    return took


def settings(**values: Path) -> list[str]:
    return [part for key, value in values.items() for part in ("--set", f"data.{key}={str(value)!r}")]


def show(run: Path) -> None:
    """Five captions along the whole range of the picture's own CIDEr-D: the best, the worst and quarters between."""
    content = json.loads((run / "predictions" / "dev.json").read_text(encoding="utf-8"))
    items = sorted(content["items"], key=lambda item: -item["scores"]["CIDEr-D"])
    for share in (0.02, 0.25, 0.5, 0.75, 0.98):
        item = items[int(share * (len(items) - 1))]
        print(f"{item['file']}  CIDEr-D {item['scores']['CIDEr-D']:.2f}  {item['captions'][0]['text']}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("-o", "--output", type=Path, default=Path("runs/flickr8k-attend"))
    parser.add_argument("extra", nargs="*", help="more settings for 'seesay train'")
    given = parser.parse_args()
    made = given.output.parent / "flickr8k-features"
    made.mkdir(parents=True, exist_ok=True)
    pictures, plain, mirrored = given.folder / "images", made / "grids.h5", made / "grids-flipped.h5"
    seesay("features", str(pictures), "-o", str(plain))
    seesay("features", str(pictures), "-o", str(mirrored), "--flipped")
    data = settings(captions=given.folder / "captions.json", pictures=pictures, features=plain, flipped=mirrored)
    seesay("train", str(RECIPE), "-o", str(given.output), *data, *given.extra)
    seesay("evaluate", str(given.output), "--split", "dev", "--beam", "5")
    seesay("report", str(given.output))
    show(given.output)


if __name__ == "__main__":
    main()
