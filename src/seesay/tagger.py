"""A trained tagger in use: from sentences to tags, and its scores on a whole split."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seesay.checkpoint import read_checkpoint
from seesay.data.conll import Sentence
from seesay.data.sequences import TagBatch, TagSet
from seesay.engines import Engine
from seesay.errors import DataError
from seesay.restoring import best_of, check_header, restore, words_of
from seesay.text.lexicon import Lexicon

BATCH = 64
LONGEST = 10_000  # words; what fits in memory everywhere
_HEADER = {"task": str, "vocabulary": str, "model.name": str, "model.settings": dict, "progress.step": int}


@dataclass(frozen=True)
class Tagger:
    """A model with its words and tags; make one with `Tagger.open(run)`."""

    engine: Engine
    model: Any
    lexicon: Lexicon
    header: dict[str, Any]  # of the checkpoint
    device: str = "cpu"

    @classmethod
    def open(cls, run: Path, device: str = "cpu", engine: str | None = None) -> Tagger:
        """Read the best checkpoint of a run folder, or a given checkpoint file within one."""
        file = best_of(run)
        arrays, header = read_checkpoint(file)
        check_header(header, _HEADER, "tag", file)
        lexicon = words_of(file, header, Lexicon.load)
        sizes = {"sizes": lexicon.sizes, "tags": len(lexicon.tags)}
        chosen, model = restore("tag", file, arrays, header, sizes, engine, device)
        return cls(chosen, model, lexicon, header, device)

    def tag(
        self, sentences: Sequence[Sequence[str]], progress: Callable[[int, int], None] | None = None
    ) -> list[tuple[str, ...]]:
        """A tag for each word of each sentence; a sentence of no words gets none."""
        found: list[tuple[str, ...]] = [()] * len(sentences)
        places = [place for place, words in enumerate(sentences) if len(words)]
        places.sort(key=lambda place: len(sentences[place]))  # of like length in a batch: no work on padding
        for done in range(0, len(places), BATCH):
            some = places[done : done + BATCH]
            batch = self._batch([sentences[place] for place in some])
            for place, ids in zip(some, self.engine.tag(self.model, batch, self.device), strict=True):
                found[place] = tuple(self.lexicon.tags[i] for i in ids.tolist())
            if progress:
                progress(min(done + BATCH, len(places)), len(places))
        return found

    def _batch(self, sentences: Sequence[Sequence[str]]) -> TagBatch:
        for words in sentences:
            if len(words) > LONGEST:
                raise DataError(
                    f"sentence '{' '.join(words[:3]):.60} ...': received {len(words):,} words; expected at most "
                    f"{LONGEST:,}; split it."
                )
        untagged = [Sentence(tuple(words), ("",) * len(words)) for words in sentences]
        return next(TagSet.build(untagged, self.lexicon, unknown_tags=True).in_order(len(untagged)))
