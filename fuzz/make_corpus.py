#!/usr/bin/env python3
"""Writes fuzz/corpus: a small folder for each fault that was found, and for some that others had. Run by hand."""

from __future__ import annotations

import json
import random
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

from folders import (
    WEIGHTS,
    Files,
    protobuf,
    protobuf_fields,
    safetensors_file,
    seeds,
    tensors_of,
    with_header,
    write_case,
)
from mutations import change_values

CORPUS = Path(__file__).resolve().parent / "corpus"


def edited(files: Files, name: str, **changes: Any) -> Files:
    """Keys of a JSON file changed."""
    return {**files, name: json.dumps(json.loads(files[name]) | changes).encode()}


def _spoiled(pieces: bytes) -> bytes:
    """A sentencepiece model whose last piece is not UTF-8."""
    fields = protobuf_fields(pieces)
    last = max(i for i, field in enumerate(fields) if field[0] == 1)
    parts = [(n, wire, b"\xff" if n == 1 else value) for n, wire, value in protobuf_fields(fields[last][2])]
    fields[last] = (1, 2, protobuf(parts))
    return protobuf(fields)


def main() -> None:
    """Write all of them."""
    converted, plain, student = seeds("converted")[3], seeds("safetensors")[0], seeds("bergamot")[0]
    settings, generation, tokenizer = "config.json", "generation_config.json", "tokenizer_config.json"
    name = next(name for name in student if name.startswith("model"))
    tensors = tensors_of(plain[WEIGHTS])
    huge = {key: (dtype, shape, struct.pack("<f", 3e38) * (len(data) // 4) if "shared" in key else data)
            for key, (dtype, shape, data) in tensors.items()}  # fmt: skip
    dtype, shape, data = tensors["model.shared.weight"]
    some = {**tensors, "model.shared.weight": (dtype, shape, data[:96] + struct.pack("<f", 1e30) * 40 + data[256:])}
    many = {**tensors, **{f"{i:x}": ("U8", [0], b"") for i in range(5000)}}
    denormal = {key: (dtype, shape, struct.pack("<H", 1) * (len(data) // 2) if dtype == "F16" else data)
                for key, (dtype, shape, data) in tensors_of(converted[WEIGHTS]).items()}  # fmt: skip
    length = 8 + int.from_bytes(converted[WEIGHTS][:8], "little")
    metadata = json.loads(converted[WEIGHTS][8:length])["__metadata__"]
    packed = seeds("packed")[-1]
    coded = tensors_of(packed[WEIGHTS])
    start = 8 + int.from_bytes(packed[WEIGHTS][:8], "little")
    manifest = json.loads(packed[WEIGHTS][8:start])["__metadata__"]
    large = max((key for key in coded if ".coded" in key), key=lambda key: len(coded[key][2]))

    def spoiled(change: Callable[[bytes], bytes]) -> Files:
        """The packed folder with another array of coded codes, whose shape fits it."""
        data = change(coded[large][2])
        return {**packed, WEIGHTS: safetensors_file({**coded, large: ("U8", [len(data)], data)}, manifest)}

    cases: dict[str, Files] = {
        "beams-9999": edited(converted, generation, num_beams=9999),
        "beams-text": edited(converted, generation, num_beams="4"),
        "min-length-negative": edited(plain, generation, min_length=-1),
        "length-penalty-list": edited(plain, generation, length_penalty=[1]),
        "length-penalty-large": edited(converted, generation, length_penalty=10**400),
        "every-word-banned": edited(plain, generation, bad_words_ids=[[i] for i in range(103)],
                                    forced_eos_token_id=None),
        "piece-not-utf-8": {**plain, "source.spm": _spoiled(plain["source.spm"])},
        "piece-not-utf-8-student": {**student, "vocab.xxyy.spm": _spoiled(student["vocab.xxyy.spm"])},
        "yml-beam-9999": {**student, "config.intgemm8bitalpha.yml": b"beam-size: 9999\n"
                          + student["config.intgemm8bitalpha.yml"]},
        "yml-penalty": {**student, "config.intgemm8bitalpha.yml": b"normalize: -999999999\n"
                        + student["config.intgemm8bitalpha.yml"]},
        "surrogate-in-index": {**{key: value for key, value in plain.items() if key != WEIGHTS},
                               f"{WEIGHTS}.index.json": b'{"weight_map": {"a": "\\ud800"}}'},
        "surrogate-in-config": {**plain, settings: plain[settings].rstrip()[:-1] + b', "x": "\\ud800"}'},
        "added-token-of-5000-digits": edited(plain, tokenizer, added_tokens_decoder={"9" * 5000: {"content": "x"}}),
        "added-tokens-many": edited(plain, tokenizer, extra_special_tokens=[f"{i:0300}" for i in range(400)]),
        "nested-config": {**converted, settings: converted[settings].rstrip()[:-1] + b', "d_model2": '
                          + b"[" * 900 + b"]" * 900 + b"}"},
        "small-config-large-in-memory": {**converted, settings: b'{"a": [' + b"[]," * 170000 + b"0]}"},
        "huge-weights": {**plain, WEIGHTS: safetensors_file(huge, {"format": "pt"})},
        "some-huge-weights": {**plain, WEIGHTS: safetensors_file(some, {"format": "pt"})},
        "5000-tensors": {**plain, WEIGHTS: safetensors_file(many, {"format": "pt"})},
        "wide-ffn": edited(converted, settings, encoder_ffn_dim=131072),
        "denormal-scales": {**converted, WEIGHTS: safetensors_file(denormal, metadata)},
        "shape-product-wraps": {**plain, WEIGHTS: with_header(
            b'{"final_logits_bias": {"dtype": "F32", "shape": [4398046511105, 4398046511105], "data_offsets": [0, 4]}}',
            bytes(4))},
        "twice": {**plain, WEIGHTS: with_header(b'{"a": 1, ' + plain[WEIGHTS][9:8 + int.from_bytes(
            plain[WEIGHTS][:8], "little")].replace(b'"model.shared.weight"', b'"a"'), b"")},
        "marian-count": {**student, name: student[name][:8] + struct.pack("<Q", 2**42 + 1) + student[name][16:]},
        "marian-data-strange": {**student, name: change_values(student[name], "int8", random.Random(4))},
        "coded-symbols-beyond-bits": spoiled(lambda data: bytes([0, 255]) + data[2:]),
        "coded-frequency-more": spoiled(lambda data: data[:2] + bytes([data[2] ^ 1]) + data[3:]),
        "coded-words-missing": spoiled(lambda data: data[:-2]),
        "coded-words-left": spoiled(lambda data: data + bytes(2)),
        "coded-last-word": spoiled(lambda data: data[:-1] + bytes([data[-1] ^ 128])),
        "coded-in-version-1": {**packed, WEIGHTS: safetensors_file(coded, {
            "subbyte": manifest["subbyte"].replace('"format_version":2', '"format_version":1')})},
        "coded-wide-ffn": edited(packed, settings, encoder_ffn_dim=131072),
        "seed-packed": packed,
        "seed-converted": converted,
        "seed-safetensors": plain,
        "seed-bergamot": student,
    }  # fmt: skip
    for case, files in cases.items():
        files = {
            file: data for file, data in files.items() if file not in ("README.md", "report.json", "manifest.json")
        }
        write_case(CORPUS / f"{case}.zip", files, {"number": 0})


if __name__ == "__main__":
    main()
