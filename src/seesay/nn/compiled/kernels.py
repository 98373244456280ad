"""The kernels over tensors: each gives None where torch has to do it, which says the same up to rounding.

N rows, G groups, E levels, h heads, S places attended to, d size of a head, H hidden size, V vocabulary size.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from seesay.nn.compiled.binding import Additive, Attending, Library, Residual, Scanning, library

WORTH_IT = 1 << 16  # numbers touched; below, a call costs more than it saves, and nothing is built for one photograph
ROOM = 18  # rows of places that a part of `attend` needs: see attention.h
LANES = 16  # at most so many floats in a vector
MOST = 64  # of the best words: beyond, a sorted list is no quick way


def attend(
    query: Tensor, keys: Tensor, values: Tensor, mask: Tensor, group: Tensor, *, by_row: bool = False
) -> tuple[Tensor, Tensor] | None:
    """Contexts (N, E, H) of queries (N, H) over keys and values (G, E, h, S, d), and each row's mean weights (N, S).

    `group` (N,) says whose places a row sees, of these the True ones of `mask` (G, S), or (N, S) where it is `by_row`.
    """
    found = _library(query, keys, values, numbers=len(query) * keys.shape[3] * query.shape[1] // 16)
    if found is None or keys.stride(-1) != 1 or values.stride(-1) != 1:
        return None
    return attend_by(found, query, keys, values, mask, group, by_row)


def attend_by(
    found: Library, query: Tensor, keys: Tensor, values: Tensor, mask: Tensor, group: Tensor, by_row: bool
) -> tuple[Tensor, Tensor]:
    """`attend` by that library."""
    query, mask = query.contiguous(), mask.contiguous()
    rows, (_, levels, heads, places, size) = len(query), keys.shape
    context = query.new_empty(rows, levels, heads * size)
    weights = query.new_empty(rows, places)
    parts = found.parts(rows, 4 * context.numel() * places)
    room = query.new_empty(parts * ROOM * (places + LANES))
    job = Attending(rows=rows, heads=heads, size=size, places=places, levels=levels, by_row=by_row)
    job.put(query_row=query.stride(0), mask_row=mask.stride(0), query=query, group=group, mask=mask, room=room)
    for name, part in (("key", keys), ("value", values)):
        job.put(**{name: part})
        for axis, stride in zip(("group", "level", "head", "place"), part.stride(), strict=False):
            job.put(**{f"{name}_{axis}": stride})
    job.put(context=context, looked=weights)
    found.run("attend", job, parts)
    return context, weights


def attend_additively(
    query: Tensor, keys: Tensor, values: Tensor, mask: Tensor, group: Tensor, score: Tensor
) -> tuple[Tensor, Tensor] | None:
    """Contexts (N, H) and weights (N, S) by scores (A,) . tanh(query + key); zeros where a group has no place.

    Queries are (N, A), keys (G, S, A), values (G, S, H). `group` (N,) says whose places a row sees, of these the True
    ones of `mask` (G, S).
    """
    found = _library(query, keys, values, score, numbers=len(query) * keys[0].numel() if len(keys) else 0)
    return None if found is None else additive_by(found, query, keys, values, mask, group, score)


def additive_by(
    found: Library, query: Tensor, keys: Tensor, values: Tensor, mask: Tensor, group: Tensor, score: Tensor
) -> tuple[Tensor, Tensor]:
    """`attend_additively` by that library."""
    query, keys, values, mask, score = (part.contiguous() for part in (query, keys, values, mask, score))
    rows, (_, places, size), wide = len(query), keys.shape, values.shape[2]
    context, weights = query.new_empty(rows, wide), query.new_empty(rows, places)
    parts = found.parts(rows, 24 * rows * places * size)
    room = query.new_empty(parts * ROOM * (places + LANES))
    job = Additive(rows=rows, size=size, places=places, wide=wide)
    job.put(query=query, group=group, key=keys, value=values, score=score, mask=mask, room=room)
    job.put(context=context, weights=weights)
    found.run("attend_additively", job, parts)
    return context, weights


def add_and_normalise(x: Tensor, y: Tensor, norm: nn.LayerNorm, again: nn.LayerNorm | None = None) -> Tensor | None:
    """norm(x + y), both (..., H), or again(x + norm(x + y))."""
    layers = [layer for layer in (norm, again) if layer is not None]
    if x.shape != y.shape or any(layer.weight is None or layer.bias is None for layer in layers):
        return None
    if any(layer.normalized_shape != tuple(x.shape[-1:]) for layer in layers):
        return None
    weights = [part for layer in layers for part in (layer.weight, layer.bias)]
    found = _library(x, y, *weights, numbers=x.numel())
    return None if found is None else normalise_by(found, x, y, norm, again)


def normalise_by(found: Library, x: Tensor, y: Tensor, norm: nn.LayerNorm, again: nn.LayerNorm | None) -> Tensor:
    """`add_and_normalise` by that library."""
    x, y, out = x.contiguous(), y.contiguous(), x.new_empty(x.shape)
    job = Residual(rows=x.numel() // x.shape[-1], size=x.shape[-1])
    job.put(x=x, y=y, out=out, weight=norm.weight, bias=norm.bias, epsilon=norm.eps)
    if again is not None:
        job.put(weight_again=again.weight, bias_again=again.bias, epsilon_again=again.eps)
    found.run("add_and_normalise", job, found.parts(job.rows, 8 * x.numel()))
    return out


def exponential_sums(scores: Tensor) -> Tensor | None:
    """The sums (N,) of the exponentials of scores (N, V): above 1e30 or nan where a score was too high or none."""
    found = _library(scores, numbers=scores.numel())
    return None if found is None or not scores.is_contiguous() else sums_by(found, scores)


def sums_by(found: Library, scores: Tensor) -> Tensor:
    """`exponential_sums` by that library."""
    sums = scores.new_empty(len(scores))
    job = Scanning(rows=len(scores), size=scores.shape[1])
    job.put(scores=scores, sums=sums)
    found.run("exponential_sums", job, found.parts(len(scores), 16 * scores.numel()))
    return sums


def highest(scores: Tensor, count: int) -> tuple[Tensor, Tensor] | None:
    """The `count` highest scores of each row (N, V) and their places, the highest first, of equal ones the first."""
    if not 0 < count <= min(MOST, scores.shape[1]) or not scores.is_contiguous():
        return None
    found = _library(scores, numbers=scores.numel())
    return None if found is None else highest_by(found, scores, count)


def highest_by(found: Library, scores: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """`highest` by that library."""
    values = scores.new_empty(len(scores), count)
    places = scores.new_empty(len(scores), count, dtype=torch.long)
    job = Scanning(rows=len(scores), size=scores.shape[1], count=count)
    job.put(scores=scores, values=values, places=places)
    found.run("highest_scores", job, found.parts(len(scores), scores.numel()))
    return values, places


def _library(*tensors: Tensor, numbers: int) -> Library | None:
    """The library, where these tensors are for it, and so many numbers are worth the call."""
    if numbers < WORTH_IT or torch.is_grad_enabled():
        return None
    if any(part.dtype != torch.float32 or part.device.type != "cpu" for part in tensors):
        return None
    return library()
