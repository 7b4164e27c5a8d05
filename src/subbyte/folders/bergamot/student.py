"""Bergamot: Marian student folders, as in Firefox Translations, read into a `Model`. Arithmetic: `docs/bergamot.md`.

A folder holds a model (*.bin), one sentencepiece model or one a side (*.spm), perhaps a lexical shortlist, which is not
used, and perhaps a *.yml that names them; each may be packed (`compressed_file`). The options in the model say which
Transformer it is. Int8 weights become the float32 numbers they stand for (`codes` leaves them as they are); the
configuration made for them has the keys of `marian.STUDENT_KEYS`.
"""

import logging
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from subbyte.errors import ModelError, fault_list
from subbyte.folders.bergamot.flat_yaml import Value, parse_flat_yaml
from subbyte.folders.bergamot.model_file import FLOAT16, INTGEMM8, Item, floats, read_items
from subbyte.folders.compressed_file import name_on_disk, plain_name, read_plain
from subbyte.folders.foreign import names_in
from subbyte.folders.tensor_files import Entry
from subbyte.models import marian, translation
from subbyte.models.model import Model, Tensor
from subbyte.models.specification import Shape, Specification, shape_faults

logger = logging.getLogger("subbyte")

OPTIONS = "special:model.yml"
OPTIONS_LIMIT = 1 << 16  # bytes
SCALE_SUFFIX = "_QuantMultA"  # static activation scales; ours are dynamic
END, UNKNOWN = 0, 1  # ids of </s> and <unk> in every vocabulary that Marian makes; the tokenizer checks them
MOST_TOKENS = 512  # of a source, and of a translation; positions are computed, so Marian has no limit of its own

# option -> the values we run, the first of them Marian's default
KNOWN: Mapping[str, tuple[str, ...]] = {
    "type": ("transformer",),
    "transformer-decoder-autoreg": ("self-attention", "rnn"),
    "transformer-ffn-activation": ("swish", "relu"),  # Marian's gelu is not the exact one
    "transformer-ffn-depth": ("2",),
    "transformer-decoder-ffn-depth": ("0", "2"),
    "layer-normalization": ("false",),
    "lemma-dim-emb": ("0",),
    "right-left": ("false",),
    "ulr": ("false",),
}
# option -> Marian's default, and what we run. A letter an operation: d is dropout, which inference leaves out, a adds
# the input, n normalizes
OPERATIONS: Mapping[str, tuple[str, str]] = {
    "transformer-preprocess": ("", ""),
    "transformer-postprocess": ("dan", "an"),
    "transformer-postprocess-emb": ("d", ""),
    "transformer-postprocess-top": ("", ""),
}
TIES = ("tied-embeddings-all", "tied-embeddings-src", "tied-embeddings")
NUMBERS = {  # option -> Marian's default; "" where a model must say it
    "dim-emb": "",
    "enc-depth": "",
    "dec-depth": "",
    "transformer-heads": "8",
    "transformer-dim-ffn": "2048",
    "transformer-decoder-dim-ffn": "0",  # as in the encoder
}
# transformer options without a say in inference, or whose say shows in the shapes of tensors
MUTE = re.compile(r"transformer-(aan-\w+|dim-aan|dropout.*|depth-scaling|guided-alignment-layer)")
# Files of a student, whole or not, and what they are packed with. source.spm and target.spm are Hugging Face's.
MARIANS = re.compile(r"(model.*\.(?:bin|npz)|.*vocab.*\.spm|lex.*\.bin|.*\.yml)(\.(?:gz|zst|xz|bz2|zip|7z|tar.*))?")
OFF = ("false", "0", "", "~", "null")


@dataclass(frozen=True)
class Place:
    """The tensor of the file that one of ours is made from. `turned`: it is [in, out] there."""

    name: str
    turned: bool = False


def _layer_places() -> dict[str, Place]:
    """What follows the layer in our names -> what follows it in Marian's."""
    places = {}
    for ours, theirs in (("self_attn", "self"), ("encoder_attn", "context")):
        for letter, projection in (("q", "q_proj"), ("k", "k_proj"), ("v", "v_proj"), ("o", "out_proj")):
            places[f"{ours}.{projection}.weight"] = Place(f"{theirs}_W{letter}", turned=True)
            places[f"{ours}.{projection}.bias"] = Place(f"{theirs}_b{letter}")
    for number in ("1", "2"):
        places[f"fc{number}.weight"] = Place(f"ffn_W{number}", turned=True)
        places[f"fc{number}.bias"] = Place(f"ffn_b{number}")
    places["ssru.input.weight"] = Place("rnn_W", turned=True)
    places["ssru.forget.weight"] = Place("rnn_Wf", turned=True)
    places["ssru.forget.bias"] = Place("rnn_bf")
    norms = {
        "self_attn_layer_norm": "self_Wo",
        "ssru_layer_norm": "rnn_ffn",
        "encoder_attn_layer_norm": "context_Wo",
        "final_layer_norm": "ffn_ffn",
    }
    for ours, theirs in norms.items():
        places[f"{ours}.weight"] = Place(f"{theirs}_ln_scale")
        places[f"{ours}.bias"] = Place(f"{theirs}_ln_bias")
    return places


LAYER_PLACES: Mapping[str, Place] = _layer_places()
LAYER = re.compile(r"model\.(encoder|decoder)\.layers\.([0-9]+)\.(.+)")


@dataclass(frozen=True)
class Files:
    """The files of a folder by name, the *.yml that names them (if one does), and what it says.

    The name of the model is that on disk, perhaps of a packed file; vocabularies go by their plain names.
    """

    model: str
    source: str
    target: str
    named_by: str = ""
    options: Mapping[str, Value] = field(default_factory=dict)


@dataclass(frozen=True)
class Student:
    """A folder that was understood: its tensors are those of its options. Their values are still unread."""

    path: Path  # of the model file
    files: Files
    config: Mapping[str, Any]
    spec: Specification
    items: Mapping[str, Item]
    places: Mapping[str, Place]  # name in the model -> where it is; a bias that is left out is nowhere


def is_student(folder: Path) -> bool:
    """Whether a folder without config.json looks like one of Marian's, or like a part of one."""
    return any(MARIANS.fullmatch(name) for name in names_in(folder))


def load(folder: Path) -> Model:
    """The float32 model in a student folder, checked whole. Raises ModelError for what we would not run faithfully."""
    return model_of(open_student(folder), folder, floats_of)


def model_of(student: Student, folder: Path, tensor_of: Callable[[Item, Place, Shape, str], Tensor]) -> Model:
    """The model of a student whose tensors `tensor_of` makes, of an item, its place, our shape and the file's name."""
    generation = generation_of(student.files, folder)
    marian.check_generation(student.config, generation, str(folder))
    where = str(student.path)
    tensors = {
        name: tensor_of(student.items[student.places[name].name], student.places[name], shape, where)
        if name in student.places
        else np.zeros(shape, np.float32)
        for name, shape in student.spec.shapes.items()
    }
    if shortlists := sorted(path.name for path in folder.glob("lex*")):
        logger.warning(
            "%s: the lexical shortlist %s is not used: translations may have any word", folder, " ".join(shortlists)
        )
    spec = student.spec
    return Model(marian.STUDENT, "translate", student.config, generation, tensors, spec.roles, spec.aliases, folder)


def stored(folder: Path) -> dict[str, tuple[Path, Entry]]:
    """Name in the model -> the file it is made from, and type, shape and bytes there."""
    student = open_student(folder)
    entries = {}
    for name, place in student.places.items():
        item = student.items[place.name]
        dtype = {INTGEMM8: "I8", FLOAT16: "F16"}.get(item.type, "F32")
        entries[name] = (student.path, Entry(dtype, item.shape, item.start, item.start + item.data.size))
    return entries


def open_student(folder: Path) -> Student:
    """Everything about a folder but the values of its weights, checked."""
    files = find_files(folder)
    path = folder / files.model
    items = read_items(folder, files.model)
    options = _options(items, str(path))
    config = configuration(options, files)
    spec = marian.settings(config, f"{path}: {OPTIONS}").specification()
    places = {}
    for name in spec.shapes:
        if layer := LAYER.fullmatch(name):
            place = LAYER_PLACES[layer[3]]
            places[name] = Place(f"{layer[1]}_l{int(layer[2]) + 1}_{place.name}", place.turned)
    shared = config["share_encoder_decoder_embeddings"]
    old = "decoder_ff_logit_out_W" in items  # models of old had it turned
    places |= {
        translation.SHARED: Place("Wemb"),
        translation.ENCODER: Place("Wemb" if shared else "encoder_Wemb"),
        translation.DECODER: Place("Wemb" if shared else "decoder_Wemb"),
        translation.OUTPUT: Place("decoder_ff_logit_out_W", turned=True) if old else Place("decoder_ff_logit_out_Wt"),
    }
    if options.get("output-omit-bias") != "true":
        places[translation.BIAS] = Place("decoder_ff_logit_out_b")
    places = {name: places[name] for name in spec.shapes if name in places}
    if faults := [*_tensor_faults(spec, places, items)]:
        raise ModelError(fault_list(f"{path}: the tensors are not those of {OPTIONS}", faults))
    return Student(path, files, config, spec, items, places)


def find_files(folder: Path) -> Files:
    """The files that a *.yml of the folder names; without one, those with the usual names."""
    named = []
    names = sorted({*map(plain_name, names_in(folder))})
    for yml in (name for name in names if name.endswith(".yml")):
        path = folder / name_on_disk(folder, yml)
        options = parse_flat_yaml(read_plain(folder, yml, ModelError, OPTIONS_LIMIT), str(path))
        if "models" in options:
            named.append(_named_files(path, options))
    named = [replace(files, model=name_on_disk(folder, files.model)) for files in named]
    present = [files for files in named if (folder / files.model).exists()] or named
    if len({files.model for files in present}) > 1:
        ymls = " and ".join(files.named_by for files in present)
        raise ModelError(f"{folder}: {ymls} name different models; keep one")
    if present:
        return present[0]
    models = [name for name in names if re.fullmatch(r"model.*\.bin", name)]
    if len(models) > 1:
        raise ModelError(f"{folder}: has {len(models)} files model*.bin, and no *.yml that says which to read")
    if not models:
        raise ModelError(_no_model(folder))
    model = name_on_disk(folder, models[0])
    match [name for name in names if name.endswith(".spm")]:
        case [joint]:
            return Files(model, joint, joint)
        case [source, target] if re.match(r"srcvocab|vocab\.src", source) and re.match(r"trgvocab|vocab\.trg", target):
            return Files(model, source, target)
    found = " ".join(name for name in names if ".spm" in name) or "(none)"
    raise ModelError(
        f"{folder}: has the vocabularies {found}; expected beside {model} are vocab.*.spm, or srcvocab.*.spm and "
        "trgvocab.*.spm, each perhaps with .gz, .xz or .zst behind it, or a *.yml that names them"
    )


def _no_model(folder: Path) -> str:
    """What a folder has that looks like Marian's, where there is neither a model to read nor a *.yml that names one."""
    found = [match for name in names_in(folder) if (match := MARIANS.fullmatch(name))]
    has = f"{folder}: has {' '.join(match[0] for match in found)}, and no model*.bin (.gz, .xz, .zst) to read"
    for match in found:
        if match[1].startswith("model") and match[1].endswith(".bin"):
            return f"{has}; unpack {match[0]} first: read are .gz, .xz and .zst"
        if match[1].endswith(".npz"):
            return f"{has}; Marian's own marian-conv makes one of {match[0]}"
    return f"{has}, and no *.yml that says which to read; download the model too"


def _named_files(path: Path, options: Mapping[str, Value]) -> Files:
    models, vocabularies = options["models"], options.get("vocabs", [])
    if not isinstance(models, list) or len(models) != 1:
        raise ModelError(f"{path}: models is {models!r}, should be a list of one file")
    model = plain_name(models[0])
    if not model.endswith(".bin"):
        raise ModelError(f"{path}: the model is {model!r}; read are Marian's binary files (*.bin) only")
    if not isinstance(vocabularies, list) or len(vocabularies) != 2:
        raise ModelError(f"{path}: vocabs is {vocabularies!r}, should be a list of two files, source and target")
    sides = [plain_name(name) for name in vocabularies]
    for name in sides:
        if not marian.SENTENCEPIECE.fullmatch(name):
            raise ModelError(f"{path}: the vocabulary {name!r} is not supported; sentencepiece models (*.spm) are")
    return Files(model, sides[0], sides[1], path.name, options)


def _options(items: Mapping[str, Item], where: str) -> dict[str, Value]:
    """The options in the model file, refused if they ask for what we do not run."""
    if OPTIONS not in items or items[OPTIONS].data.size > OPTIONS_LIMIT:
        raise ModelError(f"{where}: has no {OPTIONS}, or a large one; it should say what model this is")
    options = parse_flat_yaml(items[OPTIONS].data.tobytes().rstrip(b"\0"), f"{where}: {OPTIONS}")
    faults = []
    for key, allowed in KNOWN.items():
        if options.get(key, allowed[0]) not in allowed:
            faults.append(f"{key} is {options[key]!r}; run is {' or '.join(allowed)}")
    for key, (default, wanted) in OPERATIONS.items():
        value = options.get(key, default)
        if not isinstance(value, str) or value.replace("d", "") != wanted:
            faults.append(f"{key} is {value!r}; run is {wanted!r} (besides d, dropout)")
    if options.get("transformer-decoder-autoreg") == "rnn" and options.get("dec-cell") != "ssru":
        faults.append(f"dec-cell is {options.get('dec-cell', 'gru')!r}; run is ssru")
    if any(kind != "sequence" for kind in options.get("input-types", [])):
        faults.append(f"input-types is {options['input-types']!r}; run are sequences")
    for key in (*TIES, "output-omit-bias"):
        if options.get(key, "false") not in ("true", "false"):
            faults.append(f"{key} is {options[key]!r}, should be true or false")
    for key, default in NUMBERS.items():
        if not _is_number(options.get(key, default)):
            faults.append(f"{key} is {options.get(key)!r}, should be a whole number")
    sizes = options.get("dim-vocabs")
    if not isinstance(sizes, list) or len(sizes) != 2 or not all(map(_is_number, sizes)):
        faults.append(f"dim-vocabs is {sizes!r}, should be the sizes of two vocabularies")
    for key, value in options.items():
        known = key in KNOWN or key in OPERATIONS or key in NUMBERS or MUTE.fullmatch(key)
        if key.startswith("transformer-") and not known and value != [] and value not in OFF:
            faults.append(f"{key} is {value!r}; run are models without it")
    if faults:
        raise ModelError(fault_list(f"{where}: {OPTIONS} describes a model that is not supported", faults))
    return options


def _is_number(text: Value) -> bool:
    return isinstance(text, str) and re.fullmatch(r"[0-9]{1,9}", text) is not None


def configuration(options: Mapping[str, Value], files: Files) -> dict[str, Any]:
    """The config.json that we make for a student; `marian.settings` is still to check it."""
    numbers = {key: int(str(options.get(key, default))) for key, default in NUMBERS.items()}
    tied_all, tied_source, tied_output = (options.get(key) == "true" for key in TIES)
    return {
        "architectures": [marian.STUDENT],
        "model_type": "marian",
        "activation_function": options.get("transformer-ffn-activation", "swish"),
        "d_model": numbers["dim-emb"],
        "encoder_layers": numbers["enc-depth"],
        "decoder_layers": numbers["dec-depth"],
        "encoder_attention_heads": numbers["transformer-heads"],
        "decoder_attention_heads": numbers["transformer-heads"],
        "encoder_ffn_dim": numbers["transformer-dim-ffn"],
        "decoder_ffn_dim": numbers["transformer-decoder-dim-ffn"] or numbers["transformer-dim-ffn"],
        "max_position_embeddings": MOST_TOKENS,
        "vocab_size": int(options["dim-vocabs"][0]),
        "decoder_vocab_size": int(options["dim-vocabs"][1]),
        "share_encoder_decoder_embeddings": tied_all or tied_source,
        "tie_word_embeddings": tied_all or tied_output,
        "scale_embedding": True,
        "static_position_embeddings": True,
        "is_encoder_decoder": True,
        "eos_token_id": END,
        "unk_token_id": UNKNOWN,
        "pad_token_id": END,
        "decoder_start_token_id": END,
        "decoder_cell": "ssru" if options.get("transformer-decoder-autoreg") == "rnn" else "self_attention",
        "decoder_start": "zero",
        "position_rates": "marian",
        "layer_norm_eps": 1e-6,
        "sentencepiece": {"source": files.source, "target": files.target},
    }


def generation_of(files: Files, folder: Path) -> dict[str, Any]:
    """The generation_config.json that we make: beam and length penalty of the *.yml, and <unk> is never generated."""
    where = folder / files.named_by

    def number(key: str, default: str) -> float:
        value = files.options.get(key, default)
        text = {"true": "1", "false": "0"}.get(value, value) if isinstance(value, str) else ""
        if not re.fullmatch(r"-?[0-9]{1,9}(\.[0-9]{1,9})?", text):
            raise ModelError(f"{where}: {key} is {value!r}, should be a number")
        return float(text)

    if number("word-penalty", "0"):
        logger.warning("%s: word-penalty is not applied", where)
    generation: dict[str, Any] = {
        "num_beams": int(number("beam-size", "1")),
        "length_penalty": number("normalize", "1"),  # Marian, too, divides by the length to this power
        "max_length": MOST_TOKENS,
        "max_length_factor": number("max-length-factor", "3"),  # Marian's own default
    }
    if files.options.get("allow-unk") != "true":
        generation["bad_words_ids"] = [[UNKNOWN]]
    return generation


def _tensor_faults(spec: Specification, places: Mapping[str, Place], items: Mapping[str, Item]) -> Iterator[str]:
    """A line for each tensor of the file that is missing, unexpected or of another shape, in Marian's names."""
    wanted: dict[str, Shape] = {}
    for name, place in places.items():
        shape = spec.shapes[name]
        wanted[place.name] = (1, *shape) if len(shape) == 1 else shape[::-1] if place.turned else shape
    found = {n: item.shape for n, item in items.items() if n != OPTIONS and not n.endswith(SCALE_SUFFIX)}
    return shape_faults(wanted, found)


def floats_of(item: Item, place: Place, shape: Shape, where: str) -> np.ndarray:
    """A tensor of ours, float32 of this shape."""
    return arranged(floats(item, where), item, place, shape)


def arranged(values: np.ndarray, item: Item, place: Place, shape: Shape) -> np.ndarray:
    """Values of an item in the order of our tensor. The int8 matrices but the embeddings lie turned in the file."""
    lies_turned = item.type == INTGEMM8 and "Wemb" not in item.name
    if place.turned == lies_turned:
        return values.reshape(shape)
    return np.ascontiguousarray(values.reshape(shape[::-1]).T)
