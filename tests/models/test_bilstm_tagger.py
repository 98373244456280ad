"""The tagger on torch: its twin on NumPy, letters, CRF, frames, and what does not go together."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from seesay.errors import RecipeError
from seesay.models.bilstm_tagger import Config, Model
from seesay.scratch.tagger import Tagger
from seesay.text.spans import is_whole

SIZES, TAGS, LETTERS = (11, 5, 7), 5, 9
NAMES = ("B-X", "B-Y", "I-X", "I-Y", "O")
SMALL: dict[str, Any] = {"embedding_size": 4, "feature_size": 3, "hidden_size": 5, "dropout": 0.0}
LENGTHS = [3, 1, 0, 6]
KINDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "letters": {"characters": True, "character_size": 3, "filter_size": 4},
    "CRF": {"crf": True},
    "letters, CRF, BIO": {"characters": True, "filter_size": 4, "crf": True, "constraints": "BIO"},
}


def make(**settings: Any) -> Model:
    torch.manual_seed(1)
    config = Config(**{**SMALL, **settings})
    return Model(config, sizes=SIZES, tags=TAGS, character_count=LETTERS, names=NAMES).double().eval()


def batch(lengths: list[int], seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Ids, lengths and letters; 0 beyond each end."""
    random = np.random.default_rng(seed)
    ids = np.stack([random.integers(1, size, (len(lengths), max(lengths))) for size in SIZES], -1)
    ids[np.arange(max(lengths)) >= np.array(lengths)[:, None]] = 0
    letters = random.integers(1, LETTERS, (sum(lengths), 6)) * (np.arange(6) < random.integers(1, 7, (sum(lengths), 1)))
    return torch.from_numpy(ids), torch.tensor(lengths), torch.from_numpy(letters)


def inputs(kind: str, lengths: list[int], seed: int = 0) -> tuple[Tensor, ...]:
    some = batch(lengths, seed)
    return some if KINDS[kind].get("characters") else some[:2]


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
@pytest.mark.parametrize("bidirectional", [True, False])
def test_equals_its_twin_on_numpy_and_takes_its_weights(cell: str, bidirectional: bool) -> None:
    twin = Tagger(SIZES, TAGS, cell=cell, bidirectional=bidirectional, dtype=np.float64, **SMALL)
    model = make(cell=cell, bidirectional=bidirectional)
    model.load_state_dict({name: torch.from_numpy(array.copy()) for name, array in twin.state_dict().items()})
    ids, lengths, _ = batch(LENGTHS)
    found = model(ids, lengths).detach().numpy()
    np.testing.assert_allclose(found, twin(ids.numpy(), LENGTHS).numpy(), rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_a_sentence_is_tagged_alone_as_in_company(kind: str) -> None:
    model = make(**KINDS[kind])
    whole = inputs(kind, LENGTHS)
    logits = model(*whole)
    assert logits.shape == (sum(LENGTHS), TAGS)
    together = model.best(logits, whole[1]).split(LENGTHS)
    ends = np.cumsum(LENGTHS)
    for row, length in enumerate(LENGTHS):
        rest = [whole[2][ends[row] - length : ends[row]]] if len(whole) > 2 else []
        alone = model(whole[0][row : row + 1, :length], whole[1][row : row + 1], *rest)
        torch.testing.assert_close(alone, logits.split(LENGTHS)[row], rtol=0, atol=1e-12)
        assert torch.equal(model.best(alone, whole[1][row : row + 1]), together[row])


@pytest.mark.parametrize("kind", KINDS)
def test_probabilities_sum_to_one_and_the_loss_is_theirs(kind: str) -> None:
    model = make(**KINDS[kind])
    whole = inputs(kind, LENGTHS)
    with torch.no_grad():
        logits = model(*whole)
        chances = model.log_probabilities(logits, whole[1]).exp()
        torch.testing.assert_close(chances.sum(-1), torch.ones(10).double(), rtol=0, atol=1e-9)
        # One word alone, in any kind: the cross-entropy of its tag, and nothing for a tag that is not known.
        word = tuple(part[1:2] if part.dim() != 2 or len(part) == 4 else part[3:4] for part in whole)
        word = (word[0][:, :1], *word[1:])
        logits = model(*word)
        chance = model.log_probabilities(logits, word[1])
        for tag in (0, 4):
            loss = model.loss(logits, word[1], torch.tensor([tag]))
            assert float(loss) == pytest.approx(-float(chance[0, tag]), abs=1e-9)
        assert float(model.loss(logits, word[1], torch.tensor([-1]))) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("lengths", [[1], [0, 1], [0], [0, 0]], ids=str)
def test_short_batches_have_finite_losses_and_gradients(kind: str, lengths: list[int]) -> None:
    model = make(**KINDS[kind]).train()
    some = inputs(kind, lengths)
    logits = model(*some)
    loss = model.loss(logits, some[1], torch.full((sum(lengths),), 4))
    loss.backward()
    assert loss.isfinite() and all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())
    assert len(model.best(logits, some[1])) == sum(lengths)


def test_constraints_are_kept_to() -> None:
    torch.manual_seed(0)
    lengths = torch.tensor([9] * 20)
    logits = 4 * torch.randn(180, TAGS, dtype=torch.double)

    def whole(model: Model) -> list[bool]:
        return [is_whole([NAMES[i] for i in row], "BIO") for row in model.best(logits, lengths).view(20, 9).tolist()]

    assert all(whole(make(crf=True, constraints="BIO")))
    assert not all(whole(make(crf=True)))


def test_letters_matter() -> None:
    model = make(characters=True)
    ids, lengths, letters = batch(LENGTHS)
    other = torch.where(letters > 0, letters % (LETTERS - 1) + 1, letters)
    assert (model(ids, lengths, letters) - model(ids, lengths, other)).abs().max() > 1e-3


def test_frames_are_standardised_and_what_fills_up_does_not_matter() -> None:
    def frames_model(mean: list[float], deviation: list[float]) -> Model:
        torch.manual_seed(1)
        return Model(Config(**SMALL), tags=2, frame_size=3, mean=mean, deviation=deviation).eval()

    raw, plain = frames_model([1.0, -2.0, 50.0], [2.0, 0.5, 10.0]), frames_model([], [])
    frames, lengths = torch.randn(3, 4, 3), torch.tensor([4, 0, 2])
    moved = frames * torch.tensor([2.0, 0.5, 10.0]) + torch.tensor([1.0, -2.0, 50.0])
    torch.testing.assert_close(raw(moved, lengths), plain(frames, lengths), rtol=0, atol=1e-5)
    moved[1:, 2:] = 99.0
    torch.testing.assert_close(raw(moved, lengths), plain(frames, lengths), rtol=0, atol=1e-5)
    assert {"mean", "deviation"} <= raw.state_dict().keys()
    assert "mean" not in make().state_dict()


def test_variational_dropout_drops_the_same_at_every_word() -> None:
    model = make(num_layers=2, dropout=0.5, variational=True).train()
    torch.manual_seed(0)
    factors = model.rnn._factors(torch.zeros(6, 2, 1).double())[0]
    assert torch.equal(factors, factors[:1].expand(6, -1, -1)) and {0.0, 2.0} == set(factors.unique().tolist())
    plain = make(num_layers=2, dropout=0.5).train().rnn._factors(torch.zeros(6, 2, 1).double())[0]
    assert not torch.equal(plain, plain[:1].expand(6, -1, -1))


def test_in_training_words_are_lost_and_letters_stay() -> None:
    model = make(word_dropout=0.99).train()
    ids = torch.full((1, 40, 3), 3)
    torch.manual_seed(0)
    hidden = model._hidden(ids[:, :, 0])
    assert set(hidden.unique().tolist()) <= {1, 3} and (hidden == 1).sum() > 30
    assert torch.equal(model.eval()._hidden(ids[:, :, 0]), ids[:, :, 0])


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"cell": "elman"}, r"model\.cell: received 'elman'; expected 'lstm', 'gru' or 'rnn'"),
        ({"window_size": 4}, r"model\.window_size: received 4; expected an odd number"),
        ({"constraints": "BIO"}, r"model\.constraints: received 'BIO' without crf"),
    ],
    ids=["cell", "window", "constraints"],
)
def test_settings_that_mean_nothing_are_refused(settings: dict[str, Any], expected: str) -> None:
    with pytest.raises(RecipeError, match=expected):
        make(**settings)


def test_letters_of_data_without_letters_are_refused() -> None:
    with pytest.raises(RecipeError, match=r"model\.characters: received true for data without letters"):
        Model(Config(characters=True), sizes=SIZES, tags=2)
