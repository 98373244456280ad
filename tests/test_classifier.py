"""A trained classifier in use, and runs that learn one, go on exactly and say what they left out."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from seesay.checkpoint import read_checkpoint
from seesay.classifier import Classifier
from seesay.data.labels import read_labelled
from seesay.errors import CheckpointError, DataError, RecipeError, SeesayError, UnknownName
from seesay.metrics.classifying import evaluate_labels
from seesay.recipe import AnyRecipe, ClassifyRecipe, write_recipe
from seesay.run import Advance, Check, Event, Notice, resume, train
from seesay.tasks.classify import evaluate, lexicon_of, parts_of
from seesay.training.folder import RunFolder

Make = Callable[..., AnyRecipe]


def steps(events: Iterator[Event]) -> list[tuple[float, ...]]:
    return [(event.step.loss, event.step.gradient_norm) for event in events if isinstance(event, Advance)]


def notices(events: Iterator[Event]) -> list[str]:
    """What is told before the first step."""
    return [event.text for event in itertools.takewhile(lambda event: isinstance(event, Notice), events)]


def written(path: Path, content: str, *overrides: str) -> list[str]:
    """Settings that let a recipe learn from `content`."""
    path.write_text(content, encoding="utf-8")
    return [f'data.train="{path}"', *overrides]


def test_texts_are_a_list_of_texts(classifier_run: Path) -> None:
    classifier = Classifier.open(str(classifier_run))
    texts = ["a fine film", "", "not fine"]
    assert classifier.classify(text for text in texts) == classifier.classify(texts)  # type: ignore[arg-type]
    with pytest.raises(DataError, match=r"^texts: received 'a fine film'; expected a list of texts; put even a single"):
        classifier.classify("a fine film")
    with pytest.raises(DataError, match=r"^text 2: received \['fine'\]; expected a string; give the text itself\.$"):
        classifier.classify(["fine", ["fine"]])  # type: ignore[list-item]


def test_a_classifier_learns_what_no_bag_of_words_can(classifier_run: Path) -> None:
    scores, file = evaluate(classifier_run, "test")
    assert scores.accuracy > 0.95 and scores.texts == 40
    rows = [line.split("\t") for line in file.read_text(encoding="utf-8").splitlines()]
    assert len(rows) == 40 and all(0.5 <= float(share) <= 1 for _, _, share, _ in rows)
    assert sum(gold == found for gold, found, _, _ in rows) / 40 == scores.accuracy
    kept = json.loads((classifier_run / "scores" / "test.json").read_text(encoding="utf-8"))
    assert kept == scores.to_json() | {"checkpoint_step": kept["checkpoint_step"]}


def test_dev_scores_are_those_of_training(classifier_run: Path) -> None:
    _, header = read_checkpoint(classifier_run / "checkpoints" / "best.safetensors")
    assert header["task"] == "classify" and header["texts"] == {"tokens": "ptb", "max_words": 400}
    assert evaluate(classifier_run, "dev")[0].accuracy == header["progress"]["best_score"]
    rows = [json.loads(line) for line in (classifier_run / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    assert all(row["scores"].keys() == {"accuracy", "macro_F1"} for row in rows if row["event"] == "check")


def test_parts_are_apart_and_do_not_depend_on_the_seed_of_training(classifying: Make, labelled: Path) -> None:
    one, other = (parts_of(classifying(f"seed={seed}")) for seed in (1, 2))  # type: ignore[arg-type]
    assert one == other and [len(part) for part in (one.train, one.dev, one.test)] == [120, 40, 40]
    whole = read_labelled(labelled / "train.tsv")
    assert sorted([*one.train, *one.dev, *one.test], key=whole.index) == whole
    assert parts_of(classifying("data.split_seed=2")).dev != one.dev  # type: ignore[arg-type]


def test_probabilities_add_up_and_come_in_order_whatever_the_batch(classifier_run: Path) -> None:
    classifier = Classifier.open(classifier_run)
    texts = ["good .", "", "not good and not good .", "bad , good bad " * 20, "unheard of", "bad"]
    found = classifier.classify(texts)
    for some in found:
        assert {guess.label for guess in some} == {"neg", "pos"}
        assert sum(guess.probability for guess in some) == pytest.approx(1)
        assert some[0].probability >= some[1].probability
    assert (found[0][0].label, found[2][0].label, found[5][0].label) == ("pos", "neg", "neg")
    for text, some in zip(texts, found, strict=True):
        (alone,) = classifier.classify([text])
        assert [guess.label for guess in alone] == [guess.label for guess in some]
        np.testing.assert_allclose([g.probability for g in alone], [g.probability for g in some], atol=1e-6)
    assert classifier.classify([]) == []


def test_words_are_cut_where_training_cut_them(classifying: Make, tmp_path: Path) -> None:
    list(train(classifying("data.max_words=2", "stages.0.epochs=1"), tmp_path / "run"))
    classifier = Classifier.open(tmp_path / "run")
    assert classifier.words("Not good, but new") == ["not", "good"]
    assert classifier.classify(["not good"]) == classifier.classify(["Not good at all"])


def test_progress_is_told(classifier_run: Path) -> None:
    told: list[tuple[int, int]] = []
    Classifier.open(classifier_run).classify(["good"] * 70, lambda done, total: told.append((done, total)))
    assert told == [(64, 70), (70, 70)]


def test_a_run_goes_on_to_the_same_bits(classifying: Make, tmp_path: Path) -> None:
    recipe = classifying("stages.0.epochs=2", "training.save_every=1")
    whole = steps(train(recipe, tmp_path / "whole"))
    events = train(recipe, tmp_path / "parts")
    first = [event for event in itertools.islice(events, 20) if isinstance(event, Advance)]
    events.close()  # type: ignore[attr-defined]
    later = steps(resume(tmp_path / "parts"))
    assert [(one.step.loss, one.step.gradient_norm) for one in first][: len(whole) - len(later)] + later == whole
    ends = [read_checkpoint(RunFolder(tmp_path / name).last)[0] for name in ("whole", "parts")]
    assert all(np.array_equal(array, ends[1][name]) for name, array in ends[0].items())


def test_another_process_ends_in_the_same_bits(classifying: Make, tmp_path: Path) -> None:
    recipe = classifying("stages.0.epochs=1")
    (tmp_path / "recipe.toml").write_bytes(write_recipe(recipe))
    for name in ("first", "again"):
        list(train(recipe, tmp_path / name))
    code = f"from pathlib import Path; from seesay.recipe import read_recipe; from seesay.run import train; \
p = Path({str(tmp_path)!r}); list(train(read_recipe(p / 'recipe.toml'), p / 'elsewhere'))"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    first, *others = (read_checkpoint(RunFolder(tmp_path / name).last)[0] for name in ("first", "again", "elsewhere"))
    for other in others:
        assert other.keys() == first.keys()
        assert all(array.tobytes() == other[name].tobytes() for name, array in first.items())


def test_other_texts_are_not_gone_on_with(classifying: Make, tmp_path: Path, labelled: Path) -> None:
    text = (labelled / "train.tsv").read_text(encoding="utf-8")
    recipe = classifying(*written(tmp_path / "a.tsv", text), "stages.0.epochs=1")
    events = train(recipe, tmp_path / "run")
    next(events)
    events.close()  # type: ignore[attr-defined]
    (tmp_path / "a.tsv").write_text(text.replace("neg\tnot", "pos\tnot", 3), encoding="utf-8")
    with pytest.raises(CheckpointError, match="its texts have changed since it was trained"):
        list(resume(tmp_path / "run"))


def test_the_best_epoch_may_be_that_of_the_mean_f1(classifying: Make, tmp_path: Path) -> None:
    recipe = classifying("stages.0.epochs=2", 'stages.0.select_by="macro_F1"')
    checks = [event for event in train(recipe, tmp_path / "run") if isinstance(event, Check)]
    _, header = read_checkpoint(tmp_path / "run" / "checkpoints" / "best.safetensors")
    assert header["progress"]["best_score"] == max(check.scores["macro_F1"] for check in checks)


def test_words_and_labels_are_in_the_lexicon(classifying: Make) -> None:
    recipe = classifying("data.suffixes=2", "data.minimum_count=2")
    assert isinstance(recipe, ClassifyRecipe)
    lexicon = lexicon_of(parts_of(recipe).train, recipe)
    assert lexicon.tags == ("neg", "pos") and len(lexicon.sizes) == 3
    assert {"good", "bad", "not"} <= set(lexicon.values[0])


def test_bad_lines_stop_or_are_counted(classifying: Make, tmp_path: Path, labelled: Path) -> None:
    text = (labelled / "train.tsv").read_text(encoding="utf-8")
    content = "pos\t\n\nno tab\npos\t\u00ad\n" + text
    settings = written(tmp_path / "a.tsv", content, 'data.tokens="spaces"')
    with pytest.raises(DataError, match=r"a\.tsv:1: received 'pos\\t' without a text"):
        next(train(classifying(*settings), tmp_path / "run"))
    told = notices(train(classifying(*settings, 'data.on_bad="skip"'), tmp_path / "run"))
    assert len(told) == 1 and told[0].startswith(f"3 lines left out: {tmp_path / 'a.tsv'}:1: received 'pos\\t'")


def test_a_text_in_which_no_word_is_found_is_bad_too(classifying: Make, tmp_path: Path, labelled: Path) -> None:
    text = (labelled / "train.tsv").read_text(encoding="utf-8")
    settings = written(tmp_path / "a.tsv", text + "pos\t\u2010\n")
    with pytest.raises(DataError, match=r"a\.tsv:201: received '.', in which there is no word"):
        next(train(classifying(*settings), tmp_path / "run"))
    told = notices(train(classifying(*settings, 'data.on_bad="skip"'), tmp_path / "run"))
    assert len(told) == 1 and told[0].startswith("1 line left out: ")


def test_a_label_of_one_text_stops_or_is_told(classifying: Make, tmp_path: Path, labelled: Path) -> None:
    text = (labelled / "train.tsv").read_text(encoding="utf-8")
    settings = written(tmp_path / "a.tsv", text + "odd\tgood bad\n")
    with pytest.raises(DataError, match=r"a\.tsv:201: received 1 text with the label 'odd'; expected enough to hold"):
        next(train(classifying(*settings), tmp_path / "run"))
    told = notices(train(classifying(*settings, 'data.on_bad="skip"', "stages.0.epochs=1"), tmp_path / "run"))
    assert len(told) == 1 and told[0].startswith("1 label not held out: ") and "'odd'" in told[0]


def test_a_label_of_dev_alone_is_a_mistake_and_told(classifying: Make, tmp_path: Path, labelled: Path) -> None:
    (tmp_path / "dev.tsv").write_text("pos\tgood .\nmeh\tgood .\nmeh\tbad .\n", encoding="utf-8")
    recipe = classifying(f'data.dev="{tmp_path / "dev.tsv"}"', "stages.0.epochs=1")
    events = list(train(recipe, tmp_path / "run"))
    assert notices(iter(events)) == [
        "development texts with a label that no training text has, which count as mistakes: 2, the first "
        f"'meh' at {tmp_path / 'dev.tsv'}:2"
    ]
    (check,) = [event for event in events if isinstance(event, Check)]
    assert check.scores["accuracy"] <= 1 / 3 and np.isfinite(check.dev_loss)


def test_texts_that_are_cut_are_counted(classifying: Make, tmp_path: Path) -> None:
    told = notices(train(classifying("data.max_words=4", "stages.0.epochs=1"), tmp_path / "run"))
    assert len(told) == 1 and told[0].startswith("texts that are cut after 4 words (data.max_words): ")


@pytest.mark.parametrize(
    ("content", "settings", "error", "expected"),
    [
        ("pos\ta\npos\tb\npos\tc\npos\td\n", [], DataError, "received texts of one label alone, 'pos'; expected two"),
        ("", [], DataError, r"a\.tsv: received no text"),
        ("a\tb\nc\td\n", ['data.encoding="utf-9"'], DataError, "received the encoding 'utf-9'"),
        ("a\tb\nc\td\n", ['training.engine="numpy"'], RecipeError, "'numpy', which has no model for task 'classify'"),
        (None, ['model.name="bilstm_tagger"'], RecipeError, "'bilstm_tagger', a model for task 'tag'; expected one"),
        (None, ["data.tokens=letters"], RecipeError, "data.tokens: received 'letters'; expected 'spaces' or 'ptb'"),
        (None, ["data.sharre=1"], RecipeError, "Unknown key 'data.sharre'"),
    ],
    ids=["one label", "nothing", "encoding", "engine", "model", "tokens", "key"],
)
def test_what_cannot_be_trained_is_one_line(
    content: str | None,
    settings: list[str],
    error: type[SeesayError],
    expected: str,
    classifying: Make,
    tmp_path: Path,
) -> None:
    if content is not None:
        doubled = content * 4 if content.startswith("a\t") else content
        settings = [*written(tmp_path / "a.tsv", doubled), *settings]
    with pytest.raises(error, match=expected) as fault:
        next(train(classifying(*settings), tmp_path / "run"))
    assert "\n" not in str(fault.value)


def test_what_a_run_has_no_use_for_is_told(classifier_run: Path, classifying: Make, tmp_path: Path) -> None:
    from seesay.tagger import Tagger

    with pytest.raises(UnknownName, match="Unknown split 'tset'"):
        evaluate(classifier_run, "tset")
    with pytest.raises(CheckpointError, match=r"received a classifier .'seesay classify' uses it.; expected a tagger"):
        Tagger.open(classifier_run)
    list(train(classifying("data.test_share=0.0", "stages.0.epochs=1"), tmp_path / "run"))
    with pytest.raises(DataError, match=r"received neither data\.test nor data\.test_share; expected one of them"):
        evaluate(tmp_path / "run", "test")


def test_a_test_file_is_scored_with_the_labels_it_has(classifying: Make, tmp_path: Path) -> None:
    (tmp_path / "test.tsv").write_text("pos\tgood .\nmeh\tgood .\n", encoding="utf-8")
    list(train(classifying(f'data.test="{tmp_path / "test.tsv"}"', "stages.0.epochs=3"), tmp_path / "run"))
    scores, _ = evaluate(tmp_path / "run", "test")
    assert scores == evaluate_labels(["pos", "meh"], list(_found(tmp_path / "run" / "predictions" / "test.tsv")))
    assert scores.per_label["meh"].recall == 0


def _found(file: Path) -> Iterator[str]:
    return (line.split("\t")[1] for line in file.read_text(encoding="utf-8").splitlines())
