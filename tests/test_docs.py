"""Every block of README.md and docs/ is run, in reading order, on a few of the demonstration photographs.

How a block is checked depends on its language:
- bash: each command of seesay runs and must exit with 0; `make X` must be a target of the Makefile;
- python: runs, in one namespace a page; the file `# src/seesay/models/NAME.py` is then found as a model;
- toml: is written to the file that its first line names;
- json PATH: has the keys that the real file of that path has;
- text: is not run; `text printed` holds what the Python block before it prints.
"""

from __future__ import annotations

import ast
import codeop
import json
import re
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
README = REPOSITORY / "README.md"
OF_CAPTIONS = ("start.md", "seesay.md", "scores.md", "add-a-model.md")
OF_RECURRENCE = ("cell.md", "through-time.md", "autograd.md", "reward.md")
OF_QUESTIONS = ("ask-a-picture.md",)
OF_LABELS = ("label-a-sequence.md",)
PAGES = [REPOSITORY / "docs" / name for name in (*OF_CAPTIONS, *OF_RECURRENCE, *OF_QUESTIONS, *OF_LABELS)]
PICTURES = sorted((REPOSITORY / "docs" / "pictures").glob("*.svg"))
NAMES = {"kitchen.jpg": "000000030213.jpg", "bears.jpg": "000000020247.jpg", "cat.jpg": "000000358083.jpg"}
# What a page says of hours is tried in seconds: two epochs of a small network.
SHORTER = ("stages.0.epochs=2", "model.hidden_size=32", "model.embedding_size=32", "training.log_every=1")
IN_THE_SHELL = ("source .venv/bin/activate",)


class Block(NamedTuple):
    page: str
    line: int
    language: str
    about: str  # what follows the language on the opening line
    text: str

    def __str__(self) -> str:
        return f"{self.page}, line {self.line}"


def blocks(page: Path) -> Iterator[Block]:
    text = page.read_text(encoding="utf-8")
    fences = re.finditer(r"^```(\w*) ?([^\n]*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    for fence in fences:
        yield Block(page.name, text.count("\n", 0, fence.start()) + 1, *fence.groups())
    assert text.count("```") % 2 == 0, f"{page.name}: a block is not closed"


@pytest.fixture
def folder(tmp_path: Path, demo_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A newcomer's folder: photos/ and captions.json, 9 photographs to learn from and 3 kept aside."""
    known = {record["file"]: record for record in json.loads((demo_folder / "captions.json").read_text("utf-8"))}
    (tmp_path / "photos").mkdir()
    chosen = dict(NAMES)
    chosen |= {f"{n}.jpg": file for n, file in enumerate(sorted(known.keys() - set(NAMES.values()))[:9])}
    records = []
    for place, (name, file) in enumerate(chosen.items()):
        shutil.copy(demo_folder / "images" / file, tmp_path / "photos" / name)
        split = "dev" if place in (2, 10, 11) else "train"
        records.append({"file": name, "split": split, "captions": known[file]["captions"]})
    (tmp_path / "captions.json").write_text(json.dumps(records), encoding="utf-8")
    aside = [record for record in records if record["split"] == "dev"]
    (tmp_path / "captions-dev.json").write_text(json.dumps(aside), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder whose files count as models, as if they lay in src/seesay/models."""
    import seesay.models

    place = tmp_path / "src" / "seesay" / "models"
    place.mkdir(parents=True)
    monkeypatch.setattr(seesay.models, "__path__", [*seesay.models.__path__, str(place)])
    yield place
    for file in place.glob("*.py"):
        sys.modules.pop(f"seesay.models.{file.stem}", None)


Check = Callable[[Block], None]


@pytest.fixture
def check(
    folder: Path, models: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[[Path], None]:
    """Checks a whole page, block by block."""

    def bash(block: Block) -> None:
        for command in block.text.replace("\\\n", " ").splitlines():
            if command.strip() and command not in IN_THE_SHELL:
                _run(command, block, monkeypatch, capsys)

    def toml(block: Block) -> None:
        (folder / _first_line(block)).write_text(block.text, encoding="utf-8")

    def page(path: Path) -> None:
        namespace: dict[str, Any] = {"__name__": "page"}
        printed = ""

        def python(block: Block) -> None:
            nonlocal printed
            if block.text.startswith("# src/"):
                (folder / _first_line(block)).write_text(block.text, encoding="utf-8")
            else:
                code = "\n" * block.line + block.text  # so that a traceback names the page's own line
                capsys.readouterr()
                exec(compile(code, block.page, "exec"), namespace)
                printed = capsys.readouterr().out

        def text(block: Block) -> None:
            shown = block.about == "printed"
            assert not shown or block.text == printed, f"{block}: the block before it prints\n{printed}"

        known = {"bash": bash, "python": python, "toml": toml, "json": _same_keys, "text": text}
        for block in blocks(path):
            assert block.language in known, f"{block}: a block of '{block.language}'; expected one of {list(known)}"
            known[block.language](block)

    return page


def test_the_readme(check: Callable[[Path], None], folder: Path) -> None:
    check(README)
    assert "</html>" in (folder / "runs/mine/report.html").read_text(encoding="utf-8")
    assert (folder / "runs/mine-2/checkpoints/last.safetensors").is_file()


def test_the_docs_in_reading_order(check: Callable[[Path], None], folder: Path) -> None:
    for name in OF_CAPTIONS:
        check(REPOSITORY / "docs" / name)
    predictions = json.loads((folder / "runs/mine/predictions/dev.json").read_text(encoding="utf-8"))
    assert [item["file"] for item in predictions["items"]] == ["cat.jpg", "7.jpg", "8.jpg"]
    assert 'name = "bag_of_grid"' in (folder / "runs/bag/recipe.toml").read_text(encoding="utf-8")


def test_the_page_on_questions(check: Callable[[Path], None], folder: Path) -> None:
    records = json.loads((folder / "captions.json").read_text(encoding="utf-8"))
    for number, record in enumerate(records):
        colour = ("red", "blue", "cat")[number % 3]
        record["questions"] = [f"What is in picture {number}?", f"Who took picture {number} here?"]
        record["vqa"] = [{"question": "What may number one be?", "answer": colour, "answer_type": "other"}]
        del record["captions"]
    (folder / "questions.json").write_text(json.dumps(records), encoding="utf-8")
    for name in OF_QUESTIONS:
        check(REPOSITORY / "docs" / name)
    scores = json.loads((folder / "runs/ask/scores/dev.json").read_text(encoding="utf-8"))
    assert {"corpus", "answered", "diversity", "ranking"} <= scores.keys()
    assert "</html>" in (folder / "runs/ask/report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", [*OF_RECURRENCE, *OF_LABELS])
def test_a_page_on_recurrence_stands_alone(check: Callable[[Path], None], name: str) -> None:
    check(REPOSITORY / "docs" / name)


def _pieces(text: str) -> list[str]:
    """What Python's prompt makes of pasted text: it runs a statement as soon as it can be complete."""
    pieces: list[str] = []
    waiting: list[str] = []
    for line in [*text.split("\n"), ""]:
        waiting.append(line)
        if codeop.compile_command("\n".join(waiting), "<prompt>", "single") is not None:
            pieces.append("\n".join(waiting))
            waiting = []
    return [*pieces, *filter(None, waiting)]


@pytest.mark.parametrize("name", ["cell.md", "through-time.md", "autograd.md"])
def test_blocks_can_be_pasted_into_the_prompt(name: str) -> None:
    """A blank line ends a definition there, so that none may stand in one, and one must stand after each."""
    for block in blocks(REPOSITORY / "docs" / name):
        if block.language == "python":
            try:
                pasted = [statement for piece in _pieces(block.text) for statement in ast.parse(piece).body]
            except SyntaxError as fault:
                pytest.fail(f"{block}: {fault}")
            assert [*map(ast.dump, pasted)] == [*map(ast.dump, ast.parse(block.text).body)], str(block)


@pytest.mark.parametrize("picture", PICTURES, ids=lambda path: path.name)
def test_a_picture_is_shown_has_a_title_and_two_colour_schemes(picture: Path) -> None:
    drawing = ElementTree.parse(picture).getroot()
    assert drawing.findtext("{*}title")
    assert "prefers-color-scheme: dark" in (drawing.findtext("{*}style") or "")
    assert any(f"(pictures/{picture.name})" in page.read_text(encoding="utf-8") for page in PAGES)


def test_every_page_is_run() -> None:
    assert set(PAGES) == set((REPOSITORY / "docs").glob("*.md"))


def test_a_wrong_command_is_noticed(check: Callable[[Path], None], tmp_path: Path) -> None:
    """The checks above are worth something only if they fail where a page is wrong."""
    wrong = {
        "an option that is not": "```bash\nseesay features photos --out grids.h5\n```\n",
        "a file that is not": "```bash\nseesay report runs/none\n```\n",
        "a target that is not": "```bash\nmake tea\n```\n",
        "another program": "```bash\nrm -r photos\n```\n",
        "a key that is not": '```json captions.json\n[{"file": "a.jpg", "splits": "train"}]\n```\n',
        "a false statement": "```python\nassert 1 == 2\n```\n",
        "a number that is not": "```python\nprint(1)\n```\n```text printed\n2\n```\n",
        "an unknown language": "```sh\nls\n```\n",
    }
    for name, text in wrong.items():
        page = tmp_path / "page.md"
        page.write_text(text, encoding="utf-8")
        with pytest.raises(AssertionError):
            check(page)
            pytest.fail(f"{name} went unnoticed", pytrace=False)


def _first_line(block: Block) -> str:
    first = block.text.partition("\n")[0]
    assert first.startswith("# "), f"{block}: expected the file's name in its first line, as in '# mine.toml'"
    return first.removeprefix("# ")


def _run(command: str, block: Block, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from seesay.cli import main

    program, *arguments = shlex.split(command, comments=True)
    if program == "make":
        assert arguments and set(arguments) <= _targets(), f"{block}: no such target: {command}"
        return
    assert program == "seesay", f"{block}: nothing here knows how to check '{command}'"
    if arguments[0] == "train" and "--resume" not in arguments:
        has_embedding = "concept" not in arguments[1]
        shorter = [setting for setting in SHORTER if has_embedding or "embedding" not in setting]
        arguments += [part for setting in shorter for part in ("--set", setting)]
    monkeypatch.setattr(sys, "argv", ["seesay", *arguments])
    capsys.readouterr()
    try:
        main()
        code: Any = 0
    except SystemExit as end:
        code = end.code
    out, err = capsys.readouterr()
    assert code in (0, None), f"{block}: '{command}' exits with {code}: {err[-500:]}"
    assert out.strip(), f"{block}: '{command}' prints nothing"
    if "--json" in arguments and arguments[0] == "caption":
        assert all(found["captions"] and set(found) == {"file", "captions"} for found in json.loads(out))


def _targets() -> set[str]:
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    return set(re.findall(r"^([a-z]+):(?!=)", makefile, re.MULTILINE))


def _same_keys(block: Block) -> None:
    """The block's keys are those of the real file, as deep as the block goes; of a .jsonl file, those of some line."""
    path = Path(block.about)
    assert path.is_file(), f"{block}: there is no '{block.about}'"
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".jsonl":
        real = [json.loads(line) for line in text.splitlines()]
        for line in block.text.splitlines():
            shown = json.loads(line)
            alike = [entry for entry in real if entry["event"] == shown["event"]]
            assert alike and shown.keys() == alike[0].keys(), f"{block}: not like any line of {path}: {line}"
    else:
        _compare(json.loads(block.text), json.loads(text), f"{block}: {path}")


def _compare(shown: Any, real: Any, where: str) -> None:
    assert type(shown) is type(real), f"{where}: {type(shown).__name__} is shown, {type(real).__name__} is there"
    if isinstance(shown, list) and shown:
        for one in shown:
            _compare(one, real[0], where)
    if isinstance(shown, dict):
        metrics = "CIDEr-D" in shown  # of scores and of settings a few are enough
        missing = shown.keys() - real.keys() if metrics or where.endswith("decoding") else shown.keys() ^ real.keys()
        assert not missing or not shown, f"{where}: {sorted(missing)}"
        for key in shown.keys() & real.keys():
            _compare(shown[key], real[key], f"{where}: {key}")
