"""Frames: sequences of real vectors with a label for each, such as the sound of words, and batches of them.

B sequences of up to T frames, D numbers a frame. See `seesay.data.frame_file` for how they lie in files.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from seesay.data.ragged import Ragged, filled, rows_of
from seesay.errors import DataError
from seesay.text.lexicon import UNKNOWN_TAG, Lexicon


class Frames(NamedTuple):
    """One sequence: its name, its frames (T, D) float32 and the label of each.

    >>> Frames("one", np.zeros((2, 3), np.float32), ("silence", "speech")).tags
    ('silence', 'speech')
    """

    name: str
    frames: NDArray[np.float32]
    tags: tuple[str, ...]


@dataclass(frozen=True)
class FrameBatch:
    """Some sequences and their labels, filled up to the longest."""

    items: tuple[str, ...]  # their names, for messages
    frames: Any  # (B, T, D) float32, 0 beyond a sequence's end
    lengths: Any  # (B,) int64
    tags: Any  # (B, T) int64, -1 beyond the end, and for a label that the lexicon does not know

    @property
    def inputs(self) -> tuple[Any, ...]:
        """What a tagger is called with."""
        return self.frames, self.lengths

    def map(self, fn: Callable[[Any], Any]) -> FrameBatch:
        """The same batch with `fn` applied to every array, such as one that moves it to a device."""
        return FrameBatch(self.items, fn(self.frames), fn(self.lengths), fn(self.tags))


@dataclass(frozen=True)
class FrameSet(Ragged[FrameBatch]):
    """Sequences ready to be cut into batches. Their labels are the tags of the lexicon, which has no columns.

    >>> some = [Frames("a", np.ones((2, 3), np.float32), ("x", "y")), Frames("b", np.ones((1, 3), np.float32), ("y",))]
    >>> frames = FrameSet.build(some, Lexicon((), ("x", "y")))
    >>> [batch.tags.tolist() for batch in frames.in_order(2)], frames.mean.tolist()
    ([[[0, 1], [1, -1]]], [1.0, 1.0, 1.0])
    """

    names: tuple[str, ...]
    frames: NDArray[np.float32]  # (all frames, D)
    tags: NDArray[np.int64]  # (all frames,)
    lengths: NDArray[np.int64]  # (sequences,)

    @classmethod
    def build(cls, sequences: Sequence[Frames], lexicon: Lexicon, *, unknown_tags: bool = False) -> FrameSet:
        """Put the sequences together.

        Raises DataError for no sequence at all, for one whose frames have another size, and for a label that the
        lexicon does not know; with `unknown_tags`, which is for dev and test, its id is -1: no loss counts it, and
        whatever a tagger says there is wrong.
        """
        if not sequences:
            raise DataError("received no sequence; expected at least one; give a file that holds some.")
        size = sequences[0].frames.shape[1]
        tags = [lexicon.encode_tags(one.tags) for one in sequences]
        for one, ids in zip(sequences, tags, strict=True):
            if one.frames.shape[1] != size:
                raise DataError(
                    f"sequence '{one.name:.60}': received {one.frames.shape[1]} numbers a frame; expected {size}, as "
                    f"'{sequences[0].name:.60}' has; make them alike."
                )
            if UNKNOWN_TAG in ids and not unknown_tags:
                label = one.tags[ids.index(UNKNOWN_TAG)]
                raise DataError(
                    f"sequence '{one.name:.60}': received the label {label[:40]!r}; expected one of the "
                    f"{len(lexicon.tags)} labels of the training sequences; correct it."
                )
        return cls(
            tuple(one.name for one in sequences),
            np.concatenate([one.frames for one in sequences]),
            np.array([tag for ids in tags for tag in ids], dtype=np.int64),
            np.array([len(ids) for ids in tags], dtype=np.int64),
        )

    @property
    def mean(self) -> NDArray[np.float32]:
        """The mean (D,) of each number over all frames."""
        return np.asarray(self.frames.mean(0, dtype=np.float64), dtype=np.float32)

    @property
    def deviation(self) -> NDArray[np.float32]:
        """The standard deviation (D,) of each number over all frames; 1 for one that never changes."""
        found = self.frames.std(0, dtype=np.float64)
        return np.where(found > 0, found, 1).astype(np.float32)

    @property
    def digest(self) -> str:
        """SHA-256 over all frames and labels: a run resumes on the same data only."""
        digest = hashlib.sha256(str(self.frames.shape).encode())
        for array, kind in ((self.frames, "<f4"), (self.tags, "<i8"), (self.lengths, "<i8")):
            digest.update(array.astype(kind).tobytes())
        return digest.hexdigest()

    def batch(self, chosen: NDArray[np.intp]) -> FrameBatch:
        """The chosen sequences, filled up to the longest."""
        rows, real = rows_of(self.lengths, chosen)
        frames, tags = filled(self.frames[rows], real, 0), filled(self.tags[rows], real, UNKNOWN_TAG)
        return FrameBatch(tuple(self.names[i] for i in chosen), frames, self.lengths[chosen], tags)
