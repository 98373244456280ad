"""A label for a whole text, from a recurrent network that reads it, and what is kept of all its steps.

Each word is an id, or several (see `seesay.text.lexicon`), whose embeddings stand side by side. What the network says
of the words becomes one vector: its last state in either direction, the largest value of each number over the words
(Collobert et al. 2011; Conneau et al. 2017), or a mean weighted by attention (Yang et al. 2016, eq. 5 to 7). One linear
layer decides. B texts, T words, F ids a word, H numbers that the network says of a word.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from seesay.errors import RecipeError
from seesay.nn.dropout import Dropout
from seesay.nn.recurrent import GRU, LSTM, RNN
from seesay.nn.sequences import mask_of
from seesay.text.lexicon import PAD, UNK

TASK = "classify"
POOLINGS = ("last", "max", "attention")
_CELLS: dict[str, Callable[..., nn.Module]] = {"lstm": LSTM, "gru": GRU, "rnn": RNN}


@dataclass(frozen=True)
class Config:
    """Sizes of the network; `cell` is "lstm", "gru" or "rnn" (tanh), `pooling` "last", "max" or "attention".

    `embedding_size` is the word's, `feature_size` that of each of its other ids, `attention_size` that of the layer
    that scores words for attention. In training a word becomes the unknown one with probability `word_dropout`.
    """

    cell: str = "lstm"
    pooling: str = "max"
    embedding_size: int = 128
    feature_size: int = 32
    hidden_size: int = 128
    attention_size: int = 64
    num_layers: int = 1
    bidirectional: bool = True
    dropout: float = 0.5
    word_dropout: float = 0.0


class Model(nn.Module):
    """The network, for columns of `sizes` ids, the word first, and so many `labels`.

    >>> model = Model(Config(hidden_size=8, embedding_size=4), sizes=(100,), labels=2)
    >>> model(torch.tensor([[[7], [9]], [[4], [0]]]), torch.tensor([2, 1])).shape
    torch.Size([2, 2])
    """

    def __init__(self, config: Config, *, sizes: Sequence[int], labels: int) -> None:
        super().__init__()
        for key, value, known in (("cell", config.cell, tuple(_CELLS)), ("pooling", config.pooling, POOLINGS)):
            if value not in known:
                raise RecipeError(f"model.{key}: received '{value}'; expected {', '.join(map(repr, known))}.")
        self.config = config
        widths = [config.embedding_size, *[config.feature_size] * (len(sizes) - 1)]
        tables = [nn.Embedding(size, width, padding_idx=PAD) for size, width in zip(sizes, widths, strict=True)]
        for table in tables:
            table.weight.data *= 0.1  # as a tagger's: torch's own start, a deviation of 1, is far from what is learned
        self.embeddings = nn.ModuleList(tables)
        self.rnn = _CELLS[config.cell](
            sum(widths),
            config.hidden_size,
            num_layers=config.num_layers,
            batch_first=True,
            dropout=config.dropout if config.num_layers > 1 else 0.0,
            bidirectional=config.bidirectional,
        )
        said = config.hidden_size * (2 if config.bidirectional else 1)
        if config.pooling == "attention":
            self.key = nn.Linear(said, config.attention_size)
            self.score = nn.Linear(config.attention_size, 1, bias=False)
        self.dropout = Dropout(config.dropout)
        self.head = nn.Linear(said, labels)

    def forward(self, ids: Tensor, lengths: Tensor) -> Tensor:
        """The logits (B, labels) of texts from ids (B, T, F) and lengths (B,); a text of no words is all zeros."""
        if not ids.shape[1]:
            ids = nn.functional.pad(ids, (0, 0, 0, 1), value=PAD)
        columns = [self._hidden(ids[:, :, 0]), *ids[:, :, 1:].unbind(2)]
        x = torch.cat([embed(column) for embed, column in zip(self.embeddings, columns, strict=True)], -1)
        output, state = self.rnn(self.dropout(x), lengths=lengths)
        states = state[0] if isinstance(state, tuple) else state  # (layers * directions, B, H / directions)
        last = torch.cat(list(states[-2:] if self.config.bidirectional else states[-1:]), -1)
        return self.head(self.dropout(self.pool(output, last, mask_of(lengths, ids.shape[1]))))

    def pool(self, output: Tensor, last: Tensor, real: Tensor) -> Tensor:
        """One vector (B, H) for each text, from what is said of its words (B, T, H), the last states (B, H) and which
        places hold words (B, T); all zeros where none does.
        """
        if self.config.pooling == "last":
            return last
        if self.config.pooling == "attention":
            scores = self.score(torch.tanh(self.key(output))).squeeze(-1)  # (B, T)
            weights = scores.masked_fill(~real, torch.finfo(scores.dtype).min).softmax(-1) * real
            return torch.einsum("bt,bth->bh", weights.to(output.dtype), output)
        lowest = torch.finfo(output.dtype).min
        return output.masked_fill(~real.unsqueeze(-1), lowest).amax(1) * real.any(1, keepdim=True)

    def _hidden(self, words: Tensor) -> Tensor:
        """The words' ids, some of them made unknown in training."""
        share = self.config.word_dropout
        if not (self.training and share):
            return words
        return torch.where((torch.rand(words.shape, device=words.device) < share) & (words > PAD), UNK, words)
