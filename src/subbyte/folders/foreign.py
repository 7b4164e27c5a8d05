"""What is at a path that is no model of ours, in words: other formats, other models, names of the hub.

Nothing here opens more than names of files and one config.json; every function returns the end of a sentence.
"""

import json
import os
import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from subbyte.errors import few

HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
HUB_ADDRESS = re.compile(r"(?:https?:/+)?(?:www\.)?(?:huggingface\.co|hf\.co)/([\w.-]+/[\w.-]+?)(?:/.*)?")
CONFIG_LIMIT = 1 << 19  # bytes

# the end of a file's name -> what it is
FORMATS: Mapping[str, str] = {
    ".gguf": "GGUF (llama.cpp)",
    ".onnx": "ONNX",
    ".npz": "Marian's format for training (marian-conv makes a .bin of it, which is read)",
    ".h5": "TensorFlow's",
    ".msgpack": "Flax's",
    ".ot": "rust-bert's",
    ".pb": "TensorFlow's",
    ".tflite": "TensorFlow Lite's",
    ".mlmodel": "Core ML's",
    **dict.fromkeys((".pt", ".pth", ".ckpt"), "a pickle of PyTorch, which can run code when it is read"),
    **dict.fromkeys(
        (".zip", ".tar", ".tgz", ".tar.gz", ".tar.xz", ".tar.bz2", ".tar.zst", ".7z"),
        "an archive: unpack it, and give the folder that is in it",
    ),
}
# model_type of transformers -> what such models are
ENCODER_DECODERS = """
    t5 mt5 umt5 byt5 longt5 switch_transformers bart mbart m2m_100 nllb-moe pegasus pegasus_x fsmt plbart blenderbot
    blenderbot-small led prophetnet bigbird_pegasus encoder-decoder seamless_m4t seamless_m4t_v2""".split()
GENERATORS = """
    llama llama4 mistral mixtral ministral gemma gemma2 gemma3 gemma3_text phi phi3 qwen2 qwen2_moe qwen3 qwen3_moe gpt2
    gpt_neo gpt_neox gptj gpt_oss gpt_bigcode opt bloom falcon mpt olmo olmo2 cohere cohere2 deepseek_v2 deepseek_v3
    granite stablelm smollm3 starcoder2 xglm mamba mamba2 rwkv codegen internlm2 chatglm""".split()
ENCODERS = """
    albert electra mpnet deberta deberta-v2 xlm-roberta xlm-roberta-xl camembert flaubert xlm ernie funnel big_bird
    longformer modernbert nomic_bert rembert mobilebert squeezebert ibert roformer convbert nystromformer fnet
    bert-generation eurobert""".split()
OTHERS: Mapping[str, str] = {
    **dict.fromkeys(ENCODER_DECODERS, "an encoder-decoder of another architecture than MarianMT"),
    **dict.fromkeys(GENERATORS, "a language model that has no encoder"),
    **dict.fromkeys(ENCODERS, "an encoder of another architecture than BERT, DistilBERT and RoBERTa"),
    **dict.fromkeys(("clip", "vit", "siglip", "whisper", "wav2vec2", "speecht5"), "a model of images or sound"),
}


def hub_name(path: str | Path) -> str | None:
    """The name on the Hugging Face hub that somebody may have meant, owner/name or a bare name; None if it is none."""
    text = str(path)
    if address := HUB_ADDRESS.fullmatch(text):
        return address[1]
    return text if HUB_NAME.fullmatch(text) and Path(text).suffix not in (*FORMATS, ".json", ".bin") else None


def of_nothing(path: Path) -> str:
    """Of a path where there is nothing: a near name beside it, and how to fetch a model from the hub."""
    if near := get_close_matches(path.name, names_in(path.parent), n=1, cutoff=0.75):
        return f"; did you mean {path.parent / near[0]}?"
    if name := hub_name(path):
        fetch = f"run subbyte download {name} once, and give the folder it makes"
        return f"; if it is a model of the Hugging Face hub, {fetch}"
    if re.match(r"https?:/", str(path)):
        return "; it is a web address: fetch what is there first, and give the folder"
    return ""


def of_file(path: Path) -> str:
    """Of a file where a folder should be: the folder it is in, or what format it has."""
    beside = path.parent
    name = path.name.lower()
    known = next((words for end, words in FORMATS.items() if name.endswith(end)), None)
    if known:
        return f"; it is {known}" if known.startswith("an archive") else f"; it is {known}, and is not read"
    if is_folder_of_model(beside):
        return f": give the one it is in, {beside}"
    return ""


def of_folder(folder: Path) -> str:
    """Of a folder without a model: a model folder below it, another format, or what is missing."""
    names = names_in(folder)
    if not names:
        return "; it is empty"
    if below := [*_below(folder)]:
        return f"; give a folder in it, such as {few(map(str, below))}"
    if "adapter_config.json" in names:
        return f"; {_adapter(folder)}"
    if other := other_format(folder):
        return f"; {other}"
    if any(name.endswith(".safetensors") for name in names):
        return "; it has weights, but not the config.json that says what they are"
    return f"; it holds {few(names)}"


def other_format(folder: Path) -> str | None:
    """In what other format than ours a folder holds a model, and what to do; None if in none that we know."""
    names = names_in(folder)
    ends = {end: sorted(name for name in names if name.lower().endswith(end)) for end in (*FORMATS, ".xml")}
    float32 = "give the float32 model that it was made from"
    if "model.bin" in names and any("vocabulary" in name for name in names):
        return f"it is CTranslate2's (model.bin), which is not read; {float32}"
    if ends[".xml"] and any(Path(name).with_suffix(".bin").name in names for name in ends[".xml"]):
        return f"it is OpenVINO's ({ends['.xml'][0]}), which is not read; {float32}"
    if ends[".gguf"] or ends[".onnx"]:
        found = (ends[".gguf"] or ends[".onnx"])[0]
        return f"it holds {found}, which is {FORMATS[Path(found).suffix.lower()]} and is not read; {float32}"
    for end in (".h5", ".msgpack", ".ot", ".pb", ".tflite", ".mlmodel"):
        if ends[end]:
            return (
                f"it holds {ends[end][0]}, which is {FORMATS[end]} and is not read; give the same model as safetensors "
                "(transformers 4 reads it with from_tf=True or from_flax=True, and save_pretrained writes it)"
            )
    if ends[".npz"]:
        return f"it holds {ends['.npz'][0]}, which is {FORMATS['.npz']}"
    if pickles := [name for end in (".pt", ".pth", ".ckpt") for name in ends[end] if "optimizer" not in name]:
        return f"it holds {pickles[0]}, which is {FORMATS['.pt']}; give the model as save_pretrained writes it"
    return None


def of_config(config: Mapping[str, Any], folder: Path) -> str:
    """Of a config.json of a model that is not run: what it is, in parentheses."""
    family = config.get("model_type")
    if family is None and (folder / "adapter_config.json").exists():
        return f" ({_adapter(folder)})"
    if family is None:
        return f" ({other_format(folder) or 'so it is not the config.json of a transformers model'})"
    what = OTHERS.get(family) if isinstance(family, str) else None
    return f" ({what})" if what else ""


def is_folder_of_model(folder: Path) -> bool:
    """Whether a folder has the files of a model, as far as names go, and a config.json that describes one."""
    if any(folder.glob("model*.bin")) or any(folder.glob("model*.bin.*")):
        return True
    return "model_type" in json_of(folder / "config.json")


def _below(folder: Path) -> Iterable[Path]:
    """Model folders right below, or, in a cache of the hub, in its snapshots."""
    for pattern in ("*", "snapshots/*"):
        if found := [path for path in sorted(folder.glob(pattern)) if path.is_dir() and is_folder_of_model(path)]:
            return found
    return []


def _adapter(folder: Path) -> str:
    base = json_of(folder / "adapter_config.json").get("base_model_name_or_path", "the model it was trained on")
    return (
        f"it holds an adapter (adapter_config.json), not a model: put it into {str(base)[:100]} first, with "
        "merge_and_unload and save_pretrained of peft"
    )


def json_of(path: Path) -> Mapping[str, Any]:
    """The object in a JSON file, or {} if it holds none: what a stranger's file says, for a sentence about it."""
    try:
        found = json.loads(path.read_bytes()) if path.is_file() and path.stat().st_size <= CONFIG_LIMIT else {}
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def names_in(folder: Path) -> list[str]:
    """The names in a folder, sorted; none where it cannot be listed, so that the next error says why."""
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []
