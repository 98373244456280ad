"""What every test may ask for. Nothing here imports torch, so that tests of the torch-free parts start at once."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent

# Sums depend on the number of threads, so every test runs with one, whatever the machine. Set before anything loads
# torch or a BLAS, which read it once, and inherited by the processes that tests start.
os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MPLBACKEND="Agg")


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
