"""`seesay score` as a person types it: files in, a table out, and one line for what cannot be scored."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest

# As a person's machine without torch would run it.
PROGRAM = "import sys; sys.modules['torch'] = None; from seesay.cli import main; main()"
REFERENCES = {str(i): [f"a dog number {i} runs", f"the dog {i} is running café"] for i in range(4)}
CANDIDATES = {str(i): f"A dog number {i}, running at the café!" for i in range(4)}


def score(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", PROGRAM, "score", *arguments]
    return subprocess.run(command, cwd=folder, env=os.environ | environment, capture_output=True, encoding="utf-8")


def write(folder: Path, name: str, content: object) -> str:
    text = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
    (folder / name).write_bytes(text.encode("utf-8", "surrogatepass"))
    return name


@pytest.fixture
def files(tmp_path: Path) -> Path:
    write(tmp_path, "refs.json", REFERENCES)
    write(tmp_path, "cands.json", CANDIDATES)
    return tmp_path


def test_the_same_in_every_locale_and_normal_form(files: Path) -> None:
    for form in ("NFC", "NFD"):
        text = json.dumps(CANDIDATES, ensure_ascii=False)
        write(files, f"{form}.json", unicodedata.normalize(form, text))
    found = set()
    for locale in ("C", "de_DE.UTF-8", "tr_TR.UTF-8", "zh_CN.UTF-8"):
        form = "NFC" if locale in ("C", "tr_TR.UTF-8") else "NFD"
        done = score(files, "refs.json", f"{form}.json", "--json", "out.json", LC_ALL=locale, LANG=locale)
        assert done.returncode == 0, done.stderr
        found.add((files / "out.json").read_bytes())
    (content,) = map(json.loads, found)
    assert 0 < content["corpus"]["Bleu_1"] < 1 and list(content["per_id"]) == ["0", "1", "2", "3"]
    assert {"Bleu_1", "Bleu_2", "Bleu_3", "Bleu_4", "ROUGE_L", "CIDEr-D", "CIDEr"} <= set(content["corpus"])
    assert content["signature"].endswith(f"refs:2|n:4|seesay:{_version()}")


def _version() -> str:
    from seesay import __version__

    return __version__


def test_one_picture_is_said_to_have_no_cider(tmp_path: Path) -> None:
    done = score(tmp_path, write(tmp_path, "r.json", {"1": ["a dog"]}), write(tmp_path, "c.json", {"1": "a dog"}))
    assert done.returncode == 0 and "CIDEr is 0 by definition with a single picture" in done.stdout


def test_an_empty_candidate_counts_as_0(files: Path) -> None:
    done = score(files, "refs.json", write(files, "c.json", CANDIDATES | {"2": ""}), "--json", "out.json")
    assert done.returncode == 0 and "1 of 4 candidates are empty" in done.stdout
    assert set(json.loads((files / "out.json").read_text())["per_id"]["2"].values()) == {0.0}


@pytest.mark.parametrize(
    ("results", "words"),
    [
        ({"0": "a", "1": "b", "2": "c"}, ["c.json", "no caption of picture 3"]),
        (CANDIDATES | {"x": "a"}, ["refs.json", "no caption of picture x"]),
        ({}, ["c.json", "no caption at all"]),
        ([], ["c.json", "no caption at all"]),
        (CANDIDATES | {"1": 5}, ["c.json", "picture 1 has the caption 5", "expected a string"]),
        (CANDIDATES | {"1": ["a"]}, ["c.json", "picture 1", "expected a string"]),
        ('{"0": "a", "0": "b"}', ["c.json", "the key '0' occurs twice"]),
        ([{"image_id": 1, "caption": "a"}, {"image_id": 1, "caption": "b"}], ["c.json", "picture 1 comes twice"]),
        ('{"0": "a"', ["c.json", "not valid JSON"]),
        ('{"0": "\udcff"}', ["c.json", "not UTF-8"]),
    ],
)
def test_bad_results_are_one_line_and_exit_2(files: Path, results: object, words: list[str]) -> None:
    done = score(files, "refs.json", write(files, "c.json", results))
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.count("\n") == 1 and "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr


def test_against_another_system(files: Path) -> None:
    other = write(files, "b.json", dict.fromkeys(CANDIDATES, "two cats"))
    done = score(
        files,
        "refs.json",
        "cands.json",
        "--against",
        other,
        "--json",
        "o.json",
        "--per-image",
        "o.csv",
        "--html",
        "o.html",
    )
    assert done.returncode == 0, done.stderr
    content = json.loads((files / "o.json").read_text())
    assert content["comparison"]["Bleu_1"]["second"] < 1e-9 < 0.1 < content["comparison"]["Bleu_1"]["low"]
    assert (files / "o.csv").read_text(encoding="utf-8").count("\n") == 5
    assert "Against b.json" in (files / "o.html").read_text(encoding="utf-8")


def test_spice_is_skipped_with_its_reason_or_computed(files: Path) -> None:
    done = score(files, "refs.json", "cands.json", "--spice")
    assert done.returncode == 0
    assert ("SPICE is skipped: " in done.stdout) != ("SPICE-1.0" in done.stdout)


def test_outputs_never_replace_inputs(files: Path) -> None:
    for options in (["--json", "refs.json"], ["--json", "x", "--html", "./x"], ["--per-image", "cands.json"]):
        done = score(files, "refs.json", "cands.json", *options)
        assert done.returncode == 2 and "would be written over" in done.stderr and done.stderr.count("\n") == 1
    assert json.loads((files / "refs.json").read_text(encoding="utf-8")) == REFERENCES
    done = score(files, "refs.json", "cands.json", "--per-image", "a/o.csv", "--html", "b/c/o.html")
    assert done.returncode == 0 and (files / "a" / "o.csv").is_file() and (files / "b" / "c" / "o.html").is_file()


def test_a_name_that_the_terminal_cannot_show(files: Path) -> None:
    done = score(files, "refs.json", "cands.json", "--json", "é.json", PYTHONIOENCODING="ascii")
    assert done.returncode == 0 and "written: \\xe9.json" in done.stdout


def test_a_cache_that_cannot_be_written_costs_meteor_alone(files: Path) -> None:
    done = score(files, "refs.json", "cands.json", SEESAY_CACHE="/proc/none")
    assert done.returncode == 0 and "METEOR is skipped: " in done.stdout and "CIDEr-D" in done.stdout
