"""Sentences given tags, and tags judged."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from seesay.commands.options import AsJson, Device, Encoding, On, Run, keep_json, typed_lines


def tag(
    run: Run,
    frames: Annotated[Path | None, typer.Option(help="Frames, npz or HDF5, for a tagger of frames.")] = None,
    as_json: AsJson = False,
    encoding: Encoding = "utf-8",
    device: Device = "cpu",
    engine: On = None,
) -> None:
    """Tag the words of sentences from standard input, one sentence a line, words between spaces.

    Prints a word and its tag a line, and a blank line after each sentence; of frames, the sequence and the frame's
    number instead of the word.

    Example: `echo "The dog runs ." | seesay tag runs/tagger`
    """
    from seesay.tagger import Tagger

    tagger = Tagger.open(run, device, engine.value if engine else None)  # first: nobody should type for a wrong run
    if frames is not None or tagger.frame_size:
        named = tagger.tag_file(frames)
        listed = [{"name": name, "tags": tags} for name, tags in named]
        lines = [[f"{name}:{number}" for number in range(len(tags))] for name, tags in named]
    else:
        if sys.stdin.isatty():
            print("Type sentences, words between spaces; Ctrl-D on a line of its own ends them.", file=sys.stderr)
        lines = [line.split() for line in typed_lines(encoding)]
        listed = [{"words": words, "tags": tags} for words, tags in zip(lines, tagger.tag(lines), strict=True)]
    if as_json:
        print(json.dumps(listed, ensure_ascii=False, indent=1))
        return
    for items, one in zip(lines, listed, strict=True):
        print("".join(f"{item}\t{tag}\n" for item, tag in zip(items, one["tags"], strict=True)))


def evaluate_tagger(run: Path, split: str, json_file: Path | None) -> None:
    """Print how well a run tags a split."""
    from seesay.progress import bar, print_tag_scores
    from seesay.tasks.tag import evaluate

    with bar("tags", "sentences") as advance:
        scores, written = evaluate(run, split, advance)
    print_tag_scores(scores)
    print(f"tagged sentences: {written}")
    keep_json(json_file, scores.to_json())
