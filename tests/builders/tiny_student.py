"""Tiny random Bergamot student folders, and a writer of Marian's binary files. No torch, some milliseconds."""

from __future__ import annotations

import io
import struct
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import numpy as np
import sentencepiece

MODEL = "model.xxyy.intgemm.alphas.bin"
CONFIG = "config.intgemm8bitalpha.yml"
BYTES, FLOAT16, FLOAT32, INTGEMM8 = 0x101, 0x402, 0x404, 0x4101
TEXTS = {
    "source": ("a small dog runs in the park", "two dogs run", "the park is small", "a man and a dog walk home"),
    "target": ("ein kleiner Hund rennt im Park", "zwei Hunde rennen", "der Park ist klein", "ein Mann geht heim"),
}
OPTIONS = {
    "type": "transformer",
    "dim-emb": "32",
    "enc-depth": "2",
    "dec-depth": "2",
    "transformer-heads": "4",
    "transformer-dim-ffn": "48",
    "transformer-ffn-activation": "relu",
    "transformer-decoder-autoreg": "rnn",
    "dec-cell": "ssru",
    "tied-embeddings-all": "true",
    "transformer-postprocess": "dan",
    "transformer-preprocess": '""',
    "transformer-train-position-embeddings": "false",
    "transformer-tied-layers": "[]",
    "transformer-guided-alignment-layer": "last",
    "transformer-dim-aan": "2048",
    "dim-rnn": "1024",
    "input-types": "[]",
    "version": "v1.9.56 94aeaa46 2021-04-28 00:28:35 +0100",
}


@cache
def pieces_of(side: str) -> bytes:
    """A sentencepiece model in Marian's manner: </s> is 0, <unk> is 1, there are no others."""
    model = io.BytesIO()
    texts = TEXTS["source"] + TEXTS["target"] if side == "joint" else TEXTS[side]
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts), model_writer=model, vocab_size=48, hard_vocab_limit=False, minloglevel=2,
        eos_id=0, unk_id=1, bos_id=-1, pad_id=-1,
    )  # fmt: skip
    return model.getvalue()


def words_of(side: str) -> int:
    """How many pieces that model has."""
    processor = sentencepiece.SentencePieceProcessor()
    processor.LoadFromSerializedProto(pieces_of(side))
    return int(processor.get_piece_size())


def shapes_of(options: Mapping[str, str], source_words: int, target_words: int) -> dict[str, tuple[int, int]]:
    """Marian's names and shapes of the tensors of a student, as Marian has them in memory."""
    d, ffn = int(options["dim-emb"]), int(options["transformer-dim-ffn"])
    decoder_ffn = int(options.get("transformer-decoder-dim-ffn", "0")) or ffn
    shapes: dict[str, tuple[int, int]] = {}

    def norm(name: str) -> None:
        shapes.update({f"{name}_ln_scale": (1, d), f"{name}_ln_bias": (1, d)})

    def attention(name: str) -> None:
        for letter in "qkvo":
            shapes.update({f"{name}_W{letter}": (d, d), f"{name}_b{letter}": (1, d)})
        norm(f"{name}_Wo")

    def feed_forward(name: str, width: int) -> None:
        shapes.update({f"{name}_W1": (d, width), f"{name}_b1": (1, width)})
        shapes.update({f"{name}_W2": (width, d), f"{name}_b2": (1, d)})
        norm(f"{name}_ffn")

    def on(key: str) -> bool:
        return options.get(key) == "true"

    if on("tied-embeddings-all") or on("tied-embeddings-src"):
        shapes["Wemb"] = (source_words, d)
    else:
        shapes.update(encoder_Wemb=(source_words, d), decoder_Wemb=(target_words, d))
    if not (on("tied-embeddings-all") or on("tied-embeddings")):
        shapes["decoder_ff_logit_out_Wt"] = (target_words, d)
    if not on("output-omit-bias"):
        shapes["decoder_ff_logit_out_b"] = (1, target_words)
    for i in range(1, int(options["enc-depth"]) + 1):
        attention(f"encoder_l{i}_self")
        feed_forward(f"encoder_l{i}_ffn", ffn)
    for i in range(1, int(options["dec-depth"]) + 1):
        if options.get("transformer-decoder-autoreg") == "rnn":
            rnn = f"decoder_l{i}_rnn"
            shapes.update({f"{rnn}_W": (d, d), f"{rnn}_Wf": (d, d), f"{rnn}_bf": (1, d)})
            norm(f"{rnn}_ffn")
        else:
            attention(f"decoder_l{i}_self")
        attention(f"decoder_l{i}_context")
        feed_forward(f"decoder_l{i}_ffn", decoder_ffn)
    return shapes


def random_weights(shapes: Mapping[str, tuple[int, int]], seed: int = 0) -> dict[str, np.ndarray]:
    """Values around 0, layer-norm scales around 1; embeddings small, because they are multiplied by sqrt(width)."""
    generator = np.random.default_rng(seed)
    weights = {}
    for name, shape in shapes.items():
        values = generator.normal(0, 0.15 if "Wemb" in name else 0.3, shape)
        weights[name] = (values + (1 if name.endswith("_ln_scale") else 0)).astype(np.float32)
    return weights


Stored = tuple[int, tuple[int, ...], bytes]  # type, shape, data without what fills it up


def is_matrix(name: str) -> bool:
    """Whether Marian's converter makes int8 of it."""
    return "Wemb" in name or name[-2:-1] == "W" or name[-3:-1] == "_W" or name.endswith(("_W", "_Wt"))


def stored(name: str, values: np.ndarray, kind: int) -> tuple[Stored, np.ndarray]:
    """A tensor as a file holds it, and the values that it then stands for."""
    if kind == FLOAT32 or not is_matrix(name):
        return (FLOAT32, values.shape, values.astype("<f4").tobytes()), values
    if kind == FLOAT16:
        half = values.astype("<f2")
        return (FLOAT16, values.shape, half.tobytes()), half.astype(np.float32)
    multiplier = np.float32(127 / np.abs(values).max())
    codes = np.rint(values * multiplier).astype(np.int8)
    lying = codes if "Wemb" in name else codes.T
    data = lying.tobytes() + struct.pack("<f", multiplier)
    return (INTGEMM8, values.shape, data), codes.astype(np.float32) * (np.float32(1) / multiplier)


def marian_file(tensors: Mapping[str, Stored], alignment: int = 256) -> bytes:
    """The bytes of a file with these tensors; Marian fills their data up to multiples of 256."""
    filled = {name: data if kind == BYTES else data + bytes(-len(data) % alignment)
              for name, (kind, _, data) in tensors.items()}  # fmt: skip
    out = struct.pack("<QQ", 1, len(tensors))
    for name, (kind, shape, _) in tensors.items():
        out += struct.pack("<QQQQ", len(name.encode()) + 1, kind, len(shape), len(filled[name]))
    out += b"".join(name.encode() + b"\0" for name in tensors)
    out += b"".join(struct.pack(f"<{len(shape)}i", *shape) for _, shape, _ in tensors.values())
    padding = -(len(out) + 8) % alignment
    return out + struct.pack("<Q", padding) + bytes(padding) + b"".join(filled.values())


def yaml(options: Mapping[str, str], words: tuple[int, int]) -> str:
    """The options as Marian writes them into its model files."""
    lines = [f"{key}: {value}" for key, value in options.items()]
    return "\n".join([*lines, "dim-vocabs:", *(f"  - {size}" for size in words)])


def tiny_student(kind: int = INTGEMM8, separate: bool = False, seed: int = 0, **changes: str | None):
    """The tensors of a student as a file holds them, and the float32 values they stand for, by Marian's names.

    changes  options of the model, underscores for dashes; None removes one
    """
    edited = {**OPTIONS, **{key.replace("_", "-"): value for key, value in changes.items()}}
    options = {key: value for key, value in edited.items() if value is not None}
    words = (words_of("source"), words_of("target")) if separate else (words_of("joint"),) * 2
    tensors: dict[str, Stored] = {}
    values = {}
    for name, weights in random_weights(shapes_of(options, *words), seed).items():
        tensors[name], values[name] = stored(name, weights, kind)
        if kind == INTGEMM8 and is_matrix(name):
            tensors[f"{name}_QuantMultA"] = (FLOAT32, (1, 1), struct.pack("<f", 12.5))
    text = yaml(options, words).encode() + b"\0"
    tensors["special:model.yml"] = (BYTES, (len(text),), text)
    return tensors, values


def write_student(
    folder: Path,
    tensors: Mapping[str, Stored],
    *,
    separate: bool = False,
    config: str | None = "",
    shortlist: bool = True,
) -> Path:
    """A folder with these tensors and its vocabularies. `config`: lines added to the *.yml, None for no *.yml."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MODEL).write_bytes(marian_file(tensors))
    names = ("srcvocab.xxyy.spm", "trgvocab.xxyy.spm") if separate else ("vocab.xxyy.spm",) * 2
    for name, side in zip(names, ("source", "target") if separate else ("joint", "joint"), strict=True):
        (folder / name).write_bytes(pieces_of(side))
    if shortlist:
        (folder / "lex.50.50.xxyy.s2t.bin").write_bytes(b"not read")
    if config is not None:
        text = f"relative-paths: true\nmodels:\n  - {MODEL}\nvocabs:\n"
        text += "".join(f"  - {name}\n" for name in names) + "shortlist:\n    - lex.50.50.xxyy.s2t.bin\n    - false\n"
        (folder / CONFIG).write_text(text + config)
    return folder


def tiny_student_folder(folder: Path, kind: int = INTGEMM8, *, separate: bool = False, **changes: str | None) -> Path:
    """A whole student folder; see `tiny_student`."""
    return write_student(folder, tiny_student(kind, separate, **changes)[0], separate=separate)
