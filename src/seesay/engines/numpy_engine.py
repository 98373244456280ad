"""seesay's own engine: recurrent models on NumPy, with gradients derived by hand. It needs nothing else."""

from __future__ import annotations

import copy
import inspect
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seesay.checkpoint import Arrays
from seesay.cores import single_threaded_products
from seesay.data.batches import CaptionBatch
from seesay.decoding import numpy_search
from seesay.decoding.settings import Decoding, Hypothesis
from seesay.engines import has_torch, parameter_groups
from seesay.errors import RecipeError
from seesay.recipe import AnyStage, SelfCriticalStage, Stage, TagStage, Training
from seesay.scratch import Tensor, functional, no_grad, optim
from seesay.scratch.captioner import Captioner
from seesay.scratch.tagger import Tagger
from seesay.settings import check_arrays, check_settings
from seesay.training.schedules import Schedule, averaging_weight
from seesay.training.step import Step, check_finite, seed_of
from seesay.training.worth import Judge

MODELS: dict[str, dict[str, Any]] = {"caption": {"captioning_rnn": Captioner}, "tag": {"bilstm_tagger": Tagger}}
_NOT_SETTINGS = {"dtype", "seed", "pad"}
_OF_TORCH_ALONE = ("characters", "crf", "constraints", "variational")  # settings of a tagger
_OF_LETTERS = {"character_size", "filter_size", "window_size"}  # without letters they say nothing


class NumpyEngine:
    """See `seesay.engines.Engine`."""

    name = "numpy"

    def about(self) -> dict[str, Any]:
        """Versions. The number of threads changes no bit: layers share out whole sums, and a product has one thread."""
        return {"numpy": np.__version__}

    def check(self, stages: Sequence[AnyStage], training: Training) -> None:
        """Single precision, and plain cross-entropy."""
        if training.precision != "float32":
            raise RecipeError(
                f"training.precision: received '{training.precision}' with engine 'numpy'; expected 'float32'."
            )
        for number, stage in enumerate(stages):
            if isinstance(stage, SelfCriticalStage):
                raise RecipeError(
                    f"stages.{number}.objective: received 'self_critical' with engine 'numpy'; expected "
                    "'cross_entropy'; or take engine 'torch'."
                )
            for key in ("doubly_stochastic", "scheduled_sampling") if isinstance(stage, Stage) else ():
                if value := getattr(stage, key):
                    raise RecipeError(
                        f"stages.{number}.{key}: received {value:g} with engine 'numpy', which has none; expected 0; "
                        "or take engine 'torch'."
                    )

    def complete(self, task: str, name: str, settings: Mapping[str, Any]) -> dict[str, Any]:
        """All settings of a model."""
        known = MODELS.get(task, {})
        if name not in known:
            raise _unknown(name, task)
        parameters = inspect.signature(known[name].__init__).parameters.values()
        defaults = {p.name: p.default for p in parameters if p.default is not p.empty and p.name not in _NOT_SETTINGS}
        if task == "tag":
            settings = _without_torchs(settings)
        check_settings(name, settings, defaults)
        return defaults | dict(settings)

    def build(self, task: str, name: str, settings: Mapping[str, Any], sizes: Mapping[str, Any], seed: int) -> Any:
        """A fresh model."""
        if "frame_size" in sizes:
            raise RecipeError(
                "data.train: received frames with engine 'numpy', which reads words; take engine 'torch'."
            )
        complete = self.complete(task, name, settings)  # refuses a model that this engine does not have
        return MODELS[task][name](**sizes, **complete, seed=seed)

    def move(self, model: Any, device: str) -> Any:
        """The model itself; there is only the CPU."""
        if device != "cpu":
            raise RecipeError(f"device: received '{device}'; expected cpu, as engine 'numpy' knows no other.")
        return model

    def copy(self, model: Any) -> Any:
        """A second model with the same weights."""
        return copy.deepcopy(model)

    def follow(self, average: Any, model: Any, decay: float, step: int) -> None:
        """Move the average."""
        weight = averaging_weight(decay, step)
        for mean, parameter in zip(average.parameters(), model.parameters(), strict=True):
            mean.data += weight * (parameter.data - mean.data)

    def optimizer(self, model: Any, stage: AnyStage) -> optim.Adam:
        """Adam or AdamW."""
        kind: type[optim.Adam] = {"adamw": optim.AdamW, "adam": optim.Adam}[stage.optimizer]
        return kind(parameter_groups(model, stage.weight_decay), lr=stage.learning_rate, betas=stage.betas)

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
        self.check([stage], training)
        assert isinstance(stage, Stage | TagStage)
        parameters = list(model.parameters())
        for number, batch in enumerate(batches, first):
            rate = schedule(number)
            for group in optimizer.param_groups:
                group["lr"] = rate
            model.seed(np.random.default_rng(seed_of(seed, number)))
            model.train()
            with single_threaded_products():
                loss, count = loss_of(model, batch, stage.label_smoothing)
                optimizer.zero_grad()
                (loss / max(1, count)).backward()
            norm = optim.clip_grad_norm_(parameters, stage.clip or math.inf)
            step = Step(number, loss.item() / max(1, count), count, rate, norm)
            check_finite(step, batch.items)
            optimizer.step()
            yield step

    def mean_loss(self, model: Any, batches: Iterable[Any], task: str, device: str) -> float:
        """The plain cross-entropy of a word or tag."""
        model.eval()
        total, count = 0.0, 0
        with no_grad(), single_threaded_products():
            for batch in batches:
                loss, words = loss_of(model, batch)
                total, count = total + loss.item(), count + words
        return total / max(1, count)

    def pack(self, model: Any, average: Any | None, optimizer: Any) -> Arrays:
        """All that must be kept."""
        arrays = {f"model/{name}": array for name, array in model.state_dict().items()}
        if average is not None:
            arrays |= {f"average/{name}": array for name, array in average.state_dict().items()}
        return arrays | {f"optimizer/{name}": array for name, array in optimizer.state_dict().items()}

    def load(self, model: Any, arrays: Arrays, prefix: str, source: str) -> None:
        """Load weights."""
        found = _under(arrays, prefix)
        check_arrays({name: array.shape for name, array in model.state_dict().items()}, found, source)
        model.load_state_dict(found)

    def load_moments(self, optimizer: Any, arrays: Arrays) -> None:
        """Load the optimiser's moments."""
        optimizer.load_state_dict(_under(arrays, "optimizer/"))

    def describe(
        self,
        model: Any,
        features: NDArray[Any],
        decoding: Decoding,
        seeds: Sequence[int] | None,
        device: str,
        more: Sequence[NDArray[Any]] = (),
    ) -> list[list[Hypothesis]]:
        """Sentences about features; no model of this engine is given more."""
        generators = None if seeds is None else [np.random.default_rng(seed) for seed in seeds]
        model.eval()
        with single_threaded_products():
            state = model.start(features, np.ones(features.shape[:2], bool))
            return numpy_search.decode(model, state, decoding, generators)

    def log_likelihoods(self, model: Any, batch: Any, device: str) -> NDArray[np.float64]:
        """No model of this engine is asked for it."""
        raise NotImplementedError

    def concepts(self, model: Any, features: NDArray[Any], mask: NDArray[np.bool_], device: str) -> NDArray[np.float32]:
        """This engine has no model of concepts."""
        raise NotImplementedError

    def tag(self, model: Any, batch: Any, device: str) -> list[NDArray[Any]]:
        """The best tags."""
        model.eval()
        with single_threaded_products():
            found: list[NDArray[Any]] = model.tag(batch.ids, batch.lengths)
        return found

    def classify(self, model: Any, batch: Any, device: str) -> NDArray[np.float64]:
        """This engine has no classifier."""
        raise NotImplementedError


def loss_of(model: Any, batch: Any, label_smoothing: float = 0.0) -> tuple[Tensor, int]:
    """The cross-entropy summed over the real words or tags of a batch, and how many there are."""
    if isinstance(batch, CaptionBatch):
        logits, targets = model(batch.features, batch.mask, batch.tokens, batch.rows)
    else:
        logits, targets = model(batch.ids, batch.lengths), batch.targets
    loss = functional.cross_entropy(logits, targets, ignore_index=-1, reduction="sum", label_smoothing=label_smoothing)
    return loss, int((targets >= 0).sum())


def _unknown(name: str, task: str) -> RecipeError:
    """The error for a model that this engine does not have for the task."""
    for other, known in MODELS.items():
        if name in known:
            return RecipeError(f"model.name: received '{name}', a model for task '{other}'; expected one for '{task}'.")
    instead = "take engine 'torch'" if has_torch() else "install torch, whose engine has more"
    if task not in MODELS:
        return RecipeError(f"training.engine: received 'numpy', which has no model for task '{task}'; {instead}.")
    return RecipeError(
        f"model.name: received '{name}' with engine 'numpy'; expected {', '.join(MODELS[task])}, all that it has for "
        f"task '{task}'; choose from these, or {instead}."
    )


def _without_torchs(settings: Mapping[str, Any]) -> dict[str, Any]:
    """A tagger's settings without those that only torch's has; RecipeError where one of these is asked for."""
    for key in _OF_TORCH_ALONE:
        if settings.get(key):
            raise RecipeError(
                f"model.{key}: received {settings[key]!r} with engine 'numpy', which has none; expected it to be left "
                "out; or take engine 'torch'."
            )
    return {key: value for key, value in settings.items() if key not in {*_OF_TORCH_ALONE, *_OF_LETTERS}}


def _under(arrays: Arrays, prefix: str) -> Arrays:
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
