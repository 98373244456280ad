"""The captioner without torch is its twin in torch: scores, gradients and words, one way and the other."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from seesay.decoding import numpy_search, search
from seesay.decoding.settings import Decoding
from seesay.errors import DataError, SeesayError, UnknownName
from seesay.models import captioning_rnn
from seesay.scratch import captioner as module
from seesay.scratch import functional, optim
from seesay.scratch.captioner import Captioner, Speaker, State, masked_mean
from seesay.text import vocabulary
from seesay.text.vocabulary import BOS, EOS, PAD, UNK

Array = NDArray[Any]
SIZES = {"feature_size": 5, "vocabulary_size": 13}
CELLS = ("lstm", "rnn")


def a_captioner(cell: str = "lstm", spread: float = 0.0, **given: Any) -> Captioner:
    """A small one in float64 that drops nothing; with `spread` its weights are large and sentences end anywhere."""
    options = {"embedding_size": 6, "hidden_size": 8, "dropout": 0.0, "dtype": np.float64, "seed": 3} | SIZES | given
    model = Captioner(cell=cell, **options)
    random = np.random.default_rng(options["seed"])
    for parameter in model.parameters() if spread else ():
        parameter.data[...] = random.standard_normal(parameter.shape) * spread
    model.head.bias.data[EOS] += 3 * spread
    return model


def twin(model: Captioner) -> captioning_rnn.Model:
    """The torch model of the same weights, read by name."""
    hidden, embedding = model.project.weight.shape[0], model.embedding.weight.shape[1]
    config = captioning_rnn.Config(model.cell, embedding, hidden, dropout=0.0)
    words, size = model.embedding.weight.shape[0], model.project.weight.shape[1]
    other = captioning_rnn.Model(config, feature_size=size, vocabulary_size=words)
    other = other.to(getattr(torch, model.dtype.name))
    other.load_state_dict({name: torch.from_numpy(array.copy()) for name, array in model.state_dict().items()})
    return other


def pictures(count: int = 3, regions: int = 4, seed: int = 0) -> tuple[Array, Array]:
    """Features and a mask that hides some regions, of one picture all."""
    random = np.random.default_rng(seed)
    mask = random.random((count, regions)) < 0.7
    mask[-1] = count < 2
    return random.standard_normal((count, regions, 5)), mask


CAPTIONS = {
    "several a picture": ([[2, 7, 8, 9, 3], [2, 4, 3, 1, 1], [2, 5, 0, 6, 3], [2, 12, 11, 3, 1]], [0, 0, 1, 2]),
    "one word": ([[2, 7, 3], [2, 9, 3]], [1, 0]),
    "a batch of one": ([[2, 7, 8, 3]], [0]),
    "no words": ([[2, 3], [2, 3]], [2, 2]),
    "padding beyond the longest": ([[2, 7, 3, 1, 1], [2, 3, 1, 1, 1]], [0, 1]),
    "padding in the midst": ([[2, 7, 1, 5, 3], [2, 1, 1, 3, 1]], [0, 1]),
}


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("name", CAPTIONS)
def test_scores_loss_and_every_gradient_are_torch_s(name: str, cell: str) -> None:
    model, (features, mask) = a_captioner(cell), pictures()
    tokens, rows = (np.array(part) for part in CAPTIONS[name])
    logits, targets = model(features, mask, tokens, rows)
    loss = functional.cross_entropy(logits, targets, label_smoothing=0.1)
    loss.backward()

    other = twin(model)
    forced = other(*(torch.from_numpy(part) for part in (features, mask, tokens, rows)))
    expected = torch.nn.functional.cross_entropy(forced.logits, forced.targets, label_smoothing=0.1)
    expected.backward()
    np.testing.assert_array_equal(targets, forced.targets)
    np.testing.assert_allclose(logits.data, forced.logits.detach(), atol=1e-10)
    assert loss.item() == pytest.approx(expected.item(), abs=1e-10)
    theirs = {name: parameter.grad for name, parameter in other.named_parameters()}
    assert [name for name, _ in model.named_parameters()] == list(theirs)
    for name, parameter in model.named_parameters():
        np.testing.assert_allclose(parameter.grad, theirs[name], atol=1e-10, err_msg=name)


@pytest.mark.parametrize("cell", CELLS)
def test_weights_come_back_from_torch(cell: str) -> None:
    torch.manual_seed(1)
    config = captioning_rnn.Config(cell, 6, 8)
    other = captioning_rnn.Model(config, **SIZES).double().eval()
    model = a_captioner(cell)
    model.load_state_dict({name: tensor.numpy() for name, tensor in other.state_dict().items()})
    features, mask = pictures()
    state = other.start(torch.from_numpy(features), torch.from_numpy(mask))
    expected, _ = other.step(torch.tensor([2, 7, 9]), state)
    logits, _ = model.step(np.array([2, 7, 9]), model.start(features, mask))
    np.testing.assert_allclose(logits, expected.detach(), atol=1e-12)


@pytest.mark.parametrize("cell", CELLS)
def test_step_by_step_is_all_at_once(cell: str) -> None:
    model, (features, mask) = a_captioner(cell), pictures()
    tokens = np.array([[2, 7, 8, 9, 3], [2, 4, 6, 5, 3], [2, 5, 0, 6, 3]])
    logits, _ = model(features, mask, tokens, np.arange(3))
    state, stepped = model.start(features, mask), []
    for words in tokens.T[:-1]:
        scores, state = model.step(words, state)
        stepped.append(scores)
    np.testing.assert_allclose(np.stack(stepped, 1).reshape(logits.shape), logits.data, atol=1e-12)
    assert not state.cell.any() if cell == "rnn" else state.cell.all()


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize(
    "decoding", [Decoding("greedy"), Decoding("beam"), Decoding("beam", wanted=1), Decoding("beam", length_penalty=1.0)]
)
def test_says_the_words_that_torch_says(decoding: Decoding, cell: str) -> None:
    for seed in range(3):
        model, (features, mask) = a_captioner(cell, spread=1.0, seed=seed), pictures(6, seed=seed)
        other = twin(model)
        with torch.no_grad():
            state = other.start(torch.from_numpy(features), torch.from_numpy(mask))
        expected = search.decode(other, state, decoding)
        found = numpy_search.decode(model, model.start(features, mask), decoding)
        assert [[h.tokens for h in some] for some in found] == [[h.tokens for h in some] for some in expected]
        assert [some[0].score for some in found] == pytest.approx([some[0].score for some in expected], abs=1e-5)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("cell", CELLS)
def test_the_speaker_says_what_greedy_search_finds(cell: str, dtype: Any) -> None:
    lengths = set()
    for seed in range(6):
        model, (features, mask) = a_captioner(cell, spread=1.0, dtype=dtype, seed=seed), pictures(5, seed=seed)
        expected = numpy_search.greedy(model, model.start(features, mask), max_length=9)
        speaker = Speaker(model)
        for one, some in enumerate(expected):
            words = speaker.say(features[one : one + 1], mask[one : one + 1], max_length=9)
            assert words == some[0].tokens
            lengths.add(len(words))
    assert len(lengths) > 1


def test_the_speaker_never_says_what_is_silent_and_always_something() -> None:
    model, (features, mask) = a_captioner(), pictures(1)
    model.head.bias.data[[UNK, PAD, BOS]] += 30
    model.head.bias.data[EOS] += 60
    assert len(Speaker(model).say(features, mask)) == 1
    model.head.bias.data[EOS] = -60
    words = Speaker(model).say(features, mask, max_length=7)
    assert len(words) == 7 and not {UNK, PAD, BOS, EOS} & set(words)
    model.head.bias.data[5] = np.nan
    with pytest.raises(DataError, match="scores: received nan"):
        Speaker(model).say(features, mask)


@pytest.mark.parametrize("cell", CELLS)
def test_the_speaker_allocates_no_array_between_words(cell: str, monkeypatch: pytest.MonkeyPatch) -> None:
    hidden, words = 512, 2048
    model = Captioner(cell=cell, feature_size=5, vocabulary_size=words, embedding_size=16, hidden_size=hidden)
    model.head.bias.data[EOS] = model.head.bias.data[256:] = -100  # Python keeps one object for each number up to 256
    speaker = Speaker(model)
    state = model.start(np.ones((1, 2, 5), np.float32), np.ones((1, 2), bool))
    monkeypatch.setattr(model, "start", lambda *_: state)  # what stands before the words may allocate
    features, mask = np.ones((1, 2, 5), np.float32), np.ones((1, 2), bool)
    speaker.say(features, mask)
    tracemalloc.start()
    try:
        peaks = []
        for length in (1, 60):
            before, _ = tracemalloc.get_traced_memory()
            tracemalloc.reset_peak()
            assert len(speaker.say(features, mask, max_length=length)) == length
            peaks.append(tracemalloc.get_traced_memory()[1] - before)
    finally:
        tracemalloc.stop()
    assert peaks[1] - peaks[0] < 4 * hidden, "60 words take no array more than one"
    assert max(peaks) < 2 * 4 * hidden, "nor does one: neither gates nor scores, not even for a moment"


def test_hidden_regions_do_not_matter() -> None:
    model, (features, mask) = a_captioner(), pictures()
    before = model.start(features, mask).hidden
    for anything in (0.0, 99.0, np.nan):
        features[~mask] = anything
        np.testing.assert_allclose(model.start(features, mask).hidden, before, atol=1e-12)
    more = np.concatenate([features, np.ones((3, 2, 5))], 1), np.pad(mask, ((0, 0), (0, 2)))
    np.testing.assert_allclose(model.start(*more).hidden, before, atol=1e-12)
    np.testing.assert_array_equal(before[2], model.project.bias.data)  # of this picture nothing is seen


def test_half_precision_features_are_read_in_the_model_s_own() -> None:
    values = np.arange(40, dtype=np.float16).reshape(2, 4, 5)
    mask = np.array([[True, True, False, True], [True] * 4])
    for dtype in (np.float32, np.float64):
        model = a_captioner(dtype=dtype)
        state = model.start(values, mask)
        assert state.hidden.dtype == dtype
        expected = np.stack([values[0, [0, 1, 3]].mean(0, np.float64), values[1].mean(0, np.float64)])
        expected = expected @ model.project.weight.data.T + model.project.bias.data
        np.testing.assert_allclose(state.hidden, expected, rtol=1e-5)
    assert masked_mean(np.ones((1, 2, 3)), np.zeros((1, 2), bool)).tolist() == [[0, 0, 0]]


@pytest.mark.parametrize("cell", CELLS)
def test_starts_as_torch_s_does(cell: str) -> None:
    ours = Captioner(cell=cell, feature_size=40, vocabulary_size=300, embedding_size=30, hidden_size=50).state_dict()
    config = captioning_rnn.Config(cell, 30, 50)
    theirs = captioning_rnn.Model(config, feature_size=40, vocabulary_size=300).state_dict()
    assert list(ours) == list(theirs)
    for name, array in ours.items():
        expected = theirs[name].numpy()
        assert (array.shape, array.dtype) == (expected.shape, expected.dtype)
        if name == "embedding.weight":
            assert not array[PAD].any()
            assert array.std() == pytest.approx(1, abs=0.05)
        elif array.size > 1000:  # uniform: a bound, and a spread of bound / sqrt(3)
            assert np.abs(array).max() == pytest.approx(np.abs(expected).max(), rel=0.02)
            assert array.std() == pytest.approx(expected.std(), rel=0.1)
    if cell == "lstm":
        assert (ours["rnn.bias_ih_l0"][50:100] == 1).all() and (ours["rnn.bias_hh_l0"][50:100] == 0).all()
        assert np.abs(np.delete(ours["rnn.bias_ih_l0"], np.s_[50:100])).max() <= 50**-0.5


def test_the_seed_decides_the_weights_and_one_generator_all_dropout() -> None:
    def weights(seed: int) -> Array:
        return np.concatenate([array.ravel() for array in a_captioner(seed=seed).state_dict().values()])

    assert (weights(1) == weights(1)).all()
    assert (weights(1) != weights(2)).any()
    model, (features, mask) = a_captioner(dropout=0.5), pictures()

    def scores(seed: int) -> Array:
        model.seed(np.random.default_rng(seed))
        logits, _ = model(features, mask, np.array([[2, 7, 3]]), np.array([0]))
        return logits.data

    assert (scores(1) == scores(1)).all()
    assert (scores(1) != scores(2)).any()
    model.eval()
    assert (scores(1) == scores(2)).all()


def test_two_sentences_of_fourteen_words_are_learnt_by_heart() -> None:
    sentences = [list(range(4, 18)), [4, 9, 4, 20, 21, 4, 9, 22, 6, 5, 21, 4, 8, 23]]
    tokens = np.array([[BOS, *words, EOS] for words in sentences])
    features, mask, rows = np.eye(2, 5, dtype=np.float32)[:, None], np.ones((2, 1), bool), np.arange(2)
    model = Captioner(feature_size=5, vocabulary_size=24, embedding_size=32, hidden_size=64, dropout=0.0)
    adam = optim.Adam(model.parameters(), lr=0.01)
    for _ in range(150):
        adam.zero_grad()
        loss = functional.cross_entropy(*model(features, mask, tokens, rows))
        loss.backward()
        adam.step()
    assert loss.item() < 0.01
    model.eval()
    speaker = Speaker(model)
    assert [speaker.say(features[i : i + 1], mask[i : i + 1]) for i in rows] == sentences
    found = numpy_search.beam(model, model.start(features, mask), width=5)
    assert [some[0].tokens for some in found] == sentences
    assert all(some[0].ended and some[0].score > -0.2 for some in found)


def test_the_ids_are_those_of_the_vocabulary() -> None:
    assert (module.UNK, module.PAD, module.BOS, module.EOS) == (UNK, PAD, BOS, EOS)
    assert vocabulary.SPECIALS[module.PAD] == "<pad>"


def test_a_step_leaves_the_state_it_was_given() -> None:
    model, (features, mask) = a_captioner(), pictures()
    state = model.start(features, mask)
    before = State(*(part.copy() for part in state))
    model.step(np.array([2, 2, 2]), state)
    for part, old in zip(state, before, strict=True):
        np.testing.assert_array_equal(part, old)


def test_what_does_not_fit_is_said() -> None:
    with pytest.raises(UnknownName, match="Unknown cell 'gru'"):
        a_captioner("gru")
    with pytest.raises(DataError, match="dtype: expected float32 or float64"):
        a_captioner(dtype=np.float16)
    model, (features, mask) = a_captioner(), pictures()
    with pytest.raises(DataError, match=r"features: expected \(pictures, regions, feature_size=5\)"):
        model.start(features[..., :4], mask)
    with pytest.raises(DataError, match=r"mask: expected \(pictures=3, regions=4\) of bool"):
        model.start(features, mask.astype(float))
    with pytest.raises(DataError, match=r"rows: expected \(captions=1\)"):
        model(features, mask, np.array([[2, 7, 3]]), np.array([0, 1]))
    for tokens, rows in (([[2, 13, 3]], [0]), ([[2, 7, 3]], [3]), ([[2, -2, 3]], [0])):
        with pytest.raises(SeesayError):
            model(features, mask, np.array(tokens), np.array(rows))
    with pytest.raises(DataError, match=r"features: expected \(pictures=1"):
        Speaker(model).say(features, mask)
