"""Two LSTMs: one decides where to look, the other what to say.

Up-Down (Anderson et al. 2018, section 3.2), over any regions: the attention LSTM hears the language LSTM's last state,
the mean of the regions and the last word (eq. 2); its state asks the regions (eq. 3 to 5); the language LSTM hears the
answer and that state (eq. 6) and names the next word (eq. 7). Regions are first projected to `hidden_size`; with
`tied`, the state is led back to the embedding's size and the head shares its weights (Press and Wolf 2017).
B batch, N captions, T words, R regions, D feature size, E embedding size, H hidden size, V vocabulary size.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from seesay.models import Forced
from seesay.nn.attention import AdditiveAttention, masked_mean, real_regions
from seesay.nn.dropout import Dropout, RegionDropout, WordDropout
from seesay.nn.groups import Groups
from seesay.nn.memory import Regions
from seesay.nn.state import select
from seesay.text.vocabulary import BOS, PAD, UNK

TASK = "caption"


@dataclass(frozen=True)
class Config:
    """Sizes and regularisation.

    In training, `region_dropout` hides that share of the regions, and `word_dropout` that share of the words already
    said.
    """

    embedding_size: int = 512
    hidden_size: int = 512
    attention_size: int = 256
    dropout: float = 0.4
    region_dropout: float = 0.0
    word_dropout: float = 0.0
    tied: bool = True


class State(NamedTuple):
    """What is remembered between words; the last two depend on the picture alone."""

    attention: Tensor  # (B, R) where the last word looked
    looking: Tensor  # (B, H) the attention LSTM's state
    looking_cell: Tensor  # (B, H)
    telling: Tensor  # (B, H) the language LSTM's state
    telling_cell: Tensor  # (B, H)
    picture: Tensor  # (B, 4H) the mean region's share of the attention LSTM's gates
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
        self.hide = RegionDropout(config.region_dropout)
        self.forget = WordDropout(config.word_dropout, unknown=UNK, begin=BOS)
        hidden, embedding = config.hidden_size, config.embedding_size
        self.regions = nn.Sequential(nn.Linear(feature_size, hidden), nn.ReLU(), nn.LayerNorm(hidden))
        self.attention = AdditiveAttention(hidden, config.attention_size)
        self.query = nn.Linear(hidden, config.attention_size)
        self.embedding = nn.Embedding(vocabulary_size, embedding, padding_idx=PAD)
        # Each LSTM's input product is split by what it hears: the words' and the picture's parts are known beforehand.
        self.word_input = nn.Linear(embedding, 4 * hidden)
        self.picture_input = nn.Linear(hidden, 4 * hidden, bias=False)
        self.looking = nn.Linear(2 * hidden, 4 * hidden, bias=False)  # of [telling; looking]
        self.telling = nn.Linear(3 * hidden, 4 * hidden)  # of [context; looking; telling]
        self.back = nn.Linear(hidden, embedding) if config.tied else nn.Identity()
        self.dropout = Dropout(config.dropout)
        self.head = nn.Linear(embedding if config.tied else hidden, vocabulary_size)
        self._initialise()

    def _initialise(self) -> None:
        hidden = self.config.hidden_size
        for layer in (self.word_input, self.telling):
            nn.init.zeros_(layer.bias)
            nn.init.ones_(layer.bias.data[hidden : 2 * hidden])  # the forget gates start open
        nn.init.normal_(self.embedding.weight, std=self.config.embedding_size**-0.5)
        nn.init.zeros_(self.head.bias)
        if self.config.tied:
            self.head.weight = self.embedding.weight

    def start(self, features: Tensor, mask: Tensor) -> State:
        """The state before the first word, from `features` (B, R, D) and `mask` (B, R)."""
        features, mask = real_regions(features, mask)
        mask = self.hide(mask)
        values = self.dropout(self.regions(features))
        nowhere = torch.zeros(mask.shape, device=mask.device)
        zeros = values.new_zeros(len(values), self.config.hidden_size)
        picture = self.picture_input(masked_mean(values, mask))
        groups = Groups(torch.arange(len(values), device=mask.device), len(values))
        regions = Regions(self.attention.keys(values), values, mask, groups)
        return State(nowhere, zeros, zeros, zeros, zeros, picture, regions)

    def _advance(self, word_gates: Tensor, state: State) -> State:
        """Both LSTMs, once, from the words' share of the first one's gates (B, 4H)."""
        recurrent = self.looking(torch.cat([state.telling, state.looking], dim=1))
        looking, looking_cell = _lstm(word_gates + state.picture + recurrent, state.looking_cell)
        context, weights = state.regions.attend(self.attention, self.query(looking))
        gates = self.telling(torch.cat([context, looking, state.telling], dim=1))
        telling, telling_cell = _lstm(gates, state.telling_cell)
        return State(weights.float(), looking, looking_cell, telling, telling_cell, state.picture, state.regions)

    def _logits(self, telling: Tensor) -> Tensor:
        return self.head(self.back(self.dropout(telling)))

    def step(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """Logits (B, V) of the next word after `tokens` (B,)."""
        state = self._advance(self.word_input(self.dropout(self.embedding(tokens))), state)
        return self._logits(state.telling), state

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
        gates = self.word_input(self.dropout(self.embedding(self.forget(tokens[order, :-1]))))
        told, looked = [], []
        for words, count in zip(gates.unbind(1), going, strict=False):  # past these, all is padding
            if count < len(state.telling):
                state = select(state, torch.arange(count, device=order.device))
            state = self._advance(words[:count], state)
            told.append(state.telling)
            looked.append(state.attention)
        # Where a word, caption by caption, stands among the steps' rows joined.
        caption, time = real.nonzero(as_tuple=True)
        first = torch.tensor([0, *going], device=order.device).cumsum(0)
        step = first[time] + order.argsort()[caption]
        attention = looked[0].new_zeros(*real.shape, looked[0].shape[1])
        attention = attention.index_put((caption, time), torch.cat(looked).index_select(0, step))
        return Forced(self._logits(torch.cat(told).index_select(0, step)), targets[real], attention)


def _lstm(gates: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
    """New state and cell (B, H) from the gates' sums (B, 4H), in torch's order: input, forget, candidate, output."""
    i, f, g, o = gates.chunk(4, dim=1)
    cell = torch.sigmoid(f) * cell + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(cell), cell
