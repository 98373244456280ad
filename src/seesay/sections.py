"""The sections of recipes, and the recipes of all tasks: their keys, their types and what they may hold."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from seesay.decoding.settings import Decoding as Search
from seesay.errors import SeesayError
from seesay.stages import CaptionStage, ClassifyStage, ConceptStage, Section, Stage, TagStage


class Data(Section):
    """Which pictures and captions. A path that starts with "seesay:" lies in the package."""

    captions: str
    features: str
    flipped: str = ""  # features of the mirrored pictures, if training should use them
    pictures: str = ""  # the folder of the pictures, for reports and for extraction where `features` is missing
    minimum_count: int = Field(4, ge=1)
    max_words: int = Field(24, ge=1)


class Sentences(Section):
    """Which tagged sentences, in columns: one token a line, a blank line between sentences, or CoNLL-U.

    Files that end in .npz, .h5 or .hdf5 hold frames instead, real vectors with a label each. Where `dev` names no file,
    a share of `train` is kept aside, drawn by `split_seed`: runs of other seeds choose by the same part. `scheme` says
    how tags mean spans, which are then scored. What is seen of a word besides itself: see `seesay.text.lexicon.Sight`.
    """

    train: str
    dev: str = ""
    dev_share: float = Field(0.1, gt=0, lt=1)
    split_seed: int = Field(1, ge=0, lt=2**63)
    test: str = ""
    columns: tuple[int, ...] = Field((), max_length=2, strict=False)  # of word and tag, from 0; else as files suggest
    encoding: str = "utf-8"
    on_bad: Literal["stop", "skip"] = "stop"  # of sentences with a line that cannot be read; of frames likewise
    scheme: Literal["", "BIO", "BIOES", "raw"] = ""
    minimum_count: int = Field(1, ge=1)  # rarer words are all one unknown word
    rare_affixes: int = Field(2, ge=1)  # rarer affixes, shapes and letters likewise
    prefixes: int = Field(3, ge=0, le=20)
    suffixes: int = Field(4, ge=0, le=20)
    shape: bool = True
    lower: bool = True
    digits: bool = True  # every digit counts as 0


class PictureWords(Section):
    """Which pictures and captions, of whose content words the commonest become the concepts that a picture can show."""

    captions: str
    features: str
    flipped: str = ""
    pictures: str = ""
    concept_count: int = Field(1000, ge=1)


class Questions(Section):
    """Which pictures and questions about them; `concepts` is the run of the model that says what a picture shows."""

    questions: str
    features: str
    flipped: str = ""
    pictures: str = ""
    concepts: str = Field(min_length=1)
    minimum_count: int = Field(1, ge=1)
    max_words: int = Field(20, ge=1)
    hidden_answers: float = Field(0.0, ge=0, le=1)  # the share of answers that training does not show


class Labels(Section):
    """Which labelled texts: a file of lines `LABEL<TAB>TEXT`, a folder of LABEL.txt, or a path with a * for the label.

    What `dev` and `test` do not name is held out of `train`, from each label alike, by `split_seed`: runs of other
    seeds keep the same parts. With `on_bad` "skip", lines without a label or a text are left out and counted, and a
    label of too few texts to hold some out is trained on alone. `tokens` says how words are found: "spaces" where they
    stand apart already, "ptb" for texts as people write them.
    """

    train: str
    dev: str = ""
    dev_share: float = Field(0.1, gt=0, lt=1)
    test: str = ""
    test_share: float = Field(0.0, ge=0, lt=1)
    split_seed: int = Field(1, ge=0, lt=2**63)
    encoding: str = "utf-8"
    on_bad: Literal["stop", "skip"] = "stop"
    tokens: Literal["spaces", "ptb"] = "ptb"
    lower: bool = True
    prefixes: int = Field(0, ge=0, le=10)  # ids for a word's first letters, and its last: see `seesay.text.lexicon`
    suffixes: int = Field(0, ge=0, le=10)
    minimum_count: int = Field(1, ge=1)  # rarer words are all one unknown word
    max_words: int = Field(400, ge=1)  # a longer text is cut there


class Model(BaseModel):
    """The model's file name, and the settings of its Config."""

    model_config = ConfigDict(extra="allow", frozen=True)
    name: str

    @property
    def settings(self) -> dict[str, Any]:
        """Everything but the name."""
        return dict(self.model_extra or {})


class Training(Section):
    """How training runs on this machine. `save_every` is in steps, 0 saves at the end of each epoch only."""

    engine: Literal["torch", "numpy"] = "torch"
    precision: Literal["float32", "bf16"] = "float32"
    device: str = "cpu"
    start_from: str = ""  # a run whose best weights are begun with, where names and shapes agree
    save_every: int = Field(0, ge=0)
    log_every: int = Field(10, ge=1)


class Decoding(Section):
    """How sentences are searched for when the run is evaluated and used: see `seesay.decoding.settings.Decoding`.

    `temperature`, `top_k`, `top_p` and `candidates` are for the methods that draw: of so many candidates, the likeliest
    is the caption by "sample", and by "consensus" that sentence of the beam which agrees best with all of them.
    A `forbidden` word that the vocabulary does not have is passed over; a `required` one is refused before training.
    """

    method: Literal["greedy", "beam", "sample", "consensus"] = "beam"
    beam: int = Field(5, ge=1, le=1000)
    max_length: int = Field(20, ge=1, le=1000)
    length_penalty: float = 0.0
    temperature: float = Field(1.0, ge=0.01, le=100)
    top_k: int = Field(0, ge=0)
    top_p: float = Field(1.0, gt=0, le=1)
    candidates: int = Field(1, ge=1, le=10_000)
    groups: int = Field(1, ge=1)
    diversity: float = Field(0.5, ge=0, le=1000)
    min_length: int = Field(1, ge=0, le=1000)
    no_repeat_ngram: int = Field(0, ge=0, le=1000)
    forbidden: str = ""
    required: str = ""
    deduplicate: bool = False
    faithful: bool = False

    @model_validator(mode="after")
    def _has_effect(self) -> Self:
        for name, usual in (("temperature", 1), ("top_k", 0), ("top_p", 1), ("candidates", 1)):
            value = getattr(self, name)
            if self.method not in ("sample", "consensus") and value != usual:
                raise ValueError(
                    f"{name}: received {value:g} with method '{self.method}', which draws nothing; expected {usual}, "
                    "or method 'sample' or 'consensus'"
                )
        return self

    @model_validator(mode="after")
    def _is_possible(self) -> Self:
        """A search that could never be made is refused here, not after training: what it may be, the search says."""
        try:
            Search(**self.model_dump())
        except SeesayError as fault:
            raise ValueError(str(fault).removeprefix("decoding.").removesuffix(".")) from None
        return self


class _Recipe(Section):
    name: str = Field(pattern=r"^\w[\w .-]*$", max_length=100)  # names the run's folder, too
    seed: int = Field(1, ge=0, lt=2**63)
    notice: str = ""  # said plainly at the head of the report
    model: Model
    training: Training = Training()


class Recipe(_Recipe):
    """All settings of one run that trains a captioner."""

    task: Literal["caption"] = "caption"
    data: Data
    stages: tuple[CaptionStage, ...] = Field(min_length=1, strict=False)
    decoding: Decoding = Decoding()


class AskRecipe(_Recipe):
    """All settings of one run that learns to ask about pictures."""

    task: Literal["ask"] = "ask"
    data: Questions
    stages: tuple[Stage, ...] = Field(min_length=1, strict=False)
    decoding: Decoding = Decoding()

    @model_validator(mode="after")
    def _searches(self) -> Self:
        if self.decoding.method == "consensus":
            raise ValueError("decoding.method: received 'consensus', which is for captions; expected 'beam'")
        return self


class ConceptRecipe(_Recipe):
    """All settings of one run that learns which concepts a picture shows."""

    task: Literal["concepts"] = "concepts"
    data: PictureWords
    stages: tuple[ConceptStage, ...] = Field(min_length=1, strict=False)


class TagRecipe(_Recipe):
    """All settings of one run that trains a tagger."""

    task: Literal["tag"] = "tag"
    data: Sentences
    stages: tuple[TagStage, ...] = Field(min_length=1, strict=False)

    @model_validator(mode="before")
    @classmethod
    def _smooths_words_alone(cls, content: Any) -> Any:
        """With a CRF, which weighs whole sentences, a stage that does not say `label_smoothing` has none."""
        model, stages = (content.get(key) for key in ("model", "stages")) if isinstance(content, dict) else (None, None)
        if not isinstance(model, dict) or not model.get("crf") or not isinstance(stages, list | tuple):
            return content
        none = {"label_smoothing": 0.0}
        return content | {"stages": [none | stage if isinstance(stage, dict) else stage for stage in stages]}

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        settings = self.model.settings
        for number, stage in enumerate(self.stages):
            if stage.select_by == "F1" and not self.data.scheme:
                raise ValueError(f"stages.{number}.select_by: received 'F1' without data.scheme; expected BIO or BIOES")
            if stage.label_smoothing and settings.get("crf"):
                raise ValueError(
                    f"stages.{number}.label_smoothing: received {stage.label_smoothing:g} with model.crf, which weighs "
                    "whole sentences; expected 0"
                )
        if len(self.data.columns) == 1:
            raise ValueError(f"data.columns: received {list(self.data.columns)}; expected the word's and the tag's")
        if (asked := settings.get("constraints")) and asked != self.data.scheme:
            raise ValueError(
                f"model.constraints: received {asked!r:.40} with data.scheme '{self.data.scheme}'; expected the same"
            )
        return self


class ClassifyRecipe(_Recipe):
    """All settings of one run that learns to label whole texts."""

    task: Literal["classify"] = "classify"
    data: Labels
    stages: tuple[ClassifyStage, ...] = Field(min_length=1, strict=False)


AnyRecipe = Recipe | AskRecipe | ConceptRecipe | TagRecipe | ClassifyRecipe
KINDS: dict[str, type[AnyRecipe]] = {
    "caption": Recipe,
    "ask": AskRecipe,
    "concepts": ConceptRecipe,
    "tag": TagRecipe,
    "classify": ClassifyRecipe,
}
