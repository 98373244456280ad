"""Whether a library computes what torch does: asked once, before any result of it is used."""

from __future__ import annotations

import torch
from torch import nn

from seesay.nn.compiled import kernels
from seesay.nn.compiled.binding import Library
from seesay.nn.compiled.linear8 import Panels

WITHIN = 1e-5


@torch.no_grad()
def agrees(found: Library) -> bool:
    """Whether small examples of all kernels, with sizes that fill no vector, have torch's results.

    Those are in double precision, which neither autocast nor a lower precision of products touches: the answer is for
    the whole process, whatever its first caller works under.
    """
    draw = torch.Generator("cpu").manual_seed(0)

    def some(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=draw, dtype=torch.float32, device="cpu")

    query, keys, values = some(9, 2 * 21), some(3, 2, 2, 19, 21), some(3, 2, 2, 19, 21)
    group, mask = torch.tensor([0, 0, 0, 1, 1, 1, 1, 2, 0], device="cpu"), some(3, 19) > -1
    ours = kernels.attend_by(found, query, keys, values, mask, group, False)
    scores = torch.einsum("nhd,nehsd->nehs", query.view(9, 2, 21).double(), keys[group].double()) / 21**0.5
    weights = scores.masked_fill(~mask[group][:, None, None], -1e30).softmax(-1)
    context = torch.einsum("nehs,nehsd->nehd", weights, values[group].double()).flatten(2)
    pairs = [(ours[0], context), (ours[1], weights.mean((1, 2)))]

    score, keys, values = some(21), some(3, 19, 21), some(3, 19, 37)
    query, mask[2] = some(9, 21), False
    scores = torch.tanh(query.double().unsqueeze(1) + keys[group]) @ score.double()
    weights = scores.masked_fill(~mask[group], -1e30).softmax(1) * mask[group]
    ours = kernels.additive_by(found, query, keys, values, mask, group, score)
    pairs += [(ours[0], torch.einsum("ns,nsh->nh", weights, values[group].double())), (ours[1], weights)]

    x, y, norm = some(5, 37), some(5, 37), nn.LayerNorm(37, device="cpu", dtype=torch.float32)
    norm.weight.copy_(some(37))
    exact = nn.LayerNorm(37, device="cpu", dtype=torch.float64)
    exact.weight.copy_(norm.weight)
    pairs.append((kernels.normalise_by(found, x, y, norm, None), exact(x.double() + y)))
    pairs.append((kernels.normalise_by(found, x, y, norm, norm), exact(x + exact(x.double() + y))))
    pairs.append((kernels.sums_by(found, x).log(), x.double().logsumexp(1)))
    pairs += zip(kernels.highest_by(found, x, 5), x.topk(5), strict=True)
    if found.multiplies_bytes:
        whole = (50 * some(70, 37)).round().clamp(-127, 127).to(torch.int8)
        rows = (50 * x).round().clamp(-127, 127)
        rows[:, 0] = 127  # so that a row's scale is 1
        scales, bias = some(70).abs() / 100, some(70)
        pairs.append((Panels(found, whole, scales, bias)(rows), rows.double() @ whole.double().T * scales + bias))
    # Not `max() < WITHIN`: with that, a nan could go unseen.
    return all(bool(((a - b).abs() <= WITHIN * (1 + b.abs())).all()) for a, b in pairs)
