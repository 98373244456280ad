"""The command line: each command parses, calls and prints.

Heavy parts are imported inside the commands, so that `seesay --help` and mistakes answer at once.
"""

from __future__ import annotations

import enum
import gc
import io
import json
import re
import shlex
import sys
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from seesay import __version__
from seesay.errors import SeesayError

app = typer.Typer(
    name="seesay",
    help="Turn pictures into words: train compact captioners on your own pictures, score them, put them to work.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    add_completion=False,
)


class OnBad(enum.Enum):
    """What becomes of a run over many pictures when one cannot be read."""

    STOP = "stop"
    SKIP = "skip"


Run = Annotated[Path, typer.Argument(help="A run folder, as 'seesay train' makes it.")]
Bad = Annotated[OnBad, typer.Option(help="What to do with a picture that cannot be read.")]
Device = Annotated[str, typer.Option(help="Where to compute: cpu, cuda or cuda:1.")]
Beam = Annotated[int | None, typer.Option(min=1, help="Beam width; 1 is greedy. Otherwise as in the recipe.")]
Json = Annotated[Path | None, typer.Option("--json", help="Write scores as JSON to this file.", dir_okay=False)]


_UsageError: Any = typer.BadParameter.__base__  # of the click that typer uses, its own or the package
STOPPED = {  # what Ctrl-C leaves behind
    "train": "what was saved is whole ('seesay train --resume RUN' goes on from there)",
    "features": "the pictures done so far are kept; run the same command again and it goes on",
    "demo": "what was done so far is kept; run the same command again and it goes on",
}


def main() -> None:
    """The entry point: whatever a person can mend is one line on stderr and exit code 2."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal that cannot show a path must not stop the work
            stream.reconfigure(errors="backslashreplace")
    try:
        code = app(prog_name="seesay", standalone_mode=False)
    except SeesayError as fault:
        _refuse(str(fault))
    except _UsageError as fault:
        if type(fault).__name__ == "NoArgsIsHelpError":
            fault.show()
            sys.exit(2)
        _refuse(_misused(fault))
    except (OSError, MemoryError, RuntimeError) as fault:
        if isinstance(fault, RuntimeError) and not re.search(r"out of memory|(allocate|enough) memory", str(fault)):
            raise  # a fault of ours
        _refuse(_lacking(fault))
    if code == 130:  # what typer makes of Ctrl-C
        done = STOPPED.get(next((word for word in sys.argv[1:] if not word.startswith("-")), ""))
        print(f"stopped; {done}" if done else "stopped", file=sys.stderr)
    sys.exit(code)


def _refuse(line: str) -> NoReturn:
    print(f"error: {' '.join(line.split())}", file=sys.stderr)
    sys.exit(2)


def _misused(fault: Any) -> str:
    """A usage error of click's in one line."""
    command = fault.ctx.command_path if fault.ctx else "seesay"
    return f"{fault.format_message().rstrip('.')}; '{command} --help' lists what is expected."


def _lacking(fault: Exception) -> str:
    """One line for what the machine refuses: a file, the disk, memory."""
    if isinstance(fault, OSError):
        where = fault.filename or "seesay"
        return f"{where}: received '{fault.strerror or fault}'; expected to read or write it; check path and disk."
    reason = str(fault).strip().partition("\n")[0][:100] or "no room left"
    return f"memory: {reason}; expected enough of it; take a smaller --beam, model or batch."


@app.callback(invoke_without_command=True)
def _root(version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False) -> None:
    if version:
        print(__version__)
        raise typer.Exit


@app.command()
def features(
    folder: Annotated[Path, typer.Argument(help="The folder of the pictures; folders within it are read too.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The HDF5 file to write; an unfinished one is finished.")
    ],
    flipped: Annotated[bool, typer.Option("--flipped", help="Mirror each picture: more to learn from.")] = False,
    on_bad: Bad = OnBad.STOP,
) -> None:
    """Extract grid features of all pictures in a folder.

    Example: `seesay features photos -o grids.h5`
    """
    from seesay.progress import bar, describe_extraction
    from seesay.vision.extraction import extract

    with bar("features", "pictures") as advance:
        summary = extract(folder, output, flipped=flipped, on_bad=on_bad.value, progress=advance)
    print("\n".join(describe_extraction(output, summary)))


@app.command()
def train(
    recipe: Annotated[str | None, typer.Argument(help="A recipe file, or the name of one of seesay's own.")] = None,
    settings: Annotated[list[str] | None, typer.Option("--set", help="Change a setting: stages.0.epochs=3.")] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Run folder; else runs/NAME.")] = None,
    resume: Annotated[Path | None, typer.Option("--resume", help="Go on with this run exactly.")] = None,
) -> None:
    """Train a captioner as a recipe says, or go on with a run.

    Examples: `seesay train recipes/flickr8k-attend.toml --set stages.0.epochs=5` or
    `seesay train --resume runs/flickr8k-attend`
    """
    from seesay import run
    from seesay.progress import follow_training
    from seesay.recipe import find_recipe, read_recipe

    if (recipe is None) == (resume is None):
        raise SeesayError("train: expected either a recipe or --resume RUN, such as 'seesay train recipes/demo.toml'.")
    if resume is not None:
        if settings or output:
            raise SeesayError("train --resume: goes on exactly as the run began; --set and -o are for new runs.")
        path, events = resume, run.resume(resume)
    else:
        chosen = read_recipe(find_recipe(str(recipe)), settings or [])
        path = output or Path("runs") / chosen.name
        events = run.train(chosen, path)
    follow_training(events)
    name = shlex.quote(str(path))
    print(f"{path}: trained. Next: seesay evaluate {name}, seesay report {name}, seesay caption {name} PHOTO")


@app.command()
def evaluate(
    run: Run,
    split: Annotated[str, typer.Option(help="Which split of the captions: dev, test or train.")] = "dev",
    beam: Beam = None,
    length_penalty: Annotated[float | None, typer.Option(help="0 ranks by probability, 1 by the mean word's.")] = None,
    captions: Annotated[Path | None, typer.Option(help="Other captions than the recipe's.")] = None,
    features: Annotated[Path | None, typer.Option(help="Other features than the recipe's.")] = None,
    json_file: Json = None,
) -> None:
    """Caption and score a whole split with the best checkpoint of a run.

    Example: `seesay evaluate runs/demo --split dev --beam 5 --json scores.json`
    """
    from seesay import evaluation
    from seesay.captioner import with_options
    from seesay.progress import bar, print_scores, tell

    decoding = evaluation.decoding_of(run)
    decoding = with_options(decoding, method="beam" if beam else None, beam=beam, length_penalty=length_penalty)
    with bar("captions", "pictures") as advance:
        result = evaluation.evaluate(run, split, decoding, captions, features, advance, tell)
    print_scores(result)
    print(f"captions: {evaluation.captions_file(run, split, decoding, captions, features)}")
    _write_json(json_file, result.to_json())


@app.command()
def caption(
    run: Run,
    photos: Annotated[list[Path], typer.Argument(help="Photographs: JPEG, PNG, WebP, GIF or BMP.")],
    beam: Beam = None,
    n_best: Annotated[int, typer.Option(min=1, help="How many captions a photograph.")] = 1,
    sample: Annotated[bool, typer.Option("--sample", help="Draw captions at random instead of searching.")] = False,
    temperature: Annotated[float | None, typer.Option(help="Sampling: below 1 is safer, above 1 is wilder.")] = None,
    top_k: Annotated[int | None, typer.Option(help="Sampling: from the likeliest so many words; 0 is all.")] = None,
    top_p: Annotated[float | None, typer.Option(help="Sampling: from the likeliest words of so much chance.")] = None,
    seed: Annotated[int | None, typer.Option(help="Sampling: the same seed draws the same captions.")] = None,
    on_bad: Bad = OnBad.STOP,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False,
    device: Device = "cpu",
) -> None:
    """Describe photographs.

    Example: `seesay caption runs/demo photo.jpg --beam 5 --n-best 3`
    """
    gc.disable()  # importing torch makes half a million objects that stay: nothing to collect, a sixth of the time
    from seesay.captioner import Captioner, choose_search

    gc.enable()

    captioner = Captioner.open(run, device)
    drawing = {"temperature": temperature, "top_k": top_k, "top_p": top_p}
    decoding = choose_search(captioner.decoding, beam, n_best, sample, drawing, seed)
    told = None if on_bad is OnBad.STOP else lambda fault: print(f"skipped: {fault}", file=sys.stderr)
    listed = []
    for photo, some in captioner.stream(photos, decoding, seed, told):
        if as_json:
            listed.append({"file": str(photo), "captions": [each.as_dict() for each in some[:n_best]]})
        else:
            print(
                "\n".join([str(photo), *(f"  {each.text}   ({each.score:.2f})" for each in some[:n_best])]), flush=True
            )
    if as_json:
        print(json.dumps(listed, ensure_ascii=False, indent=1))


@app.command()
def report(run: Run) -> None:
    """Write one self-contained page about a run: curves, scores, captions and where the model looked.

    Example: `seesay report runs/demo`
    """
    from seesay.evaluation import write_run_report

    print(f"report: {write_run_report(run)}")


@app.command()
def score(
    references: Annotated[Path, typer.Argument(help="COCO annotations, Karpathy, {id: [captions]} or captions.json.")],
    results: Annotated[Path, typer.Argument(help='COCO results, [{"image_id", "caption"}], or {id: caption}.')],
    against: Annotated[Path | None, typer.Option(help="Results of another system, for a paired test.")] = None,
    split: Annotated[str | None, typer.Option(help="Which split of REFERENCES, where it has splits.")] = None,
    subset: Annotated[bool, typer.Option("--subset", help="REFERENCES may have more pictures than RESULTS.")] = False,
    training: Annotated[Path | None, typer.Option(help="Captions learned from, for the share of novel ones.")] = None,
    sets: Annotated[Path | None, typer.Option(help="Several captions a picture, {id: [captions]}, for mBLEU.")] = None,
    spice: Annotated[bool, typer.Option("--spice", help="SPICE too, where Java and its parts are.")] = False,
    samples: Annotated[int, typer.Option(min=100, help="Resampled corpora for intervals and tests.")] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Of the resampling.")] = 0,
    per_image: Annotated[Path | None, typer.Option(help="Write each picture's scores as CSV.", dir_okay=False)] = None,
    json_file: Json = None,
    html: Annotated[Path | None, typer.Option(help="Write a page with tables and pictures.", dir_okay=False)] = None,
) -> None:
    """Score captions against human ones as COCO does: BLEU, METEOR, ROUGE-L, CIDEr-D, CIDEr; how varied they are.

    Example: `seesay score annotations.json results.json --against other.json --html scores.html`
    """
    from seesay.files import check_outputs
    from seesay.metrics.files import read_novelty, read_other, read_pair, read_references, write_table
    from seesay.metrics.scoring import COCO, METRICS
    from seesay.metrics.study import study
    from seesay.progress import print_study, tell

    check_outputs([per_image, json_file, html], [references, results, against, training, sets])
    human, generated = read_pair(references, results, split, subset)
    other = read_other(against, generated) if against else None
    known = read_novelty(training) if training else None
    several = read_references(sets) if sets else None
    found = study(generated, human, other, known, several, METRICS if spice else COCO, samples, seed, tell)
    print_study(found)
    if per_image:
        write_table(per_image, found.evaluation.per_id, generated)
        print(f"written: {per_image}")
    _write_json(json_file, found.to_json())
    if html:
        from seesay.report.scores import write_scores  # brings Pillow, which scores alone do not need

        write_scores(html, found, generated, human, (results.name, against.name if against else ""))
        print(f"written: {html}")


@app.command()
def demo(
    output: Annotated[Path, typer.Option("--output", "-o", help="The run folder to make.")] = Path("runs/demo"),
) -> None:
    """The whole road on the 76 photographs that come with seesay: features, training, scores, captions, report.

    Example: `seesay demo`
    """
    from seesay.demo import run_demo

    run_demo(output)


def _write_json(path: Path | None, content: Any) -> None:
    if path is not None:
        from seesay.files import write_json

        write_json(path, content)
        print(f"written: {path}")
