"""One file, one model. The file's name is the model's name; nothing is registered.

A captioning model file holds a frozen `Config`, an `nn.Module` named `Model` and `TASK = "caption"`. Its contract:

    model.start(features (B, R, D), mask (B, R) bool) -> state     the picture, ready to be described
    model.step(tokens (B,), state) -> (logits (B, V), state)       one more word
    model(features, mask, tokens (N, T), rows (N,)) -> Forced      all words, given the true ones
    model.force(state, tokens, rows) -> Forced                     the same from `start`'s state; if it has that method,
                                                                   self-critical training encodes a picture once

`state` is a NamedTuple, batch first; its field `attention` (B, R), if any, is where the last word looked. Its first
part is a tensor; the others are tensors too, or values with `len` and `select(rows)` for whatever need not be copied
for every beam (`seesay.nn.memory`: the pictures, and the words said so far). `seesay.nn.state.select` serves all.
A picture without a single region may be refused with a `DataError` that says which one of the batch it is.

A model that asks (`TASK = "ask"`) is told more of a picture before its first word, and is otherwise the same:

    model.start(features, mask, concepts (B, C), answers (N, S), rows (N,)) -> state     of N questions; a picture each,
                                                                                         if `rows` are left out
    model(features, mask, concepts, answers, tokens (N, T), rows (N,)) -> Forced         answers by question, too

A model that tags (`TASK = "tag"`), of P words in all sentences of a batch, offers

    model(*batch.inputs) -> logits (P, tags)
    model.loss(logits, lengths, tags, label_smoothing) -> scalar       summed over the words
    model.best(logits, lengths) -> (P,)                                the best tags of each sentence
"""

from __future__ import annotations

import dataclasses
import importlib
import pkgutil
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from seesay.errors import RecipeError, UnknownName
from seesay.settings import check_arrays, check_settings


class Forced(NamedTuple):
    """Teacher forcing's result at the P real target positions, row by row: padding costs nothing."""

    logits: Tensor  # (P, V)
    targets: Tensor  # (P,) the words that should have been said
    attention: Tensor | None  # (N, T - 1, R), zeros at padding


def names() -> list[str]:
    """The models there are: the files of this folder.

    >>> "attend_tell" in names()
    True
    """
    return sorted(part.name for part in pkgutil.iter_modules(__path__))


def build(name: str, settings: Mapping[str, Any], **sizes: Any) -> nn.Module:
    """A fresh model of the given name; `settings` are fields of its `Config`, anything else is an error.

    `sizes` are those that the data decide: `feature_size` and `vocabulary_size` of a captioner, and `concept_count` of
    a model that asks.

    >>> build("captioning_rnn", {"hidden_size": 8}, feature_size=4, vocabulary_size=10).config.hidden_size
    8
    """
    whole = complete(name, settings)
    module = importlib.import_module(f"{__name__}.{name}")
    try:
        return module.Model(module.Config(**whole), **sizes)
    except (ValueError, RuntimeError) as fault:  # torch's own words about a size or a probability
        given = ", ".join(f"{key} {value!r}" for key, value in settings.items())
        raise RecipeError(f"model.{name}: received {given}; no such network: {fault}.") from None


def complete(name: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings given, checked, and the defaults of those that are not; UnknownName for a model that there is not.

    >>> complete("captioning_rnn", {"hidden_size": 8})["hidden_size"], complete("captioning_rnn", {})["cell"]
    (8, 'lstm')
    """
    if name not in names():
        raise UnknownName("model", name, names())
    module = importlib.import_module(f"{__name__}.{name}")
    defaults = {field.name: field.default for field in dataclasses.fields(module.Config)}
    check_settings(name, settings, defaults)
    return defaults | dict(settings)


def check_task(name: str, task: str) -> None:
    """Raises RecipeError for a model of another task, UnknownName for none.

    >>> check_task("captioning_rnn", "caption")
    """
    if name not in names():
        raise UnknownName("model", name, names())
    found = importlib.import_module(f"{__name__}.{name}").TASK
    if found != task:
        raise RecipeError(f"model.name: received '{name}', a model for task '{found}'; expected one for '{task}'.")


def move(model: nn.Module, device: str) -> nn.Module:
    """`model` on `device`; a device that this machine does not have is an error of one line."""
    try:
        return model.to(device)
    except (RuntimeError, AssertionError) as fault:  # AssertionError: a torch built without CUDA
        reason = str(fault).splitlines()[0]
        raise RecipeError(
            f"device: received '{device}'; expected cpu, or one that this machine has ({reason:.80}); choose cpu."
        ) from None


def load_weights(model: nn.Module, arrays: Mapping[str, NDArray[Any]], prefix: str, source: str) -> None:
    """Load the arrays under `prefix` into `model`; every name and shape must fit. `source` names the file in errors."""
    found = {name.removeprefix(prefix): torch.from_numpy(a) for name, a in arrays.items() if name.startswith(prefix)}
    check_arrays({name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}, found, source)
    model.load_state_dict(found)
