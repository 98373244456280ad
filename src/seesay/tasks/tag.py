"""Tagging words, or frames: sentences in columns, and how many words get the right tag."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from seesay.data.conll import Sentence, known_words, read_conll
from seesay.data.frame_file import ENDINGS, read_frames
from seesay.data.frames import Frames, FrameSet
from seesay.data.sequences import TagSet, hold_out
from seesay.engines import Engine
from seesay.errors import DataError
from seesay.files import make_folder, replace_file, write_json
from seesay.metrics.tagging import TagScores, evaluate_tags
from seesay.recipe import TagRecipe, locate
from seesay.restoring import recipe_in
from seesay.tagger import Tagger, sizes_of
from seesay.text.lexicon import Lexicon
from seesay.text.spans import check_tags, is_whole
from seesay.text.splits import known_split
from seesay.training.folder import RunFolder


class Part(NamedTuple):
    """One file's sequences, and what a person should know of them."""

    sequences: list[Any]  # all Sentence, or all Frames
    notices: tuple[str, ...] = ()

    @property
    def tags(self) -> list[tuple[str, ...]]:
        """The right tags of each sequence."""
        return [one.tags for one in self.sequences]

    @property
    def of_frames(self) -> bool:
        """Whether the sequences are of frames, not of words."""
        return isinstance(self.sequences[0], Frames)


@dataclass(frozen=True)
class Tags:
    """See `seesay.tasks.Material`."""

    lexicon: Lexicon
    train: TagSet | FrameSet
    dev: TagSet | FrameSet
    judged: Part  # what `dev` was made of
    recipe: TagRecipe
    notices: tuple[str, ...] = ()

    @classmethod
    def gather(cls, recipe: TagRecipe, folder: RunFolder, begun: bool = False) -> Tags:
        """Everything that the recipe names; nothing is written."""
        train, dev = train_and_dev(recipe)
        _check_constraints(train, recipe)
        lexicon = Lexicon.load(folder.vocabulary) if begun else lexicon_of(train, recipe)
        kind: type[FrameSet] | type[TagSet] = FrameSet if train.of_frames else TagSet
        sets = kind.build(train.sequences, lexicon), kind.build(dev.sequences, lexicon, unknown_tags=True)
        if isinstance(sets[0], FrameSet) and isinstance(sets[1], FrameSet):
            _check_sizes(sets[0], sets[1], recipe)
        notices = (*train.notices, *dev.notices, *_untaught(dev, lexicon), *_broken(dev, recipe))
        return cls(lexicon, *sets, dev, recipe, notices)

    @property
    def sizes(self) -> dict[str, Any]:
        """The sizes of a model that the data decide; of frames, what to standardise them by, too."""
        if not isinstance(self.train, FrameSet):
            return sizes_of(self.lexicon, self.recipe.model.settings)
        usual = {"mean": self.train.mean.tolist(), "deviation": self.train.deviation.tolist()}
        return sizes_of(self.lexicon, self.recipe.model.settings, self.train.frames.shape[1]) | usual

    @property
    def about(self) -> dict[str, Any]:
        """What a checkpoint's header says of them."""
        model = {"frame_size": self.train.frames.shape[1]} if isinstance(self.train, FrameSet) else {}
        return {"model": model, "vocabulary": self.lexicon.digest}

    @cached_property
    def digests(self) -> dict[str, str]:
        """SHA-256 of everything that training reads; none of it changes, and every checkpoint says it."""
        return {"sentences": self.train.digest, "development sentences": self.dev.digest}

    def save_words(self, path: Path) -> None:
        """Write the lexicon."""
        self.lexicon.save(path)

    def scores(self, engine: Engine, model: Any, header: dict[str, Any], device: str) -> dict[str, float]:
        """The share of the words of `dev` that get the right tag, and the F1 of spans where the recipe has a scheme."""
        tagger = Tagger(engine, model, self.lexicon, header, device)
        scores = evaluate_tags(self.judged.tags, tagged(tagger, self.judged), scheme=self.recipe.data.scheme)
        spans = {"F1": scores.spans.overall.f1} if scores.spans else {}
        return {"accuracy": scores.accuracy, **spans}


def read_part(recipe: TagRecipe, file: str) -> Part:
    """The sequences of one file that the recipe names, read as its data section says."""
    data, path = recipe.data, locate(file)
    left_out: list[str] = []
    told = left_out.append if data.on_bad == "skip" else None
    found: list[Any]
    if path.suffix in ENDINGS:
        found, kind = read_frames(path, told), "sequences"
    else:
        word, tag = data.columns or (None, None)
        found, kind = read_conll(path, word, tag, encoding=data.encoding, told=told), "sentences"
    for number, tags in enumerate(Part(found).tags, start=1):
        try:
            check_tags(tags, data.scheme or "raw")
        except DataError as fault:
            raise DataError(f"{path}: {kind[:-1]} {number}: {fault} Correct it, or choose another scheme.") from None
    note = f"{path}: left out {len(left_out):,} {kind}, of which the first: {left_out[0]}" if left_out else ""
    return Part(found, (note,) if note else ())


def train_and_dev(recipe: TagRecipe) -> tuple[Part, Part]:
    """What to learn from and what to choose by."""
    train = read_part(recipe, recipe.data.train)
    if recipe.data.dev:
        dev = read_part(recipe, recipe.data.dev)
        if dev.of_frames != train.of_frames:
            kinds = ("words", "frames")
            raise DataError(
                f"{recipe.data.dev}: received {kinds[dev.of_frames]}; expected {kinds[train.of_frames]}, as "
                f"{recipe.data.train} has."
            )
        return train, dev
    try:
        kept, held = hold_out(train.sequences, recipe.data.dev_share, recipe.data.split_seed)
    except DataError as fault:
        raise DataError(f"{locate(recipe.data.train)}: {fault}") from None
    return Part(kept, train.notices), Part(held)


def lexicon_of(train: Part, recipe: TagRecipe) -> Lexicon:
    """The words, affixes, shapes and tags of the training sentences; of frames, the tags alone."""
    if train.of_frames:
        return Lexicon((), tuple(sorted({tag for tags in train.tags for tag in tags})))
    data = recipe.data
    return Lexicon.build(
        [sentence.words for sentence in train.sequences],
        train.tags,
        minimum_count=data.minimum_count,
        rare_affixes=data.rare_affixes,
        prefixes=data.prefixes,
        suffixes=data.suffixes,
        shape=data.shape,
        lower=data.lower,
        digits=data.digits,
        characters=recipe.model.settings.get("characters") is True,
    )


def tagged(tagger: Tagger, part: Part, progress: Callable[[int, int], None] | None = None) -> list[tuple[str, ...]]:
    """What the tagger says of a part's words or frames."""
    if part.of_frames:
        return tagger.tag_frames([one.frames for one in part.sequences], progress)
    return tagger.tag([sentence.words for sentence in part.sequences], progress)


def evaluate(
    run: Path | str, part: str = "dev", progress: Callable[[int, int], None] | None = None
) -> tuple[TagScores, Path]:
    """Tag and score a split with the best checkpoint of `run`; returns the scores and where the tagged words lie.

    Scores go to scores/SPLIT.json of the run folder, and words with the right tag and the found one to
    predictions/SPLIT.conll, in columns; frames are named by their sequence and their number.
    """
    recipe, folder, name = recipe_in(run, TagRecipe), RunFolder(run), known_split(part)
    if name == "test" and not recipe.data.test:
        raise DataError(f"{folder.recipe}: data.test is missing; expected the file of the test sentences; add it.")
    train, dev = train_and_dev(recipe)
    chosen = {"train": train, "dev": dev}.get(name) or read_part(recipe, recipe.data.test)
    tagger = Tagger.open(run)
    found = tagged(tagger, chosen, progress)
    more: dict[str, Any] = {"scheme": recipe.data.scheme, "known_tags": tagger.lexicon.tags}
    if not chosen.of_frames:
        more["words"] = [sentence.words for sentence in chosen.sequences]
        more["known_words"] = known_words(train.sequences)
    scores = evaluate_tags(chosen.tags, found, **more)
    file = folder.predictions(name, "conll")
    make_folder(file.parent)
    replace_file(file, _columns(chosen.sequences, found).encode())
    write_json(folder.scores(name), scores.to_json() | {"checkpoint_step": tagger.header["progress"]["step"]})
    return scores, file


def _columns(sequences: Sequence[Sentence | Frames], found: Sequence[tuple[str, ...]]) -> str:
    """A word, its tag and the one that was found a line, a blank line after each sentence."""
    return "".join(
        "".join("\t".join(row) + "\n" for row in zip(_names(one), one.tags, tags, strict=True)) + "\n"
        for one, tags in zip(sequences, found, strict=True)
    )


def _names(one: Sentence | Frames) -> Sequence[str]:
    return [f"{one.name}:{n}" for n in range(len(one.tags))] if isinstance(one, Frames) else one.words


def _check_constraints(train: Part, recipe: TagRecipe) -> None:
    """Sentences to learn from that the model's constraints would call impossible."""
    scheme = recipe.model.settings.get("constraints")
    for number, tags in enumerate(train.tags if scheme else (), start=1):
        if not is_whole(tags, recipe.data.scheme):
            raise DataError(
                f"{recipe.data.train}: sentence {number}: received '{' '.join(tags):.60}', which is not {scheme}; "
                "expected tags that model.constraints allow; correct them, or leave constraints out."
            )


def _broken(dev: Part, recipe: TagRecipe) -> tuple[str, ...]:
    """What a person should know of development data that the model's constraints would call impossible."""
    scheme = recipe.model.settings.get("constraints")
    if not scheme or not (count := sum(not is_whole(tags, recipe.data.scheme) for tags in dev.tags)):
        return ()
    return (
        f"development data: tags of {count:,} of {len(dev.tags):,} sentences are not {scheme}, which model.constraints "
        "never say; they count as wrong, and the development loss means nothing.",
    )


def _check_sizes(train: FrameSet, dev: FrameSet, recipe: TagRecipe) -> None:
    sizes = train.frames.shape[1], dev.frames.shape[1]
    if sizes[0] != sizes[1]:
        raise DataError(
            f"{recipe.data.dev}: received {sizes[1]} numbers a frame; expected {sizes[0]}, as {recipe.data.train} has."
        )


def _untaught(dev: Part, lexicon: Lexicon) -> tuple[str, ...]:
    """What a person should know of development data whose tags training does not show."""
    counts: dict[str, int] = {}
    for tags in dev.tags:
        for tag in tags:
            if tag not in lexicon.tags:
                counts[tag] = counts.get(tag, 0) + 1
    if not counts:
        return ()
    named = ", ".join(f"{tag!r:.40} {count:,}" for tag, count in sorted(counts.items(), key=lambda item: -item[1])[:5])
    more = ", ..." if len(counts) > 5 else ""
    return (
        f"development data: words with a tag that training does not show: {sum(counts.values()):,} ({named}{more}); no "
        "loss counts them, and they count as wrong.",
    )
