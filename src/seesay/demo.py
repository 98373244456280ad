"""The whole road on the photographs that come with seesay, from features to a report."""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path

from seesay import run
from seesay.asker import Asker
from seesay.data.features import FeatureStore
from seesay.data.records import read_records, split
from seesay.errors import CheckpointError
from seesay.evaluation import evaluate, write_run_report
from seesay.files import make_folder
from seesay.progress import bar, follow_training, print_scores, tell
from seesay.recipe import Recipe, find_recipe, locate, read_recipe
from seesay.vision.extraction import extract

ASKER = "vqg-ask"  # the run beside the demonstration's that asks, once there is one


def run_demo(output: Path) -> None:
    """Extract features, train, score, caption and report, into the run folder `output`.

    Where a run of recipes/vqg-ask.toml lies beside it, the photographs kept aside are asked about, too.
    Run again, it goes on where it was stopped; what is done is not done anew.
    Raises CheckpointError for a folder with another run in it, which stays as it is.
    """
    recipe = read_recipe(find_recipe("demo"))
    assert isinstance(recipe, Recipe)
    features = {"features": str(output / "grids.h5"), "flipped": str(output / "grids-flipped.h5")}
    recipe = recipe.model_copy(update={"data": recipe.data.model_copy(update=features)})
    _check_own(output, recipe)
    photographs = locate(recipe.data.pictures)
    make_folder(output)
    for name, flipped in (("grids.h5", False), ("grids-flipped.h5", True)):
        with bar("mirrored features" if flipped else "features", "pictures") as advance:
            extract(photographs, output / name, flipped=flipped, progress=advance)
    begun = (output / "checkpoints" / "last.safetensors").exists()
    follow_training(run.resume(output) if begun else run.train(recipe, output))
    with bar("captions", "pictures") as advance:
        print_scores(evaluate(output, progress=advance, tell=tell))
    ask_aside(output, output.parent / ASKER, locate(recipe.data.captions))
    page = write_run_report(output)
    photograph = sorted(photographs.glob("*.jpg"))[0]
    print(f"\nThe report, with attention maps for every word:  {page.resolve()}")
    print("What to try next:")
    command = f"{shlex.quote(called())} caption {shlex.quote(str(output))}"
    print(f"  {command} {shlex.quote(str(_short(photograph)))} --n-best 3")
    print(f"  {command} YOUR_PHOTO.jpg")
    print("  your own pictures and captions: five lines in README.md, 'Your own data'")


def _check_own(output: Path, recipe: Recipe) -> None:
    """Raises CheckpointError where `output` holds another run than the demonstration's, before anything is written."""
    if not (output / "recipe.toml").exists():
        return
    found = read_recipe(output / "recipe.toml")
    if isinstance(found, Recipe) and found.data.captions == recipe.data.captions:
        paths = (Path(path).resolve() for path in (found.data.features, recipe.data.features))
        if len(set(paths)) == 1:
            return
    raise CheckpointError(
        f"{output}: holds another run than the demonstration's; expected a new folder, or one that 'seesay demo' "
        "made when it was started from the same directory; choose another -o."
    )


def ask_aside(output: Path, run: Path, captions: Path) -> None:
    """Print a question about each photograph kept aside, where a run that asks is at hand, of the same features."""
    if not (run / "checkpoints" / "best.safetensors").exists():
        return
    asker, store = Asker.open(run), FeatureStore(output / "grids.h5")
    if asker.header["encoder"] != store.encoder:
        return
    files = [record.file for record in split(read_records(captions), "dev")]
    print(f"\nA question about each photograph kept aside, by {run}:")
    for file, questions in zip(files, asker.ask_about(store.read(files), [""] * len(files)), strict=True):
        print(f"  {file}  {questions[0].text}")


def called() -> str:
    """The command as a person can type it again: by its path where it was called so, or else by its name."""
    command = Path(sys.argv[0])
    by_path = command.name == "seesay" and shutil.which("seesay") != str(command)
    return str(_short(command)) if by_path else "seesay"


def _short(path: Path) -> Path:
    try:
        return path.relative_to(Path.cwd())
    except ValueError:
        return path
