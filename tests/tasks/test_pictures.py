"""What learning from photographs takes: records of a split, stores that fit, and a line about what was cut."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from seesay.data.feature_writer import open_writer
from seesay.data.records import Record
from seesay.errors import DataError
from seesay.recipe import Data
from seesay.tasks.pictures import cut_notice, open_stores, part_of, picture_digests

RECORDS = [Record(name, f"{name}.jpg", "train", ("A dog.",)) for name in "ab"]


def some(cut: int, *counts: int) -> Any:
    """A set of pictures with so many captions each."""
    return SimpleNamespace(cut=cut, encoded=[[()] * count for count in counts])


def test_a_split_that_training_needs_is_not_empty() -> None:
    assert part_of(RECORDS, "train", Path("captions.json")) == RECORDS
    with pytest.raises(DataError, match=r"^captions\.json: received 2 pictures, none of split 'dev'; expected some of"):
        part_of(RECORDS, "dev", Path("captions.json"))


def test_means_over_mirror_images_go_with_flipped_features_of_the_same_network(tmp_path: Path) -> None:
    for name, encoder, flipped in (
        ("both", "net@8+mirrored", False),
        ("flipped", "net@8", True),
        ("far", "far@8", True),
    ):
        with open_writer(tmp_path / f"{name}.h5", ["a.jpg"], 4, 3, encoder, flipped) as writer:
            writer.write(["a.jpg"], np.ones((1, 4, 3), np.float16))
            writer.finish()
    data = Data(captions="c.json", features=str(tmp_path / "both.h5"), flipped=str(tmp_path / "flipped.h5"))
    store, flipped = open_stores(data)
    assert flipped is not None and (store.encoder, flipped.encoder) == ("net@8+mirrored", "net@8")
    with pytest.raises(
        DataError, match=r"far\.h5: features of far@8 \(4 x 3\); expected net@8 \(4 x 3\), as in .*both"
    ):
        open_stores(data.model_copy(update={"flipped": str(tmp_path / "far.h5")}))


def test_what_was_cut_is_told_by_split_and_nothing_where_all_fit() -> None:
    sets = {"train": some(3, 1000, 500), "dev": some(0, 5)}
    assert cut_notice("captions.json", "captions", sets, 20, "data.max_words") == (
        "captions.json: cut 3 of 1,500 captions of 'train' to 20 words (data.max_words).",
    )
    assert cut_notice("q.json", "questions", {**sets, "dev": some(1, 5)}, 9, "why")[0] == (
        "q.json: cut 3 of 1,500 questions of 'train' and 1 of 5 questions of 'dev' to 9 words (why)."
    )
    assert cut_notice("captions.json", "captions", {"dev": sets["dev"]}, 20, "data.max_words") == ()


def test_digests_tell_which_pictures_are_in_which_part() -> None:
    store: Any = SimpleNamespace(digest="5e")
    whole = picture_digests((RECORDS, []), store, None)
    assert whole["features"] == "5e" and whole["flipped features"] == ""
    assert whole["names of the pictures"] == "578c2095225e96dc0445808370b7a5304c13cc13bb56ba01ea99f35bc829ae95"
    others = (RECORDS[:1], RECORDS[1:]), (RECORDS[::-1], [])
    names = {picture_digests(parts, store, store)["names of the pictures"] for parts in others}
    assert len(names | {whole["names of the pictures"]}) == 3


def test_annotations_alone_lack_a_split_and_are_told_of_the_folder(tmp_path: Path) -> None:
    path = tmp_path / "captions_train2017.json"
    path.write_text('{"images": [], "annotations": []}', encoding="utf-8")
    with pytest.raises(DataError) as caught:
        part_of(RECORDS, "dev", path)
    assert str(caught.value) == (
        f"{path}: received 2 pictures, none of split 'dev'; expected some of 'train' to learn from and some of 'dev' "
        "to choose the best epoch; a file of COCO annotations is all of one split, which its name says; give the "
        "folder that holds both captions_train*.json and captions_val*.json."
    )
