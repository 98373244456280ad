"""Scores, files and the report of a run that asks."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from seesay.decoding.settings import Decoding
from seesay.errors import CheckpointError, UnknownName
from seesay.metrics.scoring import COCO
from seesay.metrics.scoring import evaluate as score
from seesay.tasks.asking import HOW, AskScores, evaluate, with_answers, write_ask_report


@pytest.fixture(scope="module")
def run(asker_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the run, to be written into."""
    path = tmp_path_factory.mktemp("scored") / "asker"
    shutil.copytree(asker_run, path)
    return path


@pytest.fixture(scope="module")
def scores(run: Path) -> AskScores:
    found, written = evaluate(run)
    assert written == run / "predictions" / "dev.json"
    return found


def test_scores_are_those_of_the_questions_kept(run: Path, scores: AskScores) -> None:
    page = json.loads((run / "predictions/dev.json").read_text(encoding="utf-8"))
    assert len(page["items"]) == 4 and len(page["answered"]) == 12
    said = {item["id"]: item["captions"][0]["text"] for item in page["items"]}
    human = {item["id"]: item["references"] for item in page["items"]}
    assert all(len(texts) == 2 for texts in human.values())  # those without an answer
    assert score(said, human, COCO).corpus == scores.evaluation.corpus
    given = {item["id"]: item["text"] for item in page["answered"]}
    assert scores.answered is not None and scores.answered.corpus.keys() == scores.evaluation.corpus.keys()
    assert set(scores.answered.per_id) == set(given)
    assert scores.answered.corpus["ROUGE_L"] > 0.5
    assert HOW in scores.evaluation.notes
    assert scores.diversity["length"] == sum(len(text[:-1].split()) for text in said.values()) / 4


def test_the_files(run: Path, scores: AskScores) -> None:
    kept = json.loads((run / "scores/dev.json").read_text(encoding="utf-8"))
    assert kept == json.loads(json.dumps(scores.to_json()))
    assert kept["ranking"] == {}  # four pictures have too few different questions
    results = json.loads((run / "results/dev.json").read_text(encoding="utf-8"))
    assert len(results) == 4 and all(row["caption"].endswith("?") for row in results)
    _, other = evaluate(run, "test", Decoding("greedy", max_length=10))
    assert other.name == "test-method-greedy-beam-5.json"


def test_the_report(run: Path, scores: AskScores) -> None:
    page = write_ask_report(run).read_text(encoding="utf-8")
    assert "</html>" in page
    for item in json.loads((run / "predictions/dev.json").read_text(encoding="utf-8"))["items"]:
        assert item["captions"][0]["tokens"][0] in page
    assert "asks about" in page


def test_what_cannot_be_evaluated(run: Path, trained: Path) -> None:
    with pytest.raises(CheckpointError, match="received a run of task 'caption'; expected an asker"):
        evaluate(trained)
    with pytest.raises(UnknownName, match="split 'spare'"):
        evaluate(run, "spare")


def test_pictures_without_answers_have_none_to_be_asked_for() -> None:
    assert with_answers([]) == []
