"""A trained tagger in use: from sentences, or sequences of frames, to tags."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seesay.arguments import listed, shortened
from seesay.data.conll import Sentence
from seesay.data.frame_file import read_frames
from seesay.data.frames import FrameBatch, Frames, FrameSet
from seesay.data.sequences import TagBatch, TagSet
from seesay.engines import Engine
from seesay.errors import DataError
from seesay.restoring import OF_ALL, open_run
from seesay.text.lexicon import Lexicon

BATCH = 64
LONGEST = 10_000  # words; what fits in memory everywhere
_HEADER = {"task": str} | OF_ALL  # what a checkpoint must say of itself to be used
Progress = Callable[[int, int], None]  # (sequences done, of how many)


@dataclass(frozen=True)
class Tagger:
    """A model with its words and tags; make one with `Tagger.open(run)`."""

    engine: Engine
    model: Any
    lexicon: Lexicon
    header: dict[str, Any]  # of the checkpoint
    device: str = "cpu"

    @classmethod
    def open(cls, run: Path | str, device: str = "cpu", engine: str | None = None) -> Tagger:
        """Read the best checkpoint of a run folder, or a given checkpoint file within one."""
        opened = open_run(run, "tag", _HEADER, Lexicon.load)
        about = opened.header["model"]
        sizes = sizes_of(opened.words, about["settings"], about.get("frame_size", 0))
        chosen, model = opened.restore(sizes, engine, device)
        return cls(chosen, model, opened.words, opened.header, device)

    @property
    def frame_size(self) -> int:
        """How many numbers a frame has; 0 for a tagger of words."""
        return int(self.header["model"].get("frame_size", 0))

    def tag(self, sentences: Sequence[Sequence[str]], progress: Progress | None = None) -> list[tuple[str, ...]]:
        """A tag for each word of each sentence; a sentence of no words gets none.

        Raises DataError for a sentence that is a string instead of a list of words.
        """
        if self.frame_size:
            raise DataError(f"words: received by a tagger of frames; expected frames of {self.frame_size} numbers.")
        whole = listed(sentences, "sentences", "a list of sentences, each a list of words")
        sentences = [_split_already(words, number) for number, words in enumerate(whole, start=1)]
        for words in sentences:
            _check_length(len(words), f"sentence '{' '.join(words[:3]):.60} ...'", "words")
        return self._found([len(words) for words in sentences], self._words(sentences), progress)

    def tag_frames(
        self, sequences: Sequence[NDArray[np.float32]], progress: Progress | None = None
    ) -> list[tuple[str, ...]]:
        """A tag for each frame of each sequence (T, D)."""
        sequences = listed(sequences, "frames", "a list of arrays, one a sequence")
        for number, frames in enumerate(sequences, start=1):
            if not isinstance(frames, np.ndarray):
                raise DataError(f"sequence {number}: received {shortened(frames)}; expected an array of frames (T, D).")
            if not self.frame_size or frames.ndim != 2 or frames.shape[1] != self.frame_size:
                wanted = f"frames of {self.frame_size} numbers" if self.frame_size else "words, as in training"
                raise DataError(f"sequence {number}: received frames {frames.shape}; expected {wanted}.")
            _check_length(len(frames), f"sequence {number}", "frames")
        return self._found([len(frames) for frames in sequences], self._frames(sequences), progress)

    def tag_file(self, file: Path | None) -> list[tuple[str, tuple[str, ...]]]:
        """The names of the sequences in a file of frames, each with a tag for each frame; DataError without frames."""
        if file is None or not self.frame_size:
            kind = f"frames of {self.frame_size} numbers" if self.frame_size else "words"
            raise DataError(
                f"{file or 'standard input'}: received for a tagger of {kind}; expected "
                f"{'--frames FILE' if self.frame_size else 'words on standard input'}; give it these."
            )
        sequences = read_frames(file, labelled=False)
        if (size := sequences[0].frames.shape[1]) != self.frame_size:
            raise DataError(f"{file}: received {size} numbers a frame; expected {self.frame_size}, as in training.")
        found = self.tag_frames([one.frames for one in sequences])
        return [(one.name, tags) for one, tags in zip(sequences, found, strict=True)]

    def _found(
        self, lengths: Sequence[int], batch_of: Callable[[Sequence[int]], Any], progress: Progress | None
    ) -> list[tuple[str, ...]]:
        """The tags of sequences of these lengths; `batch_of` some of their places makes what the model reads."""
        found: list[tuple[str, ...]] = [()] * len(lengths)
        places = [place for place, length in enumerate(lengths) if length]
        places.sort(key=lambda place: lengths[place])  # of like length in a batch: no work on padding
        for done in range(0, len(places), BATCH):
            some = places[done : done + BATCH]
            for place, ids in zip(some, self.engine.tag(self.model, batch_of(some), self.device), strict=True):
                found[place] = tuple(self.lexicon.tags[i] for i in ids.tolist())
            if progress:
                progress(min(done + BATCH, len(places)), len(places))
        return found

    def _words(self, sentences: Sequence[Sequence[str]]) -> Callable[[Sequence[int]], TagBatch]:
        def batch_of(places: Sequence[int]) -> TagBatch:
            some = [Sentence(tuple(sentences[place]), ("",) * len(sentences[place])) for place in places]
            return next(TagSet.build(some, self.lexicon, unknown_tags=True).in_order(len(some)))

        return batch_of

    def _frames(self, sequences: Sequence[NDArray[np.float32]]) -> Callable[[Sequence[int]], FrameBatch]:
        def batch_of(places: Sequence[int]) -> FrameBatch:
            some = [Frames("", sequences[place], ("",) * len(sequences[place])) for place in places]
            return next(FrameSet.build(some, self.lexicon, unknown_tags=True).in_order(len(some)))

        return batch_of


def sizes_of(lexicon: Lexicon, settings: Mapping[str, Any], frame_size: int = 0) -> dict[str, Any]:
    """The sizes of a tagger with these settings that its data decide.

    >>> sizes_of(Lexicon((("dog",),), ("NN",)), {})
    {'tags': 1, 'sizes': (3,)}
    """
    sizes: dict[str, Any] = {"tags": len(lexicon.tags)}
    sizes |= {"frame_size": frame_size} if frame_size else {"sizes": lexicon.sizes}
    if lexicon.characters:
        sizes["character_count"] = lexicon.character_count
    if settings.get("constraints"):
        sizes["names"] = lexicon.tags
    return sizes


def _split_already(words: Any, number: int) -> list[str]:
    """The words of the sentence of that number, from 1; DataError for a text, whose letters would be tagged."""
    if isinstance(words, str):
        raise DataError(
            f"sentence {number}: received the text {words!r:.60}; expected a list of words; split it, as .split() does."
        )
    found = listed(words, f"sentence {number}", "a list of words")
    if other := [word for word in found if not isinstance(word, str)]:
        raise DataError(f"sentence {number}: received {shortened(other[0])} for a word; expected text; make it one.")
    return found


def _check_length(length: int, where: str, what: str) -> None:
    if length > LONGEST:
        raise DataError(f"{where}: received {length:,} {what}; expected at most {LONGEST:,}; split it.")
