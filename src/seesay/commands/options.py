"""Arguments and options that several commands share."""

from __future__ import annotations

import enum
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
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


def teller(on_bad: OnBad) -> Callable[[Exception], None] | None:
    """What hears of a picture that cannot be read, where such are to be left out."""
    return None if on_bad is OnBad.STOP else lambda fault: print(f"skipped: {fault}", file=sys.stderr)


def check_any(done: int, photos: Sequence[Path]) -> None:
    """Raises DataError where nothing was done, as not one of the photographs could be read.

    >>> check_any(1, [Path("a.jpg"), Path("b.jpg")])
    """
    from seesay.errors import DataError

    if not done:
        raise DataError(
            f"photos: none of {len(photos):,} could be read, for the reasons above; expected one at least; check the "
            "paths."
        )


def refuse(run: Path, what: str, given: Mapping[str, Any]) -> None:
    """Raises RecipeError for the options that were `given` a value but would have no effect on such a run."""
    from seesay.errors import RecipeError

    without_use = [name for name, value in given.items() if value is not None]
    if without_use:
        raise RecipeError(f"{', '.join(without_use)}: received for {run}, {what}; expected for a captioner; omit it.")


_FLAGS = {  # of what a search is given, where they are not its names in a recipe
    "candidates": "--drawn",
    "forbidden": "--forbid",
    "no_repeat_ngram": "--no-repeat",
    "required": "--require",
    "wanted": "--n-best",
}


@contextmanager
def as_typed(given: Mapping[str, Any]) -> Iterator[None]:
    """What is wrong with a search names the option that a person typed, not the key of a recipe.

    `given` are the options by their names in `seesay.decoding.settings.Decoding`; None was not typed.

    >>> from seesay.errors import RecipeError
    >>> with as_typed({"top_p": 1.5}):
    ...     raise RecipeError("decoding.top_p: received 1.5; expected a number above 0 and at most 1.")
    Traceback (most recent call last):
    seesay.errors.RecipeError: --top-p: received 1.5; expected a number above 0 and at most 1.
    """
    from seesay.errors import RecipeError

    flags = {key: _FLAGS.get(key, f"--{key.replace('_', '-')}") for key, one in given.items() if one is not None}
    try:
        yield
    except RecipeError as fault:
        section, _, rest = str(fault).partition(".")
        key, _, reason = rest.partition(":")
        if section != "decoding" or not flags:
            raise
        # A setting of the recipe's that one of the options does not suit keeps its name.
        named = f"{flags[key]}:{reason}" if key in flags else f"{', '.join(flags.values())}: {fault}"
        raise RecipeError(named) from None


def typed_lines(encoding: str = "utf-8") -> list[str]:
    """The lines of standard input.

    Only a line feed ends a line, as in files. Raises DataError, with the line, for bytes that are not of the encoding.
    """
    from seesay.data.labels import decoded

    text = decoded(sys.stdin.buffer.read(), encoding, "standard input", ", line ")
    return [line.rstrip("\r") for line in text.removesuffix("\n").split("\n")] if text else []
