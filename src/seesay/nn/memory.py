"""What a decoder with attention looks at: the pictures, the words of whole captions, and the words said so far.

All are read through rows, in groups that share something. Pictures, regions and the words said so far are parts of a
decoding state: values with `len` and `select(rows)`, like tensors, but a beam that branches copies no keys.
N rows, G groups, W rows of a group, R regions, S places attended to, E levels, h heads, M words kept of a group.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from seesay.nn.attention import AdditiveAttention, MultiHeadAttention, Projected
from seesay.nn.compiled import kernels
from seesay.nn.groups import Groups, Layout

FEWEST = 16  # steps that a cache has room for at first
CROWDED = 2  # so many times the rows, laid out, cost more than regions for each row


class Pictures:
    """Keys and values of pictures for each layer, once for a picture however many rows describe it.

    `layers` are (G, E, h, S, d) each, `mask` is (G, S). The first `own` places of S are the first
    of the picture's `regions` R.
    """

    def __init__(self, layers: Sequence[Projected], mask: Tensor, groups: Groups, regions: int, own: int) -> None:
        self.layers, self.mask, self.groups, self.regions, self.own = tuple(layers), mask, groups, regions, own

    def __len__(self) -> int:
        return len(self.groups)

    def select(self, rows: Tensor) -> Pictures:
        """The pictures as seen by the given rows; pictures that none of them describes are dropped now and then."""
        groups, layers, mask = self.groups.select(rows), self.layers, self.mask
        if (kept := groups.used()) is not None:
            layers = tuple(Projected(*(part.index_select(0, kept) for part in layer)) for layer in layers)
            groups, mask = groups.keep(kept), mask.index_select(0, kept)
        return Pictures(layers, mask, groups, self.regions, self.own)

    def attend(self, layer: int, attention: MultiHeadAttention, x: Tensor) -> tuple[Tensor, Tensor]:
        """What rows x (N, H) see at each level, (N, E, H), and the weights as `looked` takes them."""
        query, memory = attention.query(x), self.layers[layer]
        if not attention.training and (found := kernels.attend(query, *memory, self.mask, self.groups.index)):
            return attention.output(found[0]), found[1]
        laid = self.groups.lay(query).unsqueeze(1)
        context, weights = attention.weigh(laid, memory, self.mask[:, None, None, None])
        return attention.output(self.groups.pick(context.transpose(1, 2))), weights

    def looked(self, weights: Tensor) -> Tensor:
        """Where each row looked, (N, R): the mean over levels and heads of weights (G, E, h, W, S), or (N, S) of it."""
        weights = weights if weights.dim() == 2 else self.groups.pick(weights.mean((1, 2)))
        return nn.functional.pad(weights[..., : self.own], (0, self.regions - self.own)).float()


class Weighing(Protocol):
    """Attention that can weigh several queries of a picture at once."""

    def weigh(self, queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Contexts (G, W, ...) and weights (G, W, ...) for queries (G, W, A)."""


class Regions:
    """Regions of pictures for additive or bilinear attention, once for a picture however many rows describe it.

    `keys` are (G, R, A), `values` (G, R, H), `mask` (G, R).
    """

    def __init__(self, keys: Tensor, values: Tensor, mask: Tensor, groups: Groups) -> None:
        self.keys, self.values, self.mask, self.groups = keys, values, mask, groups

    def __len__(self) -> int:
        return len(self.groups)

    def select(self, rows: Tensor) -> Regions:
        """The regions as seen by the given rows; pictures that none of them describes are dropped now and then."""
        groups = self.groups.select(rows)
        if (kept := groups.used()) is None:
            return Regions(self.keys, self.values, self.mask, groups)
        keys, values, mask = (part.index_select(0, kept) for part in (self.keys, self.values, self.mask))
        return Regions(keys, values, mask, groups.keep(kept))

    def evened(self) -> Regions:
        """The same, or, where a few pictures have most of the rows, with regions of its own for each row.

        Laid out by picture, the others' rows would be filled up to the most that one has.
        """
        index, count = self.groups.index, len(self.groups)
        if self.groups.count * self.groups.width <= CROWDED * count:
            return self
        own = Groups(torch.arange(count, device=index.device), count)
        keys, values, mask = (part.index_select(0, index) for part in (self.keys, self.values, self.mask))
        return Regions(keys, values, mask, own)

    def attend(self, attention: Weighing, query: Tensor) -> tuple[Tensor, Tensor]:
        """Contexts (N, H) and weights (N, R) for queries (N, A)."""
        if isinstance(attention, AdditiveAttention):
            score, places = attention.score.weight.flatten(), (self.keys, self.values, self.mask, self.groups.index)
            if seen := kernels.attend_additively(query, *places, score):
                return seen
        found = attention.weigh(self.groups.lay(query), self.keys, self.values, self.mask)
        return self.groups.pick(found[0]), self.groups.pick(found[1])


class Captions:
    """The words of whole captions, rows of `groups` by caption: each sees itself and those before it."""

    def __init__(self, groups: Layout) -> None:
        self.groups = groups
        size = (groups.width, groups.width)
        # Padding follows the words of a caption, so that hiding what comes later hides it too.
        self.mask = torch.ones(size, dtype=torch.bool, device=groups.index.device).tril()

    def attend(self, layer: int, attention: MultiHeadAttention, x: Tensor) -> Tensor:
        """What the words x (N, H) make of those before them: (N, H)."""
        query, key, value = (self.groups.lay(part(x)) for part in (attention.query, attention.key, attention.value))
        memory = Projected(attention.split(key), attention.split(value))
        return attention.output(self.groups.pick(attention.weigh(query, memory, self.mask)[0]))


class _Room:
    """Space for keys and values (G, h, C, d) of each layer, of which the first `claimed` of C places are taken."""

    def __init__(self, capacity: int) -> None:
        self.layers: list[Projected] = []
        self.capacity, self.claimed = capacity, 0

    def write(self, layer: int, place: int, new: Projected) -> None:
        """Puts keys and values (G, h, W, d) from `place` on."""
        if layer == len(self.layers):
            self.layers.append(Projected(*(self._empty(part) for part in new)))
        for room, part in zip(self.layers[layer], new, strict=True):
            room[:, :, place : place + part.shape[2]] = part

    def _empty(self, like: Tensor) -> Tensor:
        return like.new_empty(like.shape[0], like.shape[1], self.capacity, like.shape[3])

    def copy(self, size: int, capacity: int, groups: Tensor | None = None) -> _Room:
        """The first `size` places of all or some groups, with room for `capacity`."""
        room = _Room(capacity)
        room.claimed = size
        for number, layer in enumerate(self.layers):
            parts = [part[:, :, :size] for part in layer]
            room.write(number, 0, Projected(*(p if groups is None else p.index_select(0, groups) for p in parts)))
        return room


class Cache:
    """The words said so far by N rows: their keys and values, shared by rows that grew from the same beginning.

    The rows of a group are branches of one tree. Each step adds W words to each group's, and `past` (N, M) says which
    of them are a row's own: a beam that branches copies its line of `past`, never keys or values. To its user it is a
    value: `grow` and `select` give new ones, and a second sentence grown from the same beginning disturbs nothing.
    """

    def __init__(self, room: _Room, past: Tensor, groups: Groups, words: int) -> None:
        self.groups, self.words = groups, words  # words: how many each row has said
        self._room, self._past = room, past
        self._mask = groups.lay(past).unsqueeze(1) if words else past

    @classmethod
    def empty(cls, count: int, device: torch.device) -> Cache:
        """Nothing said yet in `count` rows."""
        rows = torch.arange(count, device=device)
        return cls(_Room(0), torch.zeros(count, 0, dtype=torch.bool, device=device), Groups(rows, count), 0)

    def __len__(self) -> int:
        return len(self.groups)

    def grow(self) -> Cache:
        """With a place for one more word of each row; `attend` fills it."""
        size, width = self._past.shape[1], self.groups.width
        room = self._room
        # Another sentence may have taken the next places already; and what autograd has seen must not change.
        if room.claimed > size or size + width > room.capacity or torch.is_grad_enabled() or _tracked(room):
            room = room.copy(size, max(size + width, min(2 * size, size + 64 * width), FEWEST * width))
        room.claimed = size + width
        own = self.groups.slot.unsqueeze(1) == torch.arange(width, device=self._past.device)
        return Cache(room, torch.cat([self._past, own], dim=1), self.groups, self.words + 1)

    def attend(self, layer: int, attention: MultiHeadAttention, x: Tensor) -> Tensor:
        """What the newest words x (N, H) make of their sentences so far and of themselves: (N, H)."""
        query, size = attention.query(x), self._past.shape[1]
        key, value = (self.groups.lay(part(x)) for part in (attention.key, attention.value))
        self._room.write(layer, size - self.groups.width, Projected(attention.split(key), attention.split(value)))
        memory = Projected(*(part[:, :, :size] for part in self._room.layers[layer]))
        if not attention.training:
            keys, values = (part.unsqueeze(1) for part in memory)
            if found := kernels.attend(query, keys, values, self._past, self.groups.index, by_row=True):
                return attention.output(found[0].squeeze(1))
        return attention.output(self.groups.pick(attention.weigh(self.groups.lay(query), memory, self._mask)[0]))

    def select(self, rows: Tensor) -> Cache:
        """The sentences of the given rows, in that order; rows may repeat or vanish."""
        if not self.words:  # nothing to share: every row is a tree of its own
            return Cache.empty(len(rows), rows.device)
        groups, room = self.groups.select(rows), self._room
        if (kept := groups.used()) is not None:
            groups, room = groups.keep(kept), room.copy(self._past.shape[1], room.capacity, kept)
        return Cache(room, self._past.index_select(0, rows), groups, self.words)


def _tracked(room: _Room) -> bool:
    return any(part.requires_grad for layer in room.layers for part in layer)
