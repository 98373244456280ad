"""Packing a run's state and going on from it."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from seesay.errors import CheckpointError
from seesay.training.progress import Progress
from seesay.training.state import pack, unpack_optimizer


def step(model: nn.Module, optimizer: torch.optim.Optimizer, number: int) -> None:
    torch.manual_seed(number)
    model(torch.randn(4, 3)).square().sum().backward()
    optimizer.step()
    optimizer.zero_grad()


def make(kind: type[torch.optim.Optimizer]) -> tuple[nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 1))
    matrices = [p for p in model.parameters() if p.dim() > 1]
    vectors = [p for p in model.parameters() if p.dim() == 1]
    return model, kind([{"params": matrices, "weight_decay": 0.1}, {"params": vectors}], lr=0.01)


@pytest.mark.parametrize("kind", [torch.optim.AdamW, torch.optim.Adam])
def test_the_step_after_unpacking_is_the_step_that_would_have_been(kind: type[torch.optim.Optimizer]) -> None:
    model, optimizer = make(kind)
    for number in range(3):
        step(model, optimizer, number)
    arrays = {name: array.copy() for name, array in pack(model, copy.deepcopy(model), optimizer).items()}
    other, fresh = make(kind)
    other.load_state_dict(model.state_dict())
    unpack_optimizer(fresh, arrays)
    for number in range(3, 6):
        step(model, optimizer, number)
        step(other, fresh, number)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters(), strict=True))
    after, expected = (pack(*pair[:1], None, pair[1]) for pair in ((other, fresh), (model, optimizer)))
    assert all(np.array_equal(after[name], expected[name]) for name in expected)


def test_what_is_packed() -> None:
    model, optimizer = make(torch.optim.AdamW)
    assert sorted(pack(model, None, None)) == ["model/0.bias", "model/0.weight", "model/2.bias", "model/2.weight"]
    assert not any(name.startswith("optimizer/") for name in pack(model, model, optimizer))  # before the first step
    step(model, optimizer, 1)
    names = set(pack(model, model, optimizer))
    assert {"average/2.bias", "optimizer/0/exp_avg", "optimizer/3/exp_avg_sq", "optimizer/1/step"} <= names


def test_progress_goes_through_a_header() -> None:
    progress = Progress(step=7, epoch=2, best_score=0.5, done=True)
    assert Progress.of({"progress": progress.as_dict()}, Path("run")) == progress


def test_equal_scores_are_decided_by_the_loss() -> None:
    progress = Progress(step=3)
    assert progress.offer(0.0002, 5.0)
    progress.step = 6
    assert not progress.offer(0.0004, 5.0002)  # noise
    assert not progress.offer(0.0001, 4.9998)  # and a loss that is the same
    assert (progress.best_score, progress.best_loss, progress.best_step) == (0.0002, 5.0, 3)
    assert progress.offer(0.0, 4.9)
    assert (progress.best_score, progress.best_loss, progress.best_step) == (0.0, 4.9, 6)
    assert progress.offer(0.1, 9.0) and not progress.offer(0.099, 1.0)
    assert not Progress(best_score=0.5).offer(0.4, 1.0)


@pytest.mark.parametrize("header", [{}, {"progress": 3}, {"progress": {"stepp": 3}}])
def test_a_header_without_progress_is_one_line(header: dict[str, object]) -> None:
    with pytest.raises(CheckpointError, match="runs/x: its checkpoint does not say how far it came"):
        Progress.of(header, Path("runs/x"))
