"""Scheduled sampling: a model learns to go on from words of its own, too (Bengio et al. 2015).

The words are drawn without gradient, step by step; what follows is plain teacher forcing over the mixed captions, whose
targets stay those of people. That is the same as drawing while stepping, as no gradient flows through a draw.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from seesay.data.batches import CaptionBatch
from seesay.data.questions import AskBatch
from seesay.nn.state import select
from seesay.text.vocabulary import BOS, EOS, PAD, UNK

_NOT_WORDS = [UNK, PAD, BOS, EOS]  # nothing follows the end, and the others are never said


@torch.no_grad()
def partly_own(model: nn.Module, batch: CaptionBatch | AskBatch, share: float) -> Tensor:
    """The captions of `batch`, each word replaced with chance `share` by one that `model` draws after those before it.

    `batch` holds tensors; the result is like its `tokens` (N, T). Ends and padding stay where they are.
    """
    stepping: Any = model
    tokens = batch.tokens.clone()
    state = _first_state(stepping, batch)
    for place in range(1, tokens.shape[1] - 1):
        logits, state = stepping.step(tokens[:, place - 1], state)
        logits = logits.float()
        logits[:, _NOT_WORDS] = -torch.inf
        drawn = torch.multinomial(logits.softmax(-1), 1).squeeze(1)
        is_word = (tokens[:, place] != PAD) & (tokens[:, place] != EOS)
        own = is_word & (torch.rand(len(drawn), device=drawn.device) < share)
        tokens[:, place] = torch.where(own, drawn, tokens[:, place])
    torch.clear_autocast_cache()  # of older releases of torch: it holds copies of weights made without gradient
    return tokens


def _first_state(model: Any, batch: CaptionBatch | AskBatch) -> Any:
    """The state before the first word of each sentence of `batch`."""
    if isinstance(batch, AskBatch):  # an answer belongs to one question, not to the picture
        return model.start(batch.features, batch.mask, batch.concepts, batch.answers, batch.rows)
    return select(model.start(batch.features, batch.mask), batch.rows)
