"""Sentences written for the purpose, scored by COCO's own code: the values hold wherever the tests run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from seesay.metrics import bleu, rouge
from seesay.metrics.cider import CiderD

HERE = Path(__file__).parent
ROWS = json.loads((HERE / "golden_meteor.json").read_text(encoding="utf-8"))["rows"]
EXPECTED = json.loads((HERE / "golden_scores.json").read_text(encoding="utf-8"))
CANDIDATES = {str(i): row["candidate"] for i, row in enumerate(ROWS)}
REFERENCES = {str(i): row["references"] for i, row in enumerate(ROWS)}
SCORES = {
    **bleu.score(CANDIDATES, REFERENCES),
    "ROUGE_L": rouge.score(CANDIDATES, REFERENCES),
    "CIDEr-D": CiderD.fit(REFERENCES).score(CANDIDATES, REFERENCES),
}


@pytest.mark.parametrize("name", SCORES)
def test_equals_the_original(name: str) -> None:
    assert len(ROWS) > 40
    assert SCORES[name].corpus == pytest.approx(EXPECTED["corpus"][name], rel=0, abs=1e-12)
    assert list(SCORES[name].per_id.values()) == pytest.approx(EXPECTED["per_id"][name], rel=0, abs=1e-12)
