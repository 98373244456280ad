"""Fifty steps equal torch.optim to 1e-12 in float64, over options and groups; resuming is exact; clipping as torch."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
import torch

from seesay.errors import CheckpointError, DataError
from seesay.scratch import optim
from seesay.scratch.optimizer import BLOCK
from seesay.scratch.tensor import Tensor

# The second is longer than a block, so that a step takes several.
SHAPES = [(3, 4), (BLOCK // 64 + 3, 70), (5,), ()]
CASES: list[tuple[str, dict[str, Any]]] = [
    ("SGD", {"lr": 0.1}),
    ("SGD", {"lr": 0.1, "weight_decay": 0.05}),
    ("SGD", {"lr": 0.1, "momentum": 0.9}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.3, "weight_decay": 0.01}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True}),
    ("SGD", {"lr": 0.1, "momentum": 0.5, "nesterov": True, "weight_decay": 0.1}),
    ("Adam", {}),
    ("Adam", {"lr": 0.05, "betas": (0.8, 0.95), "eps": 1e-3}),
    ("Adam", {"lr": 0.01, "weight_decay": 0.1}),
    ("Adam", {"lr": 0.01, "betas": (0.0, 0.9)}),
    ("AdamW", {}),
    ("AdamW", {"lr": 0.05, "betas": (0.8, 0.95), "weight_decay": 0.3}),
    ("Adamax", {}),
    ("Adamax", {"lr": 0.05, "betas": (0.8, 0.95), "eps": 1e-3, "weight_decay": 0.1}),
]


def made(shapes: list[tuple[int, ...]] = SHAPES, dtype: Any = np.float64) -> list[Tensor]:
    random = np.random.default_rng(0)
    return [Tensor(np.asarray(random.standard_normal(shape), dtype), requires_grad=True) for shape in shapes]


def gradients(step: int, shapes: list[tuple[int, ...]] = SHAPES) -> list[Any]:
    random = np.random.default_rng(step)
    found = [np.asarray(random.standard_normal(shape)) for shape in shapes]
    found[0].flat[:2] = 0  # what no example touched
    return found


@pytest.mark.parametrize(("name", "settings"), CASES)
def test_fifty_steps_as_torch(name: str, settings: dict[str, Any]) -> None:
    ours = made()
    theirs = [torch.tensor(tensor.data, requires_grad=True) for tensor in ours]
    optimizer = getattr(optim, name)(ours, **settings)
    reference = getattr(torch.optim, name)(theirs, **settings)
    for step in range(50):
        for tensor, other, gradient in zip(ours, theirs, gradients(step), strict=True):
            if step % 5 == 3 and gradient.shape == (5,):
                tensor.grad = other.grad = None  # a parameter that rests this time
                continue
            tensor.grad, other.grad = gradient, torch.tensor(gradient)
        if step == 25:
            optimizer.param_groups[0]["lr"] *= 0.5
            reference.param_groups[0]["lr"] *= 0.5
        kept = [None if tensor.grad is None else tensor.grad.copy() for tensor in ours]
        optimizer.step()
        reference.step()
        for tensor, gradient in zip(ours, kept, strict=True):
            assert (tensor.grad is None) == (gradient is None)
            assert gradient is None or (tensor.grad == gradient).all()
    for tensor, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(tensor.data, other.detach().numpy(), rtol=0, atol=1e-12)
    for number, slots in enumerate(optimizer.state):
        for slot, array in slots.items():
            held = reference.state[theirs[number]].get(slot)
            if held is not None:
                np.testing.assert_allclose(array, np.asarray(held), rtol=0, atol=1e-10)


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW", "Adamax"])
def test_groups_have_settings_of_their_own(name: str) -> None:
    ours = made()
    theirs = [torch.tensor(tensor.data, requires_grad=True) for tensor in ours]

    def grouped(of: list[Any]) -> list[dict[str, Any]]:
        return [{"params": of[:2], "weight_decay": 0.2}, {"params": iter(of[2:3]), "lr": 0.5}, {"params": of[3]}]

    optimizer = getattr(optim, name)(grouped(ours), lr=0.01)
    reference = getattr(torch.optim, name)(grouped(theirs), lr=0.01)
    for group, other in zip(optimizer.param_groups, reference.param_groups, strict=True):
        assert (group["lr"], group["weight_decay"]) == (other["lr"], other["weight_decay"])
    for step in range(50):
        for tensor, other, gradient in zip(ours, theirs, gradients(step), strict=True):
            tensor.grad, other.grad = gradient, torch.tensor(gradient)
        optimizer.step()
        reference.step()
    for tensor, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(tensor.data, other.detach().numpy(), rtol=0, atol=1e-12)


@pytest.mark.parametrize(("name", "settings"), CASES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_resuming_is_exact(name: str, settings: dict[str, Any], dtype: Any, tmp_path: Path) -> None:
    def run(tensors: list[Tensor], optimizer: Any, steps: range) -> None:
        for step in steps:
            for tensor, gradient in zip(tensors, gradients(step), strict=True):
                tensor.grad = gradient.astype(dtype)
            optimizer.step()
            optimizer.zero_grad()
            assert all(tensor.grad is None for tensor in tensors)

    whole = made(dtype=dtype)
    optimizer = getattr(optim, name)(whole, **settings)
    run(whole, optimizer, range(5))
    safetensors.numpy.save_file(optimizer.state_dict(), tmp_path / "state.safetensors")
    resumed = [Tensor(tensor.data.copy(), requires_grad=True) for tensor in whole]
    run(whole, optimizer, range(5, 10))

    again = getattr(optim, name)(resumed, **settings)
    again.load_state_dict(safetensors.numpy.load_file(tmp_path / "state.safetensors"))
    run(resumed, again, range(5, 10))
    for tensor, other in zip(whole, resumed, strict=True):
        assert tensor.dtype == dtype
        np.testing.assert_array_equal(tensor.data, other.data)
    assert again.state_dict().keys() == optimizer.state_dict().keys()


def test_a_loaded_state_is_a_copy() -> None:
    (w,) = made([(3,)])
    w.grad = np.ones(3)
    optimizer = optim.Adam([w])
    optimizer.step()
    arrays = {name: array.copy() for name, array in optimizer.state_dict().items()}
    assert sorted(arrays) == ["0/exp_avg", "0/exp_avg_sq", "0/step"] and arrays["0/step"] == 1
    other = optim.Adam([w])
    other.load_state_dict(arrays)
    other.step()
    assert arrays["0/step"] == 1 and (arrays["0/exp_avg"] == optimizer.state[0]["exp_avg"]).all()


def test_steps_are_taken_in_place_also_where_memory_is_not_in_order() -> None:
    base = np.arange(12.0).reshape(3, 4)
    w, plain = Tensor(base.T, requires_grad=True), Tensor(base.T.copy(), requires_grad=True)
    gradient = np.random.default_rng(0).standard_normal((4, 3))
    held = w.data
    for tensor, d in ((w, gradient), (plain, np.asfortranarray(gradient))):
        optimizer = optim.Adam([tensor], lr=0.1)
        for _ in range(3):
            tensor.grad = d
            optimizer.step()
    assert w.data is held and np.shares_memory(w.data, base)
    np.testing.assert_array_equal(w.data, plain.data)


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW", "Adamax"])
def test_a_step_allocates_next_to_nothing(name: str) -> None:
    w = Tensor(np.zeros((1000, 128), np.float32), requires_grad=True)
    w.grad = np.ones((1000, 128), np.float32)
    optimizer = getattr(optim, name)([w], lr=0.1, weight_decay=0.1, **({"momentum": 0.9} if name == "SGD" else {}))
    optimizer.step()
    tracemalloc.start()
    optimizer.step()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20_000  # of 512,000 bytes of values


@pytest.mark.parametrize("most", [0.1, 5.0, 1e6])
def test_clipping_as_torch(most: float) -> None:
    ours = made()
    theirs = [torch.tensor(tensor.data, requires_grad=True) for tensor in ours]
    for tensor, other, gradient in zip(ours, theirs, gradients(0), strict=True):
        if gradient.shape != (5,):
            tensor.grad, other.grad = gradient, torch.tensor(gradient)
    held = [tensor.grad for tensor in ours]
    found = optim.clip_grad_norm_(iter(ours), most)
    assert abs(found - float(torch.nn.utils.clip_grad_norm_(theirs, most))) < 1e-10
    for tensor, other, before in zip(ours, theirs, held, strict=True):
        assert tensor.grad is before
        assert before is None or other.grad is None or np.abs(before - other.grad.numpy()).max() < 1e-12


def test_clipping_nothing_and_what_is_not_finite() -> None:
    (w,) = made([(2,)])
    assert optim.clip_grad_norm_([w], 1.0) == 0.0
    for bad in (np.inf, np.nan):
        w.grad = np.array([bad, 1.0])
        assert not np.isfinite(optim.clip_grad_norm_([w], 1.0))


def adam() -> Any:
    return optim.Adam(made([(3,), (2, 2)]))


@pytest.mark.parametrize(
    ("fails", "says"),
    [
        (lambda: optim.SGD([]), r"^parameters: received 0, or one twice; expected at least one"),
        (lambda: optim.SGD(made([(2,)]) * 2), r"^parameters: received 2, or one twice"),
        (
            lambda: optim.SGD([{"params": made(), "rate": 1}]),
            r"^group: received \['params', 'rate'\]; expected params and",
        ),
        (lambda: optim.SGD([{"lr": 1.0}]), r"^group: received \['lr'\]; expected params"),
        (lambda: optim.Adam(made(), lr="0.1"), r"^lr: received '0\.1'; expected a number"),
        (lambda: optim.Adam(made(), betas=0.9), r"^betas: received 0\.9; expected two"),
        (lambda: optim.Adam(made(), lr=-1), r"^lr: received -1; expected 0 or more"),
        (lambda: optim.Adam([{"params": made(), "eps": -1}]), r"^eps: received -1; expected 0 or more"),
        (
            lambda: optim.Adam(made(), betas=(0.9, 1.0)),
            r"^betas: received \(0.9, 1.0\); expected 0 or more and below 1",
        ),
        (lambda: optim.SGD(made(), nesterov=True), r"^nesterov: received momentum 0.0, dampening 0.0; expected"),
    ],
)
def test_says_what_is_wrong(fails: Any, says: str) -> None:
    with pytest.raises(DataError, match=says):
        fails()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"param_groups": []}, r"received param_groups list; expected arrays, as state_dict\(\) gives"),
        ({"2/step": np.zeros((), np.int64)}, r"received 2/step \(\) of int64; expected no such array"),
        ({"0/exp_avg": np.zeros(4)}, r"received 0/exp_avg \(4,\) of float64; expected \(3,\) of float64"),
        ({"1/exp_avg": np.zeros((2, 2), np.float32)}, r"received 1/exp_avg .* float32; expected \(2, 2\) of float64"),
        ({"1/exp_avg": None}, r"received nothing for 1/exp_avg; expected all"),
    ],
)
def test_a_state_of_something_else(change: dict[str, Any], says: str) -> None:
    optimizer = adam()
    for group in optimizer.param_groups:
        for tensor in group["params"]:
            tensor.grad = np.ones(tensor.shape)
    optimizer.step()
    arrays = {name: array for name, array in (optimizer.state_dict() | change).items() if array is not None}
    fresh = adam()
    with pytest.raises(CheckpointError, match=f"^optimizer state: {says}"):
        fresh.load_state_dict(arrays)
    assert fresh.state_dict() == {}
