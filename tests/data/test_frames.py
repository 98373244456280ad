"""Frames in files of either kind, and in batches."""

from __future__ import annotations

import dataclasses
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from seesay.data import frame_file
from seesay.data.frame_file import read_frames
from seesay.data.frames import FrameBatch, Frames, FrameSet
from seesay.errors import DataError
from seesay.text.lexicon import Lexicon

LEXICON = Lexicon((), ("a", "b"))
Write = Callable[[dict[str, Any]], Path]


def some(*lengths: int) -> list[Frames]:
    """Sequences of which every number says where it stands."""
    return [
        Frames(f"s{i}", np.arange(n * 2, dtype=np.float32).reshape(n, 2) + 100 * i, ("a", "b", "a", "b")[:n])
        for i, n in enumerate(lengths)
    ]


@pytest.fixture(params=[".npz", ".h5"])
def write(request: pytest.FixtureRequest, tmp_path: Path) -> Write:
    """Writes arrays as a file of either kind."""

    def put(arrays: dict[str, Any]) -> Path:
        path = tmp_path / f"frames{request.param}"
        if request.param == ".npz":
            np.savez(path, **{name: np.asarray(array) for name, array in arrays.items()})
        else:
            with h5py.File(path, "w") as file:
                for name, array in arrays.items():
                    text = np.asarray(array).dtype.kind == "U"
                    file[name] = np.asarray(array).astype(h5py.string_dtype()) if text else array
        return path

    return put


def test_both_kinds_of_files_hold_the_same(write: Write) -> None:
    path = write({
        "two/frames": np.array([[1, 2, 3]]), "two/labels": ["é"],
        "one/frames": np.array([[0.5, 1, 2], [3, 4, 5]]), "one/labels": [7, -1],
        "none/frames": np.zeros((0, 3)), "none/labels": np.zeros(0, int),
    })  # fmt: skip
    found = read_frames(path)
    assert [(one.name, one.frames.tolist(), one.tags) for one in found] == [
        ("none", [], ()),
        ("one", [[0.5, 1, 2], [3, 4, 5]], ("7", "-1")),
        ("two", [[1, 2, 3]], ("é",)),
    ]
    assert {one.frames.dtype for one in found} == {np.dtype(np.float32)}


GOOD = {"a/frames": np.ones((2, 3)), "a/labels": ["x", "y"]}
WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "labels and frames of different length": (
        {"b/frames": np.ones((3, 3)), "b/labels": ["x", "y"]},
        r"sequence 'b': received 3 frames and 2 labels; expected a label for each frame; correct it",
    ),
    "frames of another size": (
        {"b/frames": np.ones((1, 4)), "b/labels": ["x"]},
        "received 4 numbers a frame; expected 3",
    ),
    "no labels": ({"b/frames": np.ones((1, 3))}, "sequence 'b': received no labels; expected NAME/frames"),
    "no frames": ({"b/labels": ["x"]}, "sequence 'b': received no frames"),
    "a flat array": (
        {"b/frames": np.ones(3), "b/labels": ["x"]},
        r"received frames \(3,\) of float64 and labels \(1,\)",
    ),
    "labels of fractions": ({"b/frames": np.ones((1, 3)), "b/labels": [0.5]}, r"labels \(1,\) of float64"),
    "not finite": ({"b/frames": np.full((1, 3), np.nan), "b/labels": ["x"]}, "a number that is not finite"),
    "beyond single precision": (
        {"b/frames": np.full((1, 3), 1e300), "b/labels": ["x"]},
        "a number that is not finite in single precision",
    ),
    "a label of two lines": ({"b/frames": np.ones((1, 3)), "b/labels": ["x\ny"]}, r"received 'x\\ny'; expected names"),
    "a label with a tab": ({"b/frames": np.ones((1, 3)), "b/labels": ["x\ty"]}, r"received 'x\\ty'; expected names"),
    "an empty label": ({"b/frames": np.ones((1, 3)), "b/labels": [" "]}, "received an empty label"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_what_is_wrong_names_the_sequence_and_is_left_out_where_asked(kind: str, write: Write) -> None:
    arrays, expected = WRONG[kind]
    path = write({**GOOD, **arrays})
    with pytest.raises(DataError, match=rf"frames\.\w+: .*{expected}"):
        read_frames(path)
    told: list[str] = []
    assert [one.name for one in read_frames(path, told.append)] == ["a"]
    assert len(told) == 1 and "sequence 'b'" in told[0]


def test_a_sequence_without_a_frame_is_left_out_where_asked(write: Write) -> None:
    path = write({**GOOD, "b/frames": np.ones((0, 3)), "b/labels": np.array([])})
    told: list[str] = []
    assert len(read_frames(path)) == 2
    assert len(read_frames(path, told.append)) == 1 and "received no frame" in told[0]


def test_labels_are_not_needed_to_tag(write: Write) -> None:
    found = read_frames(write({"a/frames": np.ones((2, 3))}), labelled=False)
    assert [(one.name, one.tags) for one in found] == [("a", ("", ""))]


def test_nothing_to_learn_from_is_refused(write: Write) -> None:
    with pytest.raises(DataError, match="received no frame; expected NAME/frames"):
        read_frames(write({"a/frames": np.ones((0, 3)), "a/labels": np.zeros(0, int)}))


def test_files_that_are_neither(tmp_path: Path) -> None:
    for name in ("a.npz", "a.h5"):
        with pytest.raises(DataError, match=rf"{name}: not found; expected frames in npz or HDF5"):
            read_frames(tmp_path / name)
        (tmp_path / name).write_bytes(b"not at all" * 100)
        with pytest.raises(DataError, match=rf"{name}: cannot be read \(.*\); expected frames in npz or HDF5"):
            read_frames(tmp_path / name)


def test_objects_are_never_unpickled(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", **{"a/frames": np.ones((1, 3)), "a/labels": np.array(["x"], object)})
    with pytest.raises(DataError, match=r"received objects in 'a/labels\.npy'; expected numbers or text"):
        read_frames(tmp_path / "a.npz")


def test_a_small_file_that_claims_much_is_refused_before_it_is_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frame_file, "LARGEST", 10_000)
    np.savez_compressed(tmp_path / "a.npz", **{"a/frames": np.zeros((1000, 3)), "a/labels": np.zeros(1000, int)})
    assert (tmp_path / "a.npz").stat().st_size < 1000
    with pytest.raises(DataError, match="received arrays of 32,000 bytes; expected at most 10,000"):
        read_frames(tmp_path / "a.npz")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("a/frames", (10**9, 3), dtype="f4", chunks=True)  # nothing is written, all is claimed
    with pytest.raises(DataError, match="received arrays of 12,000,000,000 bytes"):
        read_frames(tmp_path / "a.h5")


def test_what_lies_outside_of_a_file_is_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["frames"] = np.ones((1, 3))
    ways: dict[str, Callable[[h5py.File], Any]] = {
        "a link": lambda file: file.__setitem__("a/frames", h5py.ExternalLink("other.h5", "/frames")),
        "storage": lambda file: file.create_dataset("a/frames", 3, dtype="f8", external=[(str(tmp_path / "x"), 0, 24)]),
        "a soft link": lambda file: file.__setitem__("a/frames", h5py.SoftLink("/b")),
        "a circle": lambda file: file.create_group("a").__setitem__("a", file["a"]),
    }
    for name, way in ways.items():
        with h5py.File(tmp_path / "a.h5", "w") as file:
            way(file)
        with pytest.raises(DataError, match=r"a\.h5: received 'a/.*', which lies elsewhere"):
            read_frames(tmp_path / "a.h5")
            pytest.fail(name, pytrace=False)


def test_an_archive_of_something_else(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("a/frames.npy", b"\x93NUMPY\x09\x00")
    with pytest.raises(DataError, match=r"a\.npz: cannot be read"):
        read_frames(tmp_path / "a.npz")


def test_one_batch_holds_frames_lengths_and_tags_filled_up() -> None:
    first, second = FrameSet.build(some(2, 0, 1), LEXICON).in_order(2)
    assert first.frames.tolist() == [[[0, 1], [2, 3]], [[0, 0], [0, 0]]]
    assert first.lengths.tolist() == [2, 0] and first.tags.tolist() == [[0, 1], [-1, -1]]
    assert first.items == ("s0", "s1") and second.frames.tolist() == [[[200, 201]]]
    assert first.inputs[0] is first.frames and first.inputs[1] is first.lengths
    assert (first.frames.dtype, first.tags.dtype, first.lengths.dtype) == (np.float32, np.int64, np.int64)


def test_map_touches_every_array_and_nothing_else() -> None:
    batch = next(FrameSet.build(some(2, 1), LEXICON).in_order(2))
    doubled = batch.map(lambda array: array * 2)
    for field in dataclasses.fields(FrameBatch):
        if field.name != "items":
            np.testing.assert_array_equal(getattr(doubled, field.name), getattr(batch, field.name) * 2)
    assert doubled.items == batch.items


def test_an_epoch_holds_every_sequence_once_and_resumes_where_it_stopped() -> None:
    frames = FrameSet.build(some(*[1, 2, 3, 4] * 5), LEXICON)
    whole = [batch.items for batch in frames.shuffled(3, seed=1, epoch=0)]
    assert sorted(item for items in whole for item in items) == sorted(frames.names)
    assert [batch.items for batch in frames.shuffled(3, seed=1, epoch=0, start=2)] == whole[2:]
    assert [batch.items for batch in frames.shuffled(3, seed=1, epoch=1)] != whole
    for batch in frames.shuffled(3, seed=1, epoch=0):  # frames stay with their sequence
        for row, item in enumerate(batch.items):
            assert batch.frames[row, 0].tolist() == [100 * int(item[1:]), 100 * int(item[1:]) + 1]


def test_mean_and_deviation() -> None:
    frames = np.array([[1, 5], [3, 5], [8, 5]], np.float32)
    found = FrameSet.build([Frames("x", frames, ("a", "a", "b"))], LEXICON)
    assert found.mean.tolist() == [4, 5]
    assert found.deviation.tolist() == pytest.approx([float(np.std([1, 3, 8])), 1])


def test_the_digest_tells_any_change() -> None:
    one = FrameSet.build(some(2, 1), LEXICON)
    frames, tags = one.frames.copy(), one.tags.copy()
    frames[0, 0], tags[0] = 9, 1
    others = [
        dataclasses.replace(one, frames=frames),
        dataclasses.replace(one, tags=tags),
        dataclasses.replace(one, lengths=one.lengths[::-1]),
    ]
    assert len({each.digest for each in (one, *others)}) == 4
    assert FrameSet.build(some(2, 1), LEXICON).digest == one.digest


def test_an_unknown_label_is_refused_in_training_and_wrong_elsewhere() -> None:
    strange = [Frames("x", np.ones((2, 2), np.float32), ("a", "q"))]
    with pytest.raises(DataError, match="sequence 'x': received the label 'q'; expected one of the 2 labels"):
        FrameSet.build(strange, LEXICON)
    assert FrameSet.build(strange, LEXICON, unknown_tags=True).tags.tolist() == [0, -1]


def test_sequences_that_do_not_fit_together_are_refused() -> None:
    with pytest.raises(DataError, match="received no sequence"):
        FrameSet.build([], LEXICON)
    with pytest.raises(DataError, match="sequence 'y': received 3 numbers a frame; expected 2, as 's0' has"):
        FrameSet.build([*some(1), Frames("y", np.ones((1, 3), np.float32), ("a",))], LEXICON)
