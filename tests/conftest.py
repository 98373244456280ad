"""What every test may ask for. Nothing here imports torch, so that tests of the torch-free parts start at once."""

from __future__ import annotations

import importlib.util
import itertools
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pytest

if TYPE_CHECKING:
    from seesay.recipe import AnyRecipe, Recipe

REPOSITORY = Path(__file__).resolve().parent.parent

# Sums depend on the number of threads, so every test runs with one, whatever the machine. Set before anything loads
# torch or a BLAS, which read it once, and inherited by the processes that tests start.
os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MPLBACKEND="Agg")


class Done(NamedTuple):
    """What a command left behind."""

    code: int
    out: str
    err: str


@pytest.fixture
def seesay(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    """`seesay("train", ...)` runs a command within this process."""
    from seesay.cli import main

    def run(*arguments: object) -> Done:
        monkeypatch.setattr(sys, "argv", ["seesay", *map(str, arguments)])
        capsys.readouterr()
        try:
            main()
            code = 0
        except SystemExit as end:
            code = int(end.code or 0)
        return Done(code, *capsys.readouterr())

    return run


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of larger data sets that lies beside a developer's checkout."""
    folder = REPOSITORY.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("../shared/data is not here")
    return folder


@pytest.fixture(scope="session")
def demo_folder() -> Path:
    """The demonstration set that ships with the package: captions.json and images/."""
    spec = importlib.util.find_spec("seesay")
    assert spec is not None and spec.submodule_search_locations, "seesay is not installed; run `make setup`"
    return Path(next(iter(spec.submodule_search_locations))) / "data" / "demo"


@pytest.fixture(scope="session")
def demo_pictures(demo_folder: Path) -> Path:
    """The folder of the 76 photographs that ship with the package."""
    return demo_folder / "images"


# A small world in which a picture decides its captions: 4 colours x 3 animals x 2 places. Region 0 of a picture shows
# the colour, region 1 the animal, region 2 the place, and region 3 noise.
COLOURS, ANIMALS, PLACES = ("red", "blue", "green", "white"), ("dog", "cat", "horse"), ("snow", "grass")
REGIONS, SIZE, ENCODER = 4, 12, "efficientnet-lite0@224"
TEMPLATES = (
    "A {0} {1} runs in the {2}.",
    "The {1} is {0}.",
    "One {0} {1} near the {2}",
    "A {1} in the {2}",
    "There is a {0} {1} on the {2}.",
)
RECIPE = """
name = "tiny"
seed = 3

[data]
captions = "{0}/captions.json"
features = "{0}/grids.h5"
flipped = "{0}/grids-flipped.h5"
minimum_count = 1
max_words = 12

[model]
name = "attend_tell"
embedding_size = 12
hidden_size = 16
attention_size = 8
dropout = 0.2

[[stages]]
epochs = 3
pictures_per_batch = 4
learning_rate = 1e-2
warmup = 4
average = 0.9

[[stages]]
epochs = 3
pictures_per_batch = 6
learning_rate = 5e-3
warmup = 2
decay = "linear"
optimizer = "adam"
doubly_stochastic = 0.5

[training]
save_every = 1
log_every = 1

[decoding]
beam = 3
max_length = 10
"""


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with captions.json, grids.h5, grids-flipped.h5 and recipe.toml; to be read only.

    24 pictures with 5 captions each: 16 train, 4 dev, 4 test. Features are (4, 12).
    """
    folder = tmp_path_factory.mktemp("world")
    things = list(itertools.product(range(4), range(3), range(2)))
    order = np.random.default_rng(0).permutation(len(things)).tolist()
    records = []
    for place, index in enumerate(order):
        words = [names[i] for names, i in zip((COLOURS, ANIMALS, PLACES), things[index], strict=True)]
        part = "train" if place < 16 else "dev" if place < 20 else "test"
        captions = [template.format(*words) for template in TEMPLATES]
        records.append({"file": f"{'-'.join(words)}.jpg", "split": part, "captions": captions})
    (folder / "captions.json").write_text(json.dumps(records), encoding="utf-8")
    (folder / "recipe.toml").write_text(RECIPE.format(folder), encoding="utf-8")
    features = np.stack([_regions(things[index]) for index in order])
    names = [str(record["file"]) for record in records]
    write_features(folder / "grids.h5", names, features)
    write_features(folder / "grids-flipped.h5", names, features[:, ::-1], flipped=True)
    return folder


def _regions(thing: Sequence[int]) -> np.ndarray:
    regions = np.random.default_rng(list(thing)).normal(0, 0.1, (REGIONS, SIZE))
    for region, (start, kind) in enumerate(zip((0, 4, 7), thing, strict=True)):
        regions[region, start + kind] += 2
    return regions


def write_features(path: Path, ids: Sequence[str], features: np.ndarray, flipped: bool = False) -> None:
    """A complete feature file."""
    from seesay.data.features import open_writer

    with open_writer(path, ids, *features.shape[1:], ENCODER, flipped) as writer:
        writer.write(ids, np.ascontiguousarray(features, dtype=np.float16))
        writer.finish()


@pytest.fixture(scope="session")
def make_features() -> Callable[..., None]:
    """`make_features(path, ids, features, flipped=False)` writes a complete feature file."""
    return write_features


def recipe_reader(file: Path, text: str) -> Callable[..., Any]:
    """What reads the recipe of this text with some of its settings changed."""
    from seesay.recipe import read_recipe

    file.write_text(text, encoding="utf-8")
    return lambda *overrides: read_recipe(file, overrides)


def trained_by(recipe: AnyRecipe, folder: Path) -> Path:
    """The folder of a complete run of the recipe."""
    from seesay.run import train

    list(train(recipe, folder / recipe.name))
    return folder / recipe.name


@pytest.fixture(scope="session")
def tiny(world: Path) -> Callable[..., Recipe]:
    """`tiny("stages.0.epochs=1", ...)` is the small world's recipe with these settings changed."""
    from seesay.recipe import read_recipe

    return lambda *overrides: read_recipe(world / "recipe.toml", overrides)


@pytest.fixture(scope="session")
def trained(tiny: Callable[..., Recipe], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a short, complete run on the small world; to be read only."""
    return trained_by(tiny(), tmp_path_factory.mktemp("runs"))


PLAIN = """
name = "plain"
seed = 3

[data]
captions = "{0}/captions.json"
features = "{0}/grids.h5"
minimum_count = 1
max_words = 12

[model]
name = "captioning_rnn"
embedding_size = 12
hidden_size = 32
dropout = 0.1

[[stages]]
epochs = 25
pictures_per_batch = 4
learning_rate = 2e-2
warmup = 4
label_smoothing = 0.0
average = 0.8
patience = 40

[[stages]]
epochs = 2
pictures_per_batch = 6
learning_rate = 5e-3
optimizer = "adam"

[training]
save_every = 1
log_every = 1

[decoding]
beam = 3
max_length = 10
"""


@pytest.fixture(scope="session")
def plain(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Recipe]:
    """`plain("numpy", "stages.0.epochs=1", ...)` is a recipe of a plain LSTM on the small world, for that engine."""
    read = recipe_reader(tmp_path_factory.mktemp("recipes") / "plain.toml", PLAIN.format(world))
    return lambda engine, *overrides: read(f'training.engine="{engine}"', *overrides)


TAGGER = """
name = "tagger"
task = "tag"
seed = 3

[data]
train = "{0}/train.conll"
dev = "{0}/dev.conll"
test = "{0}/test.conll"

[model]
name = "bilstm_tagger"
embedding_size = 8
feature_size = 4
hidden_size = 8
num_layers = 2
dropout = 0.1

[[stages]]
epochs = 8
sentences_per_batch = 8
learning_rate = 2e-2
warmup = 4
average = 0.9

[training]
save_every = 1
log_every = 1
"""


@pytest.fixture(scope="session")
def tagged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with train.conll, dev.conll and test.conll: 60, 20 and 20 sentences of a language of a few words.

    "run" and "walk" are nouns after "the" and verbs after "they" or a noun: only what stands before them tells.
    """
    folder = tmp_path_factory.mktemp("tagged")
    random = np.random.default_rng(5)
    for name, count in (("train", 60), ("dev", 20), ("test", 20)):
        (folder / f"{name}.conll").write_text("".join(_sentence(random) for _ in range(count)), encoding="utf-8")
    return folder


def _sentence(random: np.random.Generator) -> str:
    noun, verb = str(random.choice(["run", "walk", "dog", "cat"])), str(random.choice(["run", "walk", "sleep"]))
    start = [("they", "PRP")] if random.random() < 0.5 else [("the", "DT"), (noun, "NN")]
    adverb = [("quickly", "RB")] if random.random() < 0.5 else []
    words = [*start, (verb, "VB"), *adverb, (".", ".")]
    return "".join(f"{word}\t{tag}\n" for word, tag in words) + "\n"


@pytest.fixture(scope="session")
def tagging(tagged: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., AnyRecipe]:
    """`tagging("numpy", "stages.0.epochs=1", ...)` is a recipe of a small tagger, for that engine."""
    read = recipe_reader(tmp_path_factory.mktemp("recipes") / "tagger.toml", TAGGER.format(tagged))
    return lambda engine, *overrides: read(f'training.engine="{engine}"', *overrides)


@pytest.fixture(scope="session")
def tagger_run(tagging: Callable[..., AnyRecipe], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a complete run of a tagger on NumPy; only evaluations are written into it."""
    return trained_by(tagging("numpy"), tmp_path_factory.mktemp("runs"))


CLASSIFIER = """
name = "classifier"
task = "classify"
seed = 3

[data]
train = "{0}/train.tsv"
test_share = 0.2
dev_share = 0.2

[model]
name = "rnn_classifier"
embedding_size = 12
hidden_size = 12
dropout = 0.1

[[stages]]
epochs = 10
texts_per_batch = 8
learning_rate = 3e-2
warmup = 4
average = 0.9
patience = 10

[training]
log_every = 1
"""


@pytest.fixture(scope="session")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with train.tsv: 200 texts of a few words, half "neg" and half "pos".

    "not" turns the next word round: no bag of words can tell "good , not bad" from "bad , not good".
    """
    folder = tmp_path_factory.mktemp("labelled")
    random = np.random.default_rng(5)
    (folder / "train.tsv").write_text("".join(_review(random, n % 2) for n in range(200)), encoding="utf-8")
    return folder


def _review(random: np.random.Generator, praise: int) -> str:
    words = []
    for _ in range(int(random.integers(1, 3))):
        turned = int(random.integers(2))
        words += [*["not"] * turned, "good" if praise ^ turned else "bad", str(random.choice([",", "and", "very"]))]
    return f"{('neg', 'pos')[praise]}\t{' '.join(words[:-1])} .\n"


@pytest.fixture(scope="session")
def classifying(labelled: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., AnyRecipe]:
    """`classifying("stages.0.epochs=1", ...)` is a recipe of a small classifier with these settings changed."""
    return recipe_reader(tmp_path_factory.mktemp("recipes") / "classifier.toml", CLASSIFIER.format(labelled))


@pytest.fixture(scope="session")
def classifier_run(classifying: Callable[..., AnyRecipe], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a complete run of a classifier; only evaluations are written into it."""
    return trained_by(classifying(), tmp_path_factory.mktemp("runs"))


NAMER = """
name = "namer"
task = "concepts"
seed = 3

[data]
captions = "{0}/captions.json"
features = "{0}/grids.h5"
concept_count = 12

[model]
name = "concept_head"
hidden_size = 16
dropout = 0.1

[[stages]]
epochs = 4
pictures_per_batch = 4
learning_rate = 1e-2
"""
ASKER = """
name = "asker"
task = "ask"
seed = 3

[data]
questions = "{0}/questions.json"
features = "{1}/grids.h5"
flipped = "{1}/grids-flipped.h5"
concepts = "{2}"
hidden_answers = 0.2

[model]
name = "ivqa"
embedding_size = 24
hidden_size = 32
attention_size = 16
answer_size = 16
dropout = 0.1

[[stages]]
epochs = 16
pictures_per_batch = 4
learning_rate = 2e-2
warmup = 4
label_smoothing = 0.0
patience = 16

[training]
log_every = 1

[decoding]
beam = 3
max_length = 10
"""


@pytest.fixture(scope="session")
def named(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a complete run that names the concepts of the small world's pictures; to be read only."""
    folder = tmp_path_factory.mktemp("named")
    return trained_by(recipe_reader(folder / "namer.toml", NAMER.format(world))(), folder)


@pytest.fixture(scope="session")
def asking(world: Path, named: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., AnyRecipe]:
    """`asking("stages.0.epochs=1", ...)` is a recipe of a small asker about the small world's pictures.

    The animal and the place are asked about without an answer; the colour, the place and "yes" have a question each.
    """
    folder = tmp_path_factory.mktemp("asking")
    records = json.loads((world / "captions.json").read_text(encoding="utf-8"))
    content = [_questions(record, number) for number, record in enumerate(records)]
    (folder / "questions.json").write_text(json.dumps(content), encoding="utf-8")
    return recipe_reader(folder / "asker.toml", ASKER.format(folder, world, named))


def _questions(record: dict[str, object], number: int) -> dict[str, object]:
    colour, animal, place = str(record["file"]).removesuffix(".jpg").split("-")
    answered = [
        {"question": f"What colour is the {animal}?", "answer": colour, "answer_type": "other"},
        {"question": f"Is it a {animal}?", "answer": "yes", "answer_type": "yes/no"},
        {"question": f"Where is the {animal}?", "answer": place},
    ]
    asked = [f"What is the {animal} doing?", f"Why is the {animal} in the {place}?"]
    return {
        "file": record["file"],
        "image_id": number,
        "split": record["split"],
        "questions": asked,
        "vqa": answered,
    }


@pytest.fixture(scope="session")
def asker_run(asking: Callable[..., AnyRecipe], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a complete run that asks about the small world's pictures; to be read only."""
    return trained_by(asking(), tmp_path_factory.mktemp("runs"))


NAMING = """
name = "naming"
task = "concepts"
seed = 3

[data]
captions = "{0}/captions.json"
features = "{0}/grids.h5"
flipped = "{0}/grids-flipped.h5"

[model]
name = "concept_head"
pooling = "mean"
hidden_size = 32
dropout = 0.1

[[stages]]
epochs = 30
pictures_per_batch = 4
learning_rate = 2e-2
warmup = 4
average = 0.8
patience = 30
"""


@pytest.fixture(scope="session")
def naming(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., AnyRecipe]:
    """`naming("stages.0.epochs=1", ...)` is a recipe of a small namer of the small world's pictures."""
    return recipe_reader(tmp_path_factory.mktemp("recipes") / "naming.toml", NAMING.format(world))


@pytest.fixture(scope="session")
def naming_run(naming: Callable[..., AnyRecipe], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a complete run of a namer; only evaluations are written into it."""
    return trained_by(naming(), tmp_path_factory.mktemp("runs"))
