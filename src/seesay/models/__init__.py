"""One file, one model. The file's name is the model's name; nothing is registered.

A captioning model file holds a frozen `Config`, an `nn.Module` named `Model` and `TASK = "caption"`. Its contract:

    model.start(features (B, R, D), mask (B, R) bool) -> state     the picture, ready to be described
    model.step(tokens (B,), state) -> (logits (B, V), state)       one more word
    model(features, mask, tokens (N, T), rows (N,)) -> Forced      all words, given the true ones

`state` is a NamedTuple, batch first; its field `attention` (B, R), if any, is where the last word looked. Its first
part is a tensor; the others are tensors too, or values with `len` and `select(rows)` for whatever need not be copied
for every beam (`seesay.nn.memory`: the pictures, and the words said so far). `seesay.nn.state.select` serves all.
A picture without a single region may be refused with a `DataError` that says which one of the batch it is.
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

from seesay.errors import CheckpointError, RecipeError, UnknownName

LARGEST = 16_384  # of any size in a Config; beyond it no machine here holds the weights


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


def build(name: str, settings: Mapping[str, Any], *, feature_size: int, vocabulary_size: int) -> nn.Module:
    """A fresh model of the given name; `settings` are fields of its `Config`, anything else is an error.

    A field named `..._size` is 1 or more, one named `...dropout` a share below 1: true of every model, checked here.

    >>> build("captioning_rnn", {"hidden_size": 8}, feature_size=4, vocabulary_size=10).config.hidden_size
    8
    """
    if name not in names():
        raise UnknownName("model", name, names())
    module = importlib.import_module(f"{__name__}.{name}")
    known = {field.name: field for field in dataclasses.fields(module.Config)}
    for key, value in settings.items():
        if key not in known:
            raise UnknownName(f"setting of model {name}", key, known)
        wanted = type(known[key].default)
        if type(value) is not wanted and not (wanted is float and type(value) is int):
            raise RecipeError(
                f"model.{key}: received {value!r}; expected {wanted.__name__}, as in {known[key].default!r}."
            )
        _check_range(key, value)
    try:
        return module.Model(module.Config(**settings), feature_size=feature_size, vocabulary_size=vocabulary_size)
    except (ValueError, RuntimeError) as fault:  # torch's own words about a size or a probability
        given = ", ".join(f"{key} {value!r}" for key, value in settings.items())
        raise RecipeError(f"model.{name}: received {given}; no such network: {fault}.") from None


def _check_range(key: str, value: Any) -> None:
    """Sizes and shares that make a network: what torch would not notice, or in words of its own."""
    if key.endswith("_size") and not 1 <= value <= LARGEST:
        raise RecipeError(f"model.{key}: received {value!r}; expected a whole number from 1 to {LARGEST:,}.")
    if key.endswith("dropout") and not 0 <= value < 1:
        raise RecipeError(f"model.{key}: received {value!r}; expected a share from 0 up to, not including, 1.")


def move(model: nn.Module, device: str) -> nn.Module:
    """`model` on `device`; a device that this machine does not have is an error of one line."""
    try:
        return model.to(device)
    except (RuntimeError, AssertionError) as fault:  # AssertionError: a torch built without CUDA
        reason = str(fault).splitlines()[0]
        raise RecipeError(
            f"device: received '{device}'; expected cpu, or one that this machine has: {reason}"
        ) from None


def load_weights(model: nn.Module, arrays: Mapping[str, NDArray[Any]], prefix: str, source: str) -> None:
    """Load the arrays under `prefix` into `model`; every name and shape must fit. `source` names the file in errors."""
    found = {name.removeprefix(prefix): torch.from_numpy(a) for name, a in arrays.items() if name.startswith(prefix)}
    wanted = model.state_dict()
    for name, tensor in wanted.items():
        if name not in found or found[name].shape != tensor.shape:
            have = tuple(found[name].shape) if name in found else "nothing"
            raise CheckpointError(f"{source}: weight '{name}' is {have}; expected {tuple(tensor.shape)}.")
    if spare := sorted(found.keys() - wanted.keys()):
        raise CheckpointError(f"{source}: the model has no weight '{spare[0]}' ({len(spare)} such).")
    model.load_state_dict(found)
