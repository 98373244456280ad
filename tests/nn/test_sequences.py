"""Masks, turning round and packing against loops over single sequences: any order of lengths, zeros among them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.utils.rnn import pack_padded_sequence

from seesay.errors import DataError
from seesay.nn.sequences import Packing, counts_of, mask_of, reverse_padded

STEPS = 5
LENGTHS = [[5, 3, 1], [1, 5, 3, 0, 5, 2], [0, 0], [4], [0], [5, 5], []]


def padded(lengths: list[int], batch_first: bool, features: int = 2) -> Tensor:
    """Whole numbers, each but once, padding included."""
    count = STEPS * len(lengths) * features
    x = torch.arange(1.0, count + 1, dtype=torch.double).view(STEPS, len(lengths), features)
    return x.transpose(0, 1).contiguous() if batch_first else x


def time_first(x: Tensor, batch_first: bool) -> Tensor:
    return x.transpose(0, 1) if batch_first else x


@pytest.mark.parametrize("lengths", LENGTHS, ids=str)
def test_a_mask_is_true_where_there_is_a_step(lengths: list[int]) -> None:
    mask = mask_of(lengths, STEPS)
    assert mask.dtype == torch.bool and mask.shape == (len(lengths), STEPS)
    assert mask.tolist() == [[step < length for step in range(STEPS)] for length in lengths]


@pytest.mark.parametrize("lengths", [None, 3, torch.tensor(3)], ids=["none", "a number", "a tensor of one"])
def test_lengths_that_are_no_list_are_refused(lengths: Any) -> None:
    for use in (mask_of, counts_of, Packing):
        with pytest.raises(DataError, match=r"lengths: expected \(batch,\) of whole numbers, received"):
            use(lengths, STEPS)


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("lengths", LENGTHS, ids=str)
def test_each_sequence_is_turned_within_its_own_length(lengths: list[int], batch_first: bool) -> None:
    x = padded(lengths, batch_first)
    turned = reverse_padded(x, lengths, batch_first)
    assert torch.equal(reverse_padded(turned, lengths, batch_first), x)
    before, after = time_first(x, batch_first), time_first(turned, batch_first)
    for sequence, length in enumerate(lengths):
        assert torch.equal(after[:length, sequence], before[:length, sequence].flip(0))
        assert torch.equal(after[length:, sequence], before[length:, sequence])
    ids = x[..., 0].long()
    assert torch.equal(reverse_padded(ids, lengths, batch_first), turned[..., 0].long())


@pytest.mark.parametrize("batch_first", [False, True])
def test_without_lengths_all_are_whole(batch_first: bool) -> None:
    x = padded([5, 5], batch_first)
    assert torch.equal(reverse_padded(x, None, batch_first), reverse_padded(x, [5, 5], batch_first))


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("lengths", LENGTHS, ids=str)
def test_packed_rows_come_back_to_their_places(lengths: list[int], batch_first: bool) -> None:
    packing, x = Packing(lengths, STEPS, batch_first), padded(lengths, batch_first)
    rows = packing.pack(x)
    kept = mask_of(lengths, STEPS)
    whole = x * (kept if batch_first else kept.T).unsqueeze(2)
    assert torch.equal(packing.unpack(rows), whole)
    assert len(rows) == sum(lengths) == int(packing.batch_sizes.sum())
    state = torch.arange(2.0 * len(lengths)).view(1, len(lengths), 2)
    assert torch.equal(packing.restore(packing.sort(state)), state)
    by_length = sorted(range(len(lengths)), key=lambda place: -lengths[place])
    assert torch.equal(packing.sort(state[0]), state[0][by_length])


@pytest.mark.parametrize("lengths", [[5, 3, 1], [1, 5, 3, 5, 2], [4]], ids=str)
def test_rows_are_in_the_order_of_torchs_own_packing(lengths: list[int]) -> None:
    packing, x = Packing(lengths, STEPS), padded(lengths, False)
    theirs = pack_padded_sequence(x, torch.tensor(lengths), enforce_sorted=False)
    assert packing.batch_sizes.tolist() == theirs.batch_sizes.tolist()
    ours = sorted(map(tuple, packing.pack(x).tolist()))
    assert ours == sorted(map(tuple, theirs.data.tolist()))  # where lengths are equal, either may come first
    start = 0
    for size in packing.batch_sizes.tolist():
        assert {*packing.pack(x)[start : start + size, 0].tolist()} == {*theirs.data[start : start + size, 0].tolist()}
        start += size


@pytest.mark.parametrize("batch_first", [False, True])
def test_gradients_go_where_the_numbers_came_from(batch_first: bool) -> None:
    lengths = [2, 0, 5, 1]
    x = padded(lengths, batch_first).requires_grad_()
    packing = Packing(lengths, STEPS, batch_first)
    for function in (
        lambda x: reverse_padded(x, lengths, batch_first),
        packing.pack,
        lambda x: packing.unpack(packing.pack(x)),
    ):
        assert torch.autograd.gradcheck(function, x)


@pytest.mark.parametrize(
    "lengths",
    [[3, 0], (3, 0), np.array([3, 0], np.int32), torch.tensor([3, 0])],
    ids=lambda given: type(given).__name__,
)
def test_lengths_may_be_of_any_kind(lengths: Any) -> None:
    counts = counts_of(lengths, 3)
    assert counts.dtype == torch.int64 and counts.tolist() == [3, 0]
    assert mask_of(lengths, 3).sum(1).tolist() == [3, 0]


@pytest.mark.parametrize("lengths", [[6], [-1], [2.0], torch.tensor([1.5]), [[1, 2]], [True]], ids=str)
def test_lengths_that_cannot_be_are_refused(lengths: Any) -> None:
    with pytest.raises(DataError, match="lengths"):
        mask_of(lengths, STEPS)


def test_lengths_of_another_batch_are_refused() -> None:
    with pytest.raises(DataError, match=r"lengths: expected \(batch=2\)"):
        reverse_padded(padded([1, 2], False), [1, 2, 3])


def test_a_mask_lies_where_it_is_wanted() -> None:
    assert mask_of([1], 2, "meta").device.type == "meta"
    assert mask_of(torch.tensor([1]), 2).device.type == "cpu"
