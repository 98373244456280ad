"""The one file that sees every part: a recipe becomes data, model, stages, scores and a run folder."""

from __future__ import annotations

import contextlib
import copy
import shlex
import socket
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from tensorboardX.proto.event_pb2 import Event as _Entry
from tensorboardX.proto.event_pb2 import SessionLog
from tensorboardX.proto.summary_pb2 import Summary
from tensorboardX.record_writer import RecordWriter

from seesay.assembly import Work, assemble, check_recipe, check_same, header_of, make_optimizer, part_of, save, settle
from seesay.captioner import Captioner
from seesay.data.batches import batches
from seesay.data.records import read_records
from seesay.decoding.search import Decoding
from seesay.errors import CheckpointError, TrainingDiverged, UnknownName
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
    with folder.locked():
        if folder.begun():
            again = f"seesay train --resume {shlex.quote(str(path))}"
            raise CheckpointError(f"{path}: holds a run already; go on with '{again}' or choose another -o.")
        recipe = settle(recipe)
        source = locate(recipe.data.captions)
        records = read_records(source)
        words = [tokenize(caption) for record in part_of(recipe, records, "train") for caption in record.captions]
        vocabulary = Vocabulary.build(words, recipe.data.minimum_count, source)
        work = assemble(recipe, folder, records, vocabulary)
        folder.prepare()
        folder.clear()
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
        check_recipe(recipe, header, path)
        vocabulary = Vocabulary.load(folder.vocabulary)
        records = read_records(locate(recipe.data.captions))
        work = assemble(recipe, folder, records, vocabulary, Progress.of(header, path))
        changed = check_same(work, header, path)
        load_weights(work.model, arrays, "model/", str(folder.last))
        if work.average is not None:
            load_weights(work.average, arrays, "average/", str(folder.last))
        unpack_optimizer(work.optimizer, arrays)
        folder.cut_log(header["log_size"])
        yield from map(Notice, filter(None, (note, changed)))
        if work.progress.done:
            yield Notice(f"{path}: trained to its end already, in {work.progress.step:,} steps; nothing left to do.")
        if not note and work.progress.stage_epoch and work.progress.best_step == work.progress.step:
            link_file(folder.last, folder.best)  # the kill may have come between saving and linking
        yield from _stages(work)


class _Curves:
    """TensorBoard's events. Where they cannot be written training goes on without; `fault` says so once."""

    def __init__(self, folder: Path, first: int) -> None:
        self.fault = ""
        self._path = folder / f"events.out.tfevents.{int(time.time())}.{socket.gethostname()}"
        self._writer: RecordWriter | None = None
        with self._noted():
            self._writer = RecordWriter(str(self._path))
        self._put(_Entry(file_version="brain.Event:2"))
        self._put(_Entry(step=first, session_log=SessionLog(status=SessionLog.START)))  # hides what a kill undid

    def add(self, part: str, values: Mapping[str, float], step: int) -> None:
        """One value a curve; the curves of one `part` stand together."""
        scalars = [Summary.Value(tag=f"{part}/{name}", simple_value=value) for name, value in values.items()]
        self._put(_Entry(step=step, summary=Summary(value=scalars)))

    def _put(self, entry: _Entry) -> None:
        entry.wall_time = time.time()
        with self._noted():
            if self._writer is not None:
                self._writer.write(entry.SerializeToString())

    @contextlib.contextmanager
    def _noted(self) -> Iterator[None]:
        try:
            yield
        except OSError as fault:
            self.fault = f"{self._path}: cannot be written ({fault.strerror}); training goes on without these curves."
            self.close()

    def close(self) -> None:
        """Let go of the file; nothing more is written."""
        writer, self._writer = self._writer, None
        with contextlib.suppress(OSError):
            if writer is not None:
                writer.close()

    def flush(self) -> Iterator[Notice]:
        """Bring what was added to the disk; whatever hindered it is told once."""
        with self._noted():
            if self._writer is not None:
                self._writer.flush()
        if self.fault:
            yield Notice(self.fault)
            self.fault = ""


def _stages(work: Work) -> Iterator[Event]:
    if work.progress.done:
        return
    curves = _Curves(work.folder.path / "tensorboard", work.progress.step + 1)
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


def _epochs(work: Work, curves: _Curves) -> Iterator[Event]:
    stage, progress = work.stage, work.progress
    while progress.stage_epoch < stage.epochs and progress.epochs_without_gain < stage.patience:
        began = time.monotonic()
        for step in _epoch(work):
            _count(work, step, curves)
            yield Advance(
                progress.epoch + 1, progress.position, batches(len(work.train), stage.pictures_per_batch), step
            )
            if work.recipe.training.save_every and progress.step % work.recipe.training.save_every == 0:
                save(work)
        yield _check(work, curves, began)
        yield from curves.flush()


def _span(work: Work) -> tuple[int, int]:
    """The steps of the stage under way, and how many of them warm up: a short stage must not end before its warm-up."""
    total = work.stage.epochs * batches(len(work.train), work.stage.pictures_per_batch)
    return total, min(work.stage.warmup, total // 10)


def _epoch(work: Work) -> Iterator[Step]:
    """The steps that are left of the epoch under way."""
    stage, progress, training = work.stage, work.progress, work.recipe.training
    total, warmup = _span(work)
    schedule = warm_up_and_decay(stage.learning_rate, warmup=warmup, total=total, decay=stage.decay, floor=stage.floor)
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


def _count(work: Work, step: Step, curves: _Curves) -> None:
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
        curves.add("train", values, step.number)


def _check(work: Work, curves: _Curves, began: float) -> Check:
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
    best = progress.offer(scores[stage.select_by], dev_loss)
    train_loss = progress.loss_total / max(1, progress.loss_count)
    warming = progress.stage_step <= _span(work)[1]  # patience begins when the learning rate is whole
    progress.epochs_without_gain = 0 if best or warming else progress.epochs_without_gain + 1
    progress.epoch, progress.stage_epoch = progress.epoch + 1, progress.stage_epoch + 1
    progress.position, progress.loss_total, progress.loss_count = 0, 0.0, 0
    losses = {"train_loss": train_loss, "dev_loss": dev_loss}
    where = {"event": "check", "step": progress.step, "epoch": progress.epoch}
    work.folder.append(work.folder.log, {**where, **losses, "scores": scores, "best": best})
    curves.add("dev", losses | scores, progress.step)
    save(work)
    if best:
        link_file(work.folder.last, work.folder.best)
    seconds = time.monotonic() - began
    work.folder.append(work.folder.timings, {**where, "seconds": round(seconds, 3)})
    return Check(progress.epoch, sum(s.epochs for s in work.recipe.stages), train_loss, dev_loss, scores, best, seconds)
