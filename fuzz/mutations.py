"""Changes to a model folder that know its formats: what a stranger with an editor, and one without, could have done.

Every function takes bytes and a generator and gives bytes; `mutate` chooses a file and a function for it. What it does
depends on the generator alone, so that a seed and a number are enough to make a case again.
"""

from __future__ import annotations

import gzip
import json
import lzma
import random
import struct
import zlib
from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import Any

import numpy as np
from folders import (
    WEIGHTS,
    Files,
    protobuf,
    protobuf_fields,
    safetensors_file,
    tensors_of,
    varint,
    with_header,
)

from builders.tiny_student import BYTES, FLOAT16, FLOAT32, INTGEMM8, marian_file

INTEGERS = (
    0, 1, 2, 3, 4, 7, 8, 9, 12, 15, 16, 17, 24, 32, 48, 64, 100, 127, 128, 255, 256, 257, 1000, 2**15, 2**16, 2**16 + 1,
    2**17, 2**24, 2**24 + 1, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**42 + 1, 2**53, 2**53 + 1, 2**63 - 1, 2**63,
    2**64 - 1, 2**64, 10**30, 10**400, -1, -2, -8, -128, -(2**31), -(2**63),
)  # fmt: skip
RAW = ("NaN", "-Infinity", "1e999", "-1e999", "1e-320", "-0.0", "1" + "0" * 5000, "0.1", "1.0", "1e308", "[[[[[[]]]]]]")
WORDS = (
    "", "x", "0", "-1", "1.5", "true", "false", "null", "../config.json", "/etc/passwd", ".", "..", "a\0b", "\ud800",
    "\udc80.spm", "\u0663", "9" * 5000, "x" * 3000, "float32", "int8", "F32", "F16", "BF16", "I8", "U8", "F64", "BOOL",
    "model.safetensors", "config.json", "source.spm", "subbyte", "MarianMTModel", "BergamotStudent", "marian", "relu",
    "gelu", "swish", "silu", "ssru", "self_attention", "zero", "token", "transformers", "uniform", "shared.embedding",
    "</s>", "<unk>", "<pad>", "\u2581", ">>de<<", "a b", "(a+)+$", "<0x-1>", "<0x0A>", "\U0001f600",
)  # fmt: skip
SHAPES: tuple[Any, ...] = (
    None, True, False, [], {}, [[]], [{}], {"": 0}, [None], [0], [1, 1], [-1], [[0]], [[0, 1]], [0] * 9, [2**42 + 1, 4],
    [2**32, 2**32], {"content": "x"}, {"content": ""}, {"content": "</s>", "single_word": True}, [0] * 2000,
    ["x"] * 2000, [[]] * 2000, {"quant_method": "subbyte"}, {"method": "subbyte"},
    {"source": "source.spm", "target": "vocab.xxyy.spm"},
)  # fmt: skip
CONFIG_KEYS = (
    "architectures", "model_type", "activation_function", "d_model", "encoder_layers", "decoder_layers", "vocab_size",
    "encoder_attention_heads", "decoder_attention_heads", "encoder_ffn_dim", "decoder_ffn_dim", "decoder_vocab_size",
    "max_position_embeddings", "scale_embedding", "share_encoder_decoder_embeddings", "tie_word_embeddings",
    "static_position_embeddings", "normalize_before", "pad_token_id", "eos_token_id", "decoder_start_token_id",
    "unk_token_id", "forced_eos_token_id", "forced_bos_token_id", "bad_words_ids", "num_beams", "max_length",
    "min_length", "length_penalty", "early_stopping", "renormalize_logits", "do_sample", "repetition_penalty",
    "no_repeat_ngram_size", "suppress_tokens", "decoder_cell", "decoder_start", "position_rates", "layer_norm_eps",
    "source_model_type",
    "sentencepiece", "quantization_config", "_name_or_path", "hidden_size", "num_hidden_layers", "num_attention_heads",
    "intermediate_size", "type_vocab_size", "hidden_act", "id2label", "num_labels", "problem_type", "dim", "n_heads",
)  # fmt: skip
TOKENIZER_KEYS = (
    "tokenizer_class", "separate_vocabs", "eos_token", "unk_token", "pad_token", "bos_token", "added_tokens_decoder",
    "extra_special_tokens", "additional_special_tokens", "sp_model_kwargs", "split_special_tokens", "my_token",
    "clean_up_tokenization_spaces",
)  # fmt: skip
FLOATS = (
    float("nan"), float("inf"), -float("inf"), 3e38, -3e38, 1e38, 1e30, -1e20, 1e10, 1e-45, -1e-45, 1e-38, 0.0, -0.0,
    1.0, -1.0,
)  # fmt: skip
HALVES = (0x0000, 0x8000, 0x0001, 0x8001, 0x03FF, 0x0400, 0x7BFF, 0xFBFF, 0x7C00, 0xFC00, 0x7E00, 0xFFFF, 0x3C00)
YAML = (
    "beam-size: 9999", "beam-size: -5", "beam-size: 0.5", "beam-size: [1]", "normalize: -999999999", "allow-unk: true",
    "normalize: 999999999.9", "word-penalty: 1", "a: {b: c}", "- x", "models:", "vocabs: []", "models: [a.bin, b.bin]",
    "x: &a b", "x: *a", "x: !!python/object b", "dim-emb: 0", "dim-emb: 999999999", "enc-depth: 256",
    "dec-depth: 999999999", "transformer-heads: 3", "transformer-heads: 0", "transformer-dim-ffn: 131072",
    "dim-vocabs: [1, 2]", "dim-vocabs: [999999999, 999999999]", "type: s2s", "dec-cell: gru", "input-types: [class]",
    "transformer-decoder-autoreg: self-attention", "transformer-ffn-activation: swish", "output-omit-bias: true",
    "tied-embeddings: true", "tied-embeddings-all: false", "transformer-postprocess: dddddan", "transformer-aan-x: y",
    "x" * 3000, "x: [" + "a, " * 900, "\x85", "\u2028", "a: 'b", "a: [[b]]", "---", "...", "# no", "a:\tb", "a:\x0bb",
    "key: \x00",
)  # fmt: skip


def value(rng: random.Random, old: Any = None) -> Any:
    """Something to put where `old` was; strings that begin with a zero byte stand for raw JSON."""
    if type(old) is int and rng.random() < 0.3:
        return rng.choice((old + 1, old - 1, old * 2, -old, old // 2, float(old), str(old), old << 32))
    match rng.randrange(8):
        case 0 | 1 | 2:
            return rng.choice(INTEGERS)
        case 3:
            return "\0raw" + rng.choice(RAW)
        case 4 | 5:
            return rng.choice(WORDS)
        case 6:
            return deepcopy(rng.choice(SHAPES))  # a later change may be one inside of it
        case _:
            depth = rng.choice((3, 60, 70, 300, 900, 990, 1200))
            return "\0raw" + rng.choice(("[" * depth + "]" * depth, '{"a":' * depth + "0" + "}" * depth))


def dump(document: Any) -> bytes:
    """`document` as JSON, with the raw parts of `value` put in."""
    text = json.dumps(document, allow_nan=True)
    while (start := text.find('"\\u0000raw')) >= 0:
        end = start + 1
        while text[end] != '"':
            end += 2 if text[end] == "\\" else 1
        text = text[:start] + json.loads(text[start : end + 1])[4:] + text[end + 1 :]
    return text.encode()


def change_json(data: bytes, rng: random.Random, keys: Sequence[str] = ()) -> bytes:
    """One or two places of a JSON document changed, removed, doubled or exchanged, or a known key set."""
    try:
        document = json.loads(data)
    except ValueError:
        return change_bytes(data, rng)
    if not isinstance(document, dict):
        return change_bytes(data, rng)
    for _ in range(rng.choice((1, 1, 2))):
        if keys and rng.random() < 0.35:
            document[rng.choice(keys)] = value(rng)
            continue
        owner, key = _place(document, rng)
        if owner is None:
            continue
        match rng.randrange(8):
            case 0:
                del owner[key]
            case 1:
                other, place = _place(document, rng)
                if other is not None and key in (owner if isinstance(owner, dict) else range(len(owner))):
                    owner[key], other[place] = other[place], owner[key]
                    if _circular(document):
                        return data
            case 2 if isinstance(owner, dict):
                owner[str(rng.choice(WORDS))] = owner.pop(key)
            case 2:
                owner.insert(rng.randrange(len(owner) + 1), value(rng))
            case _:
                owner[key] = value(rng, owner[key])
    text = dump(document)
    if rng.random() < 0.04 and isinstance(document, dict) and document:
        name = rng.choice(list(document))
        text = b"{" + json.dumps(name).encode() + b": " + dump(value(rng)) + b", " + text[1:]  # the key is there twice
    return text


def _place(document: Any, rng: random.Random) -> tuple[Any, Any]:
    """A container inside and a key of it, deeper ones as often as those near the top."""
    here = document
    while True:
        if not isinstance(here, dict | list) or not here:
            return None, None
        key = rng.choice(list(here)) if isinstance(here, dict) else rng.randrange(len(here))
        deeper = here[key]
        if not isinstance(deeper, dict | list) or not deeper or rng.random() < 0.25:
            return here, key
        here = deeper


def _circular(document: Any) -> bool:
    try:
        json.dumps(document)
    except (ValueError, RecursionError):
        return True
    return False


def change_bytes(data: bytes, rng: random.Random) -> bytes:
    """Bits turned, numbers put in, parts cut, doubled, moved or filled, without regard to what they are."""
    out = bytearray(data)
    size = len(out)
    at = rng.randrange(size) if size else 0
    length = min(rng.choice((1, 2, 4, 8, 16, 100, 1000)), size - at)
    match rng.randrange(9):
        case 0 | 1:
            for _ in range(rng.choice((1, 1, 2, 8))):
                if size:
                    out[rng.randrange(size)] ^= 1 << rng.randrange(8)
        case 2:
            number = struct.pack(rng.choice("<>") + "Q", rng.choice(INTEGERS) & (2**64 - 1))
            width = rng.choice((1, 2, 4, 8))
            out[at : at + width] = number[:width]
        case 3:
            del out[rng.choice((at, at, size - 1, 0, 7, 8, 9)) :]
        case 4:
            del out[at : at + length]
        case 5:
            out[at:at] = out[at : at + length] * rng.choice((1, 1, 3, 50))
        case 6:
            out[at : at + length] = bytes([rng.choice((0, 255, 32, 91, 123))]) * length
        case 7:
            out[at:at] = rng.randbytes(rng.choice((1, 4, 64)))
        case _:
            out += rng.choice((b"\0", b"\0" * 8, rng.randbytes(100), data[:200]))
    return bytes(out)


# --- safetensors

KEYS_OF_ENTRIES = ("dtype", "shape", "data_offsets")


def change_safetensors(data: bytes, rng: random.Random) -> bytes:
    """The header or manifest changed as JSON, entries exchanged, or a file made anew of tensors that were changed."""
    length = int.from_bytes(data[:8], "little")
    try:
        header = json.loads(data[8 : 8 + length])
        tensors = tensors_of(data)
    except (ValueError, TypeError, KeyError, AttributeError):
        return change_bytes(data, rng)
    body = data[8 + length :]
    match rng.randrange(10):
        case 0:
            return (
                struct.pack("<Q", rng.choice((*INTEGERS, length + 1, length - 1, len(data))) & (2**64 - 1)) + data[8:]
            )
        case 1:
            return with_header(change_json(data[8 : 8 + length], rng), body)
        case 2 if len(tensors) > 1:  # entries exchanged, whole or in part
            first, second = rng.sample(sorted(tensors), 2)
            for field in KEYS_OF_ENTRIES if rng.random() < 0.3 else (rng.choice(KEYS_OF_ENTRIES),):
                header[first][field], header[second][field] = header[second][field], header[first][field]
            return with_header(json.dumps(header).encode(), body)
        case 3 if tensors:  # one number of one entry
            fields = header[rng.choice(sorted(tensors))]
            numbers = fields[rng.choice(("shape", "data_offsets"))]
            if numbers:
                place = rng.randrange(len(numbers))
                numbers[place] = value(rng, numbers[place])
            return with_header(dump(header), body)
        case 4 | 5 if "subbyte" in header.get("__metadata__", {}):
            manifest = change_json(header["__metadata__"]["subbyte"].encode(), rng)
            header["__metadata__"]["subbyte"] = manifest.decode("utf-8", "replace")
            return with_header(json.dumps(header).encode(), body)
        case 6:
            name = rng.choice(sorted(tensors))
            twice = b"{" + json.dumps(name).encode() + b": " + json.dumps(header[name]).encode() + b", "
            return with_header(twice + data[9 : 8 + length], body)
        case _:
            for _ in range(rng.choice((1, 1, 3))):
                change_tensor(tensors, rng)
            return safetensors_file(tensors, header.get("__metadata__", {}))


def change_tensor(tensors: dict[str, tuple[Any, Any, bytes]], rng: random.Random) -> None:
    """A tensor removed, renamed, copied, cut, given another type or shape, or other values."""
    if not tensors:
        return
    name = rng.choice(sorted(tensors))
    dtype, shape, data = tensors[name]
    match rng.randrange(10):
        case 0:
            del tensors[name]
        case 1:
            tensors[str(rng.choice((*WORDS, *tensors, name + ".x")))] = tensors.pop(name)
        case 2:
            tensors[name + rng.choice((".0", ".codes", ".coded", ".zero", ".alphas", "2"))] = tensors[name]
        case 3:
            tensors[name] = (rng.choice(("F32", "F16", "BF16", "I8", "U8", "BOOL", "F64", "I64", "Q4")), shape, data)
        case 4:
            turned = [*shape[::-1]] if rng.random() < 0.5 else [1, *shape]
            tensors[name] = (dtype, turned, data)
        case 5 if len(shape) and shape[0] > 1:
            rows = rng.randrange(shape[0])
            tensors[name] = (dtype, [rows, *shape[1:]], data[: len(data) * rows // shape[0]])
        case _ if ".coded" in name:
            changed = change_coded(data, rng)
            tensors[name] = (dtype, [len(changed)], changed)
        case _:
            tensors[name] = (dtype, shape, change_values(data, _width(dtype), rng))


def _width(dtype: Any) -> str:
    return {"F32": "<f4", "F16": "<f2", "BF16": "bf", FLOAT32: "<f4", FLOAT16: "<f2", INTGEMM8: "int8"}.get(dtype, "u1")


def change_values(data: bytes, kind: str, rng: random.Random) -> bytes:
    """Some values, or all, become numbers that arithmetic does not like."""
    width = {"<f4": 4, "<f2": 2, "bf": 2}.get(kind, 1)
    if len(data) < width:
        return data
    array = np.frombuffer(data[: len(data) // width * width], f"<u{width}").copy()
    if kind == "<f4":
        new = int(np.float32(rng.choice(FLOATS)).view("<u4"))
    elif kind == "<f2":
        new = rng.choice(HALVES)
    elif kind == "bf":
        new = int(np.float32(rng.choice(FLOATS)).view("<u4")) >> 16
    else:
        new = rng.choice((0, 1, 127, 128, 129, 255))
    match rng.randrange(4):
        case 0:
            array[:] = new
        case 1:
            array[rng.randrange(array.size)] = new
        case 2:
            array[:: rng.choice((2, 3, 5, 16))] = new
        case _:
            start = rng.randrange(array.size)
            array[start : start + rng.choice((1, 8, 16, 64))] = new
    return array.tobytes() + data[array.size * width :]


# --- entropy-coded codes


def change_coded(data: bytes, rng: random.Random) -> bytes:
    """A number of the table, of the lengths or of the states changed, words cut, added or exchanged; or just bytes."""
    try:
        table, lengths, chunks = _coded_parts(data)
    except (ValueError, IndexError):
        return change_bytes(data, rng)
    symbols = [i for i, f in enumerate(table) if f]
    low, high, at = data[0], data[1], rng.randrange(len(chunks))
    number = rng.choice((0, 1, 2, 31, 32, 33, 127, 128, 16383, 16384, 32767, 65535, 65536, 2**31, 2**32 - 1))
    match rng.randrange(11):
        case 0:
            low, high = rng.choice(((low + 1, high), (low, high + 1), (high, low), (0, high), (low, 255), (7, 7)))
        case 1:  # another table that is one
            first, second, some = rng.choice(symbols), rng.randrange(len(table)), rng.choice((1, 2, 100))
            if table[first] > some:
                table[first], table[second] = table[first] - some, min(table[second] + some, 32767)
        case 2:
            table[rng.randrange(len(table))] = min(number, 32767)
        case 3:
            lengths[at] = rng.choice((number, lengths[at] + 1, lengths[at] - 2, lengths[at] + 2, len(data)))
        case 4:
            other = rng.randrange(len(chunks))
            lengths[at], lengths[other] = lengths[at] - number, lengths[other] + number
        case 5:
            chunks[at] = struct.pack("<I", number) * 8 + chunks[at][32:]
        case 6:
            lane = 4 * rng.randrange(8)
            chunks[at] = chunks[at][:lane] + struct.pack("<I", number) + chunks[at][lane + 4 :]
        case 7:
            chunks[at] = chunks[at][: rng.choice((0, 31, 32, 34, len(chunks[at]) - 2, len(chunks[at]) - 1))]
            lengths[at] = len(chunks[at])
        case 8:
            chunks[at] += rng.choice((b"\0", b"\0\0", b"\xff\xff", rng.randbytes(64)))
            lengths[at] = len(chunks[at])
        case 9:
            words = 32 + 2 * rng.randrange(max(1, (len(chunks[at]) - 32) // 2))
            chunks[at] = chunks[at][:words] + rng.randbytes(2) + chunks[at][words + 2 :]
        case _:
            return change_bytes(data, rng)
    out = bytes([low & 255, high & 255])
    out += b"".join(bytes([f]) if f < 128 else bytes([128 | f >> 8, f & 255]) for f in table)
    return out + struct.pack(f"<{len(lengths)}I", *(length & 2**32 - 1 for length in lengths)) + b"".join(chunks)


def _coded_parts(data: bytes) -> tuple[list[int], list[int], list[bytes]]:
    """Table, lengths and chunks of coded codes that are whole."""
    table, at = [], 2
    for _ in range(data[0], data[1] + 1):
        wide = data[at] >= 128
        table.append((data[at] & 127) << 8 | data[at + 1] if wide else data[at])
        at += 1 + wide
    lengths: list[int] = []
    while sum(lengths) < len(data) - at:
        lengths.append(int.from_bytes(data[at : at + 4], "little"))
        at += 4
    if not lengths or sum(lengths) != len(data) - at:
        raise ValueError("not whole")
    chunks = []
    for length in lengths:
        chunks.append(data[at : at + length])
        at += length
    return table, lengths, chunks


# --- Marian's container


def change_marian(data: bytes, rng: random.Random) -> bytes:
    """A number of the header changed, or the file made anew of tensors or options that were changed."""
    try:
        numbers, tensors = _marian_parts(data)
    except (struct.error, ValueError, UnicodeDecodeError):
        return change_bytes(data, rng)
    if rng.random() < 0.45:
        out = bytearray(data)
        for _ in range(rng.choice((1, 1, 2))):
            code, at = rng.choice(numbers)
            old = struct.unpack_from(code, data, at)[0]
            new = rng.choice((*INTEGERS, old + 1, old - 1, old * 256, 0x101, 0x102, 0x402, 0x404, 0x4101, 0x4102))
            struct.pack_into(code.upper(), out, at, new & (2 ** (8 * struct.calcsize(code)) - 1))
        return bytes(out)
    options = "special:model.yml"
    if rng.random() < 0.4 and options in tensors:
        text = change_yaml(tensors[options][2].rstrip(b"\0"), rng) + b"\0"
        tensors[options] = (BYTES, [len(text)], text)
    else:
        for _ in range(rng.choice((1, 1, 3))):
            change_tensor(tensors, rng)
    stored = {}
    for name, (kind, shape, part) in tensors.items():
        kind = {"F32": FLOAT32, "F16": FLOAT16, "I8": INTGEMM8, "U8": BYTES}.get(kind, kind)
        stored[name.encode("utf-8", "replace").decode()] = (kind if isinstance(kind, int) else 0x4102, shape, part)
    return marian_file(stored, alignment=rng.choice((1, 4, 256)))


def _marian_parts(data: bytes) -> tuple[list[tuple[str, int]], dict[str, tuple[Any, Any, bytes]]]:
    """Code and place of every number of the header; name -> type, shape, bytes."""
    count = struct.unpack_from("<Q", data, 8)[0]
    if count > 10000:
        raise ValueError("too many")
    headers = [struct.unpack_from("<4Q", data, 16 + 32 * i) for i in range(count)]
    at = 16 + 32 * count
    numbers = [("<Q", 8 * i) for i in range(2 + 4 * count)]
    names = []
    for length, _, _, _ in headers:
        names.append(data[at : at + length - 1].decode())
        at += length
    shapes = []
    for _, _, rank, _ in headers:
        if rank > 100:
            raise ValueError("too many")
        shapes.append(list(struct.unpack_from(f"<{rank}i", data, at)))
        numbers += [("<i", at + 4 * i) for i in range(rank)]
        at += 4 * rank
    numbers.append(("<Q", at))
    at += 8 + struct.unpack_from("<Q", data, at)[0]
    tensors = {}
    for name, (_, kind, _, length), shape in zip(names, headers, shapes, strict=True):
        tensors[name] = (kind, shape, data[at : at + length])
        at += length
    return numbers, tensors


def change_yaml(data: bytes, rng: random.Random) -> bytes:
    """Lines removed, doubled, exchanged, or set to what should not stand there."""
    lines = data.decode("utf-8", "replace").splitlines()
    for _ in range(rng.choice((1, 1, 2))):
        line = rng.choice(YAML)
        key = line.split(":")[0]
        match rng.randrange(5):
            case 0 if lines:
                del lines[rng.randrange(len(lines))]
            case 1 if lines:
                lines.insert(rng.randrange(len(lines)), rng.choice(lines))
            case 2 if lines:
                at = rng.randrange(len(lines))
                lines[at] = lines[at].split(":")[0] + ": " + str(value(rng)).replace("\0raw", "")[:200]
            case _:
                lines = [*(old for old in lines if old.split(":")[0] != key), line]
    return "\n".join(lines).encode("utf-8", "replace")


# --- sentencepiece


def change_pieces(data: bytes, rng: random.Random) -> bytes:
    """Pieces, their scores and types, and settings of a sentencepiece model changed, or its bytes."""
    if len(data) > 1 << 20 or rng.random() < 0.3:
        return change_bytes(data, rng)
    try:
        fields = protobuf_fields(data)
        at = rng.randrange(len(fields))
        if rng.random() < 0.3:
            at = rng.choice([i for i, field in enumerate(fields) if field[0] != 1] or [at])
        number, wire, inner = fields[at]
        parts = protobuf_fields(inner) if wire == 2 else []
    except (ValueError, IndexError):
        return change_bytes(data, rng)
    match rng.randrange(8):
        case 0:
            del fields[at]
        case 1:
            fields.insert(rng.randrange(len(fields)), fields[at])
        case 2:
            other = rng.randrange(len(fields))
            fields[at], fields[other] = fields[other], fields[at]
        case 3:
            del fields[rng.randrange(len(fields)) :]
        case _ if parts:
            part = rng.randrange(len(parts))
            name, kind, old = parts[part]
            if kind == 2:
                new = rng.choice(
                    (b"", b"\xff\xfe", b"\0", "\u2581".encode(), b"a" * 3000, old * 2, change_bytes(old, rng))
                )
            elif kind == 0:
                new = varint(rng.choice(INTEGERS))
            else:
                new = struct.pack("<f" if kind == 5 else "<d", rng.choice(FLOATS))
            parts[part] = (rng.choice((name, name, name, 1, 2, 3, 41)), kind, new)
            fields[at] = (number, wire, protobuf(parts))
        case _:
            fields[at] = (number, wire, change_bytes(inner, rng))
    return protobuf(fields)


# --- packed files


def change_packed(name: str) -> Callable[[bytes, random.Random], bytes]:
    """What is done to a packed file: its content changed and packed again, or the packing spoiled."""
    pack, unpack = (gzip.compress, gzip.decompress) if name.endswith(".gz") else (lzma.compress, lzma.decompress)
    plain = name.rpartition(".")[0]

    def change(data: bytes, rng: random.Random) -> bytes:
        match rng.randrange(12):
            case 0:
                return pack(bytes(rng.choice((0, 1, 1 << 20, 1 << 24))))
            case 1:
                return lzma.compress(rng.randbytes(100), preset=rng.choice((0, 6, 7, 9)))  # it asks for up to 65 MiB
            case 2:
                return lzma.compress(data, rng.choice((lzma.FORMAT_ALONE, lzma.FORMAT_XZ)))
            case 3:
                return data + rng.choice((data, data[:20], bytes(4), rng.randbytes(9)))
            case 4 | 5:
                return change_bytes(data, rng)
        try:
            content = unpack(data)
        except (*UNKNOWING, OSError, EOFError, zlib.error, lzma.LZMAError):
            return change_bytes(data, rng)
        return pack(change_of(plain)[1](content, rng))

    change.__name__ = "change_packed"
    return change


# --- the folder


def change_of(name: str) -> tuple[float, Callable[[bytes, random.Random], bytes]]:
    """How often a file of this name is chosen, and what is done to it."""

    def settings(data: bytes, rng: random.Random) -> bytes:
        return change_json(data, rng, TOKENIZER_KEYS if "token" in name else CONFIG_KEYS)

    if name.endswith((".xz", ".gz")):
        return 2, change_packed(name)
    if name.endswith(".safetensors"):
        return 6, change_safetensors
    if name.endswith(".spm"):
        return 1.5, change_pieces
    if name.startswith("lex"):
        return 0.1, change_bytes
    if name.endswith(".bin"):
        return 6, change_marian
    if name.endswith(".yml"):
        return 2, change_yaml
    if name == "vocab.json" or name == "target_vocab.json":
        return 1, change_json
    if name in ("config.json", "generation_config.json", "tokenizer_config.json", "activations.json"):
        return 2.5, settings
    return (1, change_json) if name.endswith(".json") else (0.2, change_bytes)


ADDED = (
    "special_tokens_map.json", "added_tokens.json", "pytorch_model.bin", "x.yml", "model2.bin", WEIGHTS, "LICENSE",
    f"{WEIGHTS}.index.json", "generation_config.json", "manifest.json", "config.json", "lex.bin", "target_vocab.json",
    "source.spm", "target.spm.xz", "vocab.json.gz", "tokenizer.json.xz", "tokenizer.json",
)  # fmt: skip


UNKNOWING = (RecursionError, LookupError, TypeError, ValueError, AttributeError, ArithmeticError, struct.error)


def mutate(files: Files, other: Files, rng: random.Random) -> tuple[Files, str]:
    """The folder with one to three changes, and what they were. `other` is where spliced parts come from."""
    files = dict(files)
    done = []
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        names = sorted(files)
        if not names:
            break
        name = rng.choices(names, [change_of(name)[0] for name in names])[0]
        action = rng.random()
        if action < 0.80:
            change = change_of(name)[1]
            try:
                files[name] = change(files[name], rng)
            except UNKNOWING:  # an earlier change left nothing to know
                files[name] = change_bytes(files[name], rng)
            done.append(f"{change.__name__} {name}")
        elif action < 0.90:
            files[name] = change_bytes(files[name], rng)
            done.append(f"change_bytes {name}")
        elif action < 0.94 and other:
            donor = other[name] if name in other else other[rng.choice(sorted(other))]
            cut = rng.randrange(len(donor) + 1)
            files[name] = donor if rng.random() < 0.5 else files[name][:cut] + donor[cut:]
            done.append(f"splice {name}")
        elif action < 0.96:
            del files[name]
            done.append(f"delete {name}")
        elif action < 0.98:
            second = rng.choice(names)
            files[name], files[second] = files[second], files[name]
            done.append(f"exchange {name} {second}")
        else:
            added = rng.choice(ADDED)
            files[added] = rng.choice((b"", b"{}", dump(rng.choice(SHAPES)), files[name], rng.randbytes(40)))
            done.append(f"add {added}")
    return files, "; ".join(done)
