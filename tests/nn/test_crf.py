"""The forward algorithm and Viterbi's, against every sequence there is."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from seesay.nn.crf import CRF, padded
from seesay.text.spans import is_whole, transitions

TAGS = 3
LENGTHS = torch.tensor([4, 1, 0, 3])


@pytest.fixture
def crf() -> CRF:
    torch.manual_seed(1)
    made = CRF(TAGS).double()
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter)
    return made.requires_grad_(False)


def some_emissions(tags: int = TAGS) -> Tensor:
    return torch.randn(4, 4, tags, dtype=torch.double, generator=torch.Generator().manual_seed(2))


def score(crf: CRF, emissions: Tensor, tags: tuple[int, ...]) -> Tensor:
    """A sequence's score, term by term."""
    total = crf.start[tags[0]] + crf.end[tags[-1]] if tags else emissions.new_zeros(())
    for place, tag in enumerate(tags):
        total = total + emissions[place, tag]
    for before, now in itertools.pairwise(tags):
        total = total + crf.transitions[before, now]
    return total


def every(length: int, tags: int = TAGS) -> list[tuple[int, ...]]:
    return list(itertools.product(range(tags), repeat=length))


def test_the_partition_is_the_sum_over_all_sequences(crf: CRF) -> None:
    emissions = some_emissions()
    expected = [
        torch.stack([score(crf, row, tags) for tags in every(length)]).logsumexp(0)
        for row, length in zip(emissions, LENGTHS.tolist(), strict=True)
    ]
    torch.testing.assert_close(crf.log_partition(emissions, LENGTHS), torch.stack(expected), rtol=0, atol=1e-12)


def test_probabilities_of_all_sequences_sum_to_one(crf: CRF) -> None:
    emissions = some_emissions()[:1]
    tags = torch.tensor(every(4))
    count = len(tags)
    found = crf.log_likelihood(emissions.expand(count, -1, -1), torch.full((count,), 4), tags)
    assert float(found.exp().sum()) == pytest.approx(1, abs=1e-12)
    expected = score(crf, emissions[0], (2, 0, 1, 1)) - crf.log_partition(emissions, torch.tensor([4]))[0]
    assert float(found[every(4).index((2, 0, 1, 1))]) == pytest.approx(float(expected), abs=1e-12)


def test_an_unknown_tag_is_any(crf: CRF) -> None:
    emissions, lengths = some_emissions()[:1], torch.tensor([4])
    found = crf.log_likelihood(emissions, lengths, torch.tensor([[1, -1, 0, -1]])).exp()
    parts = [
        crf.log_likelihood(emissions, lengths, torch.tensor([[1, one, 0, other]])).exp() for one, other in every(2)
    ]
    assert float(found) == pytest.approx(float(sum(parts)), abs=1e-12)
    nobody = crf.log_likelihood(emissions, lengths, torch.full((1, 4), -1))
    assert float(nobody) == pytest.approx(0, abs=1e-12)


def test_what_stands_beyond_a_length_does_not_matter(crf: CRF) -> None:
    emissions, tags = some_emissions(), torch.ones(4, 4, dtype=torch.long)
    found = crf.log_likelihood(emissions, LENGTHS, tags)
    beyond = torch.arange(4) >= LENGTHS.unsqueeze(1)
    other = emissions.masked_fill(beyond.unsqueeze(2), 77.0)
    torch.testing.assert_close(crf.log_likelihood(other, LENGTHS, tags.masked_fill(beyond, -1)), found, rtol=0, atol=0)
    assert crf.decode(other, LENGTHS) == crf.decode(emissions, LENGTHS)
    for row, length in enumerate(LENGTHS.tolist()):  # and alone it is the same
        alone = crf.log_likelihood(
            emissions[row : row + 1, :length], LENGTHS[row : row + 1], tags[row : row + 1, :length]
        )
        assert float(alone) == pytest.approx(float(found[row]), abs=1e-12)


def test_viterbi_finds_the_best_sequence(crf: CRF) -> None:
    for seed in range(5):
        emissions = torch.randn(4, 4, TAGS, dtype=torch.double, generator=torch.Generator().manual_seed(seed))
        found = crf.decode(emissions, LENGTHS)
        for row, length in enumerate(LENGTHS.tolist()):
            best = max(every(length), key=lambda tags, row=row: float(score(crf, emissions[row], tags)))
            assert tuple(found[row]) == best


def test_marginals_are_sums_of_probabilities(crf: CRF) -> None:
    emissions = some_emissions()
    with torch.no_grad():
        found = crf.marginals(emissions, LENGTHS)
    for row, length in enumerate(LENGTHS.tolist()):
        chances = torch.stack([score(crf, emissions[row], tags) for tags in every(length)]).softmax(0)
        for place, tag in itertools.product(range(4), range(TAGS)):
            alike = [
                float(c) for tags, c in zip(every(length), chances, strict=True) if tags[place : place + 1] == (tag,)
            ]
            assert float(found[row, place, tag]) == pytest.approx(sum(alike), abs=1e-12)


def test_marginals_where_no_gradients_are_kept(crf: CRF) -> None:
    emissions = some_emissions()
    expected = crf.marginals(emissions, LENGTHS)
    with torch.inference_mode():
        assert torch.equal(crf.marginals(emissions * 1, LENGTHS), expected)


def test_gradients(crf: CRF) -> None:
    emissions = some_emissions().requires_grad_()
    tags = torch.tensor([[0, 1, -1, 2], [1, 0, 0, 0], [0, 0, 0, 0], [2, 2, 1, 0]])
    parameters = [parameter.clone().requires_grad_() for parameter in crf.parameters()]

    def loss(emissions: Tensor, *weights: Tensor) -> Tensor:
        named = dict(zip(("start", "transitions", "end"), weights, strict=True))
        return -torch.func.functional_call(crf, named, (emissions,)).sum()

    crf.forward = lambda x: crf.log_likelihood(x, LENGTHS, tags)  # type: ignore[method-assign]
    assert torch.autograd.gradcheck(loss, (emissions, *parameters))


@pytest.mark.parametrize("scheme", ["BIO", "BIOES"])
def test_what_is_not_allowed_is_neither_found_nor_probable(scheme: str) -> None:
    names = ["O", "B-X", "I-X", "E-X", "S-X"][: 3 if scheme == "BIO" else 5]
    crf = CRF(len(names), transitions(names, scheme)).double().requires_grad_(False)
    emissions = 5 * some_emissions(len(names))
    for row, length in zip(crf.decode(emissions, LENGTHS), LENGTHS.tolist(), strict=True):
        assert len(row) == length and is_whole([names[i] for i in row], scheme)
    whole = [tags for tags in every(3, len(names)) if is_whole([names[i] for i in tags], scheme)]
    tags = torch.tensor(whole)
    count = len(whole)
    found = crf.log_likelihood(emissions[:1, :3].expand(count, -1, -1), torch.full((count,), 3), tags)
    assert float(found.exp().sum()) == pytest.approx(1, abs=1e-12)
    unconstrained = CRF(len(names)).double().decode(emissions, LENGTHS)
    assert any(not is_whole([names[i] for i in row], scheme) for row in unconstrained)


def test_the_masks_are_no_weights() -> None:
    allowed = transitions(["B-X", "I-X", "O"], "BIO")
    assert list(CRF(3, allowed).state_dict()) == ["start", "transitions", "end"]


def test_a_batch_without_a_position() -> None:
    crf, nothing, lengths = CRF(TAGS), torch.zeros(2, 0, TAGS), torch.zeros(2, dtype=torch.long)
    assert crf.decode(nothing, lengths) == [[], []]
    assert crf.log_likelihood(nothing, lengths, torch.zeros(2, 0, dtype=torch.long)).tolist() == [0, 0]


def test_rows_are_laid_out_by_sequence() -> None:
    rows = torch.arange(1.0, 9.0).view(4, 2).requires_grad_()
    laid = padded(rows, torch.tensor([1, 0, 3]), value=-1)
    assert laid.tolist() == [[[1, 2], [-1, -1], [-1, -1]], [[-1, -1]] * 3, [[3, 4], [5, 6], [7, 8]]]
    laid.sum().backward()
    assert torch.equal(rows.grad, torch.ones_like(rows))
    assert padded(torch.zeros(0, 2), torch.tensor([0, 0])).shape == (2, 0, 2)
    assert padded(torch.tensor([3, 4]), torch.tensor([2, 0]), value=-1).tolist() == [[3, 4], [-1, -1]]
