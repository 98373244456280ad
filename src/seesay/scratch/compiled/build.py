"""From C sources to a library in the user's cache folder: once for each source and processor.

A library's name holds a hash of all that it depends on, and its last bytes are a hash of the rest: one that is damaged,
or belongs to somebody else, is never loaded. It is written under a name of its own and then renamed, so that two
processes may build at once.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import os
import platform
import shlex
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from seesay.files import cache_folder

# No option may loosen what a nan or an infinity does. `-ffp-contract` lets a product and a sum be one instruction.
FLAGS = ("-O2", "-std=gnu11", "-fPIC", "-shared", "-fvisibility=hidden", "-ffp-contract=fast", "-fno-math-errno")
NATIVE = "-march=native"
SECONDS = 120  # a compiler that takes longer is as good as none
_DIGEST = hashlib.sha256().digest_size


class NotBuilt(Exception):
    """There is no library to use; the message says why."""


@dataclass(frozen=True)
class Source:
    """A library in C: its name, its main file, and what that includes from elsewhere; the package carries all as data.

    All C files of the main file's folder belong to it.
    """

    name: str
    main: Path
    elsewhere: tuple[Path, ...] = ()

    def files(self) -> list[Path]:
        """Every file that the library depends on."""
        own = (path for path in self.main.parent.iterdir() if path.suffix in (".c", ".h"))
        return sorted({*own, *self.elsewhere})

    def folders(self) -> list[str]:
        """The options by which the compiler finds them."""
        return [f"-I{folder}" for folder in sorted({path.parent for path in self.elsewhere})]


RECURRENT = Source("scratch", Path(__file__).parent / "recurrent.c")


def open_library(flags: Sequence[str] = (NATIVE,), source: Source = RECURRENT) -> tuple[ctypes.CDLL, Path]:
    """The library built with these flags besides `FLAGS`, and its file; built first where it is absent or damaged.

    Raises NotBuilt where there is no compiler, it fails, or the cache folder cannot be written or trusted.
    """
    try:
        path = library_file(flags, source)
        if not _is_whole(path):
            _build(path, flags, source)
        if not _is_whole(path):
            raise NotBuilt(f"{path}: not the library that was built there")
        return ctypes.CDLL(str(path)), path
    except (OSError, RuntimeError) as fault:  # the latter where there is no home folder
        raise NotBuilt(str(fault)) from None


def library_file(flags: Sequence[str] = (NATIVE,), source: Source = RECURRENT) -> Path:
    """Where the library for these flags lies: $SEESAY_CACHE, else $XDG_CACHE_HOME/seesay, else ~/.cache/seesay."""
    key = hashlib.sha256()
    for part in (*FLAGS, *flags, sys.platform, _processor()):
        key.update(part.encode() + b"\0")
    for file in source.files():
        key.update(file.name.encode() + b"\0" + file.read_bytes() + b"\0")
    return cache_folder() / f"{source.name}-{key.hexdigest()[:20]}.so"


def compiler() -> list[str]:
    """The command of the compiler: CC where the environment names one, else the first of cc, gcc and clang.

    Raises NotBuilt where there is none.
    """
    wanted = shlex.split(os.environ.get("CC", ""))
    for name in wanted[:1] or ("cc", "gcc", "clang"):
        if found := shutil.which(name):
            return [found, *wanted[1:]]
    raise NotBuilt(f"no C compiler: {wanted[0] if wanted else 'cc, gcc or clang'} is not on the path")


def _processor() -> str:
    """What tells one kind of processor from another: code for this one must not be loaded on an older one."""
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        told = [line for line in lines if line.startswith(("model name", "flags", "Features", "CPU part"))]
        return "\n".join([platform.machine(), *sorted(set(told))])
    return f"{platform.machine()} {platform.processor()} {platform.node()}"


def _build(path: Path, flags: Sequence[str], source: Source) -> None:
    command = compiler()
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{path.stem}.tmp.", dir=path.parent) as folder:
        made = Path(folder) / path.name
        fault = _compile(command, flags, source, made)
        if fault and NATIVE in flags:  # an option that some compilers do not have on some processors
            fault = _compile(command, [flag for flag in flags if flag != NATIVE], source, made)
        if fault:
            raise NotBuilt(f"{command[0]}: {fault}")
        with open(made, "ab") as file:
            file.write(hashlib.sha256(made.read_bytes()).digest())
        made.chmod(0o700)
        os.replace(made, path)


def _compile(command: Sequence[str], flags: Sequence[str], source: Source, target: Path) -> str:
    """Runs the compiler; the first line of what it has to complain about, "" where it has made the file."""
    try:
        done = subprocess.run(
            [*command, *FLAGS, *flags, *source.folders(), str(source.main), "-lm", "-o", str(target)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            encoding="utf-8",
            errors="replace",
            timeout=SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"not finished after {SECONDS} seconds"
    if done.returncode == 0 and target.is_file():
        return ""
    return (done.stderr.strip().splitlines() or [f"ended with {done.returncode} and without a word"])[0]


def _is_whole(path: Path) -> bool:
    """Whether this file is a library as it was built, and nobody else can have put it there."""
    try:
        found = path.stat()
        if hasattr(os, "getuid") and found.st_uid not in (0, os.getuid()):
            return False
        if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            return False
        content = path.read_bytes()
    except FileNotFoundError:
        return False
    return len(content) > _DIGEST and hashlib.sha256(content[:-_DIGEST]).digest() == content[-_DIGEST:]
