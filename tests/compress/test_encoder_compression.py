"""Encoders under every preset: compressed, saved, read again, run; and converted folders of strangers."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import subbyte
from builders.encoder_folders import LINES, classifier_folder, sentence_folder
from builders.numpy_bert import forward
from builders.tiny_bench_bert import WORDS, tiny_bert_folder
from builders.tiny_marian import edit_json
from subbyte.compress.calibration import encoders
from subbyte.compress.encoder_rounding import Calibrated
from subbyte.compress.recipes.recipe import load_recipe, presets
from subbyte.compress.rounding import under
from subbyte.errors import FormatError, ModelError, SubbyteError, UsageError
from subbyte.folders.converted import saving, sums
from subbyte.folders.opening import open_model
from subbyte.models import encoder
from subbyte.models.axis_order import permuted
from subbyte.models.families import encoder_of
from subbyte.models.model import SentenceVectors
from subbyte.run.encoder_engine import EncoderEngine
from subbyte.text.encoder_tokenizer import load_encoder_tokenizer

WIDE: dict[str, Any] = {"hidden_size": 96, "intermediate_size": 48, "num_attention_heads": 2}  # six groups of 16
STATIC = [name for name in presets() if load_recipe(name).activations == "static"]
CLUSTERED = ("nmt-mixed", "nmt-mixed-r1", "nmt-mixed-r4", "student4", "student4.4", "student8")
DYNAMIC = [name for name in presets() if name not in STATIC and name not in CLUSTERED]


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A calibration text of 40 lines, some of them pairs, some empty."""
    rng = np.random.default_rng(0)
    words = [word for word in WORDS[5:] if not word.startswith("##")]
    lines = [" ".join(rng.choice(words, rng.integers(2, 20))) for _ in range(36)]
    lines += ["a dog\tthe cat", "", "two men\tare here", "a"]
    path = tmp_path_factory.mktemp("text") / "text"
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return classifier_folder(tmp_path_factory.mktemp("source") / "classifier", **WIDE)


@pytest.fixture(scope="module")
def sentences(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sentence_folder(tmp_path_factory.mktemp("source") / "sentences", **WIDE)


@pytest.fixture(scope="module")
def originals(classifier: Path, sentences: Path, text: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Converted folders: a classifier with static activations, and sentences without; not to be changed."""
    home = tmp_path_factory.mktemp("originals")
    subbyte.quantize(classifier, home / "static", "w8a8-peg", calibration=text)
    subbyte.quantize(sentences, home / "sentences", "uniform4")
    return home


def rms(x: np.ndarray) -> float:
    return float(np.sqrt(np.mean(x**2)))


def logits(folder: Path, **options: Any) -> np.ndarray:
    classifier = subbyte.Classifier.from_pretrained(folder, threads=1, **options)
    return np.stack([*classifier.logits([*LINES, ("a dog", "the cat")])])


@pytest.mark.parametrize("recipe", STATIC)
def test_static_presets(classifier: Path, text: Path, tmp_path: Path, recipe: str) -> None:
    document = subbyte.quantize(classifier, tmp_path / "out", recipe, calibration=text)
    model = open_model(tmp_path / "out")
    rounded = {"mkq-4-8", "w4a4", "w4a8", "w4a8-emb2", "w8a8-turned"}  # presets that round only what matrices multiply
    assert document["kernels"]["activations"] == model.activations.word == "static"
    assert set(model.activations.grids) == set(encoder_of(model.config).points()) or recipe in rounded
    assert (model.permutation is not None) == load_recipe(recipe).permute
    names = sums.verify(tmp_path / "out")
    assert {"activations.json", "config.json", "model.safetensors", "vocab.txt", "report.json"} <= set(names)
    before, after = logits(classifier), logits(tmp_path / "out")
    assert before.shape == after.shape and not np.array_equal(before, after)
    if recipe.startswith("w8a8"):
        assert rms(before - after) < 0.25 * rms(before)
    classifier_of = subbyte.Classifier.from_pretrained(tmp_path / "out", threads=1)
    ids, types = classifier_of.tokenizer.encode([(line,) for line in LINES])
    points = list(encoder_of(model.config).points())
    tolerance = 0.05 if recipe in ("mkq-4-8", "w4a4") else 0.01  # at a border, to the next one of 15 codes, or of 255
    for text_ids, kinds in zip(ids, types, strict=True):  # what the folder says, simulated in floats, point by point
        seen = dict(zip(points, classifier_of.engine.observe([text_ids], [kinds], points), strict=True))
        found = forward(model, text_ids, kinds, "static", seen)
        for point in points:
            most = tolerance * np.abs(seen[point]).max()
            np.testing.assert_allclose(found[point], seen[point], rtol=0, atol=most, err_msg=point)
    card = (tmp_path / "out" / "README.md").read_text()
    assert "pipeline_tag: text-classification" in card and "subbyte classify FOLDER" in card
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert (
        report["calibration"] == "text"
        and report["agreement"]["texts"] == 39
        and report["agreement"]["measured"] == "labels"
    )
    assert 0 <= report["agreement"]["labels"] <= 1 and report["agreement"]["cosine"] > 0.3


@pytest.mark.parametrize("recipe", DYNAMIC)
def test_dynamic_presets(classifier: Path, tmp_path: Path, recipe: str) -> None:
    document = subbyte.quantize(classifier, tmp_path / "out", recipe)
    assert document["architecture"] == "BertForSequenceClassification" and document["compression"] > 1.5
    assert not (tmp_path / "out" / "activations.json").exists()
    sums.verify(tmp_path / "out")
    before, after = logits(classifier), logits(tmp_path / "out")
    assert before.shape == after.shape and np.isfinite(after).all()
    if recipe == "int8":
        assert np.abs(before - after).max() < 0.1 * np.abs(before).max()


@pytest.mark.parametrize("recipe", ["uniform4", "binary3", "normal4"])
def test_a_calibration_text_keeps_outputs(sentences: Path, text: Path, tmp_path: Path, recipe: str) -> None:
    lines = [line.split("\t")[0] for line in text.read_text().splitlines()]
    before = subbyte.Encoder.from_pretrained(sentences, threads=1).encode(lines)
    cosines = []
    for name, calibration in (("plain", None), ("calibrated", text)):
        subbyte.quantize(sentences, tmp_path / name, recipe, calibration=calibration)
        encoder = subbyte.Encoder.from_pretrained(tmp_path / name, threads=1, activations="float32")
        cosines.append((before * encoder.encode(lines)).sum(1).mean())
    assert cosines[1] > cosines[0]


def test_what_is_loaded_is_what_was_saved(originals: Path, classifier: Path, text: Path, tmp_path: Path) -> None:
    model = open_model(originals / "static")
    saving.save(model, tmp_path / "again", report={})
    again = open_model(tmp_path / "again")
    assert (again.activations, again.permutation) == (model.activations, model.permutation)
    assert np.array_equal(logits(originals / "static"), logits(tmp_path / "again"))
    subbyte.quantize(classifier, tmp_path / "twice", "w8a8-peg", calibration=text)
    for name in ("model.safetensors", "activations.json", "config.json"):  # nothing is random
        assert (tmp_path / "twice" / name).read_bytes() == (originals / "static" / name).read_bytes()


def test_a_converted_folder_keeps_how_sentences_are_made(originals: Path, sentences: Path) -> None:
    assert open_model(originals / "sentences").sentence == SentenceVectors(("mean",), True, None)
    vectors = subbyte.Encoder.from_pretrained(originals / "sentences", threads=1).encode(LINES)
    before = subbyte.Encoder.from_pretrained(sentences, threads=1).encode(LINES)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)
    assert (vectors * before).sum(1).min() > 0.8


def test_a_permuted_encoder_has_its_vectors_in_the_source_order(sentences: Path, text: Path, tmp_path: Path) -> None:
    model = open_model(sentences)
    pi = np.random.default_rng(0).permutation(96)
    ids, types = subbyte.Encoder.from_pretrained(sentences, threads=1).tokenizer.encode([(line,) for line in LINES])
    plain, moved = (EncoderEngine(m, threads=1) for m in (model, permuted(model, pi)))
    for pooling in ("mean", "cls", "max"):
        np.testing.assert_allclose(moved.pooled(ids, types, pooling), plain.pooled(ids, types, pooling), atol=1e-5)
    for ours, theirs in zip(moved.states(ids, types), plain.states(ids, types), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-4)
    (seen,), (stored,) = (e.observe(ids, types, ["layers.1.output"]) for e in (plain, moved))
    np.testing.assert_allclose(stored, seen[:, pi], atol=1e-4)

    subbyte.quantize(sentences, tmp_path / "out", "w8a8-peg", calibration=text)
    assert open_model(tmp_path / "out").permutation != tuple(range(96))
    before, after = (subbyte.Encoder.from_pretrained(f, threads=1).encode(LINES) for f in (sentences, tmp_path / "out"))
    assert (before * after).sum(1).min() > 0.98


def test_inspect_says_what_there_is(originals: Path) -> None:
    document = subbyte.inspect(originals / "static")
    tensors = {one["name"]: one for one in document["tensors"]}
    assert tensors["classifier.weight"]["role"] == "encoder.classifier"
    assert tensors[encoder.WORDS]["bits"] == 8 and tensors["classifier.bias"]["bits"] == 32
    assert {path["bits"] for path in document["kernels"]["paths"]} == {8}
    assert document["kernels"]["activations"] == "static"


# --- what is refused


def test_static_activations_need_a_text(classifier: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="give a calibration text"):
        subbyte.quantize(classifier, tmp_path / "out", "w8a8")
    (tmp_path / "short").write_text("a dog\n" * 15 + "\n\t\n" * 20)
    with pytest.raises(UsageError, match="has 15 texts; it should have 16 at least"):
        subbyte.quantize(classifier, tmp_path / "out", "w8a8", calibration=tmp_path / "short")
    assert not (tmp_path / "out").exists()


def test_what_is_for_translation_is_refused(classifier: Path, text: Path, tmp_path: Path) -> None:
    chosen = {"recipe": "uniform4", "budget": "3bits", "calibration": text}
    for options in (chosen, {"recipe": "int8", "frequencies": text}):
        with pytest.raises(UsageError, match=r"for translation models.*leave"):
            subbyte.quantize(classifier, tmp_path / "out", **options)


def test_a_compressed_encoder_is_not_compressed_again(originals: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is compressed already"):
        subbyte.quantize(originals / "static", tmp_path / "out", "int8")


def test_the_comparison_may_be_left_out(classifier: Path, text: Path, tmp_path: Path) -> None:
    def agreement(name: str, **options: Any) -> Any:
        subbyte.quantize(classifier, tmp_path / name, "int8", **options)
        return json.loads((tmp_path / name / "report.json").read_text())["agreement"]

    assert agreement("a") is None and agreement("b", calibration=text, check=False) is None
    assert agreement("c", check_text=text)["texts"] == 39
    (tmp_path / "empty").write_text("")
    with pytest.raises(UsageError, match="is empty"):
        agreement("d", check_text=tmp_path / "empty")


# --- converted folders of strangers


@pytest.fixture
def static(originals: Path, tmp_path: Path) -> Path:
    """A copy of a converted folder with static activations, which may be spoiled."""
    return Path(shutil.copytree(originals / "static", tmp_path / "static"))


def use(folder: Path) -> None:
    """Everything that reads a folder."""
    subbyte.Classifier.from_pretrained(folder, threads=1)(["a dog"])


POINT = "layers.0.ffn_input"
GRID = {"bits": 8, "scale": [0.5], "zero": [0], "operand": False, "rotation": 1}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 1}, "is of format 1"),
        ({"format": True}, "is of format True"),
        ({"permutation": [0] * 96}, r"numbers 0\.\.95 in some order"),
        ({"permutation": [*range(95), 95.0]}, "in some order"),
        ({"permutation": [*range(97)]}, "in some order"),
        ({"permutation": "abc"}, "in some order"),
        ({"points": []}, "points should be an object"),
        ({"points": ...}, "points should be an object"),
        ({"more": 1}, "'more' is not a key"),
        ({"points": {"layers.2.output": GRID}}, "is not a point of this model"),
        ({"points": {POINT: 5}}, "should have bits, scale, zero, operand and rotation"),
        ({"points": {POINT: GRID | {"more": 1}}}, "and nothing else"),
        ({"points": {POINT: GRID | {"operand": 0}}}, "operand is 0"),
        ({"points": {"layers.0.ffn_sum": GRID | {"operand": True}}}, "is read by no matrix"),
        ({"points": {POINT: GRID | {"rotation": 512, "operand": True}}}, "rotation is 512"),
        ({"points": {POINT: GRID | {"rotation": 64, "operand": True}}}, "96 columns do not divide into blocks of 64"),
        ({"points": {POINT: GRID | {"bits": 9}}}, "bits are 9"),
        ({"points": {POINT: GRID | {"bits": "8"}}}, "bits are '8'"),
        ({"points": {POINT: GRID | {"scale": [0]}}}, "scale should be numbers from"),
        ({"points": {POINT: GRID | {"scale": [1e39]}}}, "scale should be numbers from"),
        ({"points": {POINT: GRID | {"scale": "1"}}}, "scale should be numbers from"),
        ({"points": {POINT: GRID | {"zero": [128]}}}, "zero should be whole numbers"),
        ({"points": {POINT: GRID | {"zero": [0.5]}}}, "zero should be whole numbers"),
        ({"points": {POINT: GRID | {"scale": []}}}, "0 scales with 1 zeros"),
        ({"points": {POINT: GRID | {"scale": [1] * 5, "zero": [0] * 5}}}, "do not divide into 5 groups"),
        ({"points": {POINT: GRID | {"scale": [1] * 12, "zero": [0] * 12}}}, "multiples of 16 columns"),
        ({"points": {"layers.0.scores": GRID | {"scale": [1] * 2, "zero": [0] * 2}}}, "do not divide into 2 groups"),
    ],
    ids=str,
)
def test_a_hostile_activations_json_is_refused(static: Path, change: dict[str, Any], message: str) -> None:
    edit_json(static / "activations.json", **change)
    with pytest.raises(SubbyteError, match=message):
        use(static)


def test_all_faults_of_grids_are_named_at_once(static: Path) -> None:
    points = {"nothing": GRID, POINT: GRID | {"bits": 1}, "pooler": 3}
    edit_json(static / "activations.json", permutation=[], points=points)
    with pytest.raises(FormatError) as error:
        open_model(static)
    assert str(error.value).count("\n  ") == 4


@pytest.mark.parametrize("name", ["activations.json", "config.json", "manifest.json"])
def test_every_truncation_of_a_json_file_is_refused(static: Path, name: str) -> None:
    data = (static / name).read_bytes()
    for length in range(0, len(data.rstrip()), len(data) // 60 + 1):
        (static / name).write_bytes(data[:length])
        with pytest.raises(FormatError):
            sums.verify(static)
        if name != "manifest.json":
            with pytest.raises(FormatError):
                open_model(static)


def test_every_truncation_of_the_weights_is_refused(static: Path) -> None:
    path = static / "model.safetensors"
    for length in reversed(range(0, path.stat().st_size, 4001)):
        os.truncate(path, length)
        with pytest.raises(FormatError):
            open_model(static)


def test_a_missing_file_is_named(static: Path) -> None:
    (static / "activations.json").unlink()
    for read in (open_model, sums.verify):
        with pytest.raises(FormatError, match=r"activations\.json: the file is missing"):
            read(static)


def test_activations_of_another_kind_are_refused(originals: Path, tmp_path: Path) -> None:
    """A grid too many or too few changes no other, and a large document is not read."""
    static = Path(shutil.copytree(originals / "static", tmp_path / "s"))
    edit_json(static / "activations.json", points={}, permutation=None)
    use(static)  # inputs are then rounded per token
    (static / "activations.json").write_text(json.dumps({"format": 2, "permutation": None, "points": {POINT: {
        "bits": 8, "scale": [1] * 200000, "zero": [0] * 200000}}}))  # fmt: skip
    with pytest.raises(FormatError, match="more than such a document may have"):
        open_model(static)


@pytest.mark.parametrize("value", [None, 0, -1, 1.5, "8", True, [8], {}, 2**31, 2**64])
def test_every_number_of_a_configuration_is_checked(static: Path, value: object) -> None:
    """Changed, it is refused, or the folder is another model that still runs."""
    config = json.loads((static / "config.json").read_text())
    for key in [key for key, old in config.items() if type(old) in (int, float)]:
        edit_json(static / "config.json", **{key: value})
        try:
            use(static)
        except (FormatError, ModelError):
            pass
        edit_json(static / "config.json", **{key: config[key]})


@pytest.mark.parametrize(
    ("sentence", "message"),
    [
        (0, "sentence should say"), ([], "sentence should say"), ({"pooling": "mean"}, "sentence should say"),
        ({"pooling": "last", "normalize": True, "max_tokens": None}, "pooling is 'last'"),
        ({"pooling": "mean", "normalize": "no", "max_tokens": None}, "normalize is 'no'"),
        ({"pooling": "mean", "normalize": True, "max_tokens": -1}, "max_tokens is -1"),
    ],
)  # fmt: skip
def test_what_a_folder_says_of_sentences_is_checked(
    originals: Path, tmp_path: Path, sentence: object, message: str
) -> None:
    folder = Path(shutil.copytree(originals / "sentences", tmp_path / "s"))
    quantization = json.loads((folder / "config.json").read_text())["quantization_config"]
    edit_json(folder / "config.json", quantization_config=quantization | {"sentence": sentence})
    with pytest.raises(FormatError, match=message):
        open_model(folder)


def test_every_truncation_of_a_float_encoder_is_refused(tmp_path: Path) -> None:
    folder = tiny_bert_folder(tmp_path / "m")
    path = folder / "model.safetensors"
    for length in reversed(range(0, path.stat().st_size, 2003)):
        os.truncate(path, length)
        with pytest.raises(ModelError):
            open_model(folder)


def test_sums_of_inputs_serve_several_recipes(sentences: Path, text: Path) -> None:
    model = open_model(sentences)
    tokenizer = load_encoder_tokenizer(model.folder, model.config)
    texts = [(line,) for line in text.read_text().splitlines() if line]
    batches = encoders.readable(tokenizer, texts)
    several = Calibrated(model, batches)
    for recipe in map(load_recipe, ("uniform4", "int8", "w4a4", "w4a8", "uniform4")):
        alone, found = Calibrated(model, batches).under(recipe), several.under(recipe)
        for name in model.roles:
            np.testing.assert_array_equal(found.tensors[name].blocks[0].codes, alone.tensors[name].blocks[0].codes)
    plain = under(load_recipe("uniform4"), model)
    first = next(name for name, role in model.roles.items() if role.kind != "embedding")
    assert (plain.tensors[first].blocks[0].codes != found.tensors[first].blocks[0].codes).any()


def test_a_sentence_encoder_reads_the_two_of_a_pair_one_by_one(sentences, tmp_path):
    """As `encode` does: it never sees two in one input."""
    pairs = [("a dog runs", f"the cat {letter}") for letter in "abcdefghijklmnop"]
    (tmp_path / "pairs").write_text("".join(f"{a}\t{b}\n" for a, b in pairs))
    (tmp_path / "lines").write_text("".join(f"{a}\n{b}\n" for a, b in pairs))
    for name in ("pairs", "lines"):
        subbyte.quantize(sentences, tmp_path / f"{name}4", "encoder4", calibration=tmp_path / name)
    found = [(tmp_path / f"{name}4" / "model.safetensors").read_bytes() for name in ("pairs", "lines")]
    assert found[0] == found[1]
