"""Captioning and scoring a whole split, and what is written about it."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from seesay.captioner import Captioner
from seesay.data.features import FeatureStore, open_writer
from seesay.data.records import read_records, split
from seesay.decoding.settings import Decoding
from seesay.errors import CheckpointError, DataError, UnknownName
from seesay.evaluation import (
    captions_file,
    decoding_of,
    describe_records,
    evaluate,
    score_captions,
    write_run_report,
)
from seesay.metrics.scoring import COCO
from seesay.metrics.scoring import evaluate as score
from seesay.recipe import Recipe
from seesay.run import train
from seesay.training.folder import RunFolder


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    copy = tmp_path / "run"
    shutil.copytree(trained, copy)
    return copy


def test_predictions_results_and_scores_agree(run: Path, world: Path) -> None:
    seen: list[tuple[int, int]] = []
    result = evaluate(run, "test", progress=lambda done, total: seen.append((done, total)))
    folder, records = RunFolder(run), split(read_records(world / "captions.json"), "test")
    page = json.loads(folder.predictions("test").read_text(encoding="utf-8"))
    assert (seen[0], seen[-1]) == ((0, 4), (4, 4))
    assert page.keys() == {
        "split", "captions", "features", "decoding", "checkpoint_step", "signature", "items",
    }  # fmt: skip
    assert (page["captions"], page["features"]) == (str(world / "captions.json"), str(world / "grids.h5"))
    assert (page["split"], page["decoding"]["beam"], page["signature"]) == ("test", 3, result.signature)
    assert [item["id"] for item in page["items"]] == [record.id for record in records]
    for item, record in zip(page["items"], records, strict=True):
        assert item.keys() == {"id", "file", "captions", "references", "scores"}
        assert (item["file"], item["references"]) == (record.file, list(record.captions))
        assert item["scores"] == result.per_id[record.id]
        best, *others = item["captions"]
        assert best.keys() == {"text", "score", "tokens", "attention"}
        assert np.array(best["attention"]).shape == (len(best["tokens"]), 4)
        assert np.array(best["attention"]).sum(1) == pytest.approx(np.ones(len(best["tokens"])), abs=0.005)
        assert len(others) == 2 and all(other["attention"] is None for other in others)
    told = {row["image_id"]: row["caption"] for row in json.loads(folder.results("test").read_text(encoding="utf-8"))}
    assert told == {item["id"]: item["captions"][0]["text"] for item in page["items"]}
    assert json.loads(folder.scores("test").read_text(encoding="utf-8")) == result.to_json()
    assert score(told, {record.id: record.captions for record in records}).corpus == result.corpus


def test_a_split_is_described_in_parts_of_any_size(trained: Path, world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    captioner, store = Captioner.open(trained), FeatureStore(world / "grids.h5")
    records = read_records(world / "captions.json")
    whole = {name: some[0].text for name, some in describe_records(captioner, records, store).items()}
    monkeypatch.setattr("seesay.evaluation.BATCH", 5)
    parts = {name: some[0].text for name, some in describe_records(captioner, records, store).items()}
    assert list(whole) == [record.id for record in records]
    assert whole == parts


def test_scores_are_of_the_first_caption_against_all_human_ones(trained: Path, world: Path) -> None:
    records = split(read_records(world / "captions.json"), "dev")
    found = describe_records(Captioner.open(trained), records, FeatureStore(world / "grids.h5"), Decoding("greedy"))
    right = {
        r.id: [some[0].__class__(r.captions[0], 0.0, (), None), *some]
        for r, some in zip(records, found.values(), strict=True)
    }
    assert score_captions(right, records).corpus["Bleu_4"] == pytest.approx(1.0)
    assert score_captions(found, records).corpus["Bleu_4"] < 0.5
    quick = {"Bleu_1", "Bleu_2", "Bleu_3", "Bleu_4", "ROUGE_L", "CIDEr-D"}
    assert score_captions(found, records).corpus.keys() == quick
    assert score_captions(found, records, ["CIDEr"]).corpus.keys() == {"CIDEr"}
    assert quick | {"CIDEr"} <= score_captions(found, records, COCO).corpus.keys()


def test_other_captions_and_features_may_take_their_place(
    run: Path, world: Path, tmp_path: Path, make_features: Callable[..., None]
) -> None:
    store = FeatureStore(world / "grids.h5")
    make_features(tmp_path / "own.h5", ["mine.jpg", "yours.jpg"], store.read(store.ids[:2]))
    own = [{"file": f"{name}.jpg", "split": "test", "captions": ["A dog."], "id": name} for name in ("mine", "yours")]
    (tmp_path / "own.json").write_text(json.dumps(own), encoding="utf-8")
    result = evaluate(run, "test", captions=tmp_path / "own.json", features=tmp_path / "own.h5")
    assert result.per_id.keys() == {"mine", "yours"}
    page = json.loads(RunFolder(run).predictions("own-test-own").read_text(encoding="utf-8"))
    assert (page["captions"], page["features"]) == (str(tmp_path / "own.json"), str(tmp_path / "own.h5"))
    assert captions_file(run, "test", None, tmp_path / "own.json", tmp_path / "own.h5").exists()
    assert not RunFolder(run).predictions("test").exists(), "the recipe's own pictures are told apart"
    with pytest.raises(DataError, match=r"grids.h5 \(24 pictures\): no features of mine.jpg"):
        evaluate(run, "test", captions=tmp_path / "own.json")


def test_features_of_another_encoder_are_refused(run: Path, tmp_path: Path) -> None:
    with open_writer(tmp_path / "other.h5", ["a.jpg"], 4, 12, "resnet-50@224", False) as writer:
        writer.write(["a.jpg"], np.zeros((1, 4, 12), np.float16))
        writer.finish()
    with pytest.raises(DataError, match="features of resnet-50@224; the run was trained on efficientnet-lite0@224"):
        evaluate(run, features=tmp_path / "other.h5")


@pytest.mark.parametrize(
    ("size", "flipped", "said"),
    [
        (12, True, "features of mirrored pictures; expected those of the pictures as they are"),
        (9, False, "9 numbers a region; expected 12 as in training"),
    ],
)
def test_features_of_another_kind_are_refused(
    size: int, flipped: bool, said: str, run: Path, tmp_path: Path, make_features: Callable[..., None]
) -> None:
    make_features(tmp_path / "other.h5", ["a.jpg"], np.zeros((1, 4, size)), flipped=flipped)
    with pytest.raises(DataError, match=rf"other\.h5: {said}"):
        evaluate(run, features=tmp_path / "other.h5")


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"part": "val"}, "dev"),
        ({"part": "dev", "decoding": Decoding("beam", beam=3, max_length=10)}, "dev"),
        ({"part": "test", "decoding": Decoding("beam", beam=2, max_length=10)}, "test-beam-2"),
        ({"decoding": Decoding("greedy", beam=3, max_length=10)}, "dev-method-greedy"),
        (
            {"decoding": Decoding("beam", beam=1, max_length=10, length_penalty=0.7)},
            "dev-beam-1-length_penalty-0.7",
        ),
    ],
)
def test_files_are_named_after_what_is_not_the_recipe_s(arguments: dict[str, Any], name: str, run: Path) -> None:
    result = evaluate(run, **arguments)
    folder = RunFolder(run)
    assert [file.name for file in folder.predictions("x").parent.iterdir()] == [f"{name}.json"]
    assert captions_file(run, **arguments) == folder.predictions(name)
    assert json.loads(folder.scores(name).read_text(encoding="utf-8")) == result.to_json()
    assert json.loads(folder.predictions(name).read_text(encoding="utf-8"))["split"] in ("dev", "test")


@pytest.fixture(scope="module")
def other(tiny: Callable[..., Recipe], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of the same captions and features as `trained`, with another seed; to be read only."""
    path = tmp_path_factory.mktemp("runs") / "other"
    list(train(tiny("seed=8", "stages.0.epochs=2"), path))
    return path


def digest_of(checkpoint: Path) -> str:
    """What tells a run from another of the same name."""
    return hashlib.sha256(str(checkpoint.resolve()).encode()).hexdigest()[:6]


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({}, "dev-with-other"),
        ({"decoding": Decoding("beam", beam=2, max_length=10)}, "dev-beam-2-with-other"),
        ({"precision": "int8"}, "dev-int8-with-other"),
        (
            {"decoding": Decoding("consensus", beam=3, max_length=10, candidates=4)},
            "dev-method-consensus-candidates-4-with-other",
        ),
    ],
    ids=["plain", "beam", "precision", "consensus"],
)
def test_runs_are_judged_together(arguments: dict[str, Any], name: str, run: Path, other: Path, world: Path) -> None:
    result = evaluate(run, others=[str(other)], **arguments)
    folder, records = RunFolder(run), split(read_records(world / "captions.json"), "dev")
    name = f"{name}-{digest_of(RunFolder(other).best)}"
    assert [file.name for file in folder.predictions("x").parent.iterdir()] == [f"{name}.json"]
    assert captions_file(run, others=[other], **arguments) == folder.predictions(name)
    assert json.loads(folder.scores(name).read_text(encoding="utf-8")) == result.to_json()
    page = json.loads(folder.predictions(name).read_text(encoding="utf-8"))
    assert page["together_with"] == [str(other)]
    both = Captioner.together([run, other], precision=arguments.get("precision", "float32"))
    found = describe_records(
        both, records, FeatureStore(world / "grids.h5"), arguments.get("decoding", decoding_of(run)), seed=3
    )
    assert [item["captions"][0]["text"] for item in page["items"]] == [some[0].text for some in found.values()]


def test_two_runs_together_are_neither_alone(run: Path, other: Path) -> None:
    evaluate(run)
    evaluate(run, others=[other])
    pages = [json.loads(captions_file(run, others=some).read_text(encoding="utf-8")) for some in ([], [other])]
    alone, together = ([item["captions"][0]["score"] for item in page["items"]] for page in pages)
    assert len(alone) == 4 and all(one != both for one, both in zip(alone, together, strict=True))
    names = sorted(file.name for file in RunFolder(run).predictions("x").parent.iterdir())
    ours, own = (digest_of(RunFolder(some).best) for some in (other, run))
    assert names == [f"dev-with-other-{ours}.json", "dev.json"]
    by_file = captions_file(run, others=[RunFolder(other).best, run])
    assert by_file.name == f"dev-with-other-{ours}-with-run-{own}.json"


def test_paths_may_be_text(run: Path, world: Path) -> None:
    result = evaluate(str(run), captions=str(world / "captions.json"), features=str(world / "grids.h5"))
    assert result.per_id.keys() == {record.id for record in split(read_records(world / "captions.json"), "dev")}
    assert [file.name for file in RunFolder(str(run)).predictions("x").parent.iterdir()] == ["dev.json"]
    assert write_run_report(str(run)) == run / "report.html"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"run": None}, r"^run: received None; expected a run folder, as text or a pathlib\.Path\.$"),
        ({"captions": 5}, r"^captions: received 5; expected a path, as text or a pathlib\.Path\.$"),
        ({"features": b"x.h5"}, r"^features: received b'x\.h5'; expected a path"),
        ({"others": "runs/a"}, r"^others: received 'runs/a'; expected a list of run folders; put even a single one"),
    ],
    ids=["run", "captions", "features", "others"],
)
def test_what_is_no_path_is_one_line(arguments: dict[str, Any], said: str, run: Path) -> None:
    with pytest.raises(DataError, match=said):
        evaluate(**{"run": run, **arguments})


def test_the_recipe_s_own_captions_given_by_hand_are_its_own(run: Path, world: Path) -> None:
    evaluate(run, captions=world / "captions.json", features=world / "." / "grids.h5")
    assert [file.name for file in RunFolder(run).predictions("x").parent.iterdir()] == ["dev.json"]


def test_a_sampled_evaluation_is_the_same_each_time_and_in_parts(
    run: Path, trained: Path, world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = Decoding("sample", max_length=10)

    def told() -> str:
        evaluate(run, "test", drawn)
        return captions_file(run, "test", drawn).read_text(encoding="utf-8")

    first = told()
    monkeypatch.setattr("seesay.evaluation.BATCH", 1)
    texts = [[c["text"] for c in item["captions"]] for item in json.loads(first)["items"]]
    assert [[c["text"] for c in item["captions"]] for item in json.loads(told())["items"]] == texts
    recipe = RunFolder(run).recipe
    recipe.write_text(recipe.read_text(encoding="utf-8").replace("seed = 3", "seed = 4"), encoding="utf-8")
    assert [[c["text"] for c in item["captions"]] for item in json.loads(told())["items"]] != texts


def test_an_unknown_split_suggests(run: Path) -> None:
    with pytest.raises(UnknownName, match=r"Unknown split 'tset'\. Did you mean 'test'"):
        evaluate(run, "tset")


def test_the_search_is_the_recipe_s(trained: Path, tmp_path: Path) -> None:
    assert decoding_of(trained) == Decoding("beam", beam=3, max_length=10)
    with pytest.raises(CheckpointError, match="not a run folder"):
        decoding_of(tmp_path)


def test_a_report_is_written_for_a_run_without_pictures(run: Path) -> None:
    page = write_run_report(run)
    assert page == run / "report.html"
    assert RunFolder(run).predictions("dev").exists()
    assert "<html" in page.read_text(encoding="utf-8")


def report_decoding(run: Path) -> dict[str, Any]:
    write_run_report(run)
    page: dict[str, Any] = json.loads(RunFolder(run).predictions("dev").read_text(encoding="utf-8"))
    return page["decoding"]


def test_the_report_is_of_the_recipe_s_search_whatever_was_run_last(run: Path, tmp_path: Path) -> None:
    write_run_report(run)
    page, before = run / "report.html", RunFolder(run).predictions("dev").stat().st_mtime_ns
    text = page.read_text(encoding="utf-8")
    assert "searching with a beam of 3" in text
    evaluate(run, decoding=Decoding("beam", beam=1, max_length=10))
    evaluate(run, "val")
    own = [{"file": "white-cat-snow.jpg", "split": "dev", "captions": ["A dog."]}]
    (tmp_path / "own.json").write_text(json.dumps(own), encoding="utf-8")
    evaluate(run, captions=tmp_path / "own.json")
    write_run_report(run)
    assert page.read_text(encoding="utf-8") == text
    assert RunFolder(run).predictions("dev").stat().st_mtime_ns >= before


@pytest.mark.parametrize("content", ["[]", "3", "{", '{"checkpoint_step": null}', None])
def test_captions_that_are_not_current_are_made_anew(content: str | None, run: Path) -> None:
    file = RunFolder(run).predictions("dev")
    if content is not None:
        file.parent.mkdir()
        file.write_text(content, encoding="utf-8")
    assert report_decoding(run)["beam"] == 3
    page = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps(page | {"decoding": page["decoding"] | {"beam": 2}}), encoding="utf-8")
    assert report_decoding(run)["beam"] == 3, "of another search"
    before = file.stat().st_mtime_ns
    assert report_decoding(run)["beam"] == 3
    assert file.stat().st_mtime_ns == before, "current, so not made anew"
    RunFolder(run).scores("dev").unlink()
    write_run_report(run)
    assert RunFolder(run).scores("dev").exists()


def licensed(world: Path, tmp_path: Path) -> Path:
    """The small world's captions with a licence that has no photographer, and another spelling of each file."""
    records = json.loads((world / "captions.json").read_text(encoding="utf-8"))
    for record in records:
        record |= {"file": f"./{record['file']}", "licence": "Mine alone"}
    path = tmp_path / "licensed.json"
    path.write_text(json.dumps(records), encoding="utf-8")
    return path


def test_own_captions_are_not_credited_to_others(run: Path, world: Path, tmp_path: Path) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for record in read_records(world / "captions.json"):
        Image.new("RGB", (8, 8)).save(pictures / record.file)
    recipe = RunFolder(run).recipe
    text = recipe.read_text(encoding="utf-8").replace(str(world / "captions.json"), str(licensed(world, tmp_path)))
    recipe.write_text(text.replace('pictures = ""', f'pictures = "{pictures}"'), encoding="utf-8")
    page = write_run_report(run).read_text(encoding="utf-8")
    assert page.count('<span class="credit">Photo: Mine alone, resized</span>') == 4
    assert "COCO Consortium" not in page
