"""A trained captioner in use."""

from __future__ import annotations

import dataclasses
import shutil
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from seesay.captioner import Captioner, at_once, choose_search, with_options
from seesay.checkpoint import read_checkpoint, write_checkpoint
from seesay.data.features import FeatureStore
from seesay.data.images import open_picture
from seesay.decoding.settings import Decoding
from seesay.errors import CheckpointError, DataError, RecipeError, SeesayError
from seesay.text.vocabulary import Vocabulary


@pytest.fixture(scope="module")
def captioner(trained: Path) -> Captioner:
    return Captioner.open(trained)


@pytest.fixture(scope="module")
def features(world: Path) -> np.ndarray:
    store = FeatureStore(world / "grids.h5")
    return store.read(store.ids)


def test_captions_are_words_with_scores_and_where_the_model_looked(captioner: Captioner, features: np.ndarray) -> None:
    found = captioner.describe(features)
    assert len(found) == 24
    for some in found:
        assert 1 <= len(some) <= 3  # beam 3 of the recipe
        assert [each.score for each in some] == sorted((each.score for each in some), reverse=True)
        for each in some:
            assert each.text == " ".join(each.tokens) and set(each.tokens) <= set(captioner.vocabulary.words)
            assert each.attention is not None and each.attention.shape == (len(each.tokens), 4)
            assert each.attention.sum(1) == pytest.approx(np.ones(len(each.tokens)), abs=1e-5)
            assert each.as_dict() == {"text": each.text, "score": each.score}


def test_captions_are_compared_by_what_they_say(captioner: Captioner, features: np.ndarray) -> None:
    first, again = captioner.describe(features[:1])[0], captioner.describe(features[:1])[0]
    assert first == again and len(first) > 1
    assert len({*first, *again}) == len(first) and first[0] != first[1]
    assert first[0] != dataclasses.replace(first[0], text="another")


def test_a_picture_is_described_alike_alone_and_in_batches(captioner: Captioner, features: np.ndarray) -> None:
    together = captioner.describe(features)
    for size in (1, 7):
        parts = [each for i in range(0, 24, size) for each in captioner.describe(features[i : i + size])]
        assert [[c.text for c in some] for some in parts] == [[c.text for c in some] for some in together]
        assert [some[0].score for some in parts] == pytest.approx([some[0].score for some in together], abs=1e-5)


def test_no_sentence_comes_twice_and_a_seed_repeats_the_draw(captioner: Captioner, features: np.ndarray) -> None:
    drawn = Decoding("sample", candidates=30, max_length=3, top_k=2)
    found = captioner.describe(features[:4], drawn, seed=1)
    for some in found:
        assert len({each.text for each in some}) == len(some) < 30
    again, other = (captioner.describe(features[:4], drawn, seed=seed) for seed in (1, 2))
    assert [[c.text for c in some] for some in again] == [[c.text for c in some] for some in found]
    assert other is not found


def test_a_sampled_caption_is_the_picture_s_own(captioner: Captioner, features: np.ndarray) -> None:
    drawn = Decoding("sample", candidates=6, max_length=6)
    names = [f"{place}.jpg" for place in range(24)]
    together = captioner.describe(features, drawn, seed=5, names=names)
    for order in ([3, 0, 11], [11], [0, 1, 2, 3]):
        some = captioner.describe(features[order], drawn, seed=5, names=[names[place] for place in order])
        assert [[c.text for c in each] for each in some] == [[c.text for c in together[place]] for place in order]
    alike = captioner.describe(features[[0, 0]], drawn, seed=5)
    assert [c.text for c in alike[0]] != [c.text for c in alike[1]], "each place has a draw of its own"
    for seed in (-1, 10**30):
        again = [captioner.describe(features[:3], drawn, seed=seed) for _ in range(2)]
        assert [[c.text for c in some] for some in again[0]] == [[c.text for c in some] for some in again[1]]


class Grid:
    """An encoder that counts; a picture's features are those of its red value's place in the world."""

    sides = (8,)

    def __init__(self, features: np.ndarray) -> None:
        self.features = features
        self.batches: list[int] = []

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        assert pixels.shape[1:] == (8, 8, 3)
        self.batches.append(len(pixels))
        return np.asarray(self.features[pixels[:, 0, 0, 0]])


def seeing(captioner: Captioner, features: np.ndarray) -> Captioner:
    """A captioner of its own whose encoder is a `Grid`."""
    own = dataclasses.replace(captioner)
    own.__dict__["encoder"] = Grid(features)
    return own


def photographs(folder: Path, count: int) -> list[Path]:
    paths = [folder / f"{place}.png" for place in range(count)]
    for place, path in enumerate(paths):
        Image.new("RGB", (10, 6), (place, 0, 0)).save(path)
    return paths


def test_photographs_are_opened_one_at_a_time_as_captions_are_asked_for(
    captioner: Captioner, features: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths, opened = photographs(tmp_path, 20), []
    alive: list[Path] = []

    def watched(path: Path) -> Image.Image:
        assert not alive, "the one before is gone"
        opened.append(path)
        picture = open_picture(path)
        alive.append(path)
        weakref.finalize(picture, alive.clear)
        return picture

    monkeypatch.setattr("seesay.photographs.open_picture", watched)
    own = seeing(captioner, features)
    stream = own.stream(paths)
    first = next(stream)
    assert first[0] == paths[0] and opened == paths[:8], "the first captions come after a batch, not at the end"
    found = [first, *stream]
    assert [path for path, _ in found] == paths and own.encoder.batches == [8, 8, 4]  # type: ignore[attr-defined]
    expected = captioner.describe(features[:20])
    assert [[c.text for c in some] for _, some in found] == [[c.text for c in some] for some in expected]
    assert [[c.text for c in some] for some in own.caption(paths)] == [[c.text for c in some] for some in expected]


def test_a_bad_photograph_stops_or_is_told_and_moves_no_other_draw(
    captioner: Captioner, features: np.ndarray, tmp_path: Path
) -> None:
    paths, own = photographs(tmp_path, 4), seeing(captioner, features)
    drawn = Decoding("sample", candidates=5, max_length=6)
    whole = {path: [c.text for c in some] for path, some in own.stream(paths, drawn, seed=1)}
    paths[1].write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"1\.png: not a picture"):
        own.caption(paths)
    told: list[DataError] = []
    rest = {path: [c.text for c in some] for path, some in own.stream(paths, drawn, 1, told.append)}
    assert rest == {path: whole[path] for path in (paths[0], paths[2], paths[3])}
    assert len(told) == 1 and str(paths[1]) in str(told[0])
    assert list(own.stream([paths[1]], on_bad=told.append)) == []


def test_a_photograph_named_twice_has_two_answers(captioner: Captioner, features: np.ndarray, tmp_path: Path) -> None:
    (path,) = photographs(tmp_path, 1)
    found = list(seeing(captioner, features).stream([path, path]))
    assert [each for each, _ in found] == [path, path]
    assert found[0][1][0].text == found[1][1][0].text


def test_fewer_pictures_at_a_time_where_each_has_many_sentences() -> None:
    assert at_once(100, Decoding("greedy")) == 100 == at_once(100, Decoding("beam", beam=5))
    assert at_once(100, Decoding("beam", beam=50)) == 12
    assert at_once(8, Decoding("sample", candidates=1000)) == 1


NOTHING = {"temperature": None, "top_k": None, "top_p": None}


@pytest.mark.parametrize(
    ("usual", "beam", "n_best", "sample", "drawing", "expected"),
    [
        ("greedy", None, 1, False, {}, Decoding("greedy", beam=3, wanted=1)),
        ("beam", None, 1, False, {}, Decoding("beam", beam=3, wanted=1)),
        ("sample", None, 1, False, {}, Decoding("sample", beam=3)),
        ("greedy", None, 2, False, {}, Decoding("beam", beam=3, wanted=2)),
        ("beam", None, 7, False, {}, Decoding("beam", beam=7, wanted=7)),
        ("greedy", 4, 2, False, {}, Decoding("beam", beam=4, wanted=2)),
        ("sample", 4, 1, False, {}, Decoding("beam", beam=4, wanted=1)),
        ("sample", None, 6, False, {"top_k": 3}, Decoding("sample", beam=3, candidates=6, top_k=3)),
        ("beam", None, 2, True, {"top_p": 0.5}, Decoding("sample", beam=3, candidates=2, top_p=0.5)),
    ],
)
def test_the_recipe_s_search_stays_unless_another_is_asked_for(
    usual: str, beam: int | None, n_best: int, sample: bool, drawing: dict[str, float], expected: Decoding
) -> None:
    assert choose_search(Decoding(usual, beam=3), beam, n_best, sample, NOTHING | drawing, None) == expected


@pytest.mark.parametrize(("n_best", "candidates"), [(1, 4), (4, 4), (6, 6)])
def test_as_many_are_drawn_as_the_recipe_says_and_the_best_of_them_shown(n_best: int, candidates: int) -> None:
    usual = Decoding("sample", candidates=4, temperature=0.7, top_k=9)
    chosen = choose_search(usual, None, n_best, False, NOTHING | {"top_p": 0.5}, None)
    assert chosen == Decoding("sample", candidates=candidates, temperature=0.7, top_k=9, top_p=0.5)


@pytest.mark.parametrize(
    ("beam", "n_best", "sample", "drawing", "seed", "said"),
    [
        (2, 3, False, {}, None, "--n-best 3: received with --beam 2"),
        (2, 1, True, {}, None, "--sample, --beam 2: received both"),
        (None, 1, False, {"temperature": 0.5}, None, "--temperature: received without --sample"),
        (None, 1, False, {"top_k": 0, "top_p": 1.0}, None, "--top-k, --top-p: received without --sample"),
        (None, 1, False, {}, 0, "--seed: received without --sample"),
    ],
)
def test_an_option_without_effect_is_refused(
    beam: int | None, n_best: int, sample: bool, drawing: dict[str, float], seed: int | None, said: str
) -> None:
    with pytest.raises(RecipeError, match=said):
        choose_search(Decoding(), beam, n_best, sample, NOTHING | drawing, seed)


@pytest.mark.parametrize("key", ["vocabulary", "encoder", "decoding", "model.settings", "model", "progress.step"])
def test_a_checkpoint_with_another_header_is_one_line(key: str, trained: Path, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(trained, copy)
    file = copy / "checkpoints" / "best.safetensors"
    arrays, header = read_checkpoint(file)
    *parents, last = key.split(".")
    for place in ([header[parent] for parent in parents] or [header])[-1:]:
        del place[last]
    file.unlink()
    write_checkpoint(file, arrays, header)
    with pytest.raises(CheckpointError, match=rf"best\.safetensors: received {key}.* None in its header; expected"):
        Captioner.open(copy)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"decoding": {"width": 3}}, "another kind of decoding"),
        ({"decoding": {"beam": "x"}}, r"decoding\.beam: received 'x'; expected a whole number"),
        ({"decoding": {"beam": 0}}, r"best\.safetensors: decoding\.beam: received 0; expected"),
        ({"decoding": {"method": "best"}}, r"best\.safetensors: Unknown decoding method 'best'"),
    ],
)
def test_a_checkpoint_with_another_search_is_one_line(
    changes: dict[str, object], said: str, trained: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "run"
    shutil.copytree(trained, copy)
    file = copy / "checkpoints" / "best.safetensors"
    arrays, header = read_checkpoint(file)
    file.unlink()
    write_checkpoint(file, arrays, header | changes)
    with pytest.raises(SeesayError, match=said):
        Captioner.open(copy)


def test_options_that_were_not_given_stay(captioner: Captioner) -> None:
    assert captioner.decoding == Decoding("beam", beam=3, max_length=10)
    assert with_options(captioner.decoding, beam=None, length_penalty=0.5).length_penalty == 0.5
    assert with_options(captioner.decoding, beam=None).beam == 3


@pytest.mark.parametrize("shape", [(2, 4, 11), (4, 12), (2, 4, 12, 1)])
def test_features_of_another_shape_are_refused(captioner: Captioner, shape: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match=r"expected \(pictures, regions, 12\)"):
        captioner.describe(np.zeros(shape, np.float16))


def test_the_averaged_weights_are_used_where_there_are_any(trained: Path, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(trained, copy)
    file = copy / "checkpoints" / "best.safetensors"
    arrays, header = read_checkpoint(file)
    plain = {name: array for name, array in arrays.items() if not name.startswith("average/")}
    mean = {name.replace("model/", "average/"): array / 2 for name, array in plain.items() if name[:6] == "model/"}
    file.unlink()
    write_checkpoint(file, plain | mean, header)
    opened = Captioner.open(copy).model.state_dict()
    assert all(np.array_equal(opened[name].numpy(), mean[f"average/{name}"]) for name in opened)
    file.unlink()
    write_checkpoint(file, plain, header)
    opened = Captioner.open(file).model.state_dict()
    assert all(np.array_equal(opened[name].numpy(), arrays[f"model/{name}"]) for name in opened)


def test_the_vocabulary_of_another_run_is_refused(trained: Path, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(trained, copy)
    Vocabulary.build([["dog"]], 1).save(copy / "vocabulary.json")
    with pytest.raises(CheckpointError, match=r"vocabulary.json: not the vocabulary that .* was trained with"):
        Captioner.open(copy)


@pytest.mark.parametrize("missing", ["checkpoints/best.safetensors", "vocabulary.json"])
def test_a_run_without_a_part_is_one_line(missing: str, trained: Path, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(trained, copy)
    (copy / missing).unlink()
    with pytest.raises(SeesayError, match=Path(missing).name):
        Captioner.open(copy)


def test_an_unknown_device_is_one_line(trained: Path) -> None:
    with pytest.raises(SeesayError, match="banana") as fault:
        Captioner.open(trained, "banana")
    assert "\n" not in str(fault.value)


def test_words_are_required_and_forbidden_by_name(captioner: Captioner, features: np.ndarray) -> None:
    common = captioner.vocabulary.words[5]
    found = captioner.describe(features[:4], Decoding("beam", beam=3, max_length=10, required=common))
    assert all(common in each.tokens for some in found for each in some)
    found = captioner.describe(features[:4], Decoding("beam", beam=3, max_length=10, forbidden=common, min_length=3))
    assert all(common not in each.tokens and len(each.tokens) >= 3 for some in found for each in some)
    with pytest.raises(RecipeError, match=r"decoding\.required: received .zebra.; expected one of the"):
        captioner.describe(features[:4], Decoding(required="zebra"))


@pytest.mark.parametrize("precision", ["bf16", "int8"])
def test_other_precisions_are_near(trained: Path, captioner: Captioner, features: np.ndarray, precision: str) -> None:
    own = Captioner.open(trained, precision=precision)
    greedy = Decoding("greedy", max_length=10)
    near = [some[0].score for some in own.describe(features, greedy)]
    assert near == pytest.approx([some[0].score for some in captioner.describe(features, greedy)], abs=1.0)
    assert [some[0].text for some in own.describe(features[3:4], greedy)] == [own.describe(features, greedy)[3][0].text]


def test_an_unknown_precision_and_one_without_torch_are_one_line(trained: Path) -> None:
    with pytest.raises(SeesayError, match="Did you mean 'int8'"):
        Captioner.open(trained, precision="int4")


def test_a_run_together_with_itself_is_the_run(
    trained: Path, captioner: Captioner, features: np.ndarray, tmp_path: Path
) -> None:
    assert (
        Captioner.together([trained]).describe(features[:3])[0][0].text == captioner.describe(features[:3])[0][0].text
    )
    both = Captioner.together([trained, trained])
    for one, other in zip(both.describe(features), captioner.describe(features), strict=True):
        assert [each.text for each in one] == [each.text for each in other]
        assert [each.score for each in one] == pytest.approx([each.score for each in other], abs=1e-4)
    copy = tmp_path / "run"
    shutil.copytree(trained, copy)
    file = copy / "checkpoints" / "best.safetensors"
    arrays, header = read_checkpoint(file)
    file.unlink()
    write_checkpoint(file, arrays, header | {"encoder": "another"})
    with pytest.raises(CheckpointError, match="received another encoder than that of"):
        Captioner.together([trained, copy])


def test_a_run_may_be_named_by_text(trained: Path, captioner: Captioner, features: np.ndarray) -> None:
    expected = captioner.describe(features[:2])[0][0].text
    assert Captioner.open(str(trained)).describe(features[:2])[0][0].text == expected
    assert Captioner.together([str(trained)]).describe(features[:2])[0][0].text == expected
    with pytest.raises(CheckpointError, match=r"^runs/none: not found; expected a run folder"):
        Captioner.open("runs/none")


@pytest.mark.parametrize(
    ("runs", "said"),
    [
        ([], r"^runs: received none; expected one run folder at least; name one\.$"),
        ("runs/a", r"^runs: received 'runs/a'; expected a list of run folders; put even a single one in a list\.$"),
        ([None], r"^run: received None; expected a run folder or a checkpoint, as text or a pathlib\.Path\.$"),
    ],
    ids=["none", "text", "nothing"],
)
def test_what_are_no_runs_is_one_line(runs: Any, said: str) -> None:
    with pytest.raises(DataError, match=said):
        Captioner.together(runs)


def test_what_is_asked_for_in_another_kind_is_one_line(captioner: Captioner, features: np.ndarray) -> None:
    search: Any
    for search in ({"beam": 3}, {}):
        with pytest.raises(RecipeError, match=r"^decoding: received \{.*\}; expected a Decoding, such as Decoding\("):
            captioner.describe(features, search)
    with pytest.raises(DataError, match=r"^names: received 1 for 24 pictures; expected one for each\.$"):
        captioner.describe(features, names=["a.jpg"])
    with pytest.raises(DataError, match=r"^names: received 'a\.jpg'; expected a list of names"):
        captioner.describe(features, names="a.jpg")
    with pytest.raises(DataError, match=r"^features: received \[0\.5\]; expected an array \(pictures, regions, 12\)"):
        captioner.describe([0.5])  # type: ignore[arg-type]


def test_no_more_words_are_said_than_the_model_has_positions(
    trained: Path, captioner: Captioner, features: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert captioner.positions is None, "a recurrent model has none"
    short = dataclasses.replace(captioner, positions=4)
    assert max(len(each.tokens) for some in short.describe(features, Decoding(max_length=4)) for each in some) <= 4
    with pytest.raises(
        RecipeError, match=r"^decoding\.max_length: received 10; expected at most the model's positions, 4; have fewer"
    ):
        short.describe(features)
    several = iter([captioner, short, dataclasses.replace(captioner, positions=6)])
    monkeypatch.setattr(Captioner, "open", lambda *_: next(several))
    assert Captioner.together([trained] * 3).positions == 4


def test_further_options_go_into_any_search_and_those_not_given_stay() -> None:
    further = {"min_length": 4, "no_repeat_ngram": None, "required": "dog"}
    chosen = choose_search(Decoding("beam", no_repeat_ngram=2), None, 1, False, NOTHING, None, further)
    assert (chosen.min_length, chosen.no_repeat_ngram, chosen.required, chosen.wanted) == (4, 2, "dog", 1)
    with pytest.raises(RecipeError, match="required: received 'dog' with method 'sample'"):
        choose_search(Decoding(), None, 1, True, NOTHING, None, further)
