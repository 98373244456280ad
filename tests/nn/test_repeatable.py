"""Training ends in the same bits: twice in one process, in two processes, on one thread and on two.

What torch's own layers do is asserted beside it as it is. On processors their dropout argument repeats after a new
seed, as ours does; their packed layers change bits with the number of threads, which ours do not. It is on GPUs that
their dropout argument does not repeat.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from seesay.nn.recurrent import GRU, LSTM, RNN
from seesay.scratch import threads

KINDS = {"RNN": RNN, "GRU": GRU, "LSTM": LSTM}
STEPS, BATCH = 20, 12
# Kind, one mask a sequence, by hand. The LSTM is large enough for the compiled step, the others are not.
SETTINGS = [(kind, False, hand) for kind in KINDS for hand in (True, False)] + [("LSTM", True, True)]


@pytest.fixture
def any_threads() -> Iterator[None]:
    """Puts the numbers of threads back."""
    before, engines = torch.get_num_threads(), threads.get_num_threads()
    yield
    torch.set_num_threads(before)
    threads.set_num_threads(engines)


def bits(tensors: Any) -> str:
    """A hash of every bit."""
    found = hashlib.sha256()
    for tensor in tensors:
        found.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return found.hexdigest()


def run(layer: Any, x: Tensor, lengths: Tensor) -> Tensor:
    """A layer's outputs; torch's own through its packing."""
    if isinstance(layer, RNN | GRU | LSTM):
        return layer(x, lengths=lengths)[0]
    packed = pack_padded_sequence(x, lengths, enforce_sorted=False)
    return pad_packed_sequence(layer(packed)[0], total_length=len(x))[0]


def trained(make: Any, device: str = "cpu", seed: int = 3, **given: Any) -> str:
    """The bits of a small tagger's weights after three steps, everything from one seed."""
    torch.manual_seed(seed)
    layer, head = make(8, 48, 2, bidirectional=True, dropout=0.4, **given).to(device), nn.Linear(96, 5).to(device)
    weights = [*layer.parameters(), *head.parameters()]
    for _ in range(3):
        x, tags = torch.randn(STEPS, BATCH, 8).to(device), torch.randint(5, (STEPS, BATCH)).to(device)
        lengths = torch.randint(1, STEPS + 1, (BATCH,))
        loss = nn.functional.cross_entropy(head(run(layer, x, lengths)).flatten(0, 1), tags.flatten())
        for weight, gradient in zip(weights, torch.autograd.grad(loss, weights), strict=True):
            weight.data -= 0.1 * gradient
    return bits(weights)


def all_trained() -> str:
    """The bits of every kind of layer, by both roads."""
    found = []
    for kind, variational, hand in SETTINGS:

        def make(*sizes: int, kind: str = kind, hand: bool = hand, **given: Any) -> Any:
            layer = KINDS[kind](*sizes, **given)
            layer.by_hand = hand
            return layer

        found.append(trained(make, variational=variational))
    return "\n".join(found)


def test_twice_in_one_process_and_once_in_another() -> None:
    first = all_trained()
    assert len(set(first.split())) == len(SETTINGS)
    held = [torch.empty(size) for size in range(1, 2000, 7)]  # so that what follows lies elsewhere
    assert all_trained() == first and held
    done = subprocess.run(
        [sys.executable, "-W", "error", __file__],
        env=os.environ | {"PYTHONHASHSEED": "7"},
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=True,
    )
    assert done.stdout.split() == first.split()


def test_another_seed_ends_elsewhere() -> None:
    assert trained(LSTM) != trained(LSTM, seed=4)


def test_torchs_dropout_argument_repeats_on_processors() -> None:
    assert trained(nn.LSTM) == trained(nn.LSTM)


def gradients(layer: Any, count: int) -> list[Tensor]:
    """Outputs and the gradients by all weights with so many threads."""
    torch.set_num_threads(count)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(4, 16, 40, generator=generator)
    output = run(layer, x, torch.tensor([4, 1, 3, 2] * 4))
    return [output, *torch.autograd.grad(output.square().sum(), list(layer.parameters()))]


@pytest.mark.parametrize("kind", KINDS)
def test_the_number_of_threads_does_not_change_ours(kind: str, any_threads: None) -> None:
    torch.manual_seed(0)
    layer = KINDS[kind](40, 256, bidirectional=True)
    assert bits(gradients(layer, 1)) == bits(gradients(layer, 2)) == bits(gradients(layer, 3))
    assert threads.get_num_threads() == 3, "the engine takes on torch's number of threads"


def test_it_changes_torchs_packed_layers(any_threads: None) -> None:
    torch.manual_seed(0)
    layer = nn.LSTM(40, 256, bidirectional=True)
    one, two = (gradients(layer, count) for count in (1, 2))
    for first, second in zip(one, two, strict=True):
        torch.testing.assert_close(first, second, atol=1e-4, rtol=1e-4)
    if bits(one) == bits(two):
        pytest.skip("torch's packed layers have the same bits on one thread and on two with this processor")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
@pytest.mark.parametrize("variational", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_twice_on_a_gpu(kind: str, variational: bool) -> None:
    first = trained(KINDS[kind], "cuda", variational=variational)
    assert trained(KINDS[kind], "cuda", variational=variational) == first


if __name__ == "__main__":
    print(all_trained())
