"""What a word looks like, from its letters: a convolution over them, and the largest answer of each filter.

As dos Santos and Zadrozny (2014) and Ma and Hovy (2016) do for tagging. P words, C letters of the longest.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

PAD = 0


class CharacterCNN(nn.Module):
    """Words as (P, filter_size), from the ids of their letters, of which there are `count`; 0 fills up.

    Each filter sees `window_size` letters in a row, an odd number, and blanks beyond either end of the word.

    >>> CharacterCNN(9, character_size=4, filter_size=5, window_size=3)(torch.tensor([[3, 8, 0], [2, 0, 0]])).shape
    torch.Size([2, 5])
    """

    def __init__(self, count: int, *, character_size: int, filter_size: int, window_size: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(count, character_size, padding_idx=PAD)
        self.filters = nn.Conv1d(character_size, filter_size, window_size, padding=window_size // 2)

    def forward(self, letters: Tensor) -> Tensor:
        """What each word (P, C) looks like: (P, filter_size); zeros for a word without letters."""
        real = letters != PAD
        if not real.any():
            return self.embedding.weight.new_zeros(len(letters), self.filters.out_channels)
        # All words in one row, with blanks between them, so that short words do not pay for the longest.
        width = self.filters.kernel_size[0]
        kept = (
            torch.arange(letters.shape[1] + width // 2, device=letters.device) < real.sum(1, keepdim=True) + width // 2
        )
        row = nn.functional.pad(letters, (0, width // 2), value=PAD)[kept]
        seen = nn.functional.pad(self.embedding(row), (0, 0, width // 2, width // 2))
        windows = torch.cat([seen[start : start + len(row)] for start in range(width)], 1)[row != PAD]
        weight = self.filters.weight.transpose(1, 2).flatten(1)  # of the first letter of a window, of the second, ...
        found = nn.functional.linear(windows, weight, self.filters.bias)  # (all letters, filter_size)
        laid = found.new_full((letters.numel(), found.shape[1]), torch.finfo(found.dtype).min)
        laid = laid.index_copy(0, real.flatten().nonzero().flatten(), found).view(*letters.shape, -1)
        return laid.max(1).values * real.any(1, keepdim=True)
