"""The kernels of a model in use say what torch says, whatever the sizes, on any processor, and step aside."""

from __future__ import annotations

import itertools
import math
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from seesay.decoding.inference import prepare
from seesay.decoding.scores import best, normalisers
from seesay.decoding.search import find
from seesay.decoding.settings import Decoding
from seesay.errors import DataError
from seesay.models import build
from seesay.nn.attention import MultiHeadAttention, masked_softmax
from seesay.nn.compiled import binding, kernels, linear8
from seesay.nn.compiled.binding import INFERENCE, Library
from seesay.nn.compiled.linear8 import Panels
from seesay.nn.memory import Cache
from seesay.scratch.compiled import NotBuilt, open_library, use_compiled
from seesay.scratch.threads import get_num_threads, set_num_threads

FLAGS = {"native": "-march=native", "AVX2": "-march=x86-64-v3", "plain": "-DPLAIN"}
LAYERS = {"hidden_size": 32, "heads": 4, "layers": 2, "feedforward_size": 64, "dropout": 0.0}
LSTMS = {"hidden_size": 32, "embedding_size": 32, "attention_size": 20, "dropout": 0.0}
MODELS = {"transformer": LAYERS, "meshed_memory": LAYERS, "s2": LAYERS, "up_down": LSTMS, "attend_tell": LSTMS}


@pytest.fixture(params=FLAGS)
def found(request: pytest.FixtureRequest) -> Library:
    """The library for this processor, and for such as have narrower vectors."""
    if request.param == "AVX2" and "avx2" not in Path("/proc/cpuinfo").read_text(encoding="utf-8"):
        pytest.skip("no AVX2 on this processor")
    try:
        return Library(*open_library((FLAGS[request.param],), INFERENCE))
    except NotBuilt as fault:
        pytest.skip(f"no compiled kernels here: {fault}")


@pytest.fixture
def always(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The kernels for work of any size, without gradients."""
    if binding.library() is None:
        pytest.skip(f"no compiled kernels here: {binding.FINDER.reason()}")
    monkeypatch.setattr(kernels, "WORTH_IT", 0)
    with torch.no_grad():
        yield
    use_compiled()


@pytest.fixture(autouse=True)
def seeded() -> Iterator[None]:
    torch.manual_seed(0)
    before, ours = torch.get_num_threads(), get_num_threads()
    yield
    torch.set_num_threads(before)
    set_num_threads(ours)


def plain_attention(query: Tensor, keys: Tensor, values: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """In double precision, one row after another's own places: keys and values (N, E, h, S, d), mask (N, S)."""
    count, _, heads, _, size = keys.shape
    scores = torch.einsum("nhd,nehsd->nehs", query.view(count, heads, size).double(), keys.double()) / math.sqrt(size)
    weights = scores.masked_fill(~mask[:, None, None], -1e300).softmax(-1)
    return torch.einsum("nehs,nehsd->nehd", weights, values.double()).flatten(2), weights.mean((1, 2))


@pytest.mark.parametrize("by_row", [False, True], ids=["mask by group", "mask by row"])
@pytest.mark.parametrize("size", [1, 7, 16, 20, 64, 80])
@pytest.mark.parametrize("places", [1, 5, 16, 33, 54])
def test_attention(places: int, size: int, by_row: bool, found: Library) -> None:
    group = torch.tensor([0, 0, 2, 2, 2, 2, 2, 2, 2, 2, 1, 0, 0, 2])  # runs of 2, 8 and 1; not in order
    for levels, heads in ((1, 1), (1, 4), (3, 2)):
        keys, values = (torch.randn(3, places, levels, heads, size).permute(0, 2, 3, 1, 4) for _ in range(2))
        query = torch.randn(len(group), heads * size)
        mask = torch.rand(len(group) if by_row else 3, places) > 0.4
        mask[:, places // 2] = True
        ours = kernels.attend_by(found, query, keys, values, mask, group, by_row)
        own = mask if by_row else mask[group]
        expected = plain_attention(query, keys[group], values[group], own)
        for one, other in zip(ours, expected, strict=True):
            torch.testing.assert_close(one.double(), other, atol=2e-6, rtol=2e-6)
        assert bool((ours[1][~own] == 0).all())


@pytest.mark.parametrize("wide", [1, 16, 70, 128])
@pytest.mark.parametrize("size", [1, 16, 37])
@pytest.mark.parametrize("places", [1, 16, 49])
def test_additive_attention(places: int, size: int, wide: int, found: Library) -> None:
    group = torch.tensor([0, 0, 2, 2, 2, 2, 2, 2, 2, 2, 1, 0, 0, 2])
    query, keys, values, score = (
        torch.randn(*shape) for shape in ((14, size), (3, places, size), (3, places, wide), (size,))
    )
    mask = torch.rand(3, places) > 0.4
    mask[0, 0], mask[1] = True, False  # a picture without a region
    context, weights = kernels.additive_by(found, query * 3, keys * 3, values, mask, group, score)
    scores = torch.tanh(3 * query.double().unsqueeze(1) + 3 * keys[group].double()) @ score.double()
    expected = masked_softmax(scores, mask[group])
    torch.testing.assert_close(weights.double(), expected, atol=2e-6, rtol=2e-6)
    exact = torch.einsum("ns,nsh->nh", expected, values[group].double())
    torch.testing.assert_close(context.double(), exact, atol=5e-6, rtol=5e-6)
    assert bool((weights[~mask[group]] == 0).all()) and bool((context[10] == 0).all())


def test_attention_with_as_many_groups_as_rows_in_another_order(always: None) -> None:
    attention = MultiHeadAttention(32, 2).eval()
    cache = Cache.empty(3, torch.device("cpu"))
    rows = [torch.tensor([0, 0, 2]), torch.tensor([2, 0, 1])]  # three rows of three groups, one of these empty
    words, found = torch.randn(3, 3, 32), []
    for use in (True, False):
        use_compiled(use)
        state, said = cache, []
        for step, some in enumerate(words):
            state = state.grow()
            said.append(state.attend(0, attention, some))
            state = state.select(rows[step]) if step < len(rows) else state
        found.append(torch.stack(said))
    torch.testing.assert_close(*found)


def test_weights_without_an_allowed_place_are_those_of_torch(found: Library) -> None:
    attention, mask = MultiHeadAttention(16, 2), torch.zeros(1, 5, dtype=torch.bool)
    query, keys, values = torch.randn(1, 16), torch.randn(1, 1, 2, 5, 8), torch.randn(1, 1, 2, 5, 8)
    ours = kernels.attend_by(found, query, keys, values, mask, torch.zeros(1, dtype=torch.long), False)
    memory = type(attention.project(query))(keys[:, 0], values[:, 0])
    theirs = attention.weigh(query.unsqueeze(1), memory, mask[:, None, None])
    torch.testing.assert_close(ours[0], theirs[0].detach())


@pytest.mark.parametrize("size", [1, 5, 16, 37, 64, 512])
def test_a_residual_sum_normalised_once_and_twice(size: int, found: Library) -> None:
    norm, again = nn.LayerNorm(size, eps=1e-3), nn.LayerNorm(size)
    for part in (norm, again):
        nn.init.normal_(part.weight)
        nn.init.normal_(part.bias)
    x, y = torch.randn(7, size) * 3 + 5, torch.randn(7, size)
    once = kernels.normalise_by(found, x, y, norm, None)
    twice = kernels.normalise_by(found, x, y, norm, again)
    exact = [part.double() for part in (norm, again)]
    first = exact[0](x.double() + y.double())
    torch.testing.assert_close(once.double(), first.detach(), atol=2e-5, rtol=2e-5)
    torch.testing.assert_close(twice.double(), exact[1](x.double() + first).detach(), atol=2e-4, rtol=2e-4)


@pytest.mark.parametrize("words", [1, 15, 16, 31, 32, 100, 2917])
def test_sums_of_exponentials(words: int, found: Library) -> None:
    scores = torch.cat([torch.randn(5, words) * 4, torch.full((1, words), -torch.inf), torch.full((1, words), -90.0)])
    scores[1, words // 2] = -torch.inf
    sums = kernels.sums_by(found, scores).double()
    torch.testing.assert_close(sums[:5], scores[:5].double().exp().sum(1), rtol=1e-6, atol=0)
    assert sums[5:].tolist() == [0, 0]
    for wrong in (torch.nan, torch.inf, 1e9, 88.0):
        scores[2, -1] = wrong
        assert not kernels.sums_by(found, scores)[2] < 1e30, "what the caller does again, or refuses"


@pytest.mark.parametrize("words", [5, 16, 17, 100, 2917])
@pytest.mark.parametrize("count", [1, 5])
def test_the_highest_scores(count: int, words: int, found: Library) -> None:
    scores = torch.cat([torch.randn(6, words), torch.arange(words).flip(0).float()[None], torch.arange(words)[None]])
    scores[0, : words - 2] = -torch.inf  # fewer than five that may be said
    scores[1] = -torch.inf
    values, places = kernels.highest_by(found, scores, count)
    assert torch.equal(values, scores.topk(count).values)
    assert torch.equal(scores.gather(1, places), values)
    assert all(len(set(row)) == count for row in places.tolist())
    ties = torch.tensor([[1.0, 3.0, 2.0, 3.0, *[0.0] * 40, 3.0]])
    assert kernels.highest_by(found, ties, 3)[1].tolist() == [[1, 3, 44]]


@pytest.mark.parametrize("inputs", [1, 4, 31, 64, 130])
@pytest.mark.parametrize("outputs", [1, 16, 63, 64, 200])
@pytest.mark.parametrize("rows", [1, 4, 5, 6, 13, 99, 200])
def test_eight_bits_are_exact_sums(rows: int, outputs: int, inputs: int) -> None:
    library = binding.library()
    if library is None or not library.multiplies_bytes:
        pytest.skip("this processor does not multiply bytes by fours")
    whole = torch.randint(-127, 128, (outputs, inputs), dtype=torch.int8)
    scales, bias = torch.rand(outputs) / 100, torch.randn(outputs)
    x = torch.randint(-127, 128, (rows, inputs)).float()
    x[:, 0] = -127  # the scale of a row is then 1
    x[rows // 2] = 0
    sums = x.double() @ whole.double().T * scales
    for slope, offset in itertools.product((None, 0.0, 0.1), (None, bias)):
        expected = sums if offset is None else sums + offset
        expected = expected if slope is None else torch.where(expected < 0, expected * slope, expected)
        found = Panels(library, whole, scales, offset)(x, slope)
        torch.testing.assert_close(found.double(), expected, atol=1e-5, rtol=1e-6)


@pytest.mark.parametrize("precision", ["float32", "int8"])
@pytest.mark.parametrize("name", MODELS)
def test_a_model_is_the_same_with_them_and_without(name: str, precision: str, always: None) -> None:
    model = build(name, MODELS[name], feature_size=12, vocabulary_size=60).eval()
    for part in model.parameters():
        part.mul_(1.5)
    features, mask = torch.randn(7, 9, 12).abs(), torch.rand(7, 9) > 0.3
    mask[:, 0] = True
    ready, answers = prepare(model, precision), []
    for use in (True, False):
        use_compiled(use)
        searches = (Decoding("beam", 4, 8), Decoding("beam", 4, 8, groups=2, diversity=0.5), Decoding("greedy", 1, 8))
        answers.append([find(ready, ready.start(features, mask), search) for search in searches])
    for ours, theirs in zip(*answers, strict=True):
        if precision == "int8":  # the least difference may round a number of a row the other way
            torch.testing.assert_close(ours.sums, theirs.sums, atol=0.1, rtol=0)
            continue
        torch.testing.assert_close(ours.sums, theirs.sums, atol=2e-4, rtol=1e-5)
        assert ours.ids.tolist() == theirs.ids.tolist()
        torch.testing.assert_close(ours.attention, theirs.attention, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("whose", ["torch's threads", "our own"])
@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_the_same_bits_on_any_number_of_threads(
    precision: str, whose: str, always: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if whose == "our own":
        monkeypatch.setattr(binding.library(), "_threads", None)
    monkeypatch.setattr(binding, "EACH", 1)
    query, group = torch.randn(101, 64), torch.arange(101) // 5
    keys, values, mask = torch.randn(21, 1, 4, 30, 16), torch.randn(21, 1, 4, 30, 16), torch.rand(21, 30) > 0.2
    layer, norm, scores = prepare(nn.Sequential(nn.Linear(64, 96)), precision), nn.LayerNorm(64), torch.randn(101, 900)
    results = []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        set_num_threads(threads)
        library = binding.library()
        assert library is not None and library.parts(101, 1 << 30) == threads
        attended = kernels.attend(query, keys, values, mask, group)
        best_words = kernels.highest(scores, 5)
        assert attended is not None and best_words is not None
        eight = [layer(query)] if precision == "int8" else []
        normed, sums = kernels.add_and_normalise(query, query, norm), kernels.exponential_sums(scores)
        gazed = kernels.attend_additively(query[:, :16], keys[:, 0, 0], values[:, 0, 1], mask, group, torch.ones(16))
        assert gazed is not None
        results.append([*attended, *gazed, *best_words, *eight, normed, sums])
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))  # type: ignore[arg-type]


def test_what_is_not_for_them_goes_to_torch(always: None) -> None:
    x, norm = torch.randn(4, 8), nn.LayerNorm(8)
    assert kernels.add_and_normalise(x, x, norm) is not None
    assert kernels.add_and_normalise(x.double(), x.double(), norm.double()) is None
    assert kernels.add_and_normalise(x, x[:1], nn.LayerNorm(8)) is None
    assert kernels.add_and_normalise(x, x, nn.LayerNorm(8, elementwise_affine=False)) is None
    assert kernels.add_and_normalise(x, x, nn.LayerNorm(4)) is None and kernels.add_and_normalise(x, x, norm) is None
    assert kernels.highest(x, 9) is None and kernels.highest(x.T, 2) is None
    assert kernels.exponential_sums(x.bfloat16()) is None
    with torch.enable_grad():
        assert kernels.exponential_sums(x) is None
    use_compiled(False)
    assert kernels.exponential_sums(x) is None


@pytest.mark.parametrize("under", ["autocast", "float64", "bfloat16"])
def test_what_the_first_caller_works_under_decides_nothing(under: str, always: None) -> None:
    x, norm, scores = torch.randn(4, 64), nn.LayerNorm(64), torch.randn(5, 40)
    eight = prepare(nn.Sequential(nn.Linear(64, 32)), "int8")
    expected = kernels.add_and_normalise(x, x, norm), eight(x), kernels.highest(scores, 2)
    binding.FINDER.forget()
    try:
        if under == "autocast":
            with torch.autocast("cpu", torch.bfloat16):
                assert binding.library() is not None, binding.FINDER.reason()
        else:
            torch.set_default_dtype(getattr(torch, under))
            assert binding.library() is not None, binding.FINDER.reason()
            found = kernels.add_and_normalise(x, x, norm), eight(x), kernels.highest(scores, 2)
            torch.testing.assert_close(found, expected, rtol=0, atol=0)
    finally:
        torch.set_default_dtype(torch.float32)
        binding.FINDER.forget()


def test_a_number_that_is_none_is_not_narrowed_to_a_zero() -> None:
    layer = prepare(nn.Sequential(nn.Linear(64, 48), nn.ReLU()), "int8")
    x = torch.randn(3, 64)
    x[1, 37] = torch.nan
    assert layer(x).isnan().all(1).tolist() == [False, True, False]


def test_small_work_builds_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "library", lambda: pytest.fail("asked for the library"))
    with torch.no_grad():
        assert kernels.exponential_sums(torch.zeros(6, 10_201)) is None


def test_dropout_is_not_passed_over(always: None) -> None:
    attention = MultiHeadAttention(16, 2, dropout=0.5)
    x, mask = torch.randn(3, 9, 16), torch.ones(3, 9, dtype=torch.bool)
    quiet = attention.eval().among(x, mask)
    use_compiled(False)
    torch.testing.assert_close(quiet, attention.among(x, mask))
    use_compiled()
    attention.train()
    assert not torch.allclose(attention.among(x, mask), quiet, atol=1e-3)


def test_scores_that_are_no_numbers_are_refused_and_high_ones_are_not(always: None) -> None:
    logits = torch.randn(3, 50)
    logits[1, 7] = 200.0
    torch.testing.assert_close(normalisers(logits.clone()), logits.double().logsumexp(1).float())
    assert best(logits, 2)[1][1, 0] == 7
    for wrong in (torch.nan, torch.inf):
        logits[1, 7] = wrong
        with pytest.raises(DataError, match="expected a number"):
            normalisers(logits.clone())


def test_wrong_results_are_refused(always: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Library, "run", lambda self, name, job, parts=1: None)  # as if it left everything undone
    binding.FINDER.forget()
    try:
        assert binding.library() is None and "not those of torch" in binding.FINDER.reason()
    finally:
        binding.FINDER.forget()


def test_without_a_compiler_torch_does_it(tmp_path: Path) -> None:
    program = (
        "import torch; from seesay.nn.compiled import binding; from seesay.decoding.scores import normalisers\n"
        "print(float(normalisers(torch.zeros(64, 2000))[0])); print(binding.FINDER.reason())"
    )
    environment = {"PATH": str(tmp_path), "SEESAY_CACHE": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, encoding="utf-8", check=True
    )
    assert done.stdout.startswith("7.6009") and "no C compiler" in done.stdout


@pytest.mark.parametrize(("value", "said"), [("0", "torch (SEESAY_COMPILED=0)"), ("", "compiled, 8 bits ")])
def test_a_person_is_told(value: str, said: str, always: None) -> None:
    command = [sys.executable, "-m", "seesay.nn.compiled"]
    environment = {**os.environ, "SEESAY_COMPILED": value}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, encoding="utf-8", check=True)
    assert said in done.stdout and done.stdout.count("\n") == 1 and done.stderr == ""


def test_sizes_told_to_the_kernels_are_theirs() -> None:
    texts = "".join(file.read_text(encoding="utf-8") for file in INFERENCE.main.parent.glob("*.h"))
    told = {name: int(value) for name, value in re.findall(r"#define (AT_ONCE|COLUMNS|CHUNK) (\d+)", texts)}
    assert told == {"AT_ONCE": kernels.ROOM // 3, "COLUMNS": linear8.COLUMNS, "CHUNK": linear8.CHUNK}
