"""Attention by hand, and the cases that make NaN elsewhere."""

from __future__ import annotations

import math

import pytest
import torch

from seesay.nn.attention import AdditiveAttention, fill_up, hiding, masked_mean, masked_softmax, real_regions


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


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_what_hides_scores_hides_any_and_leaves_the_others_as_they_are(dtype: torch.dtype) -> None:
    mask = torch.tensor([[True, False, True, False], [False] * 4])
    scores = torch.tensor([[1.5, 9e3, -2.25, -9e3], [1.0, -1.0, 0.0, 0.5]], dtype=dtype)
    hidden = scores + hiding(mask, dtype)
    assert hidden.isfinite().all() and torch.equal(hidden[mask], scores[mask])
    weights = hidden.softmax(-1)
    assert weights[0, [1, 3]].tolist() == [0, 0] and weights.isfinite().all()
    torch.testing.assert_close(weights[0, [0, 2]], scores[0, [0, 2]].softmax(-1))


def test_regions_are_real_where_any_number_is_not_zero_and_the_mask_says_so() -> None:
    features = torch.tensor([[[0.0, -1.0], [2.0, 0.0], [0.0, 0.0]], [[3.0, 3.0], [-4.0, -4.0], [5.0, math.nan]]])
    mask = torch.tensor([[True, True, True], [True, False, True]])
    kept, real = real_regions(features, mask)
    assert real.tolist() == [[True, True, False], [True, False, True]]
    assert kept[1, 1].tolist() == [0, 0] and torch.equal(kept[0], features[0])
    whole, everywhere = real_regions(features[:, :1], mask[:, :1])
    assert torch.equal(whole, features[:, :1]) and everywhere.all()


def test_regions_are_cut_or_filled_up_to_a_number() -> None:
    features, mask = torch.ones(2, 3, 4), torch.tensor([[True, True, False], [True, True, True]])
    for count in (2, 3, 5):
        found, real = fill_up(features, mask, count)
        assert found.shape == (2, count, 4) and torch.equal(real[:, :3], mask[:, :count])
        assert not real[:, 3:].any() and not found[:, 3:].any()


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
