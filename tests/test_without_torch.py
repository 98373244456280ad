"""The parts that promise to work without torch do, in a process where importing torch fails."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

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

for part in ("errors", "text", "metrics", "data", "scratch", "checkpoint", "recipe"):
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
