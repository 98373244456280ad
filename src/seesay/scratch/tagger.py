"""A tag for each word, from a recurrent network that reads the sentence both ways, on the engine of this package.

Each word is several ids: itself and what it looks like. Their embeddings stand side by side, the network reads them in
both directions, and one linear layer decides (Graves and Schmidhuber 2005; the embeddings of a word's looks as in
Collobert et al. 2011). B sentences, T words, F ids a word, P words in all of a batch.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import DTypeLike, NDArray

from seesay.errors import DataError
from seesay.scratch import functional, nn
from seesay.scratch.arrays import generator_from
from seesay.scratch.tensor import Tensor, concat, no_grad

TASK = "tag"
UNKNOWN = 1  # in every column; 0 fills up short sentences
EMBEDDING_SCALE = 0.1  # of the first embeddings: small ones are soon where the gradient wants them
_CELLS = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}

Ids = NDArray[np.int64]


class Tagger(nn.Module):
    """Embeddings, a recurrent network, a linear layer.

    `sizes` are the numbers of ids in each of the F columns, the word first; `tags` is the number of tags. The word has
    an embedding of `embedding_size`, every other column one of `feature_size`. `cell` is "lstm", "gru" or "rnn" (tanh).
    `dropout` acts on the embeddings, between the layers and before the linear layer; in training a word's id becomes
    that of the unknown word with probability `word_dropout` (Iyyer et al. 2015), its other columns stay.
    Weights have the names of an equal torch module: embeddings.0.weight, ..., rnn.weight_ih_l0, ..., head.bias.

    >>> tagger = Tagger(sizes=(100, 20), tags=5, hidden_size=8, embedding_size=4, feature_size=2)
    >>> tagger(np.array([[[7, 3], [9, 2]], [[4, 4], [0, 0]]]), [2, 1]).shape
    (3, 5)
    """

    def __init__(
        self,
        sizes: Sequence[int],
        tags: int,
        *,
        cell: str = "lstm",
        embedding_size: int = 128,
        feature_size: int = 32,
        hidden_size: int = 128,
        num_layers: int = 2,
        bidirectional: bool = True,
        dropout: float = 0.2,
        word_dropout: float = 0.0,
        dtype: DTypeLike = np.float32,
        seed: np.random.Generator | int = 0,
    ) -> None:
        super().__init__()
        if cell not in _CELLS:
            raise DataError(f"cell: received {cell!r}; expected one of {', '.join(sorted(_CELLS))}.")
        if not sizes or tags < 1:
            raise DataError(f"tagger: received {len(sizes)} columns and {tags} tags; expected one of each at least.")
        if not 0 <= word_dropout < 1:
            raise DataError(f"word_dropout: received {word_dropout}; expected a share from 0 up to, not including, 1.")
        generator = generator_from(seed)
        widths = [embedding_size, *[feature_size] * (len(sizes) - 1)]
        tables = [
            nn.Embedding(size, width, padding_idx=0, dtype=dtype, seed=generator)
            for size, width in zip(sizes, widths, strict=True)
        ]
        for table in tables:
            table.weight.data *= EMBEDDING_SCALE
        self.embeddings = nn.ModuleList(tables)
        self.rnn = _CELLS[cell](
            sum(widths),
            hidden_size,
            num_layers=num_layers,
            batch_first=True,
            dropout=dropout if num_layers > 1 else 0.0,
            bidirectional=bidirectional,
            dtype=dtype,
            seed=generator,
        )
        self.head = nn.Linear(hidden_size * (2 if bidirectional else 1), tags, dtype=dtype, seed=generator)
        self.dropout = nn.Dropout(dropout, seed=generator)
        self.word_dropout = word_dropout
        self.generator = generator

    def forward(self, ids: Ids, lengths: Sequence[int] | Ids) -> Tensor:
        """The logits (P, tags) of the words alone, sentence after sentence, from ids (B, T, F) and lengths (B,).

        Raises DataError for ids of another shape than (B, T, F) and for one that its column does not have.
        """
        expected = f"(batch, time, {len(self.embeddings)})"
        if not isinstance(ids, np.ndarray):
            raise DataError(f"ids: received {type(ids).__name__}; expected an array {expected}.")
        if ids.ndim != 3 or ids.shape[2] != len(self.embeddings):
            raise DataError(f"ids: received shape {ids.shape}; expected {expected}.")
        real = np.arange(ids.shape[1]) < np.asarray(lengths)[:, None]
        columns = [self._hidden(ids[:, :, 0]), *(ids[:, :, column] for column in range(1, ids.shape[2]))]
        x = concat([embed(column) for embed, column in zip(self.embeddings, columns, strict=True)], -1)  # (B, T, D)
        output, _ = self.rnn(self.dropout(x), lengths=lengths)
        logits: Tensor = self.head(self.dropout(output[real]))
        return logits

    def loss(self, ids: Ids, lengths: Sequence[int] | Ids, targets: Ids, label_smoothing: float = 0.0) -> Tensor:
        """The mean cross-entropy of the tags (P,) of the words; a tag of -1 counts nothing."""
        return functional.cross_entropy(self(ids, lengths), targets, ignore_index=-1, label_smoothing=label_smoothing)

    def tag(self, ids: Ids, lengths: Sequence[int] | Ids) -> list[NDArray[np.intp]]:
        """The best tag of each word, for each sentence in the caller's order; without dropout or gradient."""
        training = [(module, module.training) for module in self.modules()]
        self.eval()
        try:
            with no_grad():
                best = self(ids, lengths).numpy().argmax(-1)
        finally:
            for module, mode in training:
                module.training = mode
        return np.split(best, np.cumsum(lengths)[:-1]) if len(lengths) else []

    def _hidden(self, words: Ids) -> Ids:
        """The words' ids, some of them made unknown in training."""
        if not (self.training and self.word_dropout):
            return words
        return np.where((self.generator.random(words.shape) < self.word_dropout) & (words > 0), UNKNOWN, words)
