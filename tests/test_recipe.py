"""Recipes: what is read, what is refused, and what a person is told."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from seesay.errors import RecipeError, SeesayError
from seesay.recipe import PACKAGE, SelfCriticalStage, Stage, find_recipe, locate, read_recipe, write_recipe

RECIPES = sorted((Path(__file__).resolve().parent.parent / "recipes").glob("*.toml"))
SMALL = """
name = "x"
[data]
captions = "c.json"
features = "f.h5"
[model]
name = "attend_tell"
dropout = 0.5
[[stages]]
epochs = 2
[[stages]]
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "x.toml"
    path.write_text(SMALL, encoding="utf-8")
    return path


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_seesay_s_own_recipes_are_complete_and_short(path: Path) -> None:
    recipe = read_recipe(path)
    assert recipe.name == path.stem == find_recipe(path.stem).stem
    assert path.read_text(encoding="utf-8").count("\n") <= 40


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_survives_being_written(path: Path, tmp_path: Path) -> None:
    recipe = read_recipe(path, ["stages.0.learning_rate=3", 'notice="two\\nlines, a \\"quote\\" and é"'])
    copy = tmp_path / "copy.toml"
    copy.write_bytes(write_recipe(recipe))
    assert read_recipe(copy) == recipe
    written = tomllib.loads(copy.read_text(encoding="utf-8"))
    everything = {"engine", "precision", "device", "start_from", "save_every", "log_every"}
    assert written["training"].keys() == everything  # all spelt out
    assert written["model"]["name"] == recipe.model.name and recipe.model.settings.items() <= written["model"].items()


def test_defaults_and_sections(recipe: Path) -> None:
    read = read_recipe(recipe)
    assert (read.seed, read.data.minimum_count, read.model.settings) == (1, 4, {"dropout": 0.5})
    assert [stage.epochs for stage in read.stages] == [2, 10]


@pytest.mark.parametrize(
    ("override", "value"),
    [
        ("stages.1.epochs=3", lambda r: r.stages[1].epochs == 3 and r.stages[0].epochs == 2),
        ("seed = 9", lambda r: r.seed == 9),
        ("model.dropout=0.25", lambda r: r.model.settings["dropout"] == 0.25),
        ("model.tied=false", lambda r: r.model.settings["tied"] is False),
        ("training.save_every=5", lambda r: r.training.save_every == 5),  # a section that the file does not have
        ("data.captions=my captions.json", lambda r: r.data.captions == "my captions.json"),
        ('data.captions="seesay:x"', lambda r: r.data.captions == "seesay:x"),
        ("data.captions=a=b", lambda r: r.data.captions == "a=b"),
        ("notice=", lambda r: r.notice == ""),
        ("stages.0.learning_rate=1", lambda r: r.stages[0].learning_rate == 1.0),
    ],
)
def test_overrides(recipe: Path, override: str, value: object) -> None:
    assert callable(value) and value(read_recipe(recipe, [override]))


@pytest.mark.parametrize("name", ["x", "my run", "flickr8k-attend_2.1", "éa", "9"])
def test_names_that_a_folder_can_bear(recipe: Path, name: str) -> None:
    assert read_recipe(recipe, [f"name='{name}'", f"seed={2**63 - 1}"]).name == name


def test_a_path_may_be_text_and_overrides_are_a_list(recipe: Path) -> None:
    assert read_recipe(str(recipe)) == read_recipe(recipe)
    assert read_recipe(str(recipe), (one for one in ["seed=12"])).seed == 12
    with pytest.raises(SeesayError, match=r"^overrides: received 'seed=12'; expected a list such as \['stages\.0\.ep"):
        read_recipe(recipe, "seed=12")
    with pytest.raises(SeesayError, match=r"^recipe: received None; expected a path, as text or a pathlib\.Path\.$"):
        read_recipe(None)  # type: ignore[arg-type]


def test_later_overrides_win(recipe: Path) -> None:
    assert read_recipe(recipe, ["seed=2", "seed=3"]).seed == 3


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("sede=3", "x.toml: Unknown key 'sede'. Did you mean 'seed'?"),
        ("data.caption='c'", "Unknown key 'data.caption'. Did you mean 'data.captions'?"),
        ("stages.0.epoch=3", "Unknown key 'stages.0.epoch'. Did you mean 'stages.0.epochs'?"),
        ("training.log_evry=3", "Unknown key 'training.log_evry'. Did you mean 'training.log_every'?"),
        ("decoding.beams=3", "Unknown key 'decoding.beams'. Did you mean 'decoding.beam'?"),
        ("trainin.device='cpu'", "Unknown key 'trainin'. Did you mean 'training'?"),
        ("stages.7.epochs=3", "--set stages.7.epochs=3: '7' is not among the entries 0 to 1."),
        ("stages.first.epochs=3", "--set stages.first.epochs=3: 'first' is not among the entries 0 to 1."),
        ("stages.-1.epochs=3", "'-1' is not among the entries 0 to 1."),
        ("stages.0=3", "--set stages.0=3: 'stages' is a list"),
        ("name.x=3", "--set name.x=3: 'name' is a value, not a section."),
        ("seed", "--set seed: expected key=value"),
        ("=3", "--set =3: expected key=value"),
        ("seed=2.5", "x.toml: seed: received 2.5; expected a whole number."),
        ("seed='3'", "seed: received '3'; expected a whole number."),
        ("seed=many", "seed: received 'many'; expected a whole number."),
        ("seed=-1", "seed: received -1; expected 0 or more."),
        (f"seed={2**63}", f"seed: received {2**63}; expected less than {2**63}."),
        ("data.minimum_count=0", "data.minimum_count: received 0; expected 1 or more."),
        ("data.captions=3", "data.captions: received 3; expected text in quotes."),
        ("stages.0.epochs=0", "stages.0.epochs: received 0; expected 1 or more."),
        ("stages.0.epochs=x", "stages.0.epochs: received 'x'; expected a whole number."),
        ("stages.0.learning_rate=fast", "stages.0.learning_rate: received 'fast'; expected a number."),
        ("stages.1.learning_rate=0", "stages.1.learning_rate: received 0; expected more than 0"),
        ("stages.0.learning_rate=nan", "stages.0.learning_rate: received nan; expected a finite number."),
        ("decoding.beam=3000000", "decoding.beam: received 3000000; expected 1000 or less."),
        ("decoding.max_length=3000000", "decoding.max_length: received 3000000; expected 1000 or less."),
        ("decoding.temperature=0", "decoding.temperature: received 0; expected 0.01 or more."),
        (
            "decoding.temperature=2",
            "decoding.temperature: received 2 with method 'beam', which draws nothing; expected 1",
        ),
        ("decoding.top_k=5", "decoding.top_k: received 5 with method 'beam', which draws nothing; expected 0"),
        ("decoding.top_p=0.9", "decoding.top_p: received 0.9 with method 'beam', which draws nothing; expected 1"),
        ("decoding.top_p=0", "decoding.top_p: received 0; expected more than 0"),
        ("decoding.candidates=4", "decoding.candidates: received 4 with method 'beam', which draws nothing"),
        ("decoding.groups=2", "x.toml: decoding.groups: received 2; expected a number that divides the beam of 5."),
        (
            "decoding.min_length=50",
            "x.toml: decoding.min_length: received 50; expected a number from 0 to max_length, 20.",
        ),
        ("decoding.length_penalty=11.0", "decoding.length_penalty: received 11.0; expected a number from -10 to 10."),
        ("decoding={required='dog', forbidden='a dog'}", "decoding.required: received 'dog', which is forbidden too"),
        (
            "decoding.method='consensus'",
            "decoding.candidates: received 1 with method 'consensus'; expected 2 or more sentences drawn, such as 100",
        ),
        ("decoding.length_penalty=nan", "decoding.length_penalty: received nan; expected a finite number."),
        ("stages.0.learning_rate=inf", "stages.0.learning_rate: received inf"),
        ("stages.0.average=1.0", "stages.0.average: received 1.0; expected less than 1"),
        ("name=", "name: received ''; expected letters, digits"),
        ("name=a/../../b", "name: received 'a/../../b'; expected letters, digits, spaces, '.', '_' and '-', beginning"),
        ("name=..", "name: received '..'; expected letters"),
        ("name=' a'", "name: received ' a'; expected letters"),
        ('name="a\\nb"', r"name: received 'a\nb'; expected letters"),
        (f"name={'n' * 101}", "expected at most 100 letters."),
        ("stages.0.label_smoothing=-0.1", "stages.0.label_smoothing"),
        ("stages.0.objective='scts'", "stages.0.objective: received 'scts'"),
        ("stages.0.select_by='CIDER'", "stages.0.select_by: received 'CIDER'"),
        ("training.precision='half'", "training.precision: received 'half'; expected 'float32' or 'bf16'."),
        ("data=3", "data: received 3; expected a section [data] with captions and features."),
        ("training=3", "training: received 3; expected a section [training]."),
        ("stages=[]", "stages: received []; expected at least one section [[stages]]."),
        ("stages=3", "stages: received 3; expected at least one section [[stages]]."),
        ("model='attend_tell'", "model: received 'attend_tell'; expected a section [model] with the model's name."),
    ],
)
def test_what_a_recipe_cannot_say_is_one_line_with_the_key(recipe: Path, override: str, message: str) -> None:
    with pytest.raises(SeesayError) as fault:
        read_recipe(recipe, [override])
    assert message in str(fault.value)
    assert "\n" not in str(fault.value)


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("name", 'expected name = "..."'),
        ("data", r"expected a section \[data\] with captions and features"),
        ("model", r"expected a section \[model\] with the model's name"),
        ("stages", r"expected at least one section \[\[stages\]\]"),
    ],
)
def test_what_is_missing_is_named(tmp_path: Path, key: str, expected: str) -> None:
    path = tmp_path / "x.toml"
    lines = {
        "name": 'name = "x"',
        "data": '[data]\ncaptions = "c"\nfeatures = "f"',
        "model": '[model]\nname = "attend_tell"',
        "stages": "[[stages]]",
    }
    path.write_text("\n".join(text for name, text in lines.items() if name != key), encoding="utf-8")
    with pytest.raises(RecipeError, match=f"x.toml: '{key}' is missing; {expected}"):
        read_recipe(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"name = ", "not valid TOML"), (b"\xff\xfe", "not valid TOML"), (b"[a]\n[a]\n", "not valid TOML")],
)
def test_what_is_not_toml_is_one_line(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "x.toml"
    path.write_bytes(content)
    with pytest.raises(RecipeError, match=message) as fault:
        read_recipe(path)
    assert "\n" not in str(fault.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="cannot be read"):
        read_recipe(tmp_path / "none.toml")
    with pytest.raises(RecipeError, match="cannot be read"):
        read_recipe(tmp_path)


def test_recipes_are_found_by_path_then_by_name(recipe: Path) -> None:
    assert find_recipe(str(recipe)) == recipe
    assert find_recipe("demo").name == "demo.toml"
    assert find_recipe("recipes/demo.toml").read_bytes() == find_recipe("demo").read_bytes()
    assert find_recipe("demo.toml") == find_recipe("demo")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("dmo", r"^dmo: no such file, nor a recipe of seesay's own\. Unknown recipe 'dmo'\. Did you mean 'demo'"),
        ("recipes/dmo.toml", r"^recipes/dmo\.toml: no such file, nor .* Unknown recipe 'dmo'\. Did you mean 'demo'"),
        ("mine.tml", r"^mine\.tml: no such file, nor a recipe of seesay's own\. Unknown recipe 'mine\.tml'\. Known: "),
        ("nosuch/demo.toml", r"^nosuch/demo\.toml: no such file; expected a recipe in TOML; check the path\.$"),
        ("./demo.toml", r"^\./demo\.toml: no such file; expected a recipe in TOML; check the path\.$"),
        ("demo/demo", r"^demo/demo: no such file; expected a recipe in TOML; check the path\.$"),
        ("photos", r"^photos: received a folder; expected a recipe, a file in TOML; name the file in it\.$"),
    ],
    ids=["name", "own path", "ending", "path", "here", "no ending", "folder"],
)
def test_a_mistyped_recipe_is_no_other_one(
    name: str, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "photos").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RecipeError, match=expected):
        find_recipe(name)


def test_a_folder_of_that_name_hides_no_recipe_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "demo").mkdir()
    monkeypatch.chdir(tmp_path)
    assert find_recipe("demo").name == "demo.toml"


def test_package_paths() -> None:
    assert locate("seesay:demo/captions.json") == PACKAGE / "data" / "demo" / "captions.json"
    assert locate("a/b.json") == Path("a/b.json")


def test_the_demonstration_says_what_its_scores_were_chosen_on() -> None:
    notice = read_recipe(find_recipe("demo")).notice
    assert "the epoch and the learning rate were chosen on the same 16 photographs" in notice


TWO_KINDS = SMALL.rstrip().removesuffix("[[stages]]") + '[[stages]]\nobjective = "self_critical"\n'


@pytest.fixture
def rewarded(tmp_path: Path) -> Path:
    path = tmp_path / "y.toml"
    path.write_text(TWO_KINDS, encoding="utf-8")
    return path


def test_stages_of_two_kinds_each_with_its_own_defaults(rewarded: Path, tmp_path: Path) -> None:
    read = read_recipe(rewarded, ["stages.1.reward={'CIDEr-D'=1, Bleu_4=0.5}", "stages.0.betas=[0.9, 0.98]"])
    first, second = read.stages
    assert isinstance(first, Stage) and isinstance(second, SelfCriticalStage)
    assert (first.objective, first.learning_rate, first.optimizer, first.betas) == (
        "cross_entropy",
        1e-3,
        "adamw",
        (0.9, 0.98),
    )
    assert (second.learning_rate, second.optimizer, second.weight_decay, second.with_end) == (5e-6, "adam", 0.0, True)
    assert second.reward == {"CIDEr-D": 1.0, "Bleu_4": 0.5}
    (tmp_path / "copy.toml").write_bytes(write_recipe(read))
    assert read_recipe(tmp_path / "copy.toml") == read


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "stages.1.objective='self_critcal'",
            "stages.1.objective: received 'self_critcal'; expected 'cross_entropy' or",
        ),
        ("stages.1.objective=3", "stages.1.objective: received '3'; expected 'cross_entropy' or 'self_critical'."),
        ("stages.1.objective=[]", "stages.1.objective: received '[]'; expected"),
        (
            "stages.1.label_smoothing=0.1",
            "y.toml: stages.1.label_smoothing: received in a stage of objective 'self_critical'; expected in one of "
            "'cross_entropy' alone; leave it out.",
        ),
        (
            "stages.0.samples=5",
            "y.toml: stages.0.samples: received in a stage of objective 'cross_entropy'; expected in one of "
            "'self_critical' alone; leave it out.",
        ),
        (
            "stages.1.reward=3",
            'stages.1.reward: received 3; expected scores with their weights, such as { "CIDEr-D" = 1.0 }.',
        ),
        ("stages.0.betas=3", "stages.0.betas: received 3; expected two numbers such as [0.9, 0.98]."),
        ("stages.1.sample=5", "Unknown key 'stages.1.sample'. Did you mean 'stages.1.samples'?"),
        (
            "stages.1.samples=1",
            "y.toml: stages.1.samples: received 1 with baseline 'leave_one_out'; expected 2 or more",
        ),
        ("stages.1.samples=0", "stages.1.samples: received 0; expected 1 or more."),
        (
            "stages.1.reward={CIDEr=1}",
            "stages.1.reward.CIDEr: received 'CIDEr'; expected 'CIDEr-D', 'Bleu_4' or 'METEOR'.",
        ),
        ("stages.1.reward={Bleu_4='x'}", "stages.1.reward.Bleu_4: received 'x'; expected a number."),
        ("stages.1.reward={Bleu_4=0}", "stages.1.reward: received {'Bleu_4': 0.0}; expected a weight other than 0"),
        ("stages.1.baseline='gready'", "stages.1.baseline: received 'gready'; expected 'leave_one_out', 'mean' or"),
        ("stages.1.method='greedy'", "stages.1.method: received 'greedy'; expected 'sample' or 'beam'."),
        ("stages.0.decay='steps'", "stages.0.factors: received [] with decay 'steps'; expected pairs"),
        ("stages.0.factors=[[1, 0.5]]", "stages.0.factors: received [[1, 0.5]] with decay 'cosine'; expected pairs"),
        ("stages.0.factors=3", "stages.0.factors: received 3; expected pairs such as [[1, 1.0], [11, 0.2]]."),
        ("stages.0.betas=[0.9]", "stages.0.betas"),
        ("stages.0.betas=[0.9, 1.0]", "stages.0.betas: received [0.9, 1.0]; expected two numbers from 0 up to"),
        ("stages.0.epochs_at_least=0", "stages.0.epochs_at_least: received 0; expected 1 or more."),
        ("stages.0.scheduled_sampling=2.0", "stages.0.scheduled_sampling: received 2.0; expected 1.0 or less."),
        ("stages.0.select_by='CIDER'", "stages.0.select_by: received 'CIDER'"),
    ],
)
def test_what_a_stage_cannot_be_is_one_line_with_the_key(rewarded: Path, override: str, message: str) -> None:
    with pytest.raises(SeesayError) as fault:
        read_recipe(rewarded, [override])
    assert message in str(fault.value)
    assert "\n" not in str(fault.value)


def test_factors_come_in_rising_order(rewarded: Path) -> None:
    with pytest.raises(RecipeError, match=r"stages.0.factors: received \[\[3, 0.5\], \[3, 0.1\]\]; expected epochs in"):
        read_recipe(rewarded, ["stages.0.decay='steps'", "stages.0.factors=[[3, 0.5], [3, 0.1]]"])
    read = read_recipe(rewarded, ["stages.0.decay='steps'", "stages.0.factors=[[1, 0.5], [3, 0.1]]"])
    assert read.stages[0].factors == ((1, 0.5), (3, 0.1))


@pytest.mark.parametrize(("name", "epoch", "rate"), [("coco-m2", 1, None), ("coco-s2", 2, 0.5e-4)])
def test_published_settings(name: str, epoch: int, rate: float | None) -> None:
    first, second = read_recipe(find_recipe(name)).stages
    assert isinstance(second, SelfCriticalStage)
    assert (first.optimizer, first.betas, first.clip, first.label_smoothing) == ("adam", (0.9, 0.98), 0.0, 0.0)
    assert (second.learning_rate, second.pictures_per_batch, second.samples, second.max_length) == (5e-6, 10, 5, 20)
    assert (second.method, second.baseline, second.documents, second.with_end) == ("beam", "mean", "caption", False)
    if rate:
        assert dict(first.factors)[epoch] * first.learning_rate == rate
    else:
        assert first.learning_rate == pytest.approx((512 * first.warmup) ** -0.5, rel=1e-4)


def test_no_name_where_one_is_needed(tmp_path: Path) -> None:
    text = 'name = "x"\ntask = "ask"\n[data]\nquestions = "q"\nfeatures = "f"\nconcepts = ""\n[model]\nname = "ivqa"\n'
    (tmp_path / "ask.toml").write_text(f"{text}[[stages]]\nepochs = 1\n", encoding="utf-8")
    with pytest.raises(RecipeError, match=r"data\.concepts: received ''; expected a name or a path\."):
        read_recipe(tmp_path / "ask.toml")


TAGS = """
name = "x"
task = "tag"
[data]
train = "t"
[model]
name = "bilstm_tagger"
crf = true
[[stages]]
[[stages]]
label_smoothing = 0.0
"""


@pytest.fixture
def tags(tmp_path: Path) -> Path:
    path = tmp_path / "tags.toml"
    path.write_text(TAGS, encoding="utf-8")
    return path


def test_with_a_crf_a_stage_that_does_not_say_smooths_nothing(tags: Path, tmp_path: Path) -> None:
    read = read_recipe(tags)
    assert [stage.label_smoothing for stage in read.stages] == [0.0, 0.0]
    (tmp_path / "copy.toml").write_bytes(write_recipe(read))
    assert "label_smoothing = 0.0" in (tmp_path / "copy.toml").read_text(encoding="utf-8")
    assert read_recipe(tmp_path / "copy.toml") == read
    assert [stage.label_smoothing for stage in read_recipe(tags, ["model.crf=false"]).stages] == [0.1, 0.0]
    with pytest.raises(RecipeError, match=r"stages\.0\.label_smoothing: received 0\.1 with model\.crf, which weighs"):
        read_recipe(tags, ["stages.0.label_smoothing=0.1"])


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("data.columns=0", r"tags\.toml: data\.columns: received 0; expected two column numbers such as \[0, 1\]\.$"),
        ("data.columns='0, 1'", r"data\.columns: received '0, 1'; expected two column numbers such as \[0, 1\]\.$"),
        ("stages=3", r"stages: received 3; expected at least one section \[\[stages\]\]\.$"),
        ("model=3", r"model: received 3; expected a section \[model\] with the model's name\.$"),
    ],
    ids=["number", "text", "stages", "model"],
)
def test_what_is_no_text_is_not_asked_for_as_text(tags: Path, override: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        read_recipe(tags, [override])
