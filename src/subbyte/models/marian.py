"""MarianMT and the students of Firefox Translations: their configurations.

Run by us are the models that `MarianMTModel` of transformers 5 runs: post-norm Transformers with sinusoidal positions.
A configuration that asks for more is refused by the name of the flag, because transformers would ignore it silently.

Students (`BergamotStudent`, a name of ours; `folders.bergamot` reads them) are what Marian itself makes of the same
parts: a few keys more in the configuration, which only count under that name, say in what they differ.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from subbyte.errors import ModelError, fault_list
from subbyte.models import search_settings
from subbyte.models.config_fields import MOST_LAYERS, MOST_POSITIONS, MOST_WIDTH, MOST_WORDS, Fields
from subbyte.models.family import Family
from subbyte.models.translation import SHARED, Settings

ARCHITECTURE = "MarianMTModel"
STUDENT = "BergamotStudent"

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
SOURCE, TARGET = "source.spm", "target.spm"


def settings(config: Mapping[str, Any], where: str = "config.json") -> Settings:
    """The checked settings of a configuration; all its faults in one ModelError."""
    given = Fields(config)
    number, flag, faults = given.number, given.flag, given.faults
    for name, wanted in FLAGS.items():
        if flag(name, wanted) is not wanted:
            faults.append(f"{name} is {str(not wanted).lower()}; only models where it is {str(wanted).lower()} are run")
    activation = given.activation("activation_function")
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
    if _names_files(config):
        faults += _sentencepiece_faults(config["quantization_config"])

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
        activation=activation,
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
    given.check(where)
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


def piece_files(config: Mapping[str, Any]) -> tuple[str, str]:
    """Those of MarianMT: Hugging Face's names, unless a packed folder says that one file is both."""
    if not _names_files(config):
        return SOURCE, TARGET
    named = config["quantization_config"]["sentencepiece"]
    return named["source"], named["target"]


def _names_files(config: Mapping[str, Any]) -> bool:
    """Whether it is that of a packed folder which names its sentencepiece files."""
    quantization = config.get("quantization_config")
    return isinstance(quantization, dict) and "sentencepiece" in quantization


def check_generation(config: Mapping[str, Any], generation: Mapping[str, Any], where: str) -> None:
    """Refuse generation settings that no search could follow: ids that are no words, lengths that are no numbers.

    Old folders have them in config.json, which counts where generation_config.json is empty or missing.
    """
    faults = list(search_settings.id_faults(generation, settings(config).decoder_vocab_size))
    faults += search_settings.faults(generation or search_settings.in_config(config))
    if faults:
        raise ModelError(fault_list(where, faults))


def _architecture_of(config: Mapping[str, Any]) -> str | None:
    named = config.get("architectures")
    if config.get("model_type") != "marian":
        return None
    return next((name for name in (ARCHITECTURE, STUDENT) if named in (None, [name])), None)


FAMILY = Family(
    "marian",
    "translate",
    architectures=dict.fromkeys((ARCHITECTURE, STUDENT), "AutoModelForSeq2SeqLM"),
    architecture_of=_architecture_of,
    settings=settings,
    check_generation=check_generation,
    # transformers 5 saves it with untied embeddings too, where nothing uses it
    spare=re.compile(re.escape(SHARED) + "$"),
)
