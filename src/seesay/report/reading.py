"""A run folder as values: what the report shows, read and checked before a single line of the page is made."""

from __future__ import annotations

import json
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from seesay.data.records import SPLITS
from seesay.errors import DataError
from seesay.text.json_file import read_json

Row = Mapping[str, Any]
T = TypeVar("T")
LARGEST = sys.float_info.max  # a JSON integer may be larger still
# Runs from before the metrics had COCO's names.
_RENAMED = {"ROUGE-L": "ROUGE_L"} | {f"BLEU-{n}": f"Bleu_{n}" for n in range(1, 5)}


@dataclass(frozen=True)
class Step:
    """One update of the weights."""

    step: int
    loss: float
    lr: float
    reward: float | None = None  # where captions were drawn and judged: then the loss is not that of a word


@dataclass(frozen=True)
class Check:
    """The scores at the end of an epoch; `dev_loss` and `scores` are of the development pictures."""

    step: int
    epoch: int
    train_loss: float
    dev_loss: float
    scores: dict[str, float]
    best: bool
    drawn: Mapping[str, float] = field(default_factory=dict)  # means of the captions drawn: reward, baseline, ...


@dataclass(frozen=True)
class Item:
    """One captioned picture; `attention` is (T, R) for the T tokens of the best caption, or None."""

    id: str
    file: str
    tokens: tuple[str, ...]
    attention: npt.NDArray[np.float64] | None = field(compare=False)
    others: tuple[str, ...]
    references: tuple[str, ...]
    score: float


@dataclass(frozen=True)
class Split:
    """The captions and scores of one split."""

    name: str
    decoding: dict[str, Any]
    checkpoint_step: int
    signature: str
    corpus: dict[str, float]
    items: tuple[Item, ...]
    asks: bool = False  # the sentences are questions


@dataclass(frozen=True)
class Run:
    """All of a run folder that the report shows."""

    name: str
    model: str
    recipe: str
    words: int | None
    seconds: float | None
    steps: tuple[Step, ...]
    checks: tuple[Check, ...]
    splits: tuple[Split, ...]

    @property
    def trained(self) -> bool:
        """Whether it was trained here; imported weights have no log."""
        return bool(self.steps or self.checks)


def read_run(folder: Path) -> Run:
    """Reads a run folder. Raises DataError, one line, for each file that is missing or not what it should be.

    Of the predictions, those named after a split alone are shown: the recipe's own pictures, searched as it says.
    A run of imported weights, which are of step 0, has no log.
    """
    recipe = text_of(folder / "recipe.toml", "a run folder holds the recipe it was made from")
    files = [file for split in sorted(SPLITS) if (file := folder / "predictions" / f"{split}.json").exists()]
    if not files:
        raise DataError(f"{folder / 'predictions'}: no captions found. Run 'seesay evaluate {folder}' first.")
    vocabulary, timings, log = (folder / name for name in ("vocabulary.json", "timings.jsonl", "log.jsonl"))
    splits = tuple(_read_split(file, folder / "scores" / file.name) for file in files)
    trained = log.exists() or any(split.checkpoint_step for split in splits)
    steps, checks = read_log(log) if trained else ((), ())
    return Run(
        name=folder.resolve().name,
        model=model_of(recipe, folder / "recipe.toml"),
        recipe=recipe,
        words=len(_get(_json(vocabulary), "words", list, vocabulary)) if vocabulary.exists() else None,
        seconds=seconds_of(timings) if timings.exists() else None,
        steps=steps,
        checks=checks,
        splits=splits,
    )


def read_log(file: Path) -> tuple[tuple[Step, ...], tuple[Check, ...]]:
    """The steps and the checks of a run's log; DataError where it holds neither."""
    rows = _json_lines(file)
    steps = tuple(_step(row, where) for where, row in rows if row.get("event") == "step")
    checks = tuple(_check(row, where) for where, row in rows if row.get("event") == "check")
    if not steps and not checks:
        raise DataError(f"{file}: no training step in it; expected the log of a run. Run 'seesay train' first.")
    return steps, checks


def _step(row: Row, where: str) -> Step:
    reward = _number(row, "reward", where) if "reward" in row else None
    return Step(_get(row, "step", int, where), _number(row, "loss", where), _number(row, "lr", where), reward)


def _check(row: Row, where: str) -> Check:
    return Check(
        step=_get(row, "step", int, where),
        epoch=_get(row, "epoch", int, where),
        train_loss=_number(row, "train_loss", where),
        dev_loss=_number(row, "dev_loss", where),
        scores=_scores(row, "scores", where),
        best=bool(row.get("best", False)),
        drawn={name: _number(row["drawn"], name, where) for name in _get({"drawn": {}, **row}, "drawn", dict, where)},
    )


def _read_split(file: Path, scores_file: Path) -> Split:
    page = _json(file)
    items = _get(page, "items", list, file)
    if not items:
        raise DataError(f"{file}: no picture in it; expected at least one. Run 'seesay evaluate' again.")
    scores = _json(scores_file)
    return Split(
        name=_get(page, "split", str, file),
        decoding=dict(_get(page, "decoding", dict, file)),
        checkpoint_step=_get(page, "checkpoint_step", int, file),
        signature=_get(scores, "signature", str, scores_file),
        corpus=_scores(scores, "corpus", scores_file),
        items=tuple(_item(item, f"{file}: item {number}") for number, item in enumerate(items, 1)),
        asks=page.get("task") == "ask",
    )


def _item(row: Any, where: str) -> Item:
    if not isinstance(row, dict):
        raise _wrong(where, repr(row), "an object with id, file, captions")
    captions = _get(row, "captions", list, where)
    if not captions or not all(isinstance(caption, dict) for caption in captions):
        raise _wrong(where, f"captions {captions!r:.60}", "a list with at least one caption")
    tokens = _strings(captions[0], "tokens", where)
    return Item(
        id=str(row.get("id", "")),
        file=_inside(_get(row, "file", str, where), where),
        tokens=tokens,
        attention=_attention(captions[0].get("attention"), len(tokens), where),
        others=tuple(_get(caption, "text", str, where) for caption in captions[1:]),
        references=_strings(row, "references", where),
        score=_number(_get(row, "scores", dict, where), "CIDEr-D", where),
    )


def _attention(rows: Any, tokens: int, where: str) -> npt.NDArray[np.float64] | None:
    """(T, R) weights of the words; a further row, for the end of the sentence, is left out."""
    if rows is None or tokens == 0:
        return None
    try:
        weights = np.asarray(rows, dtype=np.float64)
    except (ValueError, TypeError):
        raise _wrong(where, "attention of uneven rows", "one list of numbers for each word") from None
    if weights.ndim != 2 or len(weights) < tokens or not np.isfinite(weights).all() or (weights < 0).any():
        raise _wrong(where, f"attention of shape {weights.shape}", f"{tokens} rows of finite weights, none below 0")
    return weights[:tokens]


def _inside(file: str, where: str) -> str:
    path = PurePosixPath(file)
    if not file or path.is_absolute() or ".." in path.parts or "\\" in file:
        raise _wrong(where, f"file {file!r}", "a path inside the picture folder")
    return file


def model_of(recipe: str, file: Path) -> str:
    """The name of the model in the text of a recipe; `file` names it in errors."""
    try:
        model = tomllib.loads(recipe).get("model", "")
    except tomllib.TOMLDecodeError as error:
        raise DataError(f"{file}: not TOML ({error}); expected the recipe of a run.") from None
    return str(model.get("name", "") if isinstance(model, dict) else model)


def seconds_of(file: Path) -> float:
    """How long training took, from the timings of a run."""
    return sum(_number(row, "seconds", where) for where, row in _json_lines(file) if "seconds" in row)


def text_of(file: Path, expected: str) -> str:
    """A file of a run as text; DataError that says what was `expected` where it cannot be read."""
    try:
        return file.read_text(encoding="utf-8")
    except OSError as error:
        raise DataError(f"{file}: {error.strerror}; {expected}. Is this a folder made by 'seesay train'?") from None
    except UnicodeDecodeError:
        raise DataError(f"{file}: not UTF-8 text; {expected}. The file is damaged: restore it.") from None


def _json(file: Path) -> Row:
    page = read_json(file)
    if not isinstance(page, dict):
        raise _wrong(file, type(page).__name__, "a JSON object, as 'seesay train' and 'seesay evaluate' write it")
    return page


def _json_lines(file: Path) -> list[tuple[str, Row]]:
    rows: list[tuple[str, Row]] = []
    for number, line in enumerate(text_of(file, "expected the log of a run").rstrip("\n").split("\n"), 1):
        where = f"{file}: line {number}"
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            row = None
        if not isinstance(row, dict):
            raise _wrong(where, f"{line!r:.40}", "one JSON object a line; restore the file, or train again")
        rows.append((where, row))
    return rows


def _get(row: Row, key: str, kind: type[T], where: str | Path) -> T:
    value = row.get(key)
    if not isinstance(value, kind) or isinstance(value, bool):
        raise _wrong(where, f"{key} {value!r:.40}", f"{key} as {kind.__name__}")
    return value


def _number(row: Row, key: str, where: str | Path) -> float:
    value = row.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= LARGEST:
        raise _wrong(where, f"{key} {value!r:.40}", f"{key} as a finite number")
    return float(value)


def _scores(row: Row, key: str, where: str | Path) -> dict[str, float]:
    values = _get(row, key, dict, where)
    return {_RENAMED.get(name, str(name)): _number(values, name, where) for name in values}


def _strings(row: Row, key: str, where: str) -> tuple[str, ...]:
    values = _get(row, key, list, where)
    if not all(isinstance(value, str) for value in values):
        raise _wrong(where, f"{key} {values!r:.40}", f"{key} as a list of strings")
    return tuple(values)


def _wrong(where: str | Path, received: str, expected: str) -> DataError:
    return DataError(f"{where}: received {received}; expected {expected}.")
