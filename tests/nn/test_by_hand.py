"""A recurrent stack as one operation of torch's graph keeps to the rules of that graph."""

from __future__ import annotations

import gc
import weakref

import pytest
import torch
from torch import nn

from seesay.nn.recurrent import GRU, LSTM, RNN

STEPS, BATCH, INPUT, HIDDEN = 5, 4, 3, 4


def test_only_what_is_asked_for_gets_a_gradient() -> None:
    layer, x = LSTM(INPUT, HIDDEN, 2), torch.randn(STEPS, BATCH, INPUT)
    layer.weight_hh_l1.requires_grad_(False)
    output, (_, c) = layer(x)
    c.sum().backward()  # through the last state alone
    assert x.grad is None and layer.weight_hh_l1.grad is None
    names, weights = zip(*((name, p) for name, p in layer.named_parameters() if p.requires_grad), strict=True)
    layer.by_hand = False
    expected = torch.autograd.grad(layer(x)[1][1].sum(), weights, allow_unused=True)
    layer.by_hand = True
    for name, weight, gradient in zip(names, weights, expected, strict=True):
        torch.testing.assert_close(weight.grad, gradient, msg=name)
    assert layer.weight_hh_l0.grad is not None and output.requires_grad
    with torch.no_grad():
        assert not layer(x)[0].requires_grad
    assert not layer.requires_grad_(False)(x)[0].requires_grad


def test_no_graph_is_kept_where_none_is_recorded() -> None:
    layer = LSTM(INPUT, 64, 2, bidirectional=True)
    x = torch.randn(200, 16, INPUT)
    with torch.no_grad():
        layer(x)
        spare = sum(buffer.nbytes for buffer in layer._engine.memory._free)
        for _ in range(3):
            layer(x)
        assert sum(buffer.nbytes for buffer in layer._engine.memory._free) == spare > 0
    gone = weakref.ref(layer(x)[0].grad_fn.cache)  # type: ignore[union-attr]
    gc.collect()
    assert gone() is None
    assert layer._engine.parameters == {}, "the engine must not keep old weights alive"


def test_a_second_way_back_goes_forward_again() -> None:
    layer, x = GRU(INPUT, HIDDEN, 2, dropout=0.5), torch.randn(STEPS, BATCH, INPUT, requires_grad=True)
    output, _ = layer(x, lengths=[5, 1, 0, 3])
    output.sum().backward(retain_graph=True)
    once = [p.grad.clone() for p in (x, *layer.parameters())]  # type: ignore[union-attr]
    output.sum().backward()
    for p, gradient in zip((x, *layer.parameters()), once, strict=True):
        assert torch.equal(p.grad, 2 * gradient)  # type: ignore[arg-type]
    with pytest.raises(RuntimeError, match="second time"):
        output.sum().backward()


def test_gradients_of_gradients_are_refused_but_by_torchs_kernels() -> None:
    layer, x = RNN(INPUT, HIDDEN).double(), torch.randn(STEPS, BATCH, INPUT, dtype=torch.double, requires_grad=True)
    (gradient,) = torch.autograd.grad(layer(x)[0].square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="differentiate twice"):
        gradient.sum().backward()
    layer.by_hand = False
    assert torch.autograd.gradgradcheck(lambda x: layer(x)[0], x)


@pytest.mark.parametrize("place", ["x", "weight"])
def test_a_change_in_place_before_the_way_back_is_noticed(place: str) -> None:
    layer, x = LSTM(INPUT, HIDDEN), torch.randn(STEPS, BATCH, INPUT)
    output, _ = layer(x)
    with torch.no_grad():
        (x if place == "x" else layer.weight_hh_l0).add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        output.sum().backward()


def test_what_is_done_to_the_results_does_not_reach_the_way_back() -> None:
    layer, x = LSTM(INPUT, HIDDEN, 2), torch.randn(STEPS, BATCH, INPUT)
    expected = torch.autograd.grad(layer(x)[0].sum(), list(layer.parameters()))
    output, (h, c) = layer(x)
    total = output.sum()
    with torch.no_grad():
        for tensor in (output, h, c):
            tensor.detach().fill_(torch.nan)
    for one, other in zip(torch.autograd.grad(total, list(layer.parameters())), expected, strict=True):
        assert torch.equal(one, other)


def test_parametrized_weights_get_their_gradients() -> None:
    layer, x = nn.utils.parametrizations.weight_norm(RNN(INPUT, HIDDEN), "weight_hh_l0"), torch.randn(4, 2, INPUT)
    layer(x)[0].sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in layer.parameters())
