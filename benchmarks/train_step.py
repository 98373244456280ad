"""A training step of the S2 transformer at its published size against the plain way to take it: ratios of medians.

    OMP_NUM_THREADS=1 .venv/bin/python benchmarks/train_step.py [--rounds 7] [--only xe scst] [--precision float32 bf16]

10 pictures (49 x 2,048) with 5 captions each, 10,201 words, 42 million weights, Adam. Both sides take turns in one
process on copies of one model, fitted a little so that its captions end (at about 10 words).

- Cross-entropy, plainly: 50 captions, each with a copy of its picture of its own, padding computed as if it were words
  (as the released code does), and torch's own loss.
- Self-critical, plainly: a beam of 5 that keeps every step for the backward pass and always takes 20 steps, each beam
  with a copy of its picture whose keys and values are made anew at every step (as the released code does, which makes
  those of the words anew, too: here they are cached); then captions as text, tokenised with their references, and
  CIDEr-D of the words. Ours: beams without gradient, a reward of ids, one pass that scores. Dropout is off on both
  sides, so that both find the same captions and have the same loss.

Plain steps are in float32, as published; ours in float32 and in bf16. A ratio above 1 means that ours is faster. Last:
the share of the reward in our step. bf16 is the faster one only where the processor multiplies it at a higher rate: the
rates of one product of 500 x 512 by 512 x 2,048 stand first.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from seesay.data.batches import CaptionBatch, pad
from seesay.decoding.settings import Decoding
from seesay.engines.torch_engine import TorchEngine
from seesay.metrics.cider import CiderD
from seesay.metrics.mixture import MixedReward
from seesay.models import build
from seesay.nn.state import select
from seesay.stages import SelfCriticalStage
from seesay.text.ptb import tokenize
from seesay.text.vocabulary import BOS, EOS, PAD, SPECIALS, UNK, Vocabulary
from seesay.training.loop import compute, to_tensor
from seesay.training.objectives import CrossEntropy, Loss
from seesay.training.self_critical import SelfCritical
from seesay.training.worth import Judge

PICTURES, CAPTIONS, REGIONS, SIZE, WORDS, LENGTH, BEAM = 10, 5, 49, 2048, 10_201, 20, 5
AIMS = {("xe", "float32"): 3.0, ("xe", "bf16"): 4.5, ("scst", "float32"): 6.0, ("scst", "bf16"): 10.0}
Step = Callable[[], float]


class World:
    """Random pictures; captions of 8 to 12 words, the commoner ones often, a twentieth of them the picture's own."""

    def __init__(self, pictures: int = 1000) -> None:
        self.random = np.random.default_rng(0)
        letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
        words = dict.fromkeys("".join(self.random.choice(letters, 6)) for _ in range(WORDS))
        self.vocabulary = Vocabulary((*SPECIALS, *list(words)[: WORDS - len(SPECIALS)]))
        chances = 1 / np.arange(1, len(self.vocabulary) - 3)
        self.chances = chances / chances.sum()
        self.references = {str(n): [self._caption() for _ in range(CAPTIONS)] for n in range(pictures)}
        ids = tuple(self.references)[:PICTURES]
        encoded = [self.vocabulary.encode(text.split()) for name in ids for text in self.references[name]]
        features = np.abs(self.random.standard_normal((PICTURES, REGIONS, SIZE))).astype(np.float16)
        rows = np.repeat(np.arange(PICTURES), CAPTIONS)
        self.batch = CaptionBatch(ids, features, np.ones((PICTURES, REGIONS), bool), pad(encoded), rows)

    def _caption(self) -> str:
        ids = self.random.choice(len(self.chances), int(self.random.integers(8, 13)), p=self.chances) + len(SPECIALS)
        return " ".join(self.vocabulary.words[i] for i in ids)


def adam(model: nn.Module, fast: bool = True) -> torch.optim.Optimizer:
    """What training makes, or torch's plain one."""
    if fast:
        return TorchEngine().optimizer(model, SelfCriticalStage(objective="self_critical", learning_rate=1e-6))
    return torch.optim.Adam(model.parameters(), lr=1e-6)


def update(optimizer: torch.optim.Optimizer, loss: Tensor) -> float:
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()
    return float(loss.detach())


def ours(model: nn.Module, batch: CaptionBatch, objective: Any, precision: str, fast: bool = True) -> Step:
    optimizer = adam(model, fast)

    def step() -> float:
        model.train()
        loss = compute(model, batch, objective, precision=precision)
        return update(optimizer, loss.total / loss.tokens)

    return step


def plain_xe(model: nn.Module, batch: CaptionBatch) -> Step:
    copies = CaptionBatch(
        tuple(batch.ids[row] for row in batch.rows),
        batch.features[batch.rows],
        batch.mask[batch.rows],
        batch.tokens,
        np.arange(len(batch.rows)),
    )
    return ours(model, copies, plain_loss, "float32", fast=False)


def plain_loss(model: Any, batch: CaptionBatch) -> Loss:
    """Cross-entropy as torch has it, over captions filled up to the longest, as the released code has them."""
    features, mask, tokens, rows = batch.inputs
    everywhere = torch.ones_like(tokens[:, 1:], dtype=torch.bool)
    logits, _ = model.decoder.force(model.start(features, mask), tokens[:, :-1], everywhere, rows)
    targets = tokens[:, 1:].flatten()
    loss = functional.cross_entropy(logits, targets, ignore_index=PAD, reduction="sum")
    return Loss(loss, int((targets != PAD).sum()))


def plain_beam(model: Any, features: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Ids (B, K, LENGTH) and log-probabilities of their words, zero after the end, all with gradient."""
    count, width = len(features), 1
    seen = model._see(features, mask)
    state = model.decoder.start(seen)
    words = torch.full((count,), BOS)
    sums, ended = torch.zeros(count, 1), torch.zeros(count, 1, dtype=torch.bool)
    ids, logs = torch.empty(count, 1, 0, dtype=torch.long), torch.empty(count, 1, 0)
    forbidden = torch.tensor([UNK, PAD, BOS])
    for place in range(LENGTH):
        logits, state = model.step(words, state)
        scores = logits.log_softmax(-1).view(count, width, -1)
        scores = scores.index_fill(2, forbidden, -torch.inf)
        if place == 0:
            scores = scores.index_fill(2, torch.tensor([EOS]), -torch.inf)
        only_pad = torch.full_like(scores, -torch.inf)
        only_pad[..., PAD] = 0.0
        scores = torch.where(ended.unsqueeze(2), only_pad, scores)
        best = (sums.unsqueeze(2) + scores).flatten(1).sort(dim=1, descending=True).indices[:, :BEAM]
        parent, word = best // scores.shape[2], best % scores.shape[2]
        picked = scores.flatten(1).gather(1, best)
        sums = sums.gather(1, parent) + picked
        ended = ended.gather(1, parent) | (word == EOS)
        index = parent.unsqueeze(2).expand(-1, -1, place)
        ids = torch.cat([ids.gather(1, index), word.unsqueeze(2)], dim=2)
        logs = torch.cat([logs.gather(1, index), picked.unsqueeze(2)], dim=2)
        rows = (torch.arange(count).unsqueeze(1) * width + parent).flatten()
        copies = torch.arange(count).repeat_interleave(BEAM)
        anew = model.decoder.start(seen._replace(memory=seen.memory[copies], mask=seen.mask[copies]))
        state = anew._replace(words=select(state, rows).words)
        words, width = word.flatten(), BEAM
    return ids, logs


def plain_scst(model: nn.Module, world: World, scorer: CiderD) -> Step:
    optimizer, vocabulary = adam(model, fast=False), world.vocabulary
    batch = world.batch.map(to_tensor)

    def step() -> float:
        model.eval()
        ids, logs = plain_beam(model, batch.features, batch.mask)
        said = [" ".join(vocabulary.decode(row)) for row in ids.flatten(0, 1).tolist()]
        candidates = {str(n): tokenize(text) for n, text in enumerate(said)}
        references = {str(n): [tokenize(r) for r in world.references[batch.ids[n // BEAM]]] for n in range(len(said))}
        scores = scorer.score(candidates, references).per_id
        rewards = torch.tensor([scores[str(n)] for n in range(len(said))]).view(PICTURES, BEAM)
        worth = rewards - rewards.mean(1, keepdim=True)
        return update(optimizer, -(logs.mean(2) * worth).mean())

    return step


def fitted(world: World, steps: int) -> nn.Module:
    """A model of the published size that has seen one sentence often enough to end its own."""
    torch.manual_seed(0)
    model = build("s2", {}, feature_size=SIZE, vocabulary_size=len(world.vocabulary))
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-4)
    tokens = world.batch.tokens.copy()
    tokens[:] = pad([[*range(4, 14)]])[0, [min(n, 11) for n in range(tokens.shape[1])]]
    tokens[:, 12:] = PAD
    batch = CaptionBatch(world.batch.ids, world.batch.features, world.batch.mask, tokens[::5], np.arange(PICTURES))
    for _ in range(steps):
        loss = compute(model, batch, CrossEntropy())
        update(optimizer, loss.total / loss.tokens)
    return model


def rate(kind: torch.dtype) -> float:
    """GFLOP/s of a product, the best of a few."""
    x, w = torch.randn(500, 512).to(kind), torch.randn(2048, 512).to(kind)
    times = []
    for _ in range(20):
        began = time.perf_counter()
        x @ w.t()
        times.append(time.perf_counter() - began)
    return 2 * 500 * 512 * 2048 / 1e9 / min(times)


def in_turns(steps: dict[str, Step], rounds: int) -> dict[str, float]:
    """The median of each in seconds, one round to warm up not counted."""
    times: dict[str, list[float]] = {name: [] for name in steps}
    for number in range(rounds + 1):
        for name, step in steps.items():
            began = time.perf_counter()
            step()
            if number:
                times[name].append(time.perf_counter() - began)
    return {name: statistics.median(some) for name, some in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--only", nargs="+", default=["xe", "scst"], choices=["xe", "scst"])
    parser.add_argument("--precision", nargs="+", default=["float32", "bf16"], choices=["float32", "bf16"])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--fit", type=int, default=25)
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    print(f"one product: {rate(torch.float32):.0f} GFLOP/s in float32, {rate(torch.bfloat16):.0f} in bf16")
    world = World()
    model = fitted(world, chosen.fit)
    scorer = CiderD.fit(world.references)
    spent: list[float] = []
    reward = MixedReward(world.references, world.vocabulary, {"CIDEr-D": 1.0}, with_end=False)

    def timed(ids: Any, pictures: Any) -> Any:
        began = time.perf_counter()
        found = reward(ids, pictures)
        spent.append(time.perf_counter() - began)
        return found

    objectives: dict[str, Any] = {
        "xe": CrossEntropy(),
        "scst": SelfCritical(Judge(timed), Decoding("beam", beam=BEAM, max_length=LENGTH), "mean", faithful=True),
    }
    for kind in chosen.only:
        plain = copy.deepcopy(model)
        steps = {"plain": plain_xe(plain, world.batch) if kind == "xe" else plain_scst(plain, world, scorer)}
        for precision in chosen.precision:
            steps[precision] = ours(copy.deepcopy(model), world.batch, objectives[kind], precision)
        median = in_turns(steps, chosen.rounds)
        print(f"{kind}: plain {median['plain']:.2f} s")
        for precision in chosen.precision:
            ratio = median["plain"] / median[precision]
            print(f"  {precision:8} {median[precision]:.2f} s  ratio {ratio:.2f}  (aim {AIMS[kind, precision]:.1f})")
    if spent:
        last = min(median[precision] for precision in chosen.precision)
        share = statistics.median(spent) / last
        print(f"reward: {statistics.median(spent) * 1000:.2f} ms, {share:.2%} of the faster step (aim 0.10%)")


if __name__ == "__main__":
    main()
