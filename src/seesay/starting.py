"""Beginning a run with another run's weights: whatever of them fits, and in one line what did and what did not."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from seesay.assembly import Work, on_dev
from seesay.checkpoint import Arrays, read_checkpoint
from seesay.errors import CheckpointError
from seesay.restoring import best_of, weights_of
from seesay.text.json_file import read_json

SHOWN = 4  # names of fresh weights that the line says


class Start(NamedTuple):
    """What a run began with."""

    text: str  # for a person
    about: dict[str, Any]  # for the log


def start_from(work: Work, run: Path) -> Start:
    """Put the best weights of `run` into the fresh model of `work`, wherever name and shape agree.

    Weights with a row for each word, such as an embedding, go over word by word, as the two runs may know different
    words. What has no equal there stays as it was drawn.
    Raises CheckpointError where nothing fits: then it is another kind of model.
    """
    file = best_of(run)
    arrays, header = read_checkpoint(file)
    prefix = weights_of(arrays)
    there = {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
    here = {
        name.removeprefix("model/"): array.copy()
        for name, array in work.engine.pack(work.model, None, work.optimizer).items()
        if name.startswith("model/")
    }
    words = words_in(work.folder.vocabulary), words_in(file.parent.parent / "vocabulary.json")
    taken = take(here, there, *words)
    if not taken:
        raise CheckpointError(
            f"{file}: received weights of a {header.get('model', {}).get('name', 'model')!r}, none of which "
            f"{work.recipe.model.name!r} has; expected a run of the same model, or of one that shares parts with it."
        )
    for model in filter(lambda one: one is not None, (work.model, work.average)):
        work.engine.load(model, {f"model/{name}": array for name, array in here.items()}, "model/", str(file))
    fresh = sorted(here.keys() - taken)
    named = ", ".join(fresh[:SHOWN]) + (f" and {len(fresh) - SHOWN} more" if len(fresh) > SHOWN else "")
    shared = len({*words[0]} & {*words[1]})
    text = f"began with {len(taken)} of {len(here)} weights of {file}"
    text += f", {shared:,} of {len(words[0]):,} words among them" if words[0] and words[0] != words[1] else ""
    text += f"; fresh: {named}." if fresh else "."
    about = {"event": "start", "from": str(file), "sha256": _digest(there), "fresh": fresh}
    return Start(text, about)


def first_score(work: Work, start: Start) -> Iterator[str]:
    """Score what a run begins with, where all of it was given: an epoch must be better than that to be kept.

    Yields the line that says so. A model with fresh weights is not scored.
    """
    if start.about["fresh"]:
        return
    scores, loss = on_dev(work)
    work.progress.offer(scores[work.stage.select_by], loss, scores)
    start.about.update(dev_loss=loss, scores=scores)
    told = f"dev loss {loss:.3f}  dev {work.stage.select_by} {scores[work.stage.select_by]:.3f}"
    yield f"start: {told}; an epoch must be better to be kept as the best."


def take(here: Arrays, there: Mapping[str, Any], words: tuple[str, ...], other_words: tuple[str, ...]) -> set[str]:
    """Overwrite arrays of `here` with those of the same name in `there` that fit; returns their names.

    An array of as many rows as there are words is filled row by row, each word's from the same word's.

    >>> import numpy as np
    >>> here = {"embedding": np.zeros((3, 1)), "gate": np.zeros(2)}
    >>> there = {"embedding": np.array([[1.0], [2.0]]), "gate": np.ones(5)}
    >>> sorted(take(here, there, ("a", "cat", "dog"), ("dog", "a"))), here["embedding"].ravel().tolist()
    (['embedding'], [2.0, 0.0, 1.0])
    """
    place = {word: row for row, word in enumerate(other_words)}
    pairs = [(row, place[word]) for row, word in enumerate(words) if word in place]
    taken = set()
    for name in here.keys() & there.keys():
        mine, other = here[name], there[name]
        by_word = mine.ndim and other.ndim and (len(mine), len(other)) == (len(words), len(other_words))
        if by_word and pairs and mine.shape[1:] == other.shape[1:]:
            rows, sources = map(list, zip(*pairs, strict=True))
            mine[rows] = other[sources]
        elif mine.shape == other.shape:
            here[name] = other
        else:
            continue
        taken.add(name)
    return taken


def words_in(vocabulary: Path) -> tuple[str, ...]:
    """The words of a run's vocabulary in the order of their ids; none where it has another kind of lexicon.

    >>> import tempfile
    >>> from seesay.text.vocabulary import Vocabulary
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     Vocabulary.build([["a"]], 1).save(Path(folder, "vocabulary.json"))
    ...     words_in(Path(folder, "vocabulary.json"))
    ('<unk>', '<pad>', '<bos>', '<eos>', 'a')
    """
    content = read_json(vocabulary)
    words = content.get("words") if isinstance(content, dict) else None
    return tuple(words) if isinstance(words, list) and all(isinstance(word, str) for word in words) else ()


def _digest(arrays: Mapping[str, Any]) -> str:
    """SHA-256 over names and values, in the order of the names."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        digest.update(name.encode() + arrays[name].tobytes())
    return digest.hexdigest()
