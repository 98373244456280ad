"""No load path of seesay runs what a file says: a check of the syntax tree of every source file."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parent.parent / "src" / "seesay"
FILES = sorted(SOURCE.rglob("*.py"))

PICKLES = {"pickle", "_pickle", "cPickle", "cloudpickle", "dill", "joblib", "jsonpickle", "marshal", "shelve"}
RUNS_CODE = {"eval", "exec", "compile"}
UNSAFE = {"yaml.load", "yaml.unsafe_load", "yaml.full_load", "torch.hub.load", "torch.jit.load", "pandas.read_pickle"}


def aliases(tree: ast.AST) -> dict[str, str]:
    """Local name -> what it stands for: {"np": "numpy"}."""
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            plain = [name.name.split(".")[0] for name in node.names if not name.asname]
            found |= {name: name for name in plain}
            found |= {name.asname: name.name for name in node.names if name.asname}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found |= {name.asname or name.name: f"{node.module}.{name.name}" for name in node.names}
    return found


def dotted(node: ast.expr, known: dict[str, str]) -> str:
    """`numpy.load` for np.load; empty where the expression is no plain dotted name."""
    if isinstance(node, ast.Attribute):
        stem = dotted(node.value, known)
        return f"{stem}.{node.attr}" if stem else ""
    return known.get(node.id, node.id) if isinstance(node, ast.Name) else ""


def is_literal(call: ast.Call, keyword: str, value: bool) -> bool:
    """Whether the call passes keyword=value, spelt out."""
    passed = {entry.arg: entry.value for entry in call.keywords}.get(keyword)
    return isinstance(passed, ast.Constant) and passed.value is value


def imported(node: ast.AST) -> Iterator[str]:
    """Top-level packages that an import statement names."""
    if isinstance(node, ast.Import):
        yield from (name.name.split(".")[0] for name in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
        yield node.module.split(".")[0]


def fault_of_call(call: ast.Call, known: dict[str, str]) -> str | None:
    """Why this call may run what a file says, or None."""
    name = dotted(call.func, known)
    if name in RUNS_CODE or name in UNSAFE:
        return name
    if name == "torch.load" and not is_literal(call, "weights_only", True):
        return "torch.load without weights_only=True"
    if any(entry.arg == "allow_pickle" for entry in call.keywords) and not is_literal(call, "allow_pickle", False):
        return "allow_pickle"
    if name in {"numpy.load", "torch.load"} and any(entry.arg is None for entry in call.keywords):
        return f"{name} with ** arguments"
    if name == "numpy.load" and len(call.args) > 2:
        return "numpy.load with positional allow_pickle"
    first = call.args[0] if call.args else None
    if name.endswith("import_module") and isinstance(first, ast.Constant) and str(first.value).split(".")[0] in PICKLES:
        return f"import of {first.value}"
    return None


def faults(source: str) -> list[str]:
    """Every way in which a source text could run what a loaded file says."""
    tree = ast.parse(source)
    known = aliases(tree)
    found = [f"import of {name}" for node in ast.walk(tree) for name in imported(node) if name in PICKLES]
    calls = [fault_of_call(node, known) for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return found + [fault for fault in calls if fault]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_source_loads_no_code(path: Path) -> None:
    assert faults(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("source", "fault"),
    [
        ("import pickle", "import of pickle"),
        ("def f():\n    from dill import loads", "import of dill"),
        ("import joblib.memory as m", "import of joblib"),
        ("import importlib\nimportlib.import_module('shelve')", "import of shelve"),
        ("import torch\ntorch.load(f)", "torch.load without weights_only=True"),
        ("import torch as t\nt.load(f, weights_only=False)", "torch.load without weights_only=True"),
        ("from torch import load\nload(f, weights_only=safe)", "torch.load without weights_only=True"),
        ("import torch\ntorch.load(f, weights_only=True, **more)", "torch.load with ** arguments"),
        ("import numpy as np\nnp.load(f, allow_pickle=True)", "allow_pickle"),
        ("from numpy import load as read\nread(f, None, True)", "numpy.load with positional allow_pickle"),
        ("import numpy as np\nnp.lib.format.read_array(f, allow_pickle=flag)", "allow_pickle"),
        ("import torch.jit\ntorch.jit.load(f)", "torch.jit.load"),
        ("import yaml\nyaml.load(f)", "yaml.load"),
        ("eval(text)", "eval"),
        ("exec(text)", "exec"),
    ],
)
def test_notices(source: str, fault: str) -> None:
    assert faults(source) == [fault]


@pytest.mark.parametrize(
    "source",
    [
        "model.eval()",
        "import re\nre.compile('a')",
        "import json\njson.load(f)",
        "import torch\ntorch.load(f, map_location='cpu', weights_only=True)",
        "import numpy as np\nnp.load(f)\nnp.load(f, allow_pickle=False)",
    ],
)
def test_lets_pass(source: str) -> None:
    assert faults(source) == []
