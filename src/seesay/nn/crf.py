"""A linear-chain conditional random field: the tags of a sequence are weighed as a whole, not each by itself.

The score of a sequence is that of its first tag, of each step from a tag to the next, of its last tag, and of each tag
where it stands (its emission); a model gives the emissions, the rest is learned here (Lafferty et al. 2001; over a
recurrent network, Huang et al. 2015). B sequences of up to T positions, K tags, P positions in all that are real.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

NEVER = -1e4  # of a step that must not be: no sum of real scores comes near, and unlike -inf it has gradients


class CRF(nn.Module):
    """Scores of first tags (K,), of steps `transitions[before, now]` (K, K), and of last tags (K,); all begin at zero.

    `allowed`, three masks of the same shapes, True where something may be, makes everything else impossible: neither
    learned nor ever found. A sequence without a position has the one reading of no tags, whose probability is 1.

    >>> crf = CRF(2)
    >>> emissions, lengths = torch.tensor([[[2.0, 0.0], [0.0, 1.0]]]), torch.tensor([2])
    >>> crf.decode(emissions, lengths)
    [[0, 1]]
    >>> round(crf.log_likelihood(emissions, lengths, torch.tensor([[0, 1]])).exp().item(), 4)
    0.6439
    """

    start_allowed: Tensor
    transitions_allowed: Tensor
    end_allowed: Tensor

    def __init__(
        self, tags: int, allowed: tuple[Sequence[bool], Sequence[Sequence[bool]], Sequence[bool]] | None = None
    ):
        super().__init__()
        self.start = nn.Parameter(torch.zeros(tags))
        self.transitions = nn.Parameter(torch.zeros(tags, tags))
        self.end = nn.Parameter(torch.zeros(tags))
        masks = allowed or ([True] * tags, [[True] * tags] * tags, [True] * tags)
        for name, mask in zip(("start", "transitions", "end"), masks, strict=True):
            # Not part of the weights: it follows from the names of the tags.
            self.register_buffer(f"{name}_allowed", torch.tensor(mask, dtype=torch.bool), persistent=False)

    def log_likelihood(self, emissions: Tensor, lengths: Tensor, tags: Tensor) -> Tensor:
        """The logarithm (B,) of the probability of the tags (B, T) given emissions (B, T, K) and lengths (B,).

        A tag below 0 is one that nobody knows: the probability is that of all sequences that have the others. Whatever
        stands beyond a length is not looked at.
        """
        wanted = torch.zeros_like(emissions, dtype=torch.bool).scatter(2, tags.clamp(min=0).unsqueeze(2), True)
        free = emissions.masked_fill(~(wanted | (tags < 0).unsqueeze(2)), NEVER)
        # In one pass: the loop over time costs the same for twice the rows.
        both = self.log_partition(torch.cat([free, emissions]), torch.cat([lengths, lengths]))
        return both[: len(lengths)] - both[len(lengths) :]

    def log_partition(self, emissions: Tensor, lengths: Tensor) -> Tensor:
        """The logarithm (B,) of the sum of exp(score) over all sequences of tags: the forward algorithm."""
        start, steps, end = self._scores()
        if not emissions.shape[1]:
            return emissions.sum((1, 2))  # zeros, through which a gradient can pass
        forward = start + emissions[:, 0]  # (B, K): over all sequences that end here in that tag
        for t in range(1, emissions.shape[1]):
            further = torch.logsumexp(forward.unsqueeze(2) + steps, 1) + emissions[:, t]
            forward = torch.where((t < lengths).unsqueeze(1), further, forward)
        return torch.where(lengths > 0, torch.logsumexp(forward + end, 1), 0.0)

    def marginals(self, emissions: Tensor, lengths: Tensor) -> Tensor:
        """The probability (B, T, K) of each tag where it stands, over all sequences; zeros beyond a length.

        It is the gradient of the partition's logarithm with respect to the emissions.
        """
        with torch.inference_mode(False), torch.enable_grad():  # a gradient is wanted wherever this is called
            leaf = emissions.detach().clone().requires_grad_()
            (found,) = torch.autograd.grad(self.log_partition(leaf, lengths).sum(), leaf)
        return found

    @torch.no_grad()
    def decode(self, emissions: Tensor, lengths: Tensor) -> list[list[int]]:
        """The likeliest tags of each sequence (Viterbi 1967); of equals, the one whose last tags have lower ids."""
        start, steps, end = self._scores()
        if not emissions.shape[1]:
            return [[] for _ in lengths]
        best, came = start + emissions[:, 0], []
        for t in range(1, emissions.shape[1]):
            further, before = (best.unsqueeze(2) + steps).max(1)  # (B, K) each
            real = (t < lengths).unsqueeze(1)
            best = torch.where(real, further + emissions[:, t], best)
            came.append(torch.where(real, before, torch.arange(before.shape[1], device=before.device)))
        tag = (best + end).argmax(1)
        path = [tag]
        for before in reversed(came):
            tag = before.gather(1, tag.unsqueeze(1)).squeeze(1)
            path.append(tag)
        rows = torch.stack(path[::-1], 1).tolist()  # beyond a length, the last tag stays
        return [row[:length] for row, length in zip(rows, lengths.tolist(), strict=True)]

    def _scores(self) -> tuple[Tensor, Tensor, Tensor]:
        """Scores of first tags, steps and last tags, with what is not allowed out of the question."""
        return (
            self.start.masked_fill(~self.start_allowed, NEVER),
            self.transitions.masked_fill(~self.transitions_allowed, NEVER),
            self.end.masked_fill(~self.end_allowed, NEVER),
        )


def padded(rows: Tensor, lengths: Tensor, value: float = 0.0) -> Tensor:
    """The rows (P, ...) of all sequences, one after the other, laid out as (B, T, ...), filled up with `value`.

    >>> padded(torch.tensor([[5.0], [6.0], [7.0]]), torch.tensor([1, 0, 2])).squeeze(2).tolist()
    [[5.0, 0.0], [0.0, 0.0], [6.0, 7.0]]
    """
    steps = int(lengths.max()) if len(lengths) else 0
    real = torch.arange(steps, device=rows.device) < lengths.unsqueeze(1)
    laid = rows.new_full((len(lengths), steps, *rows.shape[1:]), value)
    return laid.masked_scatter(real.view(*real.shape, *[1] * (rows.dim() - 1)), rows)
