"""The layers of encoders and decoders with attention: residuals, feed-forward parts, positions, a mesh of levels.

Vaswani et al. 2017 (layers), Xiong et al. 2020 (normalisation first), Cornia et al. 2020 (slots and mesh).
B batch, S places attended to, H hidden size, E levels of an encoder, n rows: words of any captions, one after another.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from seesay.errors import RecipeError
from seesay.nn.attention import MultiHeadAttention, Projected
from seesay.nn.compiled.kernels import add_and_normalise
from seesay.nn.dropout import Dropout, rectified


def sinusoids(count: int, size: int) -> Tensor:
    """Position vectors (count, size) for places 1 to `count`: sine and cosine by turns, ever slower.

    Vaswani et al. 2017, section 3.5; the first word stands at place 1, as in the released captioning transformers.

    >>> [round(value, 3) for value in sinusoids(2, 4)[0].tolist()]
    [0.841, 0.54, 0.01, 1.0]
    """
    place = torch.arange(1, count + 1, dtype=torch.float64).unsqueeze(1)
    angle = place / 10_000 ** (torch.arange(0, size, 2, dtype=torch.float64) / size)
    return torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(1)[:, :size].float()


@dataclass(frozen=True)
class Shape:
    """What all layers of a network have in common.

    `norm` says where the residual branch is normalised: "post" after it is added, "pre" before it starts, "double"
    twice after it, as the released S2 does around attention. `attention_dropout` drops weights of attention.
    """

    hidden_size: int
    heads: int
    feedforward_size: int
    dropout: float
    norm: str = "post"
    attention_dropout: float = 0.0

    def attention(self, slots: int = 0) -> MultiHeadAttention:
        """An attention of this shape."""
        return MultiHeadAttention(self.hidden_size, self.heads, dropout=self.attention_dropout, slots=slots)


class Residual(nn.Module):
    """What stands around a part f of a layer: `leave(x, f(enter(x)))`.

    >>> around = Residual(4, 0.0, "post")
    >>> around.leave(torch.ones(4), torch.ones(4)).tolist()
    [0.0, 0.0, 0.0, 0.0]
    """

    def __init__(self, hidden_size: int, dropout: float, norm: str) -> None:
        super().__init__()
        self.kind = norm
        self.norm = nn.LayerNorm(hidden_size)
        self.again = nn.LayerNorm(hidden_size) if norm == "double" else None
        self.dropout = Dropout(dropout)

    def enter(self, x: Tensor) -> Tensor:
        """What the part is given."""
        return self.norm(x) if self.kind == "pre" else x

    def leave(self, x: Tensor, y: Tensor) -> Tensor:
        """What the layer goes on with, from the part's answer y; x broadcasts to it."""
        if self.kind == "pre":
            return x + self.dropout(y)
        if not self.training and (found := add_and_normalise(x, y, self.norm, self.again)) is not None:
            return found
        y = self.norm(x + self.dropout(y))
        return y if self.again is None else self.again(x + self.dropout(y))


class FeedForward(nn.Module):
    """Two linear layers around a ReLU, with their residual.

    >>> FeedForward(Shape(8, 2, 16, 0.1))(torch.randn(3, 8)).shape
    torch.Size([3, 8])
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.inner = nn.Linear(shape.hidden_size, shape.feedforward_size)
        self.outer = nn.Linear(shape.feedforward_size, shape.hidden_size)
        self.dropout = Dropout(shape.dropout)
        self.residual = Residual(shape.hidden_size, shape.dropout, "pre" if shape.norm == "pre" else "post")

    def forward(self, x: Tensor) -> Tensor:
        """(..., H) to (..., H)."""
        inner = rectified(self.inner(self.residual.enter(x)), self.dropout)
        return self.residual.leave(x, self.outer(inner))


class EncoderLayer(nn.Module):
    """Regions look at one another and, where there are `slots`, at what was learned beforehand.

    >>> layer = EncoderLayer(Shape(8, 2, 16, 0.1), slots=3)
    >>> layer(torch.randn(2, 5, 8), torch.ones(2, 5, dtype=torch.bool)).shape
    torch.Size([2, 5, 8])
    """

    def __init__(self, shape: Shape, slots: int = 0) -> None:
        super().__init__()
        self.attention = shape.attention(slots)
        self.residual = Residual(shape.hidden_size, shape.dropout, shape.norm)
        self.feedforward = FeedForward(shape)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """(B, S, H) to (B, S, H); `mask` (B, S) is True where a region is real."""
        entered = self.residual.enter(x)
        context = self.attention.among(entered, mask)
        return self.feedforward(self.residual.leave(x, self.attention.output(context)))


class Mesh(nn.Module):
    """Weighs what was seen at each level of the encoder by a gate of its own (Cornia et al. 2020, eq. 6 and 7).

    >>> Mesh(8, 3)(torch.randn(4, 8), torch.randn(4, 3, 8)).shape
    torch.Size([4, 8])
    """

    def __init__(self, hidden_size: int, levels: int) -> None:
        super().__init__()
        self.gates = nn.ModuleList(nn.Linear(2 * hidden_size, hidden_size) for _ in range(levels))

    def forward(self, x: Tensor, seen: Tensor) -> Tensor:
        """One context (n, H) from x (n, H) and what it saw at each level, (n, E, H)."""
        levels = seen.unbind(1)
        gated = [
            level * gate(torch.cat([x, level], -1)).sigmoid() for gate, level in zip(self.gates, levels, strict=True)
        ]
        return torch.stack(gated).sum(0) / math.sqrt(len(gated))


class Words(Protocol):
    """The words so far, of every caption, as one layer's attention finds them."""

    def attend(self, layer: int, attention: MultiHeadAttention, x: Tensor) -> Tensor:
        """What the words x (n, H) make of those before them and of themselves: (n, H)."""


class Seen(Protocol):
    """The pictures, already projected for every layer."""

    def attend(self, layer: int, attention: MultiHeadAttention, x: Tensor) -> tuple[Tensor, Tensor]:
        """What the words x (n, H) see at each level, (n, E, H), and the weights by group."""


class DecoderLayer(nn.Module):
    """Words look back at one another, then at the picture: at all of an encoder's `levels`, where there are several."""

    def __init__(self, shape: Shape, levels: int = 1) -> None:
        super().__init__()
        self.attention = shape.attention()
        self.residual = Residual(shape.hidden_size, shape.dropout, shape.norm)
        self.cross = shape.attention()
        self.cross_residual = Residual(shape.hidden_size, shape.dropout, shape.norm)
        self.mesh = Mesh(shape.hidden_size, levels) if levels > 1 else None
        self.feedforward = FeedForward(shape)

    def project(self, memory: Tensor) -> Projected:
        """Keys and values of the levels of a picture (B, E, S, H), needed once."""
        return self.cross.project(memory)

    def forward(self, number: int, x: Tensor, words: Words, seen: Seen) -> tuple[Tensor, Tensor]:
        """Rows x (n, H) to rows (n, H), and the weights over the picture by group; `number` is this layer's."""
        x = self.residual.leave(x, words.attend(number, self.attention, self.residual.enter(x)))
        context, weights = seen.attend(number, self.cross, self.cross_residual.enter(x))
        levels = self.cross_residual.leave(x.unsqueeze(1), context)
        x = levels.squeeze(1) if self.mesh is None else self.mesh(x, levels)
        return self.feedforward(x), weights


def initialise(module: nn.Module) -> None:
    """Every linear layer starts uniform by its sizes (Glorot and Bengio 2010), every bias at zero.

    >>> layer = nn.Linear(3, 3)
    >>> initialise(layer)
    >>> layer.bias.tolist()
    [0.0, 0.0, 0.0]
    """
    for part in module.modules():
        if isinstance(part, nn.Linear):
            nn.init.xavier_uniform_(part.weight)
            if part.bias is not None:
                nn.init.zeros_(part.bias)


def check_counts(**counts: tuple[int, int, int]) -> None:
    """Raise a `RecipeError` for the first setting `name=(value, least, most)` that is out of its range.

    >>> check_counts(layers=(3, 1, 64))
    """
    for name, (value, least, most) in counts.items():
        if not least <= value <= most:
            raise RecipeError(f"model.{name}: received {value}; expected a whole number from {least} to {most:,}.")


def embed_regions(feature_size: int, shape: Shape) -> nn.Sequential:
    """What an encoder makes of a region's features first: (..., D) to (..., H).

    >>> embed_regions(3, Shape(8, 2, 16, 0.1))(torch.randn(2, 5, 3)).shape
    torch.Size([2, 5, 8])
    """
    hidden = shape.hidden_size
    return nn.Sequential(nn.Linear(feature_size, hidden), nn.ReLU(), Dropout(shape.dropout), nn.LayerNorm(hidden))


def encode(layers: Sequence[nn.Module] | nn.ModuleList, x: Tensor, mask: Tensor) -> list[Tensor]:
    """The output (B, S, H) of every layer of an encoder, the last one last; x itself where there is none."""
    outputs = []
    for layer in layers:
        x = layer(x, mask)
        outputs.append(x)
    return outputs or [x]
