"""Captions and scores of a whole split, written into the run folder."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

from seesay.arguments import listed, path_of
from seesay.captioner import Caption, Captioner, at_once
from seesay.data.features import FeatureStore
from seesay.data.records import Record, read_records, split
from seesay.decoding.settings import Decoding, as_asked
from seesay.errors import DataError
from seesay.files import write_json
from seesay.metrics.files import write_results
from seesay.metrics.scoring import COCO, QUICK, Evaluation
from seesay.metrics.scoring import evaluate as score
from seesay.recipe import Data, Recipe, locate
from seesay.report.credits import COCO_CAPTIONS, read_credits
from seesay.report.page import write_report
from seesay.restoring import best_of, best_step, recipe_in
from seesay.text.json_file import read_json
from seesay.text.splits import known_split
from seesay.training.folder import RunFolder

BATCH = 100
Progress = Callable[[int, int], None]  # (pictures done, of how many)


def decoding_of(run: Path | str) -> Decoding:
    """The search that the recipe of a run asks for."""
    return Decoding(**recipe_in(run, Recipe).decoding.model_dump())


def describe_records(
    captioner: Captioner,
    records: Sequence[Record],
    store: FeatureStore,
    decoding: Decoding | None = None,
    progress: Progress | None = None,
    seed: int | None = None,
) -> dict[str, list[Caption]]:
    """Captions by record id, the best first; pictures go through the model in batches.

    With `seed`, a sampled caption depends on the seed and on the id alone.
    """
    found: dict[str, list[Caption]] = {}
    size = at_once(BATCH, decoding or captioner.decoding)
    if progress:
        progress(0, len(records))  # a search may take minutes for its first batch
    for start in range(0, len(records), size):
        some = records[start : start + size]
        names = [record.id for record in some]
        captions = captioner.describe(store.read([record.file for record in some]), decoding, seed, names)
        found |= dict(zip(names, captions, strict=True))
        if progress:
            progress(len(found), len(records))
    return found


def score_captions(
    found: dict[str, list[Caption]],
    records: Sequence[Record],
    metrics: Collection[str] = QUICK,
    tell: Callable[[str], None] | None = None,
) -> Evaluation:
    """Scores of the first caption of each picture against all of its human ones."""
    return score(
        {record.id: found[record.id][0].text for record in records},
        {record.id: list(record.captions) for record in records},
        metrics,
        tell,
    )


def evaluate(
    run: Path | str,
    part: str = "dev",
    decoding: Decoding | None = None,
    captions: Path | str | None = None,
    features: Path | str | None = None,
    progress: Progress | None = None,
    tell: Callable[[str], None] | None = None,
    precision: str = "float32",
    others: Sequence[Path | str] = (),
) -> Evaluation:
    """Caption and score split `part` with the best checkpoint of `run`; predictions and scores go into the run folder.

    `captions` and `features` take the place of those of the recipe, to evaluate on other pictures. The files written
    are named after the split; after other captions, other features and another search than the recipe's too, so that
    `dev` stays what the recipe asks for. With `others`, runs of the same vocabulary and encoder, the next word is said
    by the mean of all, as by `Captioner.together`, and the files are named after them too. `tell` hears of METEOR's
    data being packed, which happens once.
    """
    recipe, folder, others = recipe_in(run, Recipe), RunFolder(run), listed(others, "others", "a list of run folders")
    captioner = Captioner.together([run, *others], precision=precision)
    decoding = as_asked(decoding, decoding_of(run))
    name = _name(recipe, part, decoding, captions, features, precision, others)
    records = split(read_records(_path(captions, recipe.data, "captions")), part)
    store = open_features(_path(features, recipe.data, "features"), captioner.header)
    found = describe_records(captioner, records, store, decoding, progress, recipe.seed)
    write_results(folder.results(name), {record.id: found[record.id][0].text for record in records})
    result = score_captions(found, records, COCO, tell)
    about = {
        "split": known_split(part),
        "captions": str(captions or recipe.data.captions),
        "features": str(features or recipe.data.features),
        "decoding": vars(decoding),
        "checkpoint_step": captioner.header["progress"]["step"],
        "signature": result.signature,
        **({"together_with": [str(other) for other in others]} if others else {}),
    }
    write_json(folder.scores(name), result.to_json())
    write_json(folder.predictions(name), about | {"items": items_of(records, found, result)})
    return result


def captions_file(
    run: Path | str,
    part: str = "dev",
    decoding: Decoding | None = None,
    captions: Path | str | None = None,
    features: Path | str | None = None,
    precision: str = "float32",
    others: Sequence[Path | str] = (),
) -> Path:
    """Where `evaluate` with these arguments keeps the captions."""
    recipe, decoding = recipe_in(run, Recipe), as_asked(decoding, decoding_of(run))
    return RunFolder(run).predictions(_name(recipe, part, decoding, captions, features, precision, others))


def _name(
    recipe: Recipe,
    part: str,
    decoding: Decoding,
    captions: Path | str | None,
    features: Path | str | None,
    precision: str,
    others: Sequence[Path | str],
) -> str:
    """What the files of an evaluation are called: the split alone where everything is as in the recipe."""
    usual = vars(Decoding(**recipe.decoding.model_dump()))
    names = [known_split(part)]
    if _is_other(captions, recipe.data, "captions"):
        names.insert(0, Path(str(captions)).stem)
    if _is_other(features, recipe.data, "features"):
        names.append(Path(str(features)).stem)
    names += [f"{key}-{value}" for key, value in vars(decoding).items() if value != usual[key]]
    names += [precision] if precision != "float32" else []
    names += [f"with-{_short_name(best_of(other).resolve())}" for other in others]
    return "-".join(names).replace("/", "_")  # a forbidden or required word may have one


def _short_name(checkpoint: Path) -> str:
    """A run's name, and enough of a digest of its place that two runs of one name keep files of their own."""
    return f"{checkpoint.parent.parent.name}-{hashlib.sha256(str(checkpoint).encode()).hexdigest()[:6]}"


def _is_other(path: Path | str | None, data: Data, key: str) -> bool:
    return path is not None and _path(path, data, key).resolve() != locate(getattr(data, key)).resolve()


def _path(path: Path | str | None, data: Data, key: str) -> Path:
    """The file or folder that takes the place of the recipe's, or else the recipe's."""
    return locate(getattr(data, key)) if path is None else path_of(path, key)


def open_features(path: Path, header: dict[str, Any]) -> FeatureStore:
    """The features at `path`, if they are of the kind that the model was trained on."""
    store = FeatureStore(path)
    if store.encoder != header["encoder"]:
        raise DataError(
            f"{path}: features of {store.encoder}; the run was trained on {header['encoder']}; "
            "extract them again with that encoder."
        )
    if store.flipped:
        raise DataError(
            f"{path}: features of mirrored pictures; expected those of the pictures as they are; "
            "extract them without --flipped."
        )
    size = header["model"]["feature_size"]
    if store.size != size:
        raise DataError(f"{path}: {store.size} numbers a region; expected {size} as in training; extract them again.")
    return store


def items_of(records: Sequence[Record], found: dict[str, list[Caption]], result: Evaluation) -> list[dict[str, Any]]:
    """What the predictions file says of each picture: its captions, and the scores of the first one."""
    return [
        {
            "id": record.id,
            "file": record.file,
            "captions": [_as_json(caption, first=i == 0) for i, caption in enumerate(found[record.id])],
            "references": list(record.captions),
            "scores": result.per_id[record.id],
        }
        for record in records
    ]


def _as_json(caption: Caption, first: bool) -> dict[str, Any]:
    """A caption for the predictions file; where the model looked is kept for the best one alone, to a thousandth."""
    looked = caption.attention is not None and first
    attention = [[round(float(w), 3) for w in row] for row in caption.attention] if looked else None  # type: ignore[union-attr]
    return caption.as_dict() | {"tokens": list(caption.tokens), "attention": attention}


def is_current(run: Path | str, file: Path, *others: Path, **said: Any) -> bool:
    """Whether an evaluation is there and says that it comes from the checkpoint of the run that is the best now.

    `file`, which is JSON, must say all that is `said` besides; the `others` must be there.
    """
    wanted = {"checkpoint_step": best_step(run), **said}
    try:
        found = read_json(file)
    except DataError:
        return False
    return isinstance(found, dict) and wanted.items() <= found.items() and all(other.exists() for other in others)


def write_run_report(run: Path | str) -> Path:
    """The page about a run, by the search of its recipe; its development data are captioned first, unless they have
    been by the best checkpoint.
    """
    folder, recipe, decoding = RunFolder(run), recipe_in(run, Recipe), decoding_of(run)
    if not is_current(run, folder.predictions("dev"), folder.scores("dev"), decoding=vars(decoding)):
        evaluate(run, "dev", decoding)
    pictures = locate(recipe.data.pictures) if recipe.data.pictures else None
    captions = COCO_CAPTIONS if recipe.data.captions.startswith("seesay:") else None
    return write_report(folder.path, pictures, read_credits(locate(recipe.data.captions), captions), recipe.notice)
