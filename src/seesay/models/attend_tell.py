"""An LSTM that looks at another part of the picture for each word.

Show, Attend and Tell (Xu et al. 2015), the soft variant: the LSTM's last state asks the grid (eq. 4 to 6), a gate
weighs the answer (section 4.2.1), and the word is read off embedding, state and context together (eq. 7). Here the grid
is first projected to `hidden_size`, and the output layer may share the embedding's weights (Press and Wolf 2017).
B batch, N captions, T words, R regions, D feature size, E embedding size, H hidden size, V vocabulary size.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from seesay.models import Forced
from seesay.nn.attention import AdditiveAttention, masked_mean
from seesay.nn.dropout import WordDropout
from seesay.nn.groups import Groups
from seesay.nn.memory import Regions
from seesay.nn.state import select
from seesay.text.vocabulary import BOS, PAD, UNK

TASK = "caption"
# Finished captions leave in big groups: each leaving lays those of a picture side by side anew.
SHRINK = 0.8


@dataclass(frozen=True)
class Config:
    """Sizes and regularisation of the network.

    In training, `region_dropout` hides that share of the regions, so that no single cell is relied on, and
    `word_dropout` that share of the words already said, so that the picture is.
    """

    embedding_size: int = 512
    hidden_size: int = 512
    attention_size: int = 256
    dropout: float = 0.4
    region_dropout: float = 0.0
    word_dropout: float = 0.0
    tied: bool = True


class State(NamedTuple):
    """What is remembered between words; the last depends on the picture alone."""

    hidden: Tensor  # (B, H)
    cell: Tensor  # (B, H)
    attention: Tensor  # (B, R) where the last word looked
    regions: Regions


class Model(nn.Module):
    """The network; see the module's text for its equations.

    >>> model = Model(Config(8, 8, 4), feature_size=3, vocabulary_size=11)
    >>> state = model.start(torch.randn(2, 5, 3), torch.ones(2, 5, dtype=torch.bool))
    >>> logits, state = model.step(torch.tensor([2, 2]), state)
    >>> logits.shape, state.attention.shape
    (torch.Size([2, 11]), torch.Size([2, 5]))
    """

    def __init__(self, config: Config, *, feature_size: int, vocabulary_size: int) -> None:
        super().__init__()
        self.config = config
        self.forget = WordDropout(config.word_dropout, unknown=UNK, begin=BOS)
        hidden, embedding = config.hidden_size, config.embedding_size
        self.grid = nn.Sequential(nn.Linear(feature_size, hidden), nn.ReLU(), nn.LayerNorm(hidden))
        self.first_hidden = nn.Linear(hidden, hidden)
        self.first_cell = nn.Linear(hidden, hidden)
        self.attention = AdditiveAttention(hidden, config.attention_size)
        self.embedding = nn.Embedding(vocabulary_size, embedding, padding_idx=PAD)
        # The LSTM's input product is split in two: the words' part is known for all steps beforehand.
        self.word_input = nn.Linear(embedding, 4 * hidden)
        self.context_input = nn.Linear(hidden, 4 * hidden, bias=False)
        # Whatever the last state alone decides comes from one product: its share of the LSTM's gates, the gate of the
        # context and the question to the grid.
        self.recurrent = nn.Linear(hidden, 4 * hidden + hidden + config.attention_size)
        self.mix_hidden = nn.Linear(hidden, embedding)
        self.mix_context = nn.Linear(hidden, embedding, bias=False)
        self.dropout = nn.Dropout(config.dropout)
        self.head = nn.Linear(embedding, vocabulary_size)
        self._initialise()

    def _initialise(self) -> None:
        hidden = self.config.hidden_size
        nn.init.ones_(self.word_input.bias.data[hidden : 2 * hidden])  # the forget gate starts open
        nn.init.orthogonal_(self.recurrent.weight.data[: 4 * hidden])
        nn.init.zeros_(self.recurrent.bias)
        nn.init.normal_(self.embedding.weight, std=self.config.embedding_size**-0.5)
        nn.init.zeros_(self.head.bias)
        if self.config.tied:
            self.head.weight = self.embedding.weight

    def start(self, features: Tensor, mask: Tensor) -> State:
        """The state before the first word, from `features` (B, R, D) and `mask` (B, R)."""
        if self.training and self.config.region_dropout:
            mask = mask & (torch.rand(mask.shape, device=mask.device) >= self.config.region_dropout)
        values = self.dropout(self.grid(features))
        mean = masked_mean(values, mask)
        hidden, cell = torch.tanh(self.first_hidden(mean)), torch.tanh(self.first_cell(mean))
        nowhere = torch.zeros(mask.shape, dtype=torch.float32, device=mask.device)
        groups = Groups(torch.arange(len(values), device=mask.device), len(values))
        return State(hidden, cell, nowhere, Regions(self.attention.keys(values), values, mask, groups))

    def _advance(self, word_gates: Tensor, state: State) -> tuple[Tensor, State]:
        """One LSTM step from the words' share of the gates (B, 4H); the gated context (B, H) comes back too."""
        size = self.config.hidden_size
        recurrent, gate, query = self.recurrent(state.hidden).split([4 * size, size, self.config.attention_size], dim=1)
        context, weights = state.regions.attend(self.attention, query)
        context = torch.sigmoid(gate) * context
        gates = word_gates + recurrent + self.context_input(context)
        i, f, g, o = gates.chunk(4, dim=1)
        cell = torch.sigmoid(f) * state.cell + torch.sigmoid(i) * torch.tanh(g)
        hidden = torch.sigmoid(o) * torch.tanh(cell)
        return context, state._replace(hidden=hidden, cell=cell, attention=weights.float())

    def _logits(self, words: Tensor, hidden: Tensor, context: Tensor) -> Tensor:
        mixed = words + self.mix_hidden(hidden) + self.mix_context(context)
        return self.head(self.dropout(torch.tanh(mixed)))

    def step(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """Logits (B, V) of the next word after `tokens` (B,)."""
        words = self.dropout(self.embedding(tokens))
        context, state = self._advance(self.word_input(words), state)
        return self._logits(words, state.hidden, context), state

    def forward(self, features: Tensor, mask: Tensor, tokens: Tensor, rows: Tensor) -> Forced:
        """Teacher forcing over captions `tokens` (N, T) of pictures `rows` (N,)."""
        return self.force(self.start(features, mask), tokens, rows)

    def force(self, state: State, tokens: Tensor, rows: Tensor) -> Forced:
        """Teacher forcing from `state`, that of `start`: pictures that are encoded already are not encoded again."""
        targets = tokens[:, 1:]
        real = targets != PAD
        # Longest first: the captions still going at step t are then the first so many rows.
        order = real.sum(1).argsort(descending=True, stable=True)
        going = [count for count in real.sum(0).tolist() if count]
        state = select(state, rows[order])
        state = state._replace(regions=state.regions.evened())
        words = self.dropout(self.embedding(self.forget(tokens[order, :-1])))
        gates = self.word_input(words).unbind(1)  # slices would each zero a gradient of the whole
        hidden, context, attention = [], [], []
        for t, count in enumerate(going):
            if count <= SHRINK * len(state.hidden):
                state = select(state, torch.arange(count, device=order.device))
            seen, state = self._advance(gates[t][: len(state.hidden)], state)
            hidden.append(state.hidden[:count])
            context.append(seen[:count])
            attention.append(nn.functional.pad(state.attention[:count], (0, 0, 0, len(order) - count)))
        steps, places = _places(order, going, real)
        said = [torch.cat(parts).index_select(0, steps) for parts in (hidden, context)]
        logits = self._logits(words.flatten(0, 1).index_select(0, places), *said)
        looked = torch.stack(attention, dim=1).index_select(0, order.argsort())
        return Forced(logits, targets[real], nn.functional.pad(looked, (0, 0, 0, targets.shape[1] - len(going))))


def _places(order: Tensor, going: list[int], real: Tensor) -> tuple[Tensor, Tensor]:
    """Where the real targets, caption by caption, stand among the steps' rows joined, and among the sorted (N, T)."""
    rank = order.argsort().unsqueeze(1)
    first = torch.tensor([0, *going], device=order.device).cumsum(0)[: real.shape[1]]
    first = nn.functional.pad(first, (0, real.shape[1] - len(first)))
    time = torch.arange(real.shape[1], device=order.device)
    return (first + rank)[real], (rank * real.shape[1] + time)[real]
