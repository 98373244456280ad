"""A trained captioner in use: from photographs or features to sentences, with where the model looked for each word."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seesay.arguments import listed
from seesay.consensus import by_consensus, frequencies_of
from seesay.decoding.settings import PRECISIONS, Decoding, Hypothesis, as_asked, resolve
from seesay.engines import Engine
from seesay.errors import CheckpointError, DataError, RecipeError, UnknownName
from seesay.metrics.cider import CiderD
from seesay.photographs import BATCH, OF_SIGHTED, Picture, Sighted
from seesay.restoring import open_run
from seesay.text.vocabulary import Vocabulary

ROWS = 600  # sentences under way at a time: what fits in memory everywhere
LIKELY, DRAWN = 30, 100  # sentences that a search by consensus chooses from, and those that they are judged by
_HEADER = OF_SIGHTED | {"decoding": dict}  # what a checkpoint must say of itself to be used


@dataclass(frozen=True)
class Caption:
    """One sentence about a picture."""

    text: str
    score: float  # log-probability, over length ** length_penalty; by consensus, the CIDEr-D to be expected (0 to 10)
    tokens: tuple[str, ...]
    attention: NDArray[np.float32] | None = field(compare=False)  # (len(tokens), R)

    def as_dict(self) -> dict[str, Any]:
        """What `seesay caption --json` prints of it."""
        return {"text": self.text, "score": self.score}


@dataclass(frozen=True)
class Captioner(Sighted):
    """A model with its words; make one with `Captioner.open(run)`."""

    engine: Engine
    model: Any  # as the engine built it
    vocabulary: Vocabulary
    header: dict[str, Any]  # of the checkpoint
    device: str = "cpu"
    run: Path | None = None  # its folder
    positions: int | None = None  # of the model, if it has such: the most words of a caption

    @classmethod
    def open(
        cls, run: Path | str, device: str = "cpu", engine: str | None = None, precision: str = "float32"
    ) -> Captioner:
        """Read the best checkpoint of a run folder, or a given checkpoint file within one.

        `engine` is "torch" or "numpy"; None takes the one that trained it, or the other where that is not installed.
        `precision` is "float32", which changes nothing, or "bf16" or "int8", which compute faster and less exactly.
        """
        opened = open_run(run, "caption", _HEADER, Vocabulary.load)
        check_search(opened.header, opened.file)
        sizes = {"feature_size": opened.header["model"]["feature_size"], "vocabulary_size": len(opened.words)}
        chosen, model = opened.restore(sizes, engine, device)
        folder, positions = opened.file.parent.parent, opened.header["model"]["settings"].get("positions")
        return cls(chosen, _at(precision, chosen, model), opened.words, opened.header, device, folder, positions)

    @classmethod
    def together(
        cls, runs: Sequence[Path | str], device: str = "cpu", engine: str | None = None, precision: str = "float32"
    ) -> Captioner:
        """Several runs as one captioner, that says the next word by the mean of their probabilities; one run is itself.

        They need the same vocabulary and the same encoder; the first one's search is used. torch alone.
        """
        runs = listed(runs, "runs", "a list of run folders")
        if not runs:
            raise DataError("runs: received none; expected one run folder at least; name one.")
        several = [cls.open(run, device, engine, precision) for run in runs]
        first = several[0]
        if len(several) == 1:
            return first
        for run, other in zip(runs[1:], several[1:], strict=True):
            for key in ("vocabulary", "encoder"):
                if other.header[key] != first.header[key]:
                    raise CheckpointError(
                        f"{run}: received another {key} than that of {runs[0]}; expected the same; train both on the "
                        "same captions and features, or use one of them."
                    )
            if other.engine.name != "torch" or first.engine.name != "torch":
                raise RecipeError(f"{run}: received with engine 'numpy', for several runs; expected engine 'torch'.")
        from seesay.decoding.ensemble import Ensemble

        positions = min((each.positions for each in several if each.positions), default=None)
        return dataclasses.replace(first, model=Ensemble([each.model for each in several]), positions=positions)

    @property
    def decoding(self) -> Decoding:
        """The search that the run's recipe asks for."""
        return Decoding(**self.header["decoding"])

    @cached_property
    def frequencies(self) -> CiderD:
        """How much words weigh in a search by consensus; DataError where neither the run nor its captions say it."""
        if self.run is None:
            raise RecipeError(
                "decoding.method: received 'consensus' without a run folder; expected Captioner.open(run)."
            )
        return frequencies_of(self.run)

    def caption(
        self, pictures: Sequence[Picture], decoding: Decoding | None = None, seed: int | None = None
    ) -> list[list[Caption]]:
        """Captions of photographs (paths, the bytes of files, or opened ones), for each the best first.

        `seed` makes sampling repeatable; without one, each call draws anew. Raises DataError for a picture that
        cannot be read.
        """
        return [captions for _, captions in self.stream(pictures, decoding, seed)]

    def stream(
        self,
        pictures: Iterable[Picture],
        decoding: Decoding | None = None,
        seed: int | None = None,
        on_bad: Callable[[DataError], None] | None = None,
    ) -> Iterator[tuple[Picture, list[Caption]]]:
        """Each photograph with its captions, as they come; one photograph is opened at a time.

        With `on_bad`, a picture that cannot be read is told there and left out. A sampled caption depends on `seed` and
        on the picture's place, not on its neighbours.
        """
        for seen in self.see(pictures, on_bad, at_once(BATCH, as_asked(decoding, self.decoding))):
            found = self.describe(seen.features, decoding, seed, [str(place) for place in seen.places])
            yield from zip(seen.pictures, found, strict=True)

    def describe(
        self,
        features: NDArray[Any],
        decoding: Decoding | None = None,
        seed: int | None = None,
        names: Sequence[str] | None = None,
    ) -> list[list[Caption]]:
        """Captions of features (B, R, D), for each picture the best first and no sentence twice.

        With `seed`, sampling draws for each picture by the seed and the picture's name, by default its place; a search
        by consensus draws with the seed 0 where none is given, as it is a search.
        """
        self.check_features(features)
        resolved = resolve(as_asked(decoding, self.decoding), self.vocabulary)
        if self.positions and resolved.max_length > self.positions:
            raise RecipeError(
                f"decoding.max_length: received {resolved.max_length}; expected at most the model's positions, "
                f"{self.positions}; have fewer words said."
            )
        named = [*range(len(features))] if names is None else listed(names, "names", "a list of names")
        if len(named) != len(features):
            raise DataError(f"names: received {len(named)} for {len(features)} pictures; expected one for each.")
        if resolved.method == "consensus":
            found = self._agreed(features, resolved, [_seed_of(seed or 0, name) for name in named])
        else:
            seeds = None if seed is None else [_seed_of(seed, name) for name in named]
            found = self.engine.describe(self.model, features, resolved, seeds, self.device)
        return [_distinct([self._caption(hypothesis) for hypothesis in some]) for some in found]

    def _agreed(self, features: NDArray[Any], decoding: Decoding, seeds: list[int]) -> list[list[Hypothesis]]:
        """The sentences of a beam, for each picture the one first that agrees best with those drawn."""
        likely, drawn = (
            self.engine.describe(self.model, features, part, seeds, self.device) for part in decoding.parts()
        )
        return [
            by_consensus(some, others, self.frequencies, self.vocabulary.decode)[: decoding.wanted or None]
            for some, others in zip(likely, drawn, strict=True)
        ]

    def _caption(self, hypothesis: Hypothesis) -> Caption:
        tokens = tuple(self.vocabulary.decode(hypothesis.tokens))
        return Caption(" ".join(tokens), hypothesis.score, tokens, hypothesis.attention)


def _at(precision: str, engine: Engine, model: Any) -> Any:
    """The model at that precision; float32 is what its weights are kept in."""
    if precision not in PRECISIONS:
        raise UnknownName("precision", precision, PRECISIONS)
    if precision == "float32":
        return model
    if engine.name != "torch":
        raise RecipeError(f"--precision {precision}: received with engine '{engine.name}'; expected engine 'torch'.")
    from seesay.decoding.inference import prepare  # brings torch, which the other engine does without

    return prepare(model, precision)


def _seed_of(seed: int, name: object) -> int:
    """The seed of one picture's own random numbers."""
    digest = hashlib.sha256(f"{seed} {name}".encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def with_options(decoding: Decoding, **changes: Any) -> Decoding:
    """`decoding` with the options that a person gave; None leaves one as it is."""
    return dataclasses.replace(decoding, **{key: value for key, value in changes.items() if value is not None})


def at_once(most: int, decoding: Decoding) -> int:
    """How many pictures, at most `most`, to describe at a time: fewer where each has many sentences under way."""
    return max(1, min(most, ROWS // decoding.rows))


def choose_search(
    usual: Decoding,
    beam: int | None,
    n_best: int,
    sample: bool,
    drawing: Mapping[str, Any],
    seed: int | None,
    further: Mapping[str, Any] | None = None,
    consensus: bool = False,
    drawn: int | None = None,
) -> Decoding:
    """The search that a person's options ask for, over the run's own one; `drawing` are the options of sampling.

    What was not given is None. `further` are options of any search by their names in `Decoding`; `drawn` is how many
    captions a search by `consensus` draws.
    Raises RecipeError for an option that would have no effect.

    >>> choose_search(Decoding("greedy"), None, 3, False, {}, None)
    Decoding(method='beam', beam=5, max_length=20, ..., wanted=3, ...)
    """
    further = dict(further or {})
    if sample and (beam or consensus):
        other = f"--beam {beam}" if beam else "--consensus"
        raise RecipeError(f"--sample, {other}: received both; expected one: the other searches, --sample draws.")
    if consensus or (usual.method == "consensus" and not beam and not sample):
        agreed = by_agreement(usual, beam, drawn)
        _check_width(agreed.beam, n_best)
        return with_options(agreed, wanted=n_best, **drawing, **further)
    if drawn:
        raise RecipeError(f"--drawn {drawn}: received without --consensus; expected with it, for its judges; add it.")
    if sample or (usual.method == "sample" and not beam):
        candidates = max(n_best, usual.candidates if usual.method == "sample" else 1)
        return with_options(usual, method="sample", candidates=candidates, **drawing, **further)
    given = [name for name, value in {**drawing, "seed": seed}.items() if value is not None]
    if given:
        names = ", ".join(f"--{name.replace('_', '-')}" for name in given)
        raise RecipeError(f"{names}: received without --sample; expected with it, as a search draws nothing; add it.")
    if beam:
        _check_width(beam, n_best)
    if beam or n_best > 1:
        return with_options(usual, method="beam", beam=beam or max(usual.beam, n_best), wanted=n_best, **further)
    return with_options(usual, wanted=1, **further)


def by_agreement(usual: Decoding, beam: int | None = None, drawn: int | None = None) -> Decoding:
    """The search by consensus that a person asks for, over the run's own one.

    >>> chosen = by_agreement(Decoding("greedy"))
    >>> chosen.method, chosen.beam, chosen.candidates
    ('consensus', 30, 100)
    """
    if usual.method == "consensus":
        return with_options(usual, beam=beam, candidates=drawn)
    candidates = drawn or max(usual.candidates, DRAWN)
    return dataclasses.replace(usual, method="consensus", beam=beam or max(usual.beam, LIKELY), candidates=candidates)


def _check_width(beam: int, n_best: int) -> None:
    if beam < n_best:
        raise RecipeError(
            f"--n-best {n_best}: received with --beam {beam}; expected at most {beam}, as a beam finds no more "
            "captions than it is wide; widen it."
        )


def check_search(header: dict[str, Any], file: Path) -> None:
    """Raises CheckpointError where the search that a checkpoint `file` asks for is none of this seesay."""
    try:
        Decoding(**header["decoding"])
    except (RecipeError, UnknownName) as fault:
        raise CheckpointError(f"{file}: {fault}") from None
    except TypeError as fault:
        raise CheckpointError(
            f"{file}: received another kind of decoding ({fault}); expected a checkpoint of this seesay; train anew."
        ) from None


def _distinct(captions: list[Caption]) -> list[Caption]:
    return list({caption.text: caption for caption in reversed(captions)}.values())[::-1]
