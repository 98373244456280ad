"""What photographs show, and how well a run tells it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seesay.commands.options import Bad, Device, OnBad, Run, check_any, keep_json, teller

if TYPE_CHECKING:
    from seesay.metrics.naming import ConceptScore, NamingScores

EACH = 10  # concepts printed of the best and of the worst


def concepts(
    run: Run,
    photos: Annotated[list[Path], typer.Argument(help="Photographs: JPEG, PNG, WebP, GIF or BMP.")],
    top: Annotated[int, typer.Option(min=1, help="How many concepts a photograph, the likeliest first.")] = 10,
    on_bad: Bad = OnBad.STOP,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False,
    device: Device = "cpu",
) -> None:
    """Say which concepts photographs show, each with its probability.

    Example: `seesay concepts runs/flickr8k-concepts photo.jpg --top 5`
    """
    from seesay.namer import Namer

    listed, done = [], 0
    for photo, named in Namer.open(run, device).stream(photos, top, teller(on_bad)):
        done += 1
        if as_json:
            some = [{"concept": word, "probability": probability} for word, probability in named]
            listed.append({"file": str(photo), "concepts": some})
        else:
            print("\n".join([str(photo), *(f"  {word} {probability:.3f}" for word, probability in named)]), flush=True)
    if as_json:
        print(json.dumps(listed, ensure_ascii=False, indent=1))
    check_any(done, photos)


def evaluate_namer(
    run: Path,
    split: str,
    captions: Path | None,
    features: Path | None,
    json_file: Path | None,
) -> None:
    """Print how well a run names what pictures of a split show."""
    from seesay.progress import bar
    from seesay.tasks.concepts import evaluate

    with bar("concepts", "pictures") as advance:
        scores, written = evaluate(run, split, captions, features, advance)
    print("\n".join(described(scores)))
    print(f"likeliest concepts: {written}")
    keep_json(json_file, scores.to_json())


def described(scores: NamingScores) -> list[str]:
    """The mean average precision, what chance would give, and the concepts told best and worst."""
    ranked = scores.ranked()
    best, worst = ranked[:EACH], ranked[EACH:][-EACH:]
    lines = [
        f"mAP {scores.mAP:.4f} over {len(scores.per_concept):,} concepts and {scores.pictures:,} pictures "
        f"(chance {scores.chance:.4f})"
    ]
    if scores.absent:
        lines.append(f"not judged: {len(scores.absent):,} concepts that none of these pictures shows")
    lines += _table("told best", best)
    return lines + (_table("told worst", worst) if worst else [])


def _table(title: str, rows: list[tuple[str, ConceptScore]]) -> list[str]:
    width = max(len(title), *(len(word) for word, _ in rows))
    return [
        f"{title:<{width}}  average precision  pictures",
        *(f"{word:<{width}}  {score.average_precision:17.3f}  {score.pictures:8,}" for word, score in rows),
    ]
