"""Self-critical training: a captioner's own captions become likelier or less, by how they score beside one another.

Rennie et al. 2017: the gradient of the expected reward is the mean of (reward - baseline) * d log p(caption). Captions
are found first, without gradient and without dropout; then one pass of teacher forcing scores them all, from the same
encoding of the pictures. The loss and its gradient are those of a search that keeps every step for the backward pass.
B pictures, N captions, T words, V vocabulary size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from seesay.data.batches import CaptionBatch
from seesay.decoding.search import decode
from seesay.decoding.settings import NEVER, Decoding, Hypothesis
from seesay.text.vocabulary import BOS, EOS, PAD, UNK
from seesay.training.likelihood import word_losses
from seesay.training.objectives import Loss
from seesay.training.worth import Floats, Integers, Judge, advantages, baseline


class Said(NamedTuple):
    """Sentences as they were found."""

    ids: Integers  # (N, T): words, <eos> where one ended, filled up with <eos>
    lengths: Integers  # (N,) words and the <eos> that was said
    rows: Integers  # (N,) the picture of each

    @classmethod
    def of(cls, found: Sequence[Sequence[Hypothesis]]) -> Said:
        """All sentences of all pictures, in order."""
        every = [one for some in found for one in some]
        lengths = np.array([len(one.tokens) + one.ended for one in every], np.int64)
        ids = np.full((len(every), int(lengths.max(initial=1))), EOS, np.int64)
        for row, one in zip(ids, every, strict=True):
            row[: len(one.tokens)] = one.tokens
        rows = np.repeat(np.arange(len(found)), [len(some) for some in found])
        return cls(ids, lengths, rows)

    def as_targets(self) -> Integers:
        """As captions to be forced, (N, 1 + T): <bos> first, <eos> only where it was said, <pad> after that."""
        real = np.arange(self.ids.shape[1]) < self.lengths[:, None]
        return np.concatenate([np.full((len(self.ids), 1), BOS), np.where(real, self.ids, PAD)], axis=1)


@dataclass(frozen=True)
class SelfCritical:
    """The objective; `decoding` draws the captions (or searches beams), `judge` says what each is worth.

    Its loss is -(reward - baseline) * log p, summed over the words of the drawn captions, the end among them, and meant
    over these words. Drawn captions count with the probability that they were drawn with, from what may be said
    at all; beams with the model's own, as in the released code of M2 and S2. `faithful` takes the mean over
    `decoding.max_length` places a caption, as that code does, so that short captions teach less.
    `dropout` keeps dropout where captions are scored, which takes an encoding of its own; they are drawn without.
    """

    judge: Judge
    decoding: Decoding = field(default_factory=lambda: Decoding("sample", candidates=5))
    baseline: str = "leave_one_out"
    normalise: bool = False
    dropout: bool = False
    faithful: bool = False

    def __call__(self, model: nn.Module, batch: CaptionBatch) -> Loss:
        """The loss of `model` on captions that it says about the pictures of `batch`, a batch of tensors."""
        state = self._start(model, batch)
        said, greedy = self._say(model, state)
        rewards = self._rewards(said, batch.ids)
        usual = self._rewards(greedy, batch.ids)[said.rows] if greedy else baseline(rewards, said.rows, self.baseline)
        worth = advantages(rewards, usual, self.normalise)
        logs, row = self._score(model, batch, state, said)
        total = -(torch.as_tensor(worth, dtype=logs.dtype, device=logs.device)[row] * logs).sum()
        count = len(said.ids) * self.decoding.max_length if self.faithful else len(logs)
        return Loss(total, count, self._sums(said, rewards, usual))

    def _start(self, model: Any, batch: CaptionBatch) -> Any:
        """The pictures encoded without dropout: with gradient, where captions will be scored from there, too."""
        _without_dropout(model)
        with torch.set_grad_enabled(torch.is_grad_enabled() and self._shares(model)):
            return model.start(batch.features, batch.mask)

    def _shares(self, model: nn.Module) -> bool:
        """Whether one encoding serves both passes."""
        return not self.dropout and hasattr(model, "force")

    def _say(self, model: Any, state: Any) -> tuple[Said, Said | None]:
        """Captions of the pictures, and where they are the baseline the likeliest words, too."""
        with torch.no_grad():
            said = Said.of(decode(model, state, self.decoding))
            plain = Decoding("greedy", max_length=self.decoding.max_length)
            greedy = Said.of(decode(model, state, plain)) if self.baseline == "greedy" else None
        torch.clear_autocast_cache()  # of older releases of torch: it holds copies of weights made without gradient
        return said, greedy

    def _rewards(self, said: Said, pictures: Sequence[str]) -> Floats:
        return np.asarray(self.judge.reward(said.ids, [pictures[row] for row in said.rows]), np.float64)

    def _score(self, model: Any, batch: CaptionBatch, state: Any, said: Said) -> tuple[Tensor, Tensor]:
        """Log-probabilities (P,) of all words that were said, with gradient, and the sentence (P,) of each."""
        if self.dropout:
            model.train()
        device = batch.features.device
        tokens, rows = (torch.from_numpy(array).to(device) for array in (said.as_targets(), said.rows))
        if self._shares(model):
            forced = model.force(state, tokens, rows)
        else:
            forced = model(batch.features, batch.mask, tokens, rows)
        row, place = (tokens[:, 1:] != PAD).nonzero(as_tuple=True)
        logits = forced.logits
        if self.decoding.method == "sample":
            _keep_sayable(logits, place == 0)
            logits = logits if self.decoding.temperature == 1 else logits / self.decoding.temperature
        return -word_losses(logits, forced.targets), row

    def _sums(self, said: Said, rewards: Floats, usual: Floats) -> dict[str, float]:
        last = [ids[:length][ids[:length] != EOS][-1:] for ids, length in zip(said.ids, said.lengths, strict=True)]
        return {
            "captions": len(said.ids),
            "reward": float(rewards.sum()),
            "baseline": float(usual.sum()),
            "length": float((said.ids != EOS).sum()),
            "broken_ends": float(sum(int(word[0]) in self.judge.open_ends for word in last if len(word))),
        }


@torch.no_grad()
def _keep_sayable(logits: Tensor, first: Tensor) -> None:
    """Overwrites in `logits` (P, V) all that decoding never says; `first` (P,) are the first words, which are no end.

    Unseen by autograd, and rightly: the gradient of an impossible word is exactly zero, whatever its logit was.
    """
    logits[:, [UNK, PAD, BOS]] = NEVER
    logits[first, EOS] = NEVER


def _without_dropout(model: nn.Module) -> None:
    model.eval()
    for part in model.modules():  # cuDNN's recurrent layers have a backward pass in training mode alone
        if isinstance(part, nn.RNNBase) and not part.dropout:
            part.train()
