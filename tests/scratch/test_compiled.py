"""The compiled step has NumPy's results whatever it is given, the same bits on any number of threads, and a way out."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seesay.scratch.compiled import available, binding, build, kernel, reason, stepping, use_compiled
from seesay.scratch.rnn import GRU, LSTM, RNN
from seesay.scratch.stepper import Stepper
from seesay.scratch.threads import get_num_threads, set_num_threads

KINDS: dict[str, tuple[Any, dict[str, Any]]] = {
    "tanh": (RNN, {}),
    "relu": (RNN, {"nonlinearity": "relu"}),
    "GRU": (GRU, {}),
    "LSTM": (LSTM, {}),
}
SIZES = [1, 3, 16, 17, 37, 128, 130]
BATCHES = [1, 2, 5, 33]
FLAGS = [("-march=native",), ("-march=x86-64-v3",), ("-march=x86-64",)]  # AVX-512 here, AVX2, neither
Run = Callable[..., dict[str, Any]]
Example = Callable[..., tuple[Any, Any, Any, Any]]


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache folder for all builds of this file."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def folder(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """That folder as the user's; the library is looked for anew before and after."""
    monkeypatch.setenv("SEESAY_CACHE", str(cache))
    monkeypatch.delenv("SEESAY_COMPILED", raising=False)
    before = get_num_threads()
    binding.forget()
    yield cache
    use_compiled()
    binding.forget()
    set_num_threads(before)


@pytest.fixture
def compiled(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The compiled step for layers of any size."""
    if not available():
        pytest.skip(f"no compiled step here: {reason()}")
    monkeypatch.setattr(kernel, "WORTH_IT", 0)
    monkeypatch.setattr(stepping, "WORTH_IT", 0)


def both(layer: Any, run_layer: Run, *given: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """All results, compiled and in NumPy."""
    ours = run_layer(layer, *given)
    use_compiled(False)
    theirs = run_layer(layer, *given)
    use_compiled()
    return ours, theirs


def scaled(part: Any, by: float) -> Any:
    """A gradient, or a pair of them, so small that sums of many stay near 1, where the bound below means something."""
    return tuple(scaled(one, by) for one in part) if isinstance(part, tuple) else np.float32(by) * part


def assert_close(ours: dict[str, Any], theirs: dict[str, Any], within: float = 1e-6) -> None:
    """Equal to `within`, relative to the largest number of each array where that is above 1."""
    assert ours.keys() == theirs.keys()
    for name, array in theirs.items():
        assert ours[name].shape == array.shape and ours[name].dtype == array.dtype == np.float32, name
        if array.size:
            assert np.abs(ours[name] - array).max() <= within * max(1, np.abs(array).max()), name


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", KINDS)
def test_equals_numpy(kind: str, size: int, compiled: None, run_layer: Run, make_example: Example) -> None:
    make, given = KINDS[kind]
    for number, batch in enumerate(BATCHES):
        bias, state, directions = number % 2 == 0, number < 2, number % 3 > 0
        layer = make(7 + number, size, num_layers=2, bias=bias, bidirectional=directions, **given)
        x, first, dout, dlast = make_example(layer, 9, batch, state)
        lengths = np.random.default_rng(size).integers(0, 10, batch)
        lengths[0] = 1
        for counts in (None, lengths, np.sort(lengths)):
            assert_close(*both(layer, run_layer, x, first, counts, scaled(dout, 0.1), scaled(dlast, 0.1)))


@pytest.mark.parametrize("kind", KINDS)
def test_equals_numpy_over_many_blocks(kind: str, compiled: None, run_layer: Run, make_example: Example) -> None:
    layer = KINDS[kind][0](70, 40, bidirectional=True, **KINDS[kind][1])
    x, first, dout, dlast = make_example(layer, 60, 20, True)
    lengths = np.random.default_rng(0).integers(0, 61, 20)
    for counts in (None, lengths):
        assert_close(*both(layer, run_layer, x, first, counts, scaled(dout, 0.01), scaled(dlast, 0.1)))


@pytest.mark.parametrize("kind", ["tanh", "GRU"])
def test_equals_numpy_with_more_columns_than_are_packed_at_a_time(
    kind: str, compiled: None, run_layer: Run, make_example: Example
) -> None:
    layer = KINDS[kind][0](1100, 30, **KINDS[kind][1])  # two times 512 and a rest
    x, first, dout, dlast = make_example(layer, 60, 5, True)
    x = scaled(x, 0.1)
    assert_close(*both(layer, run_layer, x, first, None, scaled(dout, 0.01), scaled(dlast, 0.1)))


@pytest.mark.parametrize("flags", FLAGS[1:], ids=["AVX2", "plain"])
@pytest.mark.parametrize("kind", KINDS)
def test_narrower_vectors_have_the_same_results(
    kind: str, flags: tuple[str], compiled: None, run_layer: Run, make_example: Example, monkeypatch: pytest.MonkeyPatch
) -> None:
    try:
        narrow = binding.Library(*build.open_library(flags))
    except (build.NotBuilt, OSError) as fault:
        pytest.skip(f"not on this processor: {fault}")
    if flags[0].endswith("v3") and "avx2" not in Path("/proc/cpuinfo").read_text(encoding="utf-8"):
        pytest.skip("no AVX2 on this processor")
    monkeypatch.setattr(binding.FINDER, "_found", narrow)
    assert narrow.lanes < 16
    for size in (5, 8, 37, 48):
        layer = KINDS[kind][0](6, size, num_layers=2, bidirectional=True, **KINDS[kind][1])
        x, first, dout, dlast = make_example(layer, 11, 9, True)
        for counts in (None, [3, 0, 11, 5, 1, 2, 11, 8, 4]):
            assert_close(*both(layer, run_layer, x, first, counts, scaled(dout, 0.1), scaled(dlast, 0.1)))


@pytest.mark.parametrize("lengths", [None, "varied"])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_the_same_bits_on_one_and_two_threads(
    kind: str, bidirectional: bool, lengths: Any, compiled: None, run_layer: Run, make_example: Example
) -> None:
    layer = KINDS[kind][0](70, 96, num_layers=2, bidirectional=bidirectional, **KINDS[kind][1])
    x, first, dout, dlast = make_example(layer, 40, 33, True)
    counts = None if lengths is None else np.random.default_rng(0).integers(0, 41, 33)
    found = []
    for threads in (1, 2, 3):
        set_num_threads(threads)
        found.append(run_layer(layer, x, first, counts, dout, dlast))
    for name, array in found[0].items():
        for other in found[1:]:
            np.testing.assert_array_equal(array, other[name], err_msg=name)


@pytest.mark.parametrize("kind", KINDS)
def test_large_inputs_saturate_and_nan_is_not_lost(kind: str, compiled: None) -> None:
    layer = KINDS[kind][0](4, 20, **KINDS[kind][1])
    x = np.random.default_rng(0).choice(np.array([-1e4, 1e4], np.float32), (6, 3, 4))
    output, _, cache = layer.forward(x)
    found = layer.backward(cache, np.ones_like(output))
    assert all(np.isfinite(array).all() for array in (output, found.x, *found.parameters.values()))
    if kind != "relu":
        assert np.abs(output).max() <= 1
    x[2, 1, 0] = np.nan
    output = layer(x)[0]
    assert np.isnan(output[2:, 1]).all() and not np.isnan(output[:2]).any() and not np.isnan(output[:, [0, 2]]).any()


def test_what_it_cannot_do_is_done_in_numpy(compiled: None, make_example: Example) -> None:
    for layer in (LSTM(3, 4, proj_size=2), GRU(3, 4, dtype=np.float64)):
        x, first, *_ = make_example(layer, 5, 2, True)
        found = layer(x, first)[0]
        use_compiled(False)
        np.testing.assert_array_equal(found, layer(x, first)[0])
        use_compiled()


def test_weights_and_inputs_need_not_lie_in_one_piece(compiled: None, run_layer: Run) -> None:
    layer = GRU(6, 10, batch_first=True)
    layer.parameters = {name: np.asfortranarray(array) for name, array in layer.parameters.items()}
    x = np.random.default_rng(0).standard_normal((5, 4, 12)).astype(np.float32)[..., ::2]
    dout = np.broadcast_to(np.float32(1), (5, 4, 10))
    assert_close(*both(layer, run_layer, x, None, None, dout, np.zeros((1, 5, 10), np.float32)))


@pytest.mark.parametrize("size", [3, 64])
@pytest.mark.parametrize("kind", KINDS)
def test_a_stepper_equals_the_layer(kind: str, size: int, compiled: None) -> None:
    layer = KINDS[kind][0](5, size, num_layers=2, **KINDS[kind][1])
    random = np.random.default_rng(0)
    table, ids = random.standard_normal((200, 5)).astype(np.float32), random.integers(0, 200, (6, 3))
    expected, last = layer(table[ids])
    for stepper, inputs in ((Stepper(layer, 3), table[ids]), (Stepper(layer, 3, table), ids)):
        assert isinstance(stepper._layers[0], stepping.CompiledStep)
        for _ in range(2):
            stepper.reset()
            for x, output in zip(inputs, expected, strict=True):
                np.testing.assert_allclose(stepper.step(x), output, atol=1e-6)
        parts = [s if isinstance(s, tuple) else (s,) for s in (stepper.state, last)]
        for ours, part in zip(*parts, strict=True):
            np.testing.assert_allclose(ours, part, atol=1e-6)


def trained(layer: Any) -> Any:
    """A large layer's gradient, and its output."""
    x = np.random.default_rng(0).standard_normal((40, 8, 16)).astype(np.float32)
    output, _, cache = layer.forward(x)
    return layer.backward(cache, output).x, output


def assert_numpy_does_it(why: str) -> None:
    """The compiled step is off for this reason, and a large layer has NumPy's bits."""
    layer = LSTM(16, 64)
    assert not available() and why in reason()
    found = trained(layer)
    use_compiled(False)
    for ours, theirs in zip(found, trained(layer), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    use_compiled()


def test_no_compiler(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEESAY_CACHE", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    assert_numpy_does_it("no C compiler")
    binding.forget()
    monkeypatch.setenv("CC", "a-compiler-that-nobody-has")
    assert_numpy_does_it("a-compiler-that-nobody-has")


@pytest.mark.parametrize(
    ("script", "why"),
    [("echo 'syntax trouble' >&2; exit 1", "syntax trouble"), ("exit 0", "without a word")],
    ids=["fails", "makes nothing"],
)
def test_a_broken_compiler(
    script: str, why: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "cc"
    broken.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    broken.chmod(0o755)
    monkeypatch.setenv("CC", str(broken))
    monkeypatch.setenv("SEESAY_CACHE", str(tmp_path / "cache"))
    assert_numpy_does_it(why)
    assert list((tmp_path / "cache").iterdir()) == [], "nothing is left behind"


def test_a_cache_that_cannot_be(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    monkeypatch.setenv("SEESAY_CACHE", str(tmp_path / "file" / "below"))  # a folder's mode would not stop root
    assert_numpy_does_it("Not a directory")


def test_a_damaged_library_is_built_again(compiled: None, folder: Path) -> None:
    path = build.library_file()
    whole = path.read_bytes()
    for damaged in (whole[:1000], whole[:-1000] + bytes(1000), b""):
        path.unlink()  # in place, a change would reach the library that is in use
        path.write_bytes(damaged)
        binding.forget()
        assert available()
        assert len(path.read_bytes()) > 1000 and path.read_bytes() != damaged


def test_a_library_that_others_can_write_is_not_loaded(compiled: None, folder: Path) -> None:
    path = build.library_file()
    before = path.stat().st_ino
    path.chmod(0o777)
    binding.forget()
    assert available() and path.stat().st_ino != before and not path.stat().st_mode & 0o022


def test_wrong_results_are_refused(compiled: None, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(binding.KINDS, "relu", 0)  # as if the library took one kind for another
    binding.forget()
    assert_numpy_does_it("its results are not those of NumPy")


def test_two_processes_build_at_once(compiled: None, tmp_path: Path) -> None:
    program = "from seesay.scratch.compiled import available, reason; print(available(), reason())"
    environment = {**os.environ, "SEESAY_CACHE": str(tmp_path)}
    command = [sys.executable, "-c", program]
    running = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True, encoding="utf-8")
        for _ in range(3)
    ]
    assert [process.communicate(timeout=300)[0] for process in running] == ["True \n"] * 3
    assert [path.suffix for path in tmp_path.iterdir()] == [".so"]


@pytest.mark.parametrize(("value", "said"), [("0", "NumPy (SEESAY_COMPILED=0)"), ("", "compiled")])
def test_a_person_is_told(value: str, said: str, compiled: None, folder: Path) -> None:
    command = [sys.executable, "-m", "seesay.scratch.compiled"]
    environment = {**os.environ, "SEESAY_COMPILED": value}
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, encoding="utf-8", timeout=300, check=True
    )
    assert said in done.stdout and done.stdout.count("\n") == 1
    assert done.stderr == ""


def test_small_layers_never_build(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEESAY_CACHE", str(tmp_path))
    LSTM(4, 8)(np.ones((5, 2, 4), np.float32))
    Stepper(LSTM(4, 8)).step(np.ones((1, 4), np.float32))
    assert list(tmp_path.iterdir()) == []
