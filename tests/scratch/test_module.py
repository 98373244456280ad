"""Modules as people use them: subclasses with parameters of their own, copies, pickles, odd arguments."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from seesay.errors import DataError
from seesay.scratch import nn
from seesay.scratch.tensor import Tensor


class Started(nn.LSTM):
    """Learns its first state."""

    def __init__(self) -> None:
        super().__init__(3, 4, dtype=np.float64)
        self.first = nn.Parameter(np.full((1, 2, 4), 0.5))

    def forward(self, x: Any, state: Any = None, lengths: Any = None) -> tuple[Tensor, Any]:
        return super().forward(x, (self.first, self.first), lengths)


def test_a_subclass_may_have_parameters_of_its_own() -> None:
    ours, theirs = Started(), torch.nn.LSTM(3, 4, dtype=torch.float64)
    arrays = ours.state_dict()
    first = torch.tensor(arrays.pop("first"), requires_grad=True)
    theirs.load_state_dict({name: torch.tensor(array) for name, array in arrays.items()})
    x = np.random.default_rng(0).standard_normal((5, 2, 3))
    ours(x)[0].sum().backward()
    theirs(torch.tensor(x), (first, first))[0].sum().backward()
    np.testing.assert_allclose(ours.first.grad, first.grad.numpy(), atol=1e-12)
    for name, parameter in theirs.named_parameters():
        np.testing.assert_allclose(getattr(ours, name).grad, parameter.grad.numpy(), atol=1e-12)


def test_gradients_follow_names_not_the_order_in_which_parameters_were_set() -> None:
    layer = nn.GRU(3, 3, dtype=np.float64)
    x = np.random.default_rng(0).standard_normal((5, 2, 3))
    layer(x)[0].sum().backward()
    expected = {name: parameter.grad for name, parameter in layer.named_parameters()}
    layer.zero_grad()
    weight = layer.weight_ih_l0
    del layer.weight_ih_l0
    with pytest.raises(DataError, match=r"^weight_ih_l0: received no Parameter"):
        layer(x)
    layer.weight_ih_l0 = weight
    layer(x)[0].sum().backward()
    for name, parameter in layer.named_parameters():
        np.testing.assert_array_equal(parameter.grad, expected[name])


@pytest.mark.parametrize("arguments", [("LSTM", 3, 5, 2, True, True, 0.1, True, 2), ("RNN", 3, 5, 2, "relu", False)])
def test_layers_know_their_arguments_by_torch_s_names(arguments: Any) -> None:
    name, *rest = arguments
    ours, theirs = getattr(nn, name)(*rest), getattr(torch.nn, name)(*rest)
    for one in ("input_size", "hidden_size", "num_layers", "bias", "batch_first", "dropout", "bidirectional"):
        assert getattr(ours, one) == getattr(theirs, one), one
    assert ours.proj_size == theirs.proj_size
    assert nn.Embedding(5, 3, -1).padding_idx == torch.nn.Embedding(5, 3, -1).padding_idx


def test_dropout_between_layers_may_be_changed() -> None:
    layer = nn.LSTM(3, 4, 2, dropout=0.5)
    layer.dropout = 0.0
    x = np.ones((5, 2, 3), np.float32)
    np.testing.assert_array_equal(layer(x)[0].numpy(), layer(x)[0].numpy())


def test_a_sequence_that_has_modules_as_attributes() -> None:
    class Both(nn.Sequential):
        def __init__(self) -> None:
            super().__init__(nn.Linear(2, 2))
            self.extra = nn.Linear(2, 3, bias=False)

    assert list(Both().state_dict()) == ["0.weight", "0.bias", "extra.weight"]


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda module: pickle.loads(pickle.dumps(module))])
def test_copies_learn_alone(duplicate: Callable[[Any], Any]) -> None:
    module = nn.LSTM(3, 4, 2, dropout=0.5)
    x = np.ones((5, 2, 3), np.float32)
    twin = duplicate(module)
    ours, theirs = module(x)[0], twin(x)[0]
    np.testing.assert_array_equal(ours.numpy(), theirs.numpy())
    theirs.sum().backward()
    for parameter, other in zip(module.parameters(), twin.parameters(), strict=True):
        assert parameter.grad is None and other.grad is not None
        assert not np.shares_memory(parameter.data, other.data)


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, pickle.dumps])
def test_a_result_has_no_copy_whose_gradients_would_be_lost(duplicate: Callable[[Any], Any]) -> None:
    leaf = Tensor([1.0, 2.0], requires_grad=True)
    with pytest.raises(DataError, match=r"^copy: received a result of operations; expected a leaf"):
        duplicate(leaf * 2)
    np.testing.assert_array_equal(duplicate_of_leaf(leaf).data, leaf.data)


def duplicate_of_leaf(leaf: Tensor) -> Tensor:
    """A copy of a leaf is a leaf."""
    twin = copy.deepcopy(leaf)
    assert twin.requires_grad and twin is not leaf
    return twin


@pytest.mark.parametrize(
    ("fails", "says"),
    [
        (lambda: nn.Linear(3.5, 2), "^in_features: received 3.5; expected a whole number"),  # type: ignore[arg-type]
        (lambda: nn.GRUCell("3", 2), "^input_size: received '3'; expected a whole number"),  # type: ignore[arg-type]
        (lambda: nn.Embedding(True, 2), "^num_embeddings: received True; expected a whole number"),
        (lambda: nn.Linear(3, 2).to("cpu"), "^dtype: expected np.float32 or np.float64, received 'cpu'"),
        (
            lambda: nn.Linear(3, 2)(torch.ones(3, requires_grad=True)),
            r"^received Tensor \(Can't call numpy\(\) on Tensor that requires grad.*\); expected an array or what",
        ),
        (lambda: nn.Linear(3, 2)([[1.0], [1.0, 2.0]]), r"^received list \(.*\); expected an array or what makes one"),
        (lambda: nn.Linear(3, 2, dtype=None), "^dtype: expected float32 or float64, received None"),
        (lambda: nn.Dropout(0.5, 0)(np.arange(3)), "^dropout: received int64; expected float32 or float64"),
        (
            lambda: nn.functional.embedding([0], np.zeros((3, 2)), 7),
            "^embedding: received padding_idx 7; expected one of 3 rows",
        ),
    ],
)
def test_says_what_is_wrong(fails: Callable[[], Any], says: str) -> None:
    with pytest.raises(DataError, match=says):
        fails()
