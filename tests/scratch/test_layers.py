"""What the layers promise beyond the product of options: shapes, dtypes, dropout, threads, and errors that say why."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch

from seesay.errors import DataError
from seesay.scratch.recurrent import Recurrent
from seesay.scratch.rnn import GRU, LSTM, RNN
from seesay.scratch.threads import get_num_threads, set_num_threads

KINDS: dict[str, tuple[Any, dict[str, Any]]] = {
    "RNN": (RNN, {}),
    "GRU": (GRU, {}),
    "LSTM": (LSTM, {}),
    "LSTM projected": (LSTM, {"proj_size": 2}),
}
Parity = Callable[..., None]
Run = Callable[..., dict[str, Any]]
Example = Callable[..., tuple[Any, Any, Any, Any]]


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> tuple[Any, dict[str, Any]]:
    return KINDS[request.param]


@pytest.fixture
def threads() -> Iterator[Callable[[int], None]]:
    """Sets the number of threads, for this test only."""
    before = get_num_threads()
    yield set_num_threads
    set_num_threads(before)


def test_one_sequence_without_a_batch_axis(kind: tuple[Any, dict[str, Any]], like_torch: Parity) -> None:
    for batch_first in (True, False):
        like_torch(kind[0], batch=None, num_layers=2, bidirectional=True, batch_first=batch_first, **kind[1])
        like_torch(kind[0], batch=None, state=False, **kind[1])


def test_a_batch_of_one_and_one_step(kind: tuple[Any, dict[str, Any]], like_torch: Parity) -> None:
    like_torch(kind[0], time=1, batch=1, num_layers=2, bidirectional=True, **kind[1])
    like_torch(kind[0], time=3, batch=1, lengths=[2], **kind[1])


@pytest.mark.parametrize("lengths", [[4, 4, 4], [1, 1, 1], [3, 2, 1], [1, 2, 3], [4, 0, 0], [2, 2, 0]])
def test_lengths_of_every_sort(kind: tuple[Any, dict[str, Any]], lengths: list[int], like_torch: Parity) -> None:
    like_torch(kind[0], lengths=lengths, num_layers=2, bidirectional=True, **kind[1])


def test_blocks_of_many_rows_agree_with_torch(kind: tuple[Any, dict[str, Any]], like_torch: Parity) -> None:
    lengths = np.random.default_rng(1).integers(0, 41, 30).tolist()
    like_torch(kind[0], time=40, batch=30, lengths=lengths, bidirectional=True, **kind[1])
    like_torch(kind[0], time=40, batch=30, **kind[1])


def test_empty_input_leaves_the_state(kind: tuple[Any, dict[str, Any]]) -> None:
    layer = kind[0](3, 4, num_layers=2, bidirectional=True, **kind[1])
    for x, lengths in ((np.zeros((0, 2, 3), "f"), None), (np.zeros((5, 2, 3), "f"), [0, 0])):
        state = tuple(np.full((4, 2, size), 0.5, "f") for size in layer.state_sizes().values())
        output, last, cache = layer.forward(x, state if len(state) > 1 else state[0], lengths)
        assert output.shape == (*x.shape[:2], 2 * layer.state_sizes()["h"]) and not output.any()
        assert all((part == 0.5).all() for part in (last if isinstance(last, tuple) else (last,)))
        gradients = layer.backward(cache, None, last)
        assert gradients.x.shape == x.shape
        assert not any(gradient.any() for gradient in gradients.parameters.values())
    assert layer(np.zeros((5, 0, 3), "f"))[0].shape == (5, 0, 2 * layer.state_sizes()["h"])


def test_float32_stays_and_is_as_exact_as_torch(
    kind: tuple[Any, dict[str, Any]], run_layer: Run, make_example: Example
) -> None:
    given = {"num_layers": 2, "bidirectional": True, **kind[1]}
    narrow, wide = kind[0](6, 8, **given), kind[0](6, 8, dtype=np.float64, **given)
    wide.parameters = {name: array.astype(np.float64) for name, array in narrow.parameters.items()}
    x, first, dout, dlast = make_example(narrow, 9, 4, True)
    for lengths in (None, [9, 3, 0, 5]):
        for masked in (False, True):
            found = run_layer(narrow, x, first, lengths, dout, dlast, masked)
            assert {array.dtype for array in found.values()} == {np.dtype(np.float32)}
            exact = run_layer(wide, *(_wide(part) for part in (x, first)), lengths, _wide(dout), _wide(dlast))
            assert max(np.abs(found[name] - exact[name]).max() for name in found) < 2e-5


def _wide(part: Any) -> Any:
    return tuple(map(_wide, part)) if isinstance(part, tuple) else part.astype(np.float64)


@pytest.mark.parametrize("dropout", [0.0, 0.4])
def test_gradients_are_finite_differences(
    kind: tuple[Any, dict[str, Any]], dropout: float, make_example: Example
) -> None:
    layer = kind[0](3, 4, num_layers=2, bidirectional=True, dropout=dropout, dtype=np.float64, **kind[1])
    x, first, dout, dlast = make_example(layer, 4, 3, True)
    lengths, random = [2, 4, 0], np.random.default_rng(5)

    def loss() -> float:
        layer.generator = np.random.default_rng(6)
        output, last = layer(x, first, lengths)
        pairs = zip(last, dlast, strict=True) if isinstance(last, tuple) else [(last, dlast)]
        return float((output * dout).sum() + sum((part * d).sum() for part, d in pairs))

    layer.generator = np.random.default_rng(6)
    gradients = layer.backward(layer.forward(x, first, lengths)[2], dout, dlast)
    states = list(zip(first, gradients.state, strict=True)) if isinstance(first, tuple) else [(first, gradients.state)]
    held = [(x, gradients.x), *states]
    held += [(array, gradients.parameters[name]) for name, array in layer.parameters.items()]
    for array, gradient in held:
        for place in {tuple(random.integers(0, size) for size in array.shape) for _ in range(3)}:
            before = array[place]
            array[place] = before + 1e-6
            above = loss()
            array[place] = before - 1e-6
            numeric = (above - loss()) / 2e-6
            array[place] = before
            assert gradient[place] == pytest.approx(numeric, rel=1e-5, abs=1e-7)


def test_no_gradient_given_is_zero(kind: tuple[Any, dict[str, Any]], make_example: Example) -> None:
    layer = kind[0](3, 4, dtype=np.float64, **kind[1])
    x, first, dout, dlast = make_example(layer, 4, 3, True)
    nothing = layer.backward(layer.forward(x, first)[2])
    assert not nothing.x.any()
    both = layer.backward(layer.forward(x, first)[2], dout, dlast).x
    halves = [layer.backward(layer.forward(x, first)[2], *given).x for given in ((dout, None), (None, dlast))]
    np.testing.assert_allclose(both, halves[0] + halves[1], atol=1e-14)


def test_another_layer_s_cache_is_refused(kind: tuple[Any, dict[str, Any]]) -> None:
    layer, other = (kind[0](3, 4, **kind[1]) for _ in range(2))
    _, _, cache = other.forward(np.ones((2, 1, 3), "f"))
    for received in (cache, None):
        with pytest.raises(DataError, match=r"^cache: expected one of this layer's own forward, received another"):
            layer.backward(received)
    assert other.backward(cache).x.shape == (2, 1, 3)


def test_parameters_have_torchs_names_order_and_shapes(kind: tuple[Any, dict[str, Any]]) -> None:
    for bias in (True, False):
        given = {"num_layers": 2, "bias": bias, "bidirectional": True, **kind[1]}
        ours, theirs = kind[0](3, 4, **given), getattr(torch.nn, kind[0].__name__)(3, 4, **given)
        expected = [(name, tuple(array.shape)) for name, array in theirs.state_dict().items()]
        assert [(name, array.shape) for name, array in ours.parameters.items()] == expected
        assert list(ours.backward(ours.forward(np.ones((2, 1, 3), "f"))[2]).parameters) == list(ours.parameters)


def test_directions_and_layers_start_differently_and_within_torchs_bound() -> None:
    layer = LSTM(8, 8, num_layers=2, bidirectional=True)
    first = layer.parameters["weight_hh_l0"]
    assert all((first != layer.parameters[f"weight_hh_{end}"]).any() for end in ("l0_reverse", "l1", "l1_reverse"))
    assert max(np.abs(array).max() for array in layer.parameters.values()) <= 8**-0.5


def test_dropout_repeats_from_its_seed_and_is_off_in_eval() -> None:
    x = np.random.default_rng(0).standard_normal((6, 4, 3)).astype(np.float32)
    given: dict[str, Any] = {"num_layers": 3, "dropout": 0.5}
    layers = [GRU(3, 8, seed=4, **given) for _ in range(2)]
    outputs = [layer(x)[0] for layer in layers]
    assert (outputs[0] == outputs[1]).all()
    assert (layers[0](x)[0] != outputs[0]).any(), "the generator goes on"
    layers[1].generator = np.random.default_rng(9)
    assert (layers[1](x)[0] != outputs[0]).any()
    plain = GRU(3, 8, num_layers=3, seed=4)
    layers[0].eval()
    assert (layers[0](x)[0] == plain(x)[0]).all()


def test_dropout_keeps_the_expected_value_and_stands_between_layers_only() -> None:
    layer = RNN(2, 200, num_layers=2, nonlinearity="relu", dropout=0.25, dtype=np.float64)
    for name, array in layer.parameters.items():
        array[...] = 0
        if name == "weight_ih_l1":
            np.fill_diagonal(array, 1)  # the second layer hands on what the first one said
    layer.parameters["bias_ih_l0"][...] = 1
    output, _ = layer(np.zeros((50, 4, 2)))
    assert set(np.unique(output.round(12))) == {0.0, round(1 / 0.75, 12)}
    assert output.mean() == pytest.approx(1, abs=0.02)
    single = RNN(2, 3, dropout=0.9)
    assert (single(np.ones((2, 1, 2), "f"))[0] == RNN(2, 3)(np.ones((2, 1, 2), "f"))[0]).all()
    assert not np.isnan(LSTM(2, 3, num_layers=2, dropout=1.0)(np.ones((2, 1, 2), "f"))[0]).any()


def test_dropout_on_both_roads_is_the_same(run_layer: Run, make_example: Example) -> None:
    found = []
    for masked in (False, True):
        layer = LSTM(3, 4, num_layers=3, bidirectional=True, dropout=0.4, dtype=np.float64, seed=2)
        found.append(
            run_layer(
                layer, *make_example(layer, 5, 3, True)[:2], [2, 5, 0], *make_example(layer, 5, 3, True)[2:], masked
            )
        )
    for name, array in found[0].items():
        np.testing.assert_allclose(array, found[1][name], atol=1e-12)


@pytest.mark.parametrize("lengths", [None, "varied"])
@pytest.mark.parametrize("both", [False, True])
def test_two_threads_agree_with_one(
    kind: tuple[Any, dict[str, Any]], both: bool, lengths: Any, threads: Any, run_layer: Run, make_example: Example
) -> None:
    layer = kind[0](8, 96, num_layers=2, bidirectional=both, dtype=np.float64, **kind[1] and {"proj_size": 80})
    x, first, dout, dlast = make_example(layer, 6, 40, True)
    counts = None if lengths is None else np.random.default_rng(0).integers(0, 7, 40)
    found = []
    for count in (1, 2):
        threads(count)
        found.append(run_layer(layer, x, first, counts, dout, dlast))
    for name, array in found[0].items():
        np.testing.assert_allclose(array, found[1][name], atol=1e-10)


def test_a_cache_serves_once() -> None:
    layer = GRU(2, 3)
    _, _, cache = layer.forward(np.ones((2, 1, 2), "f"))
    layer.backward(cache)
    with pytest.raises(DataError, match="run forward again"):
        layer.backward(cache)


F, D = np.float32, np.float64
X = np.ones((5, 2, 3), F)
BAD: list[tuple[str, Callable[[Recurrent[Any]], Any]]] = [
    (r"x: expected \(time, batch, input_size=3\) of float32, received \(5, 2, 4\)", lambda a: a(np.ones((5, 2, 4), F))),
    (r"x: expected .* of float32, received \(5, 2, 3\) of float64", lambda a: a(np.ones((5, 2, 3), D))),
    (r"x: expected \(time, input_size=3\) of float32, received \(5, 4\)", lambda a: a(np.ones((5, 4), F))),
    (r"x: expected \(time, batch, input_size=3\) of float32, received \(3,\)", lambda a: a(np.ones(3, F))),
    (r"x: expected an array .*, received list", lambda a: a([[1.0]])),
    (r"state: expected a pair \(h, c\), received ndarray", lambda a: a(X, np.ones((4, 2, 6), F))),
    (r"state: expected a pair \(h, c\), received 1 parts", lambda a: a(X, (np.ones((4, 2, 6), F),))),
    (
        r"state h: expected \(layers x directions=4, batch=2, size=6\) of float32, received \(2, 2, 6\)",
        lambda a: a(X, (np.ones((2, 2, 6), F), np.ones((4, 2, 6), F))),
    ),
    (
        r"state c: expected \(layers x directions=4, batch=2, size=6\) of float32, received \(4, 2, 5\)",
        lambda a: a(X, (np.ones((4, 2, 6), F), np.ones((4, 2, 5), F))),
    ),
    (
        r"state c: expected .* of float32, received \(4, 2, 6\) of float64",
        lambda a: a(X, (np.ones((4, 2, 6), F), np.ones((4, 2, 6), D))),
    ),
    (r"lengths: expected 0 to time=5, received 6 for sequence 1", lambda a: a(X, None, [5, 6])),
    (r"lengths: expected 0 to time=5, received -1 for sequence 0", lambda a: a(X, None, [-1, 5])),
    (r"lengths: expected \(batch=2\) of whole numbers, received \(3,\)", lambda a: a(X, None, [1, 1, 1])),
    (r"lengths: expected .* received \(2,\) of float64", lambda a: a(X, None, [1.0, 1.0])),
    (r"lengths: expected .* received \(2,\) of bool", lambda a: a(X, None, [True, True])),
    (r"lengths: expected a batch", lambda a: a(np.ones((5, 3), F), None, [5])),
    (
        r"doutput: expected \(time=5, batch=2, output=12\) of float32, received \(5, 2, 6\)",
        lambda a: a.backward(a.forward(X)[2], np.ones((5, 2, 6), F)),
    ),
    (
        r"dstate h: expected .*batch=2.* received \(4, 1, 6\)",
        lambda a: a.backward(a.forward(X)[2], None, (np.ones((4, 1, 6), F),) * 2),
    ),
    (r"hidden_size: expected 1 or more, received 0", lambda a: RNN(3, 0)),
    (r"num_layers: expected 1 or more, received 0", lambda a: RNN(3, 4, 0)),
    (r"input_size: expected a whole number, received 3.5", lambda a: RNN(3.5, 4)),
    (r"num_layers: expected a whole number, received True", lambda a: GRU(3, 4, True)),
    (r"lengths: expected \(batch=2\).*several lengths", lambda a: a.forward(X, None, [[1], [1, 2]])),
    (r"dtype: expected float32 or float64, received None", lambda a: LSTM(3, 4, dtype=None)),
    (r"dropout: expected a probability", lambda a: GRU(3, 4, dropout=1.5)),
    (r"proj_size: expected 0 to hidden_size - 1 = 3, received 4", lambda a: LSTM(3, 4, proj_size=4)),
    (r"nonlinearity: expected 'tanh' or 'relu', received 'gelu'", lambda a: RNN(3, 4, nonlinearity="gelu")),
    (r"dtype: expected float32 or float64, received float16", lambda a: RNN(3, 4, dtype=np.float16)),
]


@pytest.mark.parametrize(("message", "call"), BAD, ids=[message for message, _ in BAD])
def test_bad_input_is_named(message: str, call: Callable[[Recurrent[Any]], Any]) -> None:
    with pytest.raises(DataError, match=message):
        call(LSTM(3, 6, num_layers=2, bidirectional=True))


def test_a_weight_of_a_wrong_shape_is_named() -> None:
    layer = GRU(3, 4)
    layer.parameters["weight_hh_l0"] = np.ones((4, 4), F)
    with pytest.raises(DataError, match=r"weight_hh_l0: expected \(axis 0=12, axis 1=4\)"):
        layer(np.ones((5, 2, 3), F))
