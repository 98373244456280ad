"""A tagger's run from its recipe to its page: words, letters with a CRF, frames, and data with faults."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seesay.checkpoint import read_checkpoint
from seesay.errors import DataError, RecipeError
from seesay.metrics.spans import evaluate_spans
from seesay.recipe import AnyRecipe, read_recipe, write_recipe
from seesay.run import Check, Notice, resume, train
from seesay.tagger import Tagger
from seesay.tasks.tag import evaluate, train_and_dev
from seesay.tasks.tag_report import write_tag_report

Make = Callable[..., AnyRecipe]
SPANS = {"PRP": "B-WHO", "DT": "B-WHO", "NN": "I-WHO", "VB": "O", "RB": "O", ".": "O"}
WITH_CRF = ("model.characters=true", "model.crf=true", 'model.constraints="BIO"', 'data.scheme="BIO"')
PLAIN_LOSS = "stages.0.label_smoothing=0.0"
SMOOTH = "stages.0.label_smoothing=0.1"


@pytest.fixture(scope="module")
def spans(tagged: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Settings that name the small language's sentences with spans of who does something."""
    folder = tmp_path_factory.mktemp("spans")
    for name in ("train", "dev", "test"):
        text = (tagged / f"{name}.conll").read_text(encoding="utf-8")
        for tag, span in SPANS.items():
            text = text.replace(f"\t{tag}\n", f"\t{span}\n")
        (folder / f"{name}.conll").write_text(text, encoding="utf-8")
    return [f'data.{name}="{folder / name}.conll"' for name in ("train", "dev", "test")]


@pytest.fixture(scope="module")
def span_run(tagging: Make, spans: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A complete run of a tagger of spans with letters and a CRF, chosen by F1; to be read only."""
    path = tmp_path_factory.mktemp("runs") / "spans"
    list(train(tagging("torch", *spans, *WITH_CRF, PLAIN_LOSS, 'stages.0.select_by="F1"'), path))
    return path


def write_frames(path: Path, count: int, seed: int) -> Path:
    """Frames whose label is the sign of the sum so far: each alone does not tell."""
    random = np.random.default_rng(seed)
    arrays: dict[str, Any] = {}
    for number in range(count):
        steps = random.choice([-1.0, 1.0], (int(random.integers(2, 9)), 1))
        noise = random.normal(0, 0.1, (len(steps), 2))
        arrays[f"s{number:02}/frames"] = np.hstack([1000 + 50 * steps, noise])
        arrays[f"s{number:02}/labels"] = np.where(steps[:, 0].cumsum() > 0, "up", "down")
    np.savez(path, **arrays)
    return path


@pytest.fixture(scope="module")
def frame_run(tagging: Make, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A complete run of a tagger of frames; its data lie beside it; to be read only."""
    folder = tmp_path_factory.mktemp("frames")
    files = [write_frames(folder / f"{name}.npz", n, n) for name, n in (("train", 120), ("dev", 30), ("test", 31))]
    data = [f'data.{name}="{file}"' for name, file in zip(("train", "dev", "test"), files, strict=True)]
    sizes = ["model.hidden_size=16", "model.num_layers=1", "stages.0.epochs=25", PLAIN_LOSS]
    list(train(tagging("torch", *data, *sizes, "training.save_every=0"), folder / "run"))
    return folder / "run"


def notices(recipe: AnyRecipe, path: Path) -> list[str]:
    return [event.text for event in train(recipe, path) if isinstance(event, Notice)]


def test_runs_of_other_seeds_choose_by_the_same_part(tagging: Make) -> None:
    one, other = (train_and_dev(tagging("numpy", 'data.dev=""', f"seed={seed}")) for seed in (1, 2))  # type: ignore[arg-type]
    assert one == other and [len(part.sequences) for part in one] == [54, 6]
    drawn = train_and_dev(tagging("numpy", 'data.dev=""', "data.split_seed=2"))  # type: ignore[arg-type]
    assert drawn[1] != one[1]


def test_letters_and_a_crf_learn_spans(span_run: Path) -> None:
    scores, written = evaluate(span_run, "test")
    assert scores.spans is not None and scores.spans.overall.f1 == 1.0 and scores.accuracy == 1.0
    rows = [line.split("\t") for line in written.read_text(encoding="utf-8").splitlines() if line]
    assert evaluate_spans([[row[1] for row in rows]], [[row[2] for row in rows]]).overall.f1 == 1.0
    _, header = read_checkpoint(span_run / "checkpoints" / "best.safetensors")
    assert header["progress"]["best_score"] == 1.0
    kept = json.loads((span_run / "scores" / "test.json").read_text(encoding="utf-8"))
    assert kept["spans"]["overall"]["f1"] == 1.0 and kept["checkpoint_step"] == header["progress"]["step"]


def test_a_sentence_gets_the_same_tags_alone_and_in_company(span_run: Path) -> None:
    tagger = Tagger.open(span_run)
    sentences = [("they", "run", "."), (), ("the", "dog", "sleep", "quickly", "."), ("walk",)]
    together = tagger.tag(sentences)
    assert together[0] == ("B-WHO", "O", "O") and together[1] == ()
    assert [tagger.tag([sentence])[0] for sentence in sentences] == together


def test_a_run_with_letters_and_a_crf_goes_on_to_the_bit(tagging: Make, spans: list[str], tmp_path: Path) -> None:
    recipe = tagging("torch", *spans, *WITH_CRF, PLAIN_LOSS, "stages.0.epochs=2")
    list(train(recipe, tmp_path / "whole"))
    for number, _ in enumerate(train(recipe, tmp_path / "run")):
        if number == 6:
            break
    list(resume(tmp_path / "run"))
    whole, run = (read_checkpoint(tmp_path / each / "checkpoints" / "last.safetensors") for each in ("whole", "run"))
    assert whole[1] == run[1]
    assert all(np.array_equal(whole[0][key], run[0][key]) for key in whole[0].keys() | run[0].keys())


def test_another_process_trains_to_the_same_bits(tagging: Make, spans: list[str], tmp_path: Path) -> None:
    recipe = tagging("torch", *spans, *WITH_CRF, PLAIN_LOSS, "stages.0.epochs=2", "training.save_every=0")
    list(train(recipe, tmp_path / "here"))
    (tmp_path / "recipe.toml").write_bytes(write_recipe(recipe))
    words = ["train", str(tmp_path / "recipe.toml"), "-o", str(tmp_path / "there")]
    program = f"import sys; from seesay.cli import main; sys.argv = ['seesay', *{words!r}]; main()"
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
    here, there = (read_checkpoint(tmp_path / each / "checkpoints" / "last.safetensors") for each in ("here", "there"))
    assert here[1] == there[1] and here[0].keys() == there[0].keys()
    assert all(here[0][key].tobytes() == there[0][key].tobytes() for key in here[0])


def test_frames_are_learned_and_tagged(frame_run: Path) -> None:
    scores, written = evaluate(frame_run, "test")
    assert scores.accuracy > 0.95 and set(scores.per_tag) == {"up", "down"}
    assert scores.unseen_accuracy is None and scores.spans is None
    assert re_first(written) in ("s00:0\tup\tup", "s00:0\tdown\tdown")
    tagger = Tagger.open(frame_run)
    assert tagger.frame_size == 3
    named = tagger.tag_file(frame_run.parent / "test.npz")
    assert [name for name, _ in named] == [f"s{n:02}" for n in range(31)]
    with pytest.raises(DataError, match="words: received by a tagger of frames; expected frames of 3 numbers"):
        tagger.tag([("they",)])
    with pytest.raises(DataError, match=r"sequence 1: received frames \(2, 4\); expected frames of 3 numbers"):
        tagger.tag_frames([np.zeros((2, 4), np.float32)])
    assert tagger.tag_frames([np.zeros((0, 3), np.float32)]) == [()]


def re_first(file: Path) -> str:
    return file.read_text(encoding="utf-8").partition("\n")[0]


def test_a_tagger_of_words_takes_no_frames_and_one_of_frames_no_words(span_run: Path, frame_run: Path) -> None:
    with pytest.raises(DataError, match=r"test\.npz: received for a tagger of words; expected words on standard input"):
        Tagger.open(span_run).tag_file(frame_run.parent / "test.npz")
    with pytest.raises(
        DataError, match="standard input: received for a tagger of frames of 3 numbers; expected --frames"
    ):
        Tagger.open(frame_run).tag_file(None)


def test_frames_of_another_size_are_refused(tagging: Make, frame_run: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "dev.npz", **{"a/frames": np.ones((1, 4)), "a/labels": ["up"]})
    data = [f'data.train="{frame_run.parent}/train.npz"', f'data.dev="{tmp_path}/dev.npz"']
    with pytest.raises(DataError, match=r"dev\.npz: received 4 numbers a frame; expected 3, as .*train\.npz has"):
        list(train(tagging("torch", *data), tmp_path / "run"))
    with pytest.raises(DataError, match=r"dev\.npz: received 4 numbers a frame; expected 3, as in training"):
        Tagger.open(frame_run).tag_file(tmp_path / "dev.npz")


def test_words_and_frames_do_not_mix(tagging: Make, frame_run: Path, tmp_path: Path) -> None:
    data = [f'data.dev="{frame_run.parent}/dev.npz"']
    with pytest.raises(DataError, match=r"dev\.npz: received frames; expected words, as .*train\.conll has"):
        list(train(tagging("torch", *data), tmp_path / "run"))


def test_a_page_with_curves_picture_and_mistakes(span_run: Path, frame_run: Path) -> None:
    page = write_tag_report(span_run).read_text(encoding="utf-8")
    assert "Not one mistake." in page and "<b>F1 1.0000</b>" in page and "B-WHO found as B-WHO" in page
    evaluate(frame_run, "dev")
    scores = frame_run / "scores" / "dev.json"
    before = scores.stat().st_mtime_ns
    page = write_tag_report(frame_run).read_text(encoding="utf-8")
    assert scores.stat().st_mtime_ns == before  # it is current: nothing is tagged again
    assert "up found as up" in page
    content = json.loads(scores.read_text(encoding="utf-8"))
    scores.write_text(json.dumps(content | {"checkpoint_step": 0}), encoding="utf-8")
    write_tag_report(frame_run)
    assert json.loads(scores.read_text(encoding="utf-8")) == content


def test_mistakes_are_shown_with_the_words_around_them(tagging: Make, tagged: Path, tmp_path: Path) -> None:
    (tmp_path / "dev.conll").write_text("the\tDT\ndog\tRB\nsleep\tVB\n.\t.\n", encoding="utf-8")
    run = tmp_path / "run"
    list(train(tagging("numpy", f'data.dev="{tmp_path}/dev.conll"'), run))
    assert "<li>the <b>dog</b> sleep .</li>" in write_tag_report(run).read_text(encoding="utf-8")
    (run / "predictions" / "dev.conll").write_text("torn\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"dev\.conll: cannot be read as words with two tags; run 'seesay evaluate'"):
        write_tag_report(run)


def test_tags_that_dev_alone_has_are_counted_and_said(tagging: Make, tmp_path: Path) -> None:
    (tmp_path / "dev.conll").write_text("they\tPRP\nrun\tXYZ\nwalk\tXYZ\n\nthe\tUVW\n", encoding="utf-8")
    recipe = tagging("numpy", "stages.0.epochs=1", f'data.dev="{tmp_path}/dev.conll"')
    expected = (
        "development data: words with a tag that training does not show: 3 ('XYZ' 2, 'UVW' 1); no loss counts them"
    )
    assert [note.startswith(expected) for note in notices(recipe, tmp_path / "run")] == [True]
    scores, _ = evaluate(tmp_path / "run")
    assert scores.untaught == {"XYZ": 2, "UVW": 1} and scores.accuracy <= 0.25


def test_with_a_crf_such_a_tag_is_any_and_its_loss_is_finite(tagging: Make, spans: list[str], tmp_path: Path) -> None:
    (tmp_path / "dev.conll").write_text("they\tB-WHO\nrun\tB-NEW\n.\tO\n", encoding="utf-8")
    recipe = tagging("torch", *spans, *WITH_CRF, PLAIN_LOSS, "stages.0.epochs=1", f'data.dev="{tmp_path}/dev.conll"')
    check = next(event for event in train(recipe, tmp_path / "run") if isinstance(event, Check))
    assert 0 < check.dev_loss < 10


def test_bad_sentences_stop_or_are_left_out_counted_and_said(tagging: Make, tagged: Path, tmp_path: Path) -> None:
    bad = tmp_path / "train.conll"
    text = (tagged / "train.conll").read_text(encoding="utf-8")
    bad.write_bytes(b"the\tDT\ndog\n\n" + text.encode() + b"caf\xe9\tNN\n")
    recipe = tagging("numpy", "stages.0.epochs=1", f'data.train="{bad}"')
    with pytest.raises(DataError, match=r"train\.conll:2: received 1 column; expected 2"):
        list(train(recipe, tmp_path / "run"))
    skipping = tagging("numpy", "stages.0.epochs=1", f'data.train="{bad}"', 'data.on_bad="skip"')
    (note,) = notices(skipping, tmp_path / "run")
    assert f"{bad}: left out 2 sentences, of which the first: {bad}:2: received 1 column" in note


def test_columns_encoding_and_sight_come_from_the_recipe(tagging: Make, tmp_path: Path) -> None:
    file = tmp_path / "train.conll"
    file.write_bytes("".join(f"{n} caf\xe9{n} NN x\n{n} le DT x\n\n" for n in range(9)).encode("latin-1"))
    data = [f'data.train="{file}"', f'data.dev="{file}"', "data.columns=[1, 2]", 'data.encoding="latin-1"']
    sight = ["data.prefixes=1", "data.suffixes=0", "data.shape=false", "data.digits=false", "data.rare_affixes=1"]
    list(train(tagging("numpy", *data, *sight, "stages.0.epochs=1"), tmp_path / "run"))
    lexicon = Tagger.open(tmp_path / "run").lexicon
    assert lexicon.tags == ("DT", "NN") and len(lexicon.sizes) == 2 and lexicon.values[1] == ("c", "l")
    assert "caf\xe97" in lexicon.values[0]


@pytest.mark.parametrize(
    ("settings", "error", "expected"),
    [
        (
            ['data.scheme="BIO"'],
            DataError,
            r"train\.conll: sentence 1: received the tag .*; expected O, B-TYPE, I-TYPE",
        ),
        (['stages.0.select_by="F1"'], RecipeError, r"stages\.0\.select_by: received 'F1' without data\.scheme"),
        (["model.crf=true", SMOOTH], RecipeError, r"stages\.0\.label_smoothing: received 0\.1 with model\.crf"),
        (["data.columns=[1]"], RecipeError, r"data\.columns: received \[1\]; expected the word's and the tag's"),
        (["data.columns=[0, 1, 2]"], RecipeError, r"data\.columns: .*expected at most 2"),
        (
            ['model.constraints="BIO"', "model.crf=true", PLAIN_LOSS],
            RecipeError,
            r"model\.constraints: received 'BIO' with data\.scheme ''; expected the same",
        ),
        (['data.scheme="BOI"'], RecipeError, r"data\.scheme: received 'BOI'"),
    ],
    ids=["tags of no scheme", "F1", "smoothing", "one column", "three columns", "constraints", "scheme"],
)
def test_settings_that_do_not_fit_are_one_line(
    settings: list[str], error: type[Exception], expected: str, tagging: Make, tmp_path: Path
) -> None:
    with pytest.raises(error, match=expected) as caught:
        list(train(tagging("torch", *settings), tmp_path / "run"))
    assert "\n" not in str(caught.value)


def test_sentences_that_break_the_constraints_are_named(tagging: Make, tmp_path: Path) -> None:
    (tmp_path / "train.conll").write_text("a\tO\n\nb\tO\nc\tI-X\n", encoding="utf-8")
    data = [f'data.train="{tmp_path}/train.conll"', f'data.dev="{tmp_path}/train.conll"', *WITH_CRF, PLAIN_LOSS]
    with pytest.raises(
        DataError, match=r"train\.conll: sentence 2: received 'O I-X', which is not BIO; .*leave constr"
    ):
        list(train(tagging("torch", *data), tmp_path / "run"))


def test_development_sentences_that_break_the_constraints_are_told(tagging: Make, tmp_path: Path) -> None:
    (tmp_path / "train.conll").write_text("a\tB-X\nb\tI-X\n\nc\tO\n\n" * 2, encoding="utf-8")
    (tmp_path / "dev.conll").write_text("c\tO\na\tI-X\n\nc\tO\n", encoding="utf-8")
    data = [f'data.{name}="{tmp_path}/{name}.conll"' for name in ("train", "dev")]
    events = train(tagging("torch", *data, *WITH_CRF, PLAIN_LOSS, "stages.0.epochs=1"), tmp_path / "run")
    told = [event.text for event in events if isinstance(event, Notice)]
    assert any("tags of 1 of 2 sentences are not BIO, which model.constraints never say" in text for text in told)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (["model.crf=true", PLAIN_LOSS], r"model\.crf: received True with engine 'numpy'.*take engine 'torch'"),
        (["model.characters=true"], r"model\.characters: received True with engine 'numpy'"),
        (["frames"], r"data\.train: received frames with engine 'numpy', which reads words; take engine 'torch'"),
    ],
    ids=["CRF", "letters", "frames"],
)
def test_what_the_numpy_engine_has_not_is_refused(
    settings: list[str], expected: str, tagging: Make, frame_run: Path, tmp_path: Path
) -> None:
    if settings == ["frames"]:
        settings = [f'data.{name}="{frame_run.parent}/{name}.npz"' for name in ("train", "dev")]
    with pytest.raises(RecipeError, match=expected):
        list(train(tagging("numpy", *settings), tmp_path / "run"))


def test_recipes_that_come_along_are_read_and_fit() -> None:
    for name in ("ewt-tagger", "wnut17-tagger", "treebank-tagger"):
        file = Path(__file__).resolve().parents[2] / "recipes" / f"{name}.toml"
        assert read_recipe(file).name == name and len(file.read_text(encoding="utf-8").splitlines()) <= 40
