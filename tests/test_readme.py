"""What README.md and docs/ promise beside their blocks: links lead somewhere, pictures are there, options exist."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import typer
from PIL import Image

REPOSITORY = Path(__file__).resolve().parent.parent
README = REPOSITORY / "README.md"
PAGES = [README, *sorted((REPOSITORY / "docs").glob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files(page: Path) -> None:
    links = re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8"))
    assert links
    for link in links:
        target = link.partition("#")[0]
        assert target.startswith("https://") or (page.parent / target).exists(), f"{page.name}: {link} leads nowhere"


def test_the_report_picture_is_small_and_credited() -> None:
    picture = REPOSITORY / "docs" / "report.png"
    assert picture.stat().st_size < 400_000
    with Image.open(picture) as image:
        assert image.format == "PNG" and 800 <= image.width <= 1600
    text = README.read_text(encoding="utf-8")
    after = text[text.index("docs/report.png") :][:600]
    assert "Flickr" in after and "ATTRIBUTION.md" in after


def test_the_two_commands_come_first() -> None:
    text = README.read_text(encoding="utf-8")
    places = [text.index(part) for part in ("docs/report.png", "\nmake demo\n", "\nmake test\n", "\n## Your own data")]
    assert places == sorted(places)


def test_the_folder_map_names_every_part() -> None:
    text = (REPOSITORY / "docs" / "seesay.md").read_text(encoding="utf-8")
    package = REPOSITORY / "src" / "seesay"
    folders = [f"{file.parent.name}/" for file in package.glob("*/__init__.py")]
    modules = [file.name for file in package.glob("*.py") if file.stem != "__init__"]
    models = [file.name for file in (package / "models").glob("*.py") if file.stem != "__init__"]
    missing = [name for name in folders + modules + models if name not in text]
    assert not missing
    of_the_map = text[text.index("src/seesay/") : text.index("`text`, `metrics`")]
    for name in re.findall(r"[a-z_]+\.py", of_the_map):
        assert list(package.rglob(name)), f"docs/seesay.md: {name} is in the map but not in the package"


def test_the_command_table_has_every_option_and_no_other() -> None:
    from seesay.cli import app

    text = (REPOSITORY / "docs" / "seesay.md").read_text(encoding="utf-8")
    shown: dict[str, set[str]] = {}
    for command, options in re.findall(r"^\| `seesay ?([\w-]*)[^`]*` \|(.*)\|$", text, re.MULTILINE):
        shown.setdefault(command, set()).update(re.findall(r"`(-[\w-]+)`", options))
    group = typer.main.get_command(app)
    real = {"": _options(group) | {"--help"}, **{name: _options(part) for name, part in group.commands.items()}}
    assert shown == real


def test_the_task_table_has_every_command() -> None:
    from seesay.cli import app

    text = README.read_text(encoding="utf-8")
    group = typer.main.get_command(app)
    table = text[text.index("| task |") : text.index("Any setting of a recipe")]
    for name in set(group.commands) - {"demo"}:  # that one is `make demo`
        assert f"`seesay {name} " in table, f"README.md: no task for 'seesay {name}'"


def _options(command: Any) -> set[str]:
    return {name for option in command.params if option.param_type_name == "option" for name in option.opts}
