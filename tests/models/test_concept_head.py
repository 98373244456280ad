"""The concept head against slow loops and finite differences; masks, batches and what each way of pooling sees."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from seesay.errors import DataError, RecipeError
from seesay.models import build, check_task
from seesay.models.concept_head import POOLINGS, noisy_or

SIZE, REGIONS, CONCEPTS, HIDDEN = 7, 5, 3, 6


def make(pooling: str, **settings: Any) -> Any:
    torch.manual_seed(0)
    sizes = {"feature_size": SIZE, "concept_count": CONCEPTS}
    chosen = {"pooling": pooling, "hidden_size": HIDDEN, **settings}
    return build("concept_head", chosen, **sizes).double().eval()


def some_pictures() -> tuple[Tensor, Tensor]:
    """Pictures of 5, 3 and 1 regions; what lies beyond is no zeros."""
    features = torch.randn(3, REGIONS, SIZE, dtype=torch.double, generator=torch.Generator().manual_seed(1))
    return features, torch.arange(REGIONS) < torch.tensor([[5], [3], [1]])


def hidden(model: Any, region: Tensor) -> Tensor:
    """Linear, ReLU and layer norm of one vector, written out."""
    linear, _, norm = model.grid
    x = (linear.weight @ region + linear.bias).clamp(min=0)
    return (x - x.mean()) / torch.sqrt(x.var(correction=0) + norm.eps) * norm.weight + norm.bias


def by_loops(model: Any, regions: list[Tensor]) -> list[float]:
    """The logits of one picture, concept by concept and region by region."""
    if model.config.pooling == "mean":
        return (model.head.weight @ hidden(model, sum(regions) / len(regions)) + model.head.bias).tolist()
    found = []
    for concept in range(CONCEPTS):
        says = [(model.head.weight[concept] @ hidden(model, x) + model.head.bias[concept]).item() for x in regions]
        if model.config.pooling == "noisy_or":
            nowhere = math.prod(1 - 1 / (1 + math.exp(-logit)) for logit in says)
            found.append(math.log((1 - nowhere) / nowhere))
        else:
            looks = [
                math.exp((model.look.weight[concept] @ hidden(model, x) + model.look.bias[concept]).item())
                for x in regions
            ]
            found.append(sum(look * logit for look, logit in zip(looks, says, strict=True)) / sum(looks))
    return found


@pytest.mark.parametrize("pooling", POOLINGS)
def test_equals_its_equations_by_loops(pooling: str) -> None:
    model, (features, mask) = make(pooling), some_pictures()
    expected = [by_loops(model, list(some[real])) for some, real in zip(features, mask, strict=True)]
    assert model(features, mask).flatten().tolist() == pytest.approx(
        [logit for some in expected for logit in some], abs=2e-5
    )


@pytest.mark.parametrize("pooling", POOLINGS)
def test_masked_regions_change_nothing(pooling: str) -> None:
    model, (features, mask) = make(pooling), some_pictures()
    expected = model(features, mask)
    for value in (0.0, -3.0, 65504.0, 1e30):
        hostile = features.masked_fill(~mask.unsqueeze(-1), value)
        assert torch.equal(model(hostile, mask), expected)
    zeros = features.masked_fill(~mask.unsqueeze(-1), 0)
    assert torch.equal(model(zeros, torch.ones_like(mask)), expected), "filled up with zeros, without a mask"


@pytest.mark.parametrize("pooling", POOLINGS)
def test_a_picture_is_told_the_same_alone_and_with_others(pooling: str) -> None:
    model, (features, mask) = make(pooling), some_pictures()
    whole = model(features, mask)
    for row, count in enumerate((5, 3, 1)):
        alone = model(features[row : row + 1, :count], mask[row : row + 1, :count])
        torch.testing.assert_close(alone[0], whole[row], rtol=1e-6, atol=1e-6)
    order = torch.tensor([2, 0, 4, 1, 3])
    torch.testing.assert_close(model(features[:, order], mask[:, order]), whole, rtol=1e-6, atol=1e-6)
    assert model(features[:0], mask[:0]).shape == (0, CONCEPTS)


@pytest.mark.parametrize("pooling", POOLINGS)
def test_gradients_by_finite_differences(pooling: str) -> None:
    model, (features, mask) = make(pooling), some_pictures()
    weight = model.grid[0].weight
    logits = model(features, mask)
    weights = torch.linspace(-1, 1, logits.numel(), dtype=torch.double).view_as(logits)
    (logits * weights).sum().backward()
    for place in ((0, 0), (3, 2), (5, 6)):
        with torch.no_grad():
            values = []
            for step in (1e-3, -1e-3):
                weight[place] += step
                values.append((model(features, mask) * weights).sum().item())
                weight[place] -= step
        assert weight.grad[place].item() == pytest.approx((values[0] - values[1]) / 2e-3, rel=5e-3, abs=5e-4)


@pytest.mark.parametrize("pooling", POOLINGS)
def test_a_picture_without_a_region_is_refused(pooling: str) -> None:
    model, (features, mask) = make(pooling), some_pictures()
    with pytest.raises(DataError, match="picture 2 of the 3"):
        model(features, mask & torch.tensor([[True], [False], [True]]))


@pytest.mark.parametrize("pooling", POOLINGS)
def test_it_begins_by_saying_that_concepts_are_rare(pooling: str) -> None:
    torch.manual_seed(0)
    model = build("concept_head", {"pooling": pooling}, feature_size=64, concept_count=50).eval()
    chances = model(torch.randn(4, 49, 64), torch.ones(4, 49, dtype=torch.bool)).sigmoid()
    assert 0.005 < chances.mean().item() < 0.08


@pytest.mark.parametrize("pooling", POOLINGS)
def test_dropout_is_for_training_alone(pooling: str) -> None:
    model, (features, mask) = make(pooling, dropout=0.5, region_dropout=0.5), some_pictures()
    assert torch.equal(model(features, mask), model(features, mask))
    model.train()
    assert not torch.equal(model(features, mask), model(features, mask))
    assert model(features, mask).isfinite().all()


def test_noisy_or_of_chances() -> None:
    chances = torch.tensor([[0.5, 0.2, 0.9], [0.1, 0.3, 0.6]], dtype=torch.double)
    mask = torch.tensor([[True, True, False], [True, True, True]])
    found = noisy_or(torch.logit(chances), mask).sigmoid()
    assert found.tolist() == pytest.approx([1 - 0.5 * 0.8, 1 - 0.9 * 0.7 * 0.4], abs=1e-6)


@pytest.mark.parametrize("logit", [-300.0, -80.0, -20.0, 20.0, 300.0])
def test_noisy_or_at_the_ends_of_numbers(logit: float) -> None:
    logits = torch.full((1, 49), logit, requires_grad=True)
    found = noisy_or(logits, torch.ones(1, 49, dtype=torch.bool))
    found.sum().backward()
    assert found.isfinite().all() and logits.grad is not None and logits.grad.isfinite().all()
    if abs(logit) == 20:
        expected = logit + math.log(49) if logit < 0 else 49 * 20
        assert found.item() == pytest.approx(expected, rel=1e-5)


def test_settings_that_make_no_network() -> None:
    with pytest.raises(
        RecipeError, match=r"model\.pooling: received 'max'; expected 'attention' or 'noisy_or' or 'mean'"
    ):
        make("max")
    check_task("concept_head", "concepts")
    with pytest.raises(RecipeError, match="a model for task 'concepts'; expected one for 'caption'"):
        check_task("concept_head", "caption")
