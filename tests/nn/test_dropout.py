"""Dropout: the right share, the right scale, the same from the same seed, and gradients to match."""

from __future__ import annotations

import pytest
import torch

from seesay.nn.dropout import Dropout, rectified


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9, 0.99])
def test_the_share_and_the_mean_are_right(p: float) -> None:
    torch.manual_seed(0)
    dropped = Dropout(p)(torch.ones(1000, 1001))
    assert (dropped == 0).float().mean().item() == pytest.approx(p, abs=0.002)
    assert dropped.mean().item() == pytest.approx(1, abs=0.02)
    assert len(dropped.unique()) == 2
    # Neither rows nor columns nor the four that share a draw have anything to do with one another.
    kept = (dropped != 0).double().flatten()[: 4 * 250_000].view(-1, 4)
    assert torch.corrcoef(kept.T).fill_diagonal_(0).abs().max() < 0.01
    for part in kept.T:
        assert part.mean().item() == pytest.approx(1 - p, abs=0.004)


def test_a_seed_repeats_it_and_evaluation_is_without() -> None:
    dropout, x = Dropout(0.3), torch.randn(5, 7, 3)
    torch.manual_seed(4)
    first, second = dropout(x), dropout(x)
    torch.manual_seed(4)
    assert torch.equal(dropout(x), first) and not torch.equal(first, second)
    assert dropout.eval()(x) is x and Dropout(0.0)(x) is x


def test_gradients_pass_where_numbers_did() -> None:
    x = torch.randn(4, 6, dtype=torch.double, requires_grad=True)
    y = Dropout(0.5)(x)
    y.sum().backward()
    assert x.grad is not None and torch.equal(x.grad * x, y) and set(x.grad.unique().tolist()) == {0.0, 2.0}


@pytest.mark.parametrize("shape", [(), (1,), (0,), (3, 0), (5,)])
@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16, torch.float64])
def test_any_shape_and_kind(shape: tuple[int, ...], kind: torch.dtype) -> None:
    dropped = Dropout(0.5)(torch.ones(shape, dtype=kind))
    assert dropped.shape == shape and dropped.dtype == kind


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("p", [0.0, 0.3, 1.0])
def test_rectified_is_dropout_of_what_is_positive(p: float, kind: torch.dtype) -> None:
    """The same numbers drawn, the same results and the same gradients."""
    dropout, x = Dropout(p), torch.randn(40, 30).to(kind).requires_grad_()
    torch.manual_seed(2)
    expected = dropout(torch.relu(x * 1))
    torch.manual_seed(2)
    found = rectified(x * 1, dropout)
    weights = torch.randn(40, 30).to(kind)
    gradients = [torch.autograd.grad((y * weights).sum(), x)[0] for y in (found, expected)]
    assert torch.equal(found, expected) and torch.equal(*gradients)
    assert bool((found > 0).any()) is (p < 1)


def test_rectified_leaves_its_input_alone_where_nothing_is_dropped() -> None:
    x = torch.tensor([-1.0, 2.0])
    assert rectified(x, Dropout(0.5).eval()).tolist() == [0.0, 2.0] and x.tolist() == [-1.0, 2.0]
