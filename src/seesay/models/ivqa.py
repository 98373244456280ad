"""Questions about a picture that have a given answer: the answer and the question so far decide where to look.

IVQA (Liu et al. 2018): the first state comes from the picture's concepts and the answer, h_0 = tanh(W [s; a]), the
answer a = [c; h] being read by an LSTM of its own. For each word h_t = LSTM(x_t, h_t-1), z_t = ReLU(W_q h_t + W_a a);
low-rank pooling of z_t with each region says where to look, with what was found there it gives g_t, and the next word
is read off h_t + g_t. Both are as in the authors' code: their equations have an output layer within each pooling
(`project_joint`) and read g_t alone (`residual = false`).
B pictures, N questions, R regions, C concepts, S words of an answer, T of a question, D feature, E embedding, H hidden
size, V vocabulary size.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

from seesay.errors import RecipeError
from seesay.models import Forced
from seesay.nn.attention import real_regions
from seesay.nn.bilinear import LowRankAttention, LowRankPooling, SumPooling
from seesay.nn.dropout import Dropout, RegionDropout, WordDropout
from seesay.nn.groups import Groups
from seesay.nn.memory import Regions
from seesay.nn.state import select
from seesay.nn.transformer import check_counts
from seesay.text.vocabulary import BOS, PAD, UNK

TASK = "ask"
CHOICES = {"joint": ("bilinear", "sum"), "answers": ("words", "single"), "concepts": ("vector", "single")}


@dataclass(frozen=True)
class Config:
    """Sizes, regularisation, and what the network hears and how.

    `attention_size` is that of the space where regions and z_t are multiplied, `answer_size` that of the answer's LSTM.
    `answers` is "words", or "single" for the first word's embedding alone; `concepts` is "vector", all probabilities,
    or "single", an embedding of the likeliest. `joint` is "bilinear", or "sum" for g_t = tanh(W_c c_t + W_z z_t).
    `project_regions` gives each region a layer of its own first, as the captioners do, so that the scale of features
    does not matter; `project_joint` is the output layer of each pooling. With `tied`, the head shares the embedding's
    weights. In training, `region_dropout` hides that share of the regions, `word_dropout` of the words already said.

    The simplified decoder that tutorials build (one concept, one answer word, words read off g_t alone) is: concepts =
    "single", answers = "single", residual = false, project_joint = true, project_regions = false, tied = false,
    dropout = 0. Like there, h_0 and z_t are activated sums of projections, whatever the settings; unlike there,
    concepts, which need not be words of a question, have embeddings of their own.
    """

    embedding_size: int = 512
    hidden_size: int = 512
    attention_size: int = 512
    glimpses: int = 1
    answer_size: int = 512
    dropout: float = 0.5
    region_dropout: float = 0.0
    word_dropout: float = 0.0
    tied: bool = True
    residual: bool = True
    joint: str = "bilinear"
    answers: str = "words"
    concepts: str = "vector"
    project_regions: bool = True
    project_joint: bool = False


class State(NamedTuple):
    """What is remembered between words; the last two depend on picture and answer alone."""

    attention: Tensor  # (N, R) where the last word looked, the mean over glimpses
    hidden: Tensor  # (N, H)
    cell: Tensor  # (N, H)
    answer: Tensor  # (N, H) the answer's share of z
    regions: Regions


class Model(nn.Module):
    """The network; see the module's text for its equations.

    A question whose answer is not known has an answer of padding alone, and a learned "any" in its place.

    >>> model = Model(Config(8, 8, 4, answer_size=4), feature_size=3, vocabulary_size=11, concept_count=6)
    >>> answers = torch.tensor([[7, 8], [PAD, PAD]])
    >>> state = model.start(torch.randn(2, 5, 3), torch.ones(2, 5, dtype=torch.bool), torch.rand(2, 6), answers)
    >>> logits, state = model.step(torch.tensor([2, 2]), state)
    >>> logits.shape, state.attention.shape
    (torch.Size([2, 11]), torch.Size([2, 5]))
    """

    def __init__(self, config: Config, *, feature_size: int, vocabulary_size: int, concept_count: int) -> None:
        super().__init__()
        _check(config)
        self.config = config
        self.hide = RegionDropout(config.region_dropout)
        self.forget = WordDropout(config.word_dropout, unknown=UNK, begin=BOS)
        self.dropout = Dropout(config.dropout)
        hidden, embedding, space = config.hidden_size, config.embedding_size, config.attention_size
        value = hidden if config.project_regions else feature_size
        layers = [nn.Linear(feature_size, hidden), nn.ReLU(), nn.LayerNorm(hidden)] if config.project_regions else []
        self.regions = nn.Sequential(*layers)
        self.embedding = nn.Embedding(vocabulary_size, embedding, padding_idx=PAD)
        self.concept = nn.Embedding(concept_count, embedding) if config.concepts == "single" else None
        self.answer = nn.LSTM(embedding, config.answer_size, batch_first=True) if config.answers == "words" else None
        answer = 2 * config.answer_size if self.answer is not None else embedding
        self.any = nn.Parameter(torch.randn(answer) * answer**-0.5)
        # Products with something set side by side, W [s; a], are sums of two: one side is the picture's alone.
        self.first_concepts = nn.Linear(concept_count if self.concept is None else embedding, hidden)
        self.first_answer = nn.Linear(answer, hidden, bias=False)
        self.rnn = nn.LSTM(embedding, hidden, batch_first=True)
        self.z_hidden = nn.Linear(hidden, hidden)
        self.z_answer = nn.Linear(answer, hidden, bias=False)
        found, projected, dropout = config.glimpses * value, config.project_joint, config.dropout
        self.attention = LowRankAttention(
            value, hidden, space, glimpses=config.glimpses, projected=projected, dropout=dropout
        )
        self.joint = (
            LowRankPooling(found, hidden, hidden, projected=projected, dropout=dropout)
            if config.joint == "bilinear"
            else SumPooling(found, hidden, hidden, dropout=dropout)
        )
        self.back = nn.Linear(hidden, embedding) if config.tied else nn.Identity()
        self.head = nn.Linear(embedding if config.tied else hidden, vocabulary_size)
        self._initialise()

    def _initialise(self) -> None:
        for rnn in filter(None, (self.rnn, self.answer)):
            _, _, b_ih, b_hh = rnn.all_weights[0]
            nn.init.ones_(b_ih.data[rnn.hidden_size : 2 * rnn.hidden_size])  # the forget gates start open
            nn.init.zeros_(b_hh.data[rnn.hidden_size : 2 * rnn.hidden_size])
        for table in filter(None, (self.embedding, self.concept)):
            nn.init.normal_(table.weight, std=self.config.embedding_size**-0.5)
        nn.init.zeros_(self.head.bias)
        if self.config.tied:
            self.head.weight = self.embedding.weight

    def start(
        self, features: Tensor, mask: Tensor, concepts: Tensor, answers: Tensor, rows: Tensor | None = None
    ) -> State:
        """The state before the first word, for a question about each picture, or about each of `rows`.

        `features` are (B, R, D), `mask` (B, R), `concepts` (B, C) probabilities; `answers` (N, S) are ids with padding
        after them, of pictures `rows` (N,), or without rows of each picture in turn. Each picture is encoded once.
        """
        features, mask = real_regions(features, mask)
        mask = self.hide(mask)
        values = self.dropout(self.regions(features))
        rows = torch.arange(len(mask), device=mask.device) if rows is None else rows
        regions = Regions(self.attention.keys(values), values, mask, Groups(rows, len(mask)))
        answer = self._read(answers)
        hidden = torch.tanh(self._first(concepts).index_select(0, rows) + self.first_answer(answer))
        nowhere = torch.zeros(len(rows), mask.shape[1], device=mask.device)
        return State(nowhere, hidden, torch.zeros_like(hidden), self.z_answer(answer), regions)

    def _first(self, concepts: Tensor) -> Tensor:
        """The concepts' share of the first state (B, H)."""
        if self.concept is not None:
            return self.first_concepts(self.dropout(self.concept(concepts.argmax(1))))
        return self.first_concepts(self.dropout(concepts.to(self.any.dtype)))

    def _read(self, answers: Tensor) -> Tensor:
        """What the answers (N, S) say, [c; h] (N, 2 A) or a word's embedding (N, E); "any" for padding alone."""
        lengths = (answers != PAD).sum(1)
        known = lengths.nonzero().flatten()
        said = self.any.expand(len(answers), -1)
        if not len(known):
            return said
        words = self.dropout(self.embedding(answers.index_select(0, known)))
        if self.answer is None:
            return said.index_copy(0, known, words[:, 0])
        packed = pack_padded_sequence(words, lengths[known].cpu(), batch_first=True, enforce_sorted=False)
        _, (hidden, cell) = self.answer(packed)
        return said.index_copy(0, known, torch.cat([cell[0], hidden[0]], dim=1).to(said.dtype))

    def _tell(self, hidden: Tensor, answer: Tensor, regions: Regions) -> tuple[Tensor, Tensor]:
        """Logits (N, V) from states (N, H) and answers (N, H), and where each looked (N, R)."""
        z = torch.relu(self.z_hidden(hidden) + answer)
        context, weights = regions.attend(self.attention, self.attention.queries(z))
        joint = self.joint(context, z)
        said = hidden + joint if self.config.residual else joint
        return self.head(self.back(self.dropout(said))), weights.mean(1).float()

    def step(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """Logits (N, V) of the next word after `tokens` (N,)."""
        words = self.dropout(self.embedding(tokens))
        hidden, cell = torch.lstm_cell(words, (state.hidden, state.cell), *self.rnn.all_weights[0])
        logits, weights = self._tell(hidden, state.answer, state.regions)
        return logits, State(weights, hidden, cell, state.answer, state.regions)

    def forward(
        self, features: Tensor, mask: Tensor, concepts: Tensor, answers: Tensor, tokens: Tensor, rows: Tensor
    ) -> Forced:
        """Teacher forcing over questions `tokens` (N, T) with `answers` (N, S) about pictures `rows` (N,)."""
        state = self.start(features, mask, concepts, answers, rows)
        return self.force(state, tokens, torch.arange(len(tokens), device=tokens.device))

    def force(self, state: State, tokens: Tensor, rows: Tensor) -> Forced:
        """Teacher forcing from `state`, that of `start`, over questions of its `rows` (N,), which may repeat.

        Many questions with the same picture and answer are so compared at little cost. No word waits for what another
        saw: after the LSTM, all words of a picture's questions look at once.
        """
        targets = tokens[:, 1:]
        real = targets != PAD
        state = select(state, rows)
        words = self.dropout(self.embedding(self.forget(tokens[:, :-1])))
        # Padding follows the words of a question, so that what is read from it reaches none of them.
        hidden, _ = self.rnn(words, (state.hidden.unsqueeze(0), state.cell.unsqueeze(0)))
        question, time = real.nonzero(as_tuple=True)
        looking = state.regions.select(question)
        logits, weights = self._tell(hidden[question, time], state.answer.index_select(0, question), looking)
        attention = weights.new_zeros(*real.shape, weights.shape[1]).index_put((question, time), weights)
        return Forced(logits, targets[real], attention)


def _check(config: Config) -> None:
    check_counts(glimpses=(config.glimpses, 1, 16))
    for name, choices in CHOICES.items():
        if (value := getattr(config, name)) not in choices:
            raise RecipeError(f"model.{name}: received '{value}'; expected '{choices[0]}' or '{choices[1]}'.")
