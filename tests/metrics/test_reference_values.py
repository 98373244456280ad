"""Every metric equals COCO's own code, for each corpus and each picture, given the same tokens."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from seesay.metrics import bleu, rouge
from seesay.metrics.cider import Cider, CiderD
from seesay.metrics.pairs import Scores
from seesay.metrics.scoring import evaluate

NAMES = {"CIDEr-D": "CIDErD", "CIDEr": "CIDEr_plain"}  # where the file's name is not ours
TEXT = ["BLEU", "ROUGE_L", "CIDEr-D", "CIDEr"]
CORPORA = ["coco_karpathy_test", "flickr30k", "edge"]


@pytest.fixture(scope="module")
def corpora(shared_data: Path) -> dict[str, dict[str, Any]]:
    content = json.loads((shared_data / "metrics" / "eval.json").read_text(encoding="utf-8"))
    return {corpus["name"]: corpus for corpus in content["corpora"]}


def tokens(text: str) -> list[str]:
    return text.split(" ") if text else []


def score_all(candidates: dict[str, list[str]], references: dict[str, list[list[str]]]) -> dict[str, Scores]:
    return {
        **bleu.score(candidates, references),
        "ROUGE_L": rouge.score(candidates, references),
        "CIDEr-D": CiderD.fit(references).score(candidates, references),
        "CIDEr": Cider.fit(references).score(candidates, references),
    }


@pytest.mark.parametrize("name", CORPORA)
def test_equals_the_reference_to_12_digits(corpora: dict[str, dict[str, Any]], name: str) -> None:
    corpus = corpora[name]
    references = dict(zip(corpus["ids"], ([*map(tokens, texts)] for texts in corpus["references_tok"]), strict=True))
    for system, expected in corpus["systems"].items():
        candidates = dict(zip(corpus["ids"], map(tokens, expected["candidates_tok"]), strict=True))
        for metric, scores in score_all(candidates, references).items():
            where = f"{system}, {metric}"
            assert scores.corpus == pytest.approx(expected["corpus"][NAMES.get(metric, metric)], rel=0, abs=1e-12), (
                where
            )
            assert list(scores.per_id) == corpus["ids"]
            per_image = expected["per_image"][NAMES.get(metric, metric)]
            assert list(scores.per_id.values()) == pytest.approx(per_image, rel=0, abs=1e-12), where


@pytest.mark.parametrize("name", CORPORA)
def test_equals_the_reference_from_raw_text(corpora: dict[str, dict[str, Any]], name: str) -> None:
    """Text to score with seesay's own tokeniser."""
    corpus = corpora[name]
    references = dict(zip(corpus["ids"], corpus["references"], strict=True))
    for expected in corpus["systems"].values():
        result = evaluate(dict(zip(corpus["ids"], expected["candidates"], strict=True)), references, TEXT)
        for metric, value in result.corpus.items():
            assert value == pytest.approx(expected["corpus"][NAMES.get(metric, metric)], rel=0, abs=1e-12)
