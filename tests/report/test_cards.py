import base64
import io
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from seesay.errors import DataError
from seesay.report.cards import card, choose, photo_in, read_photo
from seesay.report.credits import Credit
from seesay.report.reading import Item


def item(number: int = 0, score: float = 1.0, tokens: tuple[str, ...] = ("a", "dog"), regions: int = 49) -> Item:
    attention = np.eye(regions)[: len(tokens)] if regions else None
    return Item(str(number), f"{number:04}.jpg", tokens, attention, ("one dog",), ("A dog.", "The dog."), score)


def test_a_small_run_is_shown_whole_best_first() -> None:
    (group,) = choose([item(n, score=n / 10) for n in range(36)])
    assert [rank for rank, _ in group.items] == list(range(1, 37))
    assert [one.score for _, one in group.items] == sorted((n / 10 for n in range(36)), reverse=True)
    assert group.note == "every picture, best first"


def test_a_large_run_shows_the_best_some_between_and_the_worst() -> None:
    items = [item(n, score=(n * 37 % 1000) / 100) for n in range(1000)]
    best, between, worst = choose(items)
    assert [rank for rank, _ in best.items] == list(range(1, 13))
    assert [rank for rank, _ in worst.items] == list(range(989, 1001))
    ranks = [rank for rank, _ in between.items]
    assert len(ranks) == len(set(ranks)) == 12 and ranks == sorted(ranks) and ranks[0] >= 13 and ranks[-1] <= 988
    assert between.note == "12 drawn at random from the other 976"
    assert [rank for rank, _ in choose(items[::-1])[1].items] == ranks, "the draw does not depend on the order"


def test_equal_scores_are_ordered_by_file() -> None:
    (group,) = choose([item(2), item(1), item(3)])
    assert [one.file for _, one in group.items] == ["0001.jpg", "0002.jpg", "0003.jpg"]


def test_a_card_has_one_overlay_a_word_and_the_photograph_once(demo_pictures: Path) -> None:
    photo = read_photo(demo_pictures / "000000012280.jpg")
    html = card(item(), 1, 16, 2.0, photo, None, "dev-1")
    assert html.count(photo.large) == 1 == html.count(photo.small)
    assert html.count('<use href="#dev-1-s"/>') == 2 == html.count('class="glow"')
    assert html.count('<span class="word">') == 2
    heats = re.findall(r'class="glow"[^>]*href="data:image/png;base64,([^"]+)"', html)
    first = np.asarray(Image.open(io.BytesIO(base64.b64decode(heats[0]))).convert("RGBA"))
    assert first[1, 1].tolist() == [255, 214, 110, 88] and first[-1, -1].tolist() == [10, 12, 30, 168]
    assert "spread over about 1 of 49 cells" in html
    assert "CIDEr-D <b>1.00</b>" in html and 'class="fill" width="50.0"' in html and "1 of 16" in html
    assert "What 2 people wrote" in html and "<li>The dog.</li>" in html and "<li>one dog</li>" in html


@pytest.mark.parametrize("regions", [0, 50], ids=["no attention", "no grid"])
def test_a_card_without_a_grid_shows_photograph_and_caption_alone(demo_pictures: Path, regions: int) -> None:
    html = card(item(regions=regions), 1, 1, 1.0, read_photo(demo_pictures / "000000012280.jpg"), None, "dev-1")
    assert 'class="photo"' in html and '<span class="word">dog</span>' in html
    assert "strip" not in html and "Watch it look" not in html
    assert "<details open><summary>What 2 people wrote" in html


def test_the_sentence_of_an_asker_is_a_question(demo_pictures: Path) -> None:
    photo = read_photo(demo_pictures / "000000012280.jpg")
    html = card(item(), 1, 16, 2.0, photo, None, "dev-1", asks=True)
    assert "</span>?</h3>" in html and "the question is: " in html and "against people&#x27;s questions" in html
    assert "caption" not in html.replace("figcaption", "")
    assert "?</h3>" not in card(item(), 1, 16, 2.0, photo, None, "dev-1")


def test_a_card_without_a_photograph_shows_the_caption() -> None:
    html = card(item(), 1, 1, 0.0, None, None, "dev-1")
    assert "<img" not in html and '<span class="word">dog</span>' in html and 'width="0.0"' in html


def test_an_empty_caption_says_so() -> None:
    assert "(an empty caption)" in card(item(tokens=()), 1, 1, 1.0, None, None, "dev-1")


def test_captions_are_text_and_never_markup(demo_pictures: Path) -> None:
    hostile = '<script>alert("x")</script>'
    bad = Item("1", "a.jpg", (hostile, "' onload='x"), np.eye(49)[:2], (hostile,), (hostile,), 0.5)
    html = card(bad, 1, 1, 1.0, read_photo(demo_pictures / "000000012280.jpg"), Credit(hostile, "", "", ""), "dev-1")
    assert "<script" not in html and "' onload" not in html
    assert html.count("&lt;script&gt;alert(&quot;x&quot;)&lt;/script&gt;") >= 5


def test_the_photograph_keeps_its_shape_and_colours(demo_pictures: Path) -> None:
    photo = read_photo(demo_pictures / "000000012280.jpg")
    original = Image.open(demo_pictures / "000000012280.jpg")
    shown = Image.open(io.BytesIO(base64.b64decode(photo.large.split(",")[1])))
    assert shown.size == (photo.width, photo.height) and max(shown.size) <= 480
    assert shown.width / shown.height == pytest.approx(original.width / original.height, rel=0.01)
    assert np.allclose(np.asarray(shown).mean((0, 1)), np.asarray(original).mean((0, 1)), atol=2)
    assert max(Image.open(io.BytesIO(base64.b64decode(photo.small.split(",")[1]))).size) == 96


def test_a_missing_photograph_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone\.jpg"):
        read_photo(tmp_path / "gone.jpg")


def test_a_photograph_of_the_recipes_folder_is_found_in_another_spelling(demo_pictures: Path, tmp_path: Path) -> None:
    there, asked = "cafe\u0301.jpg", "caf\u00e9.jpg"
    (tmp_path / there).write_bytes((demo_pictures / "000000012280.jpg").read_bytes())
    assert photo_in(tmp_path, asked) == read_photo(tmp_path / there)


def test_a_photograph_that_is_not_there_says_whence_the_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        photo_in(tmp_path, "gone.jpg")
    assert str(caught.value) == (
        f"{tmp_path / 'gone.jpg'}: not found; expected it in {tmp_path}, which is data.pictures in the run's "
        "recipe.toml; correct data.pictures there, counted from where the command is started, or put the pictures "
        "there."
    )
