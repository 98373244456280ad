"""Captions that begin alike: what they share is computed once.

What a decoder makes of a word depends on the picture and on the words up to it alone, so that the five beams of a
picture, often alike but for their ends, have half as many different words as they have words. With dropout each word
would be another one. N captions, T words, U different captions, n words with different beginnings, P words, H hidden
size.
"""

from __future__ import annotations

import torch
from torch import Tensor


class Prefixes:
    """The words of whole captions, a row for each beginning, laid out as `Groups` lays out a row for each word.

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
    index: Tensor  # (n,) a caption that begins so, of the U
    width: int  # words of the longest caption
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
        self.index, self.places = new.nonzero(as_tuple=True)
        self.pictures, self.tokens = captions[self.index, 0], captions[:, 1:][new]
        row = new.flatten().cumsum(0).view_as(new) - 1
        table = row.masked_fill(~new, 0).cummax(0).values if len(row) else row
        self.spread = table[number][real]
        self._table, self._size = table.flatten(), table.shape
        self._own, self.width = new.flatten().nonzero().flatten(), longest

    def lay(self, rows: Tensor) -> Tensor:
        """Rows (n, ...) by caption, (U, T, ...), what is shared several times; at padding some other row."""
        return rows.index_select(0, self._table).view(*self._size, *rows.shape[1:])

    def pick(self, laid: Tensor) -> Tensor:
        """What `lay` undoes: the rows (n, ...) out of (U, T, ...)."""
        return laid.flatten(0, 1).index_select(0, self._own)
