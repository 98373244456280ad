"""Building a model by name, and loading weights that must all fit."""

from __future__ import annotations

import dataclasses
import importlib
from typing import Any

import numpy as np
import pytest

from seesay.errors import CheckpointError, RecipeError, SeesayError, UnknownName
from seesay.models import build, load_weights, names

SMALL = {"embedding_size": 4, "hidden_size": 6}

SIZES: dict[str, dict[str, Any]] = {
    "caption": {"feature_size": 3, "vocabulary_size": 9},
    "tag": {"sizes": (9, 5), "tags": 3},
}


def make(name: str = "captioning_rnn", **settings: Any) -> Any:
    task = importlib.import_module(f"seesay.models.{name}").TASK if name in names() else "caption"
    return build(name, {**SMALL, **settings}, **SIZES[task])


def test_names_are_the_files() -> None:
    assert names() == ["attend_tell", "bilstm_tagger", "captioning_rnn"]


@pytest.mark.parametrize("name", names())
def test_an_unknown_setting_suggests_the_nearest(name: str) -> None:
    with pytest.raises(UnknownName, match=f"setting of model {name} 'hiden_size'. Did you mean 'hidden_size'"):
        make(name, hiden_size=3)


def test_an_unknown_model_suggests_the_nearest() -> None:
    with pytest.raises(UnknownName, match=r"Unknown model 'atend_tell'\. Did you mean 'attend_tell'"):
        make("atend_tell")


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("attend_tell", {"hidden_size": "big"}),
        ("attend_tell", {"hidden_size": 6.0}),
        ("attend_tell", {"hidden_size": True}),
        ("attend_tell", {"hidden_size": -6}),
        ("attend_tell", {"hidden_size": 10**9}),
        ("attend_tell", {"tied": 1}),
        ("attend_tell", {"dropout": 2.0}),
        ("captioning_rnn", {"dropout": -0.5}),
        ("captioning_rnn", {"cell": "gru"}),
        ("captioning_rnn", {"cell": 3}),
    ],
)
def test_a_setting_that_makes_no_sense_is_one_line(name: str, settings: dict[str, Any]) -> None:
    with pytest.raises(SeesayError, match=next(iter(settings))) as fault:
        make(name, **settings)
    assert "\n" not in str(fault.value)


def test_a_whole_number_will_do_for_a_fraction() -> None:
    assert make(dropout=0).config.dropout == 0


def arrays(model: Any) -> dict[str, np.ndarray]:
    return {f"model/{name}": part.numpy().copy() for name, part in model.state_dict().items()}


def test_weights_load_by_prefix() -> None:
    model, other = make(), make()
    found = arrays(other) | {"average/head.bias": np.zeros(9, np.float32)}
    load_weights(model, found, "model/", "last")
    assert all((part.numpy() == found[f"model/{name}"]).all() for name, part in model.state_dict().items())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model/head.bias": None}, r"run/last: weight 'head.bias' is nothing; expected \(9,\)"),
        ({"model/head.bias": np.zeros(8, np.float32)}, r"weight 'head.bias' is \(8,\); expected \(9,\)"),
        ({"model/module.head.bias": np.zeros(9)}, "has no weight 'module.head.bias'"),
    ],
)
def test_weights_that_do_not_fit_are_refused_and_none_is_loaded(change: dict[str, Any], message: str) -> None:
    model = make()
    before = {name: part.clone() for name, part in model.state_dict().items()}
    found = {name: array for name, array in (arrays(make()) | change).items() if array is not None}
    with pytest.raises(CheckpointError, match=message):
        load_weights(model, found, "model/", "run/last")
    assert all((part == before[name]).all() for name, part in model.state_dict().items())


def test_a_recipe_error_names_the_setting_and_an_example() -> None:
    with pytest.raises(RecipeError, match=r"model.hidden_size: received 'big'; expected int, as in 512"):
        make(hidden_size="big")


@pytest.mark.parametrize("name", names())
def test_no_model_takes_a_size_below_one_or_a_share_of_one(name: str) -> None:
    fields = [field.name for field in dataclasses.fields(importlib.import_module(f"seesay.models.{name}").Config)]
    sizes, shares = ([key for key in fields if key.endswith(end)] for end in ("_size", "dropout"))
    assert sizes and shares
    for key in sizes:
        for value in (0, -1, 16_385):
            with pytest.raises(RecipeError, match=f"model.{key}: received {value}; expected a whole number from 1 to"):
                make(name, **{key: value})
    for key in shares:
        for value in (1.0, 1.5, -0.1, float("nan")):
            with pytest.raises(RecipeError, match=f"model.{key}: received {value}; expected a share from 0 up to"):
                make(name, **{key: value})
        assert getattr(make(name, **{key: 0.99}).config, key) == 0.99
