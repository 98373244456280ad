from __future__ import annotations

import json
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import seesay
from seesay.errors import DataError
from seesay.metrics.scoring import evaluate
from seesay.text.ptb import VERSION

CANDIDATES = {"7": "A dog runs.", "8": "Two cats!"}
REFERENCES = {"7": ["a dog runs", "The dog is running."], "8": ["two cats sleep", "cats", "a pair of cats"]}
METRICS = ["Bleu_1", "Bleu_2", "Bleu_3", "Bleu_4", "ROUGE_L", "CIDEr-D", "CIDEr"]
WITHOUT_METEOR = ["BLEU", "ROUGE_L", "CIDEr-D", "CIDEr"]  # which has a test of its own


def test_all_metrics_by_corpus_and_by_id() -> None:
    result = evaluate(CANDIDATES, REFERENCES, WITHOUT_METEOR)
    assert list(result.corpus) == METRICS
    assert list(result.per_id) == ["7", "8"] and all(list(row) == METRICS for row in result.per_id.values())
    assert result.per_id["7"]["Bleu_3"] == pytest.approx(1)
    assert result.per_id["7"]["ROUGE_L"] == 1
    assert result.corpus["CIDEr-D"] == pytest.approx(sum(row["CIDEr-D"] for row in result.per_id.values()) / 2)


def test_the_signature_says_how() -> None:
    signature = evaluate(CANDIDATES, REFERENCES, WITHOUT_METEOR).signature
    assert signature == f"BLEU-1..4+ROUGE_L+CIDEr-D+CIDEr|tok:{VERSION}|refs:2-3|n:2|seesay:{seesay.__version__}"


def test_json_holds_scores_and_signature() -> None:
    result = evaluate(CANDIDATES, REFERENCES, WITHOUT_METEOR)
    content = json.loads(json.dumps(result.to_json(), allow_nan=False))
    assert content == {"corpus": result.corpus, "per_id": result.per_id, "signature": result.signature}


def test_empty_candidates_score_0_and_are_counted() -> None:
    result = evaluate({"7": "", "8": "."}, REFERENCES, WITHOUT_METEOR)
    assert set(result.corpus.values()) == {0.0}
    assert result.per_id["7"] == dict.fromkeys(METRICS, 0.0)
    assert any(note.startswith("2 of 2 candidates are empty") for note in result.notes)


def test_one_picture_is_said_to_have_no_cider() -> None:
    result = evaluate({"7": "a dog runs"}, {"7": ["a dog runs"]}, WITHOUT_METEOR)
    assert result.corpus["CIDEr-D"] == 0
    assert "CIDEr is 0 by definition with a single picture" in result.notes[0]
    assert "too few" in evaluate(CANDIDATES, REFERENCES, WITHOUT_METEOR).notes[0]


RUN_ON = {"zh": "一只狗在草地上奔跑。", "th": "หมาวิ่งบนสนามหญ้า", "ja": "犬が芝生の上を走っている。"}
SPACED = {
    "zh": "一只 狗 在 草地 上 奔跑 。",
    "th": "หมา วิ่ง บน สนามหญ้า",
    "en": "a dog runs across 草地",
}


@pytest.mark.parametrize(("texts", "told"), [(RUN_ON, "3 of 3"), (SPACED, ""), (SPACED | RUN_ON, "3 of 4")])
def test_captions_without_spaces_are_told(texts: dict[str, str], told: str) -> None:
    found = evaluate(texts, {i: [text] for i, text in texts.items()}, ["BLEU"]).notes
    notes = [note for note in found if "script" in note]
    assert notes == [
        f"{told} candidates are in a script without spaces between words, and words are what stands between spaces: "
        "a whole phrase counts as one word; segment both files first."
    ] * bool(told)


def test_many_pictures_need_no_note() -> None:
    assert (
        evaluate({str(i): "a dog" for i in range(100)}, {str(i): ["a dog"] for i in range(100)}, WITHOUT_METEOR).notes
        == ()
    )


@pytest.mark.parametrize(
    ("candidates", "references", "words"),
    [
        ({}, {}, "no candidate at all"),
        ({"7": "a"}, {"8": ["a"]}, "no references"),
        ({"7": None}, {"7": ["a"]}, "picture 7 has None; expected a string"),
        ({"7": ["a"]}, {"7": ["a"]}, "expected a string"),
        ({"7": "a"}, {"7": ["a", 5]}, "picture 7 has 5; expected a string"),
        ({"7": "a"}, {"7": "a dog"}, "expected a list of strings"),
        ({"7": "a"}, {"7": []}, "an empty list of references"),
    ],
)
def test_bad_input_is_one_line(candidates: dict[str, str], references: dict[str, list[str]], words: str) -> None:
    with pytest.raises(DataError, match=words) as raised:
        evaluate(candidates, references)
    assert "\n" not in str(raised.value)


def test_the_same_digits_whatever_the_hash_seed_and_the_locale() -> None:
    program = (
        "from seesay.metrics.scoring import evaluate; words = 'a b c d e f g h i j k l m'.split(); "
        "texts = {str(i): ' '.join(words[i % 5 : i % 7 + 6]) for i in range(9)}; "
        "print(evaluate(texts, {i: [t[::-1], t[3:] + ' x'] for i, t in texts.items()}, "
        "['BLEU', 'ROUGE_L', 'CIDEr-D', 'CIDEr']).to_json())"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={"PYTHONHASHSEED": seed, "LC_ALL": locale},
            capture_output=True,
            check=True,
        ).stdout
        for seed, locale in [("1", "C"), ("2", "tr_TR.UTF-8"), ("3", "C")]
    }
    assert len(outputs) == 1


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.text(), st.lists(st.text(), min_size=1, max_size=3)), min_size=1, max_size=4))
def test_any_text_has_finite_scores(rows: list[tuple[str, list[str]]]) -> None:
    found = evaluate(
        {str(i): candidate for i, (candidate, _) in enumerate(rows)},
        {str(i): references for i, (_, references) in enumerate(rows)},
        WITHOUT_METEOR,
    )
    for row in [found.corpus, *found.per_id.values()]:
        for name, score in row.items():
            assert 0 <= score <= (10 if name.startswith("CIDEr") else 1) + 1e-9


def test_meteor_is_scored_where_its_data_is_and_else_skipped_with_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    from seesay.metrics.meteor import Meteor, MeteorMissing
    from seesay.metrics.pairs import Scores

    class Constant:
        def score(self, candidates: dict[str, object], references: object) -> Scores:
            return Scores(0.25, dict.fromkeys(candidates, 0.25))

    monkeypatch.setattr(Meteor, "load", lambda **_: Constant())
    found = evaluate(CANDIDATES, REFERENCES)
    assert list(found.corpus) == [*METRICS[:4], "METEOR", *METRICS[4:]] and found.corpus["METEOR"] == 0.25
    assert "+METEOR-1.5+" in found.signature

    def missing(**_: object) -> None:
        raise MeteorMissing("METEOR: its data is missing.")

    monkeypatch.setattr(Meteor, "load", missing)
    found = evaluate(CANDIDATES, REFERENCES)
    assert list(found.corpus) == METRICS and "METEOR is skipped: METEOR: its data is missing." in found.notes
    assert "METEOR" not in found.signature
