"""Questions about photographs, and their scores."""

from __future__ import annotations

import gc
import json
from pathlib import Path
from typing import Annotated, Any

import typer

from seesay.commands.options import Bad, Device, OnBad, Run, check_any, keep_json, teller


def ask(
    run: Run,
    photos: Annotated[list[Path], typer.Argument(help="Photographs: JPEG, PNG, WebP, GIF or BMP.")],
    answer: Annotated[str, typer.Option(help='What the answer should be, such as "red"; else any.')] = "",
    n_best: Annotated[int, typer.Option(min=1, max=100, help="How many questions a photograph, at most.")] = 1,
    on_bad: Bad = OnBad.STOP,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False,
    device: Device = "cpu",
) -> None:
    """Ask about photographs.

    Example: `seesay ask runs/vqg-ask photo.jpg --answer red --n-best 5`
    """
    from seesay.asker import Asker

    gc.disable()  # importing torch makes half a million objects that stay: nothing to collect, a sixth of the time
    asker = Asker.open(run, device)
    gc.enable()
    listed, done = [], 0
    for photo, questions in asker.stream(photos, answer, n_best, on_bad=teller(on_bad)):
        done += 1
        if as_json:
            found = [{"text": each.text, "score": each.score} for each in questions]
            listed.append({"file": str(photo), "answer": answer or None, "questions": found})
        else:
            print("\n".join([str(photo), *(f"  {each.text}   ({each.score:.2f})" for each in questions)]), flush=True)
    if as_json:
        print(json.dumps(listed, ensure_ascii=False, indent=1))
    check_any(done, photos)


def evaluate_asker(run: Path, split: str, changes: dict[str, Any], json_file: Path | None) -> None:
    """Ask about and score a split; `changes` are settings of the search that a person gave."""
    from seesay.captioner import with_options
    from seesay.progress import bar, print_ask_scores, tell
    from seesay.tasks.asking import decoding_of, evaluate

    decoding = with_options(decoding_of(run), **changes)
    with bar("questions", "pictures") as advance:
        scores, written = evaluate(run, split, decoding, advance, tell)
    print_ask_scores(scores)
    print(f"questions: {written}")
    keep_json(json_file, scores.to_json())
