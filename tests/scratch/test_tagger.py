from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from seesay.data.conll import Sentence
from seesay.data.sequences import TagSet
from seesay.errors import DataError
from seesay.scratch import optim
from seesay.scratch.tagger import UNKNOWN, Tagger
from seesay.text.lexicon import Lexicon

SIZES, TAGS = (11, 5, 7), 6
SMALL: dict[str, Any] = {"embedding_size": 4, "feature_size": 3, "hidden_size": 5}


class Twin(torch.nn.Module):
    """The same network on torch, from torch's own parts."""

    def __init__(self, cell: str, num_layers: int, bidirectional: bool) -> None:
        super().__init__()
        width = SMALL["embedding_size"] + (len(SIZES) - 1) * SMALL["feature_size"]
        widths = [SMALL["embedding_size"], *[SMALL["feature_size"]] * (len(SIZES) - 1)]
        kind = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU, "rnn": torch.nn.RNN}[cell]
        hidden = SMALL["hidden_size"]
        self.embeddings = torch.nn.ModuleList(
            torch.nn.Embedding(size, one, padding_idx=0) for size, one in zip(SIZES, widths, strict=True)
        )
        self.rnn = kind(width, hidden, num_layers=num_layers, bidirectional=bidirectional, batch_first=True)
        self.head = torch.nn.Linear(hidden * (2 if bidirectional else 1), TAGS)
        self.double()

    def forward(self, ids: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        x = torch.cat([embed(ids[..., column]) for column, embed in enumerate(self.embeddings)], -1)
        packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        output, _ = pad_packed_sequence(self.rnn(packed)[0], batch_first=True)
        return self.head(output[torch.arange(ids.shape[1]) < lengths[:, None]])


def batch(lengths: list[int], seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Ids, lengths and targets, some of the latter unknown."""
    random = np.random.default_rng(seed)
    ids = np.stack([random.integers(1, size, (len(lengths), max(lengths))) for size in SIZES], -1)
    ids[np.arange(max(lengths)) >= np.array(lengths)[:, None]] = 0
    return ids, np.array(lengths), random.integers(-1, TAGS, sum(lengths))


def tagger(**settings: Any) -> Tagger:
    return Tagger(SIZES, TAGS, **{**SMALL, "dropout": 0.0, "dtype": np.float64, "seed": 1, **settings})


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
@pytest.mark.parametrize("num_layers", [1, 2])
@pytest.mark.parametrize("bidirectional", [True, False])
def test_equals_the_same_network_on_torch(cell: str, num_layers: int, bidirectional: bool) -> None:
    ours = tagger(cell=cell, num_layers=num_layers, bidirectional=bidirectional)
    twin = Twin(cell, num_layers, bidirectional)
    twin.load_state_dict({name: torch.from_numpy(array.copy()) for name, array in ours.state_dict().items()})
    ids, lengths, targets = batch([3, 7, 1, 5])

    logits, expected = ours(ids, lengths), twin(torch.from_numpy(ids), torch.from_numpy(lengths))
    np.testing.assert_allclose(logits.numpy(), expected.detach().numpy(), rtol=0, atol=1e-10)
    np.testing.assert_array_equal(np.concatenate(ours.tag(ids, lengths)), expected.argmax(-1).numpy())

    loss = ours.loss(ids, lengths, targets, label_smoothing=0.1)
    reference = torch.nn.functional.cross_entropy(
        expected, torch.from_numpy(targets), ignore_index=-1, label_smoothing=0.1
    )
    loss.backward()
    reference.backward()
    assert loss.item() == pytest.approx(reference.item(), abs=1e-12)
    gradients = {name: parameter.grad for name, parameter in ours.named_parameters()}
    assert gradients.keys() == dict(twin.named_parameters()).keys()
    for name, parameter in twin.named_parameters():
        np.testing.assert_allclose(gradients[name], parameter.grad.numpy(), rtol=0, atol=1e-10, err_msg=name)


def test_weights_have_torchs_names_and_come_back() -> None:
    ours = tagger(num_layers=1)
    directions = [f"rnn.{part}_l0{way}" for way in ("", "_reverse") for part in
                  ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]  # fmt: skip
    names = [*(f"embeddings.{i}.weight" for i in range(3)), *directions, "head.weight", "head.bias"]
    assert list(ours.state_dict()) == names
    other = tagger(num_layers=1, seed=2)
    ids, lengths, _ = batch([4, 2])
    assert np.abs(other(ids, lengths).numpy() - ours(ids, lengths).numpy()).max() > 1e-3
    other.load_state_dict(ours.state_dict())
    np.testing.assert_array_equal(other(ids, lengths).numpy(), ours(ids, lengths).numpy())


def test_a_sentence_is_tagged_alone_as_in_company() -> None:
    ours = tagger()
    lengths = [3, 1, 0, 8, 2, 0]
    ids, _, _ = batch(lengths)
    together = np.split(ours(ids, lengths).numpy(), np.cumsum(lengths)[:-1])
    tags = ours.tag(ids, lengths)
    assert [len(one) for one in tags] == lengths
    for row, length in enumerate(lengths):
        alone = ours(ids[row : row + 1, : max(length, 1)], [length]).numpy()
        np.testing.assert_allclose(alone, together[row], rtol=0, atol=1e-12)
        np.testing.assert_array_equal(tags[row], together[row].argmax(-1) if length else [])


def test_what_stands_beyond_the_end_does_not_matter() -> None:
    ours = tagger()
    ids, lengths, targets = batch([2, 6, 4])
    rubbish = ids.copy()
    rubbish[ids == 0] = 3
    np.testing.assert_array_equal(ours(ids, lengths).numpy(), ours(rubbish, lengths).numpy())
    ours.loss(rubbish, lengths, targets).backward()
    used = {int(i) for i in ids[..., 1].ravel()} - {0}
    assert set(np.flatnonzero(ours.embeddings[1].weight.grad.any(1))) == used


def test_tagging_leaves_the_mode_and_no_gradient() -> None:
    ours = tagger(dropout=0.5)
    ids, lengths, _ = batch([4, 2])
    expected = [one.tolist() for one in ours.eval().tag(ids, lengths)]
    ours.train()
    assert [one.tolist() for one in ours.tag(ids, lengths)] == expected
    assert ours.training and ours.dropout.training
    assert all(parameter.grad is None for parameter in ours.parameters())


def test_training_draws_from_the_given_generator_alone() -> None:
    ours = tagger(dropout=0.5, word_dropout=0.3)
    ids, lengths, _ = batch([4, 9])

    def draw(seed: int) -> np.ndarray:
        ours.seed(np.random.default_rng(seed))
        return ours.train()(ids, lengths).numpy()

    first = draw(1)
    np.random.default_rng(9).random(5)
    np.testing.assert_array_equal(draw(1), first)
    assert not np.array_equal(draw(2), first)
    assert not np.array_equal(ours.eval()(ids, lengths).numpy(), first)


def test_word_dropout_hides_words_and_nothing_else() -> None:
    ours = tagger(word_dropout=1 - 1e-12)
    ids, lengths, _ = batch([4, 2])
    hidden = ids.copy()
    hidden[..., 0][ids[..., 0] > 0] = UNKNOWN
    trained = ours.train()(ids, lengths).numpy()
    np.testing.assert_array_equal(trained, ours.eval()(hidden, lengths).numpy())
    assert not np.array_equal(trained, ours(ids, lengths).numpy())
    some = tagger(word_dropout=0.25)._hidden(np.full((100, 100), 7))
    assert (some == UNKNOWN).mean() == pytest.approx(0.25, abs=0.02)


def test_learns_what_only_both_neighbours_tell() -> None:
    random = np.random.default_rng(0)
    ids = random.integers(2, 5, (16, 9, 1))
    whole = np.pad(ids[..., 0], ((0, 0), (1, 1)))
    targets = (whole[:, :-2] + whole[:, 2:]) % 3
    lengths = np.full(16, 9)
    ours = Tagger((5,), 3, cell="gru", embedding_size=8, hidden_size=16, num_layers=1, dropout=0.0)
    optimizer = optim.Adam(ours.parameters(), lr=0.02)
    for _ in range(120):
        optimizer.zero_grad()
        loss = ours.loss(ids, lengths, targets.ravel())
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.02
    np.testing.assert_array_equal(np.stack(ours.tag(ids, lengths)), targets)


def test_tags_words_it_never_saw_by_their_endings() -> None:
    random = np.random.default_rng(0)

    def sentence() -> Sentence:
        tags = [("NN", "VB", "RB")[i] for i in random.integers(0, 3, 6)]
        ends = {"NN": "ness", "VB": "ise", "RB": "ly"}
        return Sentence(tuple("".join(random.choice(list("bdgk"), 5)) + ends[tag] for tag in tags), tuple(tags))

    training, test = [sentence() for _ in range(60)], [sentence() for _ in range(20)]
    lexicon = Lexicon.build(*zip(*training, strict=True), prefixes=0, suffixes=3, shape=False)
    ours = Tagger(lexicon.sizes, len(lexicon.tags), **SMALL, num_layers=1, word_dropout=0.5)
    ours.seed(np.random.default_rng(1))
    optimizer = optim.Adam(ours.parameters(), lr=0.02)
    for epoch in range(8):
        for some in TagSet.build(training, lexicon).shuffled(8, seed=1, epoch=epoch):
            optimizer.zero_grad()
            ours.loss(some.ids, some.lengths, some.targets).backward()
            optimizer.step()
    unseen = next(TagSet.build(test, lexicon).in_order(20))
    assert (unseen.ids[..., 0] == UNKNOWN).mean() > 0.8
    assert (np.concatenate(ours.tag(unseen.ids, unseen.lengths)) == unseen.targets).mean() == 1


def test_embeddings_start_small() -> None:
    weight = Tagger((2000,), 3).embeddings[0].weight.numpy()
    assert not weight[0].any()
    assert weight[1:].std() == pytest.approx(0.1, rel=0.02)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"cell": "mlp"}, "cell: received 'mlp'; expected one of gru, lstm, rnn"),
        ({"sizes": ()}, "received 0 columns and 6 tags"),
        ({"tags": 0}, "received 3 columns and 0 tags"),
        ({"word_dropout": 1.0}, "word_dropout: received 1.0"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any], expected: str) -> None:
    with pytest.raises(DataError, match=expected):
        Tagger(**{"sizes": SIZES, "tags": TAGS, **settings})


def test_ids_of_another_lexicon_are_refused() -> None:
    ours = tagger()
    with pytest.raises(DataError, match=r"ids: received shape \(2, 4, 2\); expected \(batch, time, 3\)"):
        ours(np.ones((2, 4, 2), np.int64), [4, 4])
    with pytest.raises(DataError, match="11"):
        ours(np.full((1, 2, 3), 11), [2])
    with pytest.raises(DataError, match="lengths"):
        ours(np.ones((1, 2, 3), np.int64), [3])


def test_ids_that_are_no_array_are_refused() -> None:
    with pytest.raises(DataError, match=r"^ids: received list; expected an array \(batch, time, 3\)"):
        tagger()([[[1, 1, 1]]], [1])


def test_tagging_leaves_what_was_frozen_frozen_and_takes_no_sentence() -> None:
    ours = tagger()
    ours.dropout.eval()
    assert ours.tag(np.zeros((0, 4, 3), np.int64), []) == []
    assert ours.training and not ours.dropout.training
