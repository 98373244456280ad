"""The layers of transformers, against torch's own and by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from seesay.errors import DataError, RecipeError
from seesay.nn.attention import MultiHeadAttention, fill_up, real_regions
from seesay.nn.transformer import EncoderLayer, FeedForward, Mesh, Residual, Shape, check_counts, encode, sinusoids


def load(attention: MultiHeadAttention, theirs: nn.MultiheadAttention) -> None:
    parts = (attention.query, attention.key, attention.value)
    with torch.no_grad():
        for part, weight, bias in zip(parts, theirs.in_proj_weight.chunk(3), theirs.in_proj_bias.chunk(3), strict=True):
            part.weight.copy_(weight)
            part.bias.copy_(bias.normal_())
        attention.output.load_state_dict(theirs.out_proj.state_dict())


def test_attention_is_that_of_torch() -> None:
    torch.manual_seed(0)
    theirs, ours = nn.MultiheadAttention(12, 3, batch_first=True).double(), MultiHeadAttention(12, 3).double()
    load(ours, theirs)
    query, memory = torch.randn(2, 4, 12, dtype=torch.double), torch.randn(2, 5, 12, dtype=torch.double)
    mask = torch.tensor([[True] * 5, [True, False, True, False, False]])
    context, weights = ours.weigh(ours.query(query), ours.project(memory), mask[:, None, None])
    expected, expected_weights = theirs(query, memory, memory, key_padding_mask=~mask, average_attn_weights=False)
    torch.testing.assert_close(ours.output(context), expected)
    torch.testing.assert_close(weights, expected_weights)
    assert not weights[1, ..., [1, 3, 4]].any()


@pytest.mark.parametrize("norm", ["pre", "post"])
def test_an_encoder_layer_is_that_of_torch(norm: str) -> None:
    torch.manual_seed(0)
    theirs = nn.TransformerEncoderLayer(12, 3, 20, 0.0, batch_first=True, norm_first=norm == "pre").double()
    ours = EncoderLayer(Shape(12, 3, 20, 0.0, norm)).double()
    load(ours.attention, theirs.self_attn)
    pairs = [(ours.residual.norm, theirs.norm1), (ours.feedforward.residual.norm, theirs.norm2)]
    pairs += [(ours.feedforward.inner, theirs.linear1), (ours.feedforward.outer, theirs.linear2)]
    for one, other in pairs:
        nn.init.normal_(other.bias)
        one.load_state_dict(other.state_dict())
    x, mask = torch.randn(2, 5, 12, dtype=torch.double), torch.arange(5) < torch.tensor([[5], [3]])
    torch.testing.assert_close(ours(x, mask)[mask], theirs(x, src_key_padding_mask=~mask)[mask])


def test_learned_slots_by_hand() -> None:
    """One region, hidden or not, beside two slots: weights and answer from their definition."""
    torch.manual_seed(0)
    attention = MultiHeadAttention(4, 1, slots=2).double().requires_grad_(False)
    x = torch.randn(1, 1, 4, dtype=torch.double)
    query = attention.query(x)
    for real in (True, False):
        context, weights = attention.weigh(query, attention.project(x), torch.tensor([[[[real]]]]))
        keys = torch.cat([attention.key(x)[0], attention.slot_keys * 2])  # sqrt(4)
        values = torch.cat([attention.value(x)[0], attention.slot_values * math.sqrt(2)])
        scores = keys @ query[0, 0] / 2
        if not real:
            scores[0] = -math.inf
        torch.testing.assert_close(weights[0, 0, 0], scores.softmax(0))
        torch.testing.assert_close(context[0, 0], scores.softmax(0) @ values)


def test_slots_start_as_the_paper_means() -> None:
    torch.manual_seed(0)
    attention = MultiHeadAttention(512, 8, slots=40)
    assert attention.slot_keys.std().item() == pytest.approx(1 / 64, rel=0.03)
    assert attention.slot_values.std().item() == pytest.approx(1 / 40, rel=0.03)


def test_residuals_by_hand() -> None:
    x, y = torch.tensor([1.0, 3.0]), torch.tensor([4.0, 0.0])

    def norm(values: torch.Tensor) -> torch.Tensor:
        return nn.functional.layer_norm(values, (2,))

    pre, post, double = (Residual(2, 0.0, kind) for kind in ("pre", "post", "double"))
    assert torch.equal(pre.enter(x), norm(x)) and torch.equal(pre.leave(x, y), x + y)
    assert torch.equal(post.enter(x), x) and torch.equal(post.leave(x, y), norm(x + y))
    assert torch.equal(double.leave(x, y), norm(x + norm(x + y)))
    assert sum(part.numel() for part in double.parameters()) == 2 * sum(part.numel() for part in post.parameters())


def test_a_mesh_by_hand() -> None:
    mesh = Mesh(2, 3).requires_grad_(False)
    x, seen = torch.randn(4, 2), torch.randn(4, 3, 2)
    expected = torch.zeros(4, 2)
    for level, gate in enumerate(mesh.gates):
        gates = torch.sigmoid(torch.cat([x, seen[:, level]], 1) @ gate.weight.T + gate.bias)
        expected += gates * seen[:, level] / math.sqrt(3)
    torch.testing.assert_close(mesh(x, seen), expected)


def test_positions_by_hand() -> None:
    table = sinusoids(54, 6)
    for place in (1, 2, 54):
        for pair in range(3):
            angle = place / 10_000 ** (2 * pair / 6)
            expected = [math.sin(angle), math.cos(angle)]
            assert table[place - 1, 2 * pair : 2 * pair + 2].tolist() == pytest.approx(expected, abs=1e-6)
    assert sinusoids(3, 5).shape == (3, 5)


def test_dropout_is_where_the_paper_has_it() -> None:
    """All of a branch dropped leaves the input, normalised; in evaluation nothing is dropped."""
    torch.manual_seed(0)
    feed = FeedForward(Shape(4, 2, 8, 0.999999))
    x = torch.randn(3, 4)
    torch.testing.assert_close(feed(x), nn.functional.layer_norm(x, (4,)), atol=1e-4, rtol=1e-4)
    expected = nn.functional.layer_norm(x + feed.outer(feed.inner(x).relu()), (4,))
    torch.testing.assert_close(feed.eval()(x), expected)


def test_weights_of_attention_are_dropped_too_where_asked() -> None:
    torch.manual_seed(0)
    attention = Shape(4, 2, 8, 0.1, attention_dropout=0.5).attention()
    x, mask = torch.randn(1, 6, 4), torch.ones(1, 1, 1, 6, dtype=torch.bool)
    first, second = (attention.weigh(attention.query(x), attention.project(x), mask) for _ in range(2))
    assert not torch.equal(first[0], second[0])
    torch.testing.assert_close(first[1], second[1])  # those reported are whole
    assert torch.equal(*(attention.eval().weigh(attention.query(x), attention.project(x), mask)[0] for _ in range(2)))


def test_every_layer_is_heard() -> None:
    layers = nn.ModuleList(EncoderLayer(Shape(4, 2, 8, 0.0)) for _ in range(2))
    x, mask = torch.randn(1, 3, 4), torch.ones(1, 3, dtype=torch.bool)
    first, second = encode(layers, x, mask)
    assert torch.equal(first, layers[0](x, mask)) and torch.equal(second, layers[1](first, mask))
    assert encode([], x, mask) == [x]


def test_regions_that_are_none() -> None:
    features = torch.tensor([[[1.0, 2.0], [0.0, 0.0], [math.inf, 1.0]], [[0.0, 3.0], [math.nan, 1.0], [0.0, 0.0]]])
    mask = torch.tensor([[True, True, False], [True, False, True]])
    found, real = real_regions(features, mask)
    assert real.tolist() == [[True, False, False], [True, False, False]]
    assert found.tolist() == [[[1, 2], [0, 0], [0, 0]], [[0, 3], [0, 0], [0, 0]]]
    with pytest.raises(DataError, match=r"features: picture 2 of the 2 in this batch has no region"):
        real_regions(features, mask & torch.tensor([[True], [False]]))


def test_regions_are_cut_or_filled_up() -> None:
    features, mask = torch.ones(1, 3, 2), torch.ones(1, 3, dtype=torch.bool)
    more, fewer = fill_up(features, mask, 5), fill_up(features, mask, 2)
    assert more[0][0, :, 0].tolist() == [1, 1, 1, 0, 0] and more[1].tolist() == [[True] * 3 + [False] * 2]
    assert fewer[0].shape == (1, 2, 2) and fewer[1].tolist() == [[True, True]]


@pytest.mark.parametrize("heads", [0, -1, 3, 16])
def test_heads_divide_the_hidden_size(heads: int) -> None:
    with pytest.raises(RecipeError, match=f"model.heads: received {heads}; expected a divisor of the hidden_size 8"):
        MultiHeadAttention(8, heads)


def test_counts_are_checked_by_name() -> None:
    with pytest.raises(RecipeError, match=r"model\.layers: received 0; expected a whole number from 1 to 64"):
        check_counts(positions=(3, 1, 4), layers=(0, 1, 64))
