"""The contract of every model that labels words or whole texts, found by its file name.

And proof that each check notices what it is for.
"""

from __future__ import annotations

import copy
import dataclasses
import importlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from seesay.models import build, names

COLUMNS, LABELS, LETTERS = (11, 5), 4, 9
NAMES = ("B-X", "I-X", "O", "B-Y")
LENGTHS = [4, 1, 6, 2]
OTHER_SETTINGS: dict[str, list[dict[str, Any]]] = {
    "bilstm_tagger": [{"cell": "gru"}, {"cell": "rnn"}, {"crf": True, "constraints": "BIO"}, {"num_layers": 1}],
    "rnn_classifier": [{"cell": "gru"}, {"cell": "rnn"}, {"pooling": "last"}, {"pooling": "attention"}],
}


def task_of(name: str) -> str:
    return str(importlib.import_module(f"seesay.models.{name}").TASK)


class Labelling(nn.Module):
    """A model of either task as one from sentences, each a list of (ids, letters) by word, to its logits of each."""

    def __init__(self, model: Any, task: str) -> None:
        super().__init__()
        self.model, self.task = model, task
        self.filled = 0  # what stands beyond the ends of sentences

    def batch(self, sentences: Sequence[np.ndarray]) -> tuple[Tensor, Tensor]:
        lengths = [len(sentence) for sentence in sentences]
        ids = np.full((len(sentences), max(lengths), len(COLUMNS)), self.filled, dtype=np.int64)
        for row, sentence in zip(ids, sentences, strict=True):
            row[: len(sentence)] = sentence
        return torch.from_numpy(ids), torch.tensor(lengths)

    def letters(self, sentences: Sequence[np.ndarray]) -> tuple[Tensor, ...]:
        if not getattr(self.model.config, "characters", False):
            return ()
        words = np.concatenate([sentence[:, 0] for sentence in sentences])
        spelt = (words[:, None] * np.arange(1, 4)) % (LETTERS - 1) + 1
        return (torch.from_numpy(spelt * (np.arange(3) <= words[:, None] % 3)),)

    def forward(self, sentences: Sequence[np.ndarray]) -> list[Tensor]:
        ids, lengths = self.batch(sentences)
        logits = self.model(ids, lengths, *self.letters(sentences))
        return list(logits.split(lengths.tolist() if self.task == "tag" else 1))


def small(name: str, settings: dict[str, Any]) -> Labelling:
    """A model with small sizes, all different, in double precision, as it is in use."""
    task, fields = task_of(name), dataclasses.fields(importlib.import_module(f"seesay.models.{name}").Config)
    sizes = {f.name: 3 + i for i, f in enumerate(fields) if f.name.endswith("_size") and f.name != "window_size"}
    torch.manual_seed(0)
    whole = {"num_layers": 2, "dropout": 0.4, "word_dropout": 0.3, **sizes, **settings}
    data: dict[str, Any] = {"sizes": COLUMNS, "labels": LABELS}
    if task == "tag":
        data = {"sizes": COLUMNS, "tags": LABELS, "character_count": LETTERS, "names": NAMES}
    return Labelling(build(name, whole, **data).double(), task).eval()


def variants() -> Iterator[tuple[str, dict[str, Any]]]:
    for name in names():
        if task_of(name) in ("tag", "classify"):
            fields = dataclasses.fields(importlib.import_module(f"seesay.models.{name}").Config)
            flags = [{f.name: not f.default} for f in fields if isinstance(f.default, bool)]
            for settings in [{}, *flags, *OTHER_SETTINGS.get(name, [])]:
                yield name, settings


def some_sentences(lengths: Sequence[int] = LENGTHS) -> list[np.ndarray]:
    random = np.random.default_rng(5)
    return [np.stack([random.integers(1, size, length) for size in COLUMNS], -1) for length in lengths]


def equal(one: Sequence[Tensor], other: Sequence[Tensor]) -> None:
    for mine, theirs in zip(one, other, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-9, atol=1e-9)


def check_shapes(model: Labelling) -> None:
    for lengths in (LENGTHS, [1], [5], [1, 1]):
        rows = lengths if model.task == "tag" else [1] * len(lengths)
        assert [tuple(logits.shape) for logits in model(some_sentences(lengths))] == [(row, LABELS) for row in rows]


def check_what_fills_up_does_not_matter(model: Labelling) -> None:
    expected = model(some_sentences())
    for model.filled in (1, 4):  # ids of real words
        equal(model(some_sentences()), expected)


def check_neighbours_do_not_matter(model: Labelling) -> None:
    sentences = some_sentences()
    together = model(sentences)
    for sentence, expected in zip(sentences, together, strict=True):
        equal(model([sentence]), [expected])
    order = [2, 0, 3, 1]
    equal(model([sentences[place] for place in order]), [together[place] for place in order])


def check_all_words_are_read(model: Labelling) -> None:
    """Another last word changes what is said of the whole text, and of that word."""
    sentences = some_sentences()
    expected = model(sentences)
    changed = [sentence.copy() for sentence in sentences]
    for sentence in changed:
        sentence[-1] = sentence[-1] % (np.array(COLUMNS) - 1) + 1
    for one, other in zip(model(changed), expected, strict=True):
        assert not torch.allclose(one[-1], other[-1], atol=1e-6)


def check_use_repeats_itself(model: Labelling) -> None:
    expected = model(some_sentences())
    equal(model(some_sentences()), expected)
    model.train()
    assert any(not torch.equal(*pair) for pair in zip(model(some_sentences()), expected, strict=True)), "no dropout"
    model.eval()
    equal(model(some_sentences()), expected)


def check_empty_sentences_are_finite(model: Labelling) -> None:
    sentences = some_sentences([3, 0, 2])
    equal(model(sentences)[::2], list(model([sentences[0], sentences[2]])))
    for lengths in ([0], [0, 0]):
        found = torch.cat(model(some_sentences(lengths)))
        assert found.isfinite().all() and len(found) == (0 if model.task == "tag" else len(lengths))


def check_every_weight_learns(model: Labelling) -> None:
    torch.cat(model(some_sentences())).square().sum().backward()
    crf = {name for name, _ in model.named_parameters() if ".crf." in name}  # learns through the loss alone
    for name, parameter in model.named_parameters():
        if name not in crf:
            assert parameter.grad is not None and parameter.grad.isfinite().all() and parameter.grad.any(), name


CHECKS: list[Callable[[Labelling], None]] = [
    check_shapes,
    check_what_fills_up_does_not_matter,
    check_neighbours_do_not_matter,
    check_all_words_are_read,
    check_use_repeats_itself,
    check_empty_sentences_are_finite,
    check_every_weight_learns,
]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize(("name", "settings"), list(variants()), ids=str)
def test_model(name: str, settings: dict[str, Any], check: Callable[[Labelling], None]) -> None:
    check(small(name, settings))


class ForgottenLengths(Labelling):
    """Reads what fills up as if it were words."""

    def forward(self, sentences: Sequence[np.ndarray]) -> list[Tensor]:
        ids, lengths = self.batch(sentences)
        padded = [row.numpy() for row in ids]
        found = super().forward(padded)
        return [logits[:length] for logits, length in zip(found, lengths.tolist(), strict=True)]


class MeanOverTheBatch(Labelling):
    """What it says of one sentence depends on the others."""

    def forward(self, sentences: Sequence[np.ndarray]) -> list[Tensor]:
        found = super().forward(sentences)
        mean = torch.cat(found).mean(0) if sum(map(len, found)) else 0
        return [logits - mean for logits in found]


class InOrderOfLength(Labelling):
    """Sorts the batch, as packing wants it, and never sorts it back."""

    def forward(self, sentences: Sequence[np.ndarray]) -> list[Tensor]:
        return super().forward(sorted(sentences, key=len, reverse=True))


class SqueezesOne(Labelling):
    """Loses an axis where it has a length of 1."""

    def forward(self, sentences: Sequence[np.ndarray]) -> list[Tensor]:
        return [logits.squeeze() for logits in super().forward(sentences)]


class DropsOutInUse(Labelling):
    """Forgets that it is not being trained."""

    def forward(self, sentences: Sequence[np.ndarray]) -> list[Tensor]:
        return [nn.functional.dropout(logits, 0.5) for logits in super().forward(sentences)]


class HalfBlind(Labelling):
    """Does not see the last word."""

    def forward(self, sentences: Sequence[np.ndarray]) -> list[Tensor]:
        shown = [sentence.copy() for sentence in sentences]
        for sentence in shown:
            sentence[-1:] = 1
        return super().forward(shown)


class TakesTheLast(Labelling):
    """Asks every sentence for its last word."""

    def forward(self, sentences: Sequence[np.ndarray]) -> list[Tensor]:
        last = [sentence[-1, 0] for sentence in sentences]
        return [logits + 0 * int(word) for logits, word in zip(super().forward(sentences), last, strict=True)]


class Detached(Labelling):
    """Its layers below the head learn nothing."""

    def forward(self, sentences: Sequence[np.ndarray]) -> list[Tensor]:
        frozen = copy.deepcopy(self.model).requires_grad_(requires_grad=False)
        frozen.head = self.model.head
        own, self.model = self.model, frozen
        found = super().forward(sentences)
        self.model = own
        return found


BROKEN: list[tuple[type[Labelling], Callable[[Labelling], None]]] = [
    (ForgottenLengths, check_what_fills_up_does_not_matter),
    (ForgottenLengths, check_neighbours_do_not_matter),
    (MeanOverTheBatch, check_neighbours_do_not_matter),
    (InOrderOfLength, check_neighbours_do_not_matter),
    (SqueezesOne, check_shapes),
    (DropsOutInUse, check_use_repeats_itself),
    (HalfBlind, check_all_words_are_read),
    (TakesTheLast, check_empty_sentences_are_finite),
    (Detached, check_every_weight_learns),
]


@pytest.mark.parametrize(("kind", "check"), BROKEN, ids=lambda part: part.__name__)
@pytest.mark.parametrize("name", ["bilstm_tagger", "rnn_classifier"])
def test_the_battery_notices(name: str, kind: type[Labelling], check: Callable[[Labelling], None]) -> None:
    sound = small(name, {})
    check(sound)
    with pytest.raises((AssertionError, IndexError, RuntimeError)):
        check(kind(small(name, {}).model, sound.task).eval())
