"""Encoders: the trainer on a tiny model, and finetuning from folder to folder, going on after a kill, and refusals."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("accelerate", reason="accelerate is not installed")

from safetensors.numpy import save_file  # noqa: E402

import subbyte  # noqa: E402
from builders.killing import KILLING  # noqa: E402
from builders.tiny_encoder import tiny_encoder_folder  # noqa: E402
from subbyte.compress.calibration.encoders import readable  # noqa: E402
from subbyte.compress.encoder_rounding import Calibrated, calibrated  # noqa: E402
from subbyte.compress.recipes.recipe import load_recipe, resolve  # noqa: E402
from subbyte.errors import ModelError, RecipeError, UsageError  # noqa: E402
from subbyte.folders.converted import sums  # noqa: E402
from subbyte.folders.opening import open_model  # noqa: E402
from subbyte.models import encoder  # noqa: E402
from subbyte.models.model import Model, Static  # noqa: E402
from subbyte.numbers.grids import Grid  # noqa: E402
from subbyte.numbers.matrices import dequantize  # noqa: E402
from subbyte.numbers.packed import PackedMatrix  # noqa: E402
from subbyte.run.encoder_engine import EncoderEngine  # noqa: E402
from subbyte.text.encoder_tokenizer import load_encoder_tokenizer  # noqa: E402
from subbyte.text.labelled import read_labelled  # noqa: E402
from subbyte.training import job  # noqa: E402
from subbyte.training.encoders import task  # noqa: E402
from subbyte.training.encoders.activation_rounding import GRADIENTS  # noqa: E402
from subbyte.training.encoders.batches import Example, endless, to_tensors  # noqa: E402
from subbyte.training.encoders.settings import EncoderFinetuning  # noqa: E402
from subbyte.training.encoders.task import examples_of, rounded_by_outputs  # noqa: E402
from subbyte.training.encoders.trainer import EncoderTrainer  # noqa: E402

WORDS = ["bad", "dull", "poor", "good", "fine", "great", "film", "plot", "a", "the"]
RECIPE = """
activations = "static"
[[tensors]]
match = "*"
family = "uniform"
bits = 4
range = "minmax"
[[points]]
match = "*"
bits = 8
[finetune]
updates = 24
learning_rate = 0.002
gradient = "lsq"
batch_size = 8
validate_every = 10
"""
OPERANDS = RECIPE.replace(
    "[finetune]",
    """[[points]]
match = ["*.output", "layers.*.context", "layers.*.ffn_input", "layers.*.hidden", "pooler"]
bits = 4
operand = true
[finetune]""",
)
EASED = OPERANDS.replace("operand = true\n", "operand = true\nrotate = true\nequalize = true\n")
KILLED = (
    KILLING
    + """
model, out, recipe, train, valid = sys.argv[1:]
job.finetune(model, out, recipe, train=train, valid=valid, threads=1)
"""
)


def write_texts(path: Path, seed: int, count: int = 64, score: bool = False) -> Path:
    """Texts that are good or bad by the words in them."""
    rng = random.Random(seed)
    lines = ["score\tsentence1\tsentence2" if score else "label\tsentence"]
    for i in range(count):
        words = [rng.choice(WORDS[:3] if i % 2 == 0 else WORDS[3:6]), *rng.choices(WORDS[6:], k=rng.randint(1, 6))]
        rng.shuffle(words)
        lines.append(f"{i % 2 * 2.5}\t{' '.join(words)}\tthe plot" if score else f"{i % 2}\t{' '.join(words)}")
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with models that have learned their task, texts and a recipe; not to be written to."""
    folder = tmp_path_factory.mktemp("encoder")
    write_texts(folder / "train.tsv", 0)
    write_texts(folder / "valid.tsv", 1)
    write_texts(folder / "numbers.tsv", 0, score=True)
    (folder / "mine.toml").write_text(RECIPE)
    (folder / "operands.toml").write_text(OPERANDS)
    (folder / "eased.toml").write_text(EASED)
    for name, kind in (("model", "bert, classifier"), ("regression", "bert, regression")):
        tiny_encoder_folder(folder / name, kind, WORDS, scale=0.2)
        trainer = trainer_of(folder, name=name, updates=60)
        losses = trained(trainer)
        assert np.mean(losses[-5:]) < 0.3 * np.mean(losses[:5])
        tensors = {("" if n.startswith("classifier") else "bert.") + n: t for n, t in trainer.model().tensors.items()}
        save_file(tensors, folder / name / "model.safetensors", metadata={"format": "pt"})
    return folder


def run(place: Path, out: Path, **options: Any) -> Any:
    given = {"train": place / "train.tsv", "valid": place / "valid.tsv", "threads": 1, **options}
    model, recipe = given.pop("model", place / "model"), given.pop("recipe", place / "mine.toml")
    return job.finetune(model, out, recipe, **given)


def trainer_of(place: Path, recipe: str | None = None, name: str = "model", **options: Any) -> EncoderTrainer:
    model = open_model(place / name)
    tokenizer = load_encoder_tokenizer(model.folder, model.config)
    train = place / ("numbers.tsv" if name == "regression" else "train.tsv")
    texts = read_labelled(train)
    settings = EncoderFinetuning(
        **{"updates": 24, "batch_size": 8, "learning_rate": 0.01, "gradient": "lsq", **options}
    )
    schemes, rounded = {}, None
    if recipe:
        chosen = load_recipe(place / recipe)
        schemes, batches = resolve(chosen, model), readable(tokenizer, texts.texts)
        model = calibrated(model, chosen, batches)
        rounded = rounded_by_outputs(model, schemes, batches) if settings.calibrate else None
    examples = examples_of(model, tokenizer, texts, str(train))
    return EncoderTrainer(model, schemes, examples, settings, rounded=rounded)


def trained(trainer: EncoderTrainer, updates: int | None = None) -> list[float]:
    return [trainer.step() for _ in range(updates or trainer.settings.updates)]


def weights(out: Path) -> bytes:
    return (out / "model.safetensors").read_bytes() + (out / "activations.json").read_bytes()


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory, place: Path) -> Path:
    out = tmp_path_factory.mktemp("done") / "out"
    assert run(place, out) == subbyte.inspect(out)
    return out


def test_the_folder_is_whole_and_its_report_says_what_was_done(done: Path) -> None:
    assert sums.verify(done)
    report = json.loads((done / "report.json").read_text())
    assert [one["update"] for one in report["validations"]] == [0, 10, 20, 24]
    assert report["finetune"]["metric"] == "accuracy" and report["text"] == {"examples": 64}
    log = [json.loads(line) for line in (Path(f"{done}.finetune") / "log.jsonl").read_text().splitlines()]
    assert [one["update"] for one in log if "loss" in one] == [10, 20, 24]
    assert max(one["score"] for one in log if "score" in one) > 0.8  # chance is a half


def test_the_same_seed_gives_the_same_bytes_also_after_a_kill(place: Path, done: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    texts = [str(place / name) for name in ("train.tsv", "valid.tsv")]
    command = [sys.executable, "-c", KILLED, place / "model", out, place / "mine.toml", *texts]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    assert not out.exists()
    with pytest.raises(UsageError, match="holds a run that was not finished; give --resume"):
        run(place, out)
    with pytest.raises(UsageError, match=r"holds a run with other settings \(finetune\)"):
        run(place, out, resume=True, updates=25)
    run(place, out, resume=True, train=texts[0], valid=texts[1])
    assert weights(out) == weights(done)


def test_training_stops_when_nothing_gets_better(place: Path, tmp_path: Path) -> None:
    run(place, tmp_path / "out", patience=1, validate_every=1, learning_rate=1e-9, scale_learning_rate=1e-9)
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert [one["update"] for one in report["validations"]] == [0, 1]


REFUSALS: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "bare": ({"kind": "bert"}, ModelError, "has no classifier to train; give a ...ForSequenceClassification"),
    "layer": ({"relation_layer": 2}, UsageError, "relation_layer is 2, the model has 2 layers"),
    "metric": ({"metric": "pearson"}, UsageError, "pearson is not a metric of classes"),
    "option": ({"period": 2}, RecipeError, "'period' is not a key"),
    "losses": ({"label_loss": 0.0}, RecipeError, "all losses have the weight 0"),
    "label": ({"train": "numbers.tsv"}, UsageError, "line 2 has the label '0.0'; the model knows no yes"),
    "no text": ({"valid": "nothing.tsv"}, UsageError, "cannot be read: No such file"),
    "few texts": ({"train": "few.tsv"}, UsageError, "it should have 16 at least"),
    "work in out": ({"checkpoints": "out/work"}, UsageError, "is in the folder to write"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_what_cannot_work_is_refused_in_one_sentence(place: Path, tmp_path: Path, name: str) -> None:
    options, error, message = dict(REFUSALS[name][0]), *REFUSALS[name][1:]
    (tmp_path / "few.tsv").write_text("label\tsentence\n1\tgood\n")
    if kind := options.pop("kind", None):
        options["model"] = tiny_encoder_folder(tmp_path / "model", kind, WORDS)
    for key in ("train", "valid", "checkpoints"):
        if key in options:
            here = tmp_path / options[key]
            options[key] = place / options[key] if options[key] == "numbers.tsv" else here
    with pytest.raises(error, match=message) as found:
        run(place, tmp_path / "out", **options)
    assert "\n" not in str(found.value) and not (tmp_path / "out").exists()


def test_a_model_that_is_compressed_or_that_the_texts_are_not_for_is_refused(
    place: Path, done: Path, small: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="is compressed already"):
        run(place, tmp_path / "out", model=done)
    with pytest.raises(
        ModelError, match="which translates; labelled texts are for classifiers, and translation models"
    ):
        run(place, tmp_path / "out", model=small)
    texts = {"source": place / "train.tsv", "valid_source": place / "valid.tsv"}
    with pytest.raises(ModelError, match="a classifier; source and target texts are for translation models"):
        job.finetune(place / "model", tmp_path / "out", place / "mine.toml", **texts)


@pytest.mark.parametrize("gradient", GRADIENTS)
@pytest.mark.parametrize("name", ["model", "regression"])
def test_training_brings_back_what_rounding_costs(place: Path, name: str, gradient: str) -> None:
    trainer = trainer_of(place, "mine.toml", name=name, gradient=gradient, scale_learning_rate=1e-4, learning_rate=2e-3)
    losses = trained(trainer)
    assert np.median(losses[-8:]) < 0.7 * np.mean(losses[:3])  # a batch of a few texts may be far off


def answers(trainer: EncoderTrainer, examples: list[Example]) -> np.ndarray:
    """Of the network in training, for its weights and grids as they stand."""
    tokens = to_tensors(examples).tokens
    assert trainer.words
    tokens = tokens._replace(ids=trainer.words.numbered(tokens.ids))
    used = {name: trainer.matrices.rounded.get(name, value) for name, value in trainer.parameters.items()}
    with torch.no_grad():
        found = trainer.network.run(used, tokens, trainer._at, trainer._read).logits
    assert found is not None
    logits: np.ndarray = found.numpy()
    return logits


@pytest.mark.parametrize(
    "recipe, gradient, rate",
    [
        ("mine", "learned", 1e-4),
        ("mine", "mse", 0.01),
        ("mine", "blend", 0.01),
        ("operands", "lsq", 0.01),
        ("eased", "lsq", 0.01),
    ],
)
def test_what_is_saved_answers_in_our_engine_as_what_was_trained(
    place: Path, recipe: str, gradient: str, rate: float
) -> None:
    """Float sums differ in their order, which now and then moves an activation to the next code."""
    trainer = trainer_of(place, f"{recipe}.toml", gradient=gradient, scale_learning_rate=rate)
    before = trainer.grids()
    assert (max(grid.rotation for grid in before.values()) > 1) == (recipe == "eased")
    trained(trainer, 12)
    assert all(trainer.grids()[point] != grid for point, grid in before.items())
    ours = answers(trainer, trainer.examples)
    engine = EncoderEngine(trainer.model(), threads=1)
    theirs = engine.logits([e.ids for e in trainer.examples], [e.types for e in trainer.examples])
    assert np.abs(ours).max() > 0.2
    assert np.quantile(np.abs(ours - theirs), 0.9) < 0.05 * np.abs(ours).max()


def test_fixed_ranges_stay_and_bits_of_words_do_not_reach_words_that_are_not_read(place: Path) -> None:
    trainer = trainer_of(place, "mine.toml", gradient="fixed")
    before, start = trainer.grids(), trainer.model()
    trained(trainer, 6)
    after = trainer.model()
    assert trainer.grids() == before
    words = [dequantize(packed) for m in (start, after) if isinstance(packed := m.tensors[encoder.WORDS], PackedMatrix)]
    assert trainer.words
    moved = (words[0] != words[1]).any(1)
    assert set(np.flatnonzero(moved)) <= set(trainer.words.rows) and moved[trainer.words.rows].all()
    assert len(trainer.words.rows) == len(words[0]) - 2  # neither filling nor an unknown word


def whole(model: Model) -> np.ndarray:
    """The words."""
    words = model.tensors[encoder.WORDS]
    return dequantize(words) if isinstance(words, PackedMatrix) else words


@pytest.mark.parametrize("recipe", [None, "mine.toml"])
def test_training_only_the_words_of_a_text_is_the_same_as_training_all(
    place: Path, recipe: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = trainer_of(place, recipe)
    trained(few, 10)
    monkeypatch.setattr("subbyte.training.encoders.trainer._words", lambda *_: None)
    every = trainer_of(place, recipe)
    trained(every, 10)
    assert few.words and every.words is None
    read = few.words.rows  # the scales of others are not fitted to what they are, again and again
    np.testing.assert_array_equal(whole(few.model())[read], whole(every.model())[read])
    assert few.grids() == every.grids()


def test_a_calibrated_start_is_what_quantize_makes_and_is_trained_on(place: Path) -> None:
    trainer = trainer_of(place, "mine.toml", calibrate=True)
    start = trainer.model()
    model = open_model(place / "model")
    tokenizer, texts = load_encoder_tokenizer(model.folder, model.config), read_labelled(place / "train.tsv").texts
    made = Calibrated(model, readable(tokenizer, texts)).under(load_recipe(place / "mine.toml"))
    nearest = trainer_of(place, "mine.toml").model()
    differ = 0
    for name, packed in made.tensors.items():
        if isinstance(packed, PackedMatrix):
            found, other = start.tensors[name], nearest.tensors[name]
            assert isinstance(found, PackedMatrix) and isinstance(other, PackedMatrix)
            np.testing.assert_array_equal(dequantize(found), dequantize(packed))
            differ += not np.array_equal(dequantize(found), dequantize(other))
    assert differ > 8  # of 14: not what rounding to the nearest gives
    trained(trainer, 4)
    assert not np.array_equal(whole(trainer.model()), whole(start))


@pytest.mark.parametrize("loss", ["state_distillation", "attention_distillation", "value_distillation"])
def test_distillation_alone_brings_states_and_relations_back_to_the_teachers(place: Path, loss: str) -> None:
    options: dict[str, Any] = {"label_loss": 0.0, "learning_rate": 5e-4, "updates": 40, loss: 1.0}
    losses = trained(trainer_of(place, "mine.toml", **options))
    assert np.mean(losses[-8:]) < 0.7 * np.mean(losses[:8])


@pytest.mark.parametrize(
    "loss", ["output_distillation", "state_distillation", "attention_distillation", "value_distillation"]
)
def test_nothing_is_to_be_learned_of_a_teacher_by_itself(place: Path, loss: str) -> None:
    (found,) = trained(trainer_of(place, name="regression", label_loss=0.0, **{loss: 1.0}), 1)
    assert found == pytest.approx(0, abs=1e-6)


def test_points_without_a_grid_are_rounded_per_token_where_products_read_them(place: Path) -> None:
    trainer = trainer_of(place, "mine.toml")
    assert trainer.dynamic == frozenset()
    grids = {"layers.0.ffn_input": Grid(8, (0.02,), (0,))}
    model = replace(open_model(place / "model"), activations=Static(grids))
    partly = EncoderTrainer(model, {}, trainer.examples, EncoderFinetuning())
    assert len(partly.dynamic) == 9 and "layers.0.ffn_input" not in partly.dynamic


def test_batches_are_of_like_lengths_hold_every_text_once_and_may_be_skipped() -> None:
    rng = random.Random(0)
    examples = [Example([5] * rng.randint(1, 40), [0] * 40, float(i)) for i in range(200)]
    batches = endless(examples, 8, seed=3)
    epoch = [next(batches) for _ in range(25)]
    assert sorted(e.label for batch in epoch for e in batch) == [float(i) for i in range(200)]
    assert np.mean([max(len(e.ids) for e in b) - min(len(e.ids) for e in b) for b in epoch]) < 5
    second = next(batches)
    assert next(endless(examples, 8, seed=3, skip=25)) == second != epoch[0]
    assert next(endless(examples, 8, seed=4)) != epoch[0]


def test_dropout_changes_the_loss_as_the_seed_says(place: Path) -> None:
    assert trained(trainer_of(place, dropout=True), 2) == trained(trainer_of(place, dropout=True), 2)
    assert trained(trainer_of(place, dropout=True), 1) != trained(trainer_of(place), 1)


def test_the_metric_goes_with_the_labels(place: Path) -> None:
    classes, of_numbers = (open_model(place / name) for name in ("model", "regression"))
    assert task.chosen_metric(classes, EncoderFinetuning()) == "accuracy"
    assert task.chosen_metric(classes, EncoderFinetuning(metric="matthews")) == "matthews"
    assert task.chosen_metric(of_numbers, EncoderFinetuning()) == "correlation"


def test_numbers_that_were_trained_are_the_scores(place: Path, tmp_path: Path) -> None:
    """Of one label without a problem_type, scores are a sigmoid before; several labels at once are refused."""
    assert open_model(place / "regression").scores == "sigmoid"
    numbers = place / "numbers.tsv"
    run(place, tmp_path / "out", model=place / "regression", train=numbers, valid=numbers, updates=2)
    assert open_model(tmp_path / "out").scores == "none"
    tiny_encoder_folder(tmp_path / "m", "bert, classifier", WORDS, problem_type="multi_label_classification")
    with pytest.raises(ModelError, match="several labels at once"):
        run(place, tmp_path / "other", model=tmp_path / "m")
