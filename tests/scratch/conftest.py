"""One line a layer: `like_torch(LSTM, num_layers=2)` holds outputs, last states and gradients against torch.nn."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from seesay.scratch.recurrent import Recurrent
from seesay.scratch.tensor import Tensor

INPUT, HIDDEN, PROJECTION = 3, 4, 2


def parts(state: Any) -> list[Any]:
    """The parts of a state, an array or a pair, as a list."""
    return list(state) if isinstance(state, tuple) else [state]


def twin(layer: Recurrent[Any]) -> Any:
    """torch.nn's layer of the same name with the same arguments and weights."""
    names = ["input_size", "hidden_size", "num_layers", "bias", "batch_first", "dropout", "bidirectional"]
    arguments = {name: getattr(layer, name) for name in names}
    arguments |= {"nonlinearity": layer.nonlinearity} if hasattr(layer, "nonlinearity") else {}
    arguments |= {"proj_size": layer.proj_size} if layer.proj_size else {}
    reference = getattr(torch.nn, type(layer).__name__)(**arguments, dtype=getattr(torch, layer.dtype.name))
    reference.load_state_dict({name: torch.from_numpy(array.copy()) for name, array in layer.parameters.items()})
    return reference.train(layer.training)


def random_state(layer: Recurrent[Any], batch: int | None, random: np.random.Generator) -> Any:
    """A state in the layer's form."""
    rows = layer.num_layers * layer.directions
    shapes = [(rows, size) if batch is None else (rows, batch, size) for size in layer.state_sizes().values()]
    found = tuple(random.standard_normal(shape).astype(layer.dtype) for shape in shapes)
    return found if len(found) > 1 else found[0]


def run_torch(layer: Recurrent[Any], x: Any, state: Any, lengths: Any, doutput: Any, dstate: Any) -> dict[str, Any]:
    """Everything torch has to say, by name. Sequences of length 0, which it refuses, must be left out by the caller."""
    reference = twin(layer)
    given = torch.from_numpy(x.copy()).requires_grad_()
    first = None if state is None else tuple(torch.from_numpy(p.copy()).requires_grad_() for p in parts(state))
    wrapped = None if first is None else (first if isinstance(state, tuple) else first[0])
    if lengths is None:
        output, last = reference(given, wrapped)
    else:
        packed = pack_padded_sequence(given, torch.tensor(lengths), layer.batch_first, enforce_sorted=False)
        output, last = reference(packed, wrapped)
        total = x.shape[1 if layer.batch_first else 0]
        output, _ = pad_packed_sequence(output, layer.batch_first, total_length=total)
    loss = (output * torch.from_numpy(doutput)).sum()
    for part, d in zip(parts(last), parts(dstate), strict=True):
        loss = loss + (part * torch.from_numpy(d)).sum()
    loss.backward()
    found = {"output": output, "dx": given.grad} | {f"d{name}": p.grad for name, p in reference.named_parameters()}
    found |= {f"last {i}": part for i, part in enumerate(parts(last))}
    found |= {f"dfirst {i}": part.grad for i, part in enumerate(first or ())}
    return {name: tensor.detach().numpy() for name, tensor in found.items()}


def run_ours(
    layer: Recurrent[Any], x: Any, state: Any, lengths: Any, doutput: Any, dstate: Any, masked: bool = False
) -> dict[str, Any]:
    """The same of our layer, and proof that it wrote to nothing it was given."""
    held = [x, doutput, *parts(dstate), *([] if state is None else parts(state)), *layer.parameters.values()]
    before = [array.copy() for array in held]
    output, last, cache = layer.forward(x, state, lengths, masked)
    found = {"output": output.copy()} | {f"last {i}": part.copy() for i, part in enumerate(parts(last))}
    for array in (output, *parts(last)):
        array[...] = np.nan  # these are the caller's: what he does to them must not reach the way back
    dx, dfirst, by_parameter = layer.backward(cache, doutput, dstate)
    found |= {"dx": dx} | {f"d{name}": array for name, array in by_parameter.items()}
    if state is not None:
        found |= {f"dfirst {i}": part for i, part in enumerate(parts(dfirst))}
    for array, old in zip(held, before, strict=True):
        np.testing.assert_array_equal(array, old)
    return found


def assert_same(ours: dict[str, Any], theirs: dict[str, Any], within: float = 1e-10) -> None:
    assert ours.keys() == theirs.keys()
    for name, array in ours.items():
        assert array.shape == theirs[name].shape, name
        assert array.dtype == theirs[name].dtype, name
        assert array.size == 0 or np.abs(array - theirs[name]).max() < within, name


def example(
    layer: Recurrent[Any], time: int, batch: int | None, state: bool, seed: int = 0
) -> tuple[Any, Any, Any, Any]:
    """x, an initial state or None, and gradients by outputs and last state."""
    random = np.random.default_rng(seed)
    lead = (time,) if batch is None else (batch, time) if layer.batch_first else (time, batch)
    x, dout = (random.standard_normal((*lead, size)).astype(layer.dtype) for size in (
        layer.input_size, layer.directions * layer.state_sizes()["h"],
    ))  # fmt: skip
    first = random_state(layer, batch, random) if state else None
    return x, first, dout, random_state(layer, batch, random)


def assert_like_torch(
    kind: type[Recurrent[Any]],
    time: int = 4,
    batch: int | None = 3,
    state: bool = True,
    lengths: Any = None,
    **given: Any,
) -> None:
    """Ours = torch.nn in float64, by the packed and by the masked road."""
    layer = kind(**{"input_size": INPUT, "hidden_size": HIDDEN, "dtype": np.float64} | given)
    x, first, dout, dlast = example(layer, time, batch, state)
    if lengths is None:
        ours = run_ours(layer, x, first, None, dout, dlast)
        assert_same(ours, run_torch(layer, x, first, None, dout, dlast))
    else:
        beyond = np.arange(time)[:, None] >= np.asarray(lengths)
        (x.swapaxes(0, 1) if layer.batch_first else x)[beyond] = np.nan  # what stands there is never used
        (dout.swapaxes(0, 1) if layer.batch_first else dout)[beyond] = 7.0
        ours = run_ours(layer, x, first, lengths, dout, dlast)
        assert_same(*without_empty(layer, ours, x, first, lengths, dout, dlast))
    assert_same(run_ours(layer, x, first, lengths, dout, dlast, masked=True), ours, 1e-12)


def without_empty(
    layer: Recurrent[Any], ours: dict[str, Any], x: Any, first: Any, lengths: Any, dout: Any, dlast: Any
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Ours and torch's without sequences of length 0, which torch refuses: those keep their state, without gradient."""
    some, axis = np.flatnonzero(lengths), 0 if layer.batch_first else 1
    none = np.flatnonzero(np.asarray(lengths) == 0)

    def kept(state: Any) -> Any:
        return tuple(part[:, some] for part in state) if isinstance(state, tuple) else state[:, some]

    for name in ("output", "dx"):
        assert not ours[name].take(none, axis).any()
    for i, d in enumerate(parts(dlast)):
        held = np.zeros_like(d) if first is None else parts(first)[i]
        assert (ours[f"last {i}"][:, none] == held[:, none]).all()
        assert first is None or (ours[f"dfirst {i}"][:, none] == d[:, none]).all()
    real, doutput = np.nan_to_num(x.take(some, axis)), dout.take(some, axis)
    start = None if first is None else kept(first)
    theirs = run_torch(layer, real, start, np.asarray(lengths)[some], doutput, kept(dlast))
    axes = {"output": axis, "dx": axis, "last 0": 1, "last 1": 1, "dfirst 0": 1, "dfirst 1": 1}
    return {name: array.take(some, axes[name]) if name in axes else array for name, array in ours.items()}, theirs


@pytest.fixture(scope="session")
def like_torch() -> Callable[..., None]:
    """`like_torch(LSTM, time, batch, state, lengths, **arguments)`: see `assert_like_torch`."""
    return assert_like_torch


@pytest.fixture(scope="session")
def run_layer() -> Callable[..., dict[str, Any]]:
    """`run_layer(layer, x, state, lengths, doutput, dstate, masked=False)`: all results by name."""
    return run_ours


@pytest.fixture(scope="session")
def make_example() -> Callable[..., tuple[Any, Any, Any, Any]]:
    """`make_example(layer, time, batch, state, seed=0)`: x, initial state, gradients by outputs and by last state."""
    return example


def assert_operation_like_torch(
    ours: Callable[..., Any], theirs: Callable[..., Any], *given: Any, finite_differences: bool = True, seed: int = 0
) -> None:
    """Result and gradients of a function of Tensors = those of a function of torch's tensors = finite differences.

    `given` are shapes, for which standard normal values are drawn, or arrays of float64.
    """
    random = np.random.default_rng(seed)
    arrays = [random.standard_normal(one) if isinstance(one, tuple) else np.array(one) for one in given]
    before = [array.copy() for array in arrays]
    tensors = [Tensor(array, requires_grad=True) for array in arrays]
    references = [torch.tensor(array, requires_grad=True) for array in arrays]
    result, expected = ours(*tensors), theirs(*references)
    assert (result.shape, result.dtype.name) == (tuple(expected.shape), str(expected.dtype).removeprefix("torch."))
    np.testing.assert_allclose(result.numpy(), expected.detach().numpy(), rtol=1e-12, atol=1e-12)
    weights = random.standard_normal(result.shape)
    result.backward(weights)
    expected.backward(torch.tensor(weights))
    for tensor, reference, array, old in zip(tensors, references, arrays, before, strict=True):
        np.testing.assert_array_equal(array, old)
        assert tensor.grad is not None and tensor.grad.dtype == np.float64
        np.testing.assert_allclose(tensor.grad, reference.grad.numpy(), rtol=1e-11, atol=1e-11)
    if finite_differences:
        directions = [random.standard_normal(array.shape) for array in arrays]
        slope = sum(float((t.grad * d).sum()) for t, d in zip(tensors, directions, strict=True))
        ahead, behind = (
            (ours(*(Tensor(a + step * d) for a, d in zip(arrays, directions, strict=True))).numpy() * weights).sum()
            for step in (1e-6, -1e-6)
        )
        assert abs((ahead - behind) / 2e-6 - slope) < 1e-6 * max(1, abs(slope))


@pytest.fixture(scope="session")
def operation_like_torch() -> Callable[..., None]:
    """`operation_like_torch(ours, theirs, *shapes_or_arrays)`: see `assert_operation_like_torch`."""
    return assert_operation_like_torch
