"""MarianMT: its configuration, the tensors it has, and loading them from a Hugging Face folder.

Run by us are the models that `MarianMTModel` of transformers 5 runs: post-norm Transformers with sinusoidal positions.
A configuration that asks for more is refused by the name of the flag, because transformers would ignore it silently.

Students (`BergamotStudent`, a name of ours; `bergamot.py` reads them) are what Marian itself makes of the same parts: a
few keys more in the configuration, which only count under that name, say in what they differ.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from subbyte import search_settings
from subbyte.errors import ModelError
from subbyte.files import fault_list
from subbyte.model import Model, Role
from subbyte.models.checkpoint import Checkpoint, open_checkpoint
from subbyte.models.specification import Shape, Specification

ARCHITECTURE = "MarianMTModel"
STUDENT = "BergamotStudent"
ACTIVATIONS = ("relu", "gelu", "swish", "silu")

SHARED = "model.shared.weight"
ENCODER = "model.encoder.embed_tokens.weight"
DECODER = "model.decoder.embed_tokens.weight"
OUTPUT = "lm_head.weight"
BIAS = "final_logits_bias"
POSITIONS = ("model.encoder.embed_positions.weight", "model.decoder.embed_positions.weight")

MOST_LAYERS = 256
MOST_WIDTH = 1 << 16  # int8 inputs times levels less their zero, summed over so many columns, still fit an int32
MOST_WORDS = 1 << 24
MOST_POSITIONS = 1 << 16

# flag -> the only value we run; absent counts as this value
FLAGS: Mapping[str, bool] = {
    "add_bias_logits": False,
    "add_cross_attention": False,
    "add_final_layer_norm": False,
    "is_decoder": False,
    "is_encoder_decoder": True,
    "normalize_before": False,
    "normalize_embedding": False,
    "static_position_embeddings": True,
}

# keys of a student's configuration -> the values they may have; the first is what MarianMT does
STUDENT_KEYS: Mapping[str, tuple[str, str]] = {
    "decoder_cell": ("self_attention", "ssru"),
    "decoder_start": ("token", "zero"),  # the decoder's first input: the start token's embedding, or a zero vector
    "position_rates": ("transformers", "marian"),  # 10000**(-2i / d), or 10000**(-i / (d / 2 - 1))
}
SENTENCEPIECE = re.compile(r"[\w.-]+\.spm")


@dataclass(frozen=True)
class Settings:
    """The numbers of a MarianMT config.json, checked. Vocabulary sizes are in words, widths in values."""

    d_model: int
    encoder_layers: int
    decoder_layers: int
    encoder_heads: int
    decoder_heads: int
    encoder_ffn: int
    decoder_ffn: int
    vocab_size: int  # of the encoder
    decoder_vocab_size: int  # of the decoder and the output; equal to vocab_size where embeddings are shared
    max_positions: int
    activation: str  # relu, gelu (exact, by erf) or silu
    scale_embedding: bool  # embeddings are multiplied by sqrt(d_model)
    shared: bool  # encoder and decoder share one vocabulary and embedding
    tied: bool  # the output matrix is the decoder's embedding
    pad: int
    decoder_start: int
    recurrent: bool = False  # decoder cells are SSRU, not self-attention
    zero_start: bool = False  # the decoder's first input is a zero vector
    positions: str = "transformers"  # how fast positions turn: transformers or marian
    norm_epsilon: float = 1e-5


def settings(config: Mapping[str, Any], where: str = "config.json") -> Settings:
    """The checked settings of a configuration; all its faults in one ModelError."""
    faults: list[str] = []

    def flag(name: str, default: bool) -> bool:
        value = config.get(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            faults.append(f"{name} is {value!r}, should be true or false")
        return bool(value)

    def number(name: str, most: int, default: int | None = None, least: int = 1) -> int:
        value = config.get(name, default)
        if type(value) is not int or not least <= value <= most:
            faults.append(f"{name} is {value!r}, should be a whole number from {least} to {most}")
            return least
        return value

    for name, wanted in FLAGS.items():
        if flag(name, wanted) is not wanted:
            faults.append(f"{name} is {str(not wanted).lower()}; only models where it is {str(wanted).lower()} are run")
    activation = config.get("activation_function", "gelu")
    if activation not in ACTIVATIONS:
        faults.append(f"activation_function is {activation!r}, should be one of {', '.join(ACTIVATIONS)}")

    shared = flag("share_encoder_decoder_embeddings", True)
    vocab_size = number("vocab_size", MOST_WORDS)
    decoder_vocab_size = vocab_size
    if config.get("decoder_vocab_size") is not None:
        decoder_vocab_size = number("decoder_vocab_size", MOST_WORDS)
    if shared and decoder_vocab_size != vocab_size:
        faults.append(f"decoder_vocab_size is {decoder_vocab_size}, but the shared embedding has {vocab_size} words")

    student = config.get("architectures") == [STUDENT]
    choices = {key: config.get(key, values[0]) if student else values[0] for key, values in STUDENT_KEYS.items()}
    for key, value in choices.items():
        if value not in STUDENT_KEYS[key]:
            faults.append(f"{key} is {value!r}, should be {' or '.join(STUDENT_KEYS[key])}")
    epsilon = config.get("layer_norm_eps", 1e-5) if student else 1e-5
    if type(epsilon) is not float or not 1e-12 <= epsilon <= 1:
        faults.append(f"layer_norm_eps is {epsilon!r}, should be a number from 1e-12 to 1")
    if student:
        faults += _sentencepiece_faults(config)

    found = Settings(
        d_model=number("d_model", MOST_WIDTH),
        encoder_layers=number("encoder_layers", MOST_LAYERS),
        decoder_layers=number("decoder_layers", MOST_LAYERS),
        encoder_heads=number("encoder_attention_heads", MOST_WIDTH),
        decoder_heads=number("decoder_attention_heads", MOST_WIDTH),
        encoder_ffn=number("encoder_ffn_dim", MOST_WIDTH),
        decoder_ffn=number("decoder_ffn_dim", MOST_WIDTH),
        vocab_size=vocab_size,
        decoder_vocab_size=decoder_vocab_size,
        max_positions=number("max_position_embeddings", MOST_POSITIONS, least=2),
        activation="silu" if activation == "swish" else str(activation),
        scale_embedding=flag("scale_embedding", False),
        shared=shared,
        tied=flag("tie_word_embeddings", True),
        pad=number("pad_token_id", min(vocab_size, decoder_vocab_size) - 1, least=0),
        decoder_start=number("decoder_start_token_id", decoder_vocab_size - 1, least=0),
        recurrent=choices["decoder_cell"] == "ssru",
        zero_start=choices["decoder_start"] == "zero",
        positions=choices["position_rates"],
        norm_epsilon=epsilon,
    )
    if found.positions == "marian" and (found.d_model % 2 or found.d_model < 4):
        faults.append(f"d_model is {found.d_model}; with position_rates of marian it should be even, and 4 or more")
    for stack, heads in (("encoder", found.encoder_heads), ("decoder", found.decoder_heads)):
        if found.d_model % heads:
            faults.append(f"{stack}_attention_heads is {heads}, which does not divide d_model {found.d_model}")
    faults += search_settings.id_faults(config, decoder_vocab_size)
    if faults:
        raise ModelError(fault_list(where, faults))
    return found


def _sentencepiece_faults(config: Mapping[str, Any]) -> Iterator[str]:
    files = config.get("sentencepiece")
    names = list(files.values()) if isinstance(files, dict) and files.keys() == {"source", "target"} else [None]
    if not all(isinstance(name, str) and SENTENCEPIECE.fullmatch(name) for name in names):
        yield f"sentencepiece is {files!r}, should name the source's and the target's file, each *.spm"


def sentencepiece_files(config: Mapping[str, Any]) -> tuple[str, str] | None:
    """The files with a student's source and target pieces, often the same one; None for MarianMT."""
    if config.get("architectures") != [STUDENT]:
        return None
    return config["sentencepiece"]["source"], config["sentencepiece"]["target"]


def specification(config: Mapping[str, Any], where: str = "config.json") -> Specification:
    """The tensors of the model that a configuration describes, encoder first, in the order in which they are used."""
    s = settings(config, where)
    shapes: dict[str, Shape] = {}
    roles: dict[str, Role] = {}
    aliases: dict[str, str] = {}

    def matrix(name: str, shape: Shape, role: Role) -> None:
        shapes[name] = shape
        roles[name] = role

    def linear(name: str, outputs: int, inputs: int, role: Role) -> None:
        matrix(f"{name}.weight", (outputs, inputs), role)
        shapes[f"{name}.bias"] = (outputs,)

    def layer_norm(name: str) -> None:
        shapes[f"{name}.weight"] = (s.d_model,)
        shapes[f"{name}.bias"] = (s.d_model,)

    def attention(name: str, role: Role) -> None:
        for projection in ("q_proj", "k_proj", "v_proj", "out_proj"):
            linear(f"{name}.{projection}", s.d_model, s.d_model, role)
        layer_norm(f"{name}_layer_norm")

    if s.shared and s.tied:
        matrix(SHARED, (s.vocab_size, s.d_model), Role("embedding", "shared"))
        aliases = {ENCODER: SHARED, DECODER: SHARED, OUTPUT: SHARED}
    else:  # transformers 5 unties all of them, also where the vocabulary is shared
        matrix(ENCODER, (s.vocab_size, s.d_model), Role("embedding", "encoder"))
        matrix(DECODER, (s.decoder_vocab_size, s.d_model), Role("embedding", "decoder"))
        if s.tied:
            aliases = {OUTPUT: DECODER}
        else:
            matrix(OUTPUT, (s.decoder_vocab_size, s.d_model), Role("output", "decoder"))

    def feed_forward(name: str, ffn: int, role: Role) -> None:
        linear(f"{name}.fc1", ffn, s.d_model, role)
        linear(f"{name}.fc2", s.d_model, ffn, role)
        layer_norm(f"{name}.final_layer_norm")

    def ssru(layer: str, role: Role) -> None:
        matrix(f"{layer}.ssru.input.weight", (s.d_model, s.d_model), role)
        linear(f"{layer}.ssru.forget", s.d_model, s.d_model, role)
        layer_norm(f"{layer}.ssru_layer_norm")

    for i in range(s.encoder_layers):
        attention(f"model.encoder.layers.{i}.self_attn", Role("self_attention", "encoder", i))
        feed_forward(f"model.encoder.layers.{i}", s.encoder_ffn, Role("feed_forward", "encoder", i))
    for i in range(s.decoder_layers):
        if s.recurrent:
            ssru(f"model.decoder.layers.{i}", Role("recurrence", "decoder", i))
        else:
            attention(f"model.decoder.layers.{i}.self_attn", Role("self_attention", "decoder", i))
        attention(f"model.decoder.layers.{i}.encoder_attn", Role("cross_attention", "decoder", i))
        feed_forward(f"model.decoder.layers.{i}", s.decoder_ffn, Role("feed_forward", "decoder", i))
    shapes[BIAS] = (s.decoder_vocab_size,)
    return Specification(shapes, roles, aliases)


def check_generation(config: Mapping[str, Any], generation: Mapping[str, Any], where: str) -> None:
    """Refuse generation settings that no search could follow: ids that are no words, lengths that are no numbers.

    Old folders have them in config.json, which counts where generation_config.json is empty or missing.
    """
    faults = list(search_settings.id_faults(generation, settings(config).decoder_vocab_size))
    faults += search_settings.faults(generation or search_settings.in_config(config))
    if faults:
        raise ModelError(fault_list(where, faults))


def load(folder: Path, config: Mapping[str, Any], generation: Mapping[str, Any]) -> Model:
    """The float32 model in a Hugging Face folder, checked whole. `config` and `generation` are its parsed JSON files.

    A checkpoint may name a tied matrix more than once (all must be equal) or by any of its names, may lack
    `final_logits_bias` (zero, as in transformers), and may carry the position tables (which must be the sinusoids).
    """
    spec = specification(config, str(folder / "config.json"))
    check_generation(config, generation, str(folder / "generation_config.json"))
    checkpoint = open_checkpoint(folder)
    sources = _sources(spec, checkpoint)
    bias = spec.shapes[BIAS]
    shapes = {name: checkpoint.places[source][1].shape for name, source in sources.items()}
    if shapes.get(BIAS, (1, *bias)) == (1, *bias):  # transformers stores it with a batch dimension, if at all
        shapes[BIAS] = bias
    if faults := spec.faults(shapes):
        raise ModelError(fault_list(f"{folder}: the weights are not those of this config.json", faults))
    _check_positions(checkpoint, settings(config))
    tensors = {
        name: checkpoint.read(sources[name]).reshape(shape) if name in sources else np.zeros(shape, np.float32)
        for name, shape in spec.shapes.items()
    }
    _check_ties(spec, checkpoint, sources, tensors)
    return Model(
        architecture=STUDENT if config.get("architectures") == [STUDENT] else ARCHITECTURE,
        config=config,
        generation=generation,
        tensors=tensors,
        roles=spec.roles,
        aliases=spec.aliases,
        folder=folder,
    )


def _sources(spec: Specification, checkpoint: Checkpoint) -> dict[str, str]:
    """Name in the model -> name in the checkpoint: a tied matrix is taken from the first of its names that is there."""
    sources = {name: name for name in checkpoint.places if name not in spec.aliases and name not in POSITIONS}
    for alias, name in spec.aliases.items():
        if alias in checkpoint.places:
            sources.setdefault(name, alias)
    if SHARED not in spec.shapes:
        sources.pop(SHARED, None)  # transformers 5 saves it with untied embeddings too, where nothing uses it
    return sources


def _check_ties(
    spec: Specification, checkpoint: Checkpoint, sources: Mapping[str, str], tensors: Mapping[str, np.ndarray]
) -> None:
    faults = [
        f"{alias} differs from {name}, to which config.json ties it"
        for alias, name in spec.aliases.items()
        if alias in checkpoint.places
        and alias != sources[name]
        and not np.array_equal(checkpoint.read(alias), tensors[name])
    ]
    if faults:
        raise ModelError(fault_list(f"{checkpoint.folder}: tied weights differ", faults))


def _check_positions(checkpoint: Checkpoint, s: Settings) -> None:
    """A stored position table is redundant, or the model is not the one we would run."""
    for name in POSITIONS:
        if name not in checkpoint.places:
            continue
        shape = checkpoint.places[name][1].shape
        if shape != (s.max_positions, s.d_model):
            raise ModelError(
                f"{checkpoint.folder}: tensor {name} is {list(shape)}, should be {[s.max_positions, s.d_model]}"
            )
        wanted = sinusoidal_positions(s.max_positions, s.d_model)
        rounding = {"F32": 1e-5, "F16": 2.0**-11, "BF16": 2.0**-8}.get(checkpoint.places[name][1].dtype, 0.0)
        if np.abs(checkpoint.read(name) - wanted).max() > rounding:
            raise ModelError(f"{checkpoint.folder}: {name} holds learned positions; only sinusoidal ones are run")


def sinusoidal_positions(positions: int, width: int) -> np.ndarray:
    """The position table of transformers' Marian, float32 [positions, width], bit for bit.

    The first half of the columns (the larger one, if they are odd) are sines, the second cosines, of
    position / 10000**(2k / width), k = 0, 1, ...
    """
    divisors = np.array([np.power(10000, 2 * k / width) for k in range((width + 1) // 2)])  # scalars: as there
    angles = np.arange(positions)[:, None] / divisors
    return np.concatenate([np.sin(angles), np.cos(angles[:, : width // 2])], axis=1).astype(np.float32)
