"""A tag for each word, from a recurrent network that reads the sentence both ways.

Each word is several ids, itself and what it looks like (see `seesay.text.lexicon`): their embeddings stand side by side
(Collobert et al. 2011), the network reads them in both directions (Graves and Schmidhuber 2005), and one linear layer
decides. `seesay.scratch.tagger` is its twin on NumPy; weights move either way by name.
B sentences, T words, F ids a word, P words in all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from seesay.errors import RecipeError
from seesay.text.lexicon import PAD, UNK

TASK = "tag"
_CELLS: dict[str, Callable[..., nn.RNNBase]] = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}


@dataclass(frozen=True)
class Config:
    """Sizes of the network; `cell` is "lstm", "gru" or "rnn" (tanh).

    `embedding_size` is the word's, `feature_size` that of each of its other ids. In training a word becomes the unknown
    one with probability `word_dropout`, while its other ids stay.
    """

    cell: str = "lstm"
    embedding_size: int = 128
    feature_size: int = 32
    hidden_size: int = 128
    num_layers: int = 2
    bidirectional: bool = True
    dropout: float = 0.2
    word_dropout: float = 0.0


class Model(nn.Module):
    """The network, for columns of `sizes` ids, the word first, and `tags` tags.

    >>> model = Model(Config(hidden_size=8, embedding_size=4, feature_size=2), sizes=(100, 20), tags=5)
    >>> model(torch.tensor([[[7, 3], [9, 2]], [[4, 4], [0, 0]]]), torch.tensor([2, 1])).shape
    torch.Size([3, 5])
    """

    def __init__(self, config: Config, *, sizes: Sequence[int], tags: int) -> None:
        super().__init__()
        if config.cell not in _CELLS:
            raise RecipeError(f"model.cell: received '{config.cell}'; expected 'lstm', 'gru' or 'rnn'.")
        self.config = config
        widths = [config.embedding_size, *[config.feature_size] * (len(sizes) - 1)]
        tables = [nn.Embedding(size, width, padding_idx=PAD) for size, width in zip(sizes, widths, strict=True)]
        for table in tables:
            table.weight.data *= 0.1  # torch's own start, a deviation of 1, costs a tagger a point of accuracy
        self.embeddings = nn.ModuleList(tables)
        self.rnn = _CELLS[config.cell](
            sum(widths),
            config.hidden_size,
            num_layers=config.num_layers,
            batch_first=True,
            dropout=config.dropout if config.num_layers > 1 else 0.0,
            bidirectional=config.bidirectional,
        )
        self.dropout = nn.Dropout(config.dropout)
        self.head = nn.Linear(config.hidden_size * (2 if config.bidirectional else 1), tags)

    def forward(self, ids: Tensor, lengths: Tensor) -> Tensor:
        """The logits (P, tags) of the words alone, sentence after sentence, from ids (B, T, F) and lengths (B,)."""
        real = torch.arange(ids.shape[1], device=ids.device) < lengths.unsqueeze(1)
        columns = [self._hidden(ids[:, :, 0]), *ids[:, :, 1:].unbind(2)]
        x = torch.cat([embed(column) for embed, column in zip(self.embeddings, columns, strict=True)], -1)
        # A sentence of no words is read as one of padding, which torch can pack; none of it goes further.
        packed = pack_padded_sequence(
            self.dropout(x), lengths.clamp(min=1).cpu(), batch_first=True, enforce_sorted=False
        )
        output, _ = pad_packed_sequence(self.rnn(packed)[0], batch_first=True, total_length=ids.shape[1])
        return self.head(self.dropout(output[real]))

    def _hidden(self, words: Tensor) -> Tensor:
        """The words' ids, some of them made unknown in training."""
        share = self.config.word_dropout
        if not (self.training and share):
            return words
        return torch.where((torch.rand(words.shape, device=words.device) < share) & (words > PAD), UNK, words)
