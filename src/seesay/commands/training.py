"""From pictures to a trained run."""

from __future__ import annotations

import enum
import os
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seesay.commands.options import Bad, OnBad
from seesay.errors import RecipeError, SeesayError, UnknownName

if TYPE_CHECKING:  # training takes seconds to import
    from seesay.run import Event


def features(
    folder: Annotated[Path, typer.Argument(help="The folder of the pictures; folders within it are read too.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The HDF5 file to write; an unfinished one is finished.")
    ],
    flipped: Annotated[bool, typer.Option("--flipped", help="Mirror each picture: more to learn from.")] = False,
    with_mirrored: Annotated[
        bool, typer.Option("--with-mirrored", help="Mean of a picture and its mirror image: better, twice the time.")
    ] = False,
    two_scales: Annotated[
        bool, typer.Option("--two-scales", help="Also at twice the side: small things are seen, five times the time.")
    ] = False,
    on_bad: Bad = OnBad.STOP,
) -> None:
    """Extract grid features of all pictures in a folder.

    Example: `seesay features photos -o grids.h5`
    """
    from seesay.files import make_folder
    from seesay.progress import bar, describe_extraction
    from seesay.vision.extraction import extract

    if folder.is_dir():  # what is wrong with it is told before anything is made
        make_folder(output.parent)
    try:
        with bar("features", "pictures") as advance:
            summary = extract(
                folder,
                output,
                flipped=flipped,
                mirrored=with_mirrored,
                two_scales=two_scales,
                on_bad=on_bad.value,
                progress=advance,
            )
    except KeyboardInterrupt:
        done = "the pictures done so far are kept" if output.exists() else "no picture was done yet"
        print(f"stopped; {done}; run the same command again and it goes on", file=sys.stderr)
        sys.exit(130)
    print("\n".join(describe_extraction(output, summary)))


def train(
    recipe: Annotated[str | None, typer.Argument(help="A recipe file, or the name of one of seesay's own.")] = None,
    settings: Annotated[list[str] | None, typer.Option("--set", help="Change a setting: stages.0.epochs=3.")] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Run folder; else runs/NAME.")] = None,
    resume: Annotated[Path | None, typer.Option("--resume", help="Go on with this run exactly.")] = None,
) -> None:
    """Train a captioner, a tagger or a classifier as a recipe says, or go on with a run.

    Examples: `seesay train recipes/flickr8k-attend.toml --set stages.0.epochs=5` or
    `seesay train --resume runs/flickr8k-attend`
    """
    from seesay import run
    from seesay.progress import follow_training
    from seesay.recipe import find_recipe, read_recipe
    from seesay.restoring import recipe_in

    _check_alone()
    if (recipe is None) == (resume is None):
        raise SeesayError("train: expected either a recipe or --resume RUN, such as 'seesay train recipes/demo.toml'.")
    if resume is not None:
        if settings or output:
            raise SeesayError("train --resume: goes on exactly as the run began; --set and -o are for new runs.")
        path, events = resume, run.resume(resume)
    else:
        file = find_recipe(str(recipe))
        chosen = read_recipe(file, settings or [])
        path = output or Path("runs") / chosen.name
        events = _by_recipe(run.train(chosen, path), file)
    name = shlex.quote(str(path))
    try:
        follow_training(events)
    except KeyboardInterrupt:
        print(_stopped(path), file=sys.stderr)
        sys.exit(130)
    uses = {task: f"{task} {name} PHOTO" for task in ("caption", "ask", "concepts")}
    uses |= {task: f"{task} {name} < TEXT" for task in ("tag", "classify")}
    use = uses[recipe_in(path).task]
    print(f"{path}: trained. Next: seesay evaluate {name}, seesay report {name}, seesay {use}")


def _check_alone() -> None:
    """Raises SeesayError within a launcher of several processes, which would all write the same run."""
    if (processes := os.environ.get("WORLD_SIZE", "1")) not in ("", "0", "1"):
        raise SeesayError(
            f"WORLD_SIZE: received {processes}, as torchrun sets it; expected one process, as seesay trains in one, "
            "with as many threads as OMP_NUM_THREADS says; start 'seesay train' by itself."
        )


def _by_recipe(events: Iterator[Event], file: Path) -> Iterator[Event]:
    """The events of a training; what is wrong with its recipe names the recipe's file."""
    try:
        yield from events
    except (RecipeError, UnknownName) as fault:
        if isinstance(fault, UnknownName) and not str(fault).startswith("Unknown"):  # it names a file of its own
            raise
        raise RecipeError(f"{file}: {fault}") from None


def _stopped(path: Path) -> str:
    """What Ctrl-C leaves behind, and how to go on."""
    if (path / "checkpoints" / "last.safetensors").exists():
        again = f"seesay train --resume {shlex.quote(str(path))}"
        return f"stopped; what was saved is whole ('{again}' goes on from there)"
    return "stopped; nothing was kept yet; run the same command again and it begins anew"


class Kind(enum.Enum):
    """Whose weights they are."""

    M2 = "m2"
    S2 = "s2"


def import_weights(
    kind: Annotated[Kind, typer.Argument(help="m2, the meshed-memory transformer, or s2.")],
    file: Annotated[Path, typer.Argument(help="The released weights, a .pth file; nothing in it is run.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The run folder to make.")],
    vocabulary: Annotated[Path, typer.Option(help="Its words in order of their ids: a line each, or JSON.")],
    captions: Annotated[Path | None, typer.Option(help="Captions to evaluate on.")] = None,
    features: Annotated[Path | None, typer.Option(help="Features to evaluate on.")] = None,
    encoder: Annotated[str | None, typer.Option(help="What made its features, where --features does not say.")] = None,
    heads: Annotated[int, typer.Option(min=1, help="Attention heads, which weights do not tell.")] = 8,
) -> None:
    """Make a run folder of weights that others released.

    Example: `seesay import-weights m2 meshed_memory_transformer.pth -o runs/m2 --vocabulary words.txt`
    """
    from seesay.importing import import_run, told

    if features and encoder:
        raise SeesayError(f"--encoder {encoder}: received with --features, which say what made them; omit it.")
    released = import_run(
        kind.value,
        file,
        output,
        vocabulary,
        captions=captions,
        features=features,
        encoder=encoder,
        heads=heads,
    )
    print(told(released, output, captions, features, encoder))


def demo(
    output: Annotated[Path, typer.Option("--output", "-o", help="The run folder to make.")] = Path("runs/demo"),
) -> None:
    """The whole road on the 76 photographs that come with seesay: features, training, scores, captions, report.

    Example: `seesay demo`
    """
    from seesay.demo import run_demo

    run_demo(output)
