"""Both engines behind the same names: runs that learn, that go on exactly, and whose weights serve either engine."""

from __future__ import annotations

import functools
import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from seesay.captioner import Captioner
from seesay.checkpoint import read_checkpoint
from seesay.data.features import FeatureStore
from seesay.decoding.settings import Decoding
from seesay.engines import ENGINES, open_engine
from seesay.errors import CheckpointError, DataError, RecipeError, SeesayError, UnknownName
from seesay.recipe import AnyRecipe
from seesay.run import Advance, Check, Event, resume, train
from seesay.tagger import Tagger
from seesay.tasks.tag import evaluate
from seesay.training.folder import RunFolder

Make = Callable[..., AnyRecipe]
SENTENCES = [("the", "run", "walk", "."), ("they", "run", "quickly", "."), (), ("they",)]


@pytest.fixture(scope="module")
def run_of(plain: Make, tagging: Make, tmp_path_factory: pytest.TempPathFactory) -> Callable[[Make, str], Path]:
    """`run_of(plain, "numpy")` is a complete run by that engine, of which each is trained once; to be read only."""
    folders = {make: tmp_path_factory.mktemp("runs") for make in (plain, tagging)}

    @functools.cache
    def trained(make: Make, engine: str) -> Path:
        path = folders[make] / engine
        list(train(make(engine), path))
        return path

    return trained


@pytest.fixture(params=ENGINES)
def captioning_run(request: pytest.FixtureRequest, run_of: Callable[[Make, str], Path], plain: Make) -> Path:
    """A complete run of a plain LSTM captioner, by each engine; to be read only."""
    return run_of(plain, request.param)


@pytest.fixture(params=ENGINES)
def tagging_run(request: pytest.FixtureRequest, run_of: Callable[[Make, str], Path], tagging: Make) -> Path:
    """A complete run of a tagger, by each engine; to be read only."""
    return run_of(tagging, request.param)


def checks(events: Iterator[Event]) -> list[Check]:
    return [event for event in events if isinstance(event, Check)]


def test_a_captioner_learns(captioning_run: Path) -> None:
    _, header = read_checkpoint(captioning_run / "checkpoints" / "best.safetensors")
    assert header["engine"] == captioning_run.name and header["task"] == "caption"
    assert header["progress"]["best_score"] > 0.5  # CIDEr-D
    rows = [json.loads(line) for line in (captioning_run / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    losses = [row["train_loss"] for row in rows if row["event"] == "check"]
    assert losses[0] > 2.5 and losses[-1] < 0.7 * losses[0]


def test_both_engines_say_the_same(captioning_run: Path, world: Path) -> None:
    store = FeatureStore(world / "grids.h5")
    features = store.read(store.ids)
    ours, theirs = (Captioner.open(captioning_run, engine=name).describe(features) for name in ENGINES)
    assert len(ours) == 24 and all(len(some) == 3 for some in ours)
    for one, other in zip(itertools.chain(*ours), itertools.chain(*theirs), strict=True):
        assert one.text == other.text
        assert one.score == pytest.approx(other.score, abs=1e-4)


@pytest.mark.parametrize("engine", ENGINES)
def test_without_a_seed_each_draw_is_another(engine: str, run_of: Callable[[Make, str], Path], plain: Make) -> None:
    captioner = Captioner.open(run_of(plain, "torch"), engine=engine)
    features = np.zeros((6, 4, captioner.header["model"]["feature_size"]), np.float32)
    wild = Decoding("sample", candidates=5, max_length=10, temperature=3.0)

    def drawn(seed: int | None) -> list[list[str]]:
        torch.manual_seed(0)  # as at the start of every process
        return [[one.text for one in some] for some in captioner.describe(features, wild, seed)]

    assert drawn(None) != drawn(None)
    assert drawn(4) == drawn(4) != drawn(5)


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_using_a_run_leaves_the_random_numbers_of_the_caller_alone(
    precision: str, run_of: Callable[[Make, str], Path], plain: Make
) -> None:
    torch.manual_seed(11)
    expected = torch.rand(3).tolist()
    torch.manual_seed(11)
    captioner = Captioner.open(run_of(plain, "torch"), engine="torch", precision=precision)
    features = np.zeros((2, 4, captioner.header["model"]["feature_size"]), np.float32)
    captioner.describe(features, Decoding("sample", candidates=2))
    assert len(captioner.encoder.sides) == 1
    assert torch.rand(3).tolist() == expected


def test_a_tagger_learns(tagging_run: Path) -> None:
    scores, written = evaluate(tagging_run, "test")
    assert scores.accuracy == 1.0 and scores.words > 60
    first = written.read_text(encoding="utf-8").split("\n\n")[0].splitlines()
    assert all(gold == found for _, gold, found in (line.split("\t") for line in first))


def test_both_engines_find_the_same_tags(tagging_run: Path) -> None:
    expected = [("DT", "NN", "VB", "."), ("PRP", "VB", "RB", "."), (), ("PRP",)]
    for name in ENGINES:
        tagger = Tagger.open(tagging_run, engine=name)
        assert tagger.tag(SENTENCES) == expected
        assert [tagger.tag([sentence])[0] for sentence in SENTENCES] == expected


def test_sentences_are_lists_of_words(tagging_run: Path) -> None:
    tagger = Tagger.open(str(tagging_run))
    assert tagger.tag(iter(words) for words in SENTENCES) == tagger.tag(SENTENCES)  # type: ignore[arg-type]
    text: Any = "The dog runs ."
    for given, said in (
        (text, r"^sentences: received 'The dog runs \.'; expected a list of sentences, each a list of words; put even"),
        (
            text.split(),
            r"^sentence 1: received the text 'The'; expected a list of words; split it, as \.split",
        ),
        ([["they"], text], r"^sentence 2: received the text 'The dog runs \.'; expected a list of words"),
        ([["they", 3]], r"^sentence 1: received 3 for a word; expected text; make it one\.$"),
        ([None], r"^sentence 1: received None; expected a list of words"),
    ):
        with pytest.raises(DataError, match=said):
            tagger.tag(given)


@pytest.mark.parametrize("engine", ENGINES)
def test_weights_and_names_are_the_same_in_both(engine: str) -> None:
    sizes = {"caption": {"feature_size": 3, "vocabulary_size": 11}, "tag": {"sizes": (9, 5, 4), "tags": 3}}
    for task, model in (("caption", "captioning_rnn"), ("tag", "bilstm_tagger")):
        for cell in ("lstm", "rnn"):
            ours, theirs = (open_engine(name) for name in (engine, "torch"))
            made = ours.build(task, model, {"cell": cell}, sizes[task], seed=1)
            other = theirs.build(task, model, {"cell": cell}, sizes[task], seed=2)
            arrays = ours.pack(made, None, ours.optimizer(made, stage_of(task)))
            theirs.load(other, arrays, "model/", "a test")
            back = theirs.pack(other, None, theirs.optimizer(other, stage_of(task)))
            assert arrays.keys() == back.keys()
            assert all(np.array_equal(arrays[name], back[name]) for name in arrays)


def stage_of(task: str) -> Any:
    from seesay.recipe import Stage, TagStage

    return Stage() if task == "caption" else TagStage()


@pytest.mark.parametrize("task", ["caption", "tag"])
def test_a_numpy_run_goes_on_to_the_bit(task: str, plain: Make, tagging: Make, tmp_path: Path) -> None:
    recipe = (plain if task == "caption" else tagging)("numpy", "stages.0.epochs=3")
    list(train(recipe, tmp_path / "whole"))
    for event in train(recipe, tmp_path / "run"):
        if isinstance(event, Advance) and event.step.number == 6:
            break  # step 6 is not saved yet: it is done again
    list(resume(tmp_path / "run"))
    for name in ("last", "best"):
        files = (tmp_path / each / "checkpoints" / f"{name}.safetensors" for each in ("whole", "run"))
        whole, run = map(read_checkpoint, files)
        assert whole[1] == run[1]
        assert all(np.array_equal(whole[0][key], run[0][key]) for key in whole[0].keys() | run[0].keys())
    assert RunFolder(tmp_path / "run").log.read_bytes() == RunFolder(tmp_path / "whole").log.read_bytes()


def test_two_equal_runs_on_numpy_have_equal_bits(tagging: Make, tmp_path: Path) -> None:
    for name in ("one", "two"):
        list(train(tagging("numpy", "stages.0.epochs=2"), tmp_path / name))
    # The file's own keys come in any order; what it holds does not.
    one, two = (read_checkpoint(tmp_path / name / "checkpoints" / "last.safetensors") for name in ("one", "two"))
    assert one[1] == two[1]
    assert all(np.array_equal(one[0][key], two[0][key]) for key in one[0].keys() | two[0].keys())


@pytest.mark.parametrize(
    ("overrides", "error", "message"),
    [
        (
            ['model.name="attend_tell"'],
            RecipeError,
            "received 'attend_tell' with .*captioning_rnn.*take engine 'torch'",
        ),
        (['training.device="cuda"'], RecipeError, "device: received 'cuda'; expected cpu"),
        (['training.precision="bf16"'], RecipeError, "training.precision: received 'bf16' with engine 'numpy'"),
        (["stages.0.doubly_stochastic=0.5"], RecipeError, "doubly_stochastic: received 0.5 with engine 'numpy'"),
        (["model.hiden_size=3"], UnknownName, "hiden_size.*hidden_size"),
        (["model.hidden_size=0"], RecipeError, "model.hidden_size: received 0"),
        (['model.cell="gru"'], SeesayError, "gru"),
        (
            ['model.name="bilstm_tagger"'],
            RecipeError,
            "'bilstm_tagger', a model for task 'tag'; expected one for 'caption'",
        ),
    ],
)
def test_what_the_numpy_engine_cannot_do_is_said(
    overrides: list[str], error: type[Exception], message: str, plain: Make, tmp_path: Path
) -> None:
    with pytest.raises(error, match=message):
        list(train(plain("numpy", *overrides), tmp_path / "run"))


def test_a_model_of_another_task_is_refused_by_torch_too(plain: Make, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="'bilstm_tagger', a model for task 'tag'; expected one for 'caption'"):
        list(train(plain("torch", 'model.name="bilstm_tagger"'), tmp_path / "run"))


def test_runs_of_another_task_are_refused(captioning_run: Path, tagging_run: Path) -> None:
    with pytest.raises(CheckpointError, match=r"a captioner .*; expected a tagger"):
        Tagger.open(captioning_run)
    with pytest.raises(CheckpointError, match=r"a tagger .*; expected a captioner"):
        Captioner.open(tagging_run)
    with pytest.raises(CheckpointError, match="a run of task 'caption'; expected a tagger"):
        evaluate(captioning_run)


def test_a_tag_that_training_does_not_know_counts_as_wrong_on_dev_and_stops_training(
    tagging: Make, tagged: Path, tmp_path: Path
) -> None:
    (tmp_path / "dev.conll").write_text("they\tPRP\nrun\tXYZ\n", encoding="utf-8")
    events = train(tagging("numpy", "stages.0.epochs=1", f'data.dev="{tmp_path}/dev.conll"'), tmp_path / "run")
    assert checks(events)[0].scores["accuracy"] <= 0.5


def test_a_tagger_run_names_a_missing_file(tagging: Make, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.conll"):
        list(train(tagging("numpy", f'data.train="{tmp_path}/none.conll"'), tmp_path / "run"))


def test_an_unknown_engine_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UnknownName, match=r"'nunpy'\. Did you mean 'numpy'"):
        open_engine("nunpy")


@pytest.mark.parametrize(
    ("task", "name", "told"),
    [
        ("ask", "ivqa", "received 'numpy', which has no model for task 'ask'"),
        ("caption", "s2", "received 's2' with engine 'numpy'; expected captioning_rnn"),
        ("tag", "captioning_rnn", "received 'captioning_rnn', a model for task 'caption'; expected one for 'tag'"),
    ],
)
def test_a_model_that_numpy_does_not_have_is_not_built(task: str, name: str, told: str) -> None:
    with pytest.raises(RecipeError, match=told):
        open_engine("numpy").build(task, name, {}, {}, seed=0)


def test_the_likelihood_of_a_sentence_is_that_of_its_words_one_by_one() -> None:
    import torch

    from seesay.data.batches import pad
    from seesay.data.questions import AskBatch

    engine = open_engine("torch")
    sizes = {"feature_size": 5, "vocabulary_size": 11, "concept_count": 4}
    model = engine.build("ask", "ivqa", {"hidden_size": 8, "embedding_size": 8, "answer_size": 4}, sizes, 1)
    random = np.random.default_rng(0)
    features, concepts = random.normal(size=(2, 3, 5)).astype(np.float32), random.random((2, 4), np.float32)
    questions, rows = [[4, 5, 6], [7], [8, 9, 10, 4]], np.array([1, 0, 1])
    answers = np.array([[1, 1], [5, 1], [6, 7]])
    mask = np.ones((2, 3), bool)
    batch = AskBatch(("a", "b"), features, mask, concepts, answers, pad(questions), rows)
    found = engine.log_likelihoods(model, batch, "cpu")
    assert found.shape == (3,) and found.dtype == np.float64
    for place, (words, row) in enumerate(zip(questions, rows.tolist(), strict=True)):
        parts = [features[row], mask[row], concepts[row], answers[place]]
        with torch.no_grad():
            state = model.start(*(torch.from_numpy(part[None]) for part in parts))
            total, before = 0.0, 2
            for word in (*words, 3):  # <eos> is one of the words
                logits, state = model.step(torch.tensor([before]), state)
                total, before = total + float(logits.log_softmax(-1)[0, word]), word
        assert found[place] == pytest.approx(total, abs=1e-4)
