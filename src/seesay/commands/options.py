"""Arguments and options that several commands share."""

from __future__ import annotations

import enum
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer


class OnBad(enum.Enum):
    """What becomes of a run over many pictures when one cannot be read."""

    STOP = "stop"
    SKIP = "skip"


class EngineName(enum.Enum):
    """What a model runs on."""

    TORCH = "torch"
    NUMPY = "numpy"


Run = Annotated[Path, typer.Argument(help="A run folder, as 'seesay train' makes it.")]
Bad = Annotated[OnBad, typer.Option(help="What to do with a picture that cannot be read.")]
Device = Annotated[str, typer.Option(help="Where to compute: cpu, cuda or cuda:1.")]
On = Annotated[EngineName | None, typer.Option("--engine", help="What to compute with; else what trained the run.")]
Beam = Annotated[int | None, typer.Option(min=1, help="Beam width; 1 is greedy. Otherwise as in the recipe.")]
Consensus = Annotated[
    bool, typer.Option("--consensus", help="What most of 100 drawn captions agree with: the best scores, slower.")
]
Drawn = Annotated[int | None, typer.Option("--drawn", min=2, help="Consensus: so many; more are better, and slower.")]
Encoding = Annotated[str, typer.Option(help="Of standard input.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
Json = Annotated[Path | None, typer.Option("--json", help="Write scores as JSON to this file.", dir_okay=False)]


def keep_json(path: Path | None, content: Any) -> None:
    """Write the content where a file was named."""
    if path is not None:
        from seesay.files import write_json

        write_json(path, content)
        print(f"written: {path}")


def refuse(run: Path, what: str, given: Mapping[str, Any]) -> None:
    """Raises RecipeError for the options that were `given` a value but would have no effect on such a run."""
    from seesay.errors import RecipeError

    without_use = [name for name, value in given.items() if value is not None]
    if without_use:
        raise RecipeError(f"{', '.join(without_use)}: received for {run}, {what}; expected for a captioner; omit it.")


def typed_lines(encoding: str = "utf-8") -> list[str]:
    """The lines of standard input.

    Only a line feed ends a line, as in files. Raises DataError, with the line, for bytes that are not of the encoding.
    """
    from seesay.data.labels import decoded

    text = decoded(sys.stdin.buffer.read(), encoding, "standard input", ", line ")
    return [line.rstrip("\r") for line in text.removesuffix("\n").split("\n")] if text else []
