"""A trained run put to work, judged and shown."""

from __future__ import annotations

import enum
import gc
import json
from pathlib import Path
from typing import Annotated, Any

import typer

from seesay.commands.asking import evaluate_asker
from seesay.commands.classifying import evaluate_classifier
from seesay.commands.naming import evaluate_namer
from seesay.commands.options import (
    Bad,
    Beam,
    Consensus,
    Device,
    Drawn,
    Json,
    On,
    OnBad,
    Run,
    as_typed,
    check_any,
    keep_json,
    refuse,
    teller,
)
from seesay.commands.tagging import evaluate_tagger


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
Most = Annotated[int | None, typer.Option("--max-length", min=1, help="The most words of a caption.")]
With = Annotated[list[Path] | None, typer.Option("--with", help="Another run to ask too: the mean of all.")]
NoRepeat = Annotated[int | None, typer.Option("--no-repeat", min=0, help="No so many words in a row twice; 0 is off.")]


def caption(
    run: Run,
    photos: Annotated[list[Path], typer.Argument(help="Photographs: JPEG, PNG, WebP, GIF or BMP.")],
    beam: Beam = None,
    consensus: Consensus = False,
    drawn: Drawn = None,
    n_best: Annotated[int, typer.Option(min=1, help="How many captions a photograph.")] = 1,
    sample: Annotated[bool, typer.Option("--sample", help="Draw captions at random instead of searching.")] = False,
    temperature: Annotated[
        float | None, typer.Option(help="Of what is drawn: below 1 is safer, above 1 is wilder.")
    ] = None,
    top_k: Annotated[int | None, typer.Option(help="Sampling: from the likeliest so many words; 0 is all.")] = None,
    top_p: Annotated[float | None, typer.Option(help="Sampling: from the likeliest words of so much chance.")] = None,
    seed: Annotated[int | None, typer.Option(help="Sampling: the same seed draws the same captions.")] = None,
    groups: Annotated[int | None, typer.Option(min=1, help="Parts of the beam that say different things.")] = None,
    diversity: Annotated[float | None, typer.Option(help="How much the groups avoid one another's words.")] = None,
    length_penalty: Penalty = None,
    min_length: Least = None,
    max_length: Most = None,
    no_repeat: NoRepeat = None,
    forbid: Annotated[str | None, typer.Option(help='Words not to say: "man woman".')] = None,
    require: Annotated[str | None, typer.Option(help='Words that each caption must have: "dog ball".')] = None,
    also: With = None,
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
        "max_length": max_length,
    }
    further |= {"no_repeat_ngram": no_repeat, "forbidden": forbid, "required": require}
    listed, done = [], 0
    typed = {"beam": beam, "candidates": drawn, "wanted": n_best if n_best > 1 else None, **drawing, **further}
    with as_typed(typed | {"sample": sample or None, "consensus": consensus or None}):
        decoding = choose_search(captioner.decoding, beam, n_best, sample, drawing, seed, further, consensus, drawn)
        for photo, some in captioner.stream(photos, decoding, seed, teller(on_bad)):
            done += 1
            if as_json:
                listed.append({"file": str(photo), "captions": [each.as_dict() for each in some[:n_best]]})
            else:
                lines = [str(photo), *(f"  {each.text}   ({each.score:.2f})" for each in some[:n_best])]
                print("\n".join(lines), flush=True)
    if as_json:
        print(json.dumps(listed, ensure_ascii=False, indent=1))
    check_any(done, photos)


def evaluate(
    run: Run,
    split: Annotated[str, typer.Option(help="Which split: dev, test or train.")] = "dev",
    beam: Beam = None,
    consensus: Consensus = False,
    drawn: Drawn = None,
    temperature: Annotated[float | None, typer.Option(help="Consensus: above 1, other captions are drawn too.")] = None,
    length_penalty: Penalty = None,
    min_length: Least = None,
    max_length: Most = None,
    no_repeat: NoRepeat = None,
    also: With = None,
    precision: In = Precision.FLOAT32,
    captions: Annotated[Path | None, typer.Option(help="Other captions than the recipe's.")] = None,
    features: Annotated[Path | None, typer.Option(help="Other features than the recipe's.")] = None,
    json_file: Json = None,
) -> None:
    """Caption, name, tag or label, and score a whole split with the best checkpoint of a run.

    Example: `seesay evaluate runs/demo --split dev --beam 5 --json scores.json`
    """
    from seesay.recipe import AskRecipe, ClassifyRecipe, ConceptRecipe, TagRecipe
    from seesay.restoring import TRAINED, recipe_in

    recipe = recipe_in(run)
    search = {"method": "beam" if beam else None, "beam": beam, "length_penalty": length_penalty}
    search |= {"min_length": min_length, "max_length": max_length, "no_repeat_ngram": no_repeat}
    searching: dict[str, Any] = {"--beam": beam, "--length-penalty": length_penalty, "--min-length": min_length}
    searching |= {"--max-length": max_length, "--no-repeat": no_repeat}
    agreeing = {"--consensus": consensus or None, "--drawn": drawn, "--temperature": temperature}
    together = [str(other) for other in also or []]
    computing = {"--precision": None if precision is Precision.FLOAT32 else precision.value} | agreeing
    computing |= {"--with": together or None}
    others = {"--captions": captions, "--features": features}
    match recipe:
        case TagRecipe():
            refuse(run, TRAINED[recipe.task], searching | computing | others)
            evaluate_tagger(run, split, json_file)
        case ClassifyRecipe():
            refuse(run, TRAINED[recipe.task], searching | computing | others)
            evaluate_classifier(run, split, json_file)
        case ConceptRecipe():
            refuse(run, TRAINED[recipe.task], searching | computing)
            evaluate_namer(run, split, captions, features, json_file)
        case AskRecipe():
            refuse(run, TRAINED[recipe.task], others | computing)
            with as_typed({key: value for key, value in search.items() if key != "method"}):
                evaluate_asker(run, split, search, json_file)
        case _:
            drawing = {"candidates": drawn, "temperature": temperature}
            typed = {key: value for key, value in (search | drawing).items() if key != "method"}
            with as_typed(typed | {"consensus": consensus or None}):
                decoding = _chosen_search(run, search, consensus, drawing)
                _evaluate_captioner(run, split, decoding, captions, features, precision.value, together, json_file)


def _chosen_search(run: Path, search: dict[str, Any], consensus: bool, drawing: dict[str, Any]) -> Any:
    """The search, a `Decoding`, that the options ask for, over the run's own one."""
    from seesay.captioner import by_agreement, with_options
    from seesay.errors import RecipeError
    from seesay.evaluation import decoding_of

    usual = decoding_of(run)
    if consensus or (usual.method == "consensus" and search["beam"] is None):
        usual, search = by_agreement(usual, search["beam"]), search | {"method": None}
    elif given := [name for name, value in drawing.items() if value is not None]:
        names = ", ".join({"candidates": "--drawn"}.get(name, f"--{name}") for name in given)
        raise RecipeError(f"{names}: received without --consensus; expected with it, for its judges; add it.")
    return with_options(usual, **search, **drawing)


def _evaluate_captioner(
    run: Path,
    split: str,
    decoding: Any,
    captions: Path | None,
    features: Path | None,
    precision: str,
    others: list[str],
    json_file: Path | None,
) -> None:
    from seesay import evaluation
    from seesay.progress import bar, print_scores, tell

    with bar("captions", "pictures") as advance:
        result = evaluation.evaluate(run, split, decoding, captions, features, advance, tell, precision, others)
    print_scores(result)
    print(f"captions: {evaluation.captions_file(run, split, decoding, captions, features, precision, others)}")
    keep_json(json_file, result.to_json())


def report(run: Run) -> None:
    """Write one self-contained page about a run: curves, scores, captions and where the model looked, or mistakes.

    Example: `seesay report runs/demo`
    """
    from seesay.recipe import AskRecipe, ClassifyRecipe, ConceptRecipe, TagRecipe
    from seesay.restoring import recipe_in

    match recipe_in(run):
        case TagRecipe():
            from seesay.tasks.tag_report import write_tag_report as write
        case ClassifyRecipe():
            from seesay.tasks.classify_report import write_classify_report as write
        case ConceptRecipe():
            from seesay.tasks.concept_report import write_concept_report as write
        case AskRecipe():
            from seesay.tasks.asking import write_ask_report as write
        case _:
            from seesay.evaluation import write_run_report as write
    print(f"report: {write(run)}")
