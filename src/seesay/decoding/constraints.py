"""What may be said next: no special or forbidden words, no end too soon, no words in a row that came before.

Required words are a matter of the search (`seesay.decoding.beams`): a sentence is not over before it has them all.
N rows, V vocabulary size, t words said so far.
"""

from __future__ import annotations

import torch
from torch import Tensor

from seesay.decoding.settings import NEVER, Resolved
from seesay.text.vocabulary import BOS, EOS, PAD, UNK


class Constraints:
    """Makes the scores of what may not be said -inf.

    >>> from seesay.decoding.settings import Decoding, check_resolved
    >>> logits = torch.zeros(1, 6)
    >>> Constraints(check_resolved(Decoding(no_repeat_ngram=2)), "cpu").apply(logits, torch.tensor([[4, 5, 4]]))
    >>> logits.tolist()
    [[-inf, -inf, -inf, 0.0, 0.0, -inf]]
    """

    def __init__(self, decoding: Resolved, device: torch.device | str) -> None:
        never = [PAD, BOS, *([] if decoding.faithful else [UNK]), *decoding.forbidden_ids]
        self.never = torch.tensor(never, device=device)
        self.least, self.ngram = decoding.least, decoding.no_repeat_ngram

    def apply(self, logits: Tensor, tokens: Tensor) -> None:
        """Change `logits` (N, V) of sentences under way, `tokens` (N, t), in place."""
        logits.index_fill_(1, self.never, NEVER)
        if tokens.shape[1] < self.least:
            logits[:, EOS] = NEVER
        if self.ngram and tokens.shape[1] >= self.ngram:
            self._ban_repeats(logits, tokens)

    def _ban_repeats(self, logits: Tensor, tokens: Tensor) -> None:
        """Forbid every word that stood after the last n - 1 words when they were said before."""
        after = tokens[:, self.ngram - 1 :]
        if self.ngram == 1:
            logits.scatter_(1, after, NEVER)
            return
        last = tokens[:, None, 1 - self.ngram :]
        before = tokens.unfold(1, self.ngram - 1, 1)[:, :-1]
        row, place = (before == last).all(-1).nonzero(as_tuple=True)
        logits[row, after[row, place]] = NEVER
