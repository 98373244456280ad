"""The training loop as a generator: whoever consumes it logs, checks, saves and stops."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from seesay.data.batches import CaptionBatch
from seesay.errors import TrainingDiverged
from seesay.training.objectives import Loss, Objective
from seesay.training.schedules import Schedule

PRECISIONS = {"float32": None, "bf16": torch.bfloat16}


class Step(NamedTuple):
    """What one update did; `loss` is the mean over its `tokens`, the norm is the gradient's before clipping."""

    number: int
    loss: float
    tokens: int
    learning_rate: float
    gradient_norm: float


def fit(
    model: nn.Module,
    batches: Iterable[CaptionBatch],
    objective: Objective,
    optimizer: torch.optim.Optimizer,
    schedule: Schedule,
    *,
    first: int = 1,
    seed: int = 0,
    clip: float = 1.0,
    precision: str = "float32",
    device: str = "cpu",
) -> Iterator[Step]:
    """Update `model` once a batch and yield what happened, numbering the steps from `first`.

    The random numbers of a step depend on `seed` and its number alone: resuming exactly needs no generator's state.
    `clip` bounds the gradient's norm, 0 leaves it. Raises TrainingDiverged before an update with a
    loss or gradient that is not finite.
    """
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    for number, batch in enumerate(batches, first):
        rate = schedule(number)
        for group in optimizer.param_groups:
            group["lr"] = rate
        torch.manual_seed(seed_of(seed, number))
        model.train()
        loss = compute(model, batch, objective, precision=precision, device=device)
        mean = loss.total / max(1, loss.tokens)
        optimizer.zero_grad(set_to_none=True)
        mean.backward()
        value = float(mean.detach())
        norm = float(nn.utils.clip_grad_norm_(parameters, clip or math.inf))
        _check_finite(number, value, norm, rate, batch)
        optimizer.step()
        yield Step(number, value, loss.tokens, rate, norm)


def compute(
    model: nn.Module, batch: CaptionBatch, objective: Objective, *, precision: str = "float32", device: str = "cpu"
) -> Loss:
    """The objective on one batch of NumPy arrays, moved to `device` and computed in `precision`."""
    kind = PRECISIONS[precision]
    with torch.autocast(torch.device(device).type, dtype=kind, enabled=kind is not None):
        return objective(model, batch.map(lambda array: to_tensor(array, device)))


def to_tensor(array: np.ndarray, device: str = "cpu") -> Tensor:
    """A NumPy array as a tensor on `device`; half-precision features become float32 there."""
    tensor = torch.from_numpy(array).to(device)
    return tensor.float() if tensor.dtype == torch.float16 else tensor


def seed_of(seed: int, number: int) -> int:
    """The seed of one step: the same for the same pair, unlike for neighbours."""
    return int(np.random.SeedSequence([seed, number]).generate_state(1, np.uint64)[0] >> 1)


def _check_finite(number: int, loss: float, norm: float, rate: float, batch: CaptionBatch) -> None:
    if math.isfinite(loss) and math.isfinite(norm):
        return
    raise TrainingDiverged(
        f"step {number}: loss is {loss:g}, gradient norm {norm:g}, learning rate {rate:g}; "
        f"batch ids {', '.join(batch.ids[:8])}. The weights were left as they were. "
        "Train anew with a lower learning rate, or look at these pictures' features."
    )


@torch.no_grad()
def mean_loss(model: nn.Module, batches: Iterable[CaptionBatch], objective: Objective, device: str = "cpu") -> float:
    """The objective's mean over all tokens of `batches`, without dropout."""
    model.eval()
    total, count = 0.0, 0
    for batch in batches:
        loss = compute(model, batch, objective, device=device)
        total, count = total + float(loss.total), count + loss.tokens
    return total / max(1, count)
