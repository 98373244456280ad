"""Gradients derived by hand = those of the same network composed of elementary operations = finite differences."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from seesay.scratch import composed, nn
from seesay.scratch.tensor import Tensor, no_grad

KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "RNN tanh": ("RNN", {}),
    "RNN relu": ("RNN", {"nonlinearity": "relu"}),
    "GRU": ("GRU", {}),
    "LSTM": ("LSTM", {}),
    "LSTM projected": ("LSTM", {"proj_size": 2}),
}
TIME, BATCH, INPUT, HIDDEN = 4, 4, 3, 4


def pair(name: str, **given: Any) -> tuple[Any, Any]:
    """The layer by hand and the composed one, with the same weights."""
    made = [getattr(module, name)(INPUT, HIDDEN, dtype=np.float64, seed=1, **given) for module in (nn, composed)]
    made[1].load_state_dict(made[0].state_dict())
    return made[0], made[1]


def inputs(layer: Any, state: bool, batched: bool = True, seed: int = 0) -> tuple[Any, Any]:
    """x and an initial state, or None, as arrays."""
    random = np.random.default_rng(seed)
    about = layer.layer
    lead = ((BATCH, TIME) if about.batch_first else (TIME, BATCH)) if batched else (TIME,)
    x = random.standard_normal((*lead, INPUT))
    rows = about.num_layers * about.directions
    shapes = [(rows, BATCH, n) if batched else (rows, n) for n in about.state_sizes().values()]
    return x, [random.standard_normal(shape) for shape in shapes] if state else None


def results(layer: Any, x: Any, first: Any, lengths: Any, seed: int = 5) -> tuple[Tensor, dict[str, Any], list[Any]]:
    """A loss that weighs every output and last state at random, those by name, and the Tensors that were given."""
    random = np.random.default_rng(seed)
    given = [Tensor(array.copy(), requires_grad=True) for array in (x, *(first or ()))]
    state = None if first is None else tuple(given[1:]) if len(given) > 2 else given[1]
    output, last = layer(given[0], state, lengths)
    ends = last if isinstance(last, tuple) else (last,)
    found = {"output": output} | {f"last {i}": part for i, part in enumerate(ends)}
    loss = sum((part * random.standard_normal(part.shape)).sum() for part in found.values())
    assert isinstance(loss, Tensor)
    return loss, {name: part.numpy().copy() for name, part in found.items()}, given


def gradients(layer: Any, x: Any, first: Any, lengths: Any) -> dict[str, Any]:
    """Results and every gradient by name."""
    layer.zero_grad()
    loss, found, given = results(layer, x, first, lengths)
    loss.backward()
    found |= {f"d{i}": tensor.grad for i, tensor in enumerate(given)}
    return found | {f"d{name}": parameter.grad for name, parameter in layer.named_parameters()}


def assert_slope(layer: Any, x: Any, first: Any, lengths: Any, found: dict[str, Any]) -> None:
    """The loss changes along a random direction of everything as the gradients say."""
    random = np.random.default_rng(9)
    arrays = [x, *(first or ()), *(parameter.data for parameter in layer.parameters())]
    ds = [found[f"d{i}"] for i in range(1 + len(first or ()))] + [found[f"d{n}"] for n, _ in layer.named_parameters()]
    ways = [random.standard_normal(array.shape) for array in arrays]
    old = [array.copy() for array in arrays]
    losses = []
    for step in (1e-6, -1e-6):
        for array, start, way in zip(arrays, old, ways, strict=True):
            array[...] = start + step * way
        with no_grad():
            losses.append(results(layer, x, first, lengths)[0].item())
    for array, start in zip(arrays, old, strict=True):
        array[...] = start
    slope = sum(float((d * way).sum()) for d, way in zip(ds, ways, strict=True))
    assert abs((losses[0] - losses[1]) / 2e-6 - slope) < 1e-6 * max(1.0, abs(slope))


@pytest.mark.parametrize("lengths", [None, [2, 0, 4, 1]], ids=["whole", "lengths"])
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("kind", KINDS)
def test_three_ways_to_one_gradient(kind: str, layers: int, lengths: Any) -> None:
    name, given = KINDS[kind]
    for bias, batch_first, both, state in itertools.product((True, False), repeat=4):
        by_hand, step_by_step = pair(
            name, num_layers=layers, bias=bias, batch_first=batch_first, bidirectional=both, **given
        )
        x, first = inputs(by_hand, state)
        ours, theirs = (gradients(layer, x, first, lengths) for layer in (by_hand, step_by_step))
        assert ours.keys() == theirs.keys()
        for part, array in ours.items():
            np.testing.assert_allclose(array, theirs[part], rtol=0, atol=1e-11, err_msg=part)
        assert_slope(by_hand, x, first, lengths, ours)


@pytest.mark.parametrize("kind", KINDS)
def test_one_sequence_without_a_batch(kind: str) -> None:
    name, given = KINDS[kind]
    for both, state in itertools.product((True, False), repeat=2):
        by_hand, step_by_step = pair(name, num_layers=2, bidirectional=both, **given)
        x, first = inputs(by_hand, state, batched=False)
        ours, theirs = (gradients(layer, x, first, None) for layer in (by_hand, step_by_step))
        for part, array in ours.items():
            np.testing.assert_allclose(array, theirs[part], rtol=0, atol=1e-11, err_msg=part)
        assert_slope(by_hand, x, first, None, ours)


@pytest.mark.parametrize("kind", KINDS)
def test_what_stands_beyond_an_end_is_never_used(kind: str) -> None:
    name, given = KINDS[kind]
    lengths = [2, 0, 4, 1]
    for layer in pair(name, num_layers=2, bidirectional=True, **given):
        x, first = inputs(layer, True)
        clean = gradients(layer, x, first, lengths)
        x[np.arange(TIME)[:, None] >= np.array(lengths)] = np.nan
        for part, array in gradients(layer, x, first, lengths).items():
            np.testing.assert_array_equal(array, clean[part])


@pytest.mark.parametrize("kind", KINDS)
def test_dropout_between_layers_draws_the_same_places(kind: str) -> None:
    name, given = KINDS[kind]
    layers = pair(name, num_layers=3, bidirectional=True, dropout=0.5, **given)
    x, first = inputs(layers[0], True)
    ours, theirs = (gradients(layer.seed(np.random.default_rng(4)), x, first, [2, 0, 4, 1]) for layer in layers)
    plain = gradients(layers[0].eval(), x, first, [2, 0, 4, 1])
    assert np.abs(ours["output"] - plain["output"]).max() > 0.01
    for part, array in ours.items():
        np.testing.assert_allclose(array, theirs[part], rtol=0, atol=1e-11, err_msg=part)
