"""A model's settings, as a recipe gives them, held against the model's own defaults."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from seesay.errors import CheckpointError, RecipeError, UnknownName

LARGEST = 16_384  # of any size; beyond it no machine here holds the weights


def check_settings(model: str, settings: Mapping[str, Any], defaults: Mapping[str, Any]) -> None:
    """Raises UnknownName for a setting that the model has not, RecipeError for one of another type or out of range.

    A setting named `..._size` is 1 or more, one named `...dropout` a share below 1: true of every model, checked here.

    >>> check_settings("captioning_rnn", {"hidden_size": 8}, {"hidden_size": 512})
    """
    for key, value in settings.items():
        if key not in defaults:
            raise UnknownName(f"setting of model {model}", key, defaults)
        wanted = type(defaults[key])
        if type(value) is not wanted and not (wanted is float and type(value) is int):
            raise RecipeError(f"model.{key}: received {value!r}; expected {wanted.__name__}, as in {defaults[key]!r}.")
        _check_range(key, value)


def _check_range(key: str, value: Any) -> None:
    """Sizes and shares that make a network: what an engine would not notice, or in words of its own."""
    if key.endswith("_size") and not 1 <= value <= LARGEST:
        raise RecipeError(f"model.{key}: received {value!r}; expected a whole number from 1 to {LARGEST:,}.")
    if key.endswith("dropout") and not 0 <= value < 1:
        raise RecipeError(f"model.{key}: received {value!r}; expected a share from 0 up to, not including, 1.")


def check_arrays(wanted: Mapping[str, tuple[int, ...]], found: Mapping[str, Any], source: str) -> None:
    """Raises CheckpointError unless `found` holds arrays of just these names and shapes; `source` names its file.

    >>> check_arrays({"bias": (2,)}, {}, "best.safetensors")
    Traceback (most recent call last):
    seesay.errors.CheckpointError: best.safetensors: weight 'bias' is nothing; expected (2,).
    """
    for name, shape in wanted.items():
        have = tuple(found[name].shape) if name in found else "nothing"
        if have != shape:
            raise CheckpointError(f"{source}: weight '{name}' is {have}; expected {shape}.")
    if spare := sorted(found.keys() - wanted.keys()):
        raise CheckpointError(f"{source}: the model has no weight '{spare[0]}' ({len(spare)} such).")
