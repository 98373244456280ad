"""Styles and scripts that stand inside a page, and the policy that allows these and nothing else."""

from __future__ import annotations

import base64
import hashlib
from importlib import resources


def part(name: str) -> str:
    """The text of one of the files beside this one, such as `page.css`."""
    return resources.files("seesay.report").joinpath(name).read_text(encoding="utf-8")


def source_hash(text: str) -> str:
    """A content-security-policy source that allows exactly this inline text.

    >>> source_hash("b { }")[:10]
    "'sha256-lB"
    """
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode('utf-8')).digest()).decode('ascii')}'"
