"""The one family of errors that seesay raises on purpose.

Each carries a single line for the person at the keyboard: what was received, what was expected and what to do.
The command line prints that line and exits with code 2; a traceback means a fault of ours.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class SeesayError(Exception):
    """Anything a person can mend: a file, a setting, a missing part."""

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))


class DataError(SeesayError):
    """A picture, caption, feature or vocabulary file is not what it should be."""


class RecipeError(SeesayError):
    """A recipe file or a --set option is not understood."""


class CheckpointError(SeesayError):
    """A checkpoint is missing, damaged or belongs to something else."""


class TrainingDiverged(SeesayError):
    """The loss or a gradient stopped being finite; raised before the weights are touched."""


class MissingPart(SeesayError):
    """An optional part (a package, Java) is not installed."""


class UnknownName(SeesayError):
    """A name that is not among the known ones; the nearest is suggested.

    >>> print(UnknownName("model", "show_tel", ["show_tell", "s2"]))
    Unknown model 'show_tel'. Did you mean 'show_tell'? Known: s2, show_tell.
    """

    def __init__(self, kind: str, received: str, known: Iterable[str]) -> None:
        names = sorted(known)
        near = difflib.get_close_matches(received, names, n=1)
        hint = f" Did you mean '{near[0]}'?" if near else ""
        super().__init__(f"Unknown {kind} '{received}'.{hint} Known: {', '.join(names)}.")
