"""Losses of words against torch's own, gradients included."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from seesay.training import likelihood
from seesay.training.likelihood import word_losses


def some(words: int, size: int, kind: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor]:
    """Logits, targets, and what the losses weigh."""
    generator = torch.Generator().manual_seed(words + size)
    logits = 4 * torch.randn(words, size, generator=generator, dtype=torch.float64)
    targets = torch.randint(0, size, (words,), generator=generator)
    return logits.to(kind).requires_grad_(), targets, torch.randn(words, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.7])
@pytest.mark.parametrize(("words", "size"), [(1, 1), (3, 5), (50, 9), (0, 4)])
def test_losses_and_gradients_are_torchs_own(
    words: int, size: int, smoothing: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(likelihood, "NEAR", 7 * size)  # several blocks, the last one smaller
    logits, targets, weights = some(words, size)
    expected = functional.cross_entropy(logits, targets, reduction="none", label_smoothing=smoothing)
    found = word_losses(logits, targets, smoothing)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    gradients = [torch.autograd.grad(losses @ weights, logits)[0] for losses in (found, expected)]
    torch.testing.assert_close(*gradients, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
def test_losses_are_in_single_precision_at_least(kind: torch.dtype) -> None:
    logits, targets, weights = some(40, 300, kind)
    expected = functional.cross_entropy(logits.double(), targets, reduction="none")
    found = word_losses(logits, targets)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), expected, rtol=1e-6, atol=1e-6)
    gradients = [torch.autograd.grad(losses.double() @ weights, logits)[0] for losses in (found, expected)]
    assert gradients[0].dtype == kind
    near = 1e-6 if kind == torch.float32 else 1e-2
    torch.testing.assert_close(*gradients, rtol=near, atol=1e-6)


def test_a_word_that_is_all_but_certain_keeps_its_digits() -> None:
    logits = torch.tensor([[30.0, 20.0, 19.0]])
    exact = functional.cross_entropy(logits.double(), torch.tensor([0])).item()
    assert 6e-5 < exact < 7e-5
    assert word_losses(logits, torch.tensor([0])).item() == pytest.approx(exact, rel=1e-3)


def test_impossible_words_have_no_share_and_no_gradient() -> None:
    logits = torch.tensor([[1.0, -torch.inf, 2.0], [-torch.inf, 0.5, -torch.inf]], requires_grad=True)
    losses = word_losses(logits, torch.tensor([2, 1]))
    (gradient,) = torch.autograd.grad(losses.sum(), logits)
    assert losses.tolist() == [pytest.approx(0.31326168), 0.0]
    assert torch.equal(gradient == 0, torch.tensor([[False, True, False], [True] * 3]))


def test_logits_stay_as_they_are_and_serve_twice() -> None:
    logits, targets, _ = some(6, 5)
    before = logits.detach().clone()
    loss = word_losses(logits, targets, 0.1).sum()
    first, second = (torch.autograd.grad(loss, logits, retain_graph=True)[0] for _ in range(2))
    assert torch.equal(first, second) and torch.equal(logits, before)
