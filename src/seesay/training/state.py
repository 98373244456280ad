"""Weights and optimiser moments as arrays, from torch and back."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from seesay.checkpoint import Arrays


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
