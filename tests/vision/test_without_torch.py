"""Pictures to features in a process where importing torch fails."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np

from seesay.data.features import FeatureStore
from seesay.data.images import find_pictures
from seesay.vision.encoders import load_encoder
from seesay.vision.extraction import Summary, extract

BLOCK_TORCH = """
import sys

class NoTorch:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "torch":
            raise ModuleNotFoundError(f"No module named '{name}'", name=name)

sys.meta_path.insert(0, NoTorch())
"""

EXTRACTS = """
from seesay.vision.extraction import extract

extract(sys.argv[1], sys.argv[2], batch_size=2)
extract(sys.argv[1], sys.argv[3], batch_size=1, flipped=True, threads=3)
"""

ASKS_FOR_TORCH = """
from seesay.errors import MissingPart
from seesay.vision.encoders import load_encoder

try:
    load_encoder(engine="torch")
except MissingPart as error:
    print(error)
"""

IMPORTS = """
import seesay.vision.encoders, seesay.vision.extraction

print([name for name in sys.modules if name.split(".")[0] == "torch"])
"""


def run(program: str, *arguments: Path) -> str:
    """What a fresh interpreter, which takes warnings for errors, prints of this."""
    command = [sys.executable, "-W", "error", "-c", program, *map(str, arguments)]
    result = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", timeout=120, check=False)
    assert result.stderr == ""
    return result.stdout


def test_extracts_what_torch_does_and_torch_goes_on_with_it(demo_pictures: Path, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    for path in find_pictures(demo_pictures)[:3]:
        shutil.copy(path, folder)
    paths = tmp_path / "grids.h5", tmp_path / "flipped.h5"
    run(BLOCK_TORCH + EXTRACTS, folder, *paths)
    for path, flipped in zip(paths, (False, True), strict=True):
        here = tmp_path / f"torch-{path.name}"
        extract(folder, here, encoder=load_encoder(flipped=flipped, engine="torch"))
        without, with_torch = FeatureStore(path), FeatureStore(here)
        assert without.ids == with_torch.ids
        assert (without.encoder, without.flipped) == (with_torch.encoder, flipped)
        one, other = (store.read(store.ids).astype(np.float32) for store in (without, with_torch))
        np.testing.assert_allclose(one, other, rtol=2**-10, atol=1e-4)
        # A file that one engine made is one to the other: nothing to do, and a new picture is added.
        encoder = load_encoder(flipped=flipped, engine="torch")
        assert extract(folder, path, encoder=encoder).nothing_to_do
    shutil.copy(find_pictures(demo_pictures)[3], folder)
    assert extract(folder, paths[0], encoder=load_encoder(engine="torch")) == Summary(made=1, kept=3, skipped={})


def test_torch_asked_for_and_not_there_is_told() -> None:
    assert run(BLOCK_TORCH + ASKS_FOR_TORCH).startswith("engine torch: torch is not installed; expected the package ")


def test_with_torch_there_it_is_imported_only_for_an_encoder() -> None:
    assert run("import sys\n" + IMPORTS) == "[]\n"
