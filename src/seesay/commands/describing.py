"""A trained run put to work, judged and shown."""

from __future__ import annotations

import enum
import gc
import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from seesay.commands.asking import evaluate_asker, refuse_for_asker
from seesay.commands.classifying import evaluate_classifier
from seesay.commands.naming import evaluate_namer
from seesay.commands.options import Bad, Beam, Device, Json, On, OnBad, Run, keep_json


class Precision(enum.Enum):
    """What a model in use computes in."""

    FLOAT32 = "float32"
    BF16 = "bf16"
    INT8 = "int8"


In = Annotated[Precision, typer.Option("--precision", help="bf16, int8: faster where the processor is; less exact.")]
Penalty = Annotated[
    float | None, typer.Option("--length-penalty", help="0 ranks by probability, 1 by the mean word's.")
]
Least = Annotated[int | None, typer.Option("--min-length", min=0, help="The fewest words of a caption.")]
NoRepeat = Annotated[int | None, typer.Option("--no-repeat", min=0, help="No so many words in a row twice; 0 is off.")]


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
    groups: Annotated[int | None, typer.Option(min=1, help="Parts of the beam that say different things.")] = None,
    diversity: Annotated[float | None, typer.Option(help="How much the groups avoid one another's words.")] = None,
    length_penalty: Penalty = None,
    min_length: Least = None,
    no_repeat: NoRepeat = None,
    forbid: Annotated[str | None, typer.Option(help='Words not to say: "man woman".')] = None,
    require: Annotated[str | None, typer.Option(help='Words that each caption must have: "dog ball".')] = None,
    also: Annotated[list[Path] | None, typer.Option("--with", help="Another run to ask too: the mean of all.")] = None,
    precision: In = Precision.FLOAT32,
    on_bad: Bad = OnBad.STOP,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False,
    device: Device = "cpu",
    engine: On = None,
) -> None:
    """Describe photographs.

    Example: `seesay caption runs/demo photo.jpg --beam 5 --n-best 3`
    """
    from seesay.captioner import Captioner, choose_search

    gc.disable()  # importing torch makes half a million objects that stay: nothing to collect, a sixth of the time
    runs, on = [run, *(also or [])], engine.value if engine else None
    captioner = Captioner.together(runs, device, on, precision.value)
    gc.enable()
    drawing = {"temperature": temperature, "top_k": top_k, "top_p": top_p}
    further: dict[str, Any] = {
        "groups": groups,
        "diversity": diversity,
        "length_penalty": length_penalty,
        "min_length": min_length,
    }
    further |= {"no_repeat_ngram": no_repeat, "forbidden": forbid, "required": require}
    decoding = choose_search(captioner.decoding, beam, n_best, sample, drawing, seed, further)
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


def evaluate(
    run: Run,
    split: Annotated[str, typer.Option(help="Which split: dev, test or train.")] = "dev",
    beam: Beam = None,
    length_penalty: Penalty = None,
    min_length: Least = None,
    no_repeat: NoRepeat = None,
    precision: In = Precision.FLOAT32,
    captions: Annotated[Path | None, typer.Option(help="Other captions than the recipe's.")] = None,
    features: Annotated[Path | None, typer.Option(help="Other features than the recipe's.")] = None,
    json_file: Json = None,
) -> None:
    """Caption, name, tag or label, and score a whole split with the best checkpoint of a run.

    Example: `seesay evaluate runs/demo --split dev --beam 5 --json scores.json`
    """
    from seesay import evaluation
    from seesay.captioner import with_options
    from seesay.progress import bar, print_scores, tell
    from seesay.recipe import AskRecipe, ClassifyRecipe, ConceptRecipe, TagRecipe
    from seesay.restoring import recipe_in

    recipe = recipe_in(run)
    if isinstance(recipe, TagRecipe | ClassifyRecipe):
        given: dict[str, Any] = {"--beam": beam, "--length-penalty": length_penalty, "--min-length": min_length}
        given |= {"--no-repeat": no_repeat, "--captions": captions, "--features": features}
        judge = _evaluate_tagger if isinstance(recipe, TagRecipe) else evaluate_classifier
        judge(run, split, json_file, [name for name, value in given.items() if value is not None])
        return
    if isinstance(recipe, ConceptRecipe):
        given = {"--beam": beam, "--length-penalty": length_penalty, "--min-length": min_length}
        given |= {"--no-repeat": no_repeat, "--precision": precision.value if precision.value != "float32" else None}
        unused = [name for name, value in given.items() if value is not None]
        evaluate_namer(run, split, captions, features, json_file, unused)
        return
    if isinstance(recipe, AskRecipe):
        refuse_for_asker(run, {"--captions": captions, "--features": features, "--precision": precision.value})
        changes = {"method": "beam" if beam else None, "beam": beam, "length_penalty": length_penalty}
        evaluate_asker(run, split, changes | {"min_length": min_length, "no_repeat_ngram": no_repeat}, json_file)
        return
    decoding = evaluation.decoding_of(run)
    decoding = with_options(decoding, method="beam" if beam else None, beam=beam, length_penalty=length_penalty)
    decoding = with_options(decoding, min_length=min_length, no_repeat_ngram=no_repeat)
    with bar("captions", "pictures") as advance:
        result = evaluation.evaluate(run, split, decoding, captions, features, advance, tell, precision.value)
    print_scores(result)
    print(f"captions: {evaluation.captions_file(run, split, decoding, captions, features, precision.value)}")
    keep_json(json_file, result.to_json())


def _evaluate_tagger(run: Path, split: str, json_file: Path | None, without_use: list[str]) -> None:
    from seesay.errors import RecipeError
    from seesay.progress import bar, print_tag_scores
    from seesay.tasks.tag import evaluate as evaluate_tags

    if without_use:
        raise RecipeError(f"{', '.join(without_use)}: received for {run}, a tagger; expected for a captioner; omit it.")
    with bar("tags", "sentences") as advance:
        scores, written = evaluate_tags(run, split, advance)
    print_tag_scores(scores)
    print(f"tagged sentences: {written}")
    keep_json(json_file, scores.to_json())


def tag(
    run: Run,
    frames: Annotated[Path | None, typer.Option(help="Frames, npz or HDF5, for a tagger of frames.")] = None,
    device: Device = "cpu",
    engine: On = None,
) -> None:
    """Tag the words of sentences from standard input, one sentence a line, words between spaces.

    Prints a word and its tag a line, and a blank line after each sentence; of frames, the sequence and the frame's
    number instead of the word.

    Example: `echo "The dog runs ." | seesay tag runs/tagger`
    """
    from seesay.tagger import Tagger

    tagger = Tagger.open(run, device, engine.value if engine else None)  # first: nobody should type for a wrong run
    if frames is not None or tagger.frame_size:
        for name, tags in tagger.tag_file(frames):
            print("".join(f"{name}:{number}\t{tag}\n" for number, tag in enumerate(tags)))
        return
    if sys.stdin.isatty():
        print("Type sentences, words between spaces; Ctrl-D on a line of its own ends them.", file=sys.stderr)
    sentences = [line.split() for line in _typed()]
    for words, tags in zip(sentences, tagger.tag(sentences), strict=True):
        print("".join(f"{word}\t{tag}\n" for word, tag in zip(words, tags, strict=True)))


def _typed() -> list[str]:
    """The lines of standard input, in UTF-8; only a line feed ends one, as in column files."""
    from seesay.errors import DataError

    content = sys.stdin.buffer.read()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as fault:
        line = content.count(b"\n", 0, fault.start) + 1
        raise DataError(
            f"standard input, line {line}: received bytes that are not UTF-8 ({fault.reason}); expected text in UTF-8; "
            "convert it first."
        ) from None
    return text.removesuffix("\n").split("\n") if text else []


def report(run: Run) -> None:
    """Write one self-contained page about a run: curves, scores, captions and where the model looked, or mistakes.

    Example: `seesay report runs/demo`
    """
    from seesay.evaluation import write_run_report
    from seesay.restoring import recipe_in
    from seesay.tasks.asking import write_ask_report
    from seesay.tasks.classify_report import write_classify_report
    from seesay.tasks.concept_report import write_concept_report
    from seesay.tasks.tag_report import write_tag_report

    writers = {"concepts": write_concept_report, "tag": write_tag_report, "classify": write_classify_report}
    writers["ask"] = write_ask_report
    print(f"report: {writers.get(recipe_in(run).task, write_run_report)(run)}")
