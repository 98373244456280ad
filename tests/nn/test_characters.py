"""What filters make of letters, against the same by loops."""

from __future__ import annotations

import pytest
import torch

from seesay.nn.characters import CharacterCNN


@pytest.fixture
def network() -> CharacterCNN:
    torch.manual_seed(3)
    return CharacterCNN(9, character_size=4, filter_size=5, window_size=3).double().requires_grad_(False)


def by_loops(network: CharacterCNN, word: list[int]) -> torch.Tensor:
    letters = network.embedding.weight[[0, *word, 0]]  # blanks at either end
    weight, bias = network.filters.weight, network.filters.bias
    answers = [
        [bias[f] + sum(weight[f, :, k] @ letters[place + k] for k in range(3)) for f in range(5)]
        for place in range(len(word))
    ]
    return torch.tensor(answers, dtype=torch.double).amax(0)


def test_equals_the_same_by_loops_whatever_fills_up(network: CharacterCNN) -> None:
    words = [[2, 3, 4, 5], [7], [8, 1]]
    for width in (4, 7):
        letters = torch.tensor([[*word, *[0] * (width - len(word))] for word in words])
        torch.testing.assert_close(network(letters), torch.stack([by_loops(network, word) for word in words]))


def test_a_word_without_letters_is_zeros(network: CharacterCNN) -> None:
    assert not network(torch.tensor([[0, 0]])).any()
    assert network(torch.zeros(0, 1, dtype=torch.long)).shape == (0, 5)
    assert network(torch.zeros(3, 0, dtype=torch.long)).shape == (3, 5)
