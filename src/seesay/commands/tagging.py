"""Sentences given tags, and tags judged."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from seesay.commands.options import Device, On, Run, keep_json, typed_lines


def tag(
    run: Run,
    frames: Annotated[Path | None, typer.Option(help="Frames, npz or HDF5, for a tagger of frames.")] = None,
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
        for name, tags in tagger.tag_file(frames):
            print("".join(f"{name}:{number}\t{tag}\n" for number, tag in enumerate(tags)))
        return
    if sys.stdin.isatty():
        print("Type sentences, words between spaces; Ctrl-D on a line of its own ends them.", file=sys.stderr)
    sentences = [line.split() for line in typed_lines()]
    for words, tags in zip(sentences, tagger.tag(sentences), strict=True):
        print("".join(f"{word}\t{tag}\n" for word, tag in zip(words, tags, strict=True)))


def evaluate_tagger(run: Path, split: str, json_file: Path | None) -> None:
    """Print how well a run tags a split."""
    from seesay.progress import bar, print_tag_scores
    from seesay.tasks.tag import evaluate

    with bar("tags", "sentences") as advance:
        scores, written = evaluate(run, split, advance)
    print_tag_scores(scores)
    print(f"tagged sentences: {written}")
    keep_json(json_file, scores.to_json())
