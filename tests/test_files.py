"""Files appear whole or not at all: every way a write can fail leaves what was there."""

from __future__ import annotations

import builtins
import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from seesay.errors import DataError
from seesay.files import link_file, make_folder, remove_leftovers, replace_file, write_json

IN_A_SMALL_FILE_SYSTEM = """
mount -t tmpfs -o size=64k tmpfs "$1" && exec "$2" -c '
import sys
from pathlib import Path
from seesay.errors import DataError
from seesay.files import replace_file
path = Path(sys.argv[1]) / "note"
replace_file(path, b"old" * 1000)
try:
    replace_file(path, b"new" * 100_000)
except DataError as fault:
    print(fault)
assert path.read_bytes() == b"old" * 1000
assert [each.name for each in path.parent.iterdir()] == ["note"]
replace_file(path, b"new")
print("written" if path.read_bytes() == b"new" else "lost")
' "$1"
"""


@pytest.fixture
def note(tmp_path: Path) -> Path:
    path = tmp_path / "note"
    path.write_bytes(b"old")
    return path


def assert_untouched(note: Path) -> None:
    assert note.read_bytes() == b"old"
    assert [path.name for path in note.parent.iterdir()] == ["note"]


def test_parts_are_joined(note: Path) -> None:
    replace_file(note, b"one ", memoryview(b"two"), b"")
    assert note.read_bytes() == b"one two"


@pytest.mark.parametrize("function", ["os.fsync", "os.replace"])
def test_an_error_leaves_the_old_file(note: Path, monkeypatch: pytest.MonkeyPatch, function: str) -> None:
    def fail(*_: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(function, fail)
    with pytest.raises(DataError, match=r"note: cannot be written \(Input/output error\).*untouched"):
        replace_file(note, b"new")
    assert_untouched(note)


def test_an_error_at_any_write_leaves_the_old_file(note: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.open
    for failing in range(3):

        def opened(*args: Any, failing: int = failing, **options: Any) -> Any:
            file = real(*args, **options)
            return _FailsAt(file, failing)

        monkeypatch.setattr(builtins, "open", opened)
        with pytest.raises(DataError, match="No space left"):
            replace_file(note, b"1", b"2", b"3")
        monkeypatch.undo()
        assert_untouched(note)


class _FailsAt:
    """A file whose write number `failing` finds the disk full."""

    def __init__(self, file: Any, failing: int) -> None:
        self.file, self.left = file, failing

    def write(self, part: bytes) -> None:
        if self.left == 0:
            raise OSError(28, "No space left on device")
        self.left -= 1
        self.file.write(part)

    def __enter__(self) -> _FailsAt:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """A limit that the kernel itself keeps: no file of this process may grow beyond it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_file_that_the_system_refuses_to_grow_leaves_the_old_one(note: Path) -> None:
    with largest_file(50_000), pytest.raises(DataError, match="cannot be written") as fault:
        replace_file(note, bytes(100_000))
    assert "\n" not in str(fault.value)
    assert_untouched(note)


def test_a_full_disk_leaves_the_old_file(tmp_path: Path) -> None:
    if subprocess.run(["unshare", "-Urm", "true"], capture_output=True, check=False).returncode:
        pytest.skip("this machine does not let us mount a small file system")
    command = ["unshare", "-Urm", "sh", "-c", IN_A_SMALL_FILE_SYSTEM, "sh", str(tmp_path), sys.executable]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if "mount:" in done.stderr:
        pytest.skip("this machine does not let us mount a small file system")
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()
    assert "No space left on device" in first and second == "written"


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_permissions_follow_the_umask(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        replace_file(tmp_path / "x", b"x")
    finally:
        os.umask(before)
    assert (tmp_path / "x").stat().st_mode & 0o777 == 0o666 & ~umask


@pytest.mark.parametrize("write", [lambda path: replace_file(path, b"x"), lambda path: write_json(path / "x.json", {})])
def test_a_place_that_is_none_is_one_line(note: Path, write: Callable[[Path], None]) -> None:
    with pytest.raises(DataError, match="note") as fault:
        write(note / "below")
    assert "\n" not in str(fault.value)


def test_the_bytes_and_the_name_are_synced_in_that_order(note: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[str] = []
    fsync, replace = os.fsync, os.replace

    def noted_fsync(handle: int) -> None:
        events.append("sync folder" if os.path.isdir(f"/proc/self/fd/{handle}") else "sync file")
        fsync(handle)

    def noted_replace(source: Path, target: Path) -> None:
        events.append("rename")
        assert Path(source).read_bytes() == b"new"
        replace(source, target)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(os, "replace", noted_replace)
    replace_file(note, b"new")
    assert events == ["sync file", "rename", "sync folder"]


def test_json_makes_its_folder_and_keeps_letters(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "x.json"
    write_json(path, {"text": "café"})
    assert "café" in path.read_text(encoding="utf-8")
    assert json.loads(path.read_bytes()) == {"text": "café"}


def test_a_link_is_the_same_file_under_another_name(note: Path) -> None:
    best = note.with_name("best")
    best.write_bytes(b"older")
    for _ in range(2):  # the second time onto itself
        link_file(note, best)
        assert best.samefile(note)
        assert sorted(path.name for path in note.parent.iterdir()) == ["best", "note"]
    replace_file(note, b"new")
    assert best.read_bytes() == b"old"


def test_a_link_that_cannot_be_made_is_one_line(note: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr("os.link", refuse)  # some file systems have no hard links
    try:
        link_file(note, note.with_name("best"))
    except DataError as fault:
        assert "best" in str(fault)
    else:
        assert note.with_name("best").read_bytes() == b"old"


def test_leftovers_are_found_below_too(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    orphans = [tmp_path / ".x.tmp.12", tmp_path / "a" / ".y.json.tmp.3"]
    kept = [tmp_path / "x.tmp.12", tmp_path / ".lock"]
    for path in orphans + kept:
        path.touch()
    assert remove_leftovers(tmp_path) == sorted(orphans)
    assert sorted(path for path in tmp_path.rglob("*") if path.is_file()) == sorted(kept)


def test_folders_are_made_or_refused_in_one_line(note: Path) -> None:
    made = note.parent / "a" / "b"
    make_folder(made)
    make_folder(made)
    assert made.is_dir()
    for place in (note, note / "below", Path("/proc/nowhere/x")):
        with pytest.raises(DataError, match=f"{place}: the folder cannot be made") as fault:
            make_folder(place)
        assert "\n" not in str(fault.value)


def test_a_link_that_cannot_be_put_in_place_leaves_the_old_file(note: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(5, "Input/output error")

    source = note.with_name("source")
    source.write_bytes(b"new")
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", refuse)
        with pytest.raises(DataError, match=r"note: cannot be written \(Input/output error\)"):
            link_file(source, note)
    source.unlink()
    assert_untouched(note)
    with pytest.raises(DataError, match=r"note: cannot be written \(No such file or directory\)"):
        link_file(source, note)
    assert_untouched(note)


def test_a_link_stays_a_link_and_a_pipe_a_pipe(tmp_path: Path) -> None:
    (tmp_path / "target.txt").write_bytes(b"old")
    (tmp_path / "link.txt").symlink_to(tmp_path / "target.txt")
    replace_file(tmp_path / "link.txt", b"new")
    assert (tmp_path / "link.txt").is_symlink() and (tmp_path / "target.txt").read_bytes() == b"new"
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    replace_file(tmp_path / "pipe", b"one ", b"two")
    assert os.read(reader, 100) == b"one two" and (tmp_path / "pipe").is_fifo()
    os.close(reader)
