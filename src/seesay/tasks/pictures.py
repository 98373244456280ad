"""What learning from photographs takes, whatever is to be said of them: records, features and their checks."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from seesay.data.batches import CaptionSet
from seesay.data.coco import remedy_for
from seesay.data.features import FeatureStore
from seesay.data.records import Record
from seesay.decoding.numpy_scores import check_constraints
from seesay.decoding.settings import Decoding, check_resolved, resolve
from seesay.errors import DataError
from seesay.recipe import AskRecipe, Data, PictureWords, Questions, Recipe, locate
from seesay.text.vocabulary import Vocabulary


def part_of(records: list[Record], name: str, source: Path) -> list[Record]:
    """The records of one of the two splits that training needs; DataError where there are none."""
    chosen = [record for record in records if record.split == name]
    if not chosen:
        raise DataError(
            f"{source}: received {len(records):,} pictures, none of split '{name}'; expected some of 'train' to learn "
            f"from and some of 'dev' to choose the best epoch; {remedy_for(source) or 'change the split of a few'}."
        )
    return chosen


def open_stores(data: Data | PictureWords | Questions) -> tuple[FeatureStore, FeatureStore | None]:
    """The features that a recipe names, and those of the mirrored pictures if it does; DataError where they differ."""
    store, flipped = FeatureStore(locate(data.features)), FeatureStore(locate(data.flipped)) if data.flipped else None
    _check_stores(store, flipped)
    return store, flipped


def picture_digests(
    parts: Iterable[Sequence[Record]], store: FeatureStore, flipped: FeatureStore | None
) -> dict[str, str]:
    """SHA-256 of what training sees of pictures: which ones there are in each of its parts, and their features."""
    files = json.dumps([[record.file for record in part] for part in parts])
    return {
        "names of the pictures": hashlib.sha256(files.encode()).hexdigest(),
        "features": store.digest,
        "flipped features": "" if flipped is None else flipped.digest,
    }


def require_features(source: str, sets: dict[str, CaptionSet]) -> None:
    """Every picture must have its features before the first step, not at the 800th."""
    for some in sets.values():
        for store in filter(None, (some.features, some.flipped)):
            store.require([record.file for record in some.records], source)


def check_search(recipe: Recipe | AskRecipe, vocabulary: Vocabulary) -> None:
    """RecipeError for a search that the trained model could not make: a word that is none, or its engine's limits."""
    search = resolve(Decoding(**recipe.decoding.model_dump()), vocabulary)
    if recipe.training.engine == "numpy" and search.method != "consensus":
        check_constraints(check_resolved(search))


def cut_notice(source: str, what: str, sets: dict[str, CaptionSet], most: int, why: str) -> tuple[str, ...]:
    """One line about how many sentences were too long and are cut to `most` words, or none where all fit."""
    counts = [
        f"{some.cut:,} of {sum(map(len, some.encoded)):,} {what} of '{name}'" for name, some in sets.items() if some.cut
    ]
    return (f"{source}: cut {' and '.join(counts)} to {most} words ({why}).",) if counts else ()


def _check_stores(store: FeatureStore, flipped: FeatureStore | None) -> None:
    """The features must be those of the pictures as they are, and the flipped ones their mirror images."""
    for key, some, mirrored in (("features", store, False), ("flipped", flipped, True)):
        if some is not None and some.flipped is not mirrored:
            kinds = ("the pictures as they are", "the mirrored pictures")
            raise DataError(
                f"{some.path}: features of {kinds[some.flipped]}; data.{key} expects those of {kinds[mirrored]}; "
                "name the right file, or make it with 'seesay features'" + (" --flipped." if mirrored else ".")
            )
    if flipped is not None and _kind(flipped) != _kind(store):  # a mean over mirror images is of the same network
        raise DataError(
            f"{flipped.path}: features of {_kind(flipped)}; expected {_kind(store)}, as in {store.path}; make both "
            "with the same encoder."
        )


def _kind(store: FeatureStore) -> str:
    return f"{store.encoder.partition('+')[0]} ({store.regions} x {store.size})"
