"""Checkpoints come back bit for bit, and whatever happened to one is noticed."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from safetensors.numpy import save_file

from seesay.checkpoint import read_checkpoint, write_checkpoint
from seesay.errors import CheckpointError, DataError

HEADER = {"step": 7, "words": 'naïve \N{SNOWMAN} \\ "quoted"', "scores": {"CIDEr-D": 0.1 + 0.2}, "none": None}


def some_arrays() -> dict[str, np.ndarray[Any, Any]]:
    noise = np.random.default_rng(0)
    kinds = ("float64", "float32", "float16", "int64", "int32", "int16", "int8", "uint8", "uint64")
    arrays = {f"of/{kind}": (noise.normal(0, 30, (3, 4)) % 100).astype(kind) for kind in kinds}
    return arrays | {
        "flags": np.array([True, False]),
        "scalar": np.array(5.0, np.float32),
        "empty": np.zeros((0, 3), np.float32),
        "columns first": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "every other": np.arange(10)[::2],
        "not finite": np.array([np.nan, np.inf, -np.inf, -0.0]),
    }


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    path = tmp_path / "last.safetensors"
    write_checkpoint(path, some_arrays(), HEADER)
    return path


def test_everything_comes_back(checkpoint: Path) -> None:
    arrays, header = read_checkpoint(checkpoint)
    assert header == HEADER
    assert arrays.keys() == some_arrays().keys()
    for name, array in some_arrays().items():
        assert (arrays[name].dtype, arrays[name].shape) == (array.dtype, array.shape), name
        assert arrays[name].tobytes() == array.tobytes(), name


def test_equal_content_gives_equal_bytes_that_safetensors_reads(checkpoint: Path, tmp_path: Path) -> None:
    written = {checkpoint.read_bytes()}
    for number in range(20):
        write_checkpoint(tmp_path / f"{number}", some_arrays(), HEADER)
        written.add((tmp_path / f"{number}").read_bytes())
    assert len(written) == 1
    arrays = safetensors.numpy.load_file(checkpoint)
    assert {name: array.tobytes() for name, array in arrays.items()} == {
        name: array.tobytes() for name, array in some_arrays().items()
    }


def test_a_header_may_hold_a_digest_of_its_own(tmp_path: Path) -> None:
    header = {"sha256": "0" * 64, "text": '"sha256":"' + "0" * 64 + '"'}
    write_checkpoint(tmp_path / "x", {"w": np.ones(2)}, header)
    assert read_checkpoint(tmp_path / "x")[1] == header


def refused(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    with pytest.raises(CheckpointError) as fault:
        read_checkpoint(path)
    assert str(fault.value).startswith(str(path)) and "\n" not in str(fault.value)
    return str(fault.value)


def test_a_thousand_flipped_bits_are_all_noticed(checkpoint: Path, tmp_path: Path) -> None:
    whole, chance = checkpoint.read_bytes(), random.Random(0)
    for _ in range(1000):
        damaged = bytearray(whole)
        damaged[chance.randrange(len(whole))] ^= 1 << chance.randrange(8)
        refused(tmp_path / "damaged", bytes(damaged))


def test_every_bit_of_the_first_bytes_is_watched(checkpoint: Path, tmp_path: Path) -> None:
    whole = checkpoint.read_bytes()
    for bit in range(8 * 200):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        refused(tmp_path / "damaged", bytes(damaged))


def test_every_kind_of_cut_and_addition_is_noticed(checkpoint: Path, tmp_path: Path) -> None:
    whole = checkpoint.read_bytes()
    for size in (0, 1, 7, 8, 9, 100, len(whole) // 2, len(whole) - 1):
        assert "damaged" in refused(tmp_path / "cut", whole[:size])
    refused(tmp_path / "longer", whole + b"\0")
    refused(tmp_path / "twice", whole + whole)
    refused(tmp_path / "block", whole[:400] + bytes(64) + whole[464:])


@pytest.mark.parametrize(
    "content",
    [b"", b"hello", b"\x80\x04K\x01.", b"PK\x03\x04" + bytes(50), b"\xff" * 64, b"\x02" + bytes(7) + b"[]", bytes(100)],
)
def test_other_files_are_no_checkpoints(tmp_path: Path, content: bytes) -> None:
    assert "not a seesay checkpoint" in refused(tmp_path / "other", content)


@pytest.mark.parametrize(
    "metadata",
    [
        {},
        {"format": "pt"},
        {"format": "seesay-checkpoint-1"},
        {"format": "seesay-checkpoint-1", "sha256": "0" * 64},
        {"format": "seesay-checkpoint-1", "sha256": "short", "header": "{}"},
        {"format": "seesay-checkpoint-2", "sha256": "0" * 64, "header": "{}"},
    ],
)
def test_safetensors_of_others_are_refused(tmp_path: Path, metadata: dict[str, str]) -> None:
    save_file({"w": np.ones(3)}, tmp_path / "other.safetensors", metadata=metadata)
    refused(tmp_path / "other.safetensors", (tmp_path / "other.safetensors").read_bytes())


def test_a_missing_file_and_a_folder_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no such checkpoint; expected a file written by 'seesay train'"):
        read_checkpoint(tmp_path / "none")
    with pytest.raises(CheckpointError, match="cannot be read"):
        read_checkpoint(tmp_path)


def test_a_failed_write_leaves_the_old_checkpoint(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    before = checkpoint.read_bytes()
    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(DataError, match="No space left on device"):
        write_checkpoint(checkpoint, {"w": np.zeros(2)}, {"step": 8})
    assert checkpoint.read_bytes() == before
    assert [path.name for path in checkpoint.parent.iterdir()] == [checkpoint.name]


def test_the_header_is_readable_json_in_the_file(checkpoint: Path) -> None:
    content = checkpoint.read_bytes()
    about = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])["__metadata__"]
    assert json.loads(about["header"]) == HEADER and about["format"] == "seesay-checkpoint-1"
