"""The parts that promise to work without torch do, in a process where importing torch fails."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from seesay.recipe import AnyRecipe, write_recipe

BLOCK_TORCH = """
import sys

class NoTorch:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"torch", "torchvision"} or name == "safetensors.torch":
            raise ModuleNotFoundError(f"No module named '{name}'", name=name)

sys.meta_path.insert(0, NoTorch())
"""

IMPORT_EVERYTHING = """
import importlib, pkgutil

for part in (
    "errors", "text", "metrics", "data", "scratch", "checkpoint", "recipe", "tasks", "commands", "vision.encoders",
    "vision.extraction", "engines.numpy_engine", "decoding.numpy_search", "decoding.settings", "run", "captioner",
    "tagger", "classifier", "evaluation", "cli", "demo",
):
    module = importlib.import_module(f"seesay.{part}")
    for found in pkgutil.walk_packages(getattr(module, "__path__", []), f"seesay.{part}."):
        importlib.import_module(found.name)
        print(found.name)
assert not any(name.split(".")[0] == "torch" for name in sys.modules)
"""

SCORE_A_CAPTION = """
from seesay.metrics.scoring import evaluate
from seesay.text.ptb import tokenize
from seesay.text.vocabulary import Vocabulary

words = tokenize("A dog runs, fast.")
assert words == ["a", "dog", "runs", "fast"], words
vocabulary = Vocabulary.build([words], 1)
assert vocabulary.decode(vocabulary.encode(words)) == words
scores = evaluate({"1": "A dog runs fast."}, {"1": ["a dog runs fast", "the dog is fast"]})
print(scores.corpus["Bleu_4"])
assert abs(scores.corpus["Bleu_4"] - 1) < 1e-6
"""

READ_THE_DEMO_SET = """
from pathlib import Path
from seesay.data.images import find_pictures, open_picture, to_square
from seesay.data.records import read_records, split

records = read_records(Path({demo!r}, "captions.json"))
assert (len(split(records, "train")), len(split(records, "dev"))) == (60, 16)
assert len(find_pictures(Path({demo!r}, "images"))) == 76
pixels = to_square(open_picture(Path({demo!r}, "images", records[0].file)), 224)
assert pixels.shape == (224, 224, 3) and pixels.any()
"""

KEEP_ARRAYS = """
import tempfile
from pathlib import Path
import numpy as np
from seesay.checkpoint import read_checkpoint, write_checkpoint

path = Path(tempfile.mkdtemp(), "last.safetensors")
write_checkpoint(path, {"weight": np.arange(3.0)}, {"step": 7})
arrays, header = read_checkpoint(path)
assert arrays["weight"].tolist() == [0, 1, 2] and header["step"] == 7
"""


def without_torch(program: str) -> subprocess.CompletedProcess[str]:
    """Run a program in a fresh interpreter that has no torch and takes warnings for errors."""
    command = [sys.executable, "-W", "error", "-c", BLOCK_TORCH + program]
    return subprocess.run(command, capture_output=True, text=True, encoding="utf-8", timeout=120, check=False)


@pytest.mark.parametrize("package", ["torch", "torch.nn", "safetensors.torch"])
def test_the_block_holds(package: str) -> None:
    assert "ModuleNotFoundError: No module named" in without_torch(f"import {package}").stderr


def test_every_module_imports() -> None:
    result = without_torch(IMPORT_EVERYTHING)
    assert result.stderr == ""
    assert {"seesay.text.ptb", "seesay.metrics.scoring", "seesay.data.images"} <= set(result.stdout.split())


@pytest.mark.parametrize("program", [SCORE_A_CAPTION, KEEP_ARRAYS], ids=["scores", "keeps arrays"])
def test_works(program: str) -> None:
    assert without_torch(program).stderr == ""


def test_reads_captions_and_pictures(demo_folder: Path) -> None:
    assert without_torch(READ_THE_DEMO_SET.format(demo=str(demo_folder))).stderr == ""


PHOTOGRAPHS = """
import sys
from seesay.cli import main
from pathlib import Path

def seesay(*words):
    sys.argv = ["seesay", *map(str, words)]
    try:
        main()
    except SystemExit as end:
        assert not end.code, end.code

place, photos = Path({place!r}), Path({photos!r})
seesay("features", photos, "-o", place / "grids.h5")
seesay("train", place / "captions.toml", "-o", place / "run")
seesay("evaluate", place / "run")
seesay("caption", place / "run", sorted(photos.iterdir())[0], "--beam", 3, "--n-best", 2)
seesay("report", place / "run")
"""

SENTENCES = """
import io, sys
from types import SimpleNamespace
from seesay.cli import main
from pathlib import Path

def seesay(*words):
    sys.argv = ["seesay", *map(str, words)]
    try:
        main()
    except SystemExit as end:
        assert not end.code, end.code

seesay("train", {recipe!r}, "-o", {run!r})
seesay("evaluate", {run!r}, "--split", "test")
seesay("report", {run!r})
sys.stdin = SimpleNamespace(buffer=io.BytesIO(b"the run walk .\\n\\nthey run\\n"), isatty=lambda: False)
seesay("tag", {run!r})
assert not any(name.split(".")[0] == "torch" for name in sys.modules)
"""

CAPTIONS = """
name = "plain"
[data]
captions = "{0}/captions.json"
features = "{0}/grids.h5"
pictures = "{1}"
minimum_count = 1
[model]
name = "captioning_rnn"
hidden_size = 16
embedding_size = 8
[[stages]]
epochs = 2
[training]
engine = "numpy"
"""


def test_photographs_are_described(demo_folder: Path, tmp_path: Path) -> None:
    records = json.loads((demo_folder / "captions.json").read_text(encoding="utf-8"))[:6]
    photos = tmp_path / "photos"
    photos.mkdir()
    for number, record in enumerate(records):
        shutil.copy(demo_folder / "images" / record["file"], photos)
        record["split"] = "train" if number < 4 else "dev"
    (tmp_path / "captions.json").write_text(json.dumps(records), encoding="utf-8")
    (tmp_path / "captions.toml").write_text(CAPTIONS.format(tmp_path, photos), encoding="utf-8")
    done = without_torch(PHOTOGRAPHS.format(place=str(tmp_path), photos=str(photos)))
    assert "error" not in done.stderr and done.returncode == 0, done.stderr
    assert "features of 6 pictures" in done.stdout
    first = min(record["file"] for record in records)
    said = done.stdout[done.stdout.rindex(str(photos / first)) :].splitlines()
    assert len(said) >= 3 and all(line.startswith("  ") and line.endswith(")") for line in said[1:3])
    assert (tmp_path / "run" / "report.html").stat().st_size > 10_000


def test_sentences_are_tagged(tagging: Callable[..., AnyRecipe], tmp_path: Path) -> None:
    (tmp_path / "tagger.toml").write_bytes(write_recipe(tagging("numpy")))
    done = without_torch(SENTENCES.format(recipe=str(tmp_path / "tagger.toml"), run=str(tmp_path / "run")))
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("the\tDT\nrun\tNN\nwalk\tVB\n.\t.\n\n\nthey\tPRP\nrun\tVB\n\n")
    assert "accuracy 1.0000" in done.stdout
    assert "What was taken for what" in (tmp_path / "run" / "report.html").read_text(encoding="utf-8")


def test_what_needs_torch_says_so(plain: Callable[..., AnyRecipe], tmp_path: Path) -> None:
    (tmp_path / "plain.toml").write_bytes(write_recipe(plain("torch")))
    program = (
        "import sys\nfrom seesay.cli import main\n"
        f"sys.argv = ['seesay', 'train', {str(tmp_path / 'plain.toml')!r}, '-o', {str(tmp_path / 'run')!r}]\nmain()"
    )
    done = without_torch(program)
    assert done.returncode == 2 and done.stderr.startswith(
        "error: torch: not installed; expected it for engine 'torch'"
    )
    assert done.stderr.count("\n") == 1 and not (tmp_path / "run").exists()
