"""The one file that sees every part: a recipe becomes data, model, stages, scores and a run folder."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tensorboardX import SummaryWriter

from seesay.assembly import Work, assemble, check_same, header_of, make_optimizer, save, settle
from seesay.captioner import Captioner
from seesay.data.batches import batches
from seesay.data.records import read_records, split
from seesay.decoding.search import Decoding
from seesay.errors import CheckpointError, UnknownName
from seesay.evaluation import describe_records, score_captions
from seesay.files import link_file, replace_file
from seesay.models import load_weights
from seesay.recipe import Recipe, locate, read_recipe, write_recipe
from seesay.text.ptb import tokenize
from seesay.text.vocabulary import Vocabulary
from seesay.training.averaging import follow
from seesay.training.folder import RunFolder
from seesay.training.loop import Step, fit, mean_loss
from seesay.training.objectives import CrossEntropy
from seesay.training.schedules import warm_up_and_decay
from seesay.training.state import Progress, unpack_optimizer

LOSS_BATCH = 20  # pictures; what fits in memory everywhere


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


Event = Advance | Check | Notice


def train(recipe: Recipe, path: Path) -> Iterator[Event]:
    """Train from the start into the run folder `path`, which must not hold a run already."""
    folder = RunFolder(path)
    if folder.last.exists() or folder.log.exists():
        raise CheckpointError(
            f"{path}: holds a run already; go on with 'seesay train --resume {path}' or choose another -o."
        )
    with folder.locked():
        recipe = settle(recipe)
        records = read_records(locate(recipe.data.captions))
        words = [tokenize(caption) for record in split(records, "train") for caption in record.captions]
        vocabulary = Vocabulary.build(words, recipe.data.minimum_count)
        work = assemble(recipe, folder, records, vocabulary)
        folder.prepare()
        replace_file(folder.recipe, write_recipe(recipe))
        vocabulary.save(folder.vocabulary)
        save(work)
        yield from _stages(work)


def resume(path: Path) -> Iterator[Event]:
    """Go on with the run in folder `path` exactly where its newest checkpoint stands."""
    folder = RunFolder(path)
    if not folder.recipe.exists():
        raise CheckpointError(f"{path}: no run to resume; expected recipe.toml and checkpoints in it.")
    with folder.locked():
        folder.prepare()
        arrays, header, note = folder.newest()
        recipe = read_recipe(folder.recipe)
        vocabulary = Vocabulary.load(folder.vocabulary)
        records = read_records(locate(recipe.data.captions))
        work = assemble(recipe, folder, records, vocabulary, Progress(**header["progress"]))
        check_same(work, header, path)
        load_weights(work.model, arrays, "model/", str(folder.last))
        if work.average is not None:
            load_weights(work.average, arrays, "average/", str(folder.last))
        unpack_optimizer(work.optimizer, arrays)
        folder.cut_log(header["log_size"])
        if note:
            yield Notice(note)
        if not note and work.progress.stage_epoch and work.progress.best_step == work.progress.step:
            link_file(folder.last, folder.best)  # the kill may have come between saving and linking
        yield from _stages(work)


def _stages(work: Work) -> Iterator[Event]:
    writer = SummaryWriter(str(work.folder.path / "tensorboard"), purge_step=work.progress.step + 1)
    try:
        while not work.progress.done:
            yield from _epochs(work, writer)
            _next_stage(work)
    finally:
        writer.close()


def _next_stage(work: Work) -> None:
    """On to the next stage, from the best weights so far, with an optimiser of its own."""
    progress = work.progress
    progress.stage_step, progress.stage_epoch, progress.epochs_without_gain = 0, 0, 0
    if progress.stage + 1 == len(work.recipe.stages):
        progress.done = True
    else:
        progress.stage += 1
        best = Captioner.open(work.folder.best).model.state_dict()
        work.model.load_state_dict(best)
        work.average = copy.deepcopy(work.model) if work.stage.average else None
        work.optimizer = make_optimizer(work.model, work.stage)
    save(work)


def _epochs(work: Work, writer: SummaryWriter) -> Iterator[Event]:
    stage, progress = work.stage, work.progress
    while progress.stage_epoch < stage.epochs and progress.epochs_without_gain < stage.patience:
        began = time.monotonic()
        for step in _epoch(work):
            _count(work, step, writer)
            yield Advance(
                progress.epoch + 1, progress.position, batches(len(work.train), stage.pictures_per_batch), step
            )
            if work.recipe.training.save_every and progress.step % work.recipe.training.save_every == 0:
                save(work)
        yield _check(work, writer, began)


def _epoch(work: Work) -> Iterator[Step]:
    """The steps that are left of the epoch under way."""
    stage, progress, training = work.stage, work.progress, work.recipe.training
    total = stage.epochs * batches(len(work.train), stage.pictures_per_batch)
    schedule = warm_up_and_decay(
        stage.learning_rate, warmup=stage.warmup, total=total, decay=stage.decay, floor=stage.floor
    )
    before = progress.step - progress.stage_step  # the steps of earlier stages
    return fit(
        work.model,
        work.train.shuffled(
            stage.pictures_per_batch, seed=work.recipe.seed, epoch=progress.epoch, start=progress.position
        ),
        CrossEntropy(stage.label_smoothing, stage.doubly_stochastic),
        work.optimizer,
        lambda number: schedule(number - before),
        first=progress.step + 1,
        seed=work.recipe.seed,
        clip=stage.clip,
        precision=training.precision,
        device=training.device,
    )


def _count(work: Work, step: Step, writer: SummaryWriter) -> None:
    progress = work.progress
    progress.step, progress.stage_step, progress.position = step.number, progress.stage_step + 1, progress.position + 1
    progress.loss_total += step.loss * step.tokens
    progress.loss_count += step.tokens
    if work.average is not None:
        follow(work.average, work.model, work.stage.average, progress.stage_step)
    if step.number % work.recipe.training.log_every == 0:
        values = {"loss": step.loss, "lr": step.learning_rate, "grad_norm": step.gradient_norm}
        work.folder.append(
            work.folder.log, {"event": "step", "step": step.number, "epoch": progress.epoch + 1, **values}
        )
        for name, value in values.items():
            writer.add_scalar(f"train/{name}", value, step.number)


def _check(work: Work, writer: SummaryWriter, began: float) -> Check:
    """Close the epoch: loss and scores on development data, the log, the checkpoint."""
    progress, stage = work.progress, work.stage
    captioner = Captioner(work.judged.eval(), work.vocabulary, header_of(work), work.recipe.training.device)
    found = describe_records(
        captioner, work.dev.records, work.store, Decoding("greedy", max_length=work.recipe.decoding.max_length)
    )
    scores = score_captions(found, work.dev.records).corpus
    if stage.select_by not in scores:
        raise UnknownName("score", stage.select_by, scores)
    dev_loss = mean_loss(work.judged, work.dev.in_order(LOSS_BATCH), CrossEntropy(), work.recipe.training.device)
    best = progress.best_score is None or scores[stage.select_by] > progress.best_score
    if best:
        progress.best_score, progress.best_step = scores[stage.select_by], progress.step
    train_loss = progress.loss_total / max(1, progress.loss_count)
    progress.epochs_without_gain = 0 if best else progress.epochs_without_gain + 1
    progress.epoch, progress.stage_epoch = progress.epoch + 1, progress.stage_epoch + 1
    progress.position, progress.loss_total, progress.loss_count = 0, 0.0, 0
    losses = {"train_loss": train_loss, "dev_loss": dev_loss}
    where = {"event": "check", "step": progress.step, "epoch": progress.epoch}
    work.folder.append(work.folder.log, {**where, **losses, "scores": scores, "best": best})
    for name, value in {**losses, **scores}.items():
        writer.add_scalar(f"dev/{name}", value, progress.step)
    save(work)
    if best:
        link_file(work.folder.last, work.folder.best)
    seconds = time.monotonic() - began
    work.folder.append(work.folder.timings, {**where, "seconds": round(seconds, 3)})
    return Check(progress.epoch, sum(s.epochs for s in work.recipe.stages), train_loss, dev_loss, scores, best, seconds)
