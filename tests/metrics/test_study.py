from __future__ import annotations

import json

import pytest

from seesay.errors import DataError
from seesay.metrics import scoring
from seesay.metrics.cider import CiderD
from seesay.metrics.scoring import evaluate
from seesay.metrics.study import study

REFERENCES = {str(i): [f"a dog number {i} runs", f"dog {i}"] for i in range(30)}
ONE = {i: texts[0] for i, texts in REFERENCES.items()}
OTHER = dict.fromkeys(reversed(REFERENCES), "a cat runs")
METRICS = ["BLEU", "ROUGE_L", "CIDEr-D"]


def test_scores_are_those_of_evaluate() -> None:
    found = study(ONE, REFERENCES, OTHER, metrics=METRICS, samples=200)
    assert found.evaluation == evaluate(ONE, REFERENCES, METRICS)
    assert found.against is not None and found.comparison is not None
    for name, score in found.evaluation.corpus.items():
        assert found.intervals[name].score == pytest.approx(score, abs=1e-12)
        assert found.intervals[name].low <= score + 1e-12 and score <= found.intervals[name].high + 1e-12
        comparison = found.comparison[name]
        assert comparison.second == pytest.approx(evaluate(OTHER, REFERENCES, METRICS).corpus[name], abs=1e-12)
        assert comparison.difference > 0 and comparison.low > 0 and comparison.p == 1 / 201


def test_references_are_prepared_once_for_both_systems(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    tokens_of, fit = scoring.tokens_of, CiderD.fit_counts
    monkeypatch.setattr(scoring, "tokens_of", lambda text: told.append(text) or tokens_of(text))
    monkeypatch.setattr(CiderD, "fit_counts", lambda *given: told.append("fit") or fit(*given))
    found = study(ONE, REFERENCES, OTHER, metrics=[*METRICS, "CIDEr"], samples=100)
    assert (len(told), told.count("fit"), told.count("dog 7")) == (30 + 30 + 60 + 1, 1, 1)
    monkeypatch.undo()
    assert found.against == evaluate({i: OTHER[i] for i in ONE}, REFERENCES, [*METRICS, "CIDEr"])


def test_the_other_system_may_list_its_pictures_in_another_order() -> None:
    again = {i: ONE[i] for i in reversed(ONE)}
    found = study(ONE, REFERENCES, again, metrics=METRICS, samples=100)
    assert found.comparison is not None
    assert {c.difference for c in found.comparison.values()} == {0} and {c.p for c in found.comparison.values()} == {1}


def test_json_has_everything() -> None:
    found = study(ONE, REFERENCES, OTHER, ["a cat runs"], metrics=METRICS, samples=100)
    content = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert content["corpus"] == found.evaluation.corpus and content["signature"] == found.evaluation.signature
    assert content["intervals"]["CIDEr-D"] == list(found.intervals["CIDEr-D"][1:])
    assert content["diversity"]["novel"] == 1.0
    assert set(content["comparison"]["Bleu_4"]) == {"first", "second", "difference", "low", "high", "p"}
    assert "comparison" not in study(ONE, REFERENCES, metrics=METRICS, samples=100).to_json()


def test_sets_of_captions_have_a_mutual_bleu() -> None:
    alike = {"0": ["a dog runs far", "a dog runs far"]}
    assert study(ONE, REFERENCES, sets=alike, metrics=["BLEU"], samples=100).diversity["mBLEU_4"] == pytest.approx(1)
    with pytest.raises(DataError, match="picture 0 has 1; expected two or more"):
        study(ONE, REFERENCES, sets={"0": ["a dog"]}, metrics=["BLEU"], samples=100)


def test_another_system_must_have_the_same_pictures() -> None:
    with pytest.raises(DataError, match="no candidate"):
        study(ONE, REFERENCES, {"0": "a dog"}, metrics=METRICS)
