"""The one file that sees every part: a recipe becomes data, model, stages, scores and a run folder."""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from seesay.arguments import shortened
from seesay.assembly import (
    Work,
    assemble,
    check_recipe,
    check_same,
    check_stages,
    engine_of,
    on_dev,
    save,
    schedule_of,
    settle,
    shortfalls,
    span,
)
from seesay.checkpoint import read_checkpoint
from seesay.data.batches import batches
from seesay.errors import CheckpointError, RecipeError, TrainingDiverged
from seesay.files import link_file, replace_file
from seesay.recipe import AnyRecipe, SelfCriticalStage, read_recipe, write_recipe
from seesay.restoring import best_of, weights_of
from seesay.starting import first_score, start_from
from seesay.tasks import gather
from seesay.training.curves import Curves
from seesay.training.folder import RunFolder
from seesay.training.progress import Progress
from seesay.training.step import NOTHING, Step, means_of
from seesay.training.worth import Judge


class Advance(NamedTuple):
    """One step done: for a progress bar."""

    epoch: int
    position: int  # batches done in this epoch
    batches: int
    step: Step


class Notice(NamedTuple):
    """Something that a person should know, such as a damaged checkpoint that was passed over."""

    text: str


class Check(NamedTuple):
    """One epoch done and looked at on development data."""

    epoch: int
    epochs: int  # of the recipe, over all stages
    train_loss: float
    dev_loss: float
    scores: dict[str, float]
    best: bool
    seconds: float
    means: Mapping[str, float] = NOTHING  # per caption that was drawn: reward, baseline, length, broken_ends
    stage: str = ""  # in the first epoch of a stage of several: from here on the loss may be another one
    select_by: str = ""  # the score that says which epoch is the best


Event = Advance | Check | Notice


def train(recipe: AnyRecipe, path: Path | str) -> Iterator[Event]:
    """Train from the start into the run folder `path`, which must not hold a run already."""
    folder = RunFolder(path)
    path = folder.path
    if not hasattr(recipe, "training"):  # the path of one, most likely
        raise RecipeError(f"recipe: received {shortened(recipe)}; expected a recipe, as read_recipe(path) gives it.")
    with folder.locked():
        if folder.begun():
            again = f"seesay train --resume {shlex.quote(str(path))}"
            raise CheckpointError(f"{path}: holds a run already; go on with '{again}' or choose another -o.")
        engine = engine_of(recipe)
        recipe = settle(recipe, engine)
        begins = recipe.training.start_from
        if begins:
            best_of(Path(begins))  # what is missing should be missed before anything is written
        work = assemble(recipe, folder, gather(recipe, folder), engine, Progress())
        check_stages(work)
        folder.prepare()
        folder.clear()
        replace_file(folder.recipe, write_recipe(recipe))
        work.material.save_words(folder.vocabulary)
        if begins:
            start = start_from(work, Path(begins))
            yield Notice(start.text)
            yield from map(Notice, first_score(work, start))
            folder.append(folder.log, start.about)
        save(work)
        if _is_best(work.progress):
            link_file(folder.last, folder.best)
        yield from _stages(work)


def resume(path: Path | str) -> Iterator[Event]:
    """Go on with the run in folder `path` exactly where its newest checkpoint stands."""
    folder = RunFolder(path)
    path = folder.path
    if not folder.recipe.exists():
        raise CheckpointError(
            f"{path}: no run to resume; expected recipe.toml and checkpoints in it; begin with 'seesay train RECIPE'."
        )
    with folder.locked():
        if not any(map(os.path.lexists, (folder.last, folder.best, folder.log))):
            again = f"seesay train {shlex.quote(str(folder.recipe))} -o {shlex.quote(str(path))}"
            raise CheckpointError(
                f"{path}: nothing of this run was kept yet; expected a checkpoint in it; begin it anew with '{again}'."
            )
        folder.prepare()
        arrays, header, note = folder.newest()
        recipe = read_recipe(folder.recipe)
        check_recipe(recipe, header, path)
        material, progress = gather(recipe, folder, begun=True), Progress.of(header, path)
        work = assemble(recipe, folder, material, engine_of(recipe), progress)
        changed = check_same(work, header, path)
        work.engine.load(work.model, arrays, "model/", str(folder.last))
        if work.average is not None:
            work.engine.load(work.average, arrays, "average/", str(folder.last))
        work.engine.load_moments(work.optimizer, arrays)
        folder.cut_log(header["log_size"])
        yield from map(Notice, filter(None, (note, changed)))
        if work.progress.done:
            yield Notice(f"{path}: trained to its end already, in {work.progress.step:,} steps; nothing left to do.")
        if not note and _is_best(work.progress):
            link_file(folder.last, folder.best)  # the kill may have come between saving and linking
        yield from _stages(work)


def _is_best(progress: Progress) -> bool:
    """Whether the newest checkpoint is the best so far, and not a new stage's first or the end's: those only have its
    weights.
    """
    if progress.done or (progress.stage and not progress.stage_epoch):
        return False
    return progress.best_score is not None and progress.best_step == progress.step


def _stages(work: Work) -> Iterator[Event]:
    if work.progress.done:
        return
    yield from map(Notice, (*work.material.notices, *shortfalls(work)))
    curves = Curves(work.folder.path / "tensorboard", work.progress.step + 1)
    try:
        while not work.progress.done:
            yield from _epochs(work, curves)
            _next_stage(work)
    except TrainingDiverged as fault:
        step = work.folder.newest()[1]["progress"]["step"]
        again = "would come to the same point again"
        raise TrainingDiverged(f"{work.folder.path}: {fault} The last checkpoint, of step {step}, {again}.") from None
    finally:
        curves.close()


def _new_stage(work: Work) -> str:
    """The stage, such as "stage 2/2 self_critical", if it is one of several and has had its first epoch just now."""
    if work.progress.stage_epoch != 1 or len(work.recipe.stages) == 1:
        return ""
    place = f"stage {work.progress.stage + 1}/{len(work.recipe.stages)}"
    return f"{place} {getattr(work.stage, 'objective', '')}".strip()  # the stages of some tasks have one objective


def _next_stage(work: Work) -> None:
    """On to the next stage, from the best weights so far, with an optimiser of its own."""
    progress = work.progress
    progress.stage_step, progress.stage_epoch, progress.epochs_without_gain = 0, 0, 0
    if progress.stage + 1 == len(work.recipe.stages):
        progress.done = True
    else:
        progress.stage += 1
        progress.select_by(work.stage.select_by)
        arrays, _ = read_checkpoint(work.folder.best)
        work.engine.load(work.model, arrays, weights_of(arrays), str(work.folder.best))
        work.average = work.engine.copy(work.model) if work.stage.average else None
        work.optimizer = work.engine.optimizer(work.model, work.stage)
    save(work)


def _epochs(work: Work, curves: Curves) -> Iterator[Event]:
    stage, progress, judge = work.stage, work.progress, _judge(work)
    while not _ended(work):
        began = time.monotonic()
        for step in _epoch(work, judge):
            _count(work, step, curves)
            yield Advance(
                progress.epoch + 1, progress.position, batches(len(work.material.train), stage.batch_size), step
            )
            if work.recipe.training.save_every and progress.step % work.recipe.training.save_every == 0:
                save(work)
        check = _check(work, curves, began)
        yield check
        if check.means and not check.means["reward"]:
            yield Notice(_no_reward(check))
        yield from map(Notice, curves.flush())


def _ended(work: Work) -> bool:
    """Whether the stage under way has had its epochs, or none has been better for long enough."""
    stage, progress = work.stage, work.progress
    tired = progress.epochs_without_gain >= stage.patience and progress.stage_epoch >= stage.epochs_at_least
    return tired or progress.stage_epoch >= stage.epochs


def _judge(work: Work) -> Judge | None:
    """Who says what captions are worth, in a stage that asks for it."""
    if not isinstance(work.stage, SelfCriticalStage):
        return None
    from seesay.tasks.caption import Captions

    assert isinstance(work.material, Captions)
    return work.material.judge(work.stage)


def _no_reward(check: Check) -> str:
    return (
        f"epoch {check.epoch}: not one of the captions drawn earned any reward (mean length "
        f"{check.means['length']:.1f} words), so nothing was learned; the likeliest cause is that the model cannot yet "
        "describe: let a stage of cross-entropy come first, or last longer; next, that all pictures are described "
        "with the same words, to which CIDEr-D gives no weight."
    )


def _epoch(work: Work, judge: Judge | None) -> Iterator[Step]:
    """The steps that are left of the epoch under way."""
    stage, progress, training = work.stage, work.progress, work.recipe.training
    schedule = schedule_of(work)
    before = progress.step - progress.stage_step  # the steps of earlier stages
    seed = work.recipe.seed
    return work.engine.fit(
        work.model,
        work.material.train.shuffled(stage.batch_size, seed=seed, epoch=progress.epoch, start=progress.position),
        stage,
        work.optimizer,
        lambda number: schedule(number - before),
        training,
        first=progress.step + 1,
        seed=seed,
        epoch=progress.stage_epoch,
        judge=judge,
    )


def _count(work: Work, step: Step, curves: Curves) -> None:
    progress = work.progress
    progress.step, progress.stage_step, progress.position = step.number, progress.stage_step + 1, progress.position + 1
    progress.add({"loss": step.loss * step.tokens, "tokens": step.tokens, **step.sums})
    if work.average is not None:
        work.engine.follow(work.average, work.model, work.stage.average, progress.stage_step)
    if step.number % work.recipe.training.log_every == 0:
        values = {"loss": step.loss, "lr": step.learning_rate, "grad_norm": step.gradient_norm, **step.means}
        work.folder.append(
            work.folder.log, {"event": "step", "step": step.number, "epoch": progress.epoch + 1, **values}
        )
        curves.add("train", values, step.number)


def _check(work: Work, curves: Curves, began: float) -> Check:
    """Close the epoch: loss and scores on development data, the log, the checkpoint."""
    progress, stage = work.progress, work.stage
    scores, dev_loss = on_dev(work)
    best = progress.offer(scores[stage.select_by], dev_loss, scores)
    sums, progress.sums = progress.sums, {}
    train_loss = sums.pop("loss", 0.0) / max(1, sums.pop("tokens", 0))
    means = means_of(sums)
    warming = progress.stage_step <= span(work)[1]  # patience begins when the learning rate is whole
    progress.epochs_without_gain = 0 if best or warming else progress.epochs_without_gain + 1
    progress.epoch, progress.stage_epoch = progress.epoch + 1, progress.stage_epoch + 1
    progress.position = 0
    losses = {"train_loss": train_loss, "dev_loss": dev_loss}
    where = {"event": "check", "step": progress.step, "epoch": progress.epoch}
    drawn = {"drawn": means} if means else {}
    work.folder.append(work.folder.log, {**where, **losses, "scores": scores, "best": best, **drawn})
    curves.add("dev", losses | scores, progress.step)
    curves.add("drawn", means, progress.step)
    save(work)
    if best:
        link_file(work.folder.last, work.folder.best)
    seconds = time.monotonic() - began
    work.folder.append(work.folder.timings, {**where, "seconds": round(seconds, 3)})
    epochs = sum(stage.epochs for stage in work.recipe.stages)
    place = _new_stage(work), stage.select_by
    return Check(progress.epoch, epochs, train_loss, dev_loss, scores, best, seconds, means, *place)
