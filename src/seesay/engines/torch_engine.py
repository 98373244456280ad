"""The engine of all models: torch."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from seesay import models
from seesay.checkpoint import Arrays
from seesay.decoding import search
from seesay.decoding.settings import Decoding, Hypothesis
from seesay.engines import parameter_groups
from seesay.text.vocabulary import PAD
from seesay.training import averaging, loop, state
from seesay.training.objectives import PLAIN, Classifying, CrossEntropy, Naming, Objective, Tagging
from seesay.training.schedules import Schedule
from seesay.training.self_critical import SelfCritical
from seesay.training.step import Step
from seesay.training.worth import Judge

if TYPE_CHECKING:  # recipes take a tenth of a second to import, which using a model need not wait for
    from seesay.recipe import AnyStage, SelfCriticalStage, Training


class TorchEngine:
    """See `seesay.engines.Engine`."""

    name = "torch"

    def about(self) -> dict[str, Any]:
        """Versions and threads."""
        return {"torch": torch.__version__, "threads": torch.get_num_threads()}

    def check(self, stages: Sequence[AnyStage], training: Training) -> None:
        """There is nothing that this engine does not do."""

    def complete(self, task: str, name: str, settings: Mapping[str, Any]) -> dict[str, Any]:
        """All settings of a model."""
        models.check_task(name, task)
        return models.complete(name, settings)

    def build(self, task: str, name: str, settings: Mapping[str, Any], sizes: Mapping[str, Any], seed: int) -> Any:
        """A fresh model, drawn apart: the caller's own random numbers go on as if there were none."""
        models.check_task(name, task)
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            return models.build(name, settings, **sizes)

    def move(self, model: Any, device: str) -> Any:
        """The model on that device."""
        return models.move(model, device)

    def copy(self, model: Any) -> Any:
        """A second model with the same weights."""
        return copy.deepcopy(model)

    def follow(self, average: Any, model: Any, decay: float, step: int) -> None:
        """Move the average."""
        averaging.follow(average, model, decay, step)

    def optimizer(self, model: nn.Module, stage: AnyStage) -> torch.optim.Optimizer:
        """Adam or AdamW."""
        kind: type[torch.optim.Adam] = {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam}[stage.optimizer]
        # Fused, an update is one pass over the weights instead of ten: a third of the time.
        groups = parameter_groups(model, stage.weight_decay)
        return kind(groups, lr=stage.learning_rate, betas=stage.betas, fused=True)

    def fit(
        self,
        model: Any,
        batches: Iterable[Any],
        stage: AnyStage,
        optimizer: Any,
        schedule: Schedule,
        training: Training,
        *,
        first: int,
        seed: int,
        epoch: int = 0,
        judge: Judge | None = None,
    ) -> Iterator[Step]:
        """Update the model once a batch."""
        return loop.fit(
            model,
            batches,
            objective_of(stage, epoch, judge),
            optimizer,
            schedule,
            first=first,
            seed=seed,
            clip=stage.clip,
            precision=training.precision,
            device=training.device,
        )

    def mean_loss(self, model: Any, batches: Iterable[Any], task: str, device: str) -> float:
        """The task's plain loss."""
        return loop.mean_loss(model, batches, PLAIN[task], device)

    def pack(self, model: Any, average: Any | None, optimizer: Any) -> Arrays:
        """All that must be kept."""
        return state.pack(model, average, optimizer)

    def load(self, model: Any, arrays: Arrays, prefix: str, source: str) -> None:
        """Load weights."""
        models.load_weights(model, arrays, prefix, source)

    def load_moments(self, optimizer: Any, arrays: Arrays) -> None:
        """Load the optimiser's moments."""
        state.unpack_optimizer(optimizer, arrays)

    def describe(
        self,
        model: Any,
        features: NDArray[Any],
        decoding: Decoding,
        seeds: Sequence[int] | None,
        device: str,
        more: Sequence[NDArray[Any]] = (),
    ) -> list[list[Hypothesis]]:
        """Sentences about features."""
        whole = torch.from_numpy(np.asarray(features, dtype=np.float32)).to(device)
        model.eval()
        with torch.no_grad():
            rest = [loop.to_tensor(array, device) for array in more]
            first = model.start(whole, torch.ones(whole.shape[:2], dtype=torch.bool, device=device), *rest)
        found = search.decode(model, first, decoding, _drawing_by(seeds, device))
        return [[_plain(one) for one in some] for some in found]

    @torch.no_grad()
    def log_likelihoods(self, model: Any, batch: Any, device: str) -> NDArray[np.float64]:
        """The sum of the log-probabilities of each sentence's words."""
        model.eval()
        forced = model(*batch.map(lambda array: loop.to_tensor(array, device)).inputs)
        words = -torch.nn.functional.cross_entropy(forced.logits.double(), forced.targets, reduction="none")
        lengths = (batch.tokens[:, 1:] != PAD).sum(1)
        sentences = torch.split(words.cpu(), lengths.tolist())
        return np.array([sentence.sum().item() for sentence in sentences], dtype=np.float64)

    @torch.no_grad()
    def concepts(self, model: Any, features: NDArray[Any], mask: NDArray[np.bool_], device: str) -> NDArray[np.float32]:
        """The probabilities of the concepts."""
        model.eval()
        whole = torch.from_numpy(np.asarray(features, dtype=np.float32)).to(device)
        logits = model(whole, torch.from_numpy(np.asarray(mask, dtype=bool)).to(device))
        found: NDArray[np.float32] = logits.float().sigmoid().cpu().numpy()
        return found

    @torch.no_grad()
    def tag(self, model: Any, batch: Any, device: str) -> list[NDArray[Any]]:
        """The best tags."""
        model.eval()
        tensors = batch.map(lambda array: loop.to_tensor(array, device))
        best: NDArray[Any] = model.best(model(*tensors.inputs), tensors.lengths).cpu().numpy()
        return np.split(best, np.cumsum(batch.lengths)[:-1])

    @torch.no_grad()
    def classify(self, model: Any, batch: Any, device: str) -> NDArray[np.float64]:
        """The probabilities of the labels."""
        model.eval()
        tensors = batch.map(lambda array: loop.to_tensor(array, device))
        found: NDArray[np.float64] = model(tensors.ids, tensors.lengths).double().softmax(-1).cpu().numpy()
        return found


def objective_of(stage: AnyStage, epoch: int = 0, judge: Judge | None = None) -> Objective:
    """What a stage minimises in its `epoch`, counted from 0; a self-critical one needs a `judge`."""
    from seesay.recipe import ClassifyStage, ConceptStage, SelfCriticalStage, TagStage

    if isinstance(stage, TagStage):
        return Tagging(stage.label_smoothing)
    if isinstance(stage, ClassifyStage):
        return Classifying(stage.label_smoothing)
    if isinstance(stage, ConceptStage):
        return Naming()
    if isinstance(stage, SelfCriticalStage):
        assert judge is not None, "a self-critical stage without anyone to judge"
        return SelfCritical(judge, _drawing(stage), stage.baseline, stage.normalise, stage.dropout, stage.faithful)
    return CrossEntropy(stage.label_smoothing, stage.doubly_stochastic, stage.share_at(epoch))


def _drawing_by(seeds: Sequence[int] | None, device: str) -> torch.Generator | list[torch.Generator]:
    """Where random numbers come from: each picture's own seed, or without seeds the system's, other ones each time."""
    if seeds is not None:
        return [torch.Generator(device).manual_seed(seed) for seed in seeds]
    generator = torch.Generator(device)
    generator.seed()
    return generator


def _drawing(stage: SelfCriticalStage) -> Decoding:
    """How a self-critical stage comes by its captions."""
    if stage.method == "beam":
        return Decoding("beam", beam=stage.samples, max_length=stage.max_length)
    return Decoding("sample", candidates=stage.samples, max_length=stage.max_length, temperature=stage.temperature)


def _plain(hypothesis: Hypothesis) -> Hypothesis:
    """The same with its attention as an array."""
    where = hypothesis.attention
    return hypothesis if where is None else hypothesis._replace(attention=where.float().cpu().numpy())
