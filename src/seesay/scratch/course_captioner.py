"""CS231n's captioning network: a picture's features start an RNN or LSTM that says one word after the other."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import DTypeLike, NDArray

from seesay.errors import DataError, UnknownName
from seesay.scratch.arrays import Array, expect, expect_float, generator_from
from seesay.scratch.course import (
    lstm_backward,
    lstm_forward,
    lstm_step_forward,
    rnn_backward,
    rnn_forward,
    rnn_step_forward,
)
from seesay.scratch.course_layers import (
    temporal_affine_backward,
    temporal_affine_forward,
    temporal_softmax_loss,
    word_embedding_backward,
    word_embedding_forward,
)


class CaptioningRNN:
    """Captions from picture features (N, D), as the course defines it; `params` holds its arrays by name.

    h0 = features W_proj + b_proj; words enter through W_embed; each hidden state gives scores W_vocab of the next word.
    `word_to_idx` gives each word an id from 0 to V - 1: "<NULL>" pads, "<START>" and "<END>" frame a caption. Weights
    are drawn from `seed`; an LSTM's forget gates start with bias 0, as in the course.

    >>> words = {"<NULL>": 0, "<START>": 1, "<END>": 2, "cat": 3}
    >>> model = CaptioningRNN(words, input_dim=5, wordvec_dim=4, hidden_dim=6, cell_type="lstm")
    >>> features = np.ones((2, 5))
    >>> loss, grads = model.loss(features, np.array([[1, 3, 2, 0], [1, 3, 3, 2]]))
    >>> loss > 0, sorted(grads) == sorted(model.params), model.sample(features, max_length=7).shape
    (True, True, (2, 7))
    """

    def __init__(
        self,
        word_to_idx: Mapping[str, int],
        input_dim: int = 512,
        wordvec_dim: int = 128,
        hidden_dim: int = 128,
        cell_type: str = "rnn",
        dtype: DTypeLike = np.float32,
        seed: np.random.Generator | int = 0,
    ) -> None:
        if cell_type not in ("rnn", "lstm"):
            raise UnknownName("cell_type", cell_type, ["rnn", "lstm"])
        if "<NULL>" not in word_to_idx:
            raise DataError("word_to_idx: expected the word '<NULL>', which pads captions; received none.")
        expect_float("dtype", dtype)
        for name, size in (("input_dim", input_dim), ("wordvec_dim", wordvec_dim), ("hidden_dim", hidden_dim)):
            if size < 1:
                raise DataError(f"{name}: expected 1 or more, received {size}.")
        self.cell_type, self.dtype = cell_type, np.dtype(dtype)
        self.word_to_idx = dict(word_to_idx)
        self.idx_to_word = {i: word for word, i in word_to_idx.items()}
        words, width = len(word_to_idx), (4 if cell_type == "lstm" else 1) * hidden_dim
        random = generator_from(seed)

        def drawn(rows: int, columns: int, scale: float) -> Array:
            return (random.standard_normal((rows, columns)) * scale).astype(self.dtype)

        self.params: dict[str, Array] = {
            "W_embed": drawn(words, wordvec_dim, 0.01),
            "W_proj": drawn(input_dim, hidden_dim, input_dim**-0.5),
            "b_proj": np.zeros(hidden_dim, self.dtype),
            "Wx": drawn(wordvec_dim, width, wordvec_dim**-0.5),
            "Wh": drawn(hidden_dim, width, hidden_dim**-0.5),
            "b": np.zeros(width, self.dtype),
            "W_vocab": drawn(hidden_dim, words, hidden_dim**-0.5),
            "b_vocab": np.zeros(words, self.dtype),
        }

    def loss(self, features: Array, captions: NDArray[np.integer]) -> tuple[float, dict[str, Array]]:
        """The loss of captions (N, T) of ids, and its gradient by each of `params`.

        Every word but the last goes in, every word but the first is to come out; "<NULL>" is not counted. Features may
        be of any float dtype. Raises DataError for wrong shapes or ids.
        """
        p, features = self.params, self._features(features)
        expect("captions", captions, {"N": len(features), "T": None})
        if captions.shape[1] < 1:
            raise DataError("captions: expected one word or more, received (N, T=0).")
        words_in, words_out = captions[:, :-1], captions[:, 1:]
        forward, backward = (rnn_forward, rnn_backward) if self.cell_type == "rnn" else (lstm_forward, lstm_backward)
        h0 = features @ p["W_proj"] + p["b_proj"]
        vectors, embedding_cache = word_embedding_forward(words_in, p["W_embed"])
        hidden, cache = forward(vectors, h0, p["Wx"], p["Wh"], p["b"])
        scores, affine_cache = temporal_affine_forward(hidden, p["W_vocab"], p["b_vocab"])
        loss, dscores = temporal_softmax_loss(scores, words_out, words_out != self.word_to_idx["<NULL>"])

        grads: dict[str, Array] = {}
        dhidden, grads["W_vocab"], grads["b_vocab"] = temporal_affine_backward(dscores, affine_cache)
        dvectors, dh0, grads["Wx"], grads["Wh"], grads["b"] = backward(dhidden, cache)
        grads["W_embed"] = word_embedding_backward(dvectors, embedding_cache)
        grads["W_proj"], grads["b_proj"] = features.T @ dh0, dh0.sum(0)
        return loss, grads

    def sample(self, features: Array, max_length: int = 30) -> NDArray[np.intp]:
        """The likeliest word at each step, each fed back: ids (N, max_length), "<NULL>" after "<END>".

        Needs "<START>" in `word_to_idx`, else raises DataError. Without "<END>" captions run to the full length.
        """
        if "<START>" not in self.word_to_idx:
            raise DataError("word_to_idx: expected the word '<START>', which sampling begins with; received none.")
        if not isinstance(max_length, int | np.integer) or max_length < 0:
            raise DataError(f"max_length: expected a whole number from 0, received {max_length!r:.60}.")
        p, features = self.params, self._features(features)
        h = features @ p["W_proj"] + p["b_proj"]
        c = np.zeros_like(h)
        words = np.full(len(features), self.word_to_idx["<START>"])
        captions = np.full((len(features), max_length), self.word_to_idx["<NULL>"], np.intp)
        going = np.ones(len(features), bool)
        for t in range(max_length):
            vectors = p["W_embed"][words]
            if self.cell_type == "rnn":
                h, _ = rnn_step_forward(vectors, h, p["Wx"], p["Wh"], p["b"])
            else:
                h, c, _ = lstm_step_forward(vectors, h, c, p["Wx"], p["Wh"], p["b"])
            words = (h @ p["W_vocab"] + p["b_vocab"]).argmax(1)
            captions[going, t] = words[going]
            going &= words != self.word_to_idx.get("<END>", -1)
            if not going.any():
                break
        return captions

    def _features(self, features: Array) -> Array:
        expect("features", features, {"N": None, "input_dim": len(self.params["W_proj"])})
        return features.astype(self.dtype, copy=False)
