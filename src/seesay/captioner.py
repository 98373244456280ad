"""A trained captioner in use: from photographs or features to sentences, with where the model looked for each word."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL.Image import Image
from torch import nn

from seesay.checkpoint import read_checkpoint
from seesay.data.images import open_picture, to_square
from seesay.decoding.search import Decoding, Hypothesis, decode
from seesay.errors import CheckpointError, DataError
from seesay.models import build, load_weights, move
from seesay.text.vocabulary import Vocabulary
from seesay.vision.encoders import Encoder, load_encoder

BATCH = 32  # photographs at a time: what fits in memory everywhere


@dataclass(frozen=True)
class Caption:
    """One sentence about a picture."""

    text: str
    score: float  # log-probability, over length ** length_penalty
    tokens: tuple[str, ...]
    attention: NDArray[np.float32] | None  # (len(tokens), R)

    def as_dict(self) -> dict[str, Any]:
        """What `seesay caption --json` prints of it."""
        return {"text": self.text, "score": self.score}


@dataclass(frozen=True)
class Captioner:
    """A model with its words; make one with `Captioner.open(run)`."""

    model: Any  # an nn.Module with start and step: see seesay.models
    vocabulary: Vocabulary
    header: dict[str, Any]  # of the checkpoint
    device: str = "cpu"

    @classmethod
    def open(cls, run: Path, device: str = "cpu") -> Captioner:
        """Read the best checkpoint of a run folder, or a given checkpoint file within one."""
        file = run / "checkpoints" / "best.safetensors" if run.is_dir() else run
        if run.is_dir() and not file.exists():
            raise CheckpointError(f"{run}: no checkpoint in it yet; expected {file}, which 'seesay train' writes.")
        arrays, header = read_checkpoint(file)
        words = file.parent.parent / "vocabulary.json"
        vocabulary = Vocabulary.load(words)
        if vocabulary.digest != header["vocabulary"]:
            raise CheckpointError(f"{words}: not the vocabulary that {file} was trained with; put its own back.")
        model = move(restore_model(header, arrays, len(vocabulary), str(file)), device)
        return cls(model.eval(), vocabulary, header, device)

    @property
    def decoding(self) -> Decoding:
        """The search that the run's recipe asks for."""
        return Decoding(**self.header["decoding"])

    @cached_property
    def encoder(self) -> Encoder:
        """The encoder whose features the model was trained on, loaded at first use."""
        return load_encoder(self.header["encoder"].partition("@")[0])

    def caption(
        self, pictures: Sequence[Path | bytes | Image], decoding: Decoding | None = None, seed: int | None = None
    ) -> list[list[Caption]]:
        """Captions of photographs (paths, the bytes of files, or opened ones), for each the best first.

        `seed` makes sampling repeatable. Raises DataError for a picture that cannot be read.
        """
        found: list[list[Caption]] = []
        for start in range(0, len(pictures), BATCH):
            opened = (p if isinstance(p, Image) else open_picture(p) for p in pictures[start : start + BATCH])
            squares = np.stack([to_square(picture, self.encoder.side) for picture in opened])
            found += self.describe(self.encoder(squares), decoding, seed)
        return found

    def describe(
        self, features: NDArray[Any], decoding: Decoding | None = None, seed: int | None = None
    ) -> list[list[Caption]]:
        """Captions of features (B, R, D), for each picture the best first and no sentence twice."""
        size = self.header["model"]["feature_size"]
        if features.ndim != 3 or features.shape[2] != size:
            raise DataError(f"Features of shape {features.shape}; expected (pictures, regions, {size}) as in training.")
        whole = torch.from_numpy(np.asarray(features, dtype=np.float32)).to(self.device)
        generator = None if seed is None else torch.Generator(self.device).manual_seed(seed)
        with torch.no_grad():
            state = self.model.start(whole, torch.ones(whole.shape[:2], dtype=torch.bool, device=self.device))
        found = decode(self.model, state, decoding or self.decoding, generator)
        return [_distinct([self._caption(hypothesis) for hypothesis in some]) for some in found]

    def _caption(self, hypothesis: Hypothesis) -> Caption:
        tokens = tuple(self.vocabulary.decode(hypothesis.tokens))
        where = None if hypothesis.attention is None else hypothesis.attention.float().cpu().numpy()
        return Caption(" ".join(tokens), hypothesis.score, tokens, where)


def restore_model(header: dict[str, Any], arrays: dict[str, Any], words: int, source: str) -> nn.Module:
    """The model of a checkpoint: its averaged weights where there are any, or else the last ones."""
    about = header["model"]
    model = build(about["name"], about["settings"], feature_size=about["feature_size"], vocabulary_size=words)
    averaged = any(name.startswith("average/") for name in arrays)
    load_weights(model, arrays, "average/" if averaged else "model/", source)
    return model


def with_options(decoding: Decoding, **changes: Any) -> Decoding:
    """`decoding` with the options that a person gave; None leaves one as it is."""
    return dataclasses.replace(decoding, **{key: value for key, value in changes.items() if value is not None})


def _distinct(captions: list[Caption]) -> list[Caption]:
    return list({caption.text: caption for caption in reversed(captions)}.values())[::-1]
