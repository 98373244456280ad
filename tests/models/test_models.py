"""Building a model by name, and loading weights that must all fit."""

from __future__ import annotations

import dataclasses
import importlib
from typing import Any

import numpy as np
import pytest
import torch

from seesay.data.batches import pad
from seesay.errors import CheckpointError, DataError, RecipeError, SeesayError, UnknownName
from seesay.models import build, load_weights, names
from seesay.text.vocabulary import BOS

SMALL = {"embedding_size": 4, "hidden_size": 6, "heads": 2, "layers": 1}


def fields(name: str) -> list[str]:
    return [field.name for field in dataclasses.fields(importlib.import_module(f"seesay.models.{name}").Config)]


SIZES: dict[str, dict[str, Any]] = {
    "caption": {"feature_size": 3, "vocabulary_size": 9},
    "ask": {"feature_size": 3, "vocabulary_size": 9, "concept_count": 5},
    "tag": {"sizes": (9, 5), "tags": 3},
    "classify": {"sizes": (9, 5), "labels": 3},
    "concepts": {"feature_size": 3, "concept_count": 5},
}


def make(name: str = "captioning_rnn", **settings: Any) -> Any:
    known = {key: value for key, value in SMALL.items() if name in names() and key in fields(name)}
    task = importlib.import_module(f"seesay.models.{name}").TASK if name in names() else "caption"
    return build(name, {**known, **settings}, **SIZES[task])


def test_names_are_the_files() -> None:
    assert names() == [
        "attend_tell",
        "bilstm_tagger",
        "captioning_rnn",
        "concept_head",
        "ivqa",
        "meshed_memory",
        "rnn_classifier",
        "s2",
        "transformer",
        "up_down",
    ]


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
        ("transformer", {"heads": 4}),
        ("transformer", {"heads": 0}),
        ("transformer", {"layers": 0}),
        ("transformer", {"encoder_layers": -1}),
        ("transformer", {"positions": 0}),
        ("transformer", {"positions": 1}),  # room for <bos> and no word
        ("meshed_memory", {"positions": 1}),
        ("s2", {"positions": 1}),
        ("meshed_memory", {"heads": -2}),
        ("meshed_memory", {"slots": -1}),
        ("meshed_memory", {"layers": 65}),
        ("meshed_memory", {"regions": 0}),
        ("s2", {"clusters": 0}),
        ("s2", {"cells": 10**6}),
        ("s2", {"positions": 10**6}),
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
    sizes, shares = ([key for key in fields(name) if key.endswith(end)] for end in ("_size", "dropout"))
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


@pytest.mark.parametrize("name", ["transformer", "meshed_memory", "s2"])
def test_what_is_longer_than_the_positions_is_one_line(name: str) -> None:
    model = make(name, positions=4).eval()
    features, mask = torch.randn(2, 5, 3), torch.ones(2, 5, dtype=torch.bool)
    tokens = torch.from_numpy(pad([[4, 5, 6], [7]]))
    assert model(features, mask, tokens, torch.tensor([0, 1])).logits.shape == (6, 9)
    with pytest.raises(DataError, match="received one of 5 words with <bos>; the model has positions for 4; cut"):
        model(features, mask, torch.from_numpy(pad([[4, 5, 6, 7], [7]])), torch.tensor([0, 1]))
    state = model.start(features, mask)
    for word in (BOS, 4, 5, 6):
        _, state = model.step(torch.tensor([word, word]), state)
    with pytest.raises(RecipeError, match="max_length: received a word 5; the model has positions for 4; decode fewer"):
        model.step(torch.tensor([7, 7]), state)


@pytest.mark.parametrize("name", ["transformer", "meshed_memory", "s2", "up_down"])
def test_rows_of_zeros_are_no_regions(name: str) -> None:
    """A feature file filled up with zeros, without a mask, is the same to a model as one with the right mask."""
    model = make(name).eval()
    features, mask = torch.randn(2, 5, 3), torch.arange(5) < torch.tensor([[5], [2]])
    features = features.masked_fill(~mask.unsqueeze(-1), 0)
    tokens, rows = torch.from_numpy(pad([[4, 5, 6], [7]])), torch.tensor([0, 1])
    expected = model(features, mask, tokens, rows)
    found = model(features, torch.ones_like(mask), tokens, rows)
    torch.testing.assert_close(found.logits, expected.logits)
    assert not found.attention[1, :, 2:].any()
    alone = model(features[1:, :2], mask[1:, :2], tokens[1:], torch.tensor([0]))
    torch.testing.assert_close(alone.logits, expected.logits[4:])


@pytest.mark.parametrize(("name", "millions"), [("transformer", 28.4), ("meshed_memory", 38.4), ("s2", 36.7)])
def test_sizes_as_published(name: str, millions: float) -> None:
    model = build(name, {}, feature_size=2048, vocabulary_size=10_201)
    assert sum(part.numel() for part in model.parameters()) / 1e6 == pytest.approx(millions, abs=0.1)


@pytest.mark.parametrize("name", ["transformer", "up_down"])
def test_hidden_words_and_regions_are_for_training_alone(name: str) -> None:
    torch.manual_seed(0)
    model = make(name, dropout=0.0, region_dropout=0.5, word_dropout=0.9)
    features, mask = torch.randn(2, 5, 3), torch.ones(2, 5, dtype=torch.bool)
    tokens, rows = torch.from_numpy(pad([[4, 5, 6], [7]])), torch.tensor([0, 1])
    drawn = [model.train()(features, mask, tokens, rows) for _ in range(5)]
    assert any(not torch.equal(drawn[0].logits, other.logits) for other in drawn[1:])
    assert all(one.logits.isfinite().all() for one in drawn)
    seen = [(one.attention[0, 0] > 0).sum() for one in drawn]
    assert all(count >= 1 for count in seen) and any(count < 5 for count in seen)
    first, second = (model.eval()(features, mask, tokens, rows) for _ in range(2))
    assert torch.equal(first.logits, second.logits) and (first.attention[0, 0] > 0).all()
