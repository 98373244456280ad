"""Spare buffers: handed on where they fit, never to two at once, and never what a caller holds."""

from __future__ import annotations

import copy
import mmap
from typing import Any

import numpy as np
import pytest

from seesay.scratch.memory import LARGE_PAGE, Memory
from seesay.scratch.rnn import GRU, LSTM, RNN


def test_a_buffer_serves_one_at_a_time_and_only_where_it_fits() -> None:
    memory = Memory()
    first = memory.take((300, 100), np.float32)
    assert not np.shares_memory(first, memory.take((300, 100), np.float32))
    memory.give(first[10:])
    assert not np.shares_memory(first, memory.take((301, 100), np.float32)), "too large for it"
    memory.give(np.zeros((300, 100), np.float32))  # not its own: left alone
    assert memory.take((2, 2), np.float64).shape == (2, 2)


@pytest.mark.parametrize("kind", [RNN, GRU, LSTM])
def test_a_step_after_another_keeps_the_results_of_the_first(kind: Any) -> None:
    layer = kind(16, 64, num_layers=2, bidirectional=True)
    random = np.random.default_rng(0)
    held: list[tuple[Any, Any]] = []
    for lengths in (None, random.integers(0, 31, 16), None, random.integers(0, 31, 16)):
        x = random.standard_normal((30, 16, 16)).astype(np.float32)
        output, last, cache = layer.forward(x, None, lengths)
        gradients = layer.backward(cache, np.ones_like(output))
        plain = layer(x, None, lengths)[0]
        np.testing.assert_array_equal(plain, output)
        parts = [output, gradients.x, *(last if kind is LSTM else [last]), *gradients.parameters.values()]
        held += [(part, part.copy()) for part in parts]
    for part, before in held:
        np.testing.assert_array_equal(part, before)


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy])
def test_a_layer_can_be_copied(again: Any) -> None:
    layer = GRU(3, 4)
    x = np.ones((5, 2, 3), np.float32)
    np.testing.assert_array_equal(again(layer)(x)[0], layer(x)[0])


@pytest.mark.parametrize("size", [LARGE_PAGE // 2 - 4, LARGE_PAGE // 2, LARGE_PAGE, LARGE_PAGE + 4])
def test_large_buffers_are_whole_writable_and_handed_on(size: int) -> None:
    memory = Memory()
    first = memory.take((size // 4,), np.float32)
    first[:] = 1
    assert first.flags.c_contiguous and first.nbytes == size and first.sum(dtype=np.float64) == size // 4
    memory.give(first)
    assert np.shares_memory(first, memory.take((size // 4,), np.float32)), "not so much larger that it would not fit"


@pytest.mark.parametrize("fault", ["no room", "no large pages"])
def test_buffers_where_the_system_has_no_large_pages(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **kwargs: Any) -> Any:
        raise OSError(fault)

    if fault == "no room":
        monkeypatch.setattr(mmap, "mmap", refuse)
    else:
        monkeypatch.delattr(mmap, "MADV_HUGEPAGE", raising=False)
    taken = Memory().take((LARGE_PAGE,), np.uint8)
    taken[:] = 3
    assert taken.shape == (LARGE_PAGE,) and (taken == 3).all()
