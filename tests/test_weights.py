"""Released M2 and S2 weights: read without running anything, and the same numbers as the released code."""

from __future__ import annotations

import collections
import datetime
import math
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import layer_norm, leaky_relu, linear, log_softmax, normalize

from seesay.data.batches import pad
from seesay.decoding.search import beam
from seesay.errors import CheckpointError, SeesayError, UnknownName
from seesay.models import build
from seesay.nn.state import select
from seesay.text.vocabulary import BOS, EOS, PAD, UNK
from seesay.weights import convert, import_weights, read_state_dict

Weights = dict[str, Tensor]


class Reference:
    """What the released `kind` "m2" or "s2" computes, written anew over its own names for weights: the yardstick here.

    A plain forward pass over whole captions in evaluation: nothing cached, nothing shared, all padding computed.
    """

    def __init__(self, kind: str, weights: Weights, heads: int) -> None:
        self.kind, self.weights, self.heads = kind, weights, heads

    def dense(self, name: str, x: Tensor) -> Tensor:
        return linear(x, self.weights[f"{name}.weight"], self.weights.get(f"{name}.bias"))

    def norm(self, name: str, x: Tensor) -> Tensor:
        return layer_norm(x, x.shape[-1:], self.weights[f"{name}.weight"], self.weights[f"{name}.bias"])

    def attend(self, name: str, x: Tensor, memory: Tensor, hidden: Tensor) -> Tensor:
        """Attention of one module with its residual; `hidden` is True where it may not look."""
        q, k, v = (
            self.dense(f"{name}.attention.fc_{part}", of) for part, of in (("q", x), ("k", memory), ("v", memory))
        )
        size = q.shape[-1] // self.heads
        if f"{name}.attention.m_k" in self.weights:
            slots = [self.weights[f"{name}.attention.m_{part}"].expand(len(x), -1, -1) for part in "kv"]
            k, v = torch.cat([k, slots[0] * math.sqrt(size)], 1), torch.cat([v, slots[1] * slots[1].shape[1] ** 0.5], 1)
            hidden = torch.cat([hidden, torch.zeros(*hidden.shape[:-1], slots[0].shape[1], dtype=torch.bool)], -1)
        heads = []
        for head in range(self.heads):
            part = slice(head * size, (head + 1) * size)
            scores = torch.einsum("bqd,bkd->bqk", q[..., part], k[..., part]) / math.sqrt(size)
            heads.append(scores.masked_fill(hidden, float("-inf")).softmax(-1) @ v[..., part])
        return self.norm(f"{name}.layer_norm", x + self.dense(f"{name}.attention.fc_o", torch.cat(heads, -1)))

    def feed(self, name: str, x: Tensor) -> Tensor:
        inner = self.dense(f"{name}.pwff.fc1", x).relu()
        return self.norm(f"{name}.pwff.layer_norm", x + self.dense(f"{name}.pwff.fc2", inner))

    def layers(self, part: str) -> range:
        return range(len({name.split(".")[2] for name in self.weights if name.startswith(f"{part}.layers.")}))

    def encode(self, features: Tensor) -> tuple[list[Tensor], Tensor]:
        """The output of each layer, and which places are hidden (B, 1, S)."""
        x = self.norm("encoder.layer_norm", self.dense("encoder.fc", features).relu())
        empty = features.sum(-1) == 0
        hidden = empty.unsqueeze(1)
        if self.kind == "s2":
            x = x.masked_fill(empty.unsqueeze(-1), 0)
        else:
            hidden = torch.zeros_like(hidden)  # it looks for zeros behind the norm, and finds none
        outputs = []
        for i in self.layers("encoder"):
            y = self.attend(f"encoder.layers.{i}.mhatt", x, x, hidden)
            if self.kind == "s2":
                y = self.norm(f"encoder.layers.{i}.lnorm", x + y)
            x = self.feed(f"encoder.layers.{i}", y)
            outputs.append(x)
        if self.kind == "s2":
            y = leaky_relu(self.dense("encoder.SR.MLP.0", torch.cat(outputs, -1)))
            outputs = [x + 0.2 * leaky_relu(self.dense("encoder.SR.MLP.2", y))]
        return outputs, hidden

    def pseudo(self, features: Tensor) -> Tensor:
        """Every difference of a cell from a centre, weighed, summed and normalised twice."""
        cells, centres = normalize(features, dim=-1), self.weights["SP.centroids"]
        kernel = self.weights["SP.conv.weight"][:, :, 0, 0]
        shares = linear(cells, kernel, self.weights["SP.conv.bias"]).softmax(-1)
        apart = cells.unsqueeze(2) - centres  # (B, R, C, D)
        sums = normalize((shares.unsqueeze(-1) * apart).sum(1), dim=-1)
        return normalize(sums.flatten(1), dim=-1).view_as(sums)

    def __call__(self, features: Tensor, tokens: Tensor) -> Tensor:
        """Log-probabilities (B, T, V) after each word of `tokens` (B, T), a picture a caption."""
        levels, hidden = self.encode(features)
        if self.kind == "s2":
            more, none_hidden = self.encode(self.pseudo(features))
            levels, hidden = [torch.cat([levels[0], more[0]], 1)], torch.cat([hidden, none_hidden], -1)
        real = (tokens != PAD).unsqueeze(-1)
        places = torch.arange(1, tokens.shape[1] + 1).expand_as(tokens) * real[..., 0]
        x = self.weights["decoder.word_emb.weight"][tokens] + self.weights["decoder.pos_emb.weight"][places]
        later = torch.ones(tokens.shape[1], tokens.shape[1], dtype=torch.bool).triu(1) | ~real.transpose(1, 2)
        for i in self.layers("decoder"):
            x = self.decode(f"decoder.layers.{i}", x, levels, hidden, later, real)
        return log_softmax(self.dense("decoder.fc", x), -1)

    def decode(self, name: str, x: Tensor, levels: list[Tensor], hidden: Tensor, later: Tensor, real: Tensor) -> Tensor:
        said = self.attend(f"{name}.self_att", x, x, later)
        if self.kind == "s2":
            said = self.norm(f"{name}.lnorm1", x + said) * real
            seen = self.attend(f"{name}.enc_att", said, levels[0], hidden)
            return self.feed(name, self.norm(f"{name}.lnorm2", said + seen) * real) * real
        said = said * real
        mixed = torch.zeros_like(said)
        for number, level in enumerate(levels, start=1):
            seen = self.attend(f"{name}.enc_att", said, level, hidden) * real
            mixed = mixed + seen * self.dense(f"{name}.fc_alpha{number}", torch.cat([said, seen], -1)).sigmoid()
        return self.feed(name, mixed / math.sqrt(3) * real) * real


def draw(
    kind: str,
    *,
    words: int,
    features: int,
    hidden: int,
    inner: int,
    layers: int = 3,
    positions: int = 12,
    extra: int = 6,
) -> Weights:
    """Random weights under the released names, of norms and biases too; `extra` is M2's slots or S2's clusters."""
    weights: Weights = {}

    def dense(name: str, out: int, into: int, bias: bool = True) -> None:
        weights[f"{name}.weight"] = torch.randn(out, into) / into**0.5
        if bias:
            weights[f"{name}.bias"] = torch.randn(out) * 0.1

    def norm(name: str) -> None:
        weights[f"{name}.weight"], weights[f"{name}.bias"] = 1 + 0.2 * torch.randn(hidden), 0.1 * torch.randn(hidden)

    def attention(name: str) -> None:
        for part in "qkvo":
            dense(f"{name}.attention.fc_{part}", hidden, hidden)
        norm(f"{name}.layer_norm")

    def feed(name: str) -> None:
        dense(f"{name}.pwff.fc1", inner, hidden)
        dense(f"{name}.pwff.fc2", hidden, inner)
        norm(f"{name}.pwff.layer_norm")

    dense("encoder.fc", hidden, features)
    norm("encoder.layer_norm")
    for i in range(layers):
        encoder, decoder = f"encoder.layers.{i}", f"decoder.layers.{i}"
        attention(f"{encoder}.mhatt")
        attention(f"{decoder}.self_att")
        attention(f"{decoder}.enc_att")
        feed(encoder)
        feed(decoder)
        if kind == "m2":
            for part in "kv":
                weights[f"{encoder}.mhatt.attention.m_{part}"] = torch.randn(1, extra, hidden) / extra
            for gate in (1, 2, 3):
                dense(f"{decoder}.fc_alpha{gate}", hidden, 2 * hidden)
        else:
            for name in (f"{encoder}.lnorm", f"{decoder}.lnorm1", f"{decoder}.lnorm2"):
                norm(name)
        weights[f"{decoder}.self_att.running_keys"] = torch.zeros(0, hidden)
        weights[f"{decoder}.self_att.running_values"] = torch.zeros(0, hidden)
    weights["decoder.word_emb.weight"] = torch.randn(words, hidden)
    weights["decoder.pos_emb.weight"] = torch.randn(positions + 1, hidden)
    weights["decoder.running_mask_self_attention"] = torch.zeros(1, 1, 0, dtype=torch.uint8)
    weights["decoder.running_seq"] = torch.zeros(1, dtype=torch.long)
    dense("decoder.fc", words, hidden, bias=False)
    if kind == "s2":
        dense("encoder.SR.MLP.0", layers * hidden, layers * hidden)
        dense("encoder.SR.MLP.2", hidden, layers * hidden)
        weights["SP.conv.weight"] = torch.randn(extra, features, 1, 1)
        weights["SP.conv.bias"] = torch.randn(extra)
        weights["SP.centroids"] = torch.randn(extra, features) * features**-0.5
        weights["word_emb.weight"] = torch.randn(words, hidden)
        weights["pos_emb.weight"] = torch.randn(positions + 1, hidden)
    return weights


WORDS, SIZE, HEADS = 23, 10, 4
REGIONS = {"m2": 50, "s2": 49}
KINDS = pytest.mark.parametrize("kind", ["m2", "s2"])


def weights(kind: str) -> dict[str, Tensor]:
    torch.manual_seed(5)
    return draw(kind, words=WORDS, features=SIZE, hidden=16, inner=24)


def pictures(kind: str, counts: list[int]) -> tuple[Tensor, Tensor]:
    """Features as released code is fed them, full of zeros past `counts`, and the mask of what is real."""
    mask = torch.arange(REGIONS[kind]) < torch.tensor(counts).unsqueeze(1)
    features = torch.randn(len(counts), REGIONS[kind], SIZE, generator=torch.Generator().manual_seed(1))
    return features.masked_fill(~mask.unsqueeze(-1), 0), mask


CAPTIONS = [[4, 5, 6], [7], [8, 9, 10, 4, 5, 21, 22, 5], [UNK, 11]]


def close(one: Tensor, other: Tensor) -> None:
    torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


@KINDS
@pytest.mark.parametrize("counts", [[50, 50, 50, 50], [50, 20, 3, 1]], ids=["full", "padded"])
def test_teacher_forcing_as_released(kind: str, counts: list[int]) -> None:
    released, tokens = weights(kind), torch.from_numpy(pad(CAPTIONS))
    features, mask = pictures(kind, counts)
    real = tokens[:, 1:] != PAD
    with torch.no_grad():
        expected = Reference(kind, released, HEADS)(features, tokens[:, :-1])[real]
        model = convert(kind, released, heads=HEADS).model
        close(model(features, mask, tokens, torch.arange(4)).logits.log_softmax(-1), expected)
        # A store that keeps only real regions, in a batch as wide as the widest, is the same to it.
        most = min(max(counts), REGIONS[kind])
        close(model(features[:, :most], mask[:, :most], tokens, torch.arange(4)).logits.log_softmax(-1), expected)


@KINDS
def test_step_by_step_as_released(kind: str) -> None:
    released = weights(kind)
    features, mask = pictures(kind, [30, 50])
    model, reference = convert(kind, released, heads=HEADS).model, Reference(kind, released, HEADS)
    tokens = torch.tensor([[BOS, 5, 6, 7, 8, 22], [BOS, 9, 4, UNK, 20, 4], [BOS, 5, 9, 9, 9, 10]])
    rows = torch.tensor([1, 0, 1])
    with torch.no_grad():
        state = select(model.start(features, mask), rows)
        for t in range(tokens.shape[1]):
            logits, state = model.step(tokens[:, t], state)
            close(logits.log_softmax(-1), reference(features[rows], tokens[:, : t + 1])[:, -1])


@KINDS
def test_more_regions_than_released_are_cut_as_there(kind: str) -> None:
    model, tokens = convert(kind, weights(kind), heads=HEADS).model, torch.from_numpy(pad(CAPTIONS[:2]))
    features = torch.randn(2, 70, SIZE)
    mask = torch.ones(2, 70, dtype=torch.bool)
    cut = REGIONS[kind]
    forced, expected = (model(features[:, :size], mask[:, :size], tokens, torch.arange(2)) for size in (70, cut))
    close(forced.logits, expected.logits)
    close(forced.attention[..., :cut], expected.attention)
    assert forced.attention.shape[-1] == 70 and not forced.attention[..., cut:].any()


@KINDS
def test_beams_as_a_search_over_the_reference(kind: str) -> None:
    """The same beams from our cached steps and from the reference, which computes every caption anew at each step."""
    released = weights(kind)
    features, mask = pictures(kind, [50, 12, 3])
    model, reference = convert(kind, released, heads=HEADS).model, Reference(kind, released, HEADS)
    found = beam(model, model.start(features, mask), width=3, max_length=7)
    for picture, hypotheses in enumerate(found):
        expected = plain_beam(reference, features[picture : picture + 1], width=3, length=7)
        assert [hypothesis.tokens for hypothesis in hypotheses] == [words for words, _ in expected]
        assert [hypothesis.score for hypothesis in hypotheses] == pytest.approx(
            [score for _, score in expected], abs=1e-4
        )


@torch.no_grad()
def plain_beam(reference: Reference, features: Tensor, width: int, length: int) -> list[tuple[list[int], float]]:
    beams: list[tuple[list[int], float]] = [([BOS], 0.0)]
    for _ in range(length):
        grown = [one for one in beams if one[0][-1] == EOS]
        for words, score in beams:
            if words[-1] != EOS:
                chances = reference(features, torch.tensor([words]))[0, -1]
                allowed = [EOS] * (len(words) > 1) + list(range(EOS + 1, WORDS))
                grown += [([*words, word], score + float(chances[word])) for word in allowed]
        beams = sorted(grown, key=lambda one: -one[1])[:width]
    return [([word for word in words if word > EOS], score) for words, score in beams]


@KINDS
def test_sizes_are_read_off_the_weights(kind: str) -> None:
    found = convert(kind, weights(kind), heads=HEADS)
    extra = {"slots": 6} if kind == "m2" else {"clusters": 6}
    common = {"hidden_size": 16, "heads": 4, "layers": 3, "feedforward_size": 24, "positions": 12, "faithful": True}
    assert found.settings == {**common, **extra}
    assert (found.feature_size, found.vocabulary_size) == (SIZE, WORDS)
    again = build(found.name, found.settings, feature_size=SIZE, vocabulary_size=WORDS)
    again.load_state_dict(found.model.state_dict())
    unused = {"word_emb.weight", "pos_emb.weight"} & set(found.unused)
    assert len(unused) == (2 if kind == "s2" else 0)
    assert all("running" in name for name in set(found.unused) - unused)


@KINDS
@pytest.mark.parametrize("legacy", [False, True])
def test_a_file_as_training_left_it(kind: str, legacy: bool, tmp_path: Path) -> None:
    """Wrapped, named by a parallel model, beside an optimiser and the states of random generators."""
    released, path = weights(kind), tmp_path / "released.pth"
    parameter = torch.nn.Parameter(torch.ones(2))
    optimizer = torch.optim.Adam([parameter])
    parameter.sum().backward()
    optimizer.step()
    content = {
        "state_dict": {f"module.{name}": tensor for name, tensor in released.items()},
        "optimizer": optimizer.state_dict(),
        "epoch": 7,
        "torch_rng_state": torch.get_rng_state(),
        "numpy_rng_state": np.random.RandomState(1).get_state(),
        "val_cider": np.float64(1.1),
        "use_rl": True,
    }
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    found, expected = import_weights(kind, path, heads=HEADS), convert(kind, released, heads=HEADS)
    for name, tensor in expected.model.state_dict().items():
        assert torch.equal(found.model.state_dict()[name], tensor)


class Payload:
    def __reduce__(self) -> tuple[Any, ...]:
        return (print, ("run",))


def test_what_is_no_state_dict_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    contents = {
        "object": (Payload(), "not plain weights"),
        "array": (np.array([Payload()]), "not plain weights"),
        "module": (torch.nn.Linear(2, 2), "objects of torch.nn.modules.linear.Linear"),
        "list": ([torch.ones(2)], "received a list; expected a state dict"),
        "number": (3, "received a int; expected a state dict"),
        "empty": ({}, "expected a state dict"),
        "text": ({"state_dict": {"fc.weight": "hello"}}, "'fc.weight' is a str"),
        "key": ({3: torch.ones(2)}, "3 is a Tensor"),
    }
    for name, (content, message) in contents.items():
        path = tmp_path / f"{name}.pth"
        torch.save(content, path)
        with pytest.raises(CheckpointError, match=message) as fault:
            read_state_dict(path)
        assert "\n" not in str(fault.value) and str(path) in str(fault.value)
    for name, raw in (("nothing", b""), ("words", b"hello there"), ("zip", b"PK\x03\x04 broken")):
        (tmp_path / name).write_bytes(raw)
        with pytest.raises(CheckpointError, match="expected a state dict"):
            read_state_dict(tmp_path / name)
    with pytest.raises(CheckpointError, match="cannot be read"):
        read_state_dict(tmp_path / "absent.pth")
    with pytest.raises(CheckpointError, match="cannot be read"):
        read_state_dict(tmp_path)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("protocol", [2, 4, 5])
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (
            {"a": datetime.date(2020, 1, 1)},
            "it holds objects of datetime.date, which are neither tensors nor plain values",
        ),
        (
            {"datetime": 1, "a": ["date"], "b": datetime.date(2020, 1, 1)},
            "it holds objects of datetime.date, which are neither tensors nor plain values",
        ),
        (
            {"a": "text", "b": [Payload()]},
            "it holds objects of {builtins}.print, which are neither tensors nor plain values",
        ),
    ],
    ids=["date", "texts met before", "function"],
)
def test_a_plain_pickle_is_one_line_that_names_its_first_object(
    content: dict[str, Any], reason: str, protocol: int, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    with pytest.raises(CheckpointError) as fault:
        read_state_dict(path)
    reason = reason.format(builtins="__builtin__" if protocol == 2 else "builtins")  # as Python 2 called it
    assert str(fault.value).startswith(f"{path}: not plain weights saved by torch ({reason}")
    assert str(fault.value).endswith(
        "); nothing in it was run; expected a state dict: tensors by name, as torch.save writes them."
    )
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("cut", [-100, 300, 60])
def test_a_file_of_old_releases_of_torch_that_is_cut_short_is_said_to_be(cut: int, tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    weights = collections.OrderedDict((f"layer.{n}", torch.zeros(9, 9)) for n in range(20))
    torch.save(weights, path, _use_new_zipfile_serialization=False)
    assert read_state_dict(path).keys() == weights.keys()
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(CheckpointError, match=r"saved by torch \(it is damaged or cut short; download it again\)"):
        read_state_dict(path)


def test_a_plain_pickle_without_objects_is_said_to_be_one(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(pickle.dumps({"a": [1, 2]}, protocol=4))
    with pytest.raises(CheckpointError, match=r"\(it is a pickle that torch did not write\); nothing in it was run; "):
        read_state_dict(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"decoder.fc.weight": None}, "lacks decoder.head.weight; expected the weights of S2"),
        ({"decoder.fc.bias": torch.zeros(WORDS)}, "has, beyond the model's own, decoder.head.bias"),
        ({"encoder.layers.1.mhatt.attention.fc_q.bias": torch.zeros(3)}, r"query.bias' is \(3,\); expected \(16,\)"),
        ({"decoder.fc.weight": torch.full((WORDS, 16), torch.nan)}, "'decoder.head.weight' is not finite"),
        ({"encoder.fc.weight": None}, "'encoder.fc.weight' is missing"),
        ({"SP.centroids": torch.zeros(3)}, r"'SP.centroids' is of shape \(3,\)"),
        ({f"spare.{i}": torch.zeros(1) for i in range(5)}, "spare.0, spare.1, spare.2 and 2 more"),
    ],
)
def test_weights_that_do_not_fit_are_named(change: dict[str, Tensor | None], message: str) -> None:
    changed = {name: part for name, part in {**weights("s2"), **change}.items() if part is not None}
    with pytest.raises(CheckpointError, match=message) as fault:
        convert("s2", changed, heads=HEADS, source="file.pth")
    assert "\n" not in str(fault.value) and str(fault.value).startswith("file.pth: ")


def test_one_kind_is_not_the_other() -> None:
    for kind, other in (("m2", "s2"), ("s2", "m2")):
        with pytest.raises(CheckpointError, match="as released"):
            convert(kind, weights(other), heads=HEADS)
    with pytest.raises(UnknownName, match="Known: m2, s2"):
        import_weights("m3", Path("x"))
    with pytest.raises(SeesayError, match="heads: received 5"):
        convert("m2", weights("m2"), heads=5)


PUBLISHED = {"words": 10_201, "features": 2048, "hidden": 512, "inner": 2048, "positions": 54}


@pytest.mark.parametrize(("kind", "extra", "expected"), [("m2", 40, 38.44), ("s2", 5, 42.02)])
def test_published_sizes(kind: str, extra: int, expected: float) -> None:
    """As many parameters as released. S2 counts a second table of words and of positions, which nothing reads."""
    released = {name: part for name, part in draw(kind, extra=extra, **PUBLISHED).items() if "running" not in name}
    assert round(sum(part.numel() for part in released.values()) / 1e6, 2) == expected
    found = convert(kind, released)
    ours = sum(part.numel() for part in found.model.state_dict().values())
    never_read = 55 * 512 * (kind == "s2") + 10_201 * 512 * (kind == "s2")
    row_of_padding = 512
    assert ours + never_read + row_of_padding == sum(part.numel() for part in released.values())
    trained = sum(part.numel() for part in found.model.parameters())
    assert ours - trained == 54 * 512  # positions are no parameters here
    defaults = build(found.name, {}, feature_size=2048, vocabulary_size=10_201)
    assert sum(part.numel() for part in defaults.parameters()) == trained - (9 * 2 * 512 if kind == "s2" else 0)
