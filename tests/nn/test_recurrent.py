"""Recurrent layers equal torch.nn's by both roads: outputs, last states, all gradients."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from seesay.nn.recurrence import Recurrence
from seesay.nn.recurrent import GRU, LSTM, RNN

KINDS: dict[str, tuple[Any, dict[str, Any]]] = {
    "RNN tanh": (RNN, {}),
    "RNN relu": (RNN, {"nonlinearity": "relu"}),
    "GRU": (GRU, {}),
    "LSTM": (LSTM, {}),
    "LSTM projected": (LSTM, {"proj_size": 2}),
}
ROADS = {"by hand": True, "torch's kernels": False}
STEPS, BATCH, INPUT, HIDDEN = 5, 4, 3, 4


def parts_of(state: Any) -> list[Tensor]:
    return [] if state is None else list(state) if isinstance(state, tuple) else [state]


def twin(layer: Recurrence) -> Any:
    """torch.nn's layer of the same name with the same arguments and weights."""
    names = ["input_size", "hidden_size", "num_layers", "bias", "batch_first", "bidirectional"]
    given = {name: getattr(layer, name) for name in names}
    given |= {"nonlinearity": layer.nonlinearity} if isinstance(layer, RNN) else {}
    given |= {"proj_size": layer.proj_size} if layer.proj_size else {}
    theirs = getattr(nn, type(layer).__name__)(**given, dtype=next(layer.parameters()).dtype)
    theirs.load_state_dict(layer.state_dict())
    return theirs


def state_for(layer: Recurrence, batch: int, generator: torch.Generator) -> Any:
    rows = layer.num_layers * (2 if layer.bidirectional else 1)
    sizes = [layer.proj_size or HIDDEN, HIDDEN] if isinstance(layer, LSTM) else [HIDDEN]
    kind = next(layer.parameters()).dtype
    found = tuple(torch.randn(rows, batch, size, dtype=kind, generator=generator) for size in sizes)
    return found if len(found) > 1 else found[0]


def results(layer: Any, x: Tensor, state: Any, lengths: Any, seed: int = 3) -> dict[str, Tensor]:
    """Outputs, last state, and gradients of a random sum of both by everything, by name. `layer` is ours or torch's."""
    generator = torch.Generator().manual_seed(seed)
    x, parts = x.clone().requires_grad_(), [part.clone().requires_grad_() for part in parts_of(state)]
    first = None if state is None else tuple(parts) if isinstance(state, tuple) else parts[0]
    if isinstance(layer, Recurrence) or lengths is None:
        output, last = layer(x, first, lengths) if isinstance(layer, Recurrence) else layer(x, first)
    else:
        packed = pack_padded_sequence(x, torch.tensor(lengths), layer.batch_first, enforce_sorted=False)
        output, last = layer(packed, first)
        output, _ = pad_packed_sequence(output, layer.batch_first, total_length=STEPS)
    ends = [output, *parts_of(last)]
    loss = sum((end * torch.randn(end.shape, dtype=end.dtype, generator=generator)).sum() for end in ends)
    names, weights = zip(*layer.named_parameters(), strict=True)
    gradients = torch.autograd.grad(loss, [x, *parts, *weights])
    found = dict(zip(["output", "last 0", "last 1"], ends, strict=False))
    found |= dict(zip(["dx", *[f"dfirst {i}" for i in range(len(parts))], *names], gradients, strict=True))
    return {name: tensor.detach() for name, tensor in found.items()}


def assert_same(ours: dict[str, Tensor], theirs: dict[str, Tensor], within: float = 1e-10) -> None:
    assert ours.keys() == theirs.keys()
    for name, tensor in ours.items():
        assert tensor.shape == theirs[name].shape and tensor.dtype == theirs[name].dtype, name
        assert not tensor.numel() or (tensor - theirs[name]).abs().max() <= within, name


@pytest.mark.parametrize("road", ROADS)
@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_like_torch(kind: str, layers: int, road: str) -> None:
    make, given = KINDS[kind]
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(1)
    for both, first, bias, state, lengths in itertools.product(
        (False, True), (False, True), (True, False), (False, True), (None, [2, 5, 1, 3], [4, 4, 1, 2])
    ):
        layer = make(INPUT, HIDDEN, layers, bias=bias, batch_first=first, bidirectional=both, **given).double()
        layer.by_hand = ROADS[road]
        x = torch.randn((BATCH, STEPS, INPUT) if first else (STEPS, BATCH, INPUT), generator=generator).double()
        begin = state_for(layer, BATCH, generator) if state else None
        assert_same(results(layer, x, begin, lengths), results(twin(layer), x, begin, lengths))


@pytest.mark.parametrize("road", ROADS)
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("kind", KINDS)
def test_sequences_without_a_step_hand_their_state_through(kind: str, layers: int, road: str) -> None:
    make, given = KINDS[kind]
    torch.manual_seed(0)
    layer = make(INPUT, HIDDEN, layers, bidirectional=True, **given).double()
    layer.by_hand = ROADS[road]
    generator = torch.Generator().manual_seed(1)
    lengths, some, none = [0, 3, 0, 5], [1, 3], [0, 2]
    x = torch.randn(STEPS, BATCH, INPUT, dtype=torch.double, generator=generator)
    state = state_for(layer, BATCH, generator)
    for row, length in enumerate(lengths):
        x[length:, row] = torch.nan  # never looked at
    x.requires_grad_()
    parts = [part.requires_grad_() for part in parts_of(state)]
    output, last = layer(x, state, lengths)
    assert not output[:, none].any() and not output[3:, 1].any()
    for part, end in zip(parts, parts_of(last), strict=True):
        assert torch.equal(end[:, none], part[:, none])
    by_x, *by_state = torch.autograd.grad(output.sum() + sum(3 * end.sum() for end in parts_of(last)), [x, *parts])
    assert by_x.isfinite().all() and not by_x[:, none].any() and not by_x[3:, 1].any()
    for gradient in by_state:
        assert (gradient[:, none] == 3).all()
    kept = tuple(part[:, some].detach() for part in parts)
    alone, ends = layer(x[:, some].nan_to_num(), kept if len(kept) > 1 else kept[0], [3, 5])
    assert_same({"output": output[:, some]}, {"output": alone}, 1e-12)
    for end, other in zip(parts_of(last), parts_of(ends), strict=True):
        assert_same({"last": end[:, some]}, {"last": other}, 1e-12)


@pytest.mark.parametrize("road", ROADS)
@pytest.mark.parametrize("shape", [(0, 3, INPUT), (4, 0, INPUT), (4, 1, INPUT), (1, 1, INPUT), (4, INPUT), (1, INPUT)])
def test_no_steps_no_batch_and_one_sequence(shape: tuple[int, ...], road: str) -> None:
    torch.manual_seed(0)
    layer = LSTM(INPUT, HIDDEN, 2, bidirectional=True).double()
    layer.by_hand = ROADS[road]
    x = torch.randn(shape, dtype=torch.double, requires_grad=True)
    output, (h, c) = layer(x)
    assert output.shape == (*shape[:-1], 2 * HIDDEN) and h.shape == c.shape == (4, *shape[1:-1], HIDDEN)
    output.sum().backward()
    assert x.grad is not None and x.grad.shape == x.shape
    if 0 in shape:
        assert not h.any() and not c.any()
        assert all(p.grad is None or not p.grad.any() for p in layer.parameters())
    else:
        theirs, (last, _) = twin(layer)(x)
        assert_same({"output": output, "h": h}, {"output": theirs, "h": last})


@pytest.mark.parametrize("road", ROADS)
def test_all_padding_is_finite(road: str) -> None:
    layer = GRU(INPUT, HIDDEN, 2, bidirectional=True)
    layer.by_hand = ROADS[road]
    output, h = layer(torch.full((STEPS, BATCH, INPUT), torch.inf), lengths=[0] * BATCH)
    assert not output.any() and not h.any()
    output.sum().backward()
    assert all(p.grad is None or not p.grad.any() for p in layer.parameters())


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_starts_from_torchs_weights_and_they_move_both_ways(kind: str) -> None:
    make, given = KINDS[kind]
    torch.manual_seed(7)
    layer = make(INPUT, HIDDEN, 2, bidirectional=True, **given)
    torch.manual_seed(7)
    theirs = getattr(nn, make.__name__)(INPUT, HIDDEN, 2, bidirectional=True, **given)
    assert list(layer.state_dict()) == list(theirs.state_dict())
    for name, weight in theirs.state_dict().items():
        assert torch.equal(weight, layer.state_dict()[name]), name
    layer.reset_parameters()
    layer.load_state_dict(theirs.state_dict())
    x = torch.randn(STEPS, BATCH, INPUT, dtype=torch.double)
    torch.testing.assert_close(layer.double()(x)[0], theirs.double()(x)[0])
    layer.reset_parameters()
    theirs.load_state_dict(layer.state_dict())
    torch.testing.assert_close(layer(x)[0], theirs(x)[0])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
@pytest.mark.parametrize("lengths", [None, [2, 0, 5, 1]], ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_a_gpu_finds_the_same(kind: str, lengths: Any) -> None:
    make, given = KINDS[kind]
    layer = make(INPUT, HIDDEN, 2, bidirectional=True, **given).double()
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(STEPS, BATCH, INPUT, dtype=torch.double, generator=generator)
    state = state_for(layer, BATCH, generator)
    doutput = torch.randn(STEPS, BATCH, layer._width, dtype=torch.double, generator=generator)
    found = []
    for device in ("cpu", "cuda"):
        layer.to(device)
        parts = tuple(part.to(device) for part in parts_of(state))
        given_x = x.to(device).requires_grad_()
        output, last = layer(given_x, parts if len(parts) > 1 else parts[0], lengths)
        loss = (output * doutput.to(device)).sum() + sum(end.square().sum() for end in parts_of(last))
        names, weights = zip(*layer.named_parameters(), strict=True)
        gradients = torch.autograd.grad(loss, [given_x, *weights])
        tensors = zip(
            ["output", *[f"last {i}" for i in range(len(parts))], "dx", *names],
            [output, *parts_of(last), *gradients],
            strict=True,
        )
        found.append({name: tensor.detach().cpu() for name, tensor in tensors})
    assert_same(*found)
