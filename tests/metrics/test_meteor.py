from __future__ import annotations

import importlib.util
import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seesay.errors import DataError, SeesayError
from seesay.files import cache_folder
from seesay.metrics.meteor import Meteor
from seesay.metrics.meteor.cache import find_source
from seesay.metrics.meteor.workers import Workers
from seesay.metrics.scoring import evaluate
from seesay.text.ptb import tokenize

GOLDEN = json.loads((Path(__file__).parent / "golden_meteor.json").read_text(encoding="utf-8"))

WORDS = ["a", "the", "dog", "dogs", "runs", "run", "'s", "red", ",", "tram", "sits", "sitting", "on"]

pytestmark = [
    pytest.mark.skipif(
        importlib.util.find_spec("pycocoevalcap") is None, reason="METEOR's data (pycocoevalcap) is not installed"
    ),
    pytest.mark.slow,
]


@pytest.fixture(scope="module")
def meteor() -> Meteor:
    """A scorer on the user's own cache, which is built if need be."""
    return Meteor.load()


def one(meteor: Meteor, candidate: str, *references: str) -> float:
    return meteor.score({"1": candidate.split()}, {"1": [text.split() for text in references]}).corpus


def tokens(text: str) -> list[str]:
    return text.split(" ") if text else []


@pytest.mark.parametrize("row", GOLDEN["rows"], ids=lambda row: " ".join(row["candidate"])[:30])
def test_equals_the_original(meteor: Meteor, row: dict[str, Any]) -> None:
    scores = meteor.score({"1": row["candidate"]}, {"1": row["references"]})
    assert scores.per_id["1"] == pytest.approx(row["score"], rel=0, abs=1e-9)


def test_the_corpus_score_comes_from_summed_statistics(meteor: Meteor) -> None:
    rows = {str(i): row for i, row in enumerate(GOLDEN["rows"])}
    scores = meteor.score(
        {i: row["candidate"] for i, row in rows.items()}, {i: row["references"] for i, row in rows.items()}
    )
    assert scores.corpus == pytest.approx(GOLDEN["corpus"], rel=0, abs=1e-9)
    assert scores.corpus != pytest.approx(sum(scores.per_id.values()) / len(rows), abs=1e-3)


@pytest.mark.parametrize("name", ["coco_karpathy_test", "flickr30k", "edge"])
def test_equals_the_reference_values(meteor: Meteor, shared_data: Path, name: str) -> None:
    content = json.loads((shared_data / "metrics" / "eval.json").read_text(encoding="utf-8"))
    corpus = next(corpus for corpus in content["corpora"] if corpus["name"] == name)
    references = dict(zip(corpus["ids"], ([*map(tokens, texts)] for texts in corpus["references_tok"]), strict=True))
    for system, expected in corpus["systems"].items():
        candidates = dict(zip(corpus["ids"], map(tokens, expected["candidates_tok"]), strict=True))
        scores = meteor.score(candidates, references)
        assert scores.corpus == pytest.approx(expected["corpus"]["METEOR"], rel=0, abs=1e-9), system
        per_image = expected["per_image"]["METEOR"]
        assert list(scores.per_id.values()) == pytest.approx(per_image, rel=0, abs=1e-9), system


def test_an_exact_copy_scores_1_for_a_corpus_too(meteor: Meteor) -> None:
    captions = {"1": ["a", "dog"], "2": ["the", "red", "tram"]}
    scores = meteor.score(captions, {i: [words] for i, words in captions.items()})
    assert scores.corpus == 1 and scores.per_id == {"1": 1, "2": 1}


def test_an_empty_candidate_scores_0(meteor: Meteor) -> None:
    assert one(meteor, "", "a dog") == 0 == one(meteor, "a dog", "")


def test_the_best_reference_counts(meteor: Meteor) -> None:
    best, other = one(meteor, "a red tram", "the red tram"), one(meteor, "a red tram", "a blue bus")
    assert best > other
    assert one(meteor, "a red tram", "a blue bus", "the red tram") == best


def test_scores_do_not_depend_on_company(meteor: Meteor) -> None:
    """Batches and what was met before change nothing."""
    rows = {str(i): row for i, row in enumerate(GOLDEN["rows"] * 4)}
    together = meteor.score(
        {i: row["candidate"] for i, row in rows.items()}, {i: row["references"] for i, row in rows.items()}
    )
    assert [*together.per_id.values()] == pytest.approx([row["score"] for row in rows.values()], rel=0, abs=1e-9)


def test_ids_must_agree(meteor: Meteor) -> None:
    with pytest.raises(DataError, match="no references"):
        meteor.score({"1": ["a"]}, {"2": [["a"]]})


@settings(deadline=None, max_examples=150)
@given(candidate=st.text(max_size=60), reference=st.text(max_size=60))
def test_any_text_has_a_score(meteor: Meteor, candidate: str, reference: str) -> None:
    scores = meteor.score({"1": tokenize(candidate)}, {"1": [tokenize(reference)]})
    assert 0 <= scores.corpus <= 1


REPEATED = ["a", "man", "men", "on", "top", "of", "the", "'s", "in", "front", "running", "runs", ","]


@settings(deadline=None, max_examples=60)
@given(
    candidate=st.lists(st.sampled_from(REPEATED), max_size=45),
    references=st.lists(st.lists(st.sampled_from(REPEATED), max_size=45), min_size=1, max_size=3),
)
def test_long_sentences_come_to_the_same(meteor: Meteor, candidate: list[str], references: list[list[str]]) -> None:
    both = []
    for long in (10**9, 0):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("seesay.metrics.meteor.LONG", long)
            both.append(meteor.statistics({"1": candidate}, {"1": references}))
    assert both[0] == both[1]


def test_the_reference_s_rows_come_to_the_same_as_long_ones(meteor: Meteor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("seesay.metrics.meteor.LONG", 0)
    for row in GOLDEN["rows"]:
        scores = meteor.score({"1": row["candidate"]}, {"1": row["references"]})
        assert scores.per_id["1"] == pytest.approx(row["score"], rel=0, abs=1e-9)


def test_captions_that_loop_are_scored_in_seconds(meteor: Meteor) -> None:
    """As lists, these million matches take some ten times as long, and the memory with it."""
    loop, other = ["word"] * 1000, ["a", "word"] * 300
    began = time.monotonic()
    scores = meteor.score({"1": loop, "2": loop[:600]}, {"1": [loop], "2": [other]})
    assert scores.per_id == {"1": 1, "2": pytest.approx(0.27906976744186046, rel=0, abs=1e-9)}
    assert time.monotonic() - began < 20


@settings(deadline=None, max_examples=100)
@given(words=st.lists(st.sampled_from(WORDS), min_size=1))
def test_identical_captions_align_fully(meteor: Meteor, words: list[str]) -> None:
    assert meteor.score({"1": words}, {"1": [words]}).corpus == 1


def test_the_cache_folder_can_be_chosen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("SEESAY_CACHE", raising=False)
    assert cache_folder() == tmp_path / "seesay"
    monkeypatch.setenv("SEESAY_CACHE", os.fspath(tmp_path / "mine"))
    assert cache_folder() == tmp_path / "mine"


def test_the_wheel_is_found_without_importing_it() -> None:
    assert (find_source() / "meteor-1.5.jar").is_file()


def test_workers_give_the_same_scores(meteor: Meteor) -> None:
    rows = {f"é{i}": GOLDEN["rows"][i % len(GOLDEN["rows"])] for i in range(60)}
    candidates = {i: row["candidate"] for i, row in rows.items()}
    references = {i: row["references"] for i, row in rows.items()}
    expected, found = meteor.score(candidates, references), Workers(candidates, references).result()
    assert found[:2] == expected[:2] and list(found.per_id) == list(candidates)
    assert found.sums is not None and expected.sums is not None
    assert found.sums.statistics.tolist() == expected.sums.statistics.tolist()


def test_many_pictures_are_scored_by_workers(meteor: Meteor, monkeypatch: pytest.MonkeyPatch) -> None:
    captions = {str(i): " ".join(GOLDEN["rows"][i]["candidate"]) for i in range(30)}
    references = {i: [text, "a dog"] for i, text in zip(captions, reversed(captions.values()), strict=True)}
    alone = evaluate(captions, references)
    monkeypatch.setattr("seesay.metrics.meteor.workers.MANY", 30)
    monkeypatch.setattr(Meteor, "load", lambda **_: pytest.fail("METEOR was computed here"))
    assert evaluate(captions, references) == alone


def test_a_worker_that_fails_is_one_line(meteor: Meteor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", "/bin/false")
    with pytest.raises(SeesayError, match="METEOR: a worker ended with 1"):
        Workers({"1": ["a"]}, {"1": [["a"]]}).result()
