"""Tokeniser, METEOR, whole evaluation and reward, side by side with pycocoevalcap (which needs Java), in one run.

    .venv/bin/python benchmarks/metrics.py CAPTIONS.json [--runs 3]

CAPTIONS.json is a captions.json of 5 captions a picture: each picture's first caption is scored against the others.
Every figure is the median of the runs; the two sides take turns, each in a fresh process of its own.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

# Each program prints one JSON object. Its time counts from the start of the process where the name says so.
START = "import json, sys, time; began = time.perf_counter(); where = sys.argv[1]\n"
END = "\nprint('RESULT ' + json.dumps(result))\n"
PEAK = "\nimport resource; result['peak_mib'] = resource.getrusage(resource.RUSAGE_{}).ru_maxrss / 1024"

TOKENIZE = {
    "seesay": """
from seesay.text.ptb import tokenize
captions = json.load(open(where))
began = time.perf_counter()
tokens = [tokenize(caption) for caption in captions]
result = {"seconds": time.perf_counter() - began}""",
    "pycocoevalcap": """
from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer
captions = {i: [{"caption": caption}] for i, caption in enumerate(json.load(open(where)))}
began = time.perf_counter()
tokens = PTBTokenizer().tokenize(captions)
result = {"seconds": time.perf_counter() - began}""",
}
METEOR = {
    "seesay": """
from seesay.metrics.meteor import Meteor
pairs = json.load(open(where)); candidates = {i: c[0].split() for i, c in pairs.items()}
references = {i: [t.split() for t in c[1:]] for i, c in pairs.items()}
first = next(iter(candidates))
meteor = Meteor.load()
meteor.score({first: candidates[first]}, {first: references[first]})
result = {"first": time.perf_counter() - began}
began = time.perf_counter()
corpus = meteor.score(candidates, references).corpus
result |= {"rate": len(pairs) / (time.perf_counter() - began), "corpus": corpus}"""
    + PEAK.format("SELF"),
    "pycocoevalcap": """
from pycocoevalcap.meteor.meteor import Meteor
pairs = json.load(open(where)); candidates = {i: c[:1] for i, c in pairs.items()}
references = {i: c[1:] for i, c in pairs.items()}
first = next(iter(candidates))
meteor = Meteor()
meteor.compute_score({first: references[first]}, {first: candidates[first]})
result = {"first": time.perf_counter() - began}
began = time.perf_counter()
corpus = meteor.compute_score(references, candidates)[0]
result |= {"rate": len(pairs) / (time.perf_counter() - began), "corpus": corpus}
peak = next(line for line in open(f"/proc/{meteor.meteor_p.pid}/status") if line.startswith("VmHWM"))
result["peak_mib"] = int(peak.split()[1]) / 1024""",
}
WHOLE = {
    "seesay": """
from seesay.metrics.scoring import evaluate
pairs = json.load(open(where))
metrics = ["BLEU", "METEOR", "ROUGE_L", "CIDEr-D"]  # what the other side computes
scores = evaluate({i: c[0] for i, c in pairs.items()}, {i: c[1:] for i, c in pairs.items()}, metrics)
result = {"seconds": time.perf_counter() - began, "corpus": scores.corpus}""",
    "pycocoevalcap": """
from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.meteor.meteor import Meteor
from pycocoevalcap.rouge.rouge import Rouge
from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer
pairs = json.load(open(where))
candidates = PTBTokenizer().tokenize({i: [{"caption": c[0]}] for i, c in pairs.items()})
references = PTBTokenizer().tokenize({i: [{"caption": t} for t in c[1:]] for i, c in pairs.items()})
bleu = Bleu(4).compute_score(references, candidates, verbose=0)[0]
corpus = {f"Bleu_{n}": score for n, score in enumerate(bleu, start=1)}
corpus["METEOR"] = Meteor().compute_score(references, candidates)[0]
corpus["ROUGE_L"] = Rouge().compute_score(references, candidates)[0]
corpus["CIDEr-D"] = float(Cider().compute_score(references, candidates)[0])
result = {"seconds": time.perf_counter() - began, "corpus": corpus}""",
}
REWARD = {
    "seesay": """
import numpy as np
from seesay.metrics import CiderD
from seesay.metrics.reward import CiderDReward
from seesay.text.vocabulary import Vocabulary
pairs = list(json.load(open(where)).values())
references = [[t.split() for t in c[1:]] for c in pairs]
vocabulary = Vocabulary.build([t for c in references for t in c], 1)
reward = CiderDReward(CiderD.fit(dict(enumerate(references))), references, vocabulary)
pictures = np.arange(50).repeat(5)
ids = np.full((250, 20), vocabulary.eos)
for row, words in enumerate(t for c in pairs[:50] for t in c[:5]):
    ids[row, : len(words.split()[:20])] = vocabulary.encode(words.split()[:20])
times = []
for _ in range(50):
    began = time.perf_counter(); found = reward(ids, pictures); times.append(time.perf_counter() - began)
result = {"rate": 250 / float(np.median(times)), "mean": float(found.mean())}""",
    "pycocoevalcap": """
import numpy as np
from pycocoevalcap.cider.cider import Cider
pairs = list(json.load(open(where)).values())
candidates = [t for c in pairs[:50] for t in c[:5]]
references = {row: pairs[row // 5][1:] for row in range(250)}
times = []
for _ in range(5):
    began = time.perf_counter()
    Cider().compute_score(references, {row: [t] for row, t in enumerate(candidates)})
    times.append(time.perf_counter() - began)
result = {"rate": 250 / float(np.median(times))}""",
}


def run(program: str, given: Any) -> dict[str, Any]:
    """The result of a program on some JSON, in a process of its own."""
    with tempfile.NamedTemporaryFile("w", suffix=".json", encoding="utf-8") as file:
        json.dump(given, file)
        file.flush()
        done = subprocess.run([sys.executable, "-c", START + program + END, file.name], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr[-2000:])
    found: dict[str, Any] = json.loads(done.stdout.rpartition("RESULT ")[2])
    return found


def both(programs: dict[str, str], given: Any, runs: int) -> dict[str, dict[str, Any]]:
    """The median of each number, by side, the sides taking turns."""
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in programs}
    for _ in range(runs):
        for name, program in programs.items():
            found[name].append(run(program, given))
    return {
        name: {
            key: statistics.median(each[key] for each in some) if isinstance(value, float) else value
            for key, value in some[0].items()
        }
        for name, some in found.items()
    }


def recombined(captions: list[str], count: int) -> list[str]:
    """As many different captions as asked for: the first half of one, the second of another."""
    chance, made = random.Random(0), set[str]()
    halves = [caption.split() for caption in captions]
    while len(made) < count:
        first, second = chance.choice(halves), chance.choice(halves)
        made.add(" ".join([*first[: len(first) // 2], *second[len(second) // 2 :]]))
    return sorted(made)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("captions", type=Path)
    parser.add_argument("--runs", type=int, default=3)
    given = parser.parse_args()
    rows = [row["captions"] for row in json.loads(given.captions.read_text(encoding="utf-8"))]
    captions = [caption for row in rows for caption in row]
    repeated = (captions * (250_000 // len(captions) + 1))[:250_000]
    for name, some in (
        ("25,000 as they come", captions[:25_000]),
        ("250,000 as they come", repeated),
        ("250,000 all different", recombined(captions, 250_000)),
    ):
        found = both(TOKENIZE, some, given.runs)
        ours, theirs = (len(some) / found[side]["seconds"] for side in TOKENIZE)
        print(f"tokeniser, {name}: {ours:,.0f}/s, Java {theirs:,.0f}/s, ratio {ours / theirs:.2f}", flush=True)
    from seesay.text.ptb import tokenize

    pairs = {str(i): row for i, row in enumerate(rows[:5000])}
    tokens = {i: [" ".join(tokenize(text)) for text in row] for i, row in pairs.items()}
    found = both(METEOR, tokens, given.runs)
    for side, values in found.items():
        print(
            f"METEOR, {side}: first score {values['first']:.2f} s, {values['rate']:,.0f} segments/s, "
            f"peak {values['peak_mib']:,.0f} MiB, corpus {values['corpus']!r}",
            flush=True,
        )
    found = both(WHOLE, pairs, given.runs)
    seconds = [found[side]["seconds"] for side in WHOLE]
    print(f"whole evaluation, 5,000 pictures: {seconds[0]:.2f} s, with Java {seconds[1]:.2f} s, ", end="")
    print(f"ratio {seconds[1] / seconds[0]:.2f}")
    for name, theirs in found["pycocoevalcap"]["corpus"].items():
        print(f"  {name}: {found['seesay']['corpus'][name]!r}, with Java {theirs!r}")
    found = both(REWARD, tokens, given.runs)
    rates = [found[side]["rate"] for side in REWARD]
    print(f"reward: {rates[0]:,.0f} captions/s, reference {rates[1]:,.0f}/s, ratio {rates[0] / rates[1]:.1f}")


if __name__ == "__main__":
    main()
