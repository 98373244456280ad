"""What a model runs on: torch, or seesay's own engine on NumPy, which needs nothing else.

Everything that differs between the two is behind `Engine`; training, decoding and the command line see no more of them.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from seesay.checkpoint import Arrays
from seesay.decoding.settings import Decoding, Hypothesis
from seesay.errors import MissingPart, UnknownName
from seesay.training.schedules import Schedule
from seesay.training.step import Step
from seesay.training.worth import Judge

if TYPE_CHECKING:  # recipes take a tenth of a second to import, which using a model need not wait for
    from seesay.recipe import AnyStage, Training

ENGINES = ("torch", "numpy")


class Engine(Protocol):
    """Makes models, trains them and asks them. A model is what the engine's own `build` returned, opaque to others."""

    name: str

    def about(self) -> dict[str, Any]:
        """What later bits depend on besides the recipe: versions and the number of threads."""

    def check(self, stages: Sequence[AnyStage], training: Training) -> None:
        """Raises RecipeError for what this engine does not do: it is refused, not left out."""

    def complete(self, task: str, name: str, settings: Mapping[str, Any]) -> dict[str, Any]:
        """A model's settings with the defaults of those not given, so that no later default can change the model."""

    def build(self, task: str, name: str, settings: Mapping[str, Any], sizes: Mapping[str, Any], seed: int) -> Any:
        """A fresh model; `sizes` are those that the data decide. No random numbers but its own are used up."""

    def move(self, model: Any, device: str) -> Any:
        """The model on that device; RecipeError where there is none."""

    def copy(self, model: Any) -> Any:
        """A second model with the same weights."""

    def follow(self, average: Any, model: Any, decay: float, step: int) -> None:
        """Move every weight of `average` a little towards `model`'s."""

    def optimizer(self, model: Any, stage: AnyStage) -> Any:
        """The optimiser that a stage asks for."""

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
        """Update the model once a batch; the random numbers of a step depend on `seed` and its number alone.

        `epoch` is the stage's, from 0; a self-critical stage needs a `judge`.
        """

    def mean_loss(self, model: Any, batches: Iterable[Any], task: str, device: str) -> float:
        """The plain loss of a word, tag, label or concept, over all batches, without dropout."""

    def pack(self, model: Any, average: Any | None, optimizer: Any) -> Arrays:
        """Weights, averaged weights and optimiser moments under the prefixes model/, average/ and optimizer/."""

    def load(self, model: Any, arrays: Arrays, prefix: str, source: str) -> None:
        """Load the arrays under `prefix`; every name and shape must fit. `source` names the file in errors."""

    def load_moments(self, optimizer: Any, arrays: Arrays) -> None:
        """Load the optimiser's moments; its settings come from the recipe."""

    def describe(
        self,
        model: Any,
        features: NDArray[Any],
        decoding: Decoding,
        seeds: Sequence[int] | None,
        device: str,
        more: Sequence[NDArray[Any]] = (),
    ) -> list[list[Hypothesis]]:
        """Sentences about features (B, R, D), for each picture the best first; sampling draws by the picture's seed,
        and without `seeds` other ones each time.

        `more` is what else the model's `start` is given, a row for each picture: concepts and answers.
        """

    def log_likelihoods(self, model: Any, batch: Any, device: str) -> NDArray[np.float64]:
        """How likely the model finds each sentence of a batch (N,): the sum of the log-probabilities of its words."""

    def concepts(self, model: Any, features: NDArray[Any], mask: NDArray[np.bool_], device: str) -> NDArray[np.float32]:
        """How likely features (B, R, D), whose real regions `mask` (B, R) tells, show each concept: (B, C)."""

    def tag(self, model: Any, batch: Any, device: str) -> list[NDArray[Any]]:
        """The ids of the best tags of each sentence of a TagBatch."""

    def classify(self, model: Any, batch: Any, device: str) -> NDArray[np.float64]:
        """The probability of each label for each text of a TextBatch: (B, labels)."""


def parameter_groups(model: Any, weight_decay: float) -> list[dict[str, Any]]:
    """A model's parameters for an optimiser: decay is for matrices, as biases and norms have nothing to shrink for.

    >>> from seesay.scratch import nn
    >>> [(len(group["params"]), group["weight_decay"]) for group in parameter_groups(nn.Linear(2, 3), 0.1)]
    [(1, 0.1), (1, 0.0)]
    """
    parameters = list(model.parameters())
    matrices, vectors = [p for p in parameters if p.ndim > 1], [p for p in parameters if p.ndim <= 1]
    return [{"params": matrices, "weight_decay": weight_decay}, {"params": vectors, "weight_decay": 0.0}]


def has_torch() -> bool:
    """Whether torch is installed.

    >>> isinstance(has_torch(), bool)
    True
    """
    try:
        return importlib.util.find_spec("torch") is not None
    except ImportError:
        return False


def open_engine(name: str) -> Engine:
    """The engine of that name; UnknownName for another, MissingPart for torch where it is not installed.

    >>> open_engine("numpy").name
    'numpy'
    """
    if name not in ENGINES:
        raise UnknownName("engine", name, ENGINES)
    if name == "numpy":
        from seesay.engines.numpy_engine import NumpyEngine

        return NumpyEngine()
    if not has_torch():
        raise MissingPart(
            "torch: not installed; expected it for engine 'torch'; install it, or say training.engine=numpy in a "
            "recipe of a model that the NumPy engine has."
        )
    from seesay.engines.torch_engine import TorchEngine

    return TorchEngine()
