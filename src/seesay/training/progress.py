"""Where a run stands; a checkpoint's header holds it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from seesay.errors import CheckpointError
from seesay.training.step import NOTHING


@dataclass
class Progress:
    """Where a run stands: the epoch and the position in it say which batch comes next."""

    step: int = 0
    epoch: int = 0  # whole epochs done, over all stages
    stage: int = 0
    stage_step: int = 0  # of the stage under way
    stage_epoch: int = 0
    position: int = 0  # batches done in the epoch under way
    sums: dict[str, float] = field(default_factory=dict)  # of the epoch under way: loss, tokens, what else was told
    best_score: float | None = None
    best_loss: float | None = None  # on development data, of the same epoch
    best_scores: dict[str, float] = field(default_factory=dict)  # all of that epoch's: the next stage may take another
    best_step: int = 0
    epochs_without_gain: int = 0
    done: bool = False

    def as_dict(self) -> dict[str, Any]:
        """For the header of a checkpoint."""
        return dataclasses.asdict(self)

    @classmethod
    def of(cls, header: dict[str, Any], source: Path) -> Progress:
        """Where the checkpoint with this header stands; `source` names its run in the error."""
        try:
            return cls(**header["progress"])
        except (KeyError, TypeError):
            raise CheckpointError(
                f"{source}: its checkpoint does not say how far it came; expected one of this seesay; begin a new run."
            ) from None

    def add(self, sums: Mapping[str, float]) -> None:
        """Add what a step came to, to that of its epoch.

        >>> progress = Progress(sums={"loss": 1.5})
        >>> progress.add({"loss": 0.5, "tokens": 3})
        >>> progress.sums
        {'loss': 2.0, 'tokens': 3}
        """
        for name, value in sums.items():
            self.sums[name] = self.sums.get(name, 0) + value

    def offer(self, score: float, loss: float, scores: Mapping[str, float] = NOTHING) -> bool:
        """Whether an epoch with this score and loss is the best so far, which is then remembered with all its scores.

        Scores are compared to three decimals, and equal ones are decided by the loss, also to three: where a model has
        hardly begun to describe, its score is noise.

        >>> progress = Progress()
        >>> [progress.offer(*epoch) for epoch in ((0.0002, 5.0), (0.0001, 4.0), (0.0004, 4.0), (0.01, 4.5))]
        [True, True, False, True]
        """
        if self.best_score is not None and _rank(score, loss) <= _rank(self.best_score, self.best_loss):
            return False
        self.best_score, self.best_loss, self.best_step = score, loss, self.step
        self.best_scores = dict(scores)
        return True

    def select_by(self, name: str) -> None:
        """Compare epochs by the score of this name from here on: what is to be beaten is the best epoch's own.

        >>> progress = Progress()
        >>> progress.offer(0.1, 5.0, {"CIDEr-D": 0.1, "Bleu_1": 0.4})
        True
        >>> progress.select_by("Bleu_1")
        >>> progress.offer(0.3, 4.0), progress.best_score
        (False, 0.4)
        """
        self.best_score = self.best_scores.get(name, self.best_score)


def _rank(score: float, loss: float | None) -> tuple[float, float]:
    return round(score, 3), -math.inf if loss is None else -round(loss, 3)
