"""Questions and scores of a whole split, written into the run folder, and the report of a run that asks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from seesay.asker import Asker
from seesay.captioner import Caption, at_once
from seesay.data.features import FeatureStore
from seesay.data.records import Record
from seesay.data.vqa import Asked, part_of, read_questions
from seesay.decoding.settings import Decoding
from seesay.evaluation import BATCH, Progress, is_current, items_of, open_features, score_captions
from seesay.files import write_json
from seesay.metrics.diversity import diversity
from seesay.metrics.files import write_results
from seesay.metrics.scoring import COCO, Evaluation
from seesay.recipe import AskRecipe, locate
from seesay.report.page import write_report
from seesay.restoring import recipe_in
from seesay.tasks.ranking import ranking
from seesay.text.splits import known_split
from seesay.training.folder import RunFolder

HOW = (
    "BLEU is COCO's: one figure for the whole split, the geometric mean of the clipped precisions of 1 to 4 words "
    "against all questions of a picture, times the brevity penalty of the nearest length, without smoothing."
)


@dataclass(frozen=True)
class AskScores:
    """What a run reaches on a split.

    `evaluation` is of one question a picture, no answer being given, against what people asked; `answered`, where the
    data have answers, of one question for each answer, against those with that answer. `diversity` is of the first.
    """

    evaluation: Evaluation
    answered: Evaluation | None
    diversity: dict[str, float]
    ranking: dict[str, dict[str, float]]

    def to_json(self) -> dict[str, Any]:
        """What a run folder keeps in scores/SPLIT.json."""
        own = self.evaluation.to_json()
        given = None if self.answered is None else self.answered.to_json()
        return {**own, "answered": given, "diversity": self.diversity, "ranking": self.ranking}


def decoding_of(run: Path | str) -> Decoding:
    """The search that the recipe of a run asks for; CheckpointError for a run of another task."""
    return Decoding(**recipe_in(run, AskRecipe).decoding.model_dump())


def evaluate(
    run: Path | str,
    part: str = "dev",
    decoding: Decoding | None = None,
    progress: Progress | None = None,
    tell: Callable[[str], None] | None = None,
) -> tuple[AskScores, Path]:
    """Ask about and score split `part` with the best checkpoint of `run`; returns the scores and where questions lie.

    Questions and scores go into the run folder, in files named after the split, and after the search where it is
    another than the recipe's. `tell` hears of METEOR's data being packed, which happens once.
    """
    recipe, folder, asker = recipe_in(run, AskRecipe), RunFolder(run), Asker.open(run)
    usual = decoding_of(run)
    decoding = decoding or usual
    split = known_split(part)
    other = [f"{key}-{value}" for key, value in vars(decoding).items() if value != vars(usual)[key]]
    name = "-".join([split, *other]).replace("/", "_")
    source = locate(recipe.data.questions)
    everything = read_questions(source)
    asked, train = part_of(everything, split, source), part_of(everything, "train", source)
    store = open_features(locate(recipe.data.features), asker.header)
    records = [Record(one.id, one.file, one.split, one.references) for one in asked]
    found = ask_records(asker, [(record, "") for record in records], store, decoding, progress)
    result = score_captions(found, records, COCO, tell)
    result = replace(result, notes=(*result.notes, HOW))
    pairs = with_answers(asked)
    given = ask_records(asker, pairs, store, decoding)
    answered = score_captions(given, [record for record, _ in pairs], COCO, tell) if pairs else None
    varied = diversity(
        {i: each[0].text for i, each in found.items()}, [one.text for each in train for one in each.questions]
    )
    scores = AskScores(result, answered, varied, ranking(asker, asked, train, store, recipe.data.max_words))
    about = {
        "task": recipe.task,
        "split": split,
        "captions": recipe.data.questions,
        "features": recipe.data.features,
        "decoding": vars(decoding),
        "checkpoint_step": asker.header["progress"]["step"],
        "signature": result.signature,
    }
    write_results(folder.results(name), {record.id: found[record.id][0].text for record in records})
    write_json(folder.scores(name), scores.to_json())
    replies = [
        {"id": record.id, "file": record.file, "answer": answer, **given[record.id][0].as_dict()}
        for record, answer in pairs
    ]
    predictions = folder.predictions(name)
    write_json(predictions, about | {"items": items_of(records, found, result), "answered": replies})
    return scores, predictions


def with_answers(asked: Sequence[Asked]) -> list[tuple[Record, str]]:
    """Each picture once for each of its known answers, with the questions that have that answer.

    >>> from seesay.data.vqa import Question
    >>> some = [Asked("7", "7.jpg", "dev", (Question("Why?"), Question("Is it?", "yes"), Question("Really?", "yes")))]
    >>> [(record.id, record.captions, answer) for record, answer in with_answers(some)]
    [('7/0', ('Is it?', 'Really?'), 'yes')]
    """
    found = []
    for one in asked:
        by_answer: dict[str, list[str]] = {}
        for question in one.questions:
            if question.answer:
                by_answer.setdefault(question.answer, []).append(question.text)
        for number, (answer, texts) in enumerate(by_answer.items()):
            found.append((Record(f"{one.id}/{number}", one.file, one.split, tuple(texts)), answer))
    return found


def ask_records(
    asker: Asker,
    wanted: Sequence[tuple[Record, str]],
    store: FeatureStore,
    decoding: Decoding,
    progress: Progress | None = None,
) -> dict[str, list[Caption]]:
    """Questions by record id, the best first, each record with the answer to be asked for, "" for any."""
    found: dict[str, list[Caption]] = {}
    size, most = at_once(BATCH, decoding), decoding.beam if decoding.method == "beam" else 1
    for start in range(0, len(wanted), size):
        records, answers = zip(*wanted[start : start + size], strict=True)
        features = store.read([record.file for record in records])
        questions = asker.ask_about(features, answers, most, decoding)
        found |= {record.id: each for record, each in zip(records, questions, strict=True)}
        if progress:
            progress(len(found), len(wanted))
    return found


def write_ask_report(run: Path | str) -> Path:
    """The page about a run that asks; its development data are asked about first, unless they have been already."""
    folder, recipe = RunFolder(run), recipe_in(run, AskRecipe)
    if not is_current(run, folder.predictions("dev"), folder.scores("dev"), decoding=vars(decoding_of(run))):
        evaluate(run)
    return write_report(folder.path, locate(recipe.data.pictures) if recipe.data.pictures else None, {}, recipe.notice)
