"""Layers equal torch.nn's by name: results, gradients, initial distributions; modules find, seed and move parts."""

from __future__ import annotations

import copy
import itertools
from typing import Any

import numpy as np
import pytest
import torch

from seesay.errors import DataError
from seesay.scratch import functional, nn
from seesay.scratch.optim import Adam, clip_grad_norm_
from seesay.scratch.tensor import Tensor, no_grad

KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "RNN tanh": ("RNN", {}),
    "RNN relu": ("RNN", {"nonlinearity": "relu"}),
    "GRU": ("GRU", {}),
    "LSTM": ("LSTM", {}),
    "LSTM projected": ("LSTM", {"proj_size": 2}),
}


def twins(name: str, *args: Any, **given: Any) -> tuple[Any, Any]:
    """Our layer and torch.nn's in float64, with our weights."""
    ours = getattr(nn, name)(*args, **given, dtype=np.float64)
    theirs = getattr(torch.nn, name)(*args, **given, dtype=torch.float64)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    theirs.load_state_dict({n: torch.tensor(array) for n, array in ours.state_dict().items()})
    return ours, theirs


def leaves(value: Any) -> list[Any]:
    return [leaf for part in value for leaf in leaves(part)] if isinstance(value, tuple | list) else [value]


def assert_same_layers(ours: Any, theirs: Any, arrays: list[Any], call: Any = None) -> None:
    """Results and gradients by inputs and parameters, within 1e-10; `call(layer, inputs)` where a call is not plain."""
    call = call or (lambda layer, inputs: layer(*inputs))
    random = np.random.default_rng(3)
    given = [Tensor(array, requires_grad=True) for array in arrays]
    asked = [torch.tensor(array, requires_grad=True) for array in arrays]
    found, expected = leaves(call(ours, given)), leaves(call(theirs, asked))
    weights = [random.standard_normal(part.shape) for part in found]
    sum(((part * w).sum() for part, w in zip(found, weights, strict=True)), Tensor(0.0)).backward()
    sum((part * torch.from_numpy(w)).sum() for part, w in zip(expected, weights, strict=True)).backward()
    pairs = [(part.numpy(), other.detach().numpy()) for part, other in zip(found, expected, strict=True)]
    pairs += [(x.grad, y.grad.numpy()) for x, y in zip(given, asked, strict=True)]
    by_name = dict(theirs.named_parameters())
    pairs += [(parameter.grad, by_name[name].grad.numpy()) for name, parameter in ours.named_parameters()]
    for one, other in pairs:
        assert one.shape == other.shape and one.dtype == other.dtype
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-10)


def normal(*shape: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).standard_normal(shape)


@pytest.mark.parametrize("bias", [True, False])
def test_linear_and_layer_norm(bias: bool) -> None:
    assert_same_layers(*twins("Linear", 3, 5, bias=bias), [normal(4, 2, 3)])
    for shape in (3, (2, 3)):
        assert_same_layers(*twins("LayerNorm", shape, bias=bias), [normal(4, 2, 3)])
    assert_same_layers(*twins("LayerNorm", 3, elementwise_affine=False), [normal(4, 3)])


def test_embedding() -> None:
    ids = np.array([[1, 4, 1], [0, 0, 2]])
    for padding in (None, 0, 4, -1):
        ours, theirs = twins("Embedding", 5, 3, padding_idx=padding)
        assert padding is None or not ours.weight.data[padding].any()
        wanted = torch.from_numpy(ids)
        assert_same_layers(
            ours, theirs, [], lambda layer, _, w=wanted: layer(ids if isinstance(layer, nn.Module) else w)
        )


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("batched", [True, False])
@pytest.mark.parametrize("name", ["RNNCell", "GRUCell", "LSTMCell"])
def test_cells(name: str, batched: bool, bias: bool) -> None:
    lead = (2,) if batched else ()
    for given in ({}, {"nonlinearity": "relu"}) if name == "RNNCell" else ({},):
        ours, theirs = twins(name, 3, 4, bias=bias, **given)
        x, h, c = normal(*lead, 3), normal(*lead, 4, seed=1), normal(*lead, 4, seed=2)
        assert_same_layers(ours, theirs, [x])
        state = [h, c] if name == "LSTMCell" else [h]
        ours.zero_grad()
        theirs.zero_grad()
        assert_same_layers(
            ours, theirs, [x, *state],
            lambda layer, all_: layer(all_[0], tuple(all_[1:]) if len(all_) > 2 else all_[1]),
        )  # fmt: skip


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("kind", KINDS)
def test_recurrent_layers(kind: str, layers: int) -> None:
    name, given = KINDS[kind]
    for bias, batch_first, both, state in itertools.product((True, False), repeat=4):
        ours, theirs = twins(
            name, 3, 4, num_layers=layers, bias=bias, batch_first=batch_first, bidirectional=both, **given
        )
        rows = layers * (1 + both)
        firsts = [normal(rows, 2, n, seed=1) for n in ours.layer.state_sizes().values()] if state else []
        assert_same_layers(
            ours, theirs, [normal(*((2, 5) if batch_first else (5, 2)), 3), *firsts],
            lambda layer, all_: layer(all_[0], [None, all_[-1], tuple(all_[1:])][len(all_) - 1]),
        )  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_a_gradient_that_comes_through_one_result_alone(kind: str) -> None:
    name, given = KINDS[kind]
    ours, theirs = twins(name, 3, 4, num_layers=2, **given)
    for place in range(1 + len(ours.layer.state_sizes())):
        ours.zero_grad()
        theirs.zero_grad()
        assert_same_layers(ours, theirs, [normal(5, 2, 3)], lambda layer, all_, p=place: leaves(layer(*all_))[p])


def test_state_and_input_may_be_arrays_and_weights_may_rest() -> None:
    layer = nn.LSTM(3, 4, dtype=np.float64)
    x, h, c = normal(5, 2, 3), normal(1, 2, 4), normal(1, 2, 4)
    output, (h_n, c_n) = layer(x, (h, c), [5, 0])
    assert output.requires_grad and h_n.requires_grad and c_n.requires_grad
    layer.weight_hh_l0.requires_grad = False
    (output.sum() + c_n.sum()).backward()
    frozen = layer(x, (h, c), [5, 0])
    layer.zero_grad()
    frozen[0].sum().backward()
    assert layer.weight_hh_l0.grad is None and layer.weight_ih_l0.grad is not None


def test_nothing_is_kept_where_nothing_needs_a_gradient() -> None:
    for layer in (nn.RNN(64, 256), nn.GRU(64, 256), nn.LSTM(64, 256)):
        x = np.ones((8, 64, 64), np.float32)
        with no_grad():
            output, last = layer(x)
        assert not output.requires_grad and not leaves(last)[0].requires_grad
        assert layer.layer.memory._free  # what the way back would have read is free for the next call
        for parameter in layer.parameters():
            parameter.requires_grad = False
        assert not layer(x)[0].requires_grad


def test_layers_see_every_change_of_their_weights() -> None:
    layer, x = nn.LSTM(3, 4), normal(5, 2, 3).astype(np.float32)
    before = layer(x)[0].numpy().copy()
    for name, array in layer.layer.parameters.items():
        assert np.shares_memory(array, getattr(layer, name).data)
    layer.weight_ih_l0.data *= 2
    doubled = layer(x)[0].numpy().copy()
    assert np.abs(doubled - before).max() > 1e-3
    layer.load_state_dict(nn.LSTM(3, 4).state_dict())
    np.testing.assert_array_equal(layer(x)[0].numpy(), before)
    wide = layer.to(np.float64)(x.astype(np.float64))[0].numpy()
    assert wide.dtype == np.float64
    np.testing.assert_allclose(wide, before, atol=1e-6)
    twin = copy.deepcopy(layer)
    twin.bias_ih_l0.data += 1
    np.testing.assert_array_equal(layer(x.astype(np.float64))[0].numpy(), wide)
    assert np.abs(twin(x.astype(np.float64))[0].numpy() - wide).max() > 1e-3


@pytest.mark.parametrize(
    ("name", "args"),
    [("Linear", (400, 300)), ("Embedding", (400, 300)), ("LayerNorm", (300,)), ("RNN", (30, 300)), ("GRU", (30, 300)),
     ("LSTM", (30, 300)), ("RNNCell", (30, 300)), ("GRUCell", (30, 300)), ("LSTMCell", (30, 300))],
)  # fmt: skip
def test_initial_distributions(name: str, args: tuple[int, ...]) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        ours, theirs = getattr(nn, name)(*args), getattr(torch.nn, name)(*args)
    for key, array in ours.state_dict().items():
        other = theirs.state_dict()[key].numpy()
        assert array.dtype == other.dtype == np.float32 and array.shape == other.shape
        spread = max(float(other.std()), 1e-6)
        assert abs(array.std() - other.std()) < 0.15 * spread and abs(array.mean() - other.mean()) < 0.25 * spread
        if name != "Embedding":
            assert np.abs(array).max() <= max(np.abs(other).max() * 1.1, 1e-6)


class Small(nn.Module):
    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        generator = np.random.default_rng(seed)
        self.embedding = nn.Embedding(7, 5, padding_idx=0, seed=generator)
        self.body = nn.Sequential(nn.Dropout(0.5), nn.Linear(5, 6, seed=generator))
        self.rnn = nn.GRU(6, 8, num_layers=2, dropout=0.5, seed=generator)
        self.heads = nn.ModuleList([nn.Linear(8, 3, seed=generator), nn.Linear(8, 2, bias=False, seed=generator)])
        self.scale = nn.Parameter(np.ones(1, np.float32))

    def forward(self, ids: Any) -> list[Tensor]:
        output, _ = self.rnn(self.body(self.embedding(ids)))
        return [head(output * self.scale) for head in self.heads]


def test_names_are_torch_s() -> None:
    class Theirs(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = torch.nn.Embedding(7, 5, padding_idx=0)
            self.body = torch.nn.Sequential(torch.nn.Dropout(0.5), torch.nn.Linear(5, 6))
            self.rnn = torch.nn.GRU(6, 8, num_layers=2, dropout=0.5)
            self.heads = torch.nn.ModuleList([torch.nn.Linear(8, 3), torch.nn.Linear(8, 2, bias=False)])
            self.scale = torch.nn.Parameter(torch.ones(1))

    ours, theirs = Small(), Theirs()
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert [name for name, _ in ours.named_parameters()] == [name for name, _ in theirs.named_parameters()]
    assert [name for name, _ in ours.named_modules()] == [name for name, _ in theirs.named_modules()]


def test_a_parameter_in_two_places_is_one_parameter() -> None:
    model = Small()
    model.tied = model.body._items[1]
    again = model.heads[0]
    again.weight = again.weight
    assert len(list(model.parameters())) == len({id(parameter) for parameter in model.parameters()})
    assert "tied.weight" in model.state_dict()


def test_training_follows_from_one_generator() -> None:
    ids = np.array([[1, 2], [3, 4], [5, 6]])
    model = Small()
    with pytest.raises(DataError, match=r"^dropout: received no generator; expected"):
        model(ids)
    first, second = (model.seed(np.random.default_rng(3))(ids)[0].numpy() for _ in range(2))
    other = model.seed(np.random.default_rng(4))(ids)[0].numpy()
    np.testing.assert_array_equal(first, second)
    assert np.abs(first - other).max() > 1e-3
    quiet = [model.eval()(ids)[0].numpy() for _ in range(2)]
    np.testing.assert_array_equal(*quiet)
    assert not any(module.training for module in model.modules())
    assert all(module.training for module in model.train().modules())


def test_equal_seeds_equal_weights_and_two_layers_differ() -> None:
    first, second, other = Small(0).state_dict(), Small(0).state_dict(), Small(1).state_dict()
    for name, array in first.items():
        np.testing.assert_array_equal(array, second[name])
        assert name == "scale" or np.abs(array - other[name]).max() > 1e-3
    both = nn.GRU(8, 8, bidirectional=True).state_dict()
    assert np.abs(both["weight_ih_l0"] - both["weight_ih_l0_reverse"]).max() > 1e-3


def test_learns_a_toy() -> None:
    """To say whether a sequence of bits holds an odd number of ones takes a memory: below 0.05 within 400 steps."""
    random = np.random.default_rng(0)
    bits = random.integers(0, 2, (8, 64))
    targets = bits.sum(0) % 2

    class Parity(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            generator = np.random.default_rng(1)
            self.embedding = nn.Embedding(2, 4, seed=generator)
            self.rnn = nn.LSTM(4, 16, seed=generator)
            self.head = nn.Linear(16, 2, seed=generator)

        def forward(self, ids: Any) -> Tensor:
            _, (h_n, _) = self.rnn(self.embedding(ids))
            return self.head(h_n[0])

    model = Parity()
    optimizer = Adam(model.parameters(), lr=0.02)
    losses = []
    for _ in range(400):
        optimizer.zero_grad()
        loss = functional.cross_entropy(model(bits), targets)
        loss.backward()
        clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
    assert losses[0] > 0.6 and losses[-1] < 0.05
    assert (model(bits).numpy().argmax(1) == targets).all()


X, H = np.ones((5, 2, 3), np.float32), np.ones((1, 2, 4), np.float32)


def test_a_number_seeds_as_its_generator_does() -> None:
    model = nn.Sequential(nn.Linear(3, 8), nn.Dropout(0.5), nn.Dropout(0.3))
    first, again = model.seed(7)(X).numpy(), model.seed(np.random.default_rng(7))(X).numpy()
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, model.seed(8)(X).numpy())


@pytest.mark.parametrize(
    ("fails", "says"),
    [
        (lambda: nn.Linear(0, 3), "^in_features: received 0; expected 1 or more"),
        (lambda: nn.Linear(2, 3, dtype=np.int64), "^dtype: expected float32 or float64, received int64"),
        (lambda: nn.Embedding(3, 2, padding_idx=3), "^padding_idx: received 3; expected one of 3 rows"),
        (lambda: nn.Embedding(3, 2)([3]), r"^embedding: received id 3; expected ids from 0 to 2\.$"),
        (lambda: nn.Dropout(2.0), r"^p: expected a probability from 0 to 1, received 2\.0"),
        (lambda: nn.Dropout("half"), "^p: expected a probability from 0 to 1, received 'half'"),
        (
            lambda: nn.Dropout(0.5).seed(-1),
            "^seed: expected a whole number from 0 or a np.random.Generator, received -1",
        ),
        (lambda: nn.Linear(2, 3, seed=None), "^seed: expected a whole number from 0 or a .*, received None"),
        (lambda: nn.LSTM(2, 3, seed="a"), "^seed: expected a whole number from 0 or a .*, received 'a'"),
        (lambda: nn.Linear(2, 3, dtype="cpu"), "^dtype: expected np.float32 or np.float64, received 'cpu'"),
        (lambda: nn.ModuleList([nn.Linear(2, 3)])(X), "^ModuleList: received a call without a forward"),
        (lambda: nn.LayerNorm(()), "^normalized_shape: received 0; expected 1 or more"),
        (lambda: nn.RNN(3, 4, nonlinearity="sin"), "^nonlinearity: expected 'tanh' or 'relu', received 'sin'"),
        (lambda: nn.RNNCell(3, 4, nonlinearity="sin"), "^nonlinearity: received 'sin'; expected 'tanh' or 'relu'"),
        (lambda: nn.GRUCell(3, 0), "^hidden_size: received 0; expected 1 or more"),
        (lambda: nn.GRUCell(3, 4)(np.ones((2, 3))), r"^x: expected .*input_size=3\) of float32, received \(2, 3\) of"),
        (lambda: nn.GRU(3, 4)(np.ones((5, 2, 3))), "^x: expected .* of float32, received .* of float64"),
        (lambda: nn.LSTM(3, 4)(X, H), r"^state: expected a pair"),
        (lambda: nn.LSTMCell(3, 4)(X[0], H[0]), r"^state: received ndarray; expected a pair"),
        (lambda: nn.GRU(3, 4)(X, None, [6, 1]), "^lengths: expected 0 to time=5, received 6"),
    ],
)
def test_says_what_is_wrong(fails: Any, says: str) -> None:
    with pytest.raises(DataError, match=says):
        fails()
