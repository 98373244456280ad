"""Keys and values that rows share: the same as if each row had its own, and none copied without need."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from seesay.nn.attention import AdditiveAttention, MultiHeadAttention
from seesay.nn.groups import Groups
from seesay.nn.memory import Cache, Captions, Pictures, Regions

SIZE = 8


@pytest.fixture
def attention() -> MultiHeadAttention:
    torch.manual_seed(0)
    return MultiHeadAttention(SIZE, 2).double()


def alone(attention: MultiHeadAttention, words: Tensor) -> Tensor:
    """What the last of `words` (T, H) makes of them all, by torch's own attention."""
    query, key, value = (part(words).view(1, len(words), 2, -1).transpose(1, 2) for part in projections(attention))
    seen = nn.functional.scaled_dot_product_attention(query[:, :, -1:], key, value)
    return attention.output(seen.transpose(1, 2).reshape(SIZE))


def projections(attention: MultiHeadAttention) -> tuple[nn.Module, nn.Module, nn.Module]:
    return attention.query, attention.key, attention.value


def test_regions_of_a_crowd_are_copied_and_those_of_equals_are_shared() -> None:
    torch.manual_seed(0)
    attention = AdditiveAttention(SIZE, 5).double()
    values, mask = torch.randn(4, 3, SIZE, dtype=torch.double, requires_grad=True), torch.ones(4, 3, dtype=torch.bool)
    shared = Regions(attention.keys(values), values, mask, Groups(torch.arange(4), 4))
    equals, crowd = (shared.select(torch.tensor(rows)) for rows in ([0, 1, 2, 3, 0, 1, 2, 3], [1, 1, 1, 1, 0, 2, 3]))
    assert equals.evened() is equals and len(crowd.evened().values) == len(crowd) == 7
    query, gradients = torch.randn(7, 5, dtype=torch.double), []
    for regions in (crowd, crowd.evened()):
        context, weights = regions.attend(attention, query)
        gradients.append([context, weights, *torch.autograd.grad(context.sum(), [values], retain_graph=True)])
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other)


@torch.no_grad()
def test_branches_of_a_cache_as_sentences_of_their_own(attention: MultiHeadAttention) -> None:
    generator = torch.Generator().manual_seed(1)
    cache, said = Cache.empty(4, torch.device("cpu")), [torch.zeros(0, SIZE, dtype=torch.double)] * 4
    for step in range(40):
        words = torch.randn(len(said), SIZE, dtype=torch.double, generator=generator)
        cache = cache.grow()
        found = cache.attend(0, attention, words)
        said = [torch.cat([line, word.unsqueeze(0)]) for line, word in zip(said, words, strict=True)]
        for row, line in enumerate(said):
            torch.testing.assert_close(found[row], alone(attention, line))
        assert cache.words == step + 1 and len(cache) == len(said)
        rows = torch.randint(len(said), (int(torch.randint(1, 9, (), generator=generator)),), generator=generator)
        cache, said = cache.select(rows), [said[row] for row in rows]


@torch.no_grad()
def test_a_selection_shares_what_was_said_and_two_of_them_part_ways(attention: MultiHeadAttention) -> None:
    first = torch.randn(2, SIZE, dtype=torch.double)
    cache = Cache.empty(2, torch.device("cpu")).grow()
    cache.attend(0, attention, first)
    kept = [part.data_ptr() for part in cache._room.layers[0]]
    one, other = (cache.select(torch.tensor([0, 0, 1, 1])).grow() for _ in range(2))
    assert [part.data_ptr() for part in one._room.layers[0]] == kept, "a beam that branches copies nothing"
    assert [part.data_ptr() for part in other._room.layers[0]] != kept, "its place was taken"
    words = torch.randn(2, 4, SIZE, dtype=torch.double)
    for branch, new in ((one, words[0]), (other, words[1]), (one, words[0])):
        found = branch.attend(0, attention, new)
        for row in range(4):
            torch.testing.assert_close(found[row], alone(attention, torch.stack([first[row // 2], new[row]])))


def test_gradients_of_steps_are_those_of_whole_captions(attention: MultiHeadAttention) -> None:
    words = torch.randn(3, 5, SIZE, dtype=torch.double, requires_grad=True)
    cache, total = Cache.empty(3, torch.device("cpu")), torch.zeros((), dtype=torch.double)
    for t in range(5):
        cache = cache.grow()
        total = total + (cache.attend(0, attention, words[:, t]) ** 2).sum()
    (stepped,) = torch.autograd.grad(total, words)
    captions = Captions(Groups(torch.arange(3).repeat_interleave(5), 3))
    whole = (captions.attend(0, attention, words.view(15, SIZE)) ** 2).sum()
    torch.testing.assert_close(whole, total)
    torch.testing.assert_close(torch.autograd.grad(whole, words)[0], stepped)


def test_words_never_see_what_follows(attention: MultiHeadAttention) -> None:
    captions, words = Captions(Groups(torch.tensor([0, 0, 0, 1, 2, 2]), 3)), torch.randn(6, SIZE, dtype=torch.double)
    found = captions.attend(0, attention, words)
    for row, first in enumerate([0, 0, 0, 3, 4, 4]):
        torch.testing.assert_close(found[row], alone(attention, words[first : row + 1]))


@torch.no_grad()
def test_pictures_are_seen_by_their_own_rows_at_every_level(attention: MultiHeadAttention) -> None:
    memory, mask = torch.randn(3, 2, 5, SIZE, dtype=torch.double), torch.arange(5) < torch.tensor([[5], [2], [1]])
    pictures = Pictures([attention.project(memory)], mask, Groups(torch.arange(3), 3), regions=6, own=4)
    rows = torch.tensor([1, 1, 2, 1])
    chosen = pictures.select(rows)
    words = torch.randn(4, SIZE, dtype=torch.double)
    seen, weights = chosen.attend(0, attention, words)
    looked = chosen.looked(weights)
    assert seen.shape == (4, 2, SIZE) and looked.shape == (4, 6) and not looked[:, 4:].any()
    for row, picture in enumerate(rows.tolist()):
        count, maps = int(mask[picture].sum()), []
        for level in range(2):
            context, weight = attention.weigh(
                attention.query(words[row : row + 1]),
                attention.project(memory[picture, level, :count]),
                torch.ones(1, count, dtype=torch.bool),
            )
            torch.testing.assert_close(seen[row, level], attention.output(context)[0])
            maps.append(weight[:, 0].mean(0))
        expected = torch.stack(maps).mean(0).float()
        torch.testing.assert_close(looked[row, :4], nn.functional.pad(expected, (0, 5 - count))[:4])


@torch.no_grad()
def test_pictures_are_not_copied_for_beams_and_dropped_when_most_have_left(attention: MultiHeadAttention) -> None:
    layer = attention.project(torch.randn(6, 1, 5, SIZE, dtype=torch.double))
    pictures = Pictures([layer], torch.ones(6, 5, dtype=torch.bool), Groups(torch.arange(6), 6), 5, 5)
    beams = pictures.select(torch.arange(6).repeat_interleave(5))
    assert len(beams) == 30 and beams.layers[0].keys is layer.keys
    left = beams.select(torch.tensor([4, 5, 20, 29]))
    assert left.layers[0].keys is layer.keys  # four of six are still described
    left = left.select(torch.tensor([1, 3]))
    assert left.layers[0].keys.shape[0] == 2
    torch.testing.assert_close(left.layers[0].keys, layer.keys[[1, 5]])
    assert len(left.select(torch.tensor([], dtype=torch.long))) == 0


@torch.no_grad()
def test_regions_as_if_each_row_had_its_own() -> None:
    torch.manual_seed(0)
    attention = AdditiveAttention(6, 5)
    values, mask = torch.randn(4, 3, 6), torch.arange(3) < torch.tensor([[3], [2], [1], [3]])
    regions = Regions(attention.keys(values), values, mask, Groups(torch.arange(4), 4))
    for rows in ([2, 0, 2, 1, 3], [3, 3], [1]):
        index, query = torch.tensor(rows), torch.randn(len(rows), 5)
        chosen = regions.select(index)
        context, weights = chosen.attend(attention, query)
        expected = attention(query, regions.keys[index], values[index], mask[index])
        torch.testing.assert_close(context, expected[0])
        torch.testing.assert_close(weights, expected[1])
        assert len(chosen) == len(rows) and len(chosen.keys) == (4 if len(rows) == 5 else 1)
