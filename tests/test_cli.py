"""The command line: its names and flags, the whole road in commands, and one line for whatever is wrong."""

from __future__ import annotations

import json
import re
import shutil
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import typer

from seesay import __version__
from seesay.checkpoint import read_checkpoint, write_checkpoint
from seesay.cli import app, main
from seesay.data.features import open_writer

COMMANDS = {
    "features": ["--flipped", "--on-bad", "--output", "--two-scales", "--with-mirrored", "-o", "folder"],
    "train": ["--output", "--resume", "--set", "-o", "recipe"],
    "evaluate": [
        "--beam",
        "--captions",
        "--consensus",
        "--drawn",
        "--features",
        "--json",
        "--length-penalty",
        "--max-length",
        "--min-length",
        "--no-repeat",
        "--precision",
        "--split",
        "--temperature",
        "--with",
        "run",
    ],
    "caption": [
        "--beam",
        "--consensus",
        "--device",
        "--diversity",
        "--drawn",
        "--engine",
        "--forbid",
        "--groups",
        "--json",
        "--length-penalty",
        "--max-length",
        "--min-length",
        "--n-best",
        "--no-repeat",
        "--on-bad",
        "--precision",
        "--require",
        "--sample",
        "--seed",
        "--temperature",
        "--top-k",
        "--top-p",
        "--with",
        "photos",
        "run",
    ],
    "ask": ["--answer", "--device", "--json", "--n-best", "--on-bad", "photos", "run"],
    "concepts": ["--device", "--json", "--on-bad", "--top", "photos", "run"],
    "tag": ["--device", "--encoding", "--engine", "--frames", "--json", "run"],
    "classify": ["--device", "--encoding", "--engine", "--json", "--n-best", "--on-bad", "run"],
    "report": ["run"],
    "score": [
        "--against",
        "--html",
        "--json",
        "--per-image",
        "--samples",
        "--seed",
        "--sets",
        "--spice",
        "--split",
        "--subset",
        "--training",
        "references",
        "results",
    ],
    "demo": ["--output", "-o"],
    "import-weights": [
        "--captions",
        "--encoder",
        "--features",
        "--heads",
        "--output",
        "--vocabulary",
        "-o",
        "file",
        "kind",
    ],
}
RECIPE = """
name = "road"
[data]
captions = "{0}/captions.json"
features = "{0}/grids.h5"
pictures = "{0}/photos"
minimum_count = 1
[model]
name = "attend_tell"
embedding_size = 16
hidden_size = 16
attention_size = 8
[[stages]]
epochs = 2
pictures_per_batch = 3
warmup = 2
[decoding]
beam = 2
max_length = 8
"""


Run = Callable[..., Any]  # of a command: what is left is its code, out and err


def test_commands_and_flags_are_what_others_rely_on() -> None:
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    found = {
        name: sorted(flag for option in command.params for flag in option.opts if flag not in ("--help", "help"))
        for name, command in commands.items()
    }
    assert found == COMMANDS


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_every_help_text_has_an_example(command: str, seesay: Run) -> None:
    done = seesay(*filter(None, [command]), "--help")
    assert done.code == 0
    assert not command or f"seesay {command}" in done.out.replace("\n", " ")


def test_the_version(seesay: Run) -> None:
    assert seesay("--version") == (0, f"{__version__}\n", "")


def test_help_starts_without_torch() -> None:
    ask = "import sys, seesay.cli; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


@pytest.fixture(scope="module")
def road(demo_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """10 photographs, their captions and features, a recipe and the run that came of it, all by command."""
    place = tmp_path_factory.mktemp("road")
    records = json.loads((demo_folder / "captions.json").read_text(encoding="utf-8"))[:10]
    (place / "photos").mkdir()
    for number, record in enumerate(records):
        shutil.copy(demo_folder / "images" / record["file"], place / "photos")
        record["split"] = "train" if number < 6 else "dev" if number < 8 else "test"
    (place / "captions.json").write_text(json.dumps(records), encoding="utf-8")
    (place / "recipe.toml").write_text(RECIPE.format(place), encoding="utf-8")
    for arguments in (
        ["features", place / "photos", "-o", place / "grids.h5"],
        ["train", place / "recipe.toml", "-o", place / "run", "--set", "seed=4"],
    ):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", ["seesay", *map(str, arguments)])
            try:
                main()
            except SystemExit as end:
                assert not end.code
    return place


@pytest.fixture(scope="module")
def photo(road: Path) -> Path:
    return sorted((road / "photos").iterdir())[0]


def test_the_run_was_trained_as_told(road: Path) -> None:
    assert "seed = 4" in (road / "run" / "recipe.toml").read_text(encoding="utf-8")
    assert (road / "run" / "log.jsonl").read_text(encoding="utf-8").count('"check"') == 2


def test_features_again_has_nothing_to_do(road: Path, seesay: Run) -> None:
    before = (road / "grids.h5").read_bytes()
    done = seesay("features", road / "photos", "-o", road / "grids.h5")
    assert done.code == 0 and "nothing to do" in done.out
    assert (road / "grids.h5").read_bytes() == before


def test_evaluate_writes_the_agreed_json(road: Path, tmp_path: Path, seesay: Run) -> None:
    done = seesay("evaluate", road / "run", "--split", "test", "--beam", 1, "--json", tmp_path / "deep" / "scores.json")
    assert done.code == 0 and "CIDEr-D" in done.out and done.err == ""
    scores = json.loads((tmp_path / "deep" / "scores.json").read_text(encoding="utf-8"))
    metrics = {"Bleu_1", "Bleu_2", "Bleu_3", "Bleu_4", "ROUGE_L", "CIDEr-D", "CIDEr"}
    assert scores.keys() == {"corpus", "per_id", "signature"}
    assert scores["corpus"].keys() - {"METEOR"} == metrics  # which needs an optional part
    assert len(scores["per_id"]) == 2
    assert all(each.keys() == scores["corpus"].keys() for each in scores["per_id"].values())
    assert scores["signature"] in done.out
    file = road / "run" / "predictions" / "test-beam-1.json"
    assert json.loads(file.read_text(encoding="utf-8"))["decoding"]["beam"] == 1
    assert f"captions: {file}\n" in done.out


def test_score_finds_the_same_scores_in_the_result_file(road: Path, tmp_path: Path, seesay: Run) -> None:
    seesay("evaluate", road / "run", "--split", "test")
    test_only = [r for r in json.loads((road / "captions.json").read_text(encoding="utf-8")) if r["split"] == "test"]
    (tmp_path / "references.json").write_text(json.dumps(test_only), encoding="utf-8")
    results = road / "run" / "results" / "test.json"
    done = seesay("score", tmp_path / "references.json", results, "--json", tmp_path / "scores.json")
    assert done.code == 0
    expected = json.loads((road / "run" / "scores" / "test.json").read_text(encoding="utf-8"))
    found = json.loads((tmp_path / "scores.json").read_text(encoding="utf-8"))
    assert {key: found[key] for key in expected} == expected


def test_caption_prints_the_agreed_json(road: Path, photo: Path, seesay: Run) -> None:
    photos = sorted((road / "photos").iterdir())[:2]
    done = seesay("caption", road / "run", *photos, "--n-best", 3, "--json")
    assert done.code == 0 and done.err == ""
    listed = json.loads(done.out)
    assert [each["file"] for each in listed] == [str(path) for path in photos]
    for each in listed:
        assert each.keys() == {"file", "captions"} and len(each["captions"]) == 3
        assert all(caption.keys() == {"text", "score"} for caption in each["captions"])
        assert all(caption["text"] and caption["score"] < 0 for caption in each["captions"])
    text = seesay("caption", road / "run", photos[0], "--n-best", 3)
    assert text.out.splitlines()[0] == str(photos[0])
    assert text.out.splitlines()[1].split("   ")[0].strip() == listed[0]["captions"][0]["text"]


def test_a_photograph_named_twice_is_listed_twice(road: Path, photo: Path, seesay: Run) -> None:
    done = seesay("caption", road / "run", photo, photo, "--json")
    listed = json.loads(done.out)
    assert [each["file"] for each in listed] == [str(photo)] * 2
    assert listed[0]["captions"] == listed[1]["captions"] and len(listed[0]["captions"]) == 1


def test_captions_are_printed_as_they_come(road: Path, photo: Path, seesay: Run, tmp_path: Path) -> None:
    text = tmp_path / "text.jpg"
    text.write_text("hello", encoding="utf-8")
    done = seesay("caption", road / "run", *[photo] * 8, text)
    assert done.code == 2 and done.err.startswith(f"error: {text}: ")
    assert done.out.splitlines()[::2] == [str(photo)] * 8, "what was found before the bad one is there"


def test_caption_searches_as_the_recipe_says(road: Path, photo: Path, seesay: Run, place: Place) -> None:
    run = place.copied_run()
    greedy = seesay("caption", run, photo, "--beam", 1, "--json").out
    file = run / "checkpoints" / "best.safetensors"
    arrays, header = read_checkpoint(file)
    file.unlink()
    write_checkpoint(file, arrays, header | {"decoding": header["decoding"] | {"method": "greedy", "beam": 7}})
    assert seesay("caption", run, photo, "--json").out == greedy
    assert len(json.loads(seesay("caption", run, photo, "--n-best", 6, "--json").out)[0]["captions"]) == 6


def test_captions_have_at_most_as_many_words_as_asked_for(road: Path, photo: Path, seesay: Run) -> None:
    done = seesay("caption", road / "run", photo, "--max-length", 2, "--min-length", 2, "--json")
    assert [len(each["text"].split()) for each in json.loads(done.out)[0]["captions"]] == [2]
    done = seesay("evaluate", road / "run", "--split", "test", "--max-length", 3)
    items = json.loads((road / "run" / "predictions" / "test-max_length-3.json").read_text(encoding="utf-8"))["items"]
    assert done.code == 0 and max(len(item["captions"][0]["tokens"]) for item in items) <= 3


def test_a_word_that_is_never_said_may_be_forbidden(road: Path, photo: Path, seesay: Run) -> None:
    plain, said = (seesay("caption", road / "run", photo, *given) for given in ((), ("--forbid", "elephant")))
    assert (said.code, said.out) == (0, plain.out)


def test_a_seed_repeats_sampled_captions(road: Path, photo: Path, seesay: Run) -> None:
    options = ["caption", road / "run", photo, "--sample", "--n-best", 4, "--top-k", 5, "--top-p", 0.9, "--json"]
    first, again, other = (seesay(*options, "--seed", seed) for seed in (1, 1, 2))
    assert first.code == 0 and first.out == again.out != other.out


def test_report_says_where_the_page_is(road: Path, seesay: Run) -> None:
    done = seesay("report", road / "run")
    assert done.code == 0 and done.out == f"report: {road / 'run' / 'report.html'}\n"
    assert "data:image/jpeg;base64" in (road / "run" / "report.html").read_text(encoding="utf-8")


def test_train_resume_by_command(road: Path, seesay: Run) -> None:
    before = (road / "run" / "log.jsonl").read_bytes()
    done = seesay("train", "--resume", road / "run")
    assert done.code == 0 and "trained. Next: seesay evaluate" in done.out
    place = shutil.copytree(road / "run", road / "my run")
    assert f"Next: seesay evaluate '{place}', " in seesay("train", "--resume", place).out
    assert (road / "run" / "log.jsonl").read_bytes() == before


class Place(NamedTuple):
    """What a wrong command may be about."""

    road: Path
    tmp: Path
    photo: Path

    def file(self, name: str, content: bytes | str) -> Path:
        path = self.tmp / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def copied_run(self) -> Path:
        return Path(shutil.copytree(self.road / "run", self.tmp / "run"))

    def train(self, *settings: str) -> list[object]:
        chosen = [part for setting in settings for part in ("--set", setting)]
        return ["train", self.road / "recipe.toml", "-o", self.tmp / "new", *chosen]


def bomb() -> bytes:
    """A PNG of 60,000 x 60,000 pixels in a few bytes."""
    header = b"IHDR" + struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    return b"\x89PNG\r\n\x1a\n" + chunk + struct.pack(">I", 0) + b"IDAT" + struct.pack(">I", zlib.crc32(b"IDAT"))


def a_folder_with(place: Place, name: str, content: bytes) -> list[object]:
    place.file(f"bad/{name}", content)
    return ["features", place.tmp / "bad", "-o", place.tmp / "x.h5"]


def empty_folder(place: Place) -> list[object]:
    (place.tmp / "empty").mkdir()
    return ["features", place.tmp / "empty", "-o", place.tmp / "x.h5"]


def captions_with_another_picture(place: Place, split: str) -> Path:
    records = json.loads((place.road / "captions.json").read_text(encoding="utf-8"))
    records.append({"file": "unknown.jpg", "split": split, "captions": ["A dog."]})
    return place.file("captions.json", json.dumps(records))


def damaged_run(place: Place, damage: Callable[[bytes], bytes]) -> Path:
    run = place.copied_run()
    for file in (run / "checkpoints").iterdir():
        content = damage(file.read_bytes())
        file.unlink()
        file.write_bytes(content)
    return run


def flipped_bit(content: bytes) -> bytes:
    return content[:-100] + bytes([content[-100] ^ 8]) + content[-99:]


def other_vocabulary(place: Place) -> Path:
    from seesay.text.vocabulary import Vocabulary

    run = place.copied_run()
    Vocabulary.build([["dog"]], 1).save(run / "vocabulary.json")
    return run


def scored(place: Place, results: str) -> list[object]:
    references = place.file("references.json", '{"1": ["a dog"], "2": ["a cat"]}')
    return ["score", references, place.file("results.json", results)]


def resumed_without_checkpoints(place: Place) -> list[object]:
    run = place.copied_run()
    shutil.rmtree(run / "checkpoints")
    return ["train", "--resume", run]


def foreign_checkpoint(place: Place) -> Path:
    run = place.copied_run()
    (run / "checkpoints" / "best.safetensors").unlink()
    write_checkpoint(run / "checkpoints" / "best.safetensors", {}, {"from": "elsewhere"})
    return run


def mirrored_features(place: Place) -> Path:
    with open_writer(place.tmp / "flipped.h5", ["a.jpg"], 49, 1280, "efficientnet-lite0@224", True) as writer:
        writer.write(["a.jpg"], np.zeros((1, 49, 1280), np.float16))
        writer.finish()
    return place.tmp / "flipped.h5"


# What is wrong -> the command, and what the one line must say.
BAD: dict[str, tuple[Callable[[Place], list[object]], str]] = {
    "an empty folder": (empty_folder, "empty"),
    "no folder": (lambda p: ["features", p.tmp / "none", "-o", p.tmp / "x.h5"], "none"),
    "a truncated JPEG": (lambda p: a_folder_with(p, "cut.jpg", p.photo.read_bytes()[:5000]), "cut.jpg"),
    "text named .jpg": (lambda p: a_folder_with(p, "text.jpg", b"hello, this is text"), "text.jpg"),
    "a decompression bomb": (lambda p: a_folder_with(p, "bomb.png", bomb()), "bomb.png"),
    "features into no folder": (
        lambda p: ["features", p.road / "photos", "-o", p.file("no", "") / "x.h5"],
        "no: the folder cannot be made",
    ),
    "features of other pictures": (
        lambda p: ["features", p.file("one/a.jpg", p.photo.read_bytes()).parent, "-o", p.road / "grids.h5"],
        "grids.h5",
    ),
    "captions of a truncated photograph": (
        lambda p: ["caption", p.road / "run", p.file("cut.jpg", p.photo.read_bytes()[:5000])],
        "cut.jpg",
    ),
    "a caption for a bomb": (lambda p: ["caption", p.road / "run", p.file("bomb.png", bomb())], "bomb.png"),
    "a missing photograph": (lambda p: ["caption", p.road / "run", p.tmp / "none.jpg"], "none.jpg"),
    "a folder as a photograph": (lambda p: ["caption", p.road / "run", p.road / "photos"], "photos"),
    "an unknown device": (lambda p: ["caption", p.road / "run", p.photo, "--device", "banana"], "banana"),
    "no temperature": (
        lambda p: ["caption", p.road / "run", p.photo, "--sample", "--temperature", 0],
        "--temperature: r",
    ),
    "a nucleus of nothing": (
        lambda p: ["caption", p.road / "run", p.photo, "--sample", "--top-p", 0],
        "error: --top-p: r",
    ),
    "an endless temperature": (
        lambda p: ["caption", p.road / "run", p.photo, "--sample", "--temperature", "inf"],
        "error: --temperature: received inf; expected a number from 0.01 to 100",
    ),
    "a beam of millions": (lambda p: ["caption", p.road / "run", p.photo, "--beam", 3_000_000], "from 1 to 1,000"),
    "captions by the million": (lambda p: ["caption", p.road / "run", p.photo, "--n-best", 10**7], "from 1 to 1,000"),
    "more captions than beams": (
        lambda p: ["caption", p.road / "run", p.photo, "--beam", 2, "--n-best", 3],
        "--n-best 3: received with --beam 2; expected at most 2",
    ),
    "a beam to sample with": (lambda p: ["caption", p.road / "run", p.photo, "--beam", 2, "--sample"], "--sample, --b"),
    "a temperature for a search": (
        lambda p: ["caption", p.road / "run", p.photo, "--temperature", 0.7, "--seed", 3],
        "--temperature, --seed: received without --sample",
    ),
    "a length penalty that is no number": (
        lambda p: ["evaluate", p.road / "run", "--length-penalty", "nan"],
        "error: --length-penalty: received nan",
    ),
    "a word that no caption can have": (
        lambda p: ["caption", p.road / "run", p.photo, "--require", "elephant"],
        "error: --require: received 'elephant'; expected one of the",
    ),
    "groups that do not part the beam": (
        lambda p: ["caption", p.road / "run", p.photo, "--groups", 3],
        "error: --groups: received 3; expected a number that divides the beam of 2.",
    ),
    "more words than the most": (
        lambda p: ["caption", p.road / "run", p.photo, "--min-length", 50],
        "error: --min-length: received 50; expected a number from 0 to max_length, 8.",
    ),
    "more words at least than at most": (
        lambda p: ["evaluate", p.road / "run", "--min-length", 5, "--max-length", 4],
        "error: --min-length: received 5; expected a number from 0 to max_length, 4.",
    ),
    "words by the thousand": (
        lambda p: ["evaluate", p.road / "run", "--max-length", 1001],
        "error: --max-length: received 1001; expected a number from 1 to 1,000.",
    ),
    "a checkpoint of another program": (
        lambda p: ["caption", foreign_checkpoint(p), p.photo],
        "best.safetensors: received vocabulary None in its header; expected str",
    ),
    "evaluation with mirrored features": (
        lambda p: ["evaluate", p.road / "run", "--features", mirrored_features(p)],
        "features of mirrored pictures; expected those of the pictures as they are",
    ),
    "no run": (lambda p: ["caption", p.tmp / "none", p.photo], "none"),
    "a folder that is no run": (lambda p: ["caption", p.tmp, p.photo], "no checkpoint in it"),
    "evaluation of no run": (lambda p: ["evaluate", p.tmp], "not a run folder"),
    "a report of no run": (lambda p: ["report", p.tmp], "not a run folder"),
    "a picture without features": (
        lambda p: p.train(f'data.captions="{captions_with_another_picture(p, "train")}"'),
        "grids.h5 (10 pictures)",
    ),
    "captions of an unknown picture": (
        lambda p: ["evaluate", p.road / "run", "--captions", captions_with_another_picture(p, "dev")],
        "no features of unknown.jpg",
    ),
    "an unknown key": (lambda p: p.train("stages.0.epoch=3"), "Did you mean 'stages.0.epochs'"),
    "an unknown section": (lambda p: p.train("modle.name=x"), "Did you mean 'model'"),
    "an unknown setting of the model": (lambda p: p.train("model.hiden_size=3"), "Did you mean 'hidden_size'"),
    "an unknown model": (
        lambda p: p.train("model.name=attend_tel"),
        "recipe.toml: Unknown model 'attend_tel'. Did you",
    ),
    "a model's impossible setting": (
        lambda p: p.train("model.dropout=7.0"),
        "recipe.toml: model.dropout: received 7.0; expected a share",
    ),
    "--set without =": (lambda p: p.train("epochs"), "--set epochs: expected key=value"),
    "--set of a wrong kind": (lambda p: p.train("seed=one"), "seed: received 'one'"),
    "--set beyond a list": (lambda p: p.train("stages.4.epochs=1"), "'4' is not among the entries"),
    "a word that cannot be required": (
        lambda p: p.train("decoding.required=elephant"),
        "recipe.toml: decoding.required: received 'elephant'; expected one of the",
    ),
    "beams that cannot be parted": (
        lambda p: p.train("decoding.groups=3"),
        "recipe.toml: decoding.groups: received 3; expected a number that divides the beam of 2.",
    ),
    "a model of another task": (
        lambda p: p.train("model.name=bilstm_tagger"),
        "recipe.toml: model.name: received 'bilstm_tagger', a model for task 'tag'; expected one for 'caption'.",
    ),
    "no vocabulary": (lambda p: p.train("data.minimum_count=9999"), "9999"),
    "an unknown device in a recipe": (lambda p: p.train("training.device=banana"), "banana"),
    "missing captions": (lambda p: p.train("data.captions=none.json"), "none.json"),
    "missing features": (lambda p: p.train("data.features=none.h5"), "none.h5"),
    "features that are text": (lambda p: p.train(f'data.features="{p.file("x.h5", "hello")}"'), "x.h5"),
    "captions that are no JSON": (lambda p: p.train(f'data.captions="{p.file("x.json", "[{")}"'), "x.json"),
    "captions of a wrong kind": (lambda p: p.train(f'data.captions="{p.file("x.json", "[3]")}"'), "x.json"),
    "a missing recipe": (lambda p: ["train", p.tmp / "none.toml"], "none.toml: no such file"),
    "a misspelt recipe": (lambda p: ["train", "dmo"], "Did you mean 'demo'"),
    "a recipe that is no TOML": (lambda p: ["train", p.file("x.toml", "name = ")], "x.toml: not valid TOML"),
    "neither recipe nor run": (lambda p: ["train"], "expected either a recipe or --resume RUN"),
    "both recipe and run": (lambda p: ["train", "demo", "--resume", p.tmp], "expected either a recipe or --resume RUN"),
    "--resume with settings": (lambda p: ["train", "--resume", p.tmp, "--set", "seed=3"], "are for new runs"),
    "nothing to resume": (lambda p: ["train", "--resume", p.tmp / "none"], "no run to resume"),
    "a run folder that is there": (
        lambda p: ["train", p.road / "recipe.toml", "-o", p.copied_run()],
        "holds a run already",
    ),
    "a missing checkpoint": (resumed_without_checkpoints, "last.safetensors: no such checkpoint"),
    "a corrupted checkpoint": (lambda p: ["caption", damaged_run(p, flipped_bit), p.photo], "damaged"),
    "a corrupted checkpoint to resume": (lambda p: ["train", "--resume", damaged_run(p, flipped_bit)], "damaged"),
    "half a checkpoint": (lambda p: ["evaluate", damaged_run(p, lambda c: c[: len(c) // 2])], "damaged"),
    "a pickle as a checkpoint": (
        lambda p: ["caption", damaged_run(p, lambda c: b"\x80\x04K\x01."), p.photo],
        "not a seesay checkpoint",
    ),
    "a vocabulary of another run": (lambda p: ["caption", other_vocabulary(p), p.photo], "not the vocabulary"),
    "a vocabulary of another run to resume": (lambda p: ["train", "--resume", other_vocabulary(p)], "vocabulary.json"),
    "an unknown split": (lambda p: ["evaluate", p.road / "run", "--split", "tset"], "Did you mean 'test'"),
    "results of other pictures": (lambda p: scored(p, '{"7": "a dog", "8": "a cat"}'), "7"),
    "results of fewer pictures": (lambda p: scored(p, '{"1": "a dog"}'), "2"),
    "results that are no JSON": (lambda p: scored(p, '{"1": '), "results.json: not valid JSON"),
    "results of a wrong kind": (lambda p: scored(p, "[1]"), "results.json"),
    "missing results": (lambda p: ["score", p.file("r.json", '{"1": ["a"]}'), p.tmp / "none.json"], "none.json"),
    "a place that cannot be written": (
        lambda p: [
            "score",
            p.file("r.json", '{"1": ["a"]}'),
            p.file("s.json", '{"1": "a"}'),
            "--json",
            "/proc/x/y.json",
        ],
        "/proc/x",
    ),
}


@pytest.fixture
def place(road: Path, tmp_path: Path, photo: Path) -> Iterator[Place]:
    yield Place(road, tmp_path, photo)


def assert_one_line(code: int, errors: str, said: str) -> None:
    assert code == 2
    assert errors.startswith("error: ") and errors.endswith("\n")
    assert errors.count("\n") == 1, errors
    assert said in errors


@pytest.mark.parametrize("what", BAD)
def test_one_line_and_exit_code_2_for(what: str, place: Place, seesay: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    command, said = BAD[what]
    arguments = command(place)
    monkeypatch.chdir(place.tmp)
    done = seesay(*arguments)
    assert_one_line(done.code, done.err, said)


@pytest.mark.parametrize("what", ["a truncated JPEG", "an unknown key", "a corrupted checkpoint"])
def test_one_line_and_exit_code_2_in_a_process_of_its_own_for(what: str, place: Place) -> None:
    command, said = BAD[what]
    arguments = [sys.executable, "-c", "from seesay.cli import main; main()", *map(str, command(place))]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert_one_line(done.returncode, done.stderr, said)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["features", "x"], "Missing option '--output' / '-o'; 'seesay features --help' lists what is expected."),
        (["features", "x", "-o", "y", "--on-bad", "skp"], "skp"),
        (["caption", "x", "y", "--beam", "0"], "Invalid value for '--beam': "),
        (["caption", "x", "y", "--bean", "3"], "--bean"),
        (["trian"], "Did you mean 'train'"),
        (["caption"], "Missing argument 'run'; 'seesay caption --help' lists"),
        (["caption", "run"], "Missing argument 'photos'"),
        (["--versoin"], "--versoin"),
    ],
)
def test_a_mistyped_command_is_one_line(arguments: list[str], said: str, seesay: Run) -> None:
    done = seesay(*arguments)
    assert_one_line(done.code, done.err, said)


def test_no_command_at_all_lists_them(seesay: Run) -> None:
    done = seesay()
    assert done.code == 2 and "evaluate" in done.out + done.err and "error" not in done.err


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (OSError(5, "Input/output error", "grids.h5"), "grids.h5: received 'Input/output error'; expected"),
        (OSError(28, "No space left on device"), "seesay: received 'No space left on device'"),
        (MemoryError(), "memory: no room left; expected enough of it"),
        (RuntimeError("CUDA out of memory. Tried to\nallocate"), "memory: CUDA out of memory. Tried to; expected"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: 9 bytes"), "allocate memory"),
    ],
)
def test_what_the_machine_refuses_is_one_line(
    fault: Exception, said: str, place: Place, seesay: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: Path) -> Path:
        raise fault

    monkeypatch.setattr("seesay.evaluation.write_run_report", fail)
    done = seesay("report", place.road / "run")
    assert_one_line(done.code, done.err, said)


def test_a_fault_of_ours_is_not_hidden(place: Place, seesay: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: Path) -> Path:
        raise RuntimeError("shapes do not match")

    monkeypatch.setattr("seesay.evaluation.write_run_report", fail)
    with pytest.raises(RuntimeError, match="shapes do not match"):
        seesay("report", place.road / "run")


def test_runs_are_judged_together(place: Place, seesay: Run) -> None:
    run = place.tmp / "one"
    shutil.copytree(place.road / "run", run)
    options = ["--with", place.road / "run", "--with", run, "--beam", 3, "--json", place.tmp / "scores.json"]
    done = seesay("evaluate", run, *options)
    assert (done.code, done.err) == (0, "")
    found = re.search(rf"captions: {run}/predictions/(dev-beam-3-with-run-\w{{6}}-with-one-\w{{6}}\.json)\n", done.out)
    assert found
    kept = json.loads((run / "scores" / found[1]).read_text(encoding="utf-8"))
    assert kept == json.loads((place.tmp / "scores.json").read_text(encoding="utf-8"))
    done = seesay("evaluate", run, "--with", place.tmp / "none")
    assert done.code == 2 and "none: not found; expected a run folder" in done.err


def test_with_on_bad_skip_the_good_pictures_are_done(place: Place, seesay: Run) -> None:
    place.file("mixed/good.jpg", place.photo.read_bytes())
    place.file("mixed/text.jpg", b"hello")
    done = seesay("features", place.tmp / "mixed", "-o", place.tmp / "x.h5", "--on-bad", "skip")
    assert done.code == 0 and "text.jpg" in done.out and "features of 1 picture, 1 left out" in done.out


def test_with_on_bad_skip_the_other_photographs_are_captioned(place: Place, seesay: Run) -> None:
    text = place.file("text.jpg", b"hello")
    done = seesay("caption", place.road / "run", text, place.photo, "--on-bad", "skip", "--json")
    assert done.code == 0 and [each["file"] for each in json.loads(done.out)] == [str(place.photo)]
    assert done.err.startswith("skipped: ") and "text.jpg" in done.err and done.err.count("\n") == 1
    done = seesay("caption", place.road / "run", text, text, "--on-bad", "skip", "--json")
    assert done.code == 2 and json.loads(done.out) == []
    assert done.err.splitlines()[2:] == [
        "error: photos: none of 2 could be read, for the reasons above; expected one at least; check the paths."
    ]
    done = seesay("caption", place.road / "run", text, "--on-bad", "skip")
    assert done.code == 2 and done.out == "" and done.err.count("\n") == 2


@pytest.mark.parametrize(
    ("command", "patched", "said"),
    [
        ("train", "seesay.progress.follow_training", "nothing was kept yet; run the same command again"),
        ("features", "seesay.vision.extraction.extract", "no picture was done yet; run the same command again"),
        ("demo", "seesay.demo.run_demo", "run the same command again"),
        ("report", "seesay.evaluation.write_run_report", ""),
    ],
)
def test_ctrl_c_says_how_to_go_on_where_one_can(
    command: str, patched: str, said: str, seesay: Run, monkeypatch: pytest.MonkeyPatch, place: Place
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(patched, interrupted)  # what Ctrl-C does to the main thread
    arguments = {"train": place.train(), "features": ["features", place.tmp, "-o", place.tmp / "x.h5"]}
    done = seesay(*arguments.get(command, [command, *([] if command == "demo" else [place.road / "run"])]))
    assert done.code == 130 and done.err.count("\n") == 1
    assert done.err == "stopped\n" if not said else done.err.startswith("stopped; ") and said in done.err


def test_ctrl_c_in_features_says_that_what_is_done_is_kept(
    place: Place, seesay: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(folder: Path, output: Path, **_: object) -> None:
        output.touch()
        raise KeyboardInterrupt

    monkeypatch.setattr("seesay.vision.extraction.extract", interrupted)
    done = seesay("features", place.tmp, "-o", place.tmp / "x.h5")
    assert (done.code, done.err) == (
        130,
        "stopped; the pictures done so far are kept; run the same command again and it goes on\n",
    )


def test_features_tells_of_pictures_of_kinds_that_are_not_read(place: Place, seesay: Run) -> None:
    place.file("mixed/good.jpg", place.photo.read_bytes())
    for name in ("a.HEIC", "more/b.tif", "c.tif", ".d.tif", "notes.txt"):
        place.file(f"mixed/{name}", b"x")
    output = place.tmp / "x.h5"
    said = f"{output}: 3 files were not looked at (.heic, .tif): JPEG, PNG, WebP, GIF and BMP are read; convert "
    for first in (f"{output}: features of 1 picture", f"{output}: complete already with 1 picture; nothing to do."):
        done = seesay("features", place.tmp / "mixed", "-o", output)
        assert done.code == 0 and done.out.splitlines() == [first, f"{said}those that should be described."]


def test_ctrl_c_while_training_names_the_run(place: Place, seesay: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(events: Iterator[Any]) -> None:
        next(events)
        raise KeyboardInterrupt

    monkeypatch.setattr("seesay.progress.follow_training", interrupted)
    path = place.tmp / "my run"
    done = seesay("train", place.road / "recipe.toml", "-o", path)
    again = f"seesay train --resume '{path}'"
    assert (done.code, done.err) == (130, f"stopped; what was saved is whole ('{again}' goes on from there)\n")
