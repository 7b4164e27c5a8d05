"""MarianMT folders: what is loaded, in which forms, and what is refused by name."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from builders.tiny_marian import edit_json, tiny_marian_folder, write_json
from subbyte.errors import ModelError
from subbyte.folders.opening import open_model
from subbyte.models import marian
from subbyte.models.translation import sinusoidal_positions


def change_tensors(folder: Path, **changes: Any) -> dict[str, np.ndarray]:
    """Rewrite model.safetensors; None removes a tensor. Dots in names are written as double underscores."""
    tensors = load_file(folder / "model.safetensors")
    for key, value in changes.items():
        name = key.replace("__", ".")
        tensors.pop(name, None)
        if value is not None:
            tensors[name] = value
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    return tensors


def test_every_tensor_is_there_with_its_role(tiny_folder: Path) -> None:
    model = open_model(tiny_folder)
    stored = load_file(tiny_folder / "model.safetensors")
    assert model.tensors.keys() == stored.keys()
    for name, tensor in model.tensors.items():
        assert isinstance(tensor, np.ndarray) and tensor.dtype == np.float32
        assert np.array_equal(tensor, stored[name].reshape(tensor.shape))
        assert (name in model.roles) == (tensor.ndim == 2)
    assert model.tensors["final_logits_bias"].ndim == 1
    assert str(model.roles["model.shared.weight"]) == "shared.embedding"
    assert str(model.roles["model.decoder.layers.0.encoder_attn.q_proj.weight"]) == "decoder.0.cross_attention"
    assert str(model.roles["model.encoder.layers.1.fc2.weight"]) == "encoder.1.feed_forward"
    assert set(model.aliases.values()) == {"model.shared.weight"} and "lm_head.weight" in model.aliases


@pytest.mark.parametrize(
    ("overrides", "matrices", "aliases"),
    [
        ({"share_encoder_decoder_embeddings": False}, ["encoder.embedding", "decoder.embedding"], ["lm_head.weight"]),
        (
            {"share_encoder_decoder_embeddings": False, "tie_word_embeddings": False},
            ["encoder.embedding", "decoder.embedding", "decoder.output"],
            [],
        ),
        ({"tie_word_embeddings": False}, ["encoder.embedding", "decoder.embedding", "decoder.output"], []),
        ({"activation_function": "swish", "encoder_layers": 1, "decoder_layers": 3}, ["shared.embedding"], None),
        ({"decoder_vocab_size": None}, ["shared.embedding"], None),
    ],
)
def test_embeddings_shared_and_separate(
    tmp_path: Path, overrides: dict[str, Any], matrices: list[str], aliases: list[str] | None
) -> None:
    model = open_model(tiny_marian_folder(tmp_path / "m", **overrides))
    assert [str(role) for role in model.roles.values() if role.layer is None] == matrices
    if aliases is not None:
        assert list(model.aliases) == aliases


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_is_widened_exactly(tmp_path: Path, dtype: str) -> None:
    folder = tiny_marian_folder(tmp_path / "m")
    wide = {name: tensor for name, tensor in load_file(folder / "model.safetensors").items()}
    if dtype == "float16":
        narrow = {name: tensor.astype(np.float16) for name, tensor in wide.items()}
        wanted = {name: tensor.astype(np.float32) for name, tensor in narrow.items()}
    else:
        narrow = {name: (tensor.view(np.uint32) >> 16).astype(np.uint16) for name, tensor in wide.items()}
        wanted = {name: (tensor.astype(np.uint32) << 16).view(np.float32) for name, tensor in narrow.items()}
    save_file(narrow, folder / "model.safetensors")
    if dtype == "bfloat16":  # numpy has none: write them as U16, then say BF16 in the header
        data = (folder / "model.safetensors").read_bytes()
        (folder / "model.safetensors").write_bytes(relabelled(data, "U16", "BF16"))
    model = open_model(folder)
    for name, tensor in model.tensors.items():
        assert np.array_equal(tensor, wanted[name].reshape(tensor.shape)), name


def relabelled(data: bytes, old: str, new: str) -> bytes:
    """A safetensors file with another dtype in its header."""
    length = int.from_bytes(data[:8], "little")
    header = data[8 : 8 + length].replace(f'"{old}"'.encode(), f'"{new}"'.encode())
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + data[8 + length :]


def sharded(folder: Path) -> Path:
    """The same model in two files and an index."""
    tensors = load_file(folder / "model.safetensors")
    names = sorted(tensors)
    parts = {"model-00001-of-00002.safetensors": names[::2], "model-00002-of-00002.safetensors": names[1::2]}
    for file, part in parts.items():
        save_file({name: tensors[name] for name in part}, folder / file)
    weight_map = {name: file for file, part in parts.items() for name in part}
    write_json(folder / "model.safetensors.index.json", {"metadata": {}, "weight_map": weight_map})
    (folder / "model.safetensors").unlink()
    return folder


def test_shards_are_read_like_one_file(tiny_folder: Path) -> None:
    whole = open_model(tiny_folder)
    parts = open_model(sharded(tiny_folder))
    assert all(np.array_equal(whole.tensors[name], parts.tensors[name]) for name in whole.tensors)


@pytest.mark.parametrize("file", ["../tiny/model-00001-of-00002.safetensors", "/etc/passwd", "..", "gone.safetensors"])
def test_an_index_may_not_lead_out_of_the_folder(tiny_folder: Path, file: str) -> None:
    index = sharded(tiny_folder) / "model.safetensors.index.json"
    weight_map = json.loads(index.read_text())["weight_map"]
    write_json(index, {"weight_map": weight_map | {"final_logits_bias": file}})
    with pytest.raises(ModelError, match=r"not the name of a file|missing"):
        open_model(tiny_folder)


def test_an_index_that_disagrees_with_its_files_is_refused(tiny_folder: Path) -> None:
    index = sharded(tiny_folder) / "model.safetensors.index.json"
    weight_map = json.loads(index.read_text())["weight_map"]
    files = set(weight_map.values())
    other = (files - {weight_map["final_logits_bias"]}).pop()
    write_json(index, {"weight_map": weight_map | {"final_logits_bias": other, "ghost": other}})
    with pytest.raises(ModelError) as error:
        open_model(tiny_folder)
    assert "final_logits_bias is not in" in str(error.value) and "ghost is not in" in str(error.value)
    assert "final_logits_bias is in" in str(error.value)


def test_all_wrong_tensors_are_named_at_once(tiny_folder: Path) -> None:
    change_tensors(
        tiny_folder,
        model__encoder__layers__0__fc1__bias=None,
        model__decoder__layers__0__fc2__weight=np.zeros((3, 4), np.float32),
        extra=np.zeros(2, np.float32),
    )
    with pytest.raises(ModelError) as error:
        open_model(tiny_folder)
    text = str(error.value)
    assert "missing tensor model.encoder.layers.0.fc1.bias [48]" in text
    assert "tensor model.decoder.layers.0.fc2.weight is [3, 4], should be [32, 64]" in text
    assert "unexpected tensor extra [2]" in text


def test_tied_duplicates_are_dropped_and_may_stand_for_each_other(tiny_folder: Path) -> None:
    shared = load_file(tiny_folder / "model.safetensors")["model.shared.weight"]
    change_tensors(tiny_folder, lm_head__weight=shared, model__encoder__embed_tokens__weight=shared)
    assert "lm_head.weight" not in open_model(tiny_folder).tensors
    change_tensors(tiny_folder, model__shared__weight=None)
    assert np.array_equal(open_model(tiny_folder).tensors["model.shared.weight"], shared)
    change_tensors(tiny_folder, lm_head__weight=shared + 1)
    with pytest.raises(ModelError, match=r"lm_head\.weight differs from model\.shared\.weight"):
        open_model(tiny_folder)


def test_the_unused_shared_matrix_of_untied_models_is_dropped(tmp_path: Path) -> None:
    folder = tiny_marian_folder(tmp_path / "m", tie_word_embeddings=False)
    tensors = load_file(folder / "model.safetensors")
    change_tensors(folder, model__shared__weight=tensors["lm_head.weight"])
    assert "model.shared.weight" not in open_model(folder).tensors


def test_a_missing_bias_is_zero(tiny_folder: Path) -> None:
    change_tensors(tiny_folder, final_logits_bias=None)
    assert not np.any(open_model(tiny_folder).tensors["final_logits_bias"])


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_a_stored_position_table_must_be_the_sinusoids(tiny_folder: Path, dtype: type) -> None:
    table = sinusoidal_positions(64, 32).astype(dtype)
    change_tensors(tiny_folder, model__encoder__embed_positions__weight=table)
    assert "model.encoder.embed_positions.weight" not in open_model(tiny_folder).tensors
    change_tensors(tiny_folder, model__decoder__embed_positions__weight=table[:, ::-1].copy())
    with pytest.raises(ModelError, match=r"decoder\.embed_positions\.weight holds learned positions"):
        open_model(tiny_folder)
    change_tensors(tiny_folder, model__decoder__embed_positions__weight=table[:-1])
    with pytest.raises(ModelError, match=r"is \[63, 32\], should be \[64, 32\]"):
        open_model(tiny_folder)


@pytest.mark.parametrize(("positions", "width"), [(1, 1), (64, 32), (100, 7)])
def test_sinusoids_by_their_formula(positions: int, width: int) -> None:
    table = sinusoidal_positions(positions, width)
    assert table.shape == (positions, width) and table.dtype == np.float32
    for p in range(positions):
        sines = [math.sin(p / 10000 ** (2 * k / width)) for k in range((width + 1) // 2)]
        cosines = [math.cos(p / 10000 ** (2 * k / width)) for k in range(width // 2)]
        assert np.allclose(table[p], sines + cosines, atol=1e-7)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"static_position_embeddings": False}, "static_position_embeddings is false"),
        ({"normalize_before": True}, "normalize_before is true"),
        ({"normalize_embedding": True}, "normalize_embedding is true"),
        ({"add_final_layer_norm": True}, "add_final_layer_norm is true"),
        ({"add_bias_logits": True}, "add_bias_logits is true"),
        ({"is_encoder_decoder": False}, "is_encoder_decoder is false"),
        ({"activation_function": "gelu_new"}, "activation_function is 'gelu_new'"),
        ({"encoder_attention_heads": 3}, "encoder_attention_heads is 3, which does not divide d_model 32"),
        ({"d_model": 0}, "d_model is 0"),
        ({"d_model": "32"}, "d_model is '32'"),
        ({"decoder_layers": 10**9}, "decoder_layers is 1000000000"),
        ({"encoder_layers": True}, "encoder_layers is True"),
        ({"vocab_size": 2**40}, "vocab_size is 1099511627776"),
        ({"max_position_embeddings": ...}, "max_position_embeddings is None"),
        ({"pad_token_id": 9999}, "pad_token_id is 9999"),
        ({"decoder_start_token_id": -1}, "decoder_start_token_id is -1"),
        ({"eos_token_id": [0, 9999]}, r"eos_token_id is \[0, 9999\]"),
        ({"decoder_vocab_size": 5}, "decoder_vocab_size is 5, but the shared embedding has"),
        ({"scale_embedding": "yes"}, "scale_embedding is 'yes'"),
        (
            {"model_type": "t5", "architectures": ["T5ForConditionalGeneration"]},
            "T5For.*not supported; supported: Mari",
        ),
        ({"architectures": ["MarianForCausalLM"]}, "MarianForCausalLM.*not supported"),
    ],
)
def test_other_configurations_are_refused_by_name(tiny_folder: Path, change: dict[str, Any], message: str) -> None:
    edit_json(tiny_folder / "config.json", **change)
    with pytest.raises(ModelError, match=message):
        open_model(tiny_folder)


def test_all_faults_of_a_configuration_are_named_at_once(tiny_folder: Path) -> None:
    edit_json(tiny_folder / "config.json", normalize_before=True, encoder_ffn_dim=-1, pad_token_id=None)
    with pytest.raises(ModelError) as error:
        open_model(tiny_folder)
    assert all(name in str(error.value) for name in ("normalize_before", "encoder_ffn_dim", "pad_token_id"))


@pytest.mark.parametrize("ids", [[[9999]], [[]], 7, [7], [[True]]])
def test_generation_ids_are_checked(tiny_folder: Path, ids: object) -> None:
    edit_json(tiny_folder / "generation_config.json", bad_words_ids=ids)
    with pytest.raises(ModelError, match="bad_words_ids should be"):
        open_model(tiny_folder)


def test_a_model_without_generation_config_has_an_empty_one(tiny_folder: Path) -> None:
    (tiny_folder / "generation_config.json").unlink()
    assert open_model(tiny_folder).generation == {}


def test_pickled_weights_are_refused_with_the_way_out(tiny_folder: Path) -> None:
    (tiny_folder / "model.safetensors").rename(tiny_folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"pickle.*save_pretrained"):
        open_model(tiny_folder)


def test_weights_that_are_not_numbers_are_refused(tiny_folder: Path) -> None:
    change_tensors(tiny_folder, final_logits_bias=np.full((1, 3), np.nan, np.float32))
    with pytest.raises(ModelError, match="final_logits_bias is"):  # the shape first
        open_model(tiny_folder)
    change_tensors(tiny_folder, final_logits_bias=None, model__encoder__layers__0__fc1__bias=np.full(48, np.nan, "f4"))
    with pytest.raises(ModelError, match=r"fc1\.bias holds a value that is not a finite number"):
        open_model(tiny_folder)
    change_tensors(tiny_folder, model__encoder__layers__0__fc1__bias=np.zeros(48, np.float64))
    with pytest.raises(ModelError, match=r"fc1\.bias is F64; weights can be F32, F16 or BF16"):
        open_model(tiny_folder)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda f: f.rename(f.with_name("gone")), "no such folder"),
        (lambda f: (f / "config.json").unlink(), "no config.json"),
        (lambda f: (f / "config.json").write_bytes(b"\xff\xfe"), "not UTF-8"),
        (lambda f: (f / "config.json").write_text("{"), "not valid JSON"),
        (lambda f: (f / "config.json").write_text("[" * 10000), "too deeply|not valid JSON"),
        (lambda f: (f / "config.json").write_text("[" * 100000), "more than 16,384 values"),
        (lambda f: (f / "config.json").write_text("[]"), "should hold a JSON object, holds list"),
        (lambda f: (f / "config.json").write_text('{"a": 1, "a": 2}'), "keys that occur twice: .'a'."),
        (lambda f: (f / "config.json").write_text('{"a": NaN}'), "NaN is not JSON"),
        (lambda f: (f / "config.json").write_text(f'{{"a": "{"x" * 2**21}"}}'), "larger than"),
        (lambda f: (f / "model.safetensors").unlink(), "has no weights"),
        (lambda f: (f / "model.safetensors").write_bytes(b""), "not a whole safetensors file"),
        (lambda f: (f / "model.safetensors").write_bytes(b"PK\3\4 this is a zip"), "not a whole safetensors file"),
    ],
)
def test_folders_that_are_not_models(tiny_folder: Path, spoil: Any, message: str) -> None:
    spoil(tiny_folder)
    with pytest.raises(ModelError, match=message):
        open_model(tiny_folder)


def test_a_file_is_not_a_folder(tiny_folder: Path) -> None:
    with pytest.raises(ModelError, match="is a file"):
        open_model(tiny_folder / "config.json")


def test_the_settings_say_what_the_engine_needs(tiny_folder: Path) -> None:
    found = marian.settings(open_model(tiny_folder).config)
    assert (found.encoder_layers, found.decoder_layers, found.encoder_heads, found.decoder_heads) == (2, 1, 2, 4)
    assert (found.encoder_ffn, found.decoder_ffn, found.activation) == (48, 64, "relu")


def test_the_real_model_opens(multi30k: Path) -> None:
    model = open_model(multi30k)
    assert sum(np.size(tensor) for tensor in model.tensors.values()) == 7_585_600
    assert len(model.roles) == 49
