"""Weights move by name through safetensors, from ours to torch.nn and back; what does not fit is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
import safetensors.torch
import torch

from seesay.errors import CheckpointError
from seesay.scratch import nn

LAYERS: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
    ("Linear", (3, 4), {}),
    ("Embedding", (5, 3), {}),
    ("LayerNorm", ((2, 3),), {}),
    ("RNN", (3, 4), {"num_layers": 2, "bidirectional": True}),
    ("GRU", (3, 4), {"num_layers": 2, "bidirectional": True}),
    ("LSTM", (3, 4), {"num_layers": 2, "bidirectional": True, "proj_size": 2}),
    ("LSTM", (3, 4), {"bias": False}),
    ("RNNCell", (3, 4), {}),
    ("GRUCell", (3, 4), {}),
    ("LSTMCell", (3, 4), {}),
]


def an_input(name: str, dtype: Any) -> Any:
    if name == "Embedding":
        return np.array([[0, 4, 2]])
    return np.random.default_rng(0).standard_normal((5, 3) if name.endswith("Cell") else (5, 2, 3)).astype(dtype)


def first(result: Any) -> Any:
    while isinstance(result, tuple):
        result = result[0]
    return result.detach().numpy()


@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN:UserWarning")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("name", "args", "given"), LAYERS)
def test_both_ways_through_safetensors(
    name: str, args: tuple[Any, ...], given: dict[str, Any], dtype: str, tmp_path: Path
) -> None:
    seed = {} if name == "LayerNorm" else {"seed": 3}
    ours = getattr(nn, name)(*args, **given, **seed, dtype=getattr(np, dtype))
    theirs = getattr(torch.nn, name)(*args, **given, dtype=getattr(torch, dtype))
    x, within = an_input(name, dtype), 1e-6 if dtype == "float32" else 1e-12
    fresh = first(theirs(torch.from_numpy(x)))

    safetensors.torch.save_file(theirs.state_dict(), tmp_path / "theirs.safetensors")
    mine = {key: array.copy() for key, array in ours.state_dict().items()}
    ours.load_state_dict(safetensors.numpy.load_file(tmp_path / "theirs.safetensors"))
    np.testing.assert_allclose(first(ours(x)), fresh, atol=within)

    ours.load_state_dict(mine)
    safetensors.numpy.save_file(ours.state_dict(), tmp_path / "ours.safetensors")
    assert theirs.load_state_dict(safetensors.torch.load_file(tmp_path / "ours.safetensors")) == ([], [])
    np.testing.assert_allclose(first(theirs(torch.from_numpy(x))), first(ours(x)), atol=within)


def test_names_what_does_not_fit_and_writes_nothing() -> None:
    layer = nn.Linear(3, 2)
    before = {name: array.copy() for name, array in layer.state_dict().items()}
    weight, bias = np.ones((2, 3), np.float32), np.ones(2, np.float32)
    for arrays, says in (
        ({"weight": weight}, "missing bias; unexpected none; expected the names of this Linear"),
        ({"weight": weight, "bias": bias, "scale": bias}, "missing none; unexpected scale; expected"),
        ({"weights": weight}, "missing weight, bias; unexpected weights; expected"),
        (
            {"weight": weight, "bias": np.ones(3, np.float32)},
            r"received bias \(3,\) of float32; expected \(2,\) of float32",
        ),
        ({"weight": weight, "bias": np.ones(2)}, r"received bias \(2,\) of float64; expected \(2,\) of float32"),
    ):
        with pytest.raises(CheckpointError, match=f"^state dict: .*{says}"):
            layer.load_state_dict(arrays)
        for name, array in layer.state_dict().items():
            np.testing.assert_array_equal(array, before[name])


def test_a_state_dict_is_a_view_and_loading_copies() -> None:
    layer, arrays = nn.Linear(3, 2), nn.Linear(3, 2, seed=1).state_dict()
    held = layer.weight.data
    layer.load_state_dict(arrays)
    assert layer.weight.data is held and np.shares_memory(layer.state_dict()["weight"], held)
    arrays["weight"][...] = 0
    assert layer.weight.data.any()
