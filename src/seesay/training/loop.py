"""The training loop as a generator: whoever consumes it logs, checks, saves and stops."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from seesay.training.objectives import Loss, Objective
from seesay.training.schedules import Schedule
from seesay.training.step import Step, check_finite, seed_of


class Batch(Protocol):
    """Arrays that belong together, and what they are of."""

    @property
    def items(self) -> tuple[str, ...]:
        """Names for messages."""

    def map(self, fn: Callable[[Any], Any]) -> Any:
        """The same with `fn` applied to every array."""


PRECISIONS = {"float32": None, "bf16": torch.bfloat16}


def fit(
    model: nn.Module,
    batches: Iterable[Batch],
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
        norm = nn.utils.get_total_norm([part.grad for part in parameters if part.grad is not None])
        step = Step(number, value, loss.tokens, rate, float(norm), loss.sums)
        check_finite(step, batch.items)
        if clip and clip < step.gradient_norm + 1e-6:  # otherwise torch would multiply all gradients by 1
            nn.utils.clip_grads_with_norm_(parameters, clip, norm)
        optimizer.step()
        yield step


def compute(
    model: nn.Module, batch: Batch, objective: Objective, *, precision: str = "float32", device: str = "cpu"
) -> Loss:
    """The objective on one batch of NumPy arrays, moved to `device` and computed in `precision`."""
    kind = PRECISIONS[precision]
    with torch.autocast(torch.device(device).type, dtype=kind, enabled=kind is not None):
        return objective(model, batch.map(lambda array: to_tensor(array, device)))


def to_tensor(array: np.ndarray, device: str = "cpu") -> Tensor:
    """A NumPy array as a tensor on `device`; half-precision features become float32 there."""
    tensor = torch.from_numpy(array).to(device)
    return tensor.float() if tensor.dtype == torch.float16 else tensor


@torch.no_grad()
def mean_loss(model: nn.Module, batches: Iterable[Batch], objective: Objective, device: str = "cpu") -> float:
    """The objective's mean over all tokens of `batches`, without dropout."""
    model.eval()
    total, count = 0.0, 0
    for batch in batches:
        loss = compute(model, batch, objective, device=device)
        total, count = total + float(loss.total), count + loss.tokens
    return total / max(1, count)
