"""The moving average of the weights, step by step."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from seesay.training.averaging import follow


def filled(value: float) -> nn.Linear:
    layer = nn.Linear(2, 1)
    for parameter in layer.parameters():
        nn.init.constant_(parameter, value)
    return layer


@pytest.mark.parametrize(("step", "kept"), [(1, 2 / 11), (8, 0.5), (80, 0.9), (10**6, 0.9)])
def test_early_steps_count_more(step: int, kept: float) -> None:
    average = filled(0.0)
    follow(average, filled(1.0), decay=0.9, step=step)
    for parameter in average.parameters():
        assert parameter.flatten().tolist() == pytest.approx([1 - kept] * parameter.numel())


def test_it_leaves_the_model_alone_and_needs_no_gradient() -> None:
    model, average = filled(1.0), filled(0.0)
    follow(average, model, decay=0.5, step=1000)
    assert model.weight.tolist() == [[1.0, 1.0]]
    assert average.weight.requires_grad and average.weight.grad is None and average.weight.is_leaf


def test_tied_weights_move_once() -> None:
    def tied(value: float) -> nn.Module:
        pair = nn.Sequential(nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False))
        pair[1].weight = pair[0].weight
        nn.init.constant_(pair[0].weight, value)
        return pair

    average = tied(0.0)
    follow(average, tied(1.0), decay=0.5, step=1000)
    assert torch.equal(average[0].weight, torch.tensor([[0.5]]))
