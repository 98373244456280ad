"""Captions scored, whoever wrote them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from seesay.commands.options import Json, keep_json


def score(
    references: Annotated[Path, typer.Argument(help="COCO annotations, Karpathy, {id: [captions]} or captions.json.")],
    results: Annotated[Path, typer.Argument(help='COCO results, [{"image_id", "caption"}], or {id: caption}.')],
    against: Annotated[Path | None, typer.Option(help="Results of another system, for a paired test.")] = None,
    split: Annotated[str | None, typer.Option(help="Which split of REFERENCES, where it has splits.")] = None,
    subset: Annotated[bool, typer.Option("--subset", help="REFERENCES may have more pictures than RESULTS.")] = False,
    training: Annotated[Path | None, typer.Option(help="Captions learned from, for the share of novel ones.")] = None,
    sets: Annotated[Path | None, typer.Option(help="Several captions a picture, {id: [captions]}, for mBLEU.")] = None,
    spice: Annotated[bool, typer.Option("--spice", help="SPICE too, where Java and its parts are.")] = False,
    samples: Annotated[int, typer.Option(min=100, help="Resampled corpora for intervals and tests.")] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Of the resampling.")] = 0,
    per_image: Annotated[Path | None, typer.Option(help="Write each picture's scores as CSV.", dir_okay=False)] = None,
    json_file: Json = None,
    html: Annotated[Path | None, typer.Option(help="Write a page with tables and pictures.", dir_okay=False)] = None,
) -> None:
    """Score captions against human ones as COCO does: BLEU, METEOR, ROUGE-L, CIDEr-D, CIDEr; how varied they are.

    Example: `seesay score annotations.json results.json --against other.json --html scores.html`
    """
    from seesay.files import check_outputs
    from seesay.metrics.files import read_novelty, read_other, read_pair, read_references, write_table
    from seesay.metrics.scoring import COCO, METRICS
    from seesay.metrics.study import study
    from seesay.progress import print_study, tell

    check_outputs([per_image, json_file, html], [references, results, against, training, sets])
    human, generated = read_pair(references, results, split, subset)
    other = read_other(against, generated) if against else None
    known = read_novelty(training) if training else None
    several = read_references(sets) if sets else None
    found = study(generated, human, other, known, several, METRICS if spice else COCO, samples, seed, tell)
    print_study(found)
    if per_image:
        write_table(per_image, found.evaluation.per_id, generated)
        print(f"written: {per_image}")
    keep_json(json_file, found.to_json())
    if html:
        from seesay.report.scores import write_scores  # brings Pillow, which scores alone do not need

        write_scores(html, found, generated, human, (results.name, against.name if against else ""))
        print(f"written: {html}")
