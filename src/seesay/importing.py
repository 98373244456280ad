"""Weights that others released, as a run folder that captions and evaluates like one of seesay's own."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

from seesay import __version__
from seesay.arguments import path_of
from seesay.checkpoint import write_checkpoint
from seesay.data.features import FeatureStore
from seesay.engines import open_engine
from seesay.errors import CheckpointError, DataError
from seesay.files import link_file, replace_file
from seesay.recipe import Recipe, recipe_of, write_recipe
from seesay.text.json_file import read_json
from seesay.text.vocabulary import Vocabulary
from seesay.training.folder import RunFolder
from seesay.training.progress import Progress
from seesay.weights import Released, import_weights

NOTICE = "These weights were trained and released by others, not by seesay."
SEARCH = {"method": "beam", "beam": 5, "max_length": 20, "faithful": True}  # what the released scores are of


def import_run(
    kind: str,
    weights: Path | str,
    run: Path | str,
    words: Path | str,
    *,
    captions: Path | str | None = None,
    features: Path | str | None = None,
    encoder: str | None = None,
    heads: int = 8,
) -> Released:
    """Make the run folder `run` of the file `weights`, released as `kind` "m2" or "s2"; nothing in the file is run.

    Such a file has no words: `words` holds them in the order of their ids, as a vocabulary.json of seesay, a JSON list
    or text with one a line. `captions` and `features` are noted for `seesay evaluate`; the features say what made
    them, or else `encoder` does. Raises CheckpointError for another kind of file or a folder that holds a run,
    DataError where words or features do not fit the weights.
    """
    folder, weights, words = RunFolder(run), path_of(weights, "weights"), path_of(words, "words")
    captions = None if captions is None else path_of(captions, "captions")
    features = None if features is None else path_of(features, "features")
    with folder.locked():
        if folder.begun() or folder.recipe.exists():
            raise CheckpointError(f"{run}: holds a run already; choose another -o.")
        released = import_weights(kind, weights, heads=heads)
        vocabulary = read_words(words)
        if len(vocabulary) != released.vocabulary_size:
            raise DataError(
                f"{words}: {len(vocabulary):,} words; expected {released.vocabulary_size:,}, as {weights} has; "
                "give those that it was trained with."
            )
        encoder = _encoder(features, released, weights) if features else encoder or f"released-{kind}"
        recipe = _recipe(kind, released, captions, features)
        folder.prepare()
        replace_file(folder.recipe, write_recipe(recipe))
        vocabulary.save(folder.vocabulary)
        header = _header(recipe, released, vocabulary, encoder)
        write_checkpoint(folder.last, open_engine("torch").pack(released.model, None, None), header)
        link_file(folder.last, folder.best)
    return released


def read_words(path: Path | str) -> Vocabulary:
    """Words in the order of their ids, the specials `<unk>`, `<pad>`, `<bos>`, `<eos>` first; DataError for others.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "words.txt"
    >>> _ = path.write_text("<unk> <pad> <bos> <eos> a dog".replace(" ", chr(10)), encoding="utf-8")
    >>> read_words(path).encode(["dog"])
    [5]
    """
    path = path_of(path, "words")
    if path.suffix != ".json":
        try:
            words = path.read_text(encoding="utf-8-sig").split("\n")
        except OSError as fault:
            raise DataError(f"{path}: cannot be read ({fault.strerror}); expected words, one a line.") from None
        except UnicodeDecodeError as fault:
            raise DataError(f"{path}: {fault.reason} at byte {fault.start}; expected words in UTF-8.") from None
        return _vocabulary(words[:-1] if words[-1] == "" else words, path)
    content = read_json(path)
    return _vocabulary(content, path) if isinstance(content, list) else Vocabulary.load(path)


def _vocabulary(words: list[Any], path: Path) -> Vocabulary:
    try:
        return Vocabulary(tuple(words))
    except DataError as fault:
        raise DataError(f"{path}: {fault}") from None


def _encoder(features: Path, released: Released, weights: Path) -> str:
    store = FeatureStore(features)
    if store.size != released.feature_size:
        raise DataError(
            f"{features}: {store.size:,} numbers a region; expected {released.feature_size:,}, as {weights} was "
            "trained on; make features with its encoder."
        )
    return store.encoder


def _recipe(kind: str, released: Released, captions: Path | None, features: Path | None) -> Recipe:
    content = {
        "name": f"released-{kind}",
        "notice": NOTICE,
        "data": {
            "captions": str(captions.resolve()) if captions else "captions.json",
            "features": str(features.resolve()) if features else "features.h5",
        },
        "model": {"name": released.name, **released.settings},
        "stages": [{}],
        "decoding": SEARCH,
    }
    recipe = recipe_of(content, Path("import-weights"))
    assert isinstance(recipe, Recipe)
    return recipe


def _header(recipe: Recipe, released: Released, vocabulary: Vocabulary, encoder: str) -> dict[str, Any]:
    """What a reader of the weights must know."""
    return {
        "seesay": __version__,
        "task": "caption",
        "engine": "torch",
        "model": {"name": released.name, "settings": released.settings, "feature_size": released.feature_size},
        "encoder": encoder,
        "vocabulary": vocabulary.digest,
        "decoding": recipe.decoding.model_dump(),
        "recipe": recipe.model_dump(mode="json"),
        "progress": Progress(done=True).as_dict(),
    }


def told(
    released: Released,
    run: Path,
    captions: Path | None = None,
    features: Path | None = None,
    encoder: str | None = None,
) -> str:
    """One line about what was imported, and what comes next; the rest are the arguments of `import_run`."""
    count = sum(parameter.numel() for parameter in released.model.parameters())
    unused = f" ({len(released.unused)} tensors of the file are never used)" if released.unused else ""
    evaluate = f"seesay evaluate {shlex.quote(str(run))}"
    if captions and features:
        after = f"Next: {evaluate}"
    elif features:
        after = f"Next: {evaluate} --captions CAPTIONS"
    elif encoder:
        after = f"Next: {evaluate} --captions CAPTIONS --features FEATURES, which '{encoder}' made"
    else:
        after = (
            "To evaluate it, import it with --captions and --features into another folder: features of the encoder "
            "that it was released with, which seesay does not have"
        )
    return f"{run}: {released.name}, {count:,} weights{unused}. {after}"
