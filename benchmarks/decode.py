"""Beam search of captioning transformers at their published sizes, against the plain way, in turns.

    nice -n -5 .venv/bin/python benchmarks/decode.py [--model s2 meshed_memory] [--batch 50] [--threads 1 2]
                                                     [--rounds 5] [--precision float32 bf16 int8] [--never-ends]
                                                     [--run RUN --features FILE]

The plain way: at every step the keys and values of all words so far and of the whole picture are computed anew for all
five beams, the joined states are gathered, all 5 x V scores are sorted, and no search ends before 20 words. Both ways
run the same layers with the same weights, and must say the same captions in float32.

The weights are random. So that captions end, of different lengths, the score of <eos> gets SLOPE * (place - PLACE) and
SPREAD * the cosine of the last word's id, and all scores are sharpened by SHARP, since random ones are nearly equal.
With --never-ends the score of <eos> is -inf. With --run, the model is that of a trained run as it is, of the kinds that
--model knows, and the pictures are the first ones in FILE.
Ratios come from the seconds of the processor at one thread, which other work on the machine hardly disturbs, and from
the clock on the wall at several. The peak is that of one large float32 product, in turns with the rest.
"""

from __future__ import annotations

import argparse
import gc
import math
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from seesay.captioner import Captioner
from seesay.data.features import FeatureStore
from seesay.decoding.inference import prepare
from seesay.decoding.search import decode
from seesay.decoding.settings import Decoding
from seesay.models import build
from seesay.scratch.compiled import use_compiled
from seesay.text.vocabulary import BOS, EOS, PAD, UNK

WIDTH, LENGTH, VOCABULARY, SIZE = 5, 20, 10_201, 2048
SHARP, SLOPE, SPREAD, PLACE = 4.0, 1.0, 5.0, 9.0
REGIONS = {"s2": 49, "meshed_memory": 50, "transformer": 49}
PRODUCTS = 10
AIMS = {"float32": 10, "bf16": 18, "int8": 22}


class Ending:
    """A model whose captions end: see above. What was `trained` ends of itself."""

    def __init__(self, model: Any, never: bool = False, trained: bool = False) -> None:
        self.model, self.never, self.trained = model, never, trained

    def start(self, features: Tensor, mask: Tensor) -> Any:
        return self.model.start(features, mask)

    def step(self, tokens: Tensor, state: Any) -> tuple[Tensor, Any]:
        logits, after = self.model.step(tokens, state)
        return self.tempered(logits, tokens, state.words.words), after

    def tempered(self, logits: Tensor, tokens: Tensor, place: int) -> Tensor:
        if self.trained:
            return logits
        logits[:, EOS] += -math.inf if self.never else SLOPE * (place - PLACE) + SPREAD * tokens.cos()
        return logits


def plain(ending: Ending, features: Tensor, mask: Tensor) -> list[list[int]]:
    """The best caption of each picture, found the long way."""
    decoder, seeing = ending.model.decoder, ending.model._see(features, mask)
    count = len(features)
    memory, hidden = seeing.memory, seeing.mask
    said = torch.empty(count, 1, 0, dtype=torch.long)
    sums, ended = torch.zeros(count, 1), torch.zeros(count, 1, dtype=torch.bool)
    states = [torch.empty(count, 0, decoder.embedding.embedding_dim) for _ in decoder.layers]
    words = torch.full((count,), BOS)
    for place in range(LENGTH):
        x = decoder._enter(words, decoder.positions[place]).unsqueeze(1)
        for number, layer in enumerate(decoder.layers):
            states[number] = torch.cat([states[number], layer.residual.enter(x)], 1)
            x = plain_layer(layer, x, states[number], memory, hidden)
        logits = ending.tempered(decoder.head(decoder.norm(x)).squeeze(1), words, place)
        logs = logits.log_softmax(-1).view(count, -1, logits.shape[-1])
        logs[..., [UNK, PAD, BOS, EOS] if place == 0 else [UNK, PAD, BOS]] = -math.inf
        logs = torch.where(ended.unsqueeze(-1), -math.inf, logs)
        logs[..., PAD] = torch.where(ended, 0.0, logs[..., PAD])
        scores = sums.unsqueeze(-1) + logs
        sums, order = scores.flatten(1).sort(descending=True)
        sums, order = sums[:, :WIDTH], order[:, :WIDTH]
        parent, word = order // logits.shape[-1], order % logits.shape[-1]
        rows = (parent + torch.arange(count).unsqueeze(1) * logs.shape[1]).flatten()
        states = [state.index_select(0, rows) for state in states]
        memory, hidden = memory.index_select(0, rows), hidden.index_select(0, rows)
        said = torch.cat([said.flatten(0, 1)[rows].view(count, WIDTH, -1), word.unsqueeze(-1)], -1)
        ended = ended.gather(1, parent) | (word == EOS)
        words = word.flatten()
    return [[word for word in row if word not in (EOS, PAD)] for row in said[:, 0].tolist()]


def plain_layer(layer: Any, x: Tensor, past: Tensor, memory: Tensor, mask: Tensor) -> Tensor:
    """One layer for rows x (N, 1, H) after `past` (N, t, H), over `memory` (N, E, S, H)."""
    attend, cross = layer.attention, layer.cross
    everything = torch.ones(1, 1, 1, past.shape[1], dtype=torch.bool)
    context, _ = attend.weigh(attend.query(past[:, -1:]), attend.project(past), everything)
    x = layer.residual.leave(x, attend.output(context))
    query = cross.query(layer.cross_residual.enter(x)).unsqueeze(1)
    context, _ = cross.weigh(query, cross.project(memory), mask[:, None, None, None])
    seen = layer.cross_residual.leave(x, cross.output(context.squeeze(2)))
    return layer.feedforward(seen if layer.mesh is None else layer.mesh(x.squeeze(1), seen).unsqueeze(1))


def fast(ending: Ending, features: Tensor, mask: Tensor) -> list[list[int]]:
    """The best caption of each picture by seesay's search."""
    found = decode(ending, ending.start(features, mask), Decoding("beam", WIDTH, LENGTH, wanted=1))
    return [some[0].tokens for some in found]


def in_turns(ways: dict[str, Callable[[], Any]], rounds: int) -> dict[str, tuple[float, float]]:
    """The median seconds of each, on the wall and of the processor."""
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            gc.collect()
            wall, processor = time.perf_counter(), time.process_time()
            way()
            times[name].append((time.perf_counter() - wall, time.process_time() - processor))
    medians = {}
    for name, some in times.items():
        walls, processors = zip(*some, strict=True)
        medians[name] = (statistics.median(walls), statistics.median(processors))
    return medians


def product() -> None:
    """PRODUCTS times a product of 1024 x 1024 x 1024."""
    one = torch.ones(1024, 1024)
    for _ in range(PRODUCTS):
        one @ one


def random(name: str, batch: int) -> tuple[Any, Tensor]:
    """A model of the published size, and pictures."""
    torch.manual_seed(0)
    settings = {"faithful": True} if name != "transformer" else {}
    model = build(name, settings, feature_size=SIZE, vocabulary_size=VOCABULARY)
    model.decoder.head.weight.data.mul_(SHARP)
    return model.eval(), torch.randn(batch, REGIONS[name], SIZE).relu()


def trained(run: Path, file: Path, batch: int) -> tuple[Any, Tensor]:
    """The model of a run, and the first pictures of a feature file."""
    store = FeatureStore(file)
    return Captioner.open(run).model.eval(), torch.from_numpy(store.read(store.ids[:batch])).float()


def compare(name: str, ending: Ending, features: Tensor, threads: int, rounds: int, precisions: list[str]) -> None:
    torch.set_num_threads(threads)
    model, never, batch = ending.model, ending.never, len(features)
    mask = torch.ones(features.shape[:2], dtype=torch.bool)
    endings = {precision: Ending(prepare(model, precision), never, ending.trained) for precision in precisions}
    ways: dict[str, Callable[[], Any]] = {"plain": lambda: plain(ending, features, mask)}
    ways |= {"as trained": lambda: fast(ending, features, mask)}
    ways |= {key: (lambda one=one: fast(one, features, mask)) for key, one in endings.items()}
    with torch.no_grad():
        said = {key: way() for key, way in ways.items()}
        use_compiled(False)  # torch counts its own operations alone
        with FlopCounterMode(display=False) as counter:
            ways["as trained"]()
        use_compiled()
        medians = in_turns(ways | {"product": product}, rounds)
    own = 0 if threads > 1 else 1
    needed, best = counter.get_total_flops() / 1e9, PRODUCTS * 2.147 / medians.pop("product")[own]
    lengths = [len(words) for words in said["plain"]]
    parameters = sum(part.numel() for part in model.parameters()) / 1e6
    print(
        f"{name}, {parameters:.0f} million parameters, {batch} pictures, {threads} threads: captions of {min(lengths)} "
        f"to {max(lengths)} words, {statistics.mean(lengths):.1f} in the mean; peak {best:.0f} GFLOP/s"
    )
    for key, seconds in medians.items():
        line = (
            f"  {key:10} {batch / seconds[0]:6.1f} pictures/s, {medians['plain'][own] / seconds[own]:5.1f} times plain"
        )
        line += f" (aim {AIMS[key]})" if key in AIMS and not never and not ending.trained else ""
        if key in ("as trained", "float32"):
            line += f", {needed / seconds[own] / best:.0%} of the peak over {needed:.0f} GFLOP"
        same = statistics.mean(a == b for a, b in zip(said[key], said["plain"], strict=True))
        print(f"{line}; {same:.0%} of the captions alike", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", nargs="+", choices=REGIONS, default=["s2", "meshed_memory"])
    parser.add_argument("--batch", type=int, default=50)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--precision", nargs="+", choices=AIMS, default=list(AIMS))
    parser.add_argument("--never-ends", action="store_true")
    parser.add_argument("--run", type=Path)
    parser.add_argument("--features", type=Path)
    given = parser.parse_args()
    if (given.run is None) != (given.features is None) or (given.run and given.never_ends):
        parser.error("--run, --features: expected both or none, and no --never-ends with them")
    torch.set_num_threads(given.threads[0])
    for name in given.model if given.run is None else [given.run.name]:
        model, features = trained(given.run, given.features, given.batch) if given.run else random(name, given.batch)
        ending = Ending(model, given.never_ends, trained=given.run is not None)
        for threads in given.threads:
            compare(name, ending, features, threads, given.rounds, given.precision)


if __name__ == "__main__":
    main()
