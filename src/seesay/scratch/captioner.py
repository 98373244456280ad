"""The plain recurrent captioner without torch: the picture is the first hidden state, the words follow.

As in CS231n (assignment 3): h_0 = W f + b, h_t = LSTM(e(w_{t-1}), h_{t-1}), scores = U h_t + c, with f
the mean of the picture's regions. Parameters have the names and shapes of `seesay.models.captioning_rnn`, its twin in
torch, so weights move either way. B pictures, N captions, T tokens, P words to be said, R regions, D feature size,
H hidden size, V vocabulary size.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from seesay.cores import single_threaded_products
from seesay.errors import DataError, UnknownName
from seesay.scratch import functional, nn
from seesay.scratch.arrays import Array, expect, expect_float, generator_from
from seesay.scratch.stepper import Stepper
from seesay.scratch.tensor import Tensor, no_grad

UNK, PAD, BOS, EOS = range(4)  # the ids that seesay.text.vocabulary gives them; this part stands on NumPy alone

Ids = NDArray[np.integer[Any]]


class State(NamedTuple):
    """What the network remembers: hidden and cell state, both (B, H); a plain RNN leaves the cell at zero."""

    hidden: Array
    cell: Array


class Captioner(nn.Module):
    """The network; `cell` is "lstm" or "rnn" (tanh), `pad` the id that fills captions up, `seed` draws the weights.

    Dropout acts on the words' vectors and on what the head reads, while `training`. An LSTM's forget gates start at
    sigmoid(1), which lets gradients through from the first step (Jozefowicz et al. 2015).

    >>> model = Captioner(feature_size=3, vocabulary_size=11, hidden_size=8, embedding_size=4)
    >>> features, mask = np.ones((2, 5, 3), np.float16), np.ones((2, 5), bool)
    >>> logits, targets = model(features, mask, np.array([[2, 7, 3], [2, 3, 1], [2, 9, 3]]), np.array([0, 1, 1]))
    >>> logits.shape, targets.tolist()
    ((5, 11), [7, 3, 3, 9, 3])
    >>> scores, state = model.step(np.array([2, 2]), model.start(features, mask))
    >>> scores.shape
    (2, 11)
    """

    def __init__(
        self,
        *,
        feature_size: int,
        vocabulary_size: int,
        cell: str = "lstm",
        embedding_size: int = 256,
        hidden_size: int = 512,
        dropout: float = 0.3,
        pad: int = PAD,
        dtype: DTypeLike = np.float32,
        seed: np.random.Generator | int = 0,
    ) -> None:
        super().__init__()
        if cell not in ("lstm", "rnn"):
            raise UnknownName("cell", cell, ["lstm", "rnn"])
        expect_float("dtype", dtype)
        self.cell, self.pad = cell, pad
        generator = generator_from(seed)
        given: dict[str, Any] = {"dtype": dtype, "seed": generator}
        self.project = nn.Linear(feature_size, hidden_size, **given)
        self.embedding = nn.Embedding(vocabulary_size, embedding_size, padding_idx=pad, **given)
        kind = nn.LSTM if cell == "lstm" else nn.RNN
        self.rnn = kind(embedding_size, hidden_size, batch_first=True, **given)
        self.dropout = nn.Dropout(dropout, generator)
        self.head = nn.Linear(hidden_size, vocabulary_size, **given)
        if cell == "lstm":
            arrays = self.rnn.state_dict()
            arrays["bias_ih_l0"][hidden_size : 2 * hidden_size] = 1
            arrays["bias_hh_l0"][hidden_size : 2 * hidden_size] = 0

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of weights and scores."""
        return self.head.weight.dtype

    def forward(self, features: Array, mask: Array, tokens: Ids, rows: Ids) -> tuple[Tensor, Ids]:
        """Teacher forcing: logits (P, V) and targets (P,) of all words of captions `tokens` (N, T) of pictures `rows`.

        `features` (B, R, D) and `mask` (B, R) hold each picture once, however many captions it has. Padding costs
        neither a step nor a score.
        """
        expect("tokens", tokens, {"captions": None, "tokens": None})
        expect("rows", rows, {"captions": len(tokens)})
        first = functional.embedding(rows, self._first(features, mask)).unsqueeze(0)
        targets = tokens[:, 1:]
        real = targets != self.pad
        words = self.dropout(self.embedding(tokens[:, :-1]))
        state = first if self.cell == "rnn" else (first, np.zeros(first.shape, self.dtype))
        outputs, _ = self.rnn(words, state, lengths=_lengths(real))
        return self.head(self.dropout(outputs[real])), targets[real]

    @no_grad()
    def start(self, features: Array, mask: Array) -> State:
        """The state before the first word, from `features` (B, R, D) and `mask` (B, R); without gradient."""
        hidden = self._first(features, mask).data
        return State(hidden, np.zeros_like(hidden))

    @no_grad()
    def step(self, tokens: Ids, state: State) -> tuple[Array, State]:
        """Logits (B, V) of the next word after `tokens` (B,), and the new state; without gradient."""
        words = self.dropout(self.embedding(tokens)).data
        layer = self.rnn.layer
        advance, _ = layer.cell()
        held = state if self.cell == "lstm" else (state.hidden,)
        with single_threaded_products():
            new, _ = advance(words, tuple(held), layer.weights()[0][0])
        after = State(new[0], new[1] if self.cell == "lstm" else state.cell)
        return self._scores(self.dropout(after.hidden).data), after

    def _scores(self, hidden: Array) -> Array:
        """What the head gives (B, V) for (B, H)."""
        weight, bias = self.head.state_dict().values()
        scores = np.empty((len(hidden), len(bias)), bias.dtype)
        # With the big factor first, BLAS is nearly twice as fast for the few rows of a beam.
        np.add((weight @ hidden.T).T, bias, out=scores)
        return scores

    def _first(self, features: Array, mask: Array) -> Tensor:
        """The first hidden state (B, H)."""
        expect("features", features, {"pictures": None, "regions": None, "feature_size": self.project.in_features})
        expect("mask", mask, {"pictures": len(features), "regions": features.shape[1]}, bool)
        hidden: Tensor = self.project(masked_mean(features.astype(self.dtype, copy=False), mask))
        return hidden


def masked_mean(values: Array, mask: NDArray[np.bool_]) -> Array:
    """Mean (B, D) of the real regions of `values` (B, R, D); zeros where `mask` (B, R) has none.

    What stands in the others does not matter, not even where it is no number.

    >>> masked_mean(np.array([[[2.0], [4.0], [np.nan]]]), np.array([[True, True, False]])).item()
    3.0
    """
    kept = values if mask.all() else np.where(mask[..., None], values, 0)
    mean: Array = kept.sum(1) / mask.sum(1, keepdims=True).clip(min=1).astype(values.dtype)
    return mean


def _lengths(real: NDArray[np.bool_]) -> NDArray[np.intp]:
    """How many steps (N,) each caption needs: up to its last real target."""
    steps: NDArray[np.intp] = (real * np.arange(1, real.shape[1] + 1)).max(1, initial=0)
    return steps


class Speaker:
    """Says pictures greedily, one at a time, as fast as that goes: made once, it allocates no array between words.

    The first layer's product with every word is worked out here, so a step costs the recurrent product and the head.
    The weights are those of this moment; make a new Speaker after changing them. No dropout acts. `silent` words are
    never said. The words are those of greedy search with `Captioner.step`, where scores are not equal to rounding.

    >>> model = Captioner(feature_size=3, vocabulary_size=11, hidden_size=8, embedding_size=4)
    >>> words = Speaker(model).say(np.ones((1, 5, 3), np.float32), np.ones((1, 5), bool), max_length=6)
    >>> 1 <= len(words) <= 6, {UNK, PAD, BOS, EOS} & set(words)
    (True, set())
    """

    def __init__(
        self, captioner: Captioner, *, bos: int = BOS, eos: int = EOS, silent: Sequence[int] = (UNK, PAD, BOS)
    ) -> None:
        self.captioner, self.bos, self.eos = captioner, bos, eos
        self._stepper = Stepper(captioner.rnn.layer, 1, captioner.embedding.weight.data)
        self._head, self._bias = (array.copy() for array in captioner.head.state_dict().values())
        self._bias[list(silent)] = -np.inf  # costs nothing in the loop
        self._scores = np.empty_like(self._bias)
        self._word = np.empty(1, np.intp)

    @single_threaded_products()
    def say(self, features: Array, mask: Array, max_length: int = 20) -> list[int]:
        """The words of the one picture of `features` (1, R, D) and `mask` (1, R): at least one, at most `max_length`.

        Raises DataError where the scores are not numbers.
        """
        expect("features", features, {"pictures": 1, "regions": None, "feature_size": None})
        hidden, cell = (part[None] for part in self.captioner.start(features, mask))
        self._stepper.reset((hidden, cell) if self.captioner.cell == "lstm" else hidden)
        self._word[0] = self.bos
        said: list[int] = []
        while len(said) < max_length:
            word = self._next(first=not said)
            if word == self.eos:
                break
            said.append(word)
        return said

    def _next(self, first: bool) -> int:
        """The likeliest word after the last; the first is never the end."""
        hidden = self._stepper.step(self._word)
        np.matmul(self._head, hidden[0], out=self._scores)
        np.add(self._scores, self._bias, out=self._scores)
        if first:
            self._scores[self.eos] = -np.inf
        word = int(self._scores.argmax())  # the first that is no number, where there is one
        if not np.isfinite(self._scores[word]):
            raise DataError(f"scores: received {self._scores[word]} as the highest; expected a number; train again.")
        self._word[0] = word
        return word
