"""A tag for each word, or for each frame, from a recurrent network that reads the sequence both ways.

Each word is several ids, itself and what it looks like (see `seesay.text.lexicon`): their embeddings stand side by side
(Collobert et al. 2011), with what a convolution makes of its letters where `characters` asks for it; the network reads
them in both directions (Graves and Schmidhuber 2005), and one linear layer decides, or a CRF over it for the sentence
as a whole (Huang et al. 2015; Ma and Hovy 2016). `seesay.scratch.tagger` is its twin on NumPy, without letters and
CRF; weights move either way by name. Frames are real vectors instead of words, such as sounds.
B sequences, T words or frames, F ids a word, D numbers a frame, C letters, P words or frames in all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from seesay.errors import RecipeError
from seesay.nn.characters import CharacterCNN
from seesay.nn.crf import CRF, padded
from seesay.nn.dropout import Dropout
from seesay.nn.recurrence import Recurrence
from seesay.nn.recurrent import GRU, LSTM, RNN
from seesay.text.lexicon import PAD, UNK
from seesay.text.spans import transitions

TASK = "tag"
_CELLS: dict[str, Callable[..., Recurrence]] = {"lstm": LSTM, "gru": GRU, "rnn": RNN}


@dataclass(frozen=True)
class Config:
    """Sizes of the network; `cell` is "lstm", "gru" or "rnn" (tanh).

    `embedding_size` is the word's, `feature_size` that of each of its other ids. Between layers `variational` drops the
    same numbers at every word of a sentence. In training a word becomes the unknown one with probability
    `word_dropout`, while its other ids stay. `characters` adds `filter_size` numbers that filters
    over `window_size` letters in a row, each of `character_size`, make of a word. With `crf` the tags of a sentence are
    learned and found together; `constraints`, "BIO" or "BIOES", then leaves out what that scheme does not allow.
    """

    cell: str = "lstm"
    embedding_size: int = 128
    feature_size: int = 32
    hidden_size: int = 128
    num_layers: int = 2
    bidirectional: bool = True
    dropout: float = 0.2
    variational: bool = False
    word_dropout: float = 0.0
    characters: bool = False
    character_size: int = 32
    filter_size: int = 64
    window_size: int = 3
    crf: bool = False
    constraints: str = ""


class Model(nn.Module):
    """The network, for columns of `sizes` ids, the word first, and `tags` tags.

    Instead of words it may have frames of `frame_size` numbers, standardised by the `mean` and `deviation` of each.
    `character_count` is how many ids letters have; `names` are those of the tags, which constraints need.

    >>> model = Model(Config(hidden_size=8, embedding_size=4, feature_size=2), sizes=(100, 20), tags=5)
    >>> model(torch.tensor([[[7, 3], [9, 2]], [[4, 4], [0, 0]]]), torch.tensor([2, 1])).shape
    torch.Size([3, 5])
    """

    mean: Tensor
    deviation: Tensor

    def __init__(
        self,
        config: Config,
        *,
        sizes: Sequence[int] = (),
        tags: int,
        character_count: int = 0,
        names: Sequence[str] = (),
        frame_size: int = 0,
        mean: Sequence[float] = (),
        deviation: Sequence[float] = (),
    ) -> None:
        super().__init__()
        _check(config, bool(character_count))
        self.config = config
        widths = [config.embedding_size, *[config.feature_size] * (len(sizes) - 1)][: len(sizes)]
        tables = [nn.Embedding(size, width, padding_idx=PAD) for size, width in zip(sizes, widths, strict=True)]
        for table in tables:
            table.weight.data *= 0.1  # torch's own start, a deviation of 1, costs a tagger a point of accuracy
        self.embeddings = nn.ModuleList(tables)
        if frame_size:
            self.register_buffer("mean", torch.tensor(mean or [0.0] * frame_size))
            self.register_buffer("deviation", torch.tensor(deviation or [1.0] * frame_size))
        if config.characters:
            self.characters = CharacterCNN(
                character_count,
                character_size=config.character_size,
                filter_size=config.filter_size,
                window_size=config.window_size,
            )
            widths.append(config.filter_size)
        self.rnn = _CELLS[config.cell](
            sum(widths) + frame_size,
            config.hidden_size,
            num_layers=config.num_layers,
            batch_first=True,
            dropout=config.dropout if config.num_layers > 1 else 0.0,
            bidirectional=config.bidirectional,
            variational=config.variational,
        )
        self.dropout = Dropout(config.dropout)
        self.head = nn.Linear(config.hidden_size * (2 if config.bidirectional else 1), tags)
        if config.crf:
            self.crf = CRF(tags, transitions(names, config.constraints) if config.constraints else None)

    def forward(self, ids: Tensor, lengths: Tensor, letters: Tensor | None = None) -> Tensor:
        """The logits (P, tags) of the words alone, sentence after sentence, from ids (B, T, F) and lengths (B,).

        `letters` (P, C) are those of the words alone. Of frames, `ids` are the numbers (B, T, D).
        """
        if not ids.shape[1]:
            ids = functional.pad(ids, (0, 0, 0, 1))  # nothing to read is read as one step of padding, and left out
        real = torch.arange(ids.shape[1], device=ids.device) < lengths.unsqueeze(1)
        output, _ = self.rnn(self.dropout(self._seen(ids, real, letters)), lengths=lengths)
        return self.head(self.dropout(output[real]))

    def loss(self, logits: Tensor, lengths: Tensor, tags: Tensor, label_smoothing: float = 0.0) -> Tensor:
        """The cross-entropy of the tags (P,) summed over the words, or with a CRF over the sentences.

        A tag below 0 is one that is not known: it counts nothing, and a CRF takes it for any.
        """
        if not self.config.crf:
            return functional.cross_entropy(
                logits, tags, ignore_index=-1, reduction="sum", label_smoothing=label_smoothing
            )
        laid = padded(tags, lengths, value=-1)
        return -self.crf.log_likelihood(padded(logits, lengths), lengths, laid).sum()

    def best(self, logits: Tensor, lengths: Tensor) -> Tensor:
        """The tags (P,) to say: the likeliest of each word, or with a CRF those of the likeliest sequence."""
        if not self.config.crf:
            return logits.argmax(-1)
        paths = self.crf.decode(padded(logits, lengths), lengths)
        return torch.tensor([tag for path in paths for tag in path], dtype=torch.long)

    def log_probabilities(self, logits: Tensor, lengths: Tensor) -> Tensor:
        """The logarithm (P, tags) of each tag's probability: log-softmax, or a CRF's marginals."""
        if not self.config.crf:
            return functional.log_softmax(logits, -1)
        laid = padded(logits, lengths)
        real = torch.arange(laid.shape[1], device=laid.device) < lengths.unsqueeze(1)
        return self.crf.marginals(laid, lengths)[real].clamp(min=torch.finfo(laid.dtype).tiny).log()

    def _seen(self, ids: Tensor, real: Tensor, letters: Tensor | None) -> Tensor:
        """What the network reads (B, T, ...): standardised frames, or embeddings, and what letters tell."""
        if not self.embeddings:
            return (ids - self.mean) / self.deviation
        columns = [self._hidden(ids[:, :, 0]), *ids[:, :, 1:].unbind(2)]
        seen = [embed(column) for embed, column in zip(self.embeddings, columns, strict=True)]
        if self.config.characters and letters is not None:
            told = self.characters(letters)
            laid = told.new_zeros(*real.shape, told.shape[1]).masked_scatter(real.unsqueeze(-1), told)
            seen.append(laid)
        return torch.cat(seen, -1)

    def _hidden(self, words: Tensor) -> Tensor:
        """The words' ids, some of them made unknown in training."""
        share = self.config.word_dropout
        if not (self.training and share):
            return words
        return torch.where((torch.rand(words.shape, device=words.device) < share) & (words > PAD), UNK, words)


def _check(config: Config, spelled: bool) -> None:
    """Settings that do not go together, or mean nothing."""
    if config.cell not in _CELLS:
        raise RecipeError(f"model.cell: received '{config.cell}'; expected 'lstm', 'gru' or 'rnn'.")
    if config.window_size % 2 == 0:
        raise RecipeError(f"model.window_size: received {config.window_size}; expected an odd number of letters.")
    if config.constraints and not config.crf:
        raise RecipeError(
            f"model.constraints: received '{config.constraints}' without crf, which alone keeps to them; expected "
            "crf = true; set it, or leave constraints out."
        )
    if config.characters and not spelled:
        raise RecipeError(
            "model.characters: received true for data without letters, or with none as frequent as data.rare_affixes; "
            "expected words; give more of them, or leave it out."
        )
