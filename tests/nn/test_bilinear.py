"""Low-rank pooling, attention and co-attention: by loops, by finite differences, and where nothing is there."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from seesay.nn.bilinear import LowRankAttention, LowRankPooling, ParallelCoAttention, SumPooling


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def doubles(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.double, requires_grad=True)


def softmax(scores: list[float]) -> list[float]:
    exponents = [math.exp(score) for score in scores]
    return [e / sum(exponents) for e in exponents]


def linear(layer: torch.nn.Linear, x: Tensor) -> list[float]:
    """What a layer makes of one vector, number by number."""
    bias = [0.0] * len(layer.weight) if layer.bias is None else layer.bias.tolist()
    pairs = zip(layer.weight.tolist(), bias, strict=True)
    return [sum(w * value for w, value in zip(row, x.tolist(), strict=True)) + b for row, b in pairs]


def pooled(block: LowRankPooling, left: Tensor, right: Tensor) -> list[float]:
    pairs = zip(linear(block.left, left), linear(block.right, right), strict=True)
    joint = [math.tanh(x) * math.tanh(y) for x, y in pairs]
    if isinstance(block.output, torch.nn.Identity):
        return joint
    return [math.tanh(x) for x in linear(block.output[0], torch.tensor(joint, dtype=torch.double))]


@pytest.mark.parametrize("projected", [False, True])
def test_pooling_by_loops(projected: bool) -> None:
    block = LowRankPooling(6, 4, 5, projected=projected).double()
    left, right = doubles(2, 3, 6), doubles(2, 1, 4)
    found = block(left, right)
    assert found.shape == (2, 3, 5)
    for b in range(2):
        for r in range(3):
            assert found[b, r].tolist() == pytest.approx(pooled(block, left[b, r], right[b, 0]), rel=1e-12)


def test_a_sum_by_loops() -> None:
    block = SumPooling(6, 4, 5).double()
    left, right = doubles(2, 6), doubles(2, 4)
    for b, found in enumerate(block(left, right)):
        pairs = zip(linear(block.left, left[b]), linear(block.right, right[b]), strict=True)
        assert found.tolist() == pytest.approx([math.tanh(x + y) for x, y in pairs], rel=1e-12)


@pytest.mark.parametrize("projected", [False, True])
@pytest.mark.parametrize("glimpses", [1, 2, 3])
def test_attention_by_loops(glimpses: int, projected: bool) -> None:
    attend = LowRankAttention(6, 4, 5, glimpses=glimpses, projected=projected).double()
    query, values = doubles(2, 4), doubles(2, 3, 6)
    mask = torch.tensor([[True, True, True], [True, False, True]])
    context, weights = attend(query, attend.keys(values), values, mask)
    assert context.shape == (2, glimpses * 6) and weights.shape == (2, glimpses, 3)
    for b in range(2):
        asked = [math.tanh(x) for x in linear(attend.query, query[b])]
        real = mask[b].nonzero().flatten().tolist()
        joint = [[math.tanh(k) * a for k, a in zip(linear(attend.key, values[b, r]), asked, strict=True)] for r in real]
        if attend.output is not None:
            layer = attend.output
            joint = [[math.tanh(x) for x in linear(layer, torch.tensor(f, dtype=torch.double))] for f in joint]
        for g in range(glimpses):
            p = attend.score[g].tolist()
            expected = softmax([sum(w * f for w, f in zip(p, some, strict=True)) for some in joint])
            assert weights[b, g, real].tolist() == pytest.approx(expected, rel=1e-10)
            summed = sum(w * values[b, r] for w, r in zip(expected, real, strict=True))
            torch.testing.assert_close(context[b, 6 * g : 6 * (g + 1)], summed)


def test_several_queries_of_a_picture_are_each_asked_alone() -> None:
    attend = LowRankAttention(6, 4, 5, glimpses=2).double()
    queries, values, mask = doubles(2, 7, 4), doubles(2, 3, 6), torch.tensor([[True] * 3, [True, False, True]])
    keys = attend.keys(values)
    together, weights = attend.weigh(attend.queries(queries), keys, values, mask)
    for place in range(7):
        context, looked = attend(queries[:, place], keys, values, mask)
        torch.testing.assert_close(together[:, place], context)
        torch.testing.assert_close(weights[:, place], looked)


@pytest.mark.parametrize("projected", [False, True])
def test_masked_regions_change_nothing_and_none_at_all_is_nothing(projected: bool) -> None:
    attend = LowRankAttention(6, 4, 5, glimpses=2, projected=projected).double()
    query, values, mask = doubles(3, 4), doubles(3, 3, 6), torch.tensor([[True] * 3, [True, False, True], [False] * 3])
    context, weights = attend(query, attend.keys(values), values, mask)
    assert not weights[~mask.unsqueeze(1).expand_as(weights)].any() and not context[2].any()
    assert weights.sum(-1).tolist() == [pytest.approx([1, 1]), pytest.approx([1, 1]), [0, 0]]
    other = values.detach().masked_fill(~mask.unsqueeze(-1), 1e30)
    changed, _ = attend(query, attend.keys(other), other.masked_fill(~mask.unsqueeze(-1), 0), mask)
    torch.testing.assert_close(changed, context)
    context.sum().backward()
    assert values.grad is not None and values.grad.isfinite().all() and not values.grad[~mask].any()


def test_glimpses_look_in_different_places() -> None:
    attend = LowRankAttention(3, 3, 3, glimpses=2)
    for layer in (attend.key, attend.query):
        torch.nn.init.eye_(layer.weight)
        torch.nn.init.zeros_(layer.bias)
    with torch.no_grad():
        attend.score.copy_(torch.tensor([[99.0, 0.0, 0.0], [0.0, 0.0, 99.0]]))
    values = torch.eye(3).unsqueeze(0)
    context, weights = attend(torch.ones(1, 3), attend.keys(values), values, torch.ones(1, 3, dtype=torch.bool))
    assert weights.argmax(-1).tolist() == [[0, 2]]
    assert context[0].tolist() == pytest.approx([1, 0, 0, 0, 0, 1], abs=1e-6)


def test_half_precision_scores_are_weighed_in_single() -> None:
    attend = LowRankAttention(6, 4, 5, glimpses=2)
    query, values, mask = torch.randn(2, 4), torch.randn(2, 3, 6), torch.ones(2, 3, dtype=torch.bool)
    expected = attend(query, attend.keys(values), values, mask)
    with torch.autocast("cpu", torch.bfloat16):
        found = attend(query, attend.keys(values), values, mask)
    assert found[1].dtype == torch.float32
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one.float(), other, rtol=0.05, atol=0.05)


def test_dropout_leaves_out_the_same_numbers_for_all_regions() -> None:
    attend = LowRankAttention(6, 4, 64, dropout=0.5).double().train()
    queries = attend.queries(doubles(1, 1, 4))
    assert 10 < int((queries == 0).sum()) < 54
    keys = torch.randn(1, 3, 64, dtype=torch.double).masked_fill(queries != 0, 0)  # where the query says nothing
    scores = attend.weigh(queries, keys, torch.zeros(1, 3, 6, dtype=torch.double), torch.ones(1, 3).bool())[1]
    assert scores.flatten().tolist() == pytest.approx([1 / 3] * 3)
    assert torch.equal(attend.eval().queries(queries[..., :4]), attend.queries(queries[..., :4]))


def co_attended(block: ParallelCoAttention, words: Tensor, values: Tensor) -> tuple[list[float], list[float]]:
    """Weights of the regions and of the words of one picture and one sentence, all of them real, by loops."""
    said, seen = range(len(words)), range(len(values))
    fits = [[math.tanh((words[t] @ block.fit.weight @ values[r]).item()) for r in seen] for t in said]
    asked, told = [block.word.weight @ words[t] for t in said], [block.region.weight @ values[r] for r in seen]
    over_regions = [told[r] + sum(fits[t][r] * asked[t] for t in said) for r in seen]
    over_words = [asked[t] + sum(fits[t][r] * told[r] for r in seen) for t in said]
    regions = softmax([(block.region_score.weight[0] @ torch.tanh(h)).item() for h in over_regions])
    return regions, softmax([(block.word_score.weight[0] @ torch.tanh(h)).item() for h in over_words])


def test_co_attention_by_loops_and_padding_on_either_side() -> None:
    block = ParallelCoAttention(word_size=4, value_size=6, hidden_size=5).double()
    words, values = doubles(3, 4, 4), doubles(3, 3, 6)
    said = torch.arange(4) < torch.tensor([[4], [2], [1]])
    mask = torch.tensor([[True, False, True], [True, True, True], [True, False, False]])
    found = block(words, said, values, mask)
    for b in range(3):
        some_words, some_values = words[b, said[b]], values[b, mask[b]]
        regions, spoken = co_attended(block, some_words, some_values)
        assert found.regions[b, mask[b]].tolist() == pytest.approx(regions, rel=1e-10)
        assert found.words[b, said[b]].tolist() == pytest.approx(spoken, rel=1e-10)
        torch.testing.assert_close(found.picture[b], torch.tensor(regions, dtype=torch.double) @ some_values)
        torch.testing.assert_close(found.sentence[b], torch.tensor(spoken, dtype=torch.double) @ some_words)
    assert not found.regions[~mask].any() and not found.words[~said].any()


def test_co_attention_with_nothing_on_one_side_is_finite() -> None:
    block = ParallelCoAttention(4, 6, 5).double()
    words, values = doubles(2, 4, 4), doubles(2, 3, 6)
    said, mask = torch.tensor([[False] * 4, [True] * 4]), torch.tensor([[True] * 3, [False] * 3])
    found = block(words, said, values, mask)
    assert not found.sentence[0].any() and not found.picture[1].any()
    # With nobody to ask, regions weigh one another by what they are.
    expected = softmax([(block.region_score.weight[0] @ torch.tanh(block.region(v))).item() for v in values[0]])
    assert found.regions[0].tolist() == pytest.approx(expected)
    sum(part.sum() for part in found).backward()
    assert all(x.grad is not None and x.grad.isfinite().all() for x in (words, values))


def test_gradients_by_finite_differences() -> None:
    query, values, mask = doubles(2, 4), doubles(2, 3, 6), torch.tensor([[True] * 3, [True, False, True]])
    words, said = doubles(2, 2, 4), torch.tensor([[True, False], [True, True]])
    for projected in (False, True):
        attend = LowRankAttention(6, 4, 5, glimpses=2, projected=projected).double()
        weights = tuple(attend.parameters())
        assert torch.autograd.gradcheck(
            lambda q, v, *_, attend=attend: attend(q, attend.keys(v), v, mask), (query, values, *weights)
        )
        join = LowRankPooling(6, 4, 5, projected=projected).double()
        assert torch.autograd.gradcheck(
            lambda v, q, *_, join=join: join(v, q.unsqueeze(1)), (values, query, *join.parameters())
        )
    add = SumPooling(6, 4, 5).double()
    assert torch.autograd.gradcheck(lambda v, q, *_: add(v[:, 0], q), (values, query, *add.parameters()))
    both = ParallelCoAttention(4, 6, 5).double()
    assert torch.autograd.gradcheck(lambda w, v, *_: tuple(both(w, said, v, mask)), (words, values, *both.parameters()))
