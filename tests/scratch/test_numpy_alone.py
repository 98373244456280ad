"""The engine runs where NumPy is the only package that can be imported."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import sys
import numpy as np

class NumPyAlone:
    def find_spec(self, name, path=None, target=None):
        top = name.split(".")[0]
        if top not in sys.stdlib_module_names | {"numpy", "seesay"}:
            raise ModuleNotFoundError(f"No module named '{name}'", name=name)

sys.meta_path.insert(0, NumPyAlone())
import importlib, pkgutil
import seesay.scratch

for found in pkgutil.walk_packages(seesay.scratch.__path__, "seesay.scratch."):
    importlib.import_module(found.name)
layer = seesay.scratch.LSTM(3, 4, bidirectional=True)
output, state, cache = layer.forward(np.ones((5, 2, 3), np.float32), lengths=[5, 2])
assert layer.backward(cache, output).x.shape == (5, 2, 3)
"""


def test_numpy_alone() -> None:
    command = [sys.executable, "-W", "error", "-c", PROGRAM]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, "")
