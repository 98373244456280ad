"""What the parts of a data set are called."""

from __future__ import annotations

import re

from seesay.errors import UnknownName

_SPLITS = {
    "train": ("train", "training", "restval"),
    "dev": ("dev", "development", "val", "valid", "validation"),
    "test": ("test", "testing"),
}
_CANONICAL = {name: split for split, names in _SPLITS.items() for name in names}


def canonical_split(name: str) -> str | None:
    """ "train", "dev" or "test" for any usual spelling of it, with or without a year; None for anything else.

    >>> canonical_split("val2017"), canonical_split("restval"), canonical_split("trian")
    ('dev', 'train', None)
    """
    return _CANONICAL.get(re.sub(r"20\d\d$", "", name.lower()))


def known_split(name: str) -> str:
    """ "train", "dev" or "test" for any usual spelling of it; UnknownName for anything else.

    >>> known_split("val")
    'dev'
    """
    found = canonical_split(name)
    if found is None:
        raise UnknownName("split", name, _SPLITS)
    return found
