"""Searches over real models: with cached states and without, several models as one, and models made faster."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn

from seesay.decoding import inference
from seesay.decoding.ensemble import Ensemble
from seesay.decoding.inference import Packed, Packed8, Packed16, prepare
from seesay.decoding.search import decode, find
from seesay.decoding.settings import PRECISIONS, Decoding, Resolved
from seesay.errors import DataError, RecipeError, UnknownName
from seesay.models import build
from seesay.nn.transformer import FeedForward, Shape
from seesay.scratch.compiled import use_compiled
from seesay.text.vocabulary import BOS, EOS

SMALL = {"hidden_size": 32, "heads": 4, "layers": 2, "feedforward_size": 64, "dropout": 0.0}
MODELS: dict[str, dict[str, Any]] = {
    "transformer": SMALL,
    "meshed_memory": SMALL | {"slots": 3},
    "s2": SMALL | {"clusters": 3},
    "up_down": {"embedding_size": 32, "hidden_size": 32, "attention_size": 32},
    "attend_tell": {"embedding_size": 32, "hidden_size": 32},
}
SEARCHES = [
    Decoding("greedy", max_length=8),
    Decoding("beam", 4, 8),
    Decoding("beam", 4, 8, wanted=1),
    Decoding("beam", 4, 8, groups=2, diversity=1.0),
    Decoding("beam", 3, 8, no_repeat_ngram=2, min_length=3),
    Resolved("beam", 3, 8, required="a b", required_ids=(9, 20)),
]


@pytest.fixture(params=[True, False], ids=["in C", "by oneDNN"])
def both_ways(request: pytest.FixtureRequest) -> Iterator[None]:
    """With the compiled kernels, where there are any, and without."""
    use_compiled(request.param)
    yield
    use_compiled()


class Words(NamedTuple):
    words: Tensor  # (N, t) from <bos> on
    picture: Tensor


class Uncached:
    """A model asked for every word with everything that was said so far, by teacher forcing."""

    def __init__(self, model: Any, features: Tensor, mask: Tensor) -> None:
        self.model, self.features, self.mask = model, features, mask

    def step(self, tokens: Tensor, state: Words) -> tuple[Tensor, Words]:
        words = torch.cat([state.words, tokens.unsqueeze(1)], 1)
        # Forcing wants a target after each word; which one it is changes no logits.
        whole = torch.cat([words, torch.full_like(tokens, EOS).unsqueeze(1)], 1)
        logits = self.model(self.features, self.mask, whole, state.picture).logits
        return logits.view(len(tokens), words.shape[1], -1)[:, -1].clone(), Words(words, state.picture)


def a_model(name: str, seed: int = 0) -> Any:
    """A model whose sentences end anywhere."""
    torch.manual_seed(seed)
    model: Any = build(name, MODELS[name], feature_size=32, vocabulary_size=40).eval()
    with torch.no_grad():
        for part in model.modules():
            if isinstance(part, nn.Embedding):
                part.weight.mul_(3)
    return model


def pictures(count: int = 5) -> tuple[Tensor, Tensor]:
    features = torch.randn(count, 6, 32, generator=torch.Generator().manual_seed(1))
    mask = torch.ones(count, 6, dtype=torch.bool)
    mask[1, 4:] = False
    return features, mask


def words_of(model: Any, decoding: Decoding, chosen: list[int] | None = None) -> list[list[list[int]]]:
    features, mask = (part if chosen is None else part[chosen] for part in pictures())
    with torch.no_grad():
        return [[h.tokens for h in some] for some in decode(model, model.start(features, mask), decoding)]


@pytest.mark.parametrize("decoding", SEARCHES, ids=str)
@pytest.mark.parametrize("name", MODELS)
def test_a_cached_search_says_what_an_uncached_one_says(name: str, decoding: Decoding) -> None:
    model, (features, mask) = a_model(name), pictures()
    none = Words(torch.empty(5, 0, dtype=torch.long), torch.arange(5))
    with torch.no_grad():
        slow = find(Uncached(model, features, mask), none, decoding)
        fast = find(model, model.start(features, mask), decoding)
    assert torch.equal(fast.ids, slow.ids)
    torch.testing.assert_close(fast.sums, slow.sums, atol=1e-4, rtol=0)
    if decoding.required:
        assert all({9, 20} <= set(ids) for ids in fast.ids[:, 0].tolist())


@pytest.mark.parametrize("precision", ["", *PRECISIONS])
@pytest.mark.parametrize("name", MODELS)
def test_a_picture_alone_and_in_a_batch_say_the_same(name: str, precision: str) -> None:
    model = a_model(name)
    model = prepare(model, precision) if precision else model
    for decoding in SEARCHES:
        together = words_of(model, decoding)
        assert [words_of(model, decoding, [place])[0] for place in range(5)] == together


@pytest.mark.parametrize("names", [("s2", "s2"), ("meshed_memory",), ("attend_tell", "attend_tell", "attend_tell")])
def test_a_model_with_itself_is_the_model(names: tuple[str, ...]) -> None:
    model, (features, mask) = a_model(names[0]), pictures()
    several = Ensemble([model] * len(names))
    for decoding in SEARCHES:
        with torch.no_grad():
            one, all_of_them = (find(m, m.start(features, mask), decoding) for m in (model, several))
        assert torch.equal(one.ids, all_of_them.ids)
        torch.testing.assert_close(one.sums, all_of_them.sums, atol=1e-4, rtol=0)
        torch.testing.assert_close(one.attention, all_of_them.attention, atol=1e-5, rtol=0)


def test_an_ensemble_says_the_mean_of_the_probabilities() -> None:
    class Blind(NamedTuple):
        count: Tensor

    class Fixed:
        """A model of one distribution, that does not say where it looks."""

        def __init__(self, chances: list[float]) -> None:
            self.logits = torch.tensor(chances).log()

        def eval(self) -> None:
            pass

        def start(self, features: Tensor, mask: Tensor) -> Blind:
            return Blind(torch.zeros(len(features)))

        def step(self, tokens: Tensor, state: Blind) -> tuple[Tensor, Blind]:
            return self.logits.repeat(len(tokens), 1) + 3.0, Blind(state.count + 1)

    features, mask = pictures()
    both = Ensemble([Fixed([0.1, 0.2, 0.7]), Fixed([0.5, 0.3, 0.2])]).eval()
    state = both.start(features, mask)
    logits, state = both.step(torch.full((5,), BOS), state)
    assert logits[0].exp().tolist() == pytest.approx([0.3, 0.25, 0.45])
    assert not hasattr(state, "attention") and [int(own.count[0]) for own in state.members.states] == [1, 1]
    mixed = Ensemble([a_model("s2"), a_model("up_down", 3), Fixed([1 / 40] * 40)])
    assert words_of(mixed, Decoding("beam", 3, 8)) == [
        words_of(mixed, Decoding("beam", 3, 8), [place])[0] for place in range(5)
    ]
    with pytest.raises(DataError, match=r"vocabularies of \[3, 40\]"):
        words_of(Ensemble([a_model("s2"), Fixed([0.2, 0.3, 0.5])]), Decoding())
    with pytest.raises(DataError, match="received no model"):
        Ensemble([])


@pytest.mark.parametrize(("precision", "near"), [("float32", 1e-5), ("bf16", 0.03), ("int8", 0.03)])
@pytest.mark.parametrize("name", MODELS)
def test_a_prepared_model_is_near_the_model_and_leaves_it_as_it_is(
    name: str, precision: str, near: float, both_ways: None
) -> None:
    model, (features, mask) = a_model(name), pictures()
    before = copy.deepcopy(model.state_dict())
    ready = prepare(model, precision)
    kinds = {"float32": Packed, "bf16": Packed16, "int8": Packed8}
    assert any(type(part) is kinds[precision] for part in ready.modules())
    words = torch.full((5,), BOS)
    with torch.no_grad():
        expected, found = (m.step(words, m.start(features, mask))[0].log_softmax(-1) for m in (model, ready))
    assert float((found - expected).abs().mean()) < near * float(expected.std())
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    assert not any(type(part) is kinds[precision] for part in model.modules())


@pytest.mark.parametrize("bias", [True, False])
def test_eight_bits_are_whole_products_of_rounded_rows(bias: bool, both_ways: None) -> None:
    torch.manual_seed(0)
    layer = nn.Linear(48, 40, bias=bias)
    x = torch.randn(2, 3, 48) * torch.tensor([0.01, 1.0, 300.0]).unsqueeze(1)
    x[1, 1] = 0
    found = prepare(nn.Sequential(layer), "int8")(x)
    weight, rows = layer.weight.detach().double(), x.double()
    w_scale, x_scale = weight.abs().amax(1) / 127, rows.abs().amax(-1, keepdim=True).clamp(min=1e-30) / 127
    whole = (rows / x_scale).round() @ (weight / w_scale.unsqueeze(1)).round().T
    expected = whole * x_scale * w_scale + (layer.bias.detach() if bias else 0)
    torch.testing.assert_close(found.double(), expected, rtol=2e-3, atol=2e-3 * 0.01)
    assert prepare(nn.Sequential(layer), "int8")(torch.zeros(0, 48)).shape == (0, 40)


@pytest.mark.parametrize(("precision", "near"), [("float32", 1e-5), ("bf16", 0.03), ("int8", 0.03)])
@pytest.mark.parametrize("slope", [None, 0.0, 0.1])
def test_what_follows_a_layer_is_done_within_it(
    slope: float | None, precision: str, near: float, both_ways: None
) -> None:
    torch.manual_seed(0)
    after = {None: nn.Tanh(), 0.0: nn.ReLU(), 0.1: nn.LeakyReLU(0.1)}[slope]
    layers = nn.Sequential(nn.Linear(64, 48), after, nn.Linear(48, 8), nn.ReLU()).eval()
    ready, x = prepare(layers, precision), torch.randn(3, 7, 64)
    assert type(ready[1]) is (nn.Tanh if slope is None else nn.Identity) and type(ready[3]) is nn.ReLU
    torch.testing.assert_close(ready[:2](x), layers[:2](x).detach(), atol=near, rtol=near)
    assert bool((ready[:2](x) < 0).any()) == (slope != 0)
    assert ready(x[:0]).shape == (0, 7, 8)


@pytest.mark.parametrize(("precision", "near"), [("float32", 1e-5), ("bf16", 0.03), ("int8", 0.03)])
@pytest.mark.parametrize("norm", ["pre", "post"])
def test_rows_go_through_two_layers_in_blocks_as_they_go_alone(
    norm: str, precision: str, near: float, both_ways: None
) -> None:
    torch.manual_seed(0)
    layers = nn.Sequential(FeedForward(Shape(64, 2, 128, 0.1, norm))).eval()
    ready, x = prepare(layers, precision), torch.randn(3, 2 * inference.BLOCK // 3 + 5, 64)
    found, expected = ready(x).detach(), layers(x).detach()
    assert type(ready[0]) is not FeedForward and found.shape == x.shape
    assert float((found - expected).abs().mean()) < near
    for row in (0, inference.BLOCK - 1, inference.BLOCK, x.shape[0] * x.shape[1] - 1):
        alone = ready(x.flatten(0, 1)[row : row + 1])[0].detach()
        torch.testing.assert_close(
            found.flatten(0, 1)[row], alone, atol=1e-5, rtol=1e-5 if precision != "bf16" else 0.1
        )
    assert ready(x[:0]).shape == (0, *x.shape[1:])


def test_a_row_narrowed_for_one_layer_is_not_taken_for_another_s(both_ways: None) -> None:
    torch.manual_seed(0)
    ready = prepare(nn.ModuleList([nn.Linear(32, 32, bias=False), nn.Linear(32, 32, bias=False)]), "int8")
    x = torch.randn(4, 32)
    first = ready[0](x)
    assert torch.equal(ready[0](x), first)
    x.mul_(2)
    torch.testing.assert_close(ready[1](x), 2 * ready[1](x / 2))
    torch.testing.assert_close(ready[0](x), 2 * first)
    with torch.inference_mode():
        y = torch.ones(4, 32)
        one = ready[0](y).clone()
        y.mul_(2)
        torch.testing.assert_close(ready[0](y), 2 * one)


def test_processors_without_the_instruction_take_seven_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inference, "_multiplies_bytes", lambda: False)
    monkeypatch.setattr(inference, "bytes_library", lambda: None)
    torch.manual_seed(0)
    layer, x = nn.Linear(64, 64), torch.randn(5, 64)
    ready = prepare(nn.Sequential(layer), "int8")
    assert float((ready(x) - layer(x)).detach().abs().max()) < 0.05
    assert int(ready[0].narrowed(x)[0].max()) <= 127


def test_what_gains_nothing_stays_and_what_is_unknown_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    ready = prepare(nn.Sequential(nn.Linear(64, 1), nn.Linear(8, 64)), "int8")
    assert all(type(part) is nn.Linear for part in ready)
    with pytest.raises(UnknownName, match="Did you mean 'int8'"):
        prepare(ready, "int9")
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    layer, x = nn.Linear(64, 64), torch.randn(5, 64)
    with pytest.raises(RecipeError, match="received int8 on cpu; expected a processor with oneDNN"):
        prepare(layer, "int8")
    assert prepare(layer, "float32") is layer
    half = prepare(nn.Sequential(layer), "bf16")(x)
    torch.testing.assert_close(half, layer(x).detach(), atol=0.03, rtol=0.03)
