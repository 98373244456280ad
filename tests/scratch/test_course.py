"""The course's functions: its printed values, finite differences, and agreement with the layers."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seesay import scratch
from seesay.errors import DataError, UnknownName

CHECKED = ["rnn_step_forward", "rnn_forward", "word_embedding_forward"]
WORDS = {"<NULL>": 0, "<START>": 1, "<END>": 2, "a": 3, "cat": 4, "dog": 5}
SEQUENCES = {"rnn": 1, "lstm": 4}


def made(given: dict[str, Any]) -> Any:
    if "array" in given:
        return np.asarray(given["array"])
    return np.linspace(*given["linspace"], num=int(np.prod(given["shape"]))).reshape(given["shape"])


@pytest.mark.parametrize("name", CHECKED)
def test_gives_the_values_that_the_course_prints(name: str, shared_data: Path) -> None:
    path = shared_data / "cs231n" / "checks.json"
    if not path.is_file():
        pytest.skip("checks.json is not here")
    check = json.loads(path.read_text(encoding="utf-8"))["checks"][name]
    found, _ = getattr(scratch, name)(**{key: made(value) for key, value in check["inputs"].items()})
    (expected,) = check["expected"].values()
    np.testing.assert_allclose(found, expected, atol=1e-8)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("rnn_step_forward", "x prev_h Wx Wh b"),
        ("rnn_step_backward", "dnext_h cache"),
        ("rnn_forward", "x h0 Wx Wh b"),
        ("rnn_backward", "dh cache"),
        ("lstm_step_forward", "x prev_h prev_c Wx Wh b"),
        ("lstm_step_backward", "dnext_h dnext_c cache"),
        ("lstm_forward", "x h0 Wx Wh b"),
        ("lstm_backward", "dh cache"),
        ("word_embedding_forward", "x W"),
        ("word_embedding_backward", "dout cache"),
        ("temporal_affine_forward", "x w b"),
        ("temporal_affine_backward", "dout cache"),
        ("temporal_softmax_loss", "x y mask verbose"),
    ],
)
def test_arguments_are_the_courses(name: str, arguments: str) -> None:
    assert list(inspect.signature(getattr(scratch, name)).parameters) == arguments.split()


def arrays(cell: str, steps: int | None, dtype: Any = np.float64, batch: int = 3) -> list[Any]:
    random, gates = np.random.default_rng(0), SEQUENCES[cell]
    shapes = [(batch, 4) if steps is None else (batch, steps, 4), (batch, 5)]
    shapes += [(batch, 5)] if cell == "lstm" and steps is None else []
    return [random.standard_normal(s).astype(dtype) for s in (*shapes, (4, 5 * gates), (5, 5 * gates), (5 * gates,))]


@pytest.mark.parametrize("steps", [None, 1, 4])
@pytest.mark.parametrize("cell", SEQUENCES)
def test_gradients_are_finite_differences_and_nothing_given_is_changed(cell: str, steps: int | None) -> None:
    stem = f"{cell}_step" if steps is None else cell
    forward, backward = getattr(scratch, f"{stem}_forward"), getattr(scratch, f"{stem}_backward")
    given = arrays(cell, steps)
    *results, cache = forward(*given)
    upstream = [np.random.default_rng(1).standard_normal(result.shape) for result in results]
    held = [array.copy() for array in (*given, *upstream)]
    gradients = backward(*upstream, cache)
    again = backward(*upstream, cache)
    assert all((one == two).all() for one, two in zip(gradients, again, strict=True)), "a cache may serve twice"
    assert all((one == two).all() for one, two in zip(held, (*given, *upstream), strict=True))
    assert len(gradients) == len(given)
    for array, gradient in zip(given, gradients, strict=True):
        assert gradient.shape == array.shape
        numeric = np.zeros_like(array)
        for place in np.ndindex(array.shape):
            value, sides = array[place], []
            for shift in (1e-6, -1e-6):
                array[place] = value + shift
                sides.append(sum((r * d).sum() for r, d in zip(forward(*given)[:-1], upstream, strict=True)))
            array[place] = value
            numeric[place] = (sides[0] - sides[1]) / 2e-6
        np.testing.assert_allclose(gradient, numeric, atol=1e-7)


@pytest.mark.parametrize("cell", SEQUENCES)
def test_agrees_with_the_layer(cell: str) -> None:
    x, h0, wx, wh, b = arrays(cell, 6)
    layer = (scratch.RNN if cell == "rnn" else scratch.LSTM)(4, 5, batch_first=True, dtype=np.float64)
    order = [0] if cell == "rnn" else [0, 1, 3, 2]  # i f o g as i f g o
    blocks = {"weight_ih_l0": wx.T, "weight_hh_l0": wh.T, "bias_ih_l0": b, "bias_hh_l0": np.zeros_like(b)}
    layer.parameters = {
        name: np.concatenate([np.split(array, len(order))[gate] for gate in order]) for name, array in blocks.items()
    }
    state = h0[None] if cell == "rnn" else (h0[None], np.zeros_like(h0)[None])
    output, _, layer_cache = layer.forward(x, state)
    h, cache = getattr(scratch, f"{cell}_forward")(x, h0, wx, wh, b)
    np.testing.assert_allclose(h, output, atol=1e-13)
    dh = np.random.default_rng(2).standard_normal(h.shape)
    h[...] = np.nan  # the caller's own
    dx, dh0, _, dwh, _ = getattr(scratch, f"{cell}_backward")(dh, cache)
    found = layer.backward(layer_cache, dh)
    np.testing.assert_allclose(dx, found.x, atol=1e-12)
    np.testing.assert_allclose(dh0, found.state[0] if cell == "rnn" else found.state[0][0], atol=1e-12)
    theirs = np.split(found.parameters["weight_hh_l0"], len(order))
    np.testing.assert_allclose(dwh, np.concatenate([theirs[gate] for gate in order]).T, atol=1e-12)


@pytest.mark.parametrize("cell", SEQUENCES)
def test_float32_stays_and_no_steps_are_no_gradient(cell: str) -> None:
    for steps in (3, 0):
        given = arrays(cell, steps, np.float32)
        h, cache = getattr(scratch, f"{cell}_forward")(*given)
        gradients = getattr(scratch, f"{cell}_backward")(np.ones_like(h), cache)
        assert {array.dtype for array in (h, *gradients)} == {np.dtype(np.float32)}
        assert steps or not any(gradient.any() for gradient in gradients)


def test_bad_input_is_named() -> None:
    x, h0, wx, wh, b = arrays("rnn", 3)
    with pytest.raises(DataError, match=r"h0: expected \(N=3, H=5\) of float64, received \(2, 5\)"):
        scratch.rnn_forward(x, h0[:2], wx, wh, b)
    with pytest.raises(DataError, match=r"Wx: expected \(D=4, G H=5\) of float64, received \(4, 5\) of float32"):
        scratch.rnn_forward(x, h0, wx.astype(np.float32), wh, b)
    with pytest.raises(DataError, match=r"Wh: expected \(H=5, G H=20\) of float64, received \(5, 5\)"):
        scratch.lstm_forward(x, h0, np.tile(wx, 4), wh, b)
    with pytest.raises(DataError, match=r"dh: expected \(N=3, T=3, H=5\)"):
        scratch.rnn_backward(np.ones((3, 2, 5)), scratch.rnn_forward(x, h0, wx, wh, b)[1])
    with pytest.raises(DataError, match=r"word ids from 0 to V - 1 = 4, received 0 to 5"):
        scratch.word_embedding_forward(np.array([[0, 5]]), np.ones((5, 2)))
    with pytest.raises(DataError, match="expected word ids"):
        scratch.word_embedding_forward(np.array([[0.5]]), np.ones((5, 2)))
    with pytest.raises(DataError, match=r"w: expected \(D=2, M\)"):
        scratch.temporal_affine_forward(np.ones((1, 1, 2)), np.ones((3, 2)), np.ones(2))


def test_embedding_counts_a_word_as_often_as_it_stands_there() -> None:
    x = np.array([[1, 1, 0], [1, 2, 2]])
    _, cache = scratch.word_embedding_forward(x, np.zeros((4, 2)))
    assert scratch.word_embedding_backward(np.ones((2, 3, 2)), cache)[:, 0].tolist() == [1, 3, 2, 0]


def test_affine_gradients() -> None:
    random = np.random.default_rng(0)
    x, w, b = (random.standard_normal(shape) for shape in ((2, 3, 4), (4, 5), (5,)))
    out, cache = scratch.temporal_affine_forward(x, w, b)
    dout = random.standard_normal(out.shape)
    dx, dw, db = scratch.temporal_affine_backward(dout, cache)
    np.testing.assert_allclose(dx, np.einsum("ntm,dm->ntd", dout, w))
    np.testing.assert_allclose(dw, np.einsum("ntd,ntm->dm", x, dout))
    np.testing.assert_allclose(db, dout.sum((0, 1)))


def test_softmax_loss_counts_unmasked_places_and_cannot_overflow() -> None:
    random = np.random.default_rng(0)
    scores, words = random.standard_normal((2, 3, 4)), np.array([[0, 1, 99], [3, 2, 1]])
    mask = np.array([[True, True, False], [True, False, True]])
    loss, dx = scratch.temporal_softmax_loss(scores, words, mask)
    logs = scores - np.log(np.exp(scores).sum(2, keepdims=True))
    expected = -sum(logs[n, t, words[n, t]] for n, t in zip(*np.nonzero(mask), strict=True)) / 2
    assert loss == pytest.approx(expected, abs=1e-12)
    assert not dx[~mask].any()
    place = (1, 2, 3)
    moved = scores.copy()
    moved[place] += 1e-6
    assert dx[place] == pytest.approx((scratch.temporal_softmax_loss(moved, words, mask)[0] - loss) / 1e-6, abs=1e-5)
    huge, _ = scratch.temporal_softmax_loss(np.array([[[1e4, -1e4]]]), np.array([[1]]), np.array([[1.0]]))
    assert huge == pytest.approx(2e4)
    nothing, _ = scratch.temporal_softmax_loss(scores, words, np.zeros_like(mask))
    assert nothing == 0


@pytest.mark.parametrize("cell", SEQUENCES)
def test_captioner_gradients_are_finite_differences(cell: str) -> None:
    model = scratch.CaptioningRNN(WORDS, 5, 4, 3, cell, np.float64)
    random = np.random.default_rng(0)
    features = random.standard_normal((3, 5))
    captions = np.array([[1, 3, 4, 2], [1, 5, 2, 0], [1, 2, 0, 0]])
    _, grads = model.loss(features, captions)
    assert grads.keys() == model.params.keys()
    for name, array in model.params.items():
        for place in {tuple(random.integers(0, size) for size in array.shape) for _ in range(4)}:
            value, sides = array[place], []
            for shift in (1e-6, -1e-6):
                array[place] = value + shift
                sides.append(model.loss(features, captions)[0])
            array[place] = value
            assert grads[name][place] == pytest.approx((sides[0] - sides[1]) / 2e-6, abs=1e-7), name


@pytest.mark.parametrize("cell", SEQUENCES)
def test_captioner_learns_its_captions_by_heart(cell: str) -> None:
    model = scratch.CaptioningRNN(WORDS, 5, 8, 16, cell)
    features = np.random.default_rng(0).standard_normal((3, 5))  # float64, as features often come
    captions = np.array([[1, 3, 4, 2, 0], [1, 3, 5, 3, 2], [1, 5, 2, 0, 0]])
    moments = {name: (np.zeros_like(array), np.zeros_like(array)) for name, array in model.params.items()}
    for step in range(1, 201):  # Adam
        loss, grads = model.loss(features, captions)
        for name, array in model.params.items():
            mean, square = moments[name]
            mean += 0.1 * (grads[name] - mean)
            square += 0.001 * (grads[name] ** 2 - square)
            array -= 0.02 * (mean / (1 - 0.9**step)) / (np.sqrt(square / (1 - 0.999**step)) + 1e-8)
    assert loss < 0.1
    assert {array.dtype for array in (*model.params.values(), *grads.values())} == {np.dtype(np.float32)}
    assert (model.sample(features, 4) == captions[:, 1:]).all()
    assert model.sample(features, 9).shape == (3, 9) and not model.sample(features, 9)[:, 4:].any()


def test_captioner_needs_its_special_words() -> None:
    with pytest.raises(DataError, match="<NULL>"):
        scratch.CaptioningRNN({"cat": 0})
    with pytest.raises(UnknownName, match="gru"):
        scratch.CaptioningRNN(WORDS, cell_type="gru")
    model = scratch.CaptioningRNN({"<NULL>": 0, "cat": 1}, 5, 4, 3)
    assert model.loss(np.ones((1, 5)), np.array([[1, 1]]))[0] > 0, "the loss needs no <START>"
    with pytest.raises(DataError, match="<START>"):
        model.sample(np.ones((1, 5)))
    with pytest.raises(DataError, match=r"features: expected \(N, input_dim=5\)"):
        model.loss(np.ones((1, 4)), np.array([[1, 1]]))


def test_bad_sizes_are_named() -> None:
    words = {"<NULL>": 0, "<START>": 1, "<END>": 2}
    with pytest.raises(DataError, match=r"^hidden_dim: expected 1 or more, received 0"):
        scratch.CaptioningRNN(words, 5, 4, 0)
    with pytest.raises(DataError, match=r"^max_length: expected a whole number from 0, received -1"):
        scratch.CaptioningRNN(words, 5, 4, 3).sample(np.ones((1, 5)), -1)
    with pytest.raises(DataError, match=r"^max_length: expected a whole number from 0, received 2\.5"):
        scratch.CaptioningRNN(words, 5, 4, 3).sample(np.ones((1, 5)), 2.5)  # type: ignore[arg-type]
    _, cache = scratch.word_embedding_forward(np.array([[1]]), np.zeros((3, 2)))
    with pytest.raises(DataError, match=r"^dout: expected .* of float64, received .* of int64"):
        scratch.word_embedding_backward(np.ones((1, 1, 2), int), cache)


def test_a_cache_of_another_function_is_refused() -> None:
    x, h, weights = np.ones((2, 4, 3)), np.ones((2, 1)), (np.ones((3, 1)), np.ones((1, 1)), np.ones(1))
    gates = (np.ones((3, 4)), np.ones((1, 4)), np.ones(4))
    caches = {
        "rnn_step_forward": scratch.rnn_step_forward(x[:, 0], h, *weights)[-1],
        "rnn_forward": scratch.rnn_forward(x, h, *weights)[-1],
        "lstm_step_forward": scratch.lstm_step_forward(x[:, 0], h, h, *gates)[-1],
        "lstm_forward": scratch.lstm_forward(x, h, *gates)[-1],
    }
    backs = {
        "rnn_step_forward": (scratch.rnn_step_backward, (h,)),
        "rnn_forward": (scratch.rnn_backward, (np.ones((2, 4, 1)),)),
        "lstm_step_forward": (scratch.lstm_step_backward, (h, h)),
        "lstm_forward": (scratch.lstm_backward, (np.ones((2, 4, 1)),)),
    }
    for wanted, (back, given) in backs.items():
        for maker, cache in caches.items():
            if maker == wanted:
                assert back(*given, cache)[0].shape == cache[0].shape
            else:
                with pytest.raises(DataError, match=rf"^cache: expected that of {wanted}, received another's"):
                    back(*given, cache)
