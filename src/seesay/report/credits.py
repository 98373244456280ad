"""Who made a photograph and under which licence: the line that has to stand beneath it wherever it is shown."""

from __future__ import annotations

import re
from dataclasses import dataclass
from html import escape
from pathlib import Path, PurePosixPath

from seesay.errors import DataError
from seesay.text.json_file import read_json


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
        pieces = [(self.author, self.source_url), (self.licence, self.licence_url), (self.changes, "")]
        known = [piece for piece in pieces if piece[0]]
        parts = [(subject, ""), *known[:1], *(part for piece in known[1:] for part in ((", ", ""), piece))]
        return [*parts, ("; ", ""), *self.captions._parts("captions: ")] if self.captions else parts


COCO_CAPTIONS = Credit(
    author="COCO Consortium",
    licence="CC BY 4.0",
    licence_url="https://creativecommons.org/licenses/by/4.0/",
    source_url="https://cocodataset.org/",
    changes="",
)


def read_credits(captions_json: Path, captions: Credit | None = None) -> dict[str, Credit]:
    """The credits in a `captions.json` whose records carry `licence`, `licence_url`, `flickr_photo_id`, `flickr_url`.

    Returns `{file: Credit}`, the files spelt as `seesay.data.records` spells them. A record with only some of these
    keys is credited with what it has; one without a licence is left out, and a caption file of any other kind (another
    layout of JSON, a text file, a folder) has no credits. `captions` is credited for the human captions.
    Raises DataError if the file is missing.
    """
    if not captions_json.exists():
        raise DataError(f"{captions_json}: No such file or directory; expected a captions file; check the path.")
    try:
        records = [] if captions_json.is_dir() else read_json(captions_json)
    except DataError:
        return {}
    named = [r for r in records if isinstance(r, dict) and r.get("file")] if isinstance(records, list) else []
    return {
        str(PurePosixPath(str(record["file"]))): _credit(record, captions)
        for record in named
        if record.get("licence") or record.get("licence_url")
    }


def _credit(record: dict[str, object], captions: Credit | None) -> Credit:
    licence_url, source_url = (str(record.get(key) or "") for key in ("licence_url", "flickr_url"))
    photograph = record.get("flickr_photo_id")
    return Credit(
        author=f"Flickr {photograph}" if photograph else "Flickr" if source_url else "",
        licence=_licence_name(licence_url) or str(record.get("licence") or licence_url),
        licence_url=licence_url,
        source_url=source_url,
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
