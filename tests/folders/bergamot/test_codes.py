"""A student's folder runs in its own int8 codes, as the folder that student8 makes of it; float32 is for the asking."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import subbyte
from builders.tiny_marian import tiny_marian_folder
from builders.tiny_student import FLOAT16, FLOAT32, INTGEMM8, tiny_student, tiny_student_folder, write_student
from subbyte.compress.recipes.recipe import load_recipe, resolve
from subbyte.compress.rounding import quantize_model
from subbyte.errors import ModelError
from subbyte.folders.converted import sums
from subbyte.folders.opening import open_model, open_to_run
from subbyte.measure.bench.measuring import benchmark
from subbyte.measure.evaluation.translation import evaluate_translation
from subbyte.models.model import Dynamic, Float
from subbyte.numbers.packed import PackedMatrix
from subbyte.run.resident import instruction_sets
from subbyte.run.translation_engine import Engine

SOURCE, TARGET = [5, 9, 7, 4, 0], [0, 6, 11]
Edit = Callable[[np.ndarray, float], tuple[np.ndarray, float]]  # codes and multiplier of a matrix -> others

EDITS: dict[str, Edit] = {
    "as converters write them": lambda q, m: (q, m),
    "none is 127": lambda q, m: (np.clip(q, -90, 101), m),
    "one is -128": lambda q, m: (np.where(q == q.min(), -128, q), m),
    "all are 0": lambda q, m: (0 * q, m),
    "weights below the least scale": lambda q, m: (q, 3e7),
    "large weights": lambda q, m: (q, 0.02),
    "a scale that is no float16": lambda q, m: (q, m * 1.0007),
}


def student_with(folder: Path, edit: Edit, **changes: str | None) -> Path:
    """A student whose int8 matrices were edited."""
    tensors, _ = tiny_student(**changes)
    for name, (kind, shape, data) in tensors.items():
        if kind == INTGEMM8:
            codes, m = edit(np.frombuffer(data[:-4], np.int8).astype(np.int64), struct.unpack("<f", data[-4:])[0])
            tensors[name] = (kind, shape, codes.astype(np.int8).tobytes() + struct.pack("<f", m))
    return write_student(folder, tensors)


def converted(folder: Path, out: Path) -> Path:
    """What the preset student8 makes of it."""
    subbyte.quantize(folder, out, "student8", check=False)
    return out


def assert_same_answers(first: Engine, second: Engine) -> None:
    """Logits and hypotheses, bit by bit."""
    np.testing.assert_array_equal(first.logits(SOURCE, TARGET), second.logits(SOURCE, TARGET))
    for beam in (1, 3):
        search = first.generation(beam_size=beam, num_hypotheses=beam)
        assert first.translate([SOURCE, [8, 0]], search) == second.translate([SOURCE, [8, 0]], search)


@pytest.mark.parametrize("edit", EDITS)
def test_a_folder_runs_as_student8_makes_it(tmp_path: Path, edit: str) -> None:
    folder = student_with(tmp_path / "m", EDITS[edit])
    model, ours = open_to_run(folder), open_model(converted(folder, tmp_path / "out"))
    assert model.activations == Dynamic() and model.config.keys() == ours.config.keys() - {"quantization_config"}
    for name in model.roles:
        (block,), (wanted,) = model.tensors[name].blocks, ours.tensors[name].blocks
        np.testing.assert_array_equal(block.codes, wanted.codes)
        np.testing.assert_array_equal(block.scale, wanted.scale)
    assert_same_answers(Engine(model, threads=1), Engine(ours, threads=1))


def test_its_codes_are_those_of_the_file_without_a_copy(tmp_path: Path) -> None:
    tensors, _ = tiny_student()
    model = open_to_run(write_student(tmp_path / "m", tensors))
    stored = np.frombuffer(tensors["encoder_l1_ffn_W1"][2][:-4], np.int8)
    codes = model.tensors["model.encoder.layers.0.fc1.weight"].blocks[0].codes
    np.testing.assert_array_equal(codes.ravel(), stored)
    buffer = model.tensors["model.shared.weight"].blocks[0].codes.base
    assert codes.base is not None and np.shares_memory(codes, codes.base) and buffer is not None
    assert codes.base is buffer or codes.base.base is buffer.base  # one: the content of the file


@pytest.mark.parametrize(
    "changes",
    [
        {"tied_embeddings_all": None},
        {"tied_embeddings_all": None, "tied_embeddings": "true"},
        {"tied_embeddings_all": None, "tied_embeddings_src": "true"},
        {"transformer_decoder_autoreg": "self-attention"},
    ],
    ids=str,
)
@pytest.mark.parametrize("isa", [name for name, runs in instruction_sets() if runs])
def test_every_kind_and_instruction_set(tmp_path: Path, changes: dict[str, str | None], isa: str) -> None:
    folder = tiny_student_folder(tmp_path / "m", **changes)
    out = converted(folder, tmp_path / "out")
    assert_same_answers(*(Engine(open_to_run(one), threads=1, isa=isa) for one in (folder, out)))


def test_float32_is_for_the_asking(tmp_path: Path) -> None:
    folder = tiny_student_folder(tmp_path / "m")
    asked = open_to_run(folder, "float32")
    assert asked.activations == Float() and not asked.compressed
    translator = subbyte.Translator.from_pretrained(folder, threads=1, activations="float32")
    plain = Engine(open_model(folder), threads=1)
    assert (translator.engine.activations, plain.activations) == ("float32", "float32")
    assert_same_answers(translator.engine, plain)
    for given in (None, "int8"):
        engine = subbyte.Translator.from_pretrained(folder, threads=1, activations=given).engine
        assert engine.activations == "int8" and engine.weight_bytes < 0.5 * plain.weight_bytes
        assert not np.array_equal(engine.logits(SOURCE, TARGET), plain.logits(SOURCE, TARGET))


@pytest.mark.parametrize("kind", [FLOAT32, FLOAT16])
def test_floats_stay_floats(tmp_path: Path, kind: int) -> None:
    folder = tiny_student_folder(tmp_path / "m", kind)
    assert_same_answers(Engine(open_to_run(folder), threads=1), Engine(open_model(folder), threads=1))
    assert open_to_run(folder).activations == Float()


def test_a_float_embedding_beside_int8_matrices(tmp_path: Path) -> None:
    tensors, values = tiny_student()
    tensors["Wemb"] = (FLOAT32, tensors["Wemb"][1], values["Wemb"].tobytes())
    folder = write_student(tmp_path / "m", tensors)
    model, source = open_to_run(folder), open_model(folder)
    packed = {name for name, tensor in model.tensors.items() if isinstance(tensor, PackedMatrix)}
    assert packed == model.roles.keys() - {"model.shared.weight"}
    schemes = {name: scheme for name, scheme in resolve(load_recipe("student8"), source).items() if name in packed}
    assert_same_answers(
        Engine(model, threads=1), Engine(quantize_model(source, schemes), threads=1, activations="int8")
    )
    assert {path["bits"] for path in subbyte.inspect(folder)["kernels"]["paths"]} == {8, 32}


def test_a_scale_that_cannot_be_is_a_sentence(tmp_path: Path) -> None:
    folder = student_with(tmp_path / "m", lambda q, m: (q, 1e-6))
    with pytest.raises(ModelError, match=r"Wemb: a scale of 1e\+06 does not fit float16 .*--activations float32"):
        open_to_run(folder)
    assert not open_to_run(folder, "float32").compressed


def test_what_runs_a_folder_runs_its_codes(tmp_path: Path) -> None:
    folder, text = tiny_student_folder(tmp_path / "m"), tmp_path / "text"
    out = converted(folder, tmp_path / "out")
    text.write_text("a dog\nthe dog runs\n")
    for asked, runs in ((None, "int8"), ("int8", "int8"), ("float32", "float32")):
        document = evaluate_translation(folder, text, text, threads=1, activations=asked)
        assert document["activations"] == runs
        records = benchmark(folder, text=text, sentences=2, rounds=1, batch_sizes=[1], beam_sizes=[1], tokens=0,
                            activations=asked)["runs"]  # fmt: skip
        named = {"int8": "int8 as stored", "float32": "float32"}[runs]
        assert [(run["precision"], run["details"]["activations"]) for run in records] == [(named, runs)]
    scores = [subbyte.Translator.from_pretrained(one, threads=1).score(["a dog"], ["a dog"]) for one in (folder, out)]
    assert scores[0] == scores[1]


def test_bench_measures_a_folder_beside_its_recipes(tmp_path: Path) -> None:
    folder = tiny_student_folder(tmp_path / "m")
    (tmp_path / "text").write_text("a dog\n")
    records = benchmark(folder, text=tmp_path / "text", sentences=1, rounds=1, batch_sizes=[1], beam_sizes=[1],
                        tokens=0, recipes=["int8", "student8"])["runs"]  # fmt: skip
    assert [run["precision"] for run in records] == ["int8 as stored", "int8", "student8"]


def test_inspect_says_how_a_folder_runs(tmp_path: Path) -> None:
    folder = tiny_student_folder(tmp_path / "m")
    document = subbyte.inspect(folder)
    assert document["kernels"]["activations"] == "int8"
    assert [path["bits"] for path in document["kernels"]["paths"]] == [8]
    assert (
        document["resident_weight_bytes"]
        == subbyte.inspect(converted(folder, tmp_path / "out"))["resident_weight_bytes"]
    )
    matrices = [tensor for tensor in document["tensors"] if tensor["role"]]
    assert {(one["scheme"], one["bits"], one["granularity"]) for one in matrices} == {("int8", 8, "tensor")}


def test_who_compresses_or_judges_reads_floats(tmp_path: Path) -> None:
    folder = tiny_student_folder(tmp_path / "m")
    _, values = tiny_student()
    model = open_model(folder)
    assert not model.compressed and model.activations == Float()
    np.testing.assert_array_equal(model.tensors["model.shared.weight"], values["Wemb"])
    subbyte.quantize(folder, tmp_path / "out", "uniform4")  # refused for a folder that is compressed already
    sums.verify(tmp_path / "out")


def test_other_folders_run_as_they_did(tmp_path: Path) -> None:
    folder = tiny_marian_folder(tmp_path / "m")
    assert_same_answers(Engine(open_to_run(folder), threads=1), Engine(open_model(folder), threads=1))
    with pytest.raises(ModelError, match="there is no such folder"):
        open_to_run(tmp_path / "none")
