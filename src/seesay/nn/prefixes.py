"""Captions that begin alike: what they share is computed once.

What a decoder makes of a word depends on the picture and on the words up to it alone, so that the five beams of a
picture, often alike but for their ends, have half as many different words as they have words. With dropout each word
would be another one. N captions, T words, U different captions, n words with different beginnings, P words, H hidden
size.
"""

from __future__ import annotations

import torch
from torch import Tensor

from seesay.nn.attention import MultiHeadAttention, Projected


class Prefixes:
    """The words of whole captions, a row for each beginning: each sees itself and those before it.

    `tokens` (N, T) count where `real` (N, T), which is from the first word of a caption to its last; `pictures` (N,)
    are what the captions are about.

    >>> tokens = torch.tensor([[2, 7, 8], [2, 7, 9], [2, 7, 8]])
    >>> told = Prefixes(tokens, torch.ones(3, 3, dtype=torch.bool), torch.tensor([0, 0, 0]))
    >>> told.tokens.tolist(), told.places.tolist(), told.spread.tolist()
    ([2, 7, 8, 9], [0, 1, 2, 2], [0, 1, 2, 0, 1, 3, 0, 1, 2])
    """

    tokens: Tensor  # (n,) the last word of each beginning
    places: Tensor  # (n,) how many words stand before it
    pictures: Tensor  # (n,)
    spread: Tensor  # (P,) the row of each real word, caption by caption

    def __init__(self, tokens: Tensor, real: Tensor, pictures: Tensor) -> None:
        longest = int(real.sum(1).max()) if len(real) else 0
        tokens, real = tokens[:, :longest], real[:, :longest]
        whole = torch.cat([pictures.unsqueeze(1), tokens.masked_fill(~real, -1)], dim=1)
        captions, number = torch.unique(whole, dim=0, return_inverse=True)
        # Captions are sorted, so that those with the same beginning follow one another: the first of them has its row.
        again = torch.zeros_like(captions, dtype=torch.bool)
        again[1:] = captions[1:] == captions[:-1]
        new = ~again.cumprod(1)[:, 1:].bool() & (captions[:, 1:] >= 0)
        caption, self.places = new.nonzero(as_tuple=True)
        self.pictures, self.tokens = captions[caption, 0], captions[:, 1:][new]
        row = new.flatten().cumsum(0).view_as(new) - 1
        table = row.masked_fill(~new, 0).cummax(0).values if len(row) else row
        self.spread = table[number][real]
        self._table, self._size = table.flatten(), table.shape
        self._own = new.flatten().nonzero().flatten()
        # Padding follows the words of a caption, so that hiding what comes later hides it too.
        self._mask = torch.ones(longest, longest, dtype=torch.bool, device=tokens.device).tril()

    def attend(self, layer: int, attention: MultiHeadAttention, x: Tensor) -> Tensor:
        """What the words x (n, H) make of those before them: (n, H)."""
        query, key, value = (self._lay(part(x)) for part in (attention.query, attention.key, attention.value))
        memory = Projected(attention.split(key), attention.split(value))
        context, _ = attention.weigh(query, memory, self._mask)
        return attention.output(context.flatten(0, 1).index_select(0, self._own))

    def _lay(self, rows: Tensor) -> Tensor:
        """Rows (n, H) by caption, (U, T, H), what is shared several times; at padding some other row."""
        return rows.index_select(0, self._table).view(*self._size, -1)
