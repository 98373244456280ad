"""Questions about COCO's photographs (VQG), against a model that sees nothing and an LSTM captioner taught to ask.

    .venv/bin/python benchmarks/asking.py --data ../shared/data/vqg_coco --features grids.h5 --flipped grids-flipped.h5
        --start runs/flickr8k-ask --start-captioner runs/flickr8k-rnn [-o runs/asking] [--seeds 1 2 3] [--held 40]

ivqa: recipes/vqg-ask.toml, which goes on from a run of recipes/flickr8k-ask.toml.
blind: the same model, from the same start, to which all pictures look alike (the mean of the training features, and so
    the same concepts) and no answer is ever given: what can be won by asking what people ask most.
lstm: `captioning_rnn` of the same size, from a run on the same captions, taught the same questions as if they were
    captions; it hears no answer.

All three learn from the same pictures. The pictures called "val" are scored once, as a split "test": the epoch is
chosen on --held pictures of the training data, drawn once, which no model learns from. Each is asked one question about
each picture, no answer being given, by a beam of 5 in which no two words come twice in a row, and scored against the
picture's five questions of VQG as `seesay evaluate` does.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from seesay import evaluation
from seesay.data.features import FeatureStore, open_writer
from seesay.progress import follow_training
from seesay.recipe import read_recipe, recipe_of
from seesay.run import train
from seesay.tasks import asking

RECIPE = Path(__file__).parents[1] / "recipes" / "vqg-ask.toml"
SHOWN = ("Bleu_1", "Bleu_4", "METEOR", "ROUGE_L", "CIDEr")


def split_again(source: Path, folder: Path, held: int) -> list[dict[str, Any]]:
    """Questions and captions with the pictures of "val" as "test", and `held` of the others as "dev"."""
    records = json.loads((source / "questions.json").read_text(encoding="utf-8"))
    learned = [number for number, record in enumerate(records) if record["split"] == "train"]
    dev = set(np.random.default_rng(0).permutation(learned)[:held].tolist())
    for number, record in enumerate(records):
        record["split"] = "test" if record["split"] == "val" else "dev" if number in dev else "train"
    (folder / "questions.json").write_text(json.dumps(records), encoding="utf-8")
    captions = []
    for record in records:
        pairs = [pair["question"] for pair in record["vqa"]] if record["split"] == "train" else []
        part = {key: record[key] for key in ("file", "image_id", "split")}
        captions.append({**part, "captions": [*record["questions"], *pairs]})
    (folder / "captions.json").write_text(json.dumps(captions), encoding="utf-8")
    return records


def blind(features: Path, learned: list[str], path: Path) -> None:
    """Features in which all pictures are the mean of those learned from."""
    store = FeatureStore(features)
    mean = np.mean([store.read([name])[0].astype(np.float32) for name in learned], axis=0).astype(np.float16)
    with open_writer(path, store.ids, store.regions, store.size, store.encoder, False) as writer:
        for name in store.ids:
            writer.write([name], mean[None])
        writer.finish()


def recipe_for(system: str, given: argparse.Namespace, folder: Path, seed: int) -> Any:
    """The recipe of one system; settings of training are the same for all."""
    data = {"questions": folder / "questions.json", "features": given.features, "flipped": given.flipped}
    data |= {"concepts": given.start / "concepts", "pictures": ""}
    more = [f"seed={seed}", f'training.start_from="{given.start}"', *given.settings]
    if system == "blind":
        data |= {"features": folder / "blind.h5", "flipped": ""}
        more.append("data.hidden_answers=1.0")
    read = read_recipe(RECIPE, [*(f'data.{key}="{value}"' for key, value in data.items()), *more])
    if system != "lstm":
        return read
    content = read.model_dump(mode="json")
    content["task"], content["name"] = "caption", "vqg-lstm"
    content["data"] = {
        "captions": str(folder / "captions.json"),
        "features": str(given.features),
        "flipped": str(given.flipped),
        "minimum_count": content["data"]["minimum_count"],
        "max_words": content["data"]["max_words"],
    }
    sizes = {key: content["model"][key] for key in ("embedding_size", "hidden_size", "dropout")}
    content["model"] = {"name": "captioning_rnn", **sizes}
    content["training"]["start_from"] = str(given.start_captioner)
    return recipe_of(content, RECIPE)


def run_one(system: str, given: argparse.Namespace, folder: Path, seed: int) -> dict[str, float]:
    """Train and score one system; a run that is there already is scored only."""
    run = folder / f"{system}-{seed}"
    if not (run / "done").exists():
        follow_training(train(recipe_for(system, given, folder, seed), run))
        (run / "done").touch()
    if system == "lstm":
        return evaluation.evaluate(run, "test").corpus
    scores, _ = asking.evaluate(run, "test")
    found = dict(scores.evaluation.corpus) | {f"div {key}": value for key, value in scores.diversity.items()}
    for kind, ranks in scores.ranking.items():
        found |= {f"{kind} {key}": value for key, value in ranks.items()}
    if scores.answered is not None:
        found |= {f"answered {key}": value for key, value in scores.answered.corpus.items()}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data/vqg_coco"))
    for name in ("--features", "--flipped", "--start", "--start-captioner"):
        parser.add_argument(name, type=Path, required=True)
    parser.add_argument("-o", "--output", type=Path, default=Path("runs/asking"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--systems", nargs="+", default=["ivqa", "blind", "lstm"])
    parser.add_argument("--held", type=int, default=40)
    parser.add_argument("--set", dest="settings", action="append", default=[], help="Of all runs: stages.0.epochs=3.")
    given = parser.parse_args()
    given.output.mkdir(parents=True, exist_ok=True)
    records = split_again(given.data, given.output, given.held)
    if not (given.output / "blind.h5").exists():
        learned = [record["file"] for record in records if record["split"] == "train"]
        blind(given.features, learned, given.output / "blind.h5")
    for system in given.systems:
        found = [run_one(system, given, given.output, seed) for seed in given.seeds]
        for name in [*SHOWN, *(name for name in found[0] if " " in name)]:
            values = [one[name] for one in found]
            print(f"{system:6} {name:22} {np.mean(values):.4f}   {' '.join(f'{value:.4f}' for value in values)}")


if __name__ == "__main__":
    main()
