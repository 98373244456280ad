"""Released weights become run folders that caption and evaluate; what does not fit is one line."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from seesay.captioner import Captioner
from seesay.data.features import FeatureStore
from seesay.decoding.search import decode
from seesay.decoding.settings import Decoding
from seesay.errors import CheckpointError, DataError
from seesay.evaluation import evaluate
from seesay.importing import import_run, read_words
from seesay.text.vocabulary import SPECIALS
from seesay.weights import import_weights

WORDS = (*SPECIALS, "a", "red", "dog", "runs", "in", "the", "snow", "cat", "grass")
SIZE = 12  # of the small world's features


def _draw() -> Callable[..., dict[str, torch.Tensor]]:
    """What makes random weights under the released names, from the tests of reading them."""
    spec = importlib.util.spec_from_file_location("released", Path(__file__).parent / "test_weights.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.draw


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with m2.pth, s2.pth and words.txt."""
    folder, draw = tmp_path_factory.mktemp("released"), _draw()
    torch.manual_seed(1)
    for kind in ("m2", "s2"):
        weights = draw(kind, words=len(WORDS), features=SIZE, hidden=16, inner=24, positions=24)
        torch.save({"state_dict": weights}, folder / f"{kind}.pth")
    (folder / "words.txt").write_text("\n".join(WORDS) + "\n", encoding="utf-8")
    return folder


@pytest.mark.parametrize("kind", ["m2", "s2"])
def test_a_run_that_says_what_the_weights_say(
    kind: str, released: Path, world: Path, tmp_path: Path, seesay: Callable[..., tuple[Any, str, str]]
) -> None:
    run = tmp_path / "my run"
    options = ["--vocabulary", released / "words.txt", "--heads", 4]
    data = ["--captions", world / "captions.json", "--features", world / "grids.h5"]
    code, out, err = seesay("import-weights", kind, released / f"{kind}.pth", "-o", run, *options, *data)
    assert (code, err) == (0, "") and f"Next: seesay evaluate '{run}'" in out
    captioner, store = Captioner.open(run), FeatureStore(world / "grids.h5")
    assert captioner.vocabulary.words == WORDS and captioner.header["encoder"] == store.encoder
    features = store.read(store.ids)
    found = captioner.describe(features)
    model = import_weights(kind, released / f"{kind}.pth", heads=4).model
    with torch.no_grad():
        state = model.start(torch.from_numpy(features).float(), torch.ones(features.shape[:2], dtype=torch.bool))
    for some, expected in zip(found, decode(model, state, Decoding("beam", beam=5, faithful=True)), strict=True):
        assert some[0].tokens == tuple(WORDS[word] for word in expected[0].tokens)
        assert some[0].score == pytest.approx(expected[0].score, abs=1e-4)
    assert evaluate(run, "test").corpus.keys() >= {"CIDEr-D", "Bleu_4"}
    assert json.loads((run / "predictions" / "test.json").read_text(encoding="utf-8"))["decoding"]["beam"] == 5


def test_without_data_the_features_are_named_when_they_are_used(released: Path, world: Path, tmp_path: Path) -> None:
    import_run("m2", released / "m2.pth", tmp_path / "run", released / "words.txt", heads=4)
    with pytest.raises(DataError, match=r"captions\.json: cannot be read"):
        evaluate(tmp_path / "run")
    with pytest.raises(DataError, match="the run was trained on released-m2"):
        evaluate(tmp_path / "run", captions=world / "captions.json", features=world / "grids.h5")
    import_run(
        "m2",
        released / "m2.pth",
        tmp_path / "own",
        released / "words.txt",
        encoder=FeatureStore(world / "grids.h5").encoder,
        heads=4,
    )
    assert evaluate(tmp_path / "own", captions=world / "captions.json", features=world / "grids.h5").corpus


@pytest.fixture(scope="module")
def imported(released: Path, world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of imported weights with the small world's data."""
    run = tmp_path_factory.mktemp("runs") / "imported"
    data = {"captions": world / "captions.json", "features": world / "grids.h5"}
    import_run("m2", released / "m2.pth", run, released / "words.txt", heads=4, **data)  # type: ignore[arg-type]
    return run


def test_its_report_tells_of_no_training(imported: Path, seesay: Callable[..., tuple[Any, str, str]]) -> None:
    assert seesay("report", imported) == (0, f"report: {imported}/report.html\n", "")
    page = (imported / "report.html").read_text(encoding="utf-8")
    assert "These weights were trained and released by others, not by seesay." in page
    assert "As imported, <code>meshed_memory</code> describes 4 photographs (dev) with <b>CIDEr-D" in page
    for absent in ("How it learned", "#learning", "<dt>steps</dt>", "<dt>epochs</dt>", "flatter them", "kept aside"):
        assert absent not in page


def test_it_cannot_be_gone_on_with(imported: Path, seesay: Callable[..., tuple[Any, str, str]]) -> None:
    code, out, err = seesay("train", "--resume", imported)
    assert (code, out) == (2, "")
    assert err == (
        f"error: {imported}: its weights were imported, not trained by seesay; expected a run that 'seesay train' "
        "began; it can be evaluated and used; to train from them, name it as training.start_from of another run.\n"
    )


def test_photographs_cannot_be_shown_to_a_foreign_encoder(
    released: Path, tmp_path: Path, demo_pictures: Path, seesay: Callable[..., tuple[Any, str, str]]
) -> None:
    import_run("m2", released / "m2.pth", tmp_path / "run", released / "words.txt", heads=4)
    code, out, err = seesay("caption", tmp_path / "run", sorted(demo_pictures.glob("*.jpg"))[0])
    assert (code, out) == (2, "")
    assert err == (
        "error: encoder: received 'released-m2', which made the features that the model was trained on; expected one "
        "of seesay's own, to show it photographs; make features with that encoder, and have 'seesay evaluate' describe "
        "these.\n"
    )


def test_what_comes_next_is_what_can_be_done(
    released: Path, world: Path, tmp_path: Path, seesay: Callable[..., tuple[Any, str, str]]
) -> None:
    for number, (options, after) in enumerate((
        ([], "To evaluate it, import it with --captions and --features into another folder: features of the encoder"),
        (["--captions", world / "captions.json"], "To evaluate it, import it with --captions and --features into"),
        (["--features", world / "grids.h5"], "Next: seesay evaluate {run} --captions CAPTIONS\n"),
        (["--encoder", "own"], "Next: seesay evaluate {run} --captions CAPTIONS --features FEATURES, which 'own' made"),
    )):  # fmt: skip
        run = tmp_path / str(number)
        always = ["-o", run, "--vocabulary", released / "words.txt", "--heads", 4]
        code, out, err = seesay("import-weights", "m2", released / "m2.pth", *always, *options)
        assert (code, err) == (0, "") and after.format(run=run) in out


def test_what_does_not_fit_is_one_line_and_leaves_nothing(released: Path, tmp_path: Path, make_features: Any) -> None:
    few = tmp_path / "few.txt"
    few.write_text("\n".join(WORDS[:-1]), encoding="utf-8")
    other = tmp_path / "other.txt"
    other.write_text("\n".join(WORDS[1:]), encoding="utf-8")
    import numpy as np

    make_features(tmp_path / "wide.h5", ["a"], np.ones((1, 2, SIZE + 1)))
    cases: list[tuple[dict[str, Any], type[Exception], str]] = [
        ({"words": few}, DataError, "few.txt: 12 words; expected 13, as"),
        ({"words": other}, DataError, "other.txt: vocabulary: begins with"),
        ({"words": tmp_path / "none.txt"}, DataError, "none.txt: cannot be read"),
        ({"weights": few}, CheckpointError, "few.txt: not plain weights saved by torch"),
        ({"kind": "s2"}, CheckpointError, "expected the weights of S2 as released"),
        ({"features": tmp_path / "wide.h5"}, DataError, "wide.h5: 13 numbers a region; expected 12"),
    ]
    for changes, error, message in cases:
        given = {"kind": "m2", "weights": released / "m2.pth", "run": tmp_path / "run", "words": released / "words.txt"}
        with pytest.raises(error, match=message) as fault:
            import_run(**(given | {"heads": 4} | changes))
        assert "\n" not in str(fault.value) and not (tmp_path / "run").exists()


def test_a_folder_that_holds_a_run_is_left_alone(released: Path, trained: Path) -> None:
    with pytest.raises(CheckpointError, match="holds a run already; choose another -o"):
        import_run("m2", released / "m2.pth", trained, released / "words.txt", heads=4)


def test_words_in_each_of_their_forms(tmp_path: Path, trained: Path) -> None:
    (tmp_path / "words.json").write_text(json.dumps(WORDS), encoding="utf-8")
    (tmp_path / "words.txt").write_bytes("\n".join(WORDS).encode())
    assert read_words(tmp_path / "words.json").words == read_words(tmp_path / "words.txt").words == WORDS
    for name in ("words.json", "words.txt"):  # as Windows begins a text file
        (tmp_path / name).write_bytes(b"\xef\xbb\xbf" + (tmp_path / name).read_bytes())
        assert read_words(tmp_path / name).words == WORDS
    assert len(read_words(trained / "vocabulary.json")) > len(SPECIALS)
    (tmp_path / "bad.txt").write_bytes(b"\xff")
    with pytest.raises(DataError, match=r"bad\.txt: invalid start byte at byte 0; expected words in UTF-8"):
        read_words(tmp_path / "bad.txt")
