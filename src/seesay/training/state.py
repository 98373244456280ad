"""What a run must remember to go on as if it had never stopped, as arrays and a JSON header."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from seesay.checkpoint import Arrays


@dataclass
class Progress:
    """Where a run stands: the epoch and the position in it say which batch comes next."""

    step: int = 0
    epoch: int = 0  # whole epochs done, over all stages
    stage: int = 0
    stage_step: int = 0  # of the stage under way
    stage_epoch: int = 0
    position: int = 0  # batches done in the epoch under way
    loss_total: float = 0.0  # of the epoch under way
    loss_count: int = 0
    best_score: float | None = None
    best_step: int = 0
    epochs_without_gain: int = 0
    done: bool = False

    def as_dict(self) -> dict[str, Any]:
        """For the header of a checkpoint."""
        return dataclasses.asdict(self)


def pack(model: nn.Module, average: nn.Module | None, optimizer: torch.optim.Optimizer | None) -> Arrays:
    """Weights, averaged weights and optimiser moments under the prefixes model/, average/ and optimizer/."""
    tensors = {f"model/{name}": tensor for name, tensor in model.state_dict().items()}
    if average is not None:
        tensors |= {f"average/{name}": tensor for name, tensor in average.state_dict().items()}
    if optimizer is not None:
        for index, moments in optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer/{index}/{name}": torch.as_tensor(value) for name, value in moments.items()}
    return {name: tensor.detach().cpu().numpy() for name, tensor in tensors.items()}


def unpack_optimizer(optimizer: torch.optim.Optimizer, arrays: Arrays) -> None:
    """Load the optimiser's moments; its settings come from the recipe."""
    moments: dict[int, dict[str, Tensor]] = {}
    for name, array in arrays.items():
        if name.startswith("optimizer/"):
            _, index, key = name.split("/")
            moments.setdefault(int(index), {})[key] = torch.from_numpy(array)
    optimizer.load_state_dict({"state": moments, "param_groups": optimizer.state_dict()["param_groups"]})
