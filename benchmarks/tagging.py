"""Part-of-speech tags of the Penn Treebank sample, learned on seesay's own engine (NumPy alone).

    .venv/bin/python benchmarks/tagging.py [--data ../shared/data/treebank] [--only article best] [--held-out]
                                           [--threads 1 2] [--seeds 1]

article: the budget of a published walk-through of recurrent networks (a 2-layer bidirectional RNN, 128 and 128, words
alone, batch 32, dropout 0.2, 10 epochs of SGD), which states an accuracy of 0.75 after 750 s.
best: the tagger of `BEST` below.

With --held-out a tenth of the training sentences is kept aside and scored after each epoch: every setting was chosen
so. Without it the whole of train.conll is trained on and test.conll is scored once, after the last epoch.
Each setting runs in a process of its own, for each number of threads and each seed. Seconds are those of training:
batches, updates and the weights' average, without reading the files and without scoring. Those of the processor stand
beside them, as a machine may have other work.
"""

from __future__ import annotations

import argparse
import copy
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seesay.data.batches import batches
from seesay.data.conll import Sentence, known_words, read_conll
from seesay.data.sequences import TagSet, hold_out
from seesay.metrics.tagging import TagScores, evaluate_tags
from seesay.scratch import set_num_threads
from seesay.scratch.optim import SGD, AdamW, clip_grad_norm_
from seesay.scratch.tagger import Tagger
from seesay.text.lexicon import Lexicon
from seesay.training.schedules import warm_up_and_decay

CLAIMED_ACCURACY, CLAIMED_SECONDS = 0.75, 750


@dataclass(frozen=True)
class Setting:
    """What one run is made of; the rate rises over `warmup` steps and falls along a cosine to nothing."""

    lexicon: dict[str, Any]
    tagger: dict[str, Any]
    epochs: int
    optimizer: type = AdamW
    rate: float = 3e-3
    options: dict[str, Any] = field(default_factory=dict)
    batch: int = 32
    clip: float = 5.0
    warmup: int = 100
    average: float = 0.0  # the decay of the weights' moving average


ARTICLE = Setting(
    lexicon={"prefixes": 0, "suffixes": 0, "shape": False, "lower": False, "digits": False},
    tagger={"cell": "rnn", "num_layers": 2, "dropout": 0.2, "word_dropout": 0.1},
    epochs=10,
    optimizer=SGD,
    rate=0.3,
    options={"momentum": 0.9},
)
BEST = Setting(
    lexicon={"prefixes": 3, "suffixes": 4},
    tagger={"cell": "lstm", "feature_size": 24, "num_layers": 1, "dropout": 0.5, "word_dropout": 0.1},
    epochs=15,
    options={"weight_decay": 0.01},
    average=0.99,
)
SETTINGS = {"article": ARTICLE, "best": BEST}


def train(setting: Setting, some: TagSet, lexicon: Lexicon, seed: int) -> Iterator[tuple[float, NDArray[Any], Tagger]]:
    """After each epoch: the mean loss, the seconds of training so far (wall, processor), and the tagger to use."""
    random = np.random.default_rng(seed)
    tagger = Tagger(lexicon.sizes, len(lexicon.tags), **setting.tagger, seed=random).seed(random)
    average = copy.deepcopy(tagger)
    parameters = list(tagger.parameters())
    optimizer = setting.optimizer(parameters, lr=setting.rate, **setting.options)
    total = setting.epochs * batches(len(some), setting.batch)
    rate = warm_up_and_decay(setting.rate, warmup=setting.warmup, total=total)
    step, seconds = 0, np.zeros(2)
    for epoch in range(setting.epochs):
        losses, began = [], clocks()
        tagger.train()
        for batch in some.shuffled(setting.batch, seed=seed, epoch=epoch):
            step += 1
            optimizer.param_groups[0]["lr"] = rate(step)
            optimizer.zero_grad()
            loss = tagger.loss(batch.ids, batch.lengths, batch.targets)
            loss.backward()
            clip_grad_norm_(parameters, setting.clip)
            optimizer.step()
            losses.append(loss.item())
            if setting.average:
                follow(average, tagger, min(setting.average, (1 + step) / (10 + step)))
        seconds = seconds + clocks() - began
        yield float(np.mean(losses)), seconds, average if setting.average else tagger


def clocks() -> NDArray[Any]:
    """Seconds by the wall's clock and by the processor's, all threads added up."""
    return np.array([time.perf_counter(), time.process_time()])


def follow(average: Tagger, tagger: Tagger, decay: float) -> None:
    """Move every weight of `average` towards `tagger`'s by 1 - decay."""
    for mean, parameter in zip(average.parameters(), tagger.parameters(), strict=True):
        mean.data += (1 - decay) * (parameter.data - mean.data)


def score(tagger: Tagger, lexicon: Lexicon, sentences: list[Sentence], known: frozenset[str]) -> TagScores:
    some = TagSet.build(sentences, lexicon, unknown_tags=True)
    ids = [row for batch in some.in_order(64) for row in tagger.tag(batch.ids, batch.lengths)]
    found = [[lexicon.tags[i] for i in row] for row in ids]
    words, tags = zip(*sentences, strict=True)
    return evaluate_tags(tags, found, words=words, known_words=known)


def run(name: str, folder: Path, held_out: bool, seed: int, threads: int) -> None:
    setting = SETTINGS[name]
    set_num_threads(threads)
    training = read_conll(folder / "train.conll")
    if held_out:
        training, judged = hold_out(training, 0.1, seed=1)
    else:
        judged = read_conll(folder / "test.conll")
    known = known_words(training)
    lexicon = Lexicon.build(*zip(*training, strict=True), **setting.lexicon)
    some = TagSet.build(training, lexicon)
    print(f"{name}, seed {seed}, {threads} threads: {len(training)} sentences to learn from, {len(judged)} to score")
    for epoch, (loss, seconds, tagger) in enumerate(train(setting, some, lexicon, seed), start=1):
        line = f"  epoch {epoch:2}  loss {loss:.4f}  {seconds[0]:6.1f} s, processor {seconds[1]:6.1f} s"
        if held_out or epoch == setting.epochs:
            scores = score(tagger, lexicon, judged, known)
            line += (
                f"  accuracy {scores.accuracy:.4f}, of {scores.unseen_words} unseen words {scores.unseen_accuracy:.4f}"
            )
        print(line, flush=True)
    mistakes = ", ".join(f"{gold} as {found} {count}" for gold, found, count in scores.mistakes()[:6])
    print(f"  commonest mistakes: {mistakes}")
    if name == "article" and not held_out:
        faster = CLAIMED_SECONDS / seconds[0]
        print(f"  stated elsewhere: {CLAIMED_ACCURACY} in {CLAIMED_SECONDS} s; this is {faster:.0f} times as fast")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data/treebank"))
    parser.add_argument("--only", nargs="+", choices=SETTINGS, default=list(SETTINGS))
    parser.add_argument("--held-out", action="store_true")
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--seeds", nargs="+", type=int, default=[1])
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)  # in this process
    given = parser.parse_args()
    for name in given.only:
        for threads in given.threads:
            for seed in given.seeds:
                if given.alone:
                    run(name, given.data, given.held_out, seed, threads)
                    continue
                # Threads are the engine's. BLAS, which reads its own number when NumPy is imported, has one: the
                # products outside the recurrent layers are too small to share, and waiting threads of BLAS cost much.
                count = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
                one = ["--alone", "--only", name, "--threads", str(threads), "--seeds", str(seed)]
                command = [sys.executable, __file__, "--data", str(given.data), *one]
                command += ["--held-out"] if given.held_out else []
                subprocess.run(command, check=True, env=os.environ | count)


if __name__ == "__main__":
    main()
