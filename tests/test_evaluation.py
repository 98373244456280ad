"""Captioning and scoring a whole split, and what is written about it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from seesay.captioner import Captioner
from seesay.data.features import FeatureStore, open_writer
from seesay.data.records import read_records, split
from seesay.decoding.search import Decoding
from seesay.errors import CheckpointError, DataError, UnknownName
from seesay.evaluation import decoding_of, describe_records, evaluate, score_captions, write_run_report
from seesay.metrics.scoring import evaluate as score
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
    assert seen[-1] == (4, 4)
    assert page.keys() == {"split", "decoding", "checkpoint_step", "signature", "items"}
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


def test_other_captions_and_features_may_take_their_place(
    run: Path, world: Path, tmp_path: Path, make_features: Callable[..., None]
) -> None:
    store = FeatureStore(world / "grids.h5")
    make_features(tmp_path / "own.h5", ["mine.jpg", "yours.jpg"], store.read(store.ids[:2]))
    own = [{"file": f"{name}.jpg", "split": "test", "captions": ["A dog."], "id": name} for name in ("mine", "yours")]
    (tmp_path / "own.json").write_text(json.dumps(own), encoding="utf-8")
    result = evaluate(run, "test", captions=tmp_path / "own.json", features=tmp_path / "own.h5")
    assert result.per_id.keys() == {"mine", "yours"}
    with pytest.raises(DataError, match=r"grids.h5 \(24 pictures\): no features of mine.jpg"):
        evaluate(run, "test", captions=tmp_path / "own.json")


def test_features_of_another_encoder_are_refused(run: Path, tmp_path: Path) -> None:
    with open_writer(tmp_path / "other.h5", ["a.jpg"], 4, 12, "resnet-50@224", False) as writer:
        writer.write(["a.jpg"], np.zeros((1, 4, 12), np.float16))
        writer.finish()
    with pytest.raises(DataError, match="features of resnet-50@224; the run was trained on efficientnet-lite0@224"):
        evaluate(run, features=tmp_path / "other.h5")


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
