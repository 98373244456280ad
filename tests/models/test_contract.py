"""The contract of every model that describes pictures or asks about them, found by its file name.

And proof that each check notices what it is for.
"""

from __future__ import annotations

import copy
import dataclasses
import importlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from seesay.data.batches import pad
from seesay.decoding.search import beam
from seesay.errors import DataError, SeesayError
from seesay.models import Forced, build, names
from seesay.nn.attention import masked_mean
from seesay.nn.state import select
from seesay.text.vocabulary import BOS, EOS, PAD, UNK

WORDS, SIZE, REGIONS = 11, 7, 5
# Values of settings that cannot be guessed from a default; a setting that is a bool is tried both ways by itself.
OTHER_SETTINGS: dict[str, list[dict[str, Any]]] = {
    "captioning_rnn": [{"cell": "rnn"}],
    "transformer": [{"encoder_layers": 0}],
    "meshed_memory": [{"slots": 0}, {"layers": 1}],
    "ivqa": [{"glimpses": 2}, {"joint": "sum"}, {"answers": "single"}, {"concepts": "single"}],
}
COUNTS = {"heads": 2, "layers": 2, "encoder_layers": 3, "slots": 6, "clusters": 4, "regions": 9, "cells": 9}


class Asking(nn.Module):
    """A model that asks, as one that captions: a picture's concepts and answer follow from its real regions alone."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def seen(self, features: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Concepts (B, SIZE), and an answer (B, 2) of none, one or two words."""
        mean = masked_mean(features.masked_fill(~mask.unsqueeze(-1), 0), mask)
        words = torch.where(mean[:, :2] > 0, 5, 9)
        return mean.sigmoid(), words.masked_fill(torch.arange(2) >= mask.sum(1, keepdim=True) % 3, PAD)

    def start(self, features: Tensor, mask: Tensor) -> Any:
        return self.model.start(features, mask, *self.seen(features, mask))

    def step(self, tokens: Tensor, state: Any) -> tuple[Tensor, Any]:
        return self.model.step(tokens, state)

    def forward(self, features: Tensor, mask: Tensor, tokens: Tensor, rows: Tensor) -> Forced:
        concepts, answers = self.seen(features, mask)
        return self.model(features, mask, concepts, answers[rows], tokens, rows)


def small(name: str, settings: Mapping[str, Any]) -> nn.Module:
    """A model with small sizes, all different, in double precision and without dropout."""
    module = importlib.import_module(f"seesay.models.{name}")
    fields = dataclasses.fields(module.Config)
    sizes = {field.name: 8 * (i + 1) for i, field in enumerate(fields) if field.name.endswith("_size")}
    counts = {key: count for key, count in COUNTS.items() if key in {field.name for field in fields}}
    torch.manual_seed(0)
    data = {"feature_size": SIZE, "vocabulary_size": WORDS} | ({"concept_count": SIZE} if module.TASK == "ask" else {})
    model = build(name, {**sizes, **counts, **settings}, **data).double().eval()
    return Asking(model) if module.TASK == "ask" else model


def variants() -> Iterator[tuple[str, dict[str, Any]]]:
    for name in names():
        module = importlib.import_module(f"seesay.models.{name}")
        if module.TASK not in ("caption", "ask"):
            continue
        flags = [field for field in dataclasses.fields(module.Config) if isinstance(field.default, bool)]
        for settings in [{}, *({flag.name: not flag.default} for flag in flags), *OTHER_SETTINGS.get(name, [])]:
            yield name, settings


class Batch(NamedTuple):
    features: Tensor
    mask: Tensor
    tokens: Tensor
    rows: Tensor


def some_batch() -> Batch:
    """Three pictures of 5, 3 and 1 regions; captions of 0 to 5 words, unknown ones too, in no order of length."""
    features = torch.randn(3, REGIONS, SIZE, dtype=torch.double, generator=torch.Generator().manual_seed(1))
    mask = torch.arange(REGIONS) < torch.tensor([[5], [3], [1]])
    captions = [[4, 5, 6], [7], [], [8, 9, 10, 4, 5], [UNK, UNK]]
    return Batch(features, mask, torch.from_numpy(pad(captions)), torch.tensor([0, 1, 1, 2, 0]))


def by_caption(forced: Forced, tokens: Tensor) -> list[Tensor]:
    return list(forced.logits.split((tokens[:, 1:] != PAD).sum(1).tolist()))


def said(model: nn.Module, features: Tensor, mask: Tensor) -> list[list[list[int]]]:
    found = beam(model, model.start(features, mask), width=3, max_length=6)
    return [[hypothesis.tokens for hypothesis in some] for some in found]


def close(one: Tensor, other: Tensor, tolerance: float = 1e-6) -> None:
    torch.testing.assert_close(one, other, rtol=tolerance, atol=tolerance)


def check_step_by_step_equals_all_at_once(model: nn.Module) -> None:
    batch = some_batch()
    forced = model(*batch)
    assert torch.equal(forced.targets, batch.tokens[:, 1:][batch.tokens[:, 1:] != PAD])
    for caption, logits in enumerate(by_caption(forced, batch.tokens)):
        state = select(model.start(batch.features, batch.mask), batch.rows[caption : caption + 1])
        for t, expected in enumerate(logits):
            answer, state = model.step(batch.tokens[caption, t : t + 1], state)
            close(answer[0], expected)
            if forced.attention is not None:
                close(forced.attention[caption, t], state.attention[0])
        if forced.attention is not None:
            assert forced.attention.shape == (5, batch.tokens.shape[1] - 1, REGIONS)
            assert not forced.attention[caption, len(logits) :].any()


def check_masked_regions_change_nothing(model: nn.Module) -> None:
    batch = some_batch()
    expected, sentences = model(*batch).logits, said(model, batch.features, batch.mask)
    for value in (0.0, -3.0, 65504.0, -65504.0, 1e30):
        features = batch.features.masked_fill(~batch.mask.unsqueeze(-1), value)
        close(model(features, *batch[1:]).logits, expected)
        assert said(model, features, batch.mask) == sentences
    for picture, count in enumerate((5, 3, 1)):  # regions that are not there at all
        state = model.start(batch.features[picture : picture + 1, :count], torch.ones(1, count, dtype=torch.bool))
        whole = model.start(batch.features, batch.mask)
        close(model.step(torch.tensor([BOS]), state)[0][0], model.step(torch.full((3,), BOS), whole)[0][picture])


def refuses_empty_pictures(model: nn.Module) -> bool:
    batch = some_batch()
    try:
        model.start(batch.features, batch.mask & torch.tensor([[True], [False], [True]]))
    except DataError as fault:
        assert "picture 2 of the 3" in str(fault)
        return True
    return False


def check_empty_pictures_are_finite_or_refused(model: nn.Module) -> None:
    batch = some_batch()
    refused = refuses_empty_pictures(model)
    for features in (batch.features, torch.zeros_like(batch.features)):
        for mask in (torch.zeros_like(batch.mask), torch.ones_like(batch.mask), batch.mask & batch.mask[1]):
            if refused and not (features != 0).any(-1)[mask].any():
                for call in (lambda: model(features, mask, *batch[2:]), lambda: model.start(features, mask)):  # noqa: B023
                    with pytest.raises(DataError, match="picture 1 of the 3"):
                        call()
                continue
            logits = model(features, mask, batch.tokens, batch.rows).logits
            assert logits.isfinite().all()
            model.zero_grad()
            logits.sum().backward()
            assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())
            assert all(some for some in said(model, features, mask))


def check_batch_of_one(model: nn.Module) -> None:
    batch = some_batch()
    state = model.start(batch.features[:1], batch.mask[:1])
    logits, state = model.step(torch.tensor([BOS]), state)
    assert logits.shape == (1, WORDS)
    assert [len(part) for part in state] == [1] * len(state)
    forced = model(batch.features[:1], batch.mask[:1], torch.tensor([[BOS, 4, EOS]]), torch.tensor([0]))
    assert forced.logits.shape == (2, WORDS)
    one_region = model(batch.features[:1, :1], batch.mask[:1, :1], torch.tensor([[BOS, EOS]]), torch.tensor([0]))
    assert one_region.logits.shape == (1, WORDS)


def check_neighbours_do_not_matter(model: nn.Module) -> None:
    batch = some_batch()
    together = by_caption(model(*batch), batch.tokens)
    for caption, expected in enumerate(together):
        row = batch.rows[caption : caption + 1]
        one = model(batch.features[row], batch.mask[row], batch.tokens[caption : caption + 1], torch.tensor([0]))
        close(one.logits, expected)
    alone = [said(model, batch.features[i : i + 1], batch.mask[i : i + 1])[0] for i in range(3)]
    assert said(model, batch.features, batch.mask) == alone


def check_order_and_rows_of_captions(model: nn.Module) -> None:
    batch = some_batch()
    expected = by_caption(model(*batch), batch.tokens)
    order = torch.tensor([3, 0, 4, 2, 1])
    forced = model(batch.features, batch.mask, batch.tokens[order], batch.rows[order])
    for place, caption in enumerate(order.tolist()):
        close(by_caption(forced, batch.tokens[order])[place], expected[caption])
    repeated = model(batch.features[batch.rows], batch.mask[batch.rows], batch.tokens, torch.arange(5))
    close(repeated.logits, torch.cat(expected))


def check_state_is_a_value(model: nn.Module) -> None:
    batch = some_batch()
    weights = {name: part.clone() for name, part in model.state_dict().items()}
    first, second = (model.start(batch.features[i : i + 1], batch.mask[i : i + 1]) for i in (0, 1))
    kept = [part.clone() for part in first if isinstance(part, Tensor)]
    again, _ = model.step(torch.tensor([BOS]), first)
    expected, _ = model.step(torch.tensor([5]), model.step(torch.tensor([BOS]), first)[1])
    parts = [part for part in first if isinstance(part, Tensor)]
    assert all(torch.equal(part, copied) for part, copied in zip(parts, kept, strict=True)), "step changed its input"
    close(model.step(torch.tensor([BOS]), first)[0], again)
    _, first = model.step(torch.tensor([BOS]), first)
    for word in (BOS, 8, 9):  # another caption, begun midway
        _, second = model.step(torch.tensor([word]), second)
    close(model.step(torch.tensor([5]), first)[0], expected)
    assert weights.keys() == model.state_dict().keys()
    assert all(torch.equal(part, weights[name]) for name, part in model.state_dict().items())


def check_state_rows_can_be_selected(model: nn.Module) -> None:
    batch, rows = some_batch(), torch.tensor([2, 0, 2, 1])
    _, state = model.step(torch.full((3,), BOS), model.start(batch.features, batch.mask))
    words = torch.tensor([4, 5, 6])
    expected, after = model.step(words, state)
    answer, selected = model.step(words[rows], select(state, rows))
    close(answer, expected[rows])
    expected, after = model.step(words[rows], select(after, rows))
    answer, selected = model.step(words[rows], selected)
    close(answer, expected)
    for one, other in zip(selected, after, strict=True):
        assert len(one) == len(other) == len(rows)
        if isinstance(one, Tensor):
            close(one.double(), other.double())


@torch.no_grad()
def check_sentences_that_part_ways_stay_apart(model: nn.Module) -> None:
    """Rows that repeat, part and vanish for many steps, and another sentence begun midway, as if each were alone."""
    batch, generator = some_batch(), torch.Generator().manual_seed(3)
    state = model.start(batch.features, batch.mask)
    said: list[list[int]] = [[], [], []]
    picture = [0, 1, 2]
    for step in range(24):
        words = torch.randint(EOS + 1, WORDS, (len(said),), generator=generator) if step else torch.full((3,), BOS)
        before = state
        logits, state = model.step(words, state)
        close(model.step(words, before)[0], logits)  # begun again midway
        said = [[*line, int(word)] for line, word in zip(said, words, strict=True)]
        if step % 8 == 7:
            for row, line in enumerate(said):
                alone = select(model.start(batch.features, batch.mask), torch.tensor([picture[row]]))
                for word in line:
                    answer, alone = model.step(torch.tensor([word]), alone)
                close(answer[0], logits[row])
        size = int(torch.randint(1, 7, (), generator=generator))
        rows = torch.randint(len(said), (size,), generator=generator)
        said, picture = [said[row] for row in rows], [picture[row] for row in rows]
        state = select(state, rows)


def check_captions_of_any_length(model: nn.Module) -> None:
    batch = some_batch()
    for captions in ([[]], [[], []], [[4]], [[], [4]], [[UNK] * 3, []], [[4, 5] * 20, []]):
        tokens = torch.from_numpy(pad(captions))
        logits = model(batch.features, batch.mask, tokens, torch.arange(len(captions))).logits
        assert logits.shape == (sum(len(caption) + 1 for caption in captions), WORDS)
        assert logits.isfinite().all()
    padding = torch.cat([batch.tokens, torch.tensor([[BOS] + [PAD] * (batch.tokens.shape[1] - 1)])])
    rows = torch.cat([batch.rows, torch.tensor([1])])
    close(model(batch.features, batch.mask, padding, rows).logits, model(*batch).logits)


def check_eval_repeats_itself(model: nn.Module) -> None:
    batch = some_batch()
    assert torch.equal(model(*batch).logits, model(*batch).logits)
    assert said(model, batch.features, batch.mask) == said(model, batch.features, batch.mask)


def check_gradients_reach_every_parameter(model: nn.Module) -> None:
    batch = some_batch()
    forced = model(*batch)
    model.zero_grad()
    cross_entropy(forced.logits, forced.targets).backward()
    unreached = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert unreached == []


def check_half_precision(model: nn.Module) -> None:
    batch, single = some_batch(), copy.deepcopy(model).float()
    with torch.autocast("cpu", torch.bfloat16):
        logits = single(batch.features.float(), *batch[1:]).logits
        step, _ = single.step(torch.full((3,), BOS), single.start(batch.features.float(), batch.mask))
    assert step.isfinite().all()
    close(logits.double(), model(*batch).logits, 0.1)


def check_learns_a_small_batch(model: nn.Module) -> None:
    generator = torch.Generator().manual_seed(2)
    features = torch.randn(6, REGIONS, SIZE, dtype=torch.double, generator=generator)
    captions = [torch.randint(EOS + 1, WORDS, (i,), generator=generator).tolist() for i in range(6)]
    batch = Batch(features, torch.ones(6, REGIONS, dtype=torch.bool), torch.from_numpy(pad(captions)), torch.arange(6))
    # Layers that are normalised last take smaller steps than LSTMs do.
    rate = 0.01 if any("norm" in name for name, _ in model.named_parameters() if "decoder" in name) else 0.03
    optimizer = torch.optim.Adam(model.parameters(), lr=rate)
    for _ in range(150):
        forced = model(*batch)
        loss = cross_entropy(forced.logits, forced.targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if loss < 0.02:
            return
    raise AssertionError(f"after 150 steps the loss is still {loss:.3f}")


CHECKS = [check for name, check in list(globals().items()) if name.startswith("check_")]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize(("name", "settings"), list(variants()), ids=str)
def test_model(name: str, settings: dict[str, Any], check: Callable[[nn.Module], None]) -> None:
    check(small(name, settings))


@pytest.mark.parametrize(("name", "settings"), list(variants()), ids=str)
def test_a_model_that_gives_no_attention_says_so(name: str, settings: dict[str, Any]) -> None:
    kind = importlib.import_module(f"seesay.models.{name}").Model
    gives = small(name, settings)(*some_batch()).attention is not None
    assert getattr(kind, "attends", True) is gives is (name != "captioning_rnn")


class Whole(nn.Module):
    """A model around another: nothing is broken here yet."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def start(self, features: Tensor, mask: Tensor) -> Any:
        return self.inner.start(features, mask)

    def step(self, tokens: Tensor, state: Any) -> tuple[Tensor, Any]:
        return self.inner.step(tokens, state)

    def forward(self, features: Tensor, mask: Tensor, tokens: Tensor, rows: Tensor) -> Forced:
        return self.inner(features, mask, tokens, rows)


class ForgottenMask(Whole):
    def start(self, features: Tensor, mask: Tensor) -> Any:
        return self.inner.start(features, torch.ones_like(mask))

    def forward(self, features: Tensor, mask: Tensor, tokens: Tensor, rows: Tensor) -> Forced:
        return self.inner(features, torch.ones_like(mask), tokens, rows)


class StateInABuffer(Whole):
    def start(self, features: Tensor, mask: Tensor) -> Any:
        self.memory = self.inner.start(features, mask)
        return self.memory

    def step(self, tokens: Tensor, state: Any) -> tuple[Tensor, Any]:
        logits, self.memory = self.inner.step(tokens, self.memory)
        return logits, self.memory


class StateChangedInPlace(Whole):
    def step(self, tokens: Tensor, state: Any) -> tuple[Tensor, Any]:
        logits, after = self.inner.step(tokens, state)
        state[0].data.copy_(after[0])
        return logits, after


class BareSqueeze(Whole):
    def step(self, tokens: Tensor, state: Any) -> tuple[Tensor, Any]:
        logits, state = self.inner.step(tokens, state)
        return logits.squeeze(), state


class MeanOverTheBatch(Whole):
    def start(self, features: Tensor, mask: Tensor) -> Any:
        return self.inner.start(features - features.mean(0, keepdim=True), mask)

    def forward(self, features: Tensor, mask: Tensor, tokens: Tensor, rows: Tensor) -> Forced:
        return self.inner(features - features.mean(0, keepdim=True), mask, tokens, rows)


class SeesTheAnswer(Whole):
    def forward(self, features: Tensor, mask: Tensor, tokens: Tensor, rows: Tensor) -> Forced:
        forced = self.inner(features, mask, tokens, rows)
        return forced._replace(logits=forced.logits + nn.functional.one_hot(forced.targets, WORDS))


class IgnoresRows(Whole):
    def forward(self, features: Tensor, mask: Tensor, tokens: Tensor, rows: Tensor) -> Forced:
        return self.inner(features, mask, tokens, torch.arange(len(rows)) % len(features))


class ForgetsToUndoTheSorting(Whole):
    def forward(self, features: Tensor, mask: Tensor, tokens: Tensor, rows: Tensor) -> Forced:
        order = (tokens != PAD).sum(1).argsort(descending=True, stable=True)
        return self.inner(features, mask, tokens[order], rows[order])


class DividesByTheMask(Whole):
    def start(self, features: Tensor, mask: Tensor) -> Any:
        return self.inner.start(features * (mask.sum(1) / mask.sum(1)).view(-1, 1, 1), mask)

    def forward(self, features: Tensor, mask: Tensor, tokens: Tensor, rows: Tensor) -> Forced:
        return self.inner(features * (mask.sum(1) / mask.sum(1)).view(-1, 1, 1), mask, tokens, rows)


class UnusedParameter(Whole):
    def __init__(self, inner: nn.Module) -> None:
        super().__init__(inner)
        self.spare = nn.Parameter(torch.zeros(2))


class Blind(Whole):
    def forward(self, features: Tensor, mask: Tensor, tokens: Tensor, rows: Tensor) -> Forced:
        return self.inner(features * 0, mask, tokens, rows)


class DropsOutInEvaluation(Whole):
    def start(self, features: Tensor, mask: Tensor) -> Any:
        return self.inner.start(nn.functional.dropout(features), mask)

    def forward(self, features: Tensor, mask: Tensor, tokens: Tensor, rows: Tensor) -> Forced:
        return self.inner(nn.functional.dropout(features), mask, tokens, rows)


class CountsPadding(Whole):
    def forward(self, features: Tensor, mask: Tensor, tokens: Tensor, rows: Tensor) -> Forced:
        return self.inner(features, mask, tokens.masked_fill(tokens == PAD, EOS), rows)


class SelectsTheWrongAxis(Whole):
    def start(self, features: Tensor, mask: Tensor) -> Any:
        state = self.inner.start(features, mask)
        return state._replace(**{state._fields[0]: state[0].unsqueeze(0)})

    def step(self, tokens: Tensor, state: Any) -> tuple[Tensor, Any]:
        logits, state = self.inner.step(tokens, state._replace(**{state._fields[0]: state[0].squeeze(0)}))
        return logits, state._replace(**{state._fields[0]: state[0].unsqueeze(0)})


BROKEN = [
    (ForgottenMask, check_masked_regions_change_nothing),
    (StateInABuffer, check_state_is_a_value),
    (StateInABuffer, check_state_rows_can_be_selected),
    (StateChangedInPlace, check_state_is_a_value),
    (BareSqueeze, check_batch_of_one),
    (MeanOverTheBatch, check_neighbours_do_not_matter),
    (SeesTheAnswer, check_step_by_step_equals_all_at_once),
    (IgnoresRows, check_order_and_rows_of_captions),
    (ForgetsToUndoTheSorting, check_order_and_rows_of_captions),
    (DividesByTheMask, check_empty_pictures_are_finite_or_refused),
    (UnusedParameter, check_gradients_reach_every_parameter),
    (Blind, check_learns_a_small_batch),
    (DropsOutInEvaluation, check_eval_repeats_itself),
    (CountsPadding, check_captions_of_any_length),
    (SelectsTheWrongAxis, check_state_rows_can_be_selected),
]


@pytest.mark.parametrize(("broken", "check"), BROKEN, ids=lambda part: part.__name__)
@pytest.mark.parametrize("name", sorted({name for name, _ in variants()}))
def test_the_battery_notices(name: str, broken: type[Whole], check: Callable[[nn.Module], None]) -> None:
    if broken is DividesByTheMask and refuses_empty_pictures(small(name, {})):
        return  # there is nothing to divide by nought
    if check is not check_learns_a_small_batch:  # test_model has shown it
        check(Whole(small(name, {})))
    with pytest.raises((AssertionError, RuntimeError, IndexError, SeesayError)):
        check(broken(small(name, {})))
