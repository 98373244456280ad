"""A plain recurrent captioner: the picture is the first hidden state, the words follow.

As in Stanford's CS231n course (assignment 3): h_0 = W f + b, h_t = RNN(e(w_{t-1}), h_{t-1}), scores = U h_t + c.
B batch, N captions, T words, R regions, D feature size, E embedding size, H hidden size, V vocabulary size.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from seesay.errors import RecipeError
from seesay.models import Forced
from seesay.nn.attention import masked_mean
from seesay.nn.state import select
from seesay.text.vocabulary import PAD

TASK = "caption"


@dataclass(frozen=True)
class Config:
    """Sizes of the network; `cell` is "lstm" or "rnn" (tanh)."""

    cell: str = "lstm"
    embedding_size: int = 256
    hidden_size: int = 512
    dropout: float = 0.3


class State(NamedTuple):
    """What the network remembers: hidden and cell state, both (B, H); a plain RNN leaves the cell at zero."""

    hidden: Tensor
    cell: Tensor


class Model(nn.Module):
    """The network; see the module's text for its equations.

    >>> model = Model(Config(hidden_size=8, embedding_size=4), feature_size=3, vocabulary_size=11)
    >>> state = model.start(torch.randn(2, 5, 3), torch.ones(2, 5, dtype=torch.bool))
    >>> logits, state = model.step(torch.tensor([2, 2]), state)
    >>> logits.shape
    torch.Size([2, 11])
    """

    attends = False  # to regions: it sees their mean

    def __init__(self, config: Config, *, feature_size: int, vocabulary_size: int) -> None:
        super().__init__()
        if config.cell not in ("lstm", "rnn"):
            raise RecipeError(f"model.cell: received '{config.cell}'; expected 'lstm' or 'rnn'.")
        self.config = config
        self.project = nn.Linear(feature_size, config.hidden_size)
        self.embedding = nn.Embedding(vocabulary_size, config.embedding_size, padding_idx=PAD)
        kind = nn.LSTM if config.cell == "lstm" else nn.RNN
        self.rnn = kind(config.embedding_size, config.hidden_size, batch_first=True)
        self.dropout = nn.Dropout(config.dropout)
        self.head = nn.Linear(config.hidden_size, vocabulary_size)
        if config.cell == "lstm":
            self._open_forget_gate()

    def _open_forget_gate(self) -> None:
        # A forget gate that starts at sigmoid(1) lets gradients through from the first step (Jozefowicz et al. 2015).
        size = self.config.hidden_size
        _, _, b_ih, b_hh = self.rnn.all_weights[0]
        nn.init.ones_(b_ih.data[size : 2 * size])
        nn.init.zeros_(b_hh.data[size : 2 * size])

    def start(self, features: Tensor, mask: Tensor) -> State:
        """The state before the first word, from `features` (B, R, D) and `mask` (B, R)."""
        hidden = self.project(masked_mean(features, mask))
        return State(hidden, torch.zeros_like(hidden))

    def step(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """Logits (B, V) of the next word after `tokens` (B,)."""
        words = self.dropout(self.embedding(tokens))
        w_ih, w_hh, b_ih, b_hh = self.rnn.all_weights[0]
        if self.config.cell == "lstm":
            hidden, cell = torch.lstm_cell(words, (state.hidden, state.cell), w_ih, w_hh, b_ih, b_hh)
        else:
            hidden, cell = torch.rnn_tanh_cell(words, state.hidden, w_ih, w_hh, b_ih, b_hh), state.cell
        return self.head(self.dropout(hidden)), State(hidden, cell)

    def forward(self, features: Tensor, mask: Tensor, tokens: Tensor, rows: Tensor) -> Forced:
        """Teacher forcing: all words of captions `tokens` (N, T) of pictures `rows` (N,) at once."""
        return self.force(self.start(features, mask), tokens, rows)

    def force(self, state: State, tokens: Tensor, rows: Tensor) -> Forced:
        """Teacher forcing from `state`, that of `start`: pictures that are encoded already are not encoded again."""
        state = select(state, rows)
        words = self.dropout(self.embedding(tokens[:, :-1]))
        first = state.hidden.unsqueeze(0)
        if self.config.cell == "lstm":
            hidden, _ = self.rnn(words, (first, state.cell.unsqueeze(0)))
        else:
            hidden, _ = self.rnn(words, first)
        targets = tokens[:, 1:]
        real = targets != PAD
        return Forced(self.head(self.dropout(hidden[real])), targets[real], None)
