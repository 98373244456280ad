"""A folder of pictures becomes a feature file: bad ones stop or are skipped, a killed run goes on."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from seesay.data.feature_file import read_array, read_header
from seesay.data.features import FeatureStore
from seesay.data.images import find_pictures, open_picture, to_square
from seesay.errors import DataError
from seesay.vision.encoders import Encoder, load_encoder
from seesay.vision.extraction import Summary, extract


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return load_encoder()


@pytest.fixture
def folder(tmp_path: Path, demo_pictures: Path) -> Path:
    """Five photographs, two of them in a folder of their own."""
    folder = tmp_path / "photos"
    (folder / "more").mkdir(parents=True)
    for place, path in enumerate(find_pictures(demo_pictures)[:5]):
        shutil.copy(path, folder / ("more" if place > 2 else "") / f"{place}.jpg")
    return folder


def test_every_picture_has_the_features_of_its_encoding(folder: Path, tmp_path: Path, encoder: Encoder) -> None:
    seen: list[tuple[int, int]] = []
    output = tmp_path / "grids.h5"
    summary = extract(
        folder, output, encoder=encoder, batch_size=2, progress=lambda done, total: seen.append((done, total))
    )
    assert summary == Summary(made=5, kept=0, skipped={})
    assert seen[0] == (0, 5) and seen[-1] == (5, 5) and [done for done, _ in seen] == sorted(done for done, _ in seen)
    store = FeatureStore(output)
    assert store.ids == ("0.jpg", "1.jpg", "2.jpg", "more/3.jpg", "more/4.jpg")
    assert (store.encoder, store.flipped) == ("efficientnet-lite0@224", False)
    alone = encoder(to_square(open_picture(folder / "more" / "4.jpg"), 224)[None])
    assert np.abs(store.read(["more/4.jpg"]).astype(np.float32) - alone.astype(np.float32)).max() <= 2**-9


def test_a_complete_file_has_nothing_to_do(folder: Path, tmp_path: Path, encoder: Encoder) -> None:
    output = tmp_path / "grids.h5"
    extract(folder, output, encoder=encoder)
    before = output.read_bytes()
    summary = extract(folder, output, encoder=encoder)
    assert summary == Summary(made=0, kept=5, skipped={}) and summary.nothing_to_do
    assert output.read_bytes() == before


def test_threads_and_batches_do_not_change_the_file(folder: Path, tmp_path: Path, encoder: Encoder) -> None:
    usual = torch.get_num_threads()
    read = []
    for threads, batch_size in ((1, 5), (3, 1)):
        output = tmp_path / f"{threads}.h5"
        extract(folder, output, encoder=encoder, threads=threads, batch_size=batch_size)
        store = FeatureStore(output)
        read.append(store.read(store.ids).astype(np.float32))
    assert np.abs(read[0] - read[1]).max() <= 2**-9
    assert torch.get_num_threads() == usual


def test_flipped_features_are_those_of_mirrored_pictures(folder: Path, tmp_path: Path, encoder: Encoder) -> None:
    output = tmp_path / "flipped.h5"
    extract(folder, output, flipped=True)
    store = FeatureStore(output)
    assert store.flipped
    mirrored = encoder(np.ascontiguousarray(to_square(open_picture(folder / "0.jpg"), 224)[None, :, ::-1]))
    assert np.abs(store.read(["0.jpg"]).astype(np.float32) - mirrored.astype(np.float32)).max() <= 2**-9
    with pytest.raises(DataError, match=r"flipped\); received .* not flipped\); choose another file"):
        extract(folder, output, encoder=encoder)


def test_features_with_mirrored_are_means_over_both_and_named_so(
    folder: Path, tmp_path: Path, encoder: Encoder
) -> None:
    output = tmp_path / "both.h5"
    extract(folder, output, mirrored=True)
    store = FeatureStore(output)
    assert (store.encoder, store.flipped) == ("efficientnet-lite0@224+mirrored", False)
    square = to_square(open_picture(folder / "0.jpg"), 224)[None]
    plain, other = (encoder(np.ascontiguousarray(some)).astype(np.float32) for some in (square, square[:, :, ::-1]))
    mean = (plain + other.reshape(7, 7, 1280)[:, ::-1].reshape(1, 49, 1280)) / 2
    assert np.abs(store.read(["0.jpg"]).astype(np.float32) - mean).max() <= 2**-8
    with pytest.raises(DataError, match=r"\+mirrored.*received .*; choose another file"):
        extract(folder, output)


def test_a_bad_picture_stops_the_run_and_the_rest_is_kept(folder: Path, tmp_path: Path, encoder: Encoder) -> None:
    output = tmp_path / "grids.h5"
    (folder / "more" / "broken.jpg").write_text("not a picture", encoding="utf-8")
    with pytest.raises(DataError) as caught:
        extract(folder, output, encoder=encoder, batch_size=1, threads=1)
    assert str(folder / "more" / "broken.jpg") in str(caught.value)
    with pytest.raises(DataError, match="5 of 6 pictures have features"):
        FeatureStore(output)


def test_bad_pictures_are_skipped_and_listed_when_asked(folder: Path, tmp_path: Path, encoder: Encoder) -> None:
    output = tmp_path / "grids.h5"
    broken = folder / "more" / "broken.jpg"
    broken.write_bytes((folder / "0.jpg").read_bytes()[:2000])
    summary = extract(folder, output, encoder=encoder, on_bad="skip")
    assert (summary.made, summary.kept, list(summary.skipped)) == (5, 0, ["more/broken.jpg"])
    assert str(broken) in summary.skipped["more/broken.jpg"]
    assert len(FeatureStore(output)) == 5 and "more/broken.jpg" not in FeatureStore(output).index
    shutil.copy(folder / "0.jpg", broken)
    assert extract(folder, output, encoder=encoder) == Summary(made=1, kept=5, skipped={})
    assert len(FeatureStore(output)) == 6


def test_a_folder_of_bad_pictures_alone_is_an_error(tmp_path: Path, encoder: Encoder) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_bytes(b"no")
    with pytest.raises(DataError, match="none of its 1 pictures can be read; the first: "):
        extract(tmp_path / "photos", tmp_path / "grids.h5", encoder=encoder, on_bad="skip")
    assert not (tmp_path / "grids.h5").exists()


def test_an_empty_folder_is_an_error_and_leaves_no_file(tmp_path: Path, encoder: Encoder) -> None:
    (tmp_path / "photos").mkdir()
    for folder in (tmp_path / "photos", tmp_path / "nowhere"):
        with pytest.raises(DataError):
            extract(folder, tmp_path / "grids.h5", encoder=encoder)
    assert not (tmp_path / "grids.h5").exists()


def test_the_file_follows_a_folder_that_changes(folder: Path, tmp_path: Path, encoder: Encoder) -> None:
    output = tmp_path / "grids.h5"
    extract(folder, output, encoder=encoder)
    before = FeatureStore(output)
    kept = before.read(["1.jpg", "more/3.jpg"])
    shutil.copy(folder / "0.jpg", folder / "new.jpg")
    (folder / "0.jpg").unlink()
    assert extract(folder, output, encoder=encoder) == Summary(made=1, kept=4, skipped={})
    after = FeatureStore(output)
    assert after.ids == ("1.jpg", "2.jpg", "more/3.jpg", "more/4.jpg", "new.jpg")
    np.testing.assert_array_equal(after.read(["1.jpg", "more/3.jpg"]), kept)
    (folder / "new.jpg").unlink()
    assert extract(folder, output, encoder=encoder) == Summary(made=0, kept=4, skipped={})
    assert FeatureStore(output).ids == ("1.jpg", "2.jpg", "more/3.jpg", "more/4.jpg")


def test_a_folder_of_other_pictures_alone_is_refused(folder: Path, tmp_path: Path, encoder: Encoder) -> None:
    output = tmp_path / "grids.h5"
    extract(folder, output, encoder=encoder)
    with pytest.raises(DataError, match="holds features of 5 other pictures; received 2 pictures"):
        extract(folder / "more", output, encoder=encoder)
    assert len(FeatureStore(output)) == 5


def test_the_advice_about_a_bad_picture_leads_out(folder: Path, tmp_path: Path, encoder: Encoder) -> None:
    output, bad = tmp_path / "grids.h5", folder / "0.jpg"
    bad.write_bytes(bad.read_bytes()[:2000])
    with pytest.raises(DataError, match=r"0\.jpg: .*copy it again or remove it"):
        extract(folder, output, encoder=encoder, batch_size=1, threads=1)
    assert not output.exists(), "nothing was extracted, so nothing is left behind"
    with pytest.raises(DataError):
        extract(folder, output, encoder=encoder, batch_size=5)
    bad.unlink()
    assert extract(folder, output, encoder=encoder) == Summary(made=0, kept=4, skipped={})
    assert len(FeatureStore(output)) == 4


def test_a_file_left_unsealed_at_the_very_end_is_sealed(folder: Path, tmp_path: Path, encoder: Encoder) -> None:
    output = tmp_path / "grids.h5"
    extract(folder, output, encoder=encoder)
    whole = output.read_bytes()
    data, start = bytearray(whole), read_header(output).offsets["sha256"]
    data[start : start + 32] = bytes(32)
    output.write_bytes(data)
    assert extract(folder, output, encoder=encoder).nothing_to_do
    assert output.read_bytes() == whole


EXTRACTS = """
import sys
from seesay.data import features
from seesay.vision import extraction
# Every row is brought to the disk at once, so that a kill in the middle finds some done and some not.
writer = features.open_writer
extraction.open_writer = lambda *settings: writer(*settings, sync_rows=1)
extraction.extract(sys.argv[1], sys.argv[2], batch_size=1)
"""


def rows_done(output: Path) -> int:
    if not output.exists():
        return 0
    descriptor = os.open(output, os.O_RDONLY)
    try:
        return int(np.count_nonzero(read_array(read_header(output), descriptor, "done")))
    finally:
        os.close(descriptor)


def test_a_killed_extraction_goes_on_where_it_stopped(demo_pictures: Path, tmp_path: Path, encoder: Encoder) -> None:
    output, whole = tmp_path / "grids.h5", tmp_path / "whole.h5"
    folder = tmp_path / "photos"
    folder.mkdir()
    for path in find_pictures(demo_pictures)[:16]:
        shutil.copy(path, folder)
    process = subprocess.Popen([sys.executable, "-c", EXTRACTS, str(folder), str(output)])
    until = time.monotonic() + 300
    while rows_done(output) < 3 and process.poll() is None and time.monotonic() < until:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = rows_done(output)
    assert 3 <= done < 16, "the kill came too late or too early to show anything"
    assert extract(folder, output, encoder=encoder) == Summary(made=16 - done, kept=done, skipped={})
    extract(folder, whole, encoder=encoder)
    resumed, straight = FeatureStore(output), FeatureStore(whole)
    assert resumed.ids == straight.ids
    difference = resumed.read(resumed.ids).astype(np.float32) - straight.read(straight.ids).astype(np.float32)
    assert np.abs(difference).max() <= 2**-9
