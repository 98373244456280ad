"""The feature file: what is written is read back, damage is noticed, and a killed writer resumes."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import time
import zlib
from pathlib import Path

import h5py
import numpy as np
import pytest

from seesay.data.feature_file import read_header
from seesay.data.features import FeatureStore, FeatureWriter, open_writer
from seesay.errors import DataError

IDS = ["a.jpg", "b/é.jpg", "b/c.png", "d.jpg", "e.jpg"]
REGIONS, SIZE = 4, 6


def values(count: int = len(IDS), seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, REGIONS, SIZE)).astype(np.float16)


def writer_of(path: Path, ids: list[str] = IDS, encoder: str = "net@8", flipped: bool = False) -> FeatureWriter:
    return open_writer(path, ids, REGIONS, SIZE, encoder, flipped)


@pytest.fixture
def grids(tmp_path: Path) -> Path:
    path = tmp_path / "grids.h5"
    with writer_of(path) as writer:
        writer.write(IDS[:2], values()[:2])
        writer.write(IDS[2:], values()[2:])
        writer.finish()
    return path


def fault(path: Path) -> str:
    """The one line that opening this file, or reading all of it, gives."""
    with pytest.raises(DataError) as caught:
        store = FeatureStore(path)
        store.read(store.ids)
    message = str(caught.value)
    assert message.startswith(f"{path}: ") and "\n" not in message
    return message


def test_what_is_written_is_read_back_in_any_order(grids: Path) -> None:
    store = FeatureStore(grids)
    assert store.ids == tuple(IDS) and len(store) == 5
    assert (store.regions, store.size, store.encoder, store.flipped) == (REGIONS, SIZE, "net@8", False)
    assert store.index["b/c.png"] == 2
    read = store.read(["e.jpg", "a.jpg", "e.jpg"])
    assert read.dtype == np.float16
    np.testing.assert_array_equal(read, values()[[4, 0, 4]])
    assert store.read([]).shape == (0, REGIONS, SIZE)


def test_the_file_is_plain_contiguous_hdf5(grids: Path) -> None:
    with h5py.File(grids, "r") as file:
        assert file["features"].chunks is None and file["features"].compression is None
        np.testing.assert_array_equal(file["features"][:], values())
        assert [name.decode() for name in file["ids"][:]] == IDS
        assert file["crc32"][:].tolist() == [zlib.crc32(row.tobytes()) for row in values()]
        assert file["done"][:].tolist() == [1] * 5
        assert (file.attrs["format"], file.attrs["version"], file.attrs["encoder"]) == (b"seesay-features", 1, b"net@8")


def test_the_same_features_make_the_same_bytes(grids: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.h5"
    with writer_of(again) as writer:
        for place in (3, 1, 4, 0, 2):
            writer.write(IDS[place : place + 1], values()[place : place + 1])
        digest = writer.finish()
    assert again.read_bytes() == grids.read_bytes()
    assert digest == FeatureStore(grids).digest


def test_the_digest_tells_files_apart(grids: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.h5"
    with writer_of(other, flipped=True) as writer:
        writer.write(IDS, values())
        writer.finish()
    assert FeatureStore(other).flipped
    assert FeatureStore(other).digest != FeatureStore(grids).digest


def test_a_missing_picture_is_named(grids: Path) -> None:
    store = FeatureStore(grids)
    expected = (
        f"captions.json: picture x.jpg has no features in {grids} (5 pictures); expected those of every picture; "
    )
    for ask in (store.read, store.require):
        with pytest.raises(DataError) as caught:
            ask(["a.jpg", "x.jpg"], "captions.json")
        assert str(caught.value) == expected + "run 'seesay features' over its folder again."
    store.require(IDS, "captions.json")


def test_names_in_other_bytes_are_found_and_never_two_for_one(tmp_path: Path) -> None:
    one, two = "caf\u00e9.jpg", "cafe\u0301.jpg"
    for number, (there, asked) in enumerate(((one, two), (two, one))):
        path = tmp_path / f"{number}.h5"
        ids = ["a.jpg", there, "c.jpg", "d.jpg", "e.jpg"]
        with open_writer(path, ids, REGIONS, SIZE, "net@8", False) as writer:
            writer.write(ids, values())
            writer.finish()
        store = FeatureStore(path)
        store.require([asked, "a.jpg"], "captions.json")
        np.testing.assert_array_equal(store.read([asked]), values()[1:2])
        with pytest.raises(
            DataError, match=r"^captions\.json: 'caf.*' are one name in two spellings, and .* only one "
        ):
            store.require([one, two], "captions.json")
    both = tmp_path / "both.h5"
    ids = ["a.jpg", one, two, "d.jpg", "e.jpg"]
    with open_writer(both, ids, REGIONS, SIZE, "net@8", False) as writer:
        writer.write(ids, values())
        writer.finish()
    store = FeatureStore(both)
    store.require(ids)
    np.testing.assert_array_equal(store.read([two, one]), values()[[2, 1]])


def test_a_name_with_the_wrong_folder_is_told_the_right_one(grids: Path) -> None:
    with pytest.raises(DataError) as caught:
        FeatureStore(grids).require(["photos/d.jpg"], "captions.json")
    assert str(caught.value) == (
        f"captions.json: picture photos/d.jpg has no features in {grids} (5 pictures); did you mean d.jpg? Names "
        "are paths from the folder of the pictures on; correct the name, or run 'seesay features' over the "
        "folder again if the picture is new."
    )


@pytest.mark.parametrize("nothing", [0.0, -0.0])
def test_a_picture_that_shows_nothing_is_named_with_its_file(tmp_path: Path, nothing: float) -> None:
    some, path = values(), tmp_path / "grids.h5"
    some[2], some[1, :-1], some[3, 0] = nothing, nothing, nothing  # a single region is enough
    with writer_of(path) as writer:
        writer.write(IDS, some)
        writer.finish()
    store = FeatureStore(path)
    assert np.array_equal(store.read([IDS[1], IDS[3]]), some[[1, 3]])
    assert fault(path).startswith(f"{path}: picture b/c.png has no region: all of its features are zero; expected one")


def test_a_store_survives_pickling_forking_and_closing(grids: Path) -> None:
    store = FeatureStore(grids)
    copy = pickle.loads(pickle.dumps(store))
    np.testing.assert_array_equal(copy.read(["d.jpg"]), values()[3:4])
    if (child := os.fork()) == 0:
        os._exit(0 if np.array_equal(store.read(IDS), values()) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    store.close()
    np.testing.assert_array_equal(store.read(IDS), values())


def test_a_flipped_bit_anywhere_is_noticed(grids: Path) -> None:
    whole = grids.read_bytes()
    generator = np.random.default_rng(7)
    start = read_header(grids).offsets["features"]
    header = generator.integers(0, start * 8, 200)
    everywhere = generator.integers(0, len(whole) * 8, 200)
    features = generator.integers(start * 8, len(whole) * 8, 100)
    for bit in np.concatenate([header, everywhere, features]).tolist():
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        grids.write_bytes(damaged)
        fault(grids)


def test_a_truncated_or_longer_file_is_noticed(grids: Path) -> None:
    whole = grids.read_bytes()
    for length in (0, 1, 7, 8, 100, 511, 2048, len(whole) // 2, len(whole) - 1):
        grids.write_bytes(whole[:length])
        fault(grids)
    grids.write_bytes(whole + b"x")
    fault(grids)


def test_files_of_other_kinds_are_refused(tmp_path: Path) -> None:
    text = tmp_path / "grids.h5"
    assert "not found" in fault(text)
    text.write_text("not HDF5 at all", encoding="utf-8")
    assert "expected a whole feature file" in fault(text)
    fault(tmp_path)
    with h5py.File(text, "w") as file:
        file["features"] = values()
    assert "format None" in fault(text)


def replace(path: Path, name: str, value: object) -> None:
    with h5py.File(path, "r+") as file:
        del file[name]
        file[name] = value


def test_links_and_external_storage_are_refused(grids: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret.bin"
    secret.write_bytes(bytes(4096))
    whole = grids.read_bytes()
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["features"] = values()
    for link in (h5py.ExternalLink("other.h5", "/features"), h5py.SoftLink("/crc32")):
        grids.write_bytes(whole)
        replace(grids, "features", link)
        assert "/features is missing or a link to elsewhere" in fault(grids)
    grids.write_bytes(whole)
    with h5py.File(grids, "r+") as file:
        del file["features"]
        where = [(str(secret), 0, h5py.h5f.UNLIMITED)]
        file.create_dataset("features", (5, REGIONS, SIZE), np.float16, external=where)
    assert "/features is not stored in one piece inside the file" in fault(grids)
    grids.write_bytes(whole)
    with h5py.File(grids, "r+") as file:
        del file["features"]
        layout = h5py.VirtualLayout((5, REGIONS, SIZE), np.float16)
        layout[:] = h5py.VirtualSource("other.h5", "features", (5, REGIONS, SIZE))
        file.create_virtual_dataset("features", layout)
    assert "not stored in one piece" in fault(grids)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("features", np.zeros((5, REGIONS, SIZE), np.float32)),
        ("features", np.zeros((4, REGIONS, SIZE), np.float16)),
        ("features", np.zeros((5, REGIONS * SIZE), np.float16)),
        ("ids", np.arange(5)),
        ("ids", np.array([b"a"] * 5)),
        ("crc32", np.zeros(5, np.int64)),
        ("crc32", np.zeros(4, np.uint32)),
        ("done", np.ones((5, 1), np.uint8)),
        ("sha256", np.zeros(31, np.uint8)),
        ("sha256", "text"),
    ],
)
def test_wrong_types_and_shapes_are_refused(grids: Path, name: str, value: object) -> None:
    replace(grids, name, value)
    fault(grids)


def test_compressed_features_are_refused(grids: Path) -> None:
    with h5py.File(grids, "r+") as file:
        del file["features"]
        file.create_dataset("features", data=values(), compression="gzip")
    assert "not stored in one piece" in fault(grids)


def test_an_unfinished_file_says_how_to_go_on(tmp_path: Path) -> None:
    path = tmp_path / "grids.h5"
    with writer_of(path) as writer:
        writer.write(IDS[:2], values()[:2])
    assert "2 of 5 pictures have features" in fault(path)
    with writer_of(path) as writer:
        assert writer.missing() == IDS[2:]
        writer.write(IDS[2:], values()[2:])
        writer.finish()
    np.testing.assert_array_equal(FeatureStore(path).read(IDS), values())


def test_an_unfinished_file_cannot_be_sealed(tmp_path: Path) -> None:
    with writer_of(tmp_path / "grids.h5") as writer, pytest.raises(ValueError, match="5 pictures are still missing"):
        writer.finish()


def test_a_row_damaged_before_the_resume_is_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "grids.h5"
    with writer_of(path) as writer:
        writer.write(IDS[:3], values()[:3])
    data = bytearray(path.read_bytes())
    data[read_header(path).offsets["features"] + REGIONS * SIZE * 2 + 5] ^= 1
    path.write_bytes(data)
    with writer_of(path) as writer:
        assert writer.missing() == [IDS[1], *IDS[3:]]


def test_skipped_pictures_are_left_out_and_tried_again(tmp_path: Path) -> None:
    path = tmp_path / "grids.h5"
    with writer_of(path) as writer:
        writer.skip("d.jpg")
        good = [0, 1, 2, 4]
        writer.write([IDS[place] for place in good], values()[good])
        writer.finish()
    store = FeatureStore(path)
    assert store.ids == ("a.jpg", "b/é.jpg", "b/c.png", "e.jpg")
    np.testing.assert_array_equal(store.read(["e.jpg"]), values()[4:])
    with pytest.raises(DataError, match=r"no features of d\.jpg"):
        store.read(["d.jpg"])
    with writer_of(path) as writer:
        assert writer.missing() == ["d.jpg"]
        assert "4 of 5 pictures" in fault(path)
        writer.write(["d.jpg"], values()[3:4])
        writer.finish()
    assert FeatureStore(path).ids == tuple(IDS)


@pytest.mark.parametrize(
    ("ids", "encoder", "flipped", "complaint"),
    [
        (IDS, "other@8", False, "holds features of net@8 (4 x 6, not flipped); received other@8 (4 x 6, not flipped)"),
        (IDS, "net@8", True, "received net@8 (4 x 6, flipped)"),
        (["x.jpg", "y.jpg"], "net@8", False, "holds features of 5 other pictures; received 2 pictures"),
        (IDS[:4], "net@8", True, "received net@8 (4 x 6, flipped)"),
    ],
)
def test_a_file_of_other_settings_is_not_mixed(
    grids: Path, ids: list[str], encoder: str, flipped: bool, complaint: str
) -> None:
    before = grids.read_bytes()
    with pytest.raises(DataError) as caught:
        writer_of(grids, ids, encoder, flipped)
    assert complaint in str(caught.value) and str(caught.value).endswith("choose another file or delete it.")
    assert grids.read_bytes() == before


@pytest.mark.parametrize(
    "ids",
    [
        IDS[:4],
        IDS[::-1],
        [*IDS, "new.jpg"],
        ["a-new.jpg", "d.jpg", "b/é.jpg"],
        ["e.jpg", "a name far longer than all.jpg"],
    ],
)
@pytest.mark.parametrize("sealed", [True, False])
def test_a_file_follows_when_pictures_come_and_go(tmp_path: Path, ids: list[str], sealed: bool) -> None:
    path, there = tmp_path / "grids.h5", IDS if sealed else IDS[:2] + IDS[3:]
    with writer_of(path) as writer:
        writer.write(there, values()[[IDS.index(name) for name in there]])
        if sealed:
            writer.finish()
    new = [name for name in ids if name not in there]
    with writer_of(path, ids) as writer:
        assert writer.missing() == new
        writer.write(new, values(len(new), seed=1))
        writer.finish()
    store = FeatureStore(path)
    assert store.ids == tuple(ids)
    for name in ids:
        expected = values(len(new), seed=1)[new.index(name)] if name in new else values()[IDS.index(name)]
        np.testing.assert_array_equal(store.read([name])[0], expected)
    assert list(tmp_path.iterdir()) == [path]


def test_a_damaged_row_is_not_taken_along(grids: Path) -> None:
    data = bytearray(grids.read_bytes())
    data[read_header(grids).offsets["features"] + 3 * REGIONS * SIZE * 2 + 5] ^= 1
    grids.write_bytes(data)
    with writer_of(grids, IDS[1:]) as writer:
        assert writer.missing() == ["d.jpg"]


def test_a_file_that_cannot_follow_stays_as_it_was(grids: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = grids.read_bytes()

    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.posix_fallocate", refuse)
    with pytest.raises(DataError, match=r"grids\.h5: cannot be written \(No space left on device\)"):
        writer_of(grids, [*IDS, "new.jpg"])
    assert grids.read_bytes() == before and list(grids.parent.iterdir()) == [grids]
    monkeypatch.undo()
    with writer_of(grids), pytest.raises(DataError, match="another process is writing it"):
        writer_of(grids, IDS[:2])


def test_a_file_replaced_while_it_is_opened_is_not_written_on(grids: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.path.samestat", lambda *_: False)
    with pytest.raises(DataError, match="another process is writing it"):
        writer_of(grids)


def test_no_file_stays_where_nothing_came_of_it(tmp_path: Path) -> None:
    path = tmp_path / "grids.h5"
    with pytest.raises(KeyError), writer_of(path) as writer:
        writer.skip("a.jpg")
        raise KeyError
    assert not path.exists()
    with pytest.raises(KeyError), writer_of(path) as writer:
        writer.write(IDS[:1], values(1))
        raise KeyError
    with writer_of(path) as writer:
        assert writer.missing() == IDS[1:]


def test_a_read_only_place_is_one_line_with_its_own_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("seesay.data.feature_file._write_empty", refuse)
    monkeypatch.setattr("pathlib.Path.unlink", refuse)
    with pytest.raises(DataError, match=r"grids\.h5: cannot be written \(Read-only file system\)"):
        writer_of(tmp_path / "grids.h5")


def test_a_damaged_file_is_not_written_on(grids: Path) -> None:
    data = bytearray(grids.read_bytes())
    data[read_header(grids).offsets["crc32"]] ^= 1
    grids.write_bytes(data)
    with pytest.raises(DataError, match="damaged"):
        writer_of(grids)


def test_two_writers_at_once_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "grids.h5"
    with writer_of(path), pytest.raises(DataError, match="another process is writing it"):
        writer_of(path)
    writer_of(path).close()


@pytest.mark.parametrize("ids", [[], ["a", "a"], [""], ["a\0b"], ["\udc80"], ["x" * 5000]])
def test_bad_ids_are_refused_and_leave_no_file(tmp_path: Path, ids: list[str]) -> None:
    with pytest.raises(DataError):
        writer_of(tmp_path / "grids.h5", ids)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be written"):
        writer_of(tmp_path / "nowhere" / "grids.h5")


def test_a_full_disk_is_found_before_the_work(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be written"):
        open_writer(tmp_path / "grids.h5", IDS, 10**6, 10**7, "net@8", False)
    assert list(tmp_path.iterdir()) == []


def test_wrong_shapes_do_not_enter_the_file(tmp_path: Path) -> None:
    with writer_of(tmp_path / "grids.h5") as writer:
        for features in (values(), values(1).astype(np.float32), values(1)[:, :2]):
            with pytest.raises(ValueError, match="expected float16"):
                writer.write(["a.jpg"], features)


WRITES = """
import sys
import numpy as np
from seesay.data.features import open_writer
ids = [f"{i}.jpg" for i in range(2000)]
with open_writer(sys.argv[1], ids, 8, 32, "net@8", False, sync_rows=16) as writer:
    print("ready", flush=True)
    for name in writer.missing():
        writer.write([name], np.full((1, 8, 32), int(name[:-4]) % 1000 + 1, np.float16))
    writer.finish()
"""


def test_a_writer_killed_again_and_again_ends_with_the_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "grids.h5"
    generator = np.random.default_rng(3)
    for _ in range(4):
        process = subprocess.Popen([sys.executable, "-c", WRITES, str(path)], stdout=subprocess.PIPE)
        assert process.stdout is not None and process.stdout.readline() == b"ready\n"
        time.sleep(float(generator.uniform(0, 0.15)))
        process.send_signal(signal.SIGKILL)
        process.communicate()
    subprocess.run([sys.executable, "-c", WRITES, str(path)], check=True, stdout=subprocess.DEVNULL)
    store = FeatureStore(path)
    assert len(store) == 2000
    assert [store.read([name])[0, 0, 0] for name in store.ids] == [float(i % 1000 + 1) for i in range(2000)]
