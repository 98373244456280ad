"""Captions and scores of a whole split, written into the run folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from seesay.captioner import Caption, Captioner
from seesay.data.features import FeatureStore
from seesay.data.records import Record, read_records, split
from seesay.decoding.search import Decoding
from seesay.errors import CheckpointError, DataError
from seesay.files import write_json
from seesay.metrics.files import write_results
from seesay.metrics.scoring import Evaluation
from seesay.metrics.scoring import evaluate as score
from seesay.recipe import locate, read_recipe
from seesay.report.credits import read_credits
from seesay.report.page import write_report
from seesay.text.json_file import read_json
from seesay.training.folder import RunFolder

BATCH = 100
Progress = Callable[[int, int], None]  # (pictures done, of how many)


def decoding_of(run: Path) -> Decoding:
    """The search that the recipe of a run asks for."""
    folder = RunFolder(run)
    if not folder.recipe.exists():
        raise CheckpointError(
            f"{run}: not a run folder; expected one that 'seesay train' made, with recipe.toml in it."
        )
    return Decoding(**read_recipe(folder.recipe).decoding.model_dump())


def describe_records(
    captioner: Captioner,
    records: Sequence[Record],
    store: FeatureStore,
    decoding: Decoding | None = None,
    progress: Progress | None = None,
) -> dict[str, list[Caption]]:
    """Captions by record id, the best first; pictures go through the model in batches."""
    found: dict[str, list[Caption]] = {}
    for start in range(0, len(records), BATCH):
        some = records[start : start + BATCH]
        captions = captioner.describe(store.read([record.file for record in some]), decoding)
        found |= {record.id: each for record, each in zip(some, captions, strict=True)}
        if progress:
            progress(len(found), len(records))
    return found


def score_captions(found: dict[str, list[Caption]], records: Sequence[Record]) -> Evaluation:
    """Scores of the first caption of each picture against all of its human ones."""
    return score(
        {record.id: found[record.id][0].text for record in records},
        {record.id: list(record.captions) for record in records},
    )


def evaluate(
    run: Path,
    part: str = "dev",
    decoding: Decoding | None = None,
    captions: Path | None = None,
    features: Path | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Caption and score split `part` with the best checkpoint of `run`; predictions and scores go into the run folder.

    `captions` and `features` take the place of those of the recipe, to evaluate on other pictures; the files written
    are then named after the captions as well.
    """
    folder = RunFolder(run)
    captioner = Captioner.open(run)
    data = read_recipe(folder.recipe).data
    records = split(read_records(captions or locate(data.captions)), part)
    store = FeatureStore(features or locate(data.features))
    if store.encoder != captioner.header["encoder"]:
        raise DataError(
            f"{store.path}: features of {store.encoder}; the run was trained on {captioner.header['encoder']}; "
            "extract them again with that encoder."
        )
    decoding = decoding or captioner.decoding
    found = describe_records(captioner, records, store, decoding, progress)
    result = score_captions(found, records)
    part = part if captions is None else f"{captions.stem}-{part}"
    write_json(folder.scores(part), result.to_json())
    write_results(folder.results(part), {record.id: found[record.id][0].text for record in records})
    write_json(folder.predictions(part), _predictions(part, decoding, captioner.header, records, found, result))
    return result


def _predictions(
    part: str,
    decoding: Decoding,
    header: dict[str, Any],
    records: Sequence[Record],
    found: dict[str, list[Caption]],
    result: Evaluation,
) -> dict[str, Any]:
    return {
        "split": part,
        "decoding": vars(decoding),
        "checkpoint_step": header["progress"]["step"],
        "signature": result.signature,
        "items": [
            {
                "id": record.id,
                "file": record.file,
                "captions": [_as_json(caption, first=i == 0) for i, caption in enumerate(found[record.id])],
                "references": list(record.captions),
                "scores": result.per_id[record.id],
            }
            for record in records
        ],
    }


def _as_json(caption: Caption, first: bool) -> dict[str, Any]:
    """A caption for the predictions file; where the model looked is kept for the best one alone, to a thousandth."""
    looked = caption.attention is not None and first
    attention = [[round(float(w), 3) for w in row] for row in caption.attention] if looked else None  # type: ignore[union-attr]
    return caption.as_dict() | {"tokens": list(caption.tokens), "attention": attention}


def _is_current(folder: RunFolder) -> bool:
    """Whether the captions of the development data come from the checkpoint that is the best now."""
    if not folder.predictions("dev").exists():
        return False
    step = Captioner.open(folder.path).header["progress"]["step"]
    return bool(read_json(folder.predictions("dev")).get("checkpoint_step") == step)


def write_run_report(run: Path) -> Path:
    """The page about a run; its development data are captioned first, unless they have been by the best checkpoint."""
    folder = RunFolder(run)
    decoding = decoding_of(run)
    recipe = read_recipe(folder.recipe)
    if not _is_current(folder):
        evaluate(run, "dev", decoding)
    pictures = locate(recipe.data.pictures) if recipe.data.pictures else None
    return write_report(run, pictures, read_credits(locate(recipe.data.captions)), recipe.notice)
