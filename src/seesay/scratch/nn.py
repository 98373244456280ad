"""torch.nn's layers on NumPy: the same names, constructor arguments, parameters, initial distributions and results.

Each layer also takes `dtype`, float32 unless said otherwise, and `seed`, a number or a generator, for its initial
weights. Give all layers of a model one generator: from equal numbers equal layers get equal weights.

    class Tagger(nn.Module):
        def __init__(self, words, tags, seed=0):
            super().__init__()
            generator = np.random.default_rng(seed)
            self.embedding = nn.Embedding(words, 64, seed=generator)
            self.rnn = nn.LSTM(64, 64, bidirectional=True, seed=generator)
            self.head = nn.Linear(128, tags, seed=generator)

        def forward(self, ids, lengths):                           # ids (T, B)
            output, _ = self.rnn(self.embedding(ids), None, lengths)
            return self.head(output)
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from seesay.errors import DataError
from seesay.scratch import functional
from seesay.scratch.arrays import expect_probability, generator_from
from seesay.scratch.module import Module, ModuleList, Parameter, Sequential, expect_sizes
from seesay.scratch.nn_cells import GRUCell, LSTMCell, RNNCell
from seesay.scratch.nn_recurrent import GRU, LSTM, RNN
from seesay.scratch.tensor import Tensor

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "Dropout",
    "Embedding",
    "GRUCell",
    "LSTMCell",
    "LayerNorm",
    "Linear",
    "Module",
    "ModuleList",
    "Parameter",
    "RNNCell",
    "Sequential",
]

Seed = np.random.Generator | int


class Linear(Module):
    """x Wᵀ + b: x (*, in_features) to (*, out_features). Weight (O, I) and bias (O,) start uniform in ±1/√I.

    >>> Linear(3, 2)(np.zeros((4, 3), np.float32)).shape
    (4, 2)
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        dtype: DTypeLike = np.float32,
        seed: Seed = 0,
    ) -> None:
        super().__init__()
        expect_sizes(dtype, in_features=in_features, out_features=out_features)
        self.in_features, self.out_features = in_features, out_features
        bound, generator = in_features**-0.5, generator_from(seed)
        self.weight = Parameter(generator.uniform(-bound, bound, (out_features, in_features)).astype(dtype))
        self.bias = Parameter(generator.uniform(-bound, bound, out_features).astype(dtype)) if bias else None

    def forward(self, x: Any) -> Tensor:
        """See the class."""
        return functional.linear(x, self.weight, self.bias)


class Embedding(Module):
    """A table of vectors, weight (V, D), that starts standard normal: ids (*) to (*, D).

    The row `padding_idx` starts at zero and gets no gradient. Raises DataError for an id outside the table.

    >>> Embedding(5, 2, padding_idx=0)(np.array([0])).numpy()
    array([[0., 0.]], dtype=float32)
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        dtype: DTypeLike = np.float32,
        seed: Seed = 0,
    ) -> None:
        super().__init__()
        expect_sizes(dtype, num_embeddings=num_embeddings, embedding_dim=embedding_dim)
        if padding_idx is not None and not -num_embeddings <= padding_idx < num_embeddings:
            raise DataError(f"padding_idx: received {padding_idx}; expected one of {num_embeddings} rows.")
        self.num_embeddings, self.embedding_dim = num_embeddings, embedding_dim
        self.padding_idx = None if padding_idx is None else padding_idx % num_embeddings  # counted from 0, as in torch
        table = generator_from(seed).standard_normal((num_embeddings, embedding_dim)).astype(dtype)
        if padding_idx is not None:
            table[padding_idx] = 0
        self.weight = Parameter(table)

    def forward(self, ids: Any) -> Tensor:
        """See the class."""
        return functional.embedding(ids, self.weight, self.padding_idx)


class Dropout(Module):
    """Zeros with probability p while training, the rest scaled to keep the expected value; nothing after `eval()`.

    It draws from `generator`, which `Module.seed` sets. Raises DataError where it has to draw and has none.

    >>> layer = Dropout(0.5, seed=0)
    >>> layer(np.ones(4)).numpy(), layer.eval()(np.ones(4)).numpy()
    (array([2., 0., 0., 0.]), array([1., 1., 1., 1.]))
    """

    def __init__(self, p: float = 0.5, seed: Seed | None = None) -> None:
        super().__init__()
        expect_probability("p", p)
        self.p = p
        self.generator = None if seed is None else generator_from(seed)

    def forward(self, x: Any) -> Tensor:
        """See the class."""
        return functional.dropout(x, self.p, self.training, self.generator)


class LayerNorm(Module):
    """Mean 0 and variance 1 over the last axes, then times weight, which starts at 1, plus bias, which starts at 0.

    >>> LayerNorm(2, dtype=np.float64)(np.array([[1.0, 3.0]])).numpy().round(3)
    array([[-1.,  1.]])
    """

    def __init__(
        self,
        normalized_shape: int | tuple[int, ...],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        dtype: DTypeLike = np.float32,
    ) -> None:
        super().__init__()
        self.normalized_shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
        expect_sizes(dtype, normalized_shape=min(self.normalized_shape, default=0))
        self.eps, self.elementwise_affine = eps, elementwise_affine
        self.weight = Parameter(np.ones(self.normalized_shape, dtype)) if elementwise_affine else None
        self.bias = Parameter(np.zeros(self.normalized_shape, dtype)) if elementwise_affine and bias else None

    def forward(self, x: Any) -> Tensor:
        """See the class."""
        return functional.layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps)
