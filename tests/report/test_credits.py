import json
from pathlib import Path

import pytest

from seesay.data.records import read_records
from seesay.errors import DataError
from seesay.report import Credit, read_credits
from seesay.report.credits import COCO_CAPTIONS


def test_every_demonstration_photograph_has_its_credit(demo_folder: Path) -> None:
    credits = read_credits(demo_folder / "captions.json", COCO_CAPTIONS)
    assert len(credits) == 76 == len(list((demo_folder / "images").glob("*.jpg")))
    assert {credit.licence for credit in credits.values()} == {"CC BY 2.0", "CC BY-SA 2.0"}
    assert credits["000000012280.jpg"].text() == (
        "Photo: Flickr 8544258219, CC BY 2.0, resized; captions: COCO Consortium, CC BY 4.0"
    )


def test_links_lead_to_the_photograph_and_its_licence(demo_folder: Path) -> None:
    line = read_credits(demo_folder / "captions.json", COCO_CAPTIONS)["000000012280.jpg"].html()
    assert '<a href="http://creativecommons.org/licenses/by/2.0/" rel="noopener noreferrer">CC BY 2.0</a>' in line
    assert line.count("<a ") == 4 == line.count('rel="noopener noreferrer"')


def test_a_credit_is_escaped_and_only_web_addresses_are_links() -> None:
    line = Credit('<b>"me"', "CC0", "javascript:alert(1)", 'https://x.test/"><script>').html()
    assert "<b>" not in line and "<script>" not in line and "javascript:" not in line
    assert line.count("<a ") == 1


def test_an_unknown_licence_keeps_its_own_name_and_records_without_one_are_left_out(tmp_path: Path) -> None:
    file = tmp_path / "captions.json"
    own = {"file": "a.jpg", "licence": "Mine", "flickr_photo_id": "7"}
    file.write_text(json.dumps([own, {"file": "b.jpg"}]), encoding="utf-8")
    credits = read_credits(file)
    assert {name: credit.text() for name, credit in credits.items()} == {"a.jpg": "Photo: Flickr 7, Mine, resized"}


@pytest.mark.parametrize(
    "content", ["{", "3", '{"images": []}', "[3]", "1000.jpg#0\tA dog .", "[" * 100_000, '[{"file": "a"}]']
)
def test_a_caption_file_of_another_kind_has_no_credits(tmp_path: Path, content: str) -> None:
    file = tmp_path / "captions.json"
    file.write_text(content, encoding="utf-8")
    assert read_credits(file) == {} == read_credits(tmp_path)


@pytest.mark.parametrize(
    ("record", "line"),
    [
        ({"licence": "x"}, "Photo: x, resized"),
        ({"licence": 3, "flickr_photo_id": 7}, "Photo: Flickr 7, 3, resized"),
        ({"licence": "x", "flickr_url": "https://flickr.test/7"}, "Photo: Flickr, x, resized"),
        ({"licence_url": "http://creativecommons.org/licenses/by/2.0/"}, "Photo: CC BY 2.0, resized"),
        ({"licence_url": "https://own.test/terms"}, "Photo: https://own.test/terms, resized"),
        ({"licence": "x", "flickr_photo_id": None, "flickr_url": None}, "Photo: x, resized"),
    ],
)
def test_a_record_is_credited_with_what_it_has(tmp_path: Path, record: dict[str, object], line: str) -> None:
    file = tmp_path / "captions.json"
    file.write_text(json.dumps([record, {"file": "a.jpg"} | record]), encoding="utf-8")
    assert {name: credit.text() for name, credit in read_credits(file).items()} == {"a.jpg": line}


@pytest.mark.parametrize("spelt", ["./x/a.jpg", "x//a.jpg", "x/./a.jpg", "x/a.jpg"])
def test_files_are_spelt_as_in_the_records(tmp_path: Path, spelt: str) -> None:
    file = tmp_path / "captions.json"
    record = {"file": spelt, "split": "dev", "captions": ["A dog."], "licence": "x"}
    file.write_text(json.dumps([record]), encoding="utf-8")
    assert list(read_credits(file)) == [record.file for record in read_records(file)] == ["x/a.jpg"]


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="No such file"):
        read_credits(tmp_path / "captions.json")
