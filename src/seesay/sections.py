"""The sections of recipes, and the recipes of all tasks: their keys, their types and what they may hold."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

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
    """Which tagged sentences, in columns: one token a line, a blank line between sentences, or CoNLL-U."""

    train: str
    dev: str = ""  # where it is missing, a part of `train` is kept aside
    dev_share: float = Field(0.1, gt=0, lt=1)
    test: str = ""
    minimum_count: int = Field(1, ge=1)  # rarer words are all one unknown word


class PictureWords(Section):
    """Which pictures and captions, of whose words so many become concepts that a picture can show."""

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
    concepts: str
    minimum_count: int = Field(1, ge=1)
    max_words: int = Field(20, ge=1)


class Labels(Section):
    """Which labelled texts: one a line, or a file for each label."""

    train: str
    dev: str = ""  # where it is missing, a part of `train` is kept aside
    dev_share: float = Field(0.1, gt=0, lt=1)
    test: str = ""
    minimum_count: int = Field(1, ge=1)  # rarer words are all one unknown word
    max_words: int = Field(400, ge=1)


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
    """How sentences are searched for when the run is evaluated and used: see `seesay.decoding.settings.Decoding`."""

    method: Literal["greedy", "beam", "sample"] = "beam"
    beam: int = Field(5, ge=1, le=1000)
    max_length: int = Field(20, ge=1, le=1000)
    length_penalty: float = 0.0
    groups: int = Field(1, ge=1)
    diversity: float = Field(0.5, ge=0, le=1000)
    min_length: int = Field(1, ge=0, le=1000)
    no_repeat_ngram: int = Field(0, ge=0, le=1000)
    forbidden: str = ""
    required: str = ""
    deduplicate: bool = False
    faithful: bool = False


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
