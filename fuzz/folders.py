"""The tiny folders that fuzzing starts from, as file name -> bytes, and such a folder kept as one file."""

from __future__ import annotations

import json
import struct
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from builders.tiny_encoder import tiny_encoder_folder
from builders.tiny_marian import tiny_marian_folder
from builders.tiny_packed import EVERY_KIND, quantized
from builders.tiny_student import FLOAT16, FLOAT32, INTGEMM8, tiny_student_folder
from subbyte import quantize
from subbyte.folders.converted import saving
from subbyte.folders.converted.loading import load
from subbyte.models.translation import sinusoidal_positions

Files = dict[str, bytes]
KINDS = ("converted", "safetensors", "bergamot", "encoder", "packed")
WEIGHTS = "model.safetensors"

SMALL: Mapping[str, Any] = {
    "d_model": 8, "encoder_layers": 1, "encoder_attention_heads": 2, "decoder_attention_heads": 4,
    "encoder_ffn_dim": 12, "decoder_ffn_dim": 8, "max_position_embeddings": 24,
}  # fmt: skip
UNTIED = {"share_encoder_decoder_embeddings": False, "tie_word_embeddings": False}
ENCODER: Mapping[str, int] = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1}
STATIC = """
activations = "static"
permute = true
[[tensors]]
match = "*"
family = "uniform"
bits = 4
mode = "affine"
[[points]]
match = "*"
bits = 8
columns = 1
[[points]]
match = ["layers.*.scores", "layers.*.probabilities", "pooler", "classifier"]
bits = 16
[[points]]
match = ["*.output", "layers.*.context", "layers.*.ffn_input", "layers.*.hidden"]
bits = 4
columns = 16
operand = true
"""
CODED: Mapping[str, Any] = {  # large enough to be coded, some of it in two chunks
    **SMALL, "d_model": 64, "encoder_ffn_dim": 1100, "decoder_ffn_dim": 64,
}  # fmt: skip
CODED_ENCODER: Mapping[str, int] = {**ENCODER, "hidden_size": 96, "intermediate_size": 96}
STUDENT: Mapping[str, str | None] = {
    "dim_emb": "8", "transformer_heads": "2", "transformer_dim_ffn": "12", "enc_depth": "1", "dec_depth": "1",
}  # fmt: skip


@cache
def seeds(kind: str) -> tuple[Files, ...]:
    """The folders of a kind; the same bytes on every machine."""
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        if kind == "converted":
            folders = [
                _converted(
                    tiny_marian_folder(home / "a", **{**SMALL, "d_model": 16, "decoder_ffn_dim": 16}), EVERY_KIND
                ),
                _converted(tiny_marian_folder(home / "b", **{**SMALL, "d_model": 20}), "uniform3"),
                _converted(tiny_marian_folder(home / "c", **SMALL, **UNTIED, activation_function="swish"), "nmt-mixed"),
                _converted(tiny_marian_folder(home / "d", **SMALL), "binary4"),
                _converted(_small_pieces(tiny_student_folder(home / "e", **STUDENT)), "int8"),
                _converted(_one_vocabulary(tiny_marian_folder(home / "f", **SMALL)), "uniform3", packed=True),
            ]
        elif kind == "safetensors":
            half = tiny_marian_folder(home / "b", dtype="float16", **SMALL, **UNTIED, activation_function="gelu")
            folders = [tiny_marian_folder(home / "a", **SMALL), half, _sharded(tiny_marian_folder(home / "c", **SMALL))]
        elif kind == "encoder":
            bert = tiny_encoder_folder(home / "a", "bert, classifier", **ENCODER)
            (home / "static.toml").write_text(STATIC)
            folders = [
                bert,
                tiny_encoder_folder(home / "b", "distilbert, classifier", n_layers=1),
                tiny_encoder_folder(home / "c", "roberta, classifier", **ENCODER),
                _quantized(bert, home / "static.toml"),
                _quantized(tiny_encoder_folder(home / "e", "bert", **ENCODER), "encoder4"),
                _packed(_quantized(tiny_encoder_folder(home / "f", "bert", **ENCODER), "uniform4")),
            ]
        elif kind == "packed":
            student = {**STUDENT, "dim_emb": "64", "transformer_dim_ffn": "64"}
            folders = [
                _converted(tiny_marian_folder(home / "a", **CODED), EVERY_KIND, packed=True),
                _converted(tiny_marian_folder(home / "b", **CODED), "uniform4", packed=True),
                _converted(_small_pieces(tiny_student_folder(home / "c", **student)), "uniform3", packed=True),
                _converted(tiny_encoder_folder(home / "d", "bert", **CODED_ENCODER), "normal4", packed=True),
                _converted(tiny_marian_folder(home / "e", **{**SMALL, "d_model": 32}), "uniform4", packed=True),
            ]
        else:
            untied = {**STUDENT, "tied_embeddings_all": None}
            plain = tiny_student_folder(home / "b", FLOAT32, **untied, transformer_decoder_autoreg="self-attention")
            (plain / "config.intgemm8bitalpha.yml").unlink()
            folders = [
                _small_pieces(tiny_student_folder(home / "a", INTGEMM8, **STUDENT)),
                _small_pieces(plain),
                tiny_student_folder(home / "c", FLOAT16, separate=True, **untied, tied_embeddings="true"),
            ]
        return tuple(read_folder(folder) for folder in folders)


def _converted(folder: Path, recipe_text: str, *, packed: bool = False) -> Path:
    """The folder converted, into one beside it."""
    out = folder.with_name(f"{folder.name}-converted")
    saving.save(quantized(folder, recipe_text), out, report={"tensors": {}}, packed=packed)
    return out


def _packed(folder: Path) -> Path:
    """A converted folder packed, into one beside it."""
    out = folder.with_name(f"{folder.name}-packed")
    saving.save(load(folder), out, report={"tensors": {}}, packed=True)
    return out


def _one_vocabulary(folder: Path) -> Path:
    """The folder with the source's sentencepiece model for the target too."""
    (folder / "target.spm").write_bytes((folder / "source.spm").read_bytes())
    return folder


def _quantized(folder: Path, recipe: str | Path) -> Path:
    """The encoder under a recipe, in a folder beside it."""
    text = folder.parent / "text"
    text.write_text("".join(f"{chr(97 + i % 26)} {chr(97 + i * i % 26)} b\n" for i in range(20)))
    out = folder.with_name(f"{folder.name}-converted")
    quantize(folder, out, recipe, calibration=text)
    return out


def _sharded(folder: Path) -> Path:
    """The folder with its weights in two files and an index, in bfloat16, with a table of positions."""
    tensors = tensors_of((folder / WEIGHTS).read_bytes())
    table = sinusoidal_positions(24, 8)
    tensors["model.encoder.embed_positions.weight"] = ("F32", list(table.shape), table.astype("<f4").tobytes())
    names = sorted(tensors)
    index = {}
    for number in range(2):
        name = f"model-0000{number + 1}-of-00002.safetensors"
        part = {key: _bfloat16(*tensors[key]) for key in names[number::2]}
        (folder / name).write_bytes(safetensors_file(part, {"format": "pt"}))
        index |= dict.fromkeys(part, name)
    (folder / f"{WEIGHTS}.index.json").write_text(json.dumps({"metadata": {}, "weight_map": index}))
    (folder / WEIGHTS).unlink()
    return folder


def _small_pieces(folder: Path) -> Path:
    """The folder with sentencepiece models that have no table of normalizations, which is nearly all of their bytes."""
    for path in folder.glob("*.spm"):
        fields = protobuf_fields(path.read_bytes())
        fields = [(3, 2, protobuf([f for f in protobuf_fields(v) if f[0] != 2])) if n == 3 else (n, wire, v)
                  for n, wire, v in fields]  # fmt: skip
        path.write_bytes(protobuf(fields))
    return folder


def _bfloat16(dtype: str, shape: list[int], data: bytes) -> tuple[str, list[int], bytes]:
    upper = (np.frombuffer(data, "<u4") >> 16).astype("<u2")
    return "BF16", shape, upper.tobytes()


def read_folder(folder: Path) -> Files:
    """Every file of a folder."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def write_folder(folder: Path, files: Files) -> None:
    """Make `folder` hold these files and nothing else."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.iterdir():
        if path.name not in files:
            path.unlink()
    for name, data in files.items():
        (folder / name).write_bytes(data)


def write_case(path: Path, files: Files, facts: Mapping[str, Any]) -> None:
    """A folder as one zip; `facts` (which case this is, what was done to it) are its comment."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)  # ZipInfo: without today's date
        archive.comment = json.dumps(dict(facts)).encode()[:60000]


def read_case(path: Path) -> tuple[Files, dict[str, Any]]:
    """What `write_case` wrote."""
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}, json.loads(archive.comment or b"{}")


# --- the two containers, written without checks


def tensors_of(data: bytes) -> dict[str, tuple[str, list[int], bytes]]:
    """Name -> type, shape, bytes of a whole safetensors file."""
    start = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:start])
    header.pop("__metadata__", None)
    return {
        name: (
            entry["dtype"],
            entry["shape"],
            data[start + entry["data_offsets"][0] : start + entry["data_offsets"][1]],
        )
        for name, entry in header.items()
    }


def safetensors_file(tensors: Mapping[str, tuple[str, list[int], bytes]], metadata: Mapping[str, Any]) -> bytes:
    """A safetensors file whose header says of each tensor what is given here, true or not."""
    header: dict[str, Any] = {"__metadata__": dict(metadata)}
    at = 0
    for name, (dtype, shape, data) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + len(data)]}
        at += len(data)
    return with_header(json.dumps(header).encode(), b"".join(data for _, _, data in tensors.values()))


def with_header(header: bytes, body: bytes) -> bytes:
    """A safetensors file with this text as its header."""
    header += b" " * (-len(header) % 8)
    return struct.pack("<Q", len(header)) + header + body


# --- protocol buffers, as far as sentencepiece uses them

Field = tuple[int, int, bytes]  # number, wire type, the bytes of the value: a varint, 8, a string, 4


def protobuf_fields(data: bytes) -> list[Field]:
    """The fields of a message that is whole, in their order."""
    fields = []
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        end = at
        match key & 7:
            case 0:
                end = _varint(data, at)[1]
            case 1:
                end = at + 8
            case 2:
                length, at = _varint(data, at)
                end = at + length
            case 5:
                end = at + 4
            case other:
                raise ValueError(f"wire type {other}")
        if end > len(data):
            raise ValueError("a field is cut")
        fields.append((key >> 3, key & 7, data[at:end]))
        at = end
    return fields


def protobuf(fields: list[Field]) -> bytes:
    """The message with these fields."""
    return b"".join(
        varint(number << 3 | wire) + (varint(len(value)) if wire == 2 else b"") + value
        for number, wire, value in fields
    )


def varint(value: int) -> bytes:
    """A number of 64 bits as protocol buffers write it."""
    value &= 2**64 - 1
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(data) and shift < 70:
        value |= (data[at] & 127) << shift
        at += 1
        if data[at - 1] < 128:
            return value, at
        shift += 7
    raise ValueError("a number is cut")
