"""Dropout between layers, moving, copying and saving, half precision, and what does not fit."""

from __future__ import annotations

import copy
import io
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from seesay.errors import DataError
from seesay.nn.recurrent import GRU, LSTM, RNN

STEPS, BATCH, INPUT, HIDDEN = 5, 4, 3, 4


@pytest.mark.parametrize("variational", [False, True])
@pytest.mark.parametrize("p", [0.3, 1.0])
def test_dropout_stands_between_layers_and_both_roads_draw_the_same(p: float, variational: bool) -> None:
    layer = RNN(INPUT, 200, 2, "relu", dropout=p, bidirectional=True, variational=variational).double()
    with torch.no_grad():  # layer 1 says 1 everywhere; layer 2 hands through what it hears, forwards
        for weight in layer.parameters():
            weight.zero_()
        layer.bias_ih_l0.fill_(1)
        layer.weight_ih_l1[:, :200].fill_diagonal_(1)
    x, heard = torch.zeros(30, 10, INPUT, dtype=torch.double), []
    for layer.by_hand in (True, False):
        torch.manual_seed(5)
        output, _ = layer(x)
        heard.append(output[..., :200])
    assert torch.equal(*heard)
    kept = heard[0] != 0
    assert kept.double().mean().item() == pytest.approx(1 - p, abs=0.05 if variational else 0.01)
    assert kept.sum() == 0 or torch.allclose(heard[0][kept], torch.tensor(1 / (1 - p)).double(), rtol=1e-4)
    assert torch.equal(kept[0].expand_as(kept), kept) == (variational or p == 1)
    assert not layer.eval()(x)[0][..., :200].ne(1).any()


@pytest.mark.parametrize("variational", [False, True])
@pytest.mark.parametrize("lengths", [None, [5, 0, 2, 1]], ids=str)
def test_gradients_through_dropout_are_those_of_finite_differences(lengths: Any, variational: bool) -> None:
    generator = torch.Generator()
    layer = GRU(
        INPUT, HIDDEN, 3, dropout=0.4, bidirectional=True, variational=variational, generator=generator
    ).double()
    x = torch.randn(STEPS, BATCH, INPUT, dtype=torch.double, requires_grad=True)

    def run(x: Tensor, *weights: Tensor) -> Tensor:
        generator.manual_seed(2)
        return layer(x, None, lengths)[0]

    assert torch.autograd.gradcheck(run, (x, *layer.parameters()), fast_mode=True)


def test_the_generator_given_is_the_one_drawn_from() -> None:
    generator = torch.Generator().manual_seed(2)
    layer, x = LSTM(INPUT, HIDDEN, 2, dropout=0.5, generator=generator), torch.randn(STEPS, BATCH, INPUT)
    before = torch.get_rng_state()
    first, second = layer(x)[0], layer(x)[0]
    generator.manual_seed(2)
    assert torch.equal(layer(x)[0], first) and not torch.equal(first, second)
    assert torch.equal(torch.get_rng_state(), before)
    other = copy.deepcopy(layer)
    assert torch.equal(other(x)[0], layer(x)[0])


def test_it_moves_copies_and_saves_as_a_module() -> None:
    layer, x = LSTM(INPUT, HIDDEN, 2, bidirectional=True), torch.randn(STEPS, BATCH, INPUT)
    expected = layer(x)[0]
    for other in (copy.deepcopy(layer), layer):
        other.double()
        assert other(x.double())[0].dtype == torch.float64
        torch.testing.assert_close(other(x.double())[0].float(), expected)
    layer.float()
    assert torch.equal(layer(x)[0], expected)
    file = io.BytesIO()
    torch.save(layer.state_dict(), file)
    file.seek(0)
    again = LSTM(INPUT, HIDDEN, 2, bidirectional=True)
    again.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(again(x)[0], expected)
    assert layer.to("meta")(x.to("meta"))[0].shape == expected.shape
    assert repr(GRU(3, 5, 2, dropout=0.5, variational=True)) == "GRU(3, 5, num_layers=2, dropout=0.5, variational=True)"
    assert repr(RNN(3, 5, nonlinearity="relu")) == "RNN(3, 5, nonlinearity='relu')"


def test_half_precision_takes_torchs_kernels_and_autocast_does_not_halve() -> None:
    layer, x = LSTM(INPUT, HIDDEN, 2, bidirectional=True), torch.randn(STEPS, BATCH, INPUT)
    expected, _ = layer(x, lengths=[1, 0, 5, 3])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(layer(x, lengths=[1, 0, 5, 3])[0], expected)
        halved, _ = layer(x.bfloat16(), lengths=[1, 0, 5, 3])
    assert halved.dtype == torch.float32
    torch.testing.assert_close(halved, expected, atol=0.02, rtol=0)
    rough, (h, _) = layer.bfloat16()(x.bfloat16(), lengths=[1, 0, 5, 3])
    assert rough.dtype == h.dtype == torch.bfloat16
    torch.testing.assert_close(rough.float(), expected, atol=0.03, rtol=0)


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (
            {"x": torch.zeros(5, 2, 4)},
            r"x: expected \(time, batch, input_size=3\) of float32 on cpu, received \(5, 2, 4\)",
        ),
        ({"x": torch.zeros(5, 2, 3, dtype=torch.double)}, "received .* of float64"),
        ({"x": torch.zeros(5)}, "x: expected"),
        ({"x": np.zeros((5, 2, 3))}, "expected tensors, received ndarray"),
        ({"state": torch.zeros(1, 2, 4)}, r"state: expected a pair \(h, c\)"),
        ({"state": (torch.zeros(1, 2, 4), torch.zeros(1, 3, 4))}, "state c: expected"),
        ({"lengths": [5]}, r"lengths: expected \(batch=2\)"),
        ({"lengths": [5, 6]}, "received 6 for sequence 1"),
        ({"lengths": torch.tensor([1.0, 2.0])}, "whole numbers"),
        ({"x": torch.zeros(5, 3), "lengths": [5]}, "expected a batch"),
    ],
    ids=["width", "kind", "axes", "array", "no pair", "batch of c", "count", "too long", "fractions", "one sequence"],
)
def test_what_does_not_fit_is_named(given: dict[str, Any], reason: str) -> None:
    for by_hand in (True, False):
        layer = LSTM(3, 4)
        layer.by_hand = by_hand
        with pytest.raises(DataError, match=reason):
            layer(**{"x": torch.zeros(5, 2, 3)} | given)


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"hidden_size": 0}, "hidden_size: expected 1 or more"),
        ({"num_layers": 1.5}, "num_layers: expected a whole number"),
        ({"dropout": 1.5}, "dropout: expected a probability"),
        ({"proj_size": 4}, "proj_size: expected"),
        ({"generator": 3}, "generator: received 3; expected a torch.Generator"),
    ],
    ids=["hidden", "layers", "dropout", "projection", "generator"],
)
def test_arguments_that_cannot_be_are_named(given: dict[str, Any], reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        LSTM(**{"input_size": 3, "hidden_size": 4} | given)
