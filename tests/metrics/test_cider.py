from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from seesay.errors import DataError, UnknownName
from seesay.metrics.cider import Cider, CiderD

REFERENCES = {"1": [["red", "dog"]], "2": [["blue", "cat"]]}
OTHER = {"2": ["blue", "cat"]}


def test_an_exact_copy_of_two_words_has_two_full_orders() -> None:
    for metric in (Cider, CiderD):
        scores = metric.fit(REFERENCES).score({"1": ["red", "dog"], **OTHER}, REFERENCES)
        assert scores.corpus == pytest.approx(10 * 2 / 4)


def test_repeated_words_are_clipped_in_cider_d_only() -> None:
    candidates = {"1": ["red", "red"], **OTHER}
    assert CiderD.fit(REFERENCES).score(candidates, REFERENCES).per_id["1"] == pytest.approx(10 / 4 / (2 * 2**0.5))
    assert Cider.fit(REFERENCES).score(candidates, REFERENCES).per_id["1"] == pytest.approx(10 / 4 / 2**0.5)


def test_another_length_is_penalised_in_cider_d_only() -> None:
    """One bigram less: exp(-1 / (2 x 6^2))."""
    candidates = {"1": ["red"], **OTHER}
    plain = 10 / 4 / 2**0.5
    assert Cider.fit(REFERENCES).score(candidates, REFERENCES).per_id["1"] == pytest.approx(plain)
    penalised = CiderD.fit(REFERENCES).score(candidates, REFERENCES).per_id["1"]
    assert penalised == pytest.approx(plain * math.exp(-1 / 72))


def test_document_frequency_counts_pictures_not_captions() -> None:
    scorer = CiderD.fit({"1": [["a", "a", "dog"], ["a", "dog"]], "2": [["a", "cat"]]})
    assert scorer.documents == 2
    assert scorer.document_frequency[("a",)] == 2
    assert scorer.document_frequency[("dog",)] == scorer.document_frequency[("a", "dog")] == 1


def test_a_word_of_every_picture_weighs_nothing() -> None:
    references = {"1": [["a", "dog"]], "2": [["a", "cat"]]}
    assert CiderD.fit(references).score({"1": ["a"], "2": ["a"]}, references).per_id == {"1": 0, "2": 0}


def test_one_picture_scores_0_by_definition() -> None:
    references = {"1": [["a", "dog"]]}
    assert CiderD.fit(references).score({"1": ["a", "dog"]}, references).corpus == 0


def test_references_are_averaged() -> None:
    references = {"1": [["red", "dog"], ["green", "frog"]], "2": [["blue", "cat"]]}
    scores = CiderD.fit(references).score({"1": ["red", "dog"], **OTHER}, references)
    assert scores.per_id == pytest.approx({"1": 2.5, "2": 5})


def test_an_empty_candidate_scores_0_and_counts() -> None:
    scores = CiderD.fit(REFERENCES).score({"1": [], **OTHER}, REFERENCES)
    assert scores.per_id["1"] == 0 and scores.corpus == pytest.approx(2.5)


def test_prepared_references_give_the_same_score() -> None:
    scorer = CiderD.fit(REFERENCES)
    prepared = {i: scorer.prepare(captions) for i, captions in REFERENCES.items()}
    candidates = {"1": ["red", "red", "dog"], "2": ["a", "blue", "cat"]}
    scores = scorer.score(candidates, REFERENCES).per_id
    for i, tokens in candidates.items():
        assert scorer.similarity(scorer.prepare([tokens])[0], prepared[i]) == scores[i]


def test_frequencies_may_be_precomputed() -> None:
    fitted = CiderD.fit(REFERENCES)
    given = CiderD(fitted.document_frequency, fitted.documents)
    candidates = {"1": ["red", "cat"], **OTHER}
    assert given.score(candidates, REFERENCES) == fitted.score(candidates, REFERENCES)


def test_no_references_is_an_error() -> None:
    with pytest.raises(DataError, match="0 documents"):
        CiderD.fit({})


def test_equals_the_reference_with_precomputed_frequencies(shared_data: Path) -> None:
    """The reward of self-critical training: frequencies of 400 pictures, candidates of others."""
    content = json.loads((shared_data / "metrics" / "eval.json").read_text(encoding="utf-8"))
    reward = content["scst_ciderd"]
    references = {i: list(map(str.split, captions)) for i, captions in reward["df_documents"].items()}
    scorer = CiderD.fit(references)
    assert scorer.documents == reward["ref_len"]
    scored = []
    for row in reward["batch"]:
        candidate = scorer.prepare([row["caption"].split()])[0]
        scored.append(scorer.similarity(candidate, scorer.prepare(references[row["image_id"]])))
        assert scored[-1] == pytest.approx(row["CIDErD"], rel=0, abs=1e-12)
    assert math.fsum(scored) / len(scored) == pytest.approx(reward["mean"], rel=0, abs=1e-12)


def test_document_frequency_per_caption_counts_captions() -> None:
    scorer = CiderD.fit({"1": [["a", "a", "dog"], ["a", "dog"]], "2": [["a", "cat"]]}, per="caption")
    assert scorer.documents == 3
    assert scorer.document_frequency[("a",)] == 3
    assert scorer.document_frequency[("a", "dog")] == 2
    with pytest.raises(UnknownName, match=r"Unknown document 'captions'\. Did you mean 'caption'"):
        CiderD.fit(REFERENCES, per="captions")


def test_texts_are_tokenised() -> None:
    texts = {"1": ["A red dog."], "2": ["The blue cat's."]}
    words = {"1": [["a", "red", "dog"]], "2": [["the", "blue", "cat", "'s"]]}
    candidates = {"1": "Red dog!", "2": "a cat's"}
    scores = CiderD.fit(texts).score(candidates, texts)
    assert scores == CiderD.fit(words).score({"1": ["red", "dog", "!"][:2], "2": ["a", "cat", "'s"]}, words)
    assert scores.per_id["1"] > 1


def test_saved_frequencies_give_the_same_scores(tmp_path: Path) -> None:
    references = {"1": [["a", "dog"]], "2": [["a", "cat"], ["3\xa01/2", "a"]], "3": [["a", "dog", "\u2028"]]}
    scorer = CiderD.fit(references)
    scorer.save(tmp_path / "df.json")
    candidates = {"1": ["a", "dog"], "2": ["new", "cat"], "3": ["dog"]}
    assert CiderD.load(tmp_path / "df.json").score(candidates, references) == scorer.score(candidates, references)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("[]", "not document frequencies"),
        ('{"format": "seesay-document-frequencies-1"}', "damaged"),
        ('{"format": "seesay-document-frequencies-1", "documents": 2, "frequencies": {"a": 3}}', "damaged"),
        ("{", "not valid JSON"),
    ],
)
def test_bad_frequencies_are_one_line(tmp_path: Path, content: str, words: str) -> None:
    path = tmp_path / "df.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=words) as raised:
        CiderD.load(path)
    assert str(path) in str(raised.value)
