"""The settings of one stage of training: by cross-entropy, by a reward, or of what labels pictures, words or texts."""

from __future__ import annotations

import itertools
import math
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator

Selected = Literal["Bleu_1", "Bleu_2", "Bleu_3", "Bleu_4", "ROUGE_L", "CIDEr-D"]
Rewarded = Literal["CIDEr-D", "Bleu_4", "METEOR"]


class Section(BaseModel):
    """A part of a recipe: it has the keys below and no others."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class _Stage(Section):
    """What all stages have. A stage ends after `epochs`, or by `patience` once it had `epochs_at_least`."""

    epochs: int = Field(10, ge=1)
    epochs_at_least: int = Field(1, ge=1)
    optimizer: Literal["adamw", "adam"] = "adamw"
    betas: Annotated[tuple[float, float], Field(strict=False)] = (0.9, 0.999)
    learning_rate: float = Field(1e-3, gt=0)
    weight_decay: float = Field(0.01, ge=0)
    warmup: int = Field(100, ge=0)  # steps, but never more than a tenth of the stage's
    decay: Literal["constant", "cosine", "linear", "noam", "steps"] = "cosine"
    factors: tuple[Annotated[tuple[int, float], Field(strict=False)], ...] = Field((), strict=False)  # of "steps"
    floor: float = Field(0.02, ge=0, le=1)  # of the learning rate, at the end of a cosine or a line
    clip: float = Field(1.0, ge=0)
    average: float = Field(0.0, ge=0, lt=1)  # the decay of the weights' moving average, 0 for none
    patience: int = Field(5, ge=1)  # epochs without a better score on development data

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError(f"betas: received {list(self.betas)}; expected two numbers from 0 up to, not including, 1")
        if (self.decay == "steps") is not bool(self.factors):
            raise ValueError(
                f"factors: received {[list(pair) for pair in self.factors]} with decay '{self.decay}'; expected pairs "
                "of an epoch and a factor of the learning rate, such as [[1, 1.0], [11, 0.2]], with decay 'steps' alone"
            )
        starts = [epoch for epoch, _ in self.factors]
        if any(a >= b for a, b in itertools.pairwise([0, *starts])) or any(not f > 0 for _, f in self.factors):
            raise ValueError(
                f"factors: received {[list(pair) for pair in self.factors]}; expected epochs in rising order, the "
                "first one 1 or more, each with a factor above 0"
            )
        return self


class Stage(_Stage):
    """Training a captioner to say what people said, word by word.

    `scheduled_sampling` is the largest share of the words already said that are the model's own instead of the
    caption's; every so many epochs it grows by `scheduled_sampling_growth`, from 0 on.
    """

    objective: Literal["cross_entropy"] = "cross_entropy"
    pictures_per_batch: int = Field(10, ge=1)
    label_smoothing: float = Field(0.1, ge=0, lt=1)
    doubly_stochastic: float = Field(0.0, ge=0)
    scheduled_sampling: float = Field(0.0, ge=0, le=1)
    scheduled_sampling_growth: float = Field(0.05, gt=0, le=1)
    scheduled_sampling_every: int = Field(5, ge=1)
    select_by: Selected = "CIDEr-D"

    @property
    def batch_size(self) -> int:
        """How much goes into one step."""
        return self.pictures_per_batch

    def share_at(self, epoch: int) -> float:
        """The share of own words in an epoch, counted from 0.

        >>> stage = Stage(scheduled_sampling=0.25)
        >>> [round(stage.share_at(epoch), 2) for epoch in (0, 4, 5, 12, 99)]
        [0.0, 0.0, 0.05, 0.1, 0.25]
        """
        return min(self.scheduled_sampling, self.scheduled_sampling_growth * (epoch // self.scheduled_sampling_every))

    @property
    def short_of(self) -> str:
        """How far scheduled sampling comes within the epochs, where that is less than was asked for; else empty."""
        reached, asked = self.share_at(self.epochs - 1), self.scheduled_sampling
        if round(reached, 9) >= round(asked, 9):
            return ""
        steps = math.ceil(round(asked / self.scheduled_sampling_growth, 9))
        enough = steps * self.scheduled_sampling_every + 1
        return (
            f"scheduled_sampling: received {asked:g}, of which {self.epochs} epochs reach {reached:g}, as it grows by "
            f"{self.scheduled_sampling_growth:g} every {self.scheduled_sampling_every}; expected {enough} epochs, a "
            f"larger scheduled_sampling_growth or a smaller scheduled_sampling_every"
        )


class SelfCriticalStage(_Stage):
    """Training a captioner by what its own captions score (Rennie et al. 2017).

    `samples` captions of each picture are drawn, or are the beams of a search, each of at most `max_length` words.
    A reward weighs scores: CIDEr-D is from 0 to 10, BLEU-4 and METEOR from 0 to 1. `with_end` counts the end of a
    sentence as one of its words: without it, breaking off after "on top of a" costs nothing and buys CIDEr-D.
    `documents` says whose document frequencies CIDEr-D has. `dropout` keeps dropout where the captions are scored.
    `faithful` takes the loss's mean as the released M2 and S2 do: over `max_length` places, however short a caption.
    """

    objective: Literal["self_critical"]
    optimizer: Literal["adamw", "adam"] = "adam"
    learning_rate: float = Field(5e-6, gt=0)
    weight_decay: float = Field(0.0, ge=0)
    warmup: int = Field(0, ge=0)
    decay: Literal["constant", "cosine", "linear", "noam", "steps"] = "constant"
    pictures_per_batch: int = Field(10, ge=1)
    samples: int = Field(5, ge=1, le=1000)
    method: Literal["sample", "beam"] = "sample"
    temperature: float = Field(1.0, ge=0.01, le=100)
    max_length: int = Field(20, ge=1, le=1000)
    baseline: Literal["leave_one_out", "mean", "greedy"] = "leave_one_out"
    normalise: bool = False  # the advantages of a batch to a root mean square of 1
    reward: dict[Rewarded, float] = {"CIDEr-D": 1.0}
    with_end: bool = True
    documents: Literal["picture", "caption"] = "picture"
    dropout: bool = False
    faithful: bool = False
    select_by: Selected = "CIDEr-D"

    @property
    def batch_size(self) -> int:
        """How much goes into one step."""
        return self.pictures_per_batch

    @model_validator(mode="after")
    def _can_teach(self) -> Self:
        if self.samples == 1 and self.baseline != "greedy":
            raise ValueError(
                f"samples: received 1 with baseline '{self.baseline}'; expected 2 or more to compare, or baseline "
                "'greedy'"
            )
        if not any(self.reward.values()):
            raise ValueError(f"reward: received {self.reward}; expected a weight other than 0 for one score")
        if self.method == "beam" and self.temperature != 1:
            raise ValueError(
                f"temperature: received {self.temperature:g} with method 'beam', which draws nothing; expected 1"
            )
        return self


class TagStage(_Stage):
    """One stage of training a tagger."""

    sentences_per_batch: int = Field(32, ge=1)
    label_smoothing: float = Field(0.1, ge=0, lt=1)  # by word; with a CRF it is 0, and so by default
    select_by: Literal["accuracy", "F1"] = "accuracy"  # the F1 of spans

    @property
    def batch_size(self) -> int:
        """How much goes into one step."""
        return self.sentences_per_batch


class ConceptStage(_Stage):
    """One stage of learning which concepts a picture shows."""

    pictures_per_batch: int = Field(50, ge=1)
    select_by: Literal["mAP"] = "mAP"

    @property
    def batch_size(self) -> int:
        """How much goes into one step."""
        return self.pictures_per_batch


class ClassifyStage(_Stage):
    """One stage of learning to label texts."""

    texts_per_batch: int = Field(32, ge=1)
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    select_by: Literal["accuracy", "macro_F1"] = "accuracy"

    @property
    def batch_size(self) -> int:
        """How much goes into one step."""
        return self.texts_per_batch


def _objective(content: Any) -> Any:
    """Which kind of stage a section is; a stage that does not say learns by cross-entropy."""
    if isinstance(content, dict):
        return content.get("objective", "cross_entropy")
    return getattr(content, "objective", "cross_entropy")


OBJECTIVES: dict[str, type[_Stage]] = {"cross_entropy": Stage, "self_critical": SelfCriticalStage}
CaptionStage = Annotated[
    Annotated[Stage, Tag("cross_entropy")] | Annotated[SelfCriticalStage, Tag("self_critical")],
    Discriminator(_objective),
]
AnyStage = Stage | SelfCriticalStage | ConceptStage | TagStage | ClassifyStage
