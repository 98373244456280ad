"""IVQA by slow loops and finite differences; what answers and concepts do; two questions learned by heart.

Masks, states, order and padding are held to the contract of all captioning models, in `test_contract.py`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn

from seesay.data.batches import pad
from seesay.data.questions import AskBatch
from seesay.decoding.inference import prepare
from seesay.decoding.search import beam
from seesay.errors import DataError, RecipeError
from seesay.models import build
from seesay.nn.state import select
from seesay.text.vocabulary import BOS, EOS, PAD, UNK
from seesay.training.objectives import CrossEntropy
from seesay.training.scheduled_sampling import partly_own

WORDS, SIZE, REGIONS, CONCEPTS = 11, 7, 5, 6
SIZES = {"embedding_size": 8, "hidden_size": 10, "attention_size": 6, "answer_size": 4}
ARTICLE = {
    "concepts": "single",
    "answers": "single",
    "residual": False,
    "tied": False,
    "project_regions": False,
    "project_joint": True,
    "dropout": 0.0,
}
VARIANTS: list[dict[str, Any]] = [
    {},
    ARTICLE,
    {"glimpses": 2},
    {"glimpses": 3, "project_joint": True},
    {"joint": "sum", "residual": False},
    {"answers": "single", "tied": False},
    {"concepts": "single", "project_regions": False},
]


class Asked(NamedTuple):
    """What the model's `forward` takes."""

    features: Tensor
    mask: Tensor
    concepts: Tensor
    answers: Tensor
    tokens: Tensor
    rows: Tensor


def make(**settings: Any) -> Any:
    torch.manual_seed(0)
    sizes = {"feature_size": SIZE, "vocabulary_size": WORDS, "concept_count": CONCEPTS}
    return build("ivqa", {**SIZES, **settings}, **sizes).double().eval()


def some_batch() -> Asked:
    """Questions of 0 to 5 words about pictures of 5, 3 and 1 regions, with answers of 0 (none known) to 3 words."""
    generator = torch.Generator().manual_seed(1)
    features = torch.randn(3, REGIONS, SIZE, dtype=torch.double, generator=generator)
    mask = torch.arange(REGIONS) < torch.tensor([[5], [3], [1]])
    concepts = torch.rand(3, CONCEPTS, dtype=torch.double, generator=generator)
    tokens = torch.from_numpy(pad([[4, 5, 6], [7], [], [8, 9, 10, 4, 5], [UNK, UNK]]))
    return Asked(
        features, mask, concepts, answers([7, 8], [], [UNK], [9, 4, 5], []), tokens, torch.tensor([0, 1, 1, 2, 0])
    )


def answers(*some: list[int]) -> Tensor:
    most = max(map(len, some))
    return torch.tensor([[*words, *[PAD] * (most - len(words))] for words in some], dtype=torch.long)


def lstm(rnn: nn.LSTM, x: Tensor, hidden: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
    """One step for one sentence by the textbook, from torch's weights."""
    w_ih, w_hh, b_ih, b_hh = rnn.all_weights[0]
    i, f, g, o = (w_ih @ x + b_ih + w_hh @ hidden + b_hh).chunk(4)
    cell = torch.sigmoid(f) * cell + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(cell), cell


def multiplied(left: nn.Linear, right: nn.Linear, output: Any, x: Tensor, y: Tensor) -> Tensor:
    """Low-rank pooling of two vectors."""
    joint = torch.tanh(left.weight @ x + left.bias) * torch.tanh(right.weight @ y + right.bias)
    return torch.tanh(output.weight @ joint + output.bias) if isinstance(output, nn.Linear) else joint


def heard(model: Any, words: list[int]) -> Tensor:
    """The answer a of the article, for the words of one answer."""
    if not words:
        return model.any
    vectors = [model.embedding.weight[word] for word in words]
    if model.config.answers == "single":
        return vectors[0]
    hidden = cell = torch.zeros(model.config.answer_size, dtype=torch.double)
    for x in vectors:
        hidden, cell = lstm(model.answer, x, hidden, cell)
    return torch.cat([cell, hidden])


def by_loops(
    model: Any, regions: Tensor, concepts: Tensor, answer: list[int], words: list[int]
) -> list[tuple[Tensor, Tensor]]:
    """Logits and attention after each word of one question about one picture, by the equations as they are written."""
    config, pool = model.config, model.joint
    values = [model.regions(v) for v in regions]
    a = heard(model, answer)
    s = model.concept.weight[int(concepts.argmax())] if config.concepts == "single" else concepts
    beside = torch.cat([model.first_concepts.weight, model.first_answer.weight], dim=1)
    hidden = torch.tanh(beside @ torch.cat([s, a]) + model.first_concepts.bias)
    cell = torch.zeros_like(hidden)
    found = []
    for word in words:
        hidden, cell = lstm(model.rnn, model.embedding.weight[word], hidden, cell)
        z = torch.relu(model.z_hidden.weight @ hidden + model.z_hidden.bias + model.z_answer.weight @ a)
        attend = model.attention
        f = [multiplied(attend.key, attend.query, attend.output, v, z) for v in values]
        looked = [torch.stack([p @ f_ij for f_ij in f]).softmax(0) for p in attend.score]
        c = torch.cat([sum(w * v for w, v in zip(weights, values, strict=True)) for weights in looked])
        if config.joint == "sum":
            g = torch.tanh(pool.left.weight @ c + pool.left.bias + pool.right.weight @ z)
        else:
            output = pool.output[0] if config.project_joint else None
            g = multiplied(pool.left, pool.right, output, c, z)
        said = hidden + g if config.residual else g
        said = model.back.weight @ said + model.back.bias if config.tied else said
        found.append((model.head.weight @ said + model.head.bias, torch.stack(looked).mean(0)))
    return found


@pytest.mark.parametrize("settings", VARIANTS, ids=str)
def test_the_equations_by_loops(settings: dict[str, Any]) -> None:
    model, batch = make(**settings), some_batch()
    forced = model(*batch)
    real = batch.tokens[:, 1:] != PAD
    assert torch.equal(forced.targets, batch.tokens[:, 1:][real])
    for question, logits in enumerate(forced.logits.split(real.sum(1).tolist())):
        picture = int(batch.rows[question])
        answer = [word for word in batch.answers[question].tolist() if word != PAD]
        count = int(batch.mask[picture].sum())
        said = batch.tokens[question, : len(logits)].tolist()
        expected = by_loops(model, batch.features[picture, :count], batch.concepts[picture], answer, said)
        for t, (scores, looked) in enumerate(expected):
            torch.testing.assert_close(logits[t], scores, rtol=1e-10, atol=1e-10)
            # Where it looked is kept in float32, whatever it is computed in.
            torch.testing.assert_close(forced.attention[question, t, :count], looked.float(), rtol=1e-6, atol=1e-7)
        assert not forced.attention[question, :, count:].any() and not forced.attention[question, len(logits) :].any()


@pytest.mark.parametrize("settings", VARIANTS, ids=str)
def test_gradients_by_finite_differences(settings: dict[str, Any]) -> None:
    sizes = {"embedding_size": 3, "hidden_size": 4, "attention_size": 3, "answer_size": 2}
    model, batch = make(**sizes | settings), some_batch()
    names = [name for name, _ in model.named_parameters()]

    def loss(features: Tensor, concepts: Tensor, *weights: Tensor) -> Tensor:
        inputs = (features, batch.mask, concepts, *batch[3:])
        forced = torch.func.functional_call(model, dict(zip(names, weights, strict=True)), inputs, tie_weights=True)
        return nn.functional.cross_entropy(forced.logits, forced.targets, reduction="sum")

    inputs = [part.clone().requires_grad_() for part in (batch.features, batch.concepts)]
    assert torch.autograd.gradcheck(loss, (*inputs, *model.parameters()), fast_mode=True)


def test_the_answer_is_read_to_its_own_end() -> None:
    model = make()
    together = model._read(answers([7, 8], [], [9], [4, 5, 6, 10]))
    for row, words in enumerate([[7, 8], [], [9], [4, 5, 6, 10]]):
        torch.testing.assert_close(together[row], heard(model, words))
        torch.testing.assert_close(together[row], model._read(answers([*words, PAD, PAD, PAD]))[0])
    assert torch.equal(model._read(torch.zeros(2, 0, dtype=torch.long)), model.any.expand(2, -1))
    torch.testing.assert_close(model._read(answers([8, 7]))[0], heard(model, [8, 7]))
    assert not torch.allclose(model._read(answers([8, 7]))[0], together[0])  # the order of words matters


def test_a_single_answer_word_is_a_word_of_the_questions() -> None:
    model = make(answers="single")
    assert torch.equal(model._read(answers([7, 8], [])), torch.stack([model.embedding.weight[7], model.any]))


@pytest.mark.parametrize("settings", [{}, ARTICLE], ids=["default", "article"])
def test_padding_after_an_answer_changes_nothing(settings: dict[str, Any]) -> None:
    model, batch = make(**settings), some_batch()
    longer = batch._replace(answers=nn.functional.pad(batch.answers, (0, 4), value=PAD))
    expected = model(*batch)
    torch.testing.assert_close(model(*longer).logits, expected.logits)
    unknown = batch._replace(answers=torch.full((5, 3), PAD))
    nothing = batch._replace(answers=torch.empty(5, 0, dtype=torch.long))
    assert torch.equal(model(*unknown).logits, model(*nothing).logits)
    counts = (batch.tokens[:, 1:] != PAD).sum(1).tolist()
    for row, (one, other) in enumerate(
        zip(expected.logits.split(counts), model(*unknown).logits.split(counts), strict=True)
    ):
        assert torch.allclose(one, other) == (row in (1, 4)), "only questions with an answer may change"


@pytest.mark.parametrize("settings", [{}, {"residual": False}], ids=["residual", "plain"])
def test_answer_and_concepts_each_count(settings: dict[str, Any]) -> None:
    model, batch = make(**settings), some_batch()
    logits = model(*batch).logits
    assert not torch.allclose(model(*batch._replace(concepts=1 - batch.concepts)).logits, logits)
    assert not torch.allclose(model(*batch._replace(answers=batch.answers.roll(1, 0))).logits, logits)


def test_a_single_concept_is_the_likeliest_one() -> None:
    model, batch = make(concepts="single"), some_batch()
    likeliest = nn.functional.one_hot(batch.concepts.argmax(1), CONCEPTS).double()
    assert torch.equal(model(*batch._replace(concepts=likeliest)).logits, model(*batch).logits)
    assert not torch.allclose(model(*batch._replace(concepts=likeliest.roll(1, 1))).logits, model(*batch).logits)


def test_every_answer_known_or_none_still_trains() -> None:
    for some in ([[7, 8]] * 5, [[]] * 5):
        model, batch = make(), some_batch()
        forced = model(*batch._replace(answers=answers(*some)))
        nn.functional.cross_entropy(forced.logits, forced.targets).backward()
        missing = {name for name, part in model.named_parameters() if part.grad is None or not part.grad.any()}
        unread = {"answer.weight_ih_l0", "answer.weight_hh_l0", "answer.bias_ih_l0", "answer.bias_hh_l0"}
        assert missing == ({"any"} if some[0] else unread)


def test_questions_about_pictures_by_rows_as_one_by_one() -> None:
    model, batch = make(glimpses=2), some_batch()
    state = model.start(*batch[:4], batch.rows)
    assert [len(part) for part in state] == [5] * 5 and len(state.regions.values) == 3, "each picture is encoded once"
    logits, after = model.step(torch.full((5,), BOS), state)
    for question, row in enumerate(batch.rows.tolist()):
        alone = model.start(*(part[row : row + 1] for part in batch[:3]), batch.answers[question : question + 1])
        one, _ = model.step(torch.tensor([BOS]), alone)
        torch.testing.assert_close(one[0], logits[question])
    chosen, following = model.step(torch.tensor([4, 5]), select(after, torch.tensor([3, 1])))
    whole, _ = model.step(torch.tensor([0, 5, 0, 4, 0]), after)
    torch.testing.assert_close(chosen, whole[[3, 1]])
    assert following.attention.shape == (2, REGIONS)


def test_many_questions_are_compared_from_one_state() -> None:
    model, batch = make(), some_batch()
    rows = torch.tensor([2, 0, 2, 1])
    state = model.start(*batch[:3], batch.answers[:3])
    forced = model.force(state, batch.tokens[:4], rows)
    expected = model(*batch[:3], batch.answers[:3][rows], batch.tokens[:4], rows)
    torch.testing.assert_close(forced.logits, expected.logits)
    torch.testing.assert_close(forced.attention, expected.attention)


def test_rows_of_zeros_are_no_regions() -> None:
    model, batch = make(), some_batch()
    filled = batch.features.masked_fill(~batch.mask.unsqueeze(-1), 0)
    found = model(filled, torch.ones_like(batch.mask), *batch[2:])
    torch.testing.assert_close(found.logits, model(*batch).logits)
    assert not found.attention[3, :, 1:].any()


def test_hidden_words_and_regions_are_for_training_alone() -> None:
    model, batch = make(dropout=0.0, region_dropout=0.5, word_dropout=0.9), some_batch()
    drawn = [model.train()(*batch) for _ in range(5)]
    assert any(not torch.equal(drawn[0].logits, other.logits) for other in drawn[1:])
    seen = [(one.attention[0, 0] > 0).sum() for one in drawn]
    assert all(count >= 1 for count in seen) and any(count < REGIONS for count in seen)
    # The first word is never forgotten: with the regions it sees, it is all that the first logits depend on.
    assert torch.equal(drawn[0].attention[1, 0] > 0, drawn[0].attention[2, 0] > 0), "questions of a picture see alike"
    assert torch.equal(model.eval()(*batch).logits, model(*batch).logits)


def test_dropout_is_for_training_alone() -> None:
    model, batch = make(dropout=0.5), some_batch()
    torch.manual_seed(0)
    first, second = (model.train()(*batch).logits for _ in range(2))
    assert not torch.allclose(first, second)
    torch.manual_seed(0)
    assert torch.equal(model(*batch).logits, first)
    assert torch.equal(model.eval()(*batch).logits, model(*batch).logits)


def test_a_picture_without_regions_is_refused() -> None:
    model, batch = make(), some_batch()
    with pytest.raises(DataError, match="picture 2 of the 3 in this batch has no region"):
        model.start(batch.features, batch.mask & torch.tensor([[True], [False], [True]]), *batch[2:4], batch.rows)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"glimpses": 0}, "model.glimpses: received 0; expected a whole number from 1 to 16"),
        ({"joint": "product"}, "model.joint: received 'product'; expected 'bilinear' or 'sum'"),
        ({"answers": "word"}, "model.answers: received 'word'; expected 'words' or 'single'"),
        ({"concepts": "none"}, "model.concepts: received 'none'; expected 'vector' or 'single'"),
    ],
)
def test_a_setting_that_makes_no_sense_is_one_line(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        make(**settings)


@pytest.mark.parametrize("precision", ["float32", "bf16", "int8"])
@pytest.mark.parametrize("settings", [{}, ARTICLE | {"glimpses": 2}], ids=["default", "article"])
def test_prepared_for_use_it_says_nearly_the_same(settings: dict[str, Any], precision: str) -> None:
    batch = some_batch()
    torch.manual_seed(0)
    sizes = {"feature_size": 32, "vocabulary_size": 40, "concept_count": 33}
    large = {"embedding_size": 32, "hidden_size": 48, "attention_size": 32, "answer_size": 32}
    model: Any = build("ivqa", large | settings, **sizes).eval()
    inputs = (torch.randn(3, REGIONS, 32), batch.mask, torch.rand(3, 33), batch.answers, batch.rows)
    quick = prepare(model, precision)
    with torch.no_grad():
        one, other = (some.step(torch.full((5,), BOS), some.start(*inputs))[0] for some in (model, quick))
    torch.testing.assert_close(other, one, rtol=0, atol=1e-5 if precision == "float32" else 0.05)
    assert not torch.allclose(one[0], one[4], atol=0.01)  # another answer about the same picture


def test_scheduled_sampling_goes_on_from_its_own_words() -> None:
    model, batch = make(), some_batch()
    torch.manual_seed(3)
    mixed = partly_own(model, AskBatch(("a", "b", "c"), *batch), 1.0)
    words = (batch.tokens > EOS) | (batch.tokens == UNK)
    assert torch.equal(mixed[~words], batch.tokens[~words]) and (mixed[words] > EOS).all()
    forced = model(*batch._replace(tokens=mixed))
    state, at = model.start(*batch[:4], batch.rows), 0
    for question, count in enumerate((batch.tokens[:, 1:] != PAD).sum(1).tolist()):
        alone = select(state, torch.tensor([question]))
        for t in range(count):
            logits, alone = model.step(mixed[question, t : t + 1], alone)
            torch.testing.assert_close(logits[0], forced.logits[at + t])
        at += count


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_every_weight_still_learns(precision: torch.dtype) -> None:
    model, batch = make(dropout=0.1, region_dropout=0.1, word_dropout=0.1).float().train(), some_batch()
    single = AskBatch(("a", "b", "c"), batch.features.float(), batch.mask, batch.concepts.float(), *batch[3:])
    with torch.autocast("cpu", dtype=precision, enabled=precision != torch.float32):
        loss = CrossEntropy(label_smoothing=0.1, doubly_stochastic=1.0, scheduled_sampling=0.5)(model, single)
    loss.total.backward()
    assert loss.tokens == 16
    assert all(part.grad is not None and part.grad.any() and part.grad.isfinite().all() for part in model.parameters())


@pytest.mark.parametrize("settings", [{}, {"glimpses": 2}, ARTICLE], ids=["default", "glimpses", "article"])
def test_two_questions_of_fourteen_words_are_learned_by_heart(settings: dict[str, Any]) -> None:
    torch.manual_seed(0)
    words, count = 14, 10
    sizes = {"embedding_size": 100, "hidden_size": 40, "attention_size": 40, "answer_size": 40, "dropout": 0.0}
    model: Any = build("ivqa", sizes | settings, feature_size=50, vocabulary_size=EOS + 1 + count, concept_count=count)
    targets = torch.randint(EOS + 1, EOS + 1 + count, (2, words)).tolist()
    seen = (torch.randn(2, 5, 50), torch.ones(2, 5, dtype=torch.bool), torch.rand(2, count), answers([4], [9]))
    tokens, rows = torch.from_numpy(pad(targets)), torch.arange(2)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(150):
        forced = model(*seen, tokens, rows)
        optimizer.zero_grad()
        nn.functional.cross_entropy(forced.logits, forced.targets).backward()
        optimizer.step()
    model.eval()
    with torch.no_grad():
        for width in (1, 3):
            found = beam(model, model.start(*seen), width=width, max_length=words + 4)
            assert [some[0].tokens for some in found] == targets and all(some[0].ended for some in found)
