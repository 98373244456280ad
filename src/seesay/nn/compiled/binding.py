"""The C library of a model in use as Python sees it: its structures, its functions, and whether there is one."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from seesay.scratch.compiled import RECURRENT, Finder, NotBuilt, Source, open_library
from seesay.scratch.threads import in_parallel

INFERENCE = Source("inference", Path(__file__).parent / "inference.c", (RECURRENT.main.parent / "vectors.h",))
EACH = 1 << 21  # operations that are worth a thread
_WHOLE, _ADDRESS, _FLOAT = ctypes.c_int64, ctypes.c_void_p, ctypes.c_float


def _fields(whole: str, addresses: str, floats: str = "") -> list[tuple[str, Any]]:
    kinds = ((whole, _WHOLE), (addresses, _ADDRESS), (floats, _FLOAT))
    return [(name, kind) for names, kind in kinds for name in names.split()]


class Job(ctypes.Structure):
    """What a function of the library is given; whoever fills it keeps the tensors alive."""

    rows: int
    part: int
    parts: int

    def put(self, **given: Tensor | float | None) -> None:
        """Sets numbers, and tensors by their addresses."""
        for name, value in given.items():
            setattr(self, name, value.data_ptr() if isinstance(value, Tensor) else value)


class Attending(Job):
    """attention.h's structure."""

    _fields_ = _fields(
        "rows part parts heads size places levels by_row query_row mask_row key_group key_level key_head key_place "
        "value_group value_level value_head value_place",
        "query group key value mask context looked room",
    )


class Additive(Job):
    """additive.h's structure."""

    _fields_ = _fields("rows part parts size places wide", "query group key value score mask context weights room")


class Linear8(Job):
    """linear8.h's structure."""

    _fields_ = _fields("rows part parts size outputs", "x weight start scale bias y narrow", "slope")


class Residual(Job):
    """rows.h's structure of a residual sum."""

    _fields_ = _fields("rows part parts size", "x y weight bias weight_again bias_again out", "epsilon epsilon_again")


class Scanning(Job):
    """rows.h's structure of scores."""

    _fields_ = _fields("rows part parts size count", "scores sums values places")


class _Team(ctypes.Structure):
    _fields_ = [
        ("function", _ADDRESS),
        ("jobs", _ADDRESS),
        ("count", _WHOLE),
        ("size", _WHOLE),
        ("number", _ADDRESS),
        ("threads", _ADDRESS),
    ]


def _address(function: Any) -> int | None:
    return ctypes.cast(function, _ADDRESS).value


def _torch_s_threads() -> tuple[Any, int | None, int | None] | None:
    """OpenMP's function that runs a team, and the addresses of those that say who is who; None where not to be had.

    Threads of ours would wait for torch's, which go on spinning for a while after each of its operations.
    """
    try:
        process = ctypes.CDLL(None)
        run, number, threads = process.GOMP_parallel, process.omp_get_thread_num, process.omp_get_num_threads
    except (AttributeError, OSError, TypeError):  # another OpenMP, or a system without one table of names
        return None
    run.argtypes, run.restype = [_ADDRESS, _ADDRESS, ctypes.c_uint, ctypes.c_uint], None
    return run, _address(number), _address(threads)


class Library:
    """The functions of inference.c."""

    def __init__(self, library: ctypes.CDLL, path: Path) -> None:
        self.path = path
        self._library = library
        self.multiplies_bytes = bool(library.multiplies_bytes())
        self._threads = _torch_s_threads()

    def __deepcopy__(self, memo: Any) -> Library:
        return self  # a layer that holds it is copied with its model

    def parts(self, rows: int, operations: int) -> int:
        """Over how many threads work of so many operations is best shared out."""
        return max(1, min(torch.get_num_threads(), rows, operations // EACH))

    def run(self, name: str, job: Job, parts: int = 1) -> None:
        """Calls a function, or its parts on a thread each."""
        jobs = (type(job) * parts)(*(type(job).from_buffer_copy(job) for _ in range(parts)))
        for part, one in enumerate(jobs):
            one.put(part=part, parts=parts)
        function: Callable[[Any], None] = getattr(self._library, name)
        if parts == 1 or self._threads is None:
            in_parallel([partial(function, ctypes.byref(one)) for one in jobs])
            return
        run_team, *who = self._threads
        team = _Team(_address(function), ctypes.addressof(jobs), parts, ctypes.sizeof(job), *who)
        run_team(_address(self._library.of_team), ctypes.addressof(team), parts, 0)


def _open() -> Library | str:
    from seesay.nn.compiled.check import agrees  # it runs the kernels, which know this module

    try:
        opened = Library(*open_library(source=INFERENCE))
    except NotBuilt as fault:
        return str(fault)
    return opened if agrees(opened) else f"{opened.path}: its results are not those of torch"


FINDER = Finder(_open)
library = FINDER.library
