"""Who made a photograph and under which licence: the line that has to stand beneath it wherever it is shown."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from html import escape
from pathlib import Path

from seesay.errors import DataError


@dataclass(frozen=True)
class Credit:
    """The attribution owed for one photograph; `captions` is the one owed for its human captions, if any.

    >>> Credit("Flickr 85", "CC BY 2.0", "http://creativecommons.org/licenses/by/2.0/", "").text()
    'Photo: Flickr 85, CC BY 2.0, resized'
    """

    author: str
    licence: str
    licence_url: str
    source_url: str
    changes: str = "resized"
    captions: Credit | None = None

    def text(self) -> str:
        """The credit as plain text, for a terminal."""
        return "".join(text for text, _ in self._parts("Photo: "))

    def html(self) -> str:
        """The credit as escaped HTML, with links to the photograph and to the licences."""
        return "".join(_link(text, url) for text, url in self._parts("Photo: "))

    def _parts(self, subject: str) -> list[tuple[str, str]]:
        """The line in pieces, each with its address or an empty one."""
        parts = [(subject, ""), (self.author, self.source_url), (", ", ""), (self.licence, self.licence_url)]
        if self.changes:
            parts.append((f", {self.changes}", ""))
        return [*parts, ("; ", ""), *self.captions._parts("captions: ")] if self.captions else parts


COCO_CAPTIONS = Credit(
    author="COCO Consortium",
    licence="CC BY 4.0",
    licence_url="https://creativecommons.org/licenses/by/4.0/",
    source_url="https://cocodataset.org/",
    changes="",
)


def read_credits(captions_json: Path, captions: Credit | None = COCO_CAPTIONS) -> dict[str, Credit]:
    """The credits in a `captions.json` whose records carry `licence`, `licence_url`, `flickr_photo_id`, `flickr_url`.

    Returns `{file: Credit}`; records without a licence are left out, and a caption file of any other kind (another
    layout of JSON, a text file, a folder) has no credits. `captions` is credited for the human captions.
    Raises DataError if the file is missing, or a record has a licence but not the rest.
    """
    if captions_json.is_dir():
        return {}
    try:
        records = json.loads(captions_json.read_bytes())
    except OSError as error:
        raise DataError(f"{captions_json}: {error.strerror}; expected a captions file; check the path.") from None
    except (ValueError, RecursionError):
        return {}
    if not isinstance(records, list):
        return {}
    licensed = [r for r in records if isinstance(r, dict) and (r.get("licence") or r.get("licence_url"))]
    try:
        return {str(record["file"]): _credit(record, captions) for record in licensed}
    except KeyError as error:
        raise DataError(
            f"{captions_json}: a record with a licence has no {error}; expected file, licence, licence_url, "
            "flickr_photo_id and flickr_url; complete the record."
        ) from None


def _credit(record: dict[str, object], captions: Credit | None) -> Credit:
    licence_url = str(record.get("licence_url", ""))
    return Credit(
        author=f"Flickr {record['flickr_photo_id']}",
        licence=_licence_name(licence_url) or str(record.get("licence", "")),
        licence_url=licence_url,
        source_url=str(record.get("flickr_url", "")),
        captions=captions,
    )


def _licence_name(url: str) -> str:
    """`http://creativecommons.org/licenses/by-sa/2.0/` -> `CC BY-SA 2.0`; empty for any other address."""
    found = re.fullmatch(r"https?://creativecommons\.org/licenses/([a-z-]+)/([0-9.]+)/?", url)
    return f"CC {found[1].upper()} {found[2]}" if found else ""


def _link(text: str, url: str) -> str:
    """Text, as a link where the address is a web address; any other (`javascript:`) is not followed."""
    if not url.startswith(("https://", "http://")):
        return escape(text)
    return f'<a href="{escape(url)}" rel="noopener noreferrer">{escape(text)}</a>'
