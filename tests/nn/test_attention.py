"""Attention by hand, and the cases that make NaN elsewhere."""

from __future__ import annotations

import math

import pytest
import torch

from seesay.nn.attention import AdditiveAttention, masked_mean, masked_softmax


def test_weights_by_hand() -> None:
    weights = masked_softmax(torch.tensor([[0.0, math.log(3), 50.0]]), torch.tensor([[True, True, False]]))
    assert weights[0].tolist() == pytest.approx([0.25, 0.75, 0.0])


def test_weights_without_a_mask_are_the_softmax() -> None:
    scores = torch.randn(4, 7)
    torch.testing.assert_close(masked_softmax(scores, torch.ones(4, 7, dtype=torch.bool)), scores.softmax(-1))


@pytest.mark.parametrize("value", [0.0, 1e30, -1e30, 3.4e38])
def test_a_masked_score_has_no_weight_whatever_it_is(value: float) -> None:
    scores, mask = torch.tensor([[1.0, value, 2.0]]), torch.tensor([[True, False, True]])
    weights = masked_softmax(scores, mask)
    assert weights[0, 1] == 0
    assert weights[0, [0, 2]].tolist() == pytest.approx([1 / (1 + math.e), math.e / (1 + math.e)])


def test_scores_far_below_zero_still_win_over_masked_ones() -> None:
    weights = masked_softmax(torch.tensor([[-1e30, 0.0]]), torch.tensor([[True, False]]))
    assert weights.tolist() == [[1.0, 0.0]]


def test_a_row_without_regions_has_no_weights_and_finite_gradients() -> None:
    scores = torch.randn(2, 3, requires_grad=True)
    weights = masked_softmax(scores, torch.tensor([[False] * 3, [True] * 3]))
    assert weights[0].tolist() == [0, 0, 0]
    weights[:, 0].sum().backward()
    assert scores.grad is not None and scores.grad.isfinite().all()


def test_half_precision_scores_are_weighed_in_single() -> None:
    assert masked_softmax(torch.zeros(1, 3, dtype=torch.bfloat16), torch.ones(1, 3, dtype=torch.bool)).dtype == (
        torch.float32
    )


def test_the_mean_is_over_real_regions() -> None:
    values = torch.tensor([[[2.0, 1.0], [4.0, 3.0], [99.0, 99.0]]])
    assert masked_mean(values, torch.tensor([[True, True, False]])).tolist() == [[3.0, 2.0]]
    assert masked_mean(values, torch.zeros(1, 3, dtype=torch.bool)).tolist() == [[0.0, 0.0]]


def test_additive_attention_by_loops() -> None:
    torch.manual_seed(0)
    attend = AdditiveAttention(value_size=6, hidden_size=5)
    attend.requires_grad_(False)
    query, values = torch.randn(2, 5), torch.randn(2, 3, 6)
    mask = torch.tensor([[True, True, True], [True, False, True]])
    context, weights = attend(query, attend.keys(values), values, mask)
    for b in range(2):
        real = mask[b].nonzero().flatten().tolist()
        scores = [float(attend.score.weight[0] @ torch.tanh(attend.key.weight @ values[b, r] + query[b])) for r in real]
        exponents = [math.exp(score) for score in scores]
        expected = [e / sum(exponents) for e in exponents]
        assert weights[b, real].tolist() == pytest.approx(expected, rel=1e-5)
        summed = sum(w * values[b, r] for w, r in zip(expected, real, strict=True))
        torch.testing.assert_close(context[b], summed)
