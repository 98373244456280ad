"""Captions by seesay and by Hugging Face transformers' generate() from one and the same network, in turns.

    nice -n -5 .venv/bin/python benchmarks/generate.py [--batch 50] [--threads 1 2] [--rounds 5]
                                                       [--precision float32 bf16 int8] [--run RUN --features FILE]

The network is `transformer`; there, it is a Pegasus with the same weights, which is the same network, with
normalisation first and sinusoids. Its encoder is given the regions after their first layer, without positions. Both
search with a beam of 5 for at most 20 words, without length penalty, and stop early: there once 5 captions of a picture
have ended, as early as it can; here once no growing caption can become the best. First it is shown that both are equal:
all logits, and the ids of all captions by the likeliest word each.

Without --run the weights are random and of the published sizes. So that captions end, of different lengths, <eos>
listens to the first number of the last state alone, which the last word decides for the most part, and to which every
place adds SLOPE * (place - PLACE); all scores are sharpened by SHARP, since random ones are nearly equal. With --run,
weights are those of a trained run, and pictures the first ones in FILE. Ratios come from the seconds of the processor
at one thread, and from the clock on the wall at several.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from decode import LENGTH, SIZE, VOCABULARY, WIDTH, in_turns
from torch import Tensor

from seesay.captioner import Captioner
from seesay.data.batches import pad
from seesay.data.features import FeatureStore
from seesay.decoding.inference import prepare
from seesay.decoding.search import decode
from seesay.decoding.settings import Decoding
from seesay.models import build
from seesay.text.vocabulary import BOS, EOS, PAD, UNK

try:
    from transformers import PegasusConfig, PegasusForConditionalGeneration
except ImportError as missing:
    raise SystemExit(
        "benchmarks/generate.py: needs transformers; pip install -c constraints.txt 'transformers>=5'"
    ) from missing

REGIONS = 49
SHARP, SLOPE, PLACE = 4.0, 0.5, 2.0
SPECIAL = (UNK, PAD, BOS, EOS)
AIMS = {"float32": 2.0, "fastest": 4.0}


def equal(model: Any) -> Any:
    """The same network as transformers has it."""
    config, words = model.config, model.decoder.head.out_features
    assert config.pre_norm and config.encoder_layers, "another network than Pegasus"
    sizes = {"attention_heads": config.heads, "ffn_dim": config.feedforward_size}
    theirs = PegasusForConditionalGeneration(
        PegasusConfig(
            vocab_size=words,
            d_model=config.hidden_size,
            encoder_layers=config.encoder_layers,
            decoder_layers=config.layers,
            max_position_embeddings=max(config.positions, REGIONS),
            activation_function="relu",
            scale_embedding=True,
            tie_word_embeddings=config.tied,
            **{f"{part}_{name}": size for part in ("encoder", "decoder") for name, size in sizes.items()},
            pad_token_id=PAD,
            bos_token_id=BOS,
            eos_token_id=EOS,
            decoder_start_token_id=BOS,
            forced_eos_token_id=None,
        )
    ).eval()
    theirs.generation_config.forced_eos_token_id = None
    weights = dict(theirs.state_dict())
    found = {f"model.{name}": value for name, value in renamed(model).items()}
    table = torch.zeros_like(weights["model.decoder.embed_positions.weight"])
    table[: config.positions] = model.decoder.positions
    found["model.decoder.embed_positions.weight"] = table
    found["model.encoder.embed_positions.weight"] = torch.zeros_like(table)  # regions have no order
    found["final_logits_bias"] = model.decoder.head.bias.unsqueeze(0)
    words_in = model.decoder.embedding.weight
    found |= {name: words_in for name in weights if name.endswith(("shared.weight", "embed_tokens.weight"))}
    found["lm_head.weight"] = model.decoder.head.weight
    theirs.load_state_dict(found)  # every name, or an error
    return theirs


PARTS = {
    "attention.query": "self_attn.q_proj",
    "attention.key": "self_attn.k_proj",
    "attention.value": "self_attn.v_proj",
    "attention.output": "self_attn.out_proj",
    "residual.norm": "self_attn_layer_norm",
    "cross.query": "encoder_attn.q_proj",
    "cross.key": "encoder_attn.k_proj",
    "cross.value": "encoder_attn.v_proj",
    "cross.output": "encoder_attn.out_proj",
    "cross_residual.norm": "encoder_attn_layer_norm",
    "feedforward.inner": "fc1",
    "feedforward.outer": "fc2",
    "feedforward.residual.norm": "final_layer_norm",
}


def renamed(model: Any) -> dict[str, Tensor]:
    """The weights of the layers by the names that they have there."""
    found: dict[str, Tensor] = {}
    for side, layers, norm in (
        ("encoder", model.encoder, model.norm),
        ("decoder", model.decoder.layers, model.decoder.norm),
    ):
        found |= {f"{side}.layer_norm.{name}": value for name, value in norm.state_dict().items()}
        for number, layer in enumerate(layers):
            for name, value in layer.state_dict().items():
                part, kind = name.rsplit(".", 1)
                found[f"{side}.layers.{number}.{PARTS[part]}.{kind}"] = value
    return found


def generated(theirs: Any, model: Any, features: Tensor, beams: int) -> list[list[int]]:
    """Captions by generate(), which never says what ours never says."""
    said = theirs.generate(
        inputs_embeds=model.regions(features),
        attention_mask=torch.ones(features.shape[:2], dtype=torch.long),
        num_beams=beams,
        **({"length_penalty": 0.0, "early_stopping": True} if beams > 1 else {}),
        max_new_tokens=LENGTH,
        do_sample=False,
        suppress_tokens=[UNK, PAD, BOS],
        begin_suppress_tokens=[EOS],
    )
    return [[word for word in row if word not in SPECIAL] for row in said.tolist()]


def ours(model: Any, features: Tensor, beams: int) -> list[list[int]]:
    """Captions by seesay's search."""
    mask = torch.ones(features.shape[:2], dtype=torch.bool)
    found = decode(model, model.start(features, mask), Decoding("beam", beams, LENGTH, wanted=1))
    return [some[0].tokens for some in found]


def show_equal(model: Any, theirs: Any, features: Tensor) -> None:
    """Fails where the two networks are not the same one."""
    said = pad([[4 + (7 * n + t) % 90 for t in range(5 + n % 9)] for n in range(len(features))])
    tokens, rows = torch.from_numpy(said), torch.arange(len(features))
    mask = torch.ones(features.shape[:2], dtype=torch.bool)
    forced = model(features, mask, tokens, rows)
    seen = theirs(inputs_embeds=model.regions(features), attention_mask=mask.long(), decoder_input_ids=tokens[:, :-1])
    difference = float((forced.logits - seen.logits[tokens[:, 1:] != PAD]).abs().max())
    assert difference < 1e-3, f"logits differ by {difference}"
    one, other = ours(model, features, 1), generated(theirs, model, features, 1)
    assert one == other, "the likeliest words differ"
    print(f"equal: logits differ by {difference:.1e} at most, all {len(one)} captions of likeliest words are the same")


def random(batch: int) -> tuple[Any, Tensor]:
    """A model of the published size with random weights, among them some that make its captions end, and pictures."""
    torch.manual_seed(0)
    model: Any = build("transformer", {"tied": False}, feature_size=SIZE, vocabulary_size=VOCABULARY)
    decoder = model.decoder
    with torch.no_grad():
        decoder.norm.weight.mul_(SHARP)
        decoder.head.weight[EOS] = 0
        decoder.head.weight[EOS, 0] = 1
        decoder.positions[:, 0] = SLOPE * (torch.arange(len(decoder.positions)) - PLACE)
    return model.eval(), torch.randn(batch, REGIONS, SIZE).relu()


def compare(model: Any, features: Tensor, threads: int, rounds: int, precisions: list[str]) -> None:
    theirs = equal(model)
    show_equal(model, theirs, features)
    prepared = {precision: prepare(model, precision) for precision in precisions}
    ways: dict[str, Callable[[], Any]] = {"generate()": lambda: generated(theirs, model, features, WIDTH)}
    ways |= {key: (lambda one=one: ours(one, features, WIDTH)) for key, one in prepared.items()}
    said = {key: way() for key, way in ways.items()}
    medians, own = in_turns(ways, rounds), 0 if threads > 1 else 1
    lengths = list(map(len, said["generate()"]))
    print(f"{len(features)} pictures, {threads} threads, captions of {min(lengths)} to {max(lengths)} words there")
    base = medians["generate()"][own]
    fastest = min((key for key in prepared), key=lambda key: medians[key][own])
    for key, seconds in medians.items():
        line = f"  {key:10} {len(features) / seconds[own]:6.1f} pictures/s, {base / seconds[own]:4.1f} times generate()"
        line += f" (aim {AIMS['float32']:.0f})" if key == "float32" else ""
        line += f" (the fastest: aim {AIMS['fastest']:.0f})" if key == fastest else ""
        same = statistics.mean(a == b for a, b in zip(said[key], said["generate()"], strict=True))
        print(f"{line}; {same:.0%} of the captions alike", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=50)
    parser.add_argument("--threads", type=int, nargs="+", default=[1])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--precision", nargs="+", choices=["float32", "bf16", "int8"], default=["float32", "int8"])
    parser.add_argument("--run", type=Path)
    parser.add_argument("--features", type=Path)
    given = parser.parse_args()
    if (given.run is None) != (given.features is None):
        parser.error("--run and --features: expected both or none")
    torch.set_num_threads(given.threads[0])
    if given.run is None:
        model, features = random(given.batch)
    else:
        model, store = Captioner.open(given.run).model.eval(), FeatureStore(given.features)
        features = torch.from_numpy(store.read(store.ids[: given.batch])).float()
    with torch.no_grad():
        for threads in given.threads:
            torch.set_num_threads(threads)
            compare(model, features[: given.batch], threads, given.rounds, given.precision)


if __name__ == "__main__":
    main()
