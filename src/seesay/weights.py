"""Weights that others released, as models of ours: the files of M2 and S2, the captioning transformers.

Both were saved by torch, as a dictionary with a `state_dict` inside or as one; names may carry the `module.` of a model
trained on several devices. Nothing in such a file is run: tensors and plain values are read, all else is refused.
The models come out `faithful`: they compute what the released code does.
"""

from __future__ import annotations

import pickletools
import re
import textwrap
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from seesay.errors import CheckpointError, UnknownName
from seesay.models import build

Tensors = Mapping[str, Tensor]
MODELS = {"m2": "meshed_memory", "s2": "s2"}
# Decoding state that the released code keeps in buffers, and the word and position tables that S2 never looks at.
UNUSED = r"(.*\.)?(running_\w+|enc_output|mask_enc)|word_emb\.weight|pos_emb\.weight"

# Released name -> ours, part by part; {n} is the number of a layer. Longer names come before what they begin with.
_ATTENTION = {
    "attention.fc_q": "query",
    "attention.fc_k": "key",
    "attention.fc_v": "value",
    "attention.fc_o": "output",
    "attention.m_k": "slot_keys",
    "attention.m_v": "slot_values",
}
_FEEDFORWARD = {
    "pwff.fc1": "feedforward.inner",
    "pwff.fc2": "feedforward.outer",
    "pwff.layer_norm": "feedforward.residual.norm",
}
_ENCODER_LAYER = {
    **{f"mhatt.{theirs}": f"attention.{ours}" for theirs, ours in _ATTENTION.items()},
    "mhatt.layer_norm": "residual.norm",
    "lnorm": "residual.again",
    **_FEEDFORWARD,
}
_DECODER_LAYER = {
    **{f"self_att.{theirs}": f"attention.{ours}" for theirs, ours in _ATTENTION.items()},
    "self_att.layer_norm": "residual.norm",
    "lnorm1": "residual.again",
    **{f"enc_att.{theirs}": f"cross.{ours}" for theirs, ours in _ATTENTION.items()},
    "enc_att.layer_norm": "cross_residual.norm",
    "lnorm2": "cross_residual.again",
    **_FEEDFORWARD,
}
_DECODER = {
    **{f"decoder.layers.{{n}}.{theirs}": f"decoder.layers.{{n}}.{ours}" for theirs, ours in _DECODER_LAYER.items()},
    "decoder.word_emb.weight": "decoder.embedding.weight",
    "decoder.pos_emb.weight": "decoder.positions",
    "decoder.fc": "decoder.head",
}
_NAMES = {
    "m2": {
        **{f"encoder.layers.{{n}}.{theirs}": f"encoder.{{n}}.{ours}" for theirs, ours in _ENCODER_LAYER.items()},
        "encoder.fc": "regions.0",
        "encoder.layer_norm": "regions.3",
        **{f"decoder.layers.{{n}}.fc_alpha{i + 1}": f"decoder.layers.{{n}}.mesh.gates.{i}" for i in range(3)},
        **_DECODER,
    },
    "s2": {
        **{f"encoder.layers.{{n}}.{theirs}": f"encoder.layers.{{n}}.{ours}" for theirs, ours in _ENCODER_LAYER.items()},
        "encoder.fc": "encoder.regions.0",
        "encoder.layer_norm": "encoder.regions.3",
        "encoder.SR.MLP": "encoder.shortcut",
        "SP.conv": "pseudo.assign",
        "SP.centroids": "pseudo.centres",
        **_DECODER,
    },
}
_RESHAPED: dict[str, Callable[[Tensor], Tensor]] = {
    "decoder.pos_emb.weight": lambda table: table[1:],  # its first row is that of <pad>
    "SP.conv.weight": lambda kernel: kernel.flatten(1),  # a convolution of one cell
    "m_k": lambda slots: slots.squeeze(0),
    "m_v": lambda slots: slots.squeeze(0),
}


@dataclass(frozen=True)
class Released:
    """A released model as one of ours: `build(name, settings, ...)` with `model`'s weights is the same again."""

    name: str
    settings: dict[str, Any]
    feature_size: int
    vocabulary_size: int
    model: nn.Module
    unused: tuple[str, ...]  # what the file holds and no forward pass of the released code needs


def import_weights(kind: str, path: Path, *, heads: int = 8) -> Released:
    """The model in the file `path`, released as `kind` "m2" or "s2"; sizes are read off it, all but `heads`.

    Raises `CheckpointError` for a file that is not such a model: nothing is guessed, every weight must fit.
    """
    if kind not in MODELS:
        raise UnknownName("released model", kind, MODELS)
    return convert(kind, read_state_dict(path), heads=heads, source=str(path))


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """The tensors of a file that torch saved, by name, without a `module.` before it; objects in it are refused.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "weights.pth"
    >>> torch.save({"state_dict": {"module.fc.bias": torch.zeros(2)}, "epoch": 3}, path)
    >>> read_state_dict(path)
    {'fc.bias': tensor([0., 0.])}
    """
    try:
        with torch.serialization.safe_globals(_plain_arrays()), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's remarks on pickles, which the error below says in one line
            found = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as fault:
        raise CheckpointError(f"{path}: cannot be read ({fault.strerror or fault}); expected a .pth file.") from None
    except Exception as fault:  # torch and its unpickler raise a dozen unrelated kinds for what is no such file
        raise CheckpointError(
            f"{path}: not plain weights saved by torch ({_reason(path, str(fault))}); nothing in it was run; expected "
            "a state dict: tensors by name, as torch.save writes them."
        ) from None
    if isinstance(found, Mapping) and isinstance(found.get("state_dict"), Mapping):
        found = found["state_dict"]
    if not isinstance(found, Mapping) or not found:
        raise CheckpointError(f"{path}: received a {type(found).__name__}; expected a state dict: tensors by name.")
    for name, tensor in found.items():
        if not isinstance(name, str) or not isinstance(tensor, Tensor):
            raise CheckpointError(
                f"{path}: {name!r} is a {type(tensor).__name__}; expected a state dict: tensors by name."
            )
    return {name.removeprefix("module."): tensor for name, tensor in found.items()}


# What torch's files began with before they were zip archives: a number that it wrote as a pickle of its own.
_OLD_START = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."


def _reason(path: Path, told: str) -> str:
    """Why torch refused a file, in a few words of ours: its own are for those who program with it."""
    found = re.search(r"GLOBAL (\w+\.[\w.]+)", told)  # of what Python 2 called built in, torch names no module
    pickled = _begins(path, b"\x80")  # what every pickle since Python 2.3 begins with
    foreign = found[1] if found else _first_object(path) if pickled else ""
    if _begins(path, _OLD_START) and (not found or "end of" in told or "unexpected EOF" in told):
        return "it is damaged or cut short; download it again"
    if foreign:
        return f"it holds objects of {foreign}, which are neither tensors nor plain values"
    if pickled:
        return "it is a pickle that torch did not write"
    head = told.strip().partition("\n")[0]
    return textwrap.shorten(head, 120, placeholder=" ...") if " " in head else "it is a file of another kind"


def _begins(path: Path, start: bytes) -> bool:
    with path.open("rb") as file:
        return file.read(len(start)) == start


def _first_object(path: Path) -> str:
    """The first class or function that a pickle names, read off its instructions without running one; "" for none."""
    texts: list[str] = []
    memo: dict[int, str | None] = {}  # what a later instruction may ask for again
    last: str | None = None
    try:
        with path.open("rb") as file:
            for instruction, value, _ in pickletools.genops(file):
                name = instruction.name
                if name == "GLOBAL":
                    return str(value).replace(" ", ".")
                if name == "STACK_GLOBAL":
                    return ".".join(texts[-2:])
                if name == "MEMOIZE":
                    memo[len(memo)] = last
                elif name.endswith("PUT"):
                    memo[int(str(value))] = last
                else:
                    last = (
                        memo.get(int(str(value))) if name.endswith("GET") else value if isinstance(value, str) else None
                    )
                    texts += [last] if last is not None else []
    except Exception:  # not a pickle, or one cut short: it may raise anything
        return ""
    return ""


def _plain_arrays() -> list[Any]:
    """What NumPy needs to rebuild numbers and arrays of them.

    Released files hold scores and states of random generators, written by one NumPy or another.
    """
    import numpy as np
    from numpy._core import multiarray

    builders = [multiarray._reconstruct, multiarray.scalar]
    places = [(part, f"numpy.{core}.multiarray.{part.__name__}") for part in builders for core in ("core", "_core")]
    numbers = [type(np.dtype(kind)) for kind in ("f8", "f4", "i8", "u4")]
    return [*places, np.ndarray, np.dtype, *numbers]


def convert(kind: str, released: Tensors, *, heads: int = 8, source: str = "weights") -> Released:
    """The model that the tensors `released` are; `source` names them in errors."""
    unused = tuple(sorted(name for name in released if re.fullmatch(UNUSED, name)))
    renamed = {_renamed(kind, name): _reshaped(name, released[name]) for name in released if name not in unused}
    settings, feature_size, vocabulary_size = _sizes(kind, released, heads, source)
    model = build(MODELS[kind], settings, feature_size=feature_size, vocabulary_size=vocabulary_size)
    _check(kind, renamed, model.state_dict(), source)
    model.load_state_dict(renamed)
    return Released(MODELS[kind], settings, feature_size, vocabulary_size, model.eval(), unused)


def _renamed(kind: str, name: str) -> str:
    """Our name of a released tensor; one that is not known stays as it is, and is found to be left over."""
    number = re.search(r"\.layers\.(\d+)\.", name)
    pattern = name.replace(number[0], ".layers.{n}.", 1) if number else name
    for theirs, ours in _NAMES[kind].items():
        if pattern == theirs or pattern.startswith(theirs + "."):
            found = ours + pattern.removeprefix(theirs)
            return found.replace("{n}", number[1]) if number else found
    return name


def _reshaped(name: str, tensor: Tensor) -> Tensor:
    change = next((change for end, change in _RESHAPED.items() if name == end or name.endswith("." + end)), None)
    return (change(tensor) if change and tensor.dim() > 1 else tensor).float()


def _sizes(kind: str, released: Tensors, heads: int, source: str) -> tuple[dict[str, Any], int, int]:
    """Settings, feature size and vocabulary size, all from shapes."""

    def shape(name: str, dimensions: int) -> torch.Size:
        if name not in released or released[name].dim() != dimensions:
            have = f"of shape {tuple(released[name].shape)}" if name in released else "missing"
            raise CheckpointError(f"{source}: '{name}' is {have}; expected the weights of {kind.upper()} as released.")
        return released[name].shape

    hidden, feature_size = shape("encoder.fc.weight", 2)
    settings = {
        "hidden_size": hidden,
        "heads": heads,
        "layers": len({name.split(".")[2] for name in released if name.startswith("encoder.layers.")}),
        "feedforward_size": shape("encoder.layers.0.pwff.fc1.weight", 2)[0],
        "positions": shape("decoder.pos_emb.weight", 2)[0] - 1,
        "faithful": True,
    }
    if kind == "m2":
        settings["slots"] = shape("encoder.layers.0.mhatt.attention.m_k", 3)[1]
    else:
        settings["clusters"] = shape("SP.centroids", 2)[0]
    return settings, feature_size, shape("decoder.word_emb.weight", 2)[0]


def _check(kind: str, found: Tensors, wanted: Tensors, source: str) -> None:
    missing, spare = sorted(wanted.keys() - found.keys()), sorted(found.keys() - wanted.keys())
    for names, fault in ((missing, "lacks"), (spare, "has, beyond the model's own,")):
        if names:
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            raise CheckpointError(
                f"{source}: {fault} {', '.join(names[:3])}{more}; expected the weights of {kind.upper()} as released."
            )
    for name, tensor in found.items():
        if tensor.shape != wanted[name].shape:
            have, want = tuple(tensor.shape), tuple(wanted[name].shape)
            raise CheckpointError(f"{source}: weight '{name}' is {have}; expected {want}.")
        if not tensor.isfinite().all():
            raise CheckpointError(f"{source}: weight '{name}' is not finite; expected numbers; use another file.")
