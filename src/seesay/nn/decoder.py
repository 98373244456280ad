"""A decoder of words over pictures, word by word or all at once; what it looks at is in `seesay.nn.memory`.

B pictures, N captions, T words, R regions, S places attended to, H hidden size, V vocabulary size, n rows: words.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from seesay.errors import DataError, RecipeError
from seesay.nn.dropout import Dropout
from seesay.nn.groups import Groups
from seesay.nn.memory import Cache, Captions, Pictures
from seesay.nn.prefixes import Prefixes
from seesay.nn.transformer import DecoderLayer, Shape, Words, initialise, sinusoids


class Seeing(NamedTuple):
    """Pictures as an encoder leaves them: what a decoder starts from."""

    memory: Tensor  # (B, E, S, H), one level or several
    mask: Tensor  # (B, S) True where there is something to look at
    regions: int  # R of the features
    own: int  # so many of the S places, the first ones, are the first regions


class State(NamedTuple):
    """What is remembered between words."""

    attention: Tensor  # (B, R) where the last word looked: the last layer's weights, the mean over its heads
    pictures: Pictures
    words: Cache


class Decoder(nn.Module):
    """Embedding, layers and the head over words.

    As `published`, words come in as they are and leave by a matrix of their own without bias, and the positions are
    random and stay so: what the released M2 and S2 do. Otherwise words come in scaled by sqrt(H), with sinusoids, and
    the head may share the embedding's weights (`tied`). `dropout` is on what comes in.
    """

    def __init__(
        self,
        shape: Shape,
        *,
        layers: int,
        vocabulary_size: int,
        positions: int,
        levels: int = 1,
        dropout: float = 0.0,
        tied: bool = False,
        bias: bool = False,
        published: bool = False,
    ) -> None:
        super().__init__()
        size = shape.hidden_size
        self.scale = 1.0 if published else math.sqrt(size)
        self.embedding = nn.Embedding(vocabulary_size, size)
        self.layers = nn.ModuleList(DecoderLayer(shape, levels) for _ in range(layers))
        self.norm = nn.LayerNorm(size) if shape.norm == "pre" else nn.Identity()
        self.dropout = Dropout(dropout)
        self.head = nn.Linear(size, vocabulary_size, bias=bias)
        initialise(self)
        if published:
            nn.init.xavier_uniform_(self.embedding.weight)
            table = nn.init.xavier_uniform_(torch.empty(positions + 1, size))[
                1:
            ]  # the released table has a row of <pad>
        else:
            nn.init.normal_(self.embedding.weight, std=size**-0.5)
            table = sinusoids(positions, size)
        self.positions: Tensor
        self.register_buffer("positions", table, persistent=published)
        if tied:
            self.head.weight = self.embedding.weight

    def _look(self, seeing: Seeing, groups: Groups) -> Pictures:
        layers = [layer.project(seeing.memory) for layer in self._layers()]
        return Pictures(layers, seeing.mask, groups, seeing.regions, seeing.own)

    def _layers(self) -> list[DecoderLayer]:
        return [layer for layer in self.layers if isinstance(layer, DecoderLayer)]

    def _advance(self, x: Tensor, words: Words, pictures: Pictures) -> tuple[Tensor, Tensor]:
        """Rows x (n, H) through all layers, and where they looked (n, R)."""
        for number, layer in enumerate(self.layers):
            x, weights = layer(number, x, words, pictures)
        return self.norm(x), pictures.looked(weights)

    def _enter(self, tokens: Tensor, places: Tensor) -> Tensor:
        return self.dropout(self.embedding(tokens) * self.scale + places)

    def start(self, seeing: Seeing) -> State:
        """The state before the first word."""
        count, device = len(seeing.mask), seeing.mask.device
        nowhere = torch.zeros(count, seeing.regions, device=device)
        groups = Groups(torch.arange(count, device=device), count)
        return State(nowhere, self._look(seeing, groups), Cache.empty(count, device))

    def step(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """Logits (N, V) of the next word after `tokens` (N,)."""
        place = state.words.words
        if place >= len(self.positions):
            raise RecipeError(
                f"decoding.max_length: received a word {place + 1}; the model has positions for {place}; "
                "decode fewer words, or train it with more model.positions."
            )
        words = state.words.grow()
        x, looked = self._advance(self._enter(tokens, self.positions[place]), words, state.pictures)
        return self.head(x), State(looked, state.pictures, words)

    def force(self, state: State, tokens: Tensor, real: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (P, V) after each of the P words of `tokens` (N, T) at `real` (N, T), and where each place looked.

        The latter is (N, T, R), zeros at padding. `rows` (N,) are the captions' pictures in `state`, that of `start`.
        Only real words are computed: padding exists in the scores of attention alone. In evaluation, where words with
        the same beginning have the same logits, these are computed once.
        """
        if real.shape[1] > len(self.positions) and bool(real[:, len(self.positions) :].any()):
            raise DataError(
                f"captions: received one of {int(real.sum(1).max())} words with <bos>; the model has positions for "
                f"{len(self.positions)}; cut captions shorter (data.max_words) or set more model.positions."
            )
        caption, place = real.nonzero(as_tuple=True)
        if self.training:
            words = Captions(Groups(caption, len(tokens)))
            logits, looked = self._all(state, words, tokens[real], place, rows[caption])
        else:
            told = Prefixes(tokens, real, rows)
            found = self._all(state, Captions(told), told.tokens, told.places, told.pictures)
            logits, looked = (part.index_select(0, told.spread) for part in found)
        attention = looked.new_zeros(*real.shape, looked.shape[-1]).index_put((caption, place), looked)
        return logits, attention

    def _all(self, state: State, words: Words, tokens: Tensor, places: Tensor, pictures: Tensor) -> tuple[Tensor, ...]:
        """Logits (n, V) after `tokens` (n,) at their `places` in captions of `pictures` (n,), and where they looked."""
        x = self._enter(tokens, self.positions[places])
        x, looked = self._advance(x, words, state.pictures.select(pictures))
        return self.head(x), looked
