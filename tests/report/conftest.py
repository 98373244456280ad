"""A made-up run over real photographs: plausible curves, captions borrowed from people, attention that moves."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

RECIPE = 'name = "demo"\n\n[model]\nname = "attend_tell"\nhidden_size = 512\n\n[training]\nepochs = 12\n'
EPOCHS, STEPS = 12, 30


@pytest.fixture(scope="session")
def make_run(demo_folder: Path) -> Callable[..., Path]:
    """`make_run(folder, count, **changes of the first item)` writes a run folder and returns it."""
    records = json.loads((demo_folder / "captions.json").read_text(encoding="utf-8"))

    def make(folder: Path, count: int = 3, **changes: Any) -> Path:
        items = [_item(records[n % len(records)], n, count) for n in range(count)]
        mean = sum(item["scores"]["CIDEr-D"] for item in items) / count
        items[0].update(changes)
        corpus = {"Bleu_1": 0.51, "Bleu_2": 0.33, "Bleu_3": 0.2, "Bleu_4": 0.125, "ROUGE_L": 0.4, "CIDEr-D": mean}
        page = {
            "split": "dev",
            "decoding": {"beam": 5, "maximum_length": 20},
            "checkpoint_step": 9 * STEPS,
            "signature": "seesay-0.1|ptb-1",
            "items": items,
        }
        per_id = {item["id"]: item["scores"] for item in items}
        _write(folder / "recipe.toml", RECIPE)
        _write(folder / "log.jsonl", "".join(f"{json.dumps(row)}\n" for row in _log()))
        _write(folder / "timings.jsonl", "".join(f'{{"epoch": {n}, "seconds": 5.5}}\n' for n in range(1, EPOCHS + 1)))
        _write(folder / "vocabulary.json", json.dumps({"format": "seesay-vocabulary", "words": ["a"] * 417}))
        _write(folder / "predictions" / "dev.json", json.dumps(page))
        scores = {"corpus": corpus, "per_id": per_id, "signature": "seesay-0.1|ptb-1"}
        _write(folder / "scores" / "dev.json", json.dumps(scores))
        return folder

    return make


def _write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")


def _log() -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    noise = np.random.default_rng(0)
    for epoch in range(1, EPOCHS + 1):
        for step in range((epoch - 1) * STEPS + 1, epoch * STEPS + 1):
            loss = 2.2 + 4 * math.exp(-step / 60) + float(noise.normal(0, 0.12))
            rate = 5e-4 * min(step / 40, 1) * (1 - step / (EPOCHS * STEPS + 40))
            rows.append({"event": "step", "step": step, "epoch": epoch, "loss": loss, "lr": rate, "grad_norm": 1.0})
        cider = 0.42 * (1 - math.exp(-epoch / 4)) - 0.002 * max(epoch - 9, 0)
        scores = {"CIDEr-D": cider, "Bleu_4": 0.125 * epoch / 12}
        rows.append({
            "event": "check", "step": epoch * STEPS, "epoch": epoch, "best": epoch <= 9, "scores": scores,
            "train_loss": 2.2 + 4 * math.exp(-epoch / 2), "dev_loss": 3.1 + 3 * math.exp(-epoch / 2.2) + 0.01 * epoch,
        })  # fmt: skip
    return rows


def _item(record: dict[str, Any], number: int, count: int) -> dict[str, Any]:
    words = record["captions"][-1].lower().strip(" .").split()
    other = record["captions"][0].lower()
    return {
        "id": str(number),
        "file": record["file"],
        "captions": [
            {"text": " ".join(words), "score": -4.2, "tokens": words, "attention": _attention(len(words), number)},
            {"text": other, "score": -5.0, "tokens": other.split(), "attention": None},
        ],
        "references": record["captions"],
        "scores": {"CIDEr-D": 1.9 * (1 - number / count) ** 2, "Bleu_4": 0.1},
    }


def _attention(words: int, seed: int) -> list[list[float]]:
    """A blob that wanders over a 7x7 grid, one row a word, each summing to 1."""
    noise = np.random.default_rng(seed)
    ys, xs = np.mgrid[0:7, 0:7]
    centre, rows = noise.uniform(1, 5, 2), []
    for _ in range(words):
        centre = np.clip(centre + noise.normal(0, 1.4, 2), 0, 6)
        weights = np.exp(-((ys - centre[0]) ** 2 + (xs - centre[1]) ** 2) / noise.uniform(1.5, 6)) + 0.02
        rows.append((weights / weights.sum()).reshape(-1).round(6).tolist())
    return rows
