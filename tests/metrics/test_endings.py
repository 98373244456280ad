"""Which captions break off, and that people's do not."""

from __future__ import annotations

from pathlib import Path

import pytest

from seesay.data.records import read_records
from seesay.metrics.endings import OPEN_ENDS, breaks_off, broken_share
from seesay.text.ptb import tokenize


@pytest.mark.parametrize("text", ["a man on top of a", "a dog and", "a man with", "two men in the"])
def test_these_break_off(text: str) -> None:
    assert breaks_off(text.split())


@pytest.mark.parametrize("text", ["", "dog", "a child with a hat on", "a man looks at her", "the wave behind"])
def test_these_do_not(text: str) -> None:
    assert not breaks_off(text.split())


def test_people_s_captions_hardly_ever_do(demo_folder: Path, shared_data: Path) -> None:
    captions = [c for record in read_records(demo_folder / "captions.json") for c in record.captions]
    assert broken_share(map(tokenize, captions)) == 0
    file = shared_data / "flickr8k" / "captions.json"
    if not file.exists():
        pytest.skip(f"{file} is not here")
    captions = [c for record in read_records(file) for c in record.captions]
    assert 0 < broken_share(map(tokenize, captions)) < 0.002


def test_all_of_them_are_tokens() -> None:
    assert all(tokenize(word) == [word] for word in OPEN_ENDS)
    assert broken_share([]) == 0.0
