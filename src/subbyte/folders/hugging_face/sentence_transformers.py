"""Folders of sentence-transformers: modules.json and all that it leads to, as version 6.2 reads them.

What that version obeys is obeyed or refused by name; what it does not read is not read here either.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from subbyte.errors import ModelError, fault_list
from subbyte.folders.files import JSON_LIMIT, parse_json, read_file, read_json
from subbyte.folders.hugging_face.checkpoint import PICKLED, SINGLE, open_checkpoint
from subbyte.folders.tensor_files import Entry
from subbyte.models import pooling
from subbyte.models.model import SENTENCE, SentenceVectors, Stage
from subbyte.models.specification import shape_faults

MODULES = "modules.json"
SETTINGS = "config_sentence_transformers.json"
# the first that says anything counts
TRANSFORMER_FILES = tuple(
    f"sentence_{kind}_config.json"
    for kind in ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet")
)
SENTENCES, PAIRS = "SentenceTransformer", "CrossEncoder"
BEHIND = ("Dense", "Normalize", "LayerNorm", "Dropout")  # the pooling
MOST_MODULES = pooling.MOST_STAGES + 2
# older keys of a Pooling's config.json, in the order in which their vectors stand side by side
FLAGS: Mapping[str, str] = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
# what a Transformer may say of itself, by what the folder is: this and nothing else is run
TASKS: Mapping[str, tuple[str, str, str]] = {
    SENTENCES: ("feature-extraction", "last_hidden_state", "token_embeddings"),
    PAIRS: ("sequence-classification", "logits", "scores"),
}
# arguments of transformers' loaders that do not change an answer
NEUTRAL: Mapping[str, frozenset[str]] = {
    "model": frozenset(
        {"trust_remote_code", "torch_dtype", "dtype", "attn_implementation", "add_pooling_layer", "device_map"}
    ),
    "processor": frozenset({"trust_remote_code", "use_fast", "clean_up_tokenization_spaces", "model_max_length"}),
    "config": frozenset({"trust_remote_code", "torch_dtype", "dtype", "attn_implementation", "use_cache"}),
}
OLDER_NAMES = {"model": "model_args", "processor": "tokenizer_args", "config": "config_args"}
STORED: Mapping[str, Mapping[str, str]] = {  # kind of a stage -> its tensor's last name -> that in the module's file
    "dense": {"weight": "linear.weight", "bias": "linear.bias", "residual": "residual.weight"},
    "layer_norm": {"scale": "norm.weight", "bias": "norm.bias"},
}


@dataclass(frozen=True)
class Modules:
    """What a folder of sentence-transformers says of its texts and their vectors; nothing if it is none."""

    sentence: SentenceVectors | None = None
    # for each stage of `sentence` the folder of its weights; for a normalize the folder that asks for it
    stages: tuple[Path, ...] = ()
    reranks: bool = False  # it is a CrossEncoder, whose classifier is the point
    activation: str | None = None  # what that says makes its scores, the name of a class; None: nothing

    def places(self) -> dict[str, tuple[Path, Entry]]:
        """Where the tensors of the stages are. Raises ModelError where they are not those of their configurations."""
        found: dict[str, tuple[Path, Entry]] = {}
        if self.sentence is None:
            return found
        needed = pooling.shapes(self.sentence)
        for k, (stage, folder) in enumerate(zip(self.sentence.stages, self.stages, strict=True)):
            mine = {name: shape for name, shape in needed.items() if name.startswith(f"{SENTENCE}{k}.")}
            if not mine:
                continue
            if (folder / PICKLED).exists() and not (folder / SINGLE).exists():
                home = folder.parent
                raise ModelError(
                    f"{folder}: holds its weights in {PICKLED}, a pickle, which can run code when it is read; convert "
                    f'the model once with `python -c "from sentence_transformers import SentenceTransformer as M; '
                    f"M('{home}').save_pretrained('{home}-converted')\"` where sentence-transformers is installed"
                )
            stored = open_checkpoint(folder).places
            theirs = {name: STORED[stage.kind][name.rpartition(".")[2]] for name in mine}
            wanted = {theirs[name]: shape for name, shape in mine.items()}
            if faults := [*shape_faults(wanted, {name: entry.shape for name, (_, entry) in stored.items()})]:
                raise ModelError(fault_list(f"{folder}: the weights are not those of its config.json", faults))
            found |= {name: stored[theirs[name]] for name in mine}
        return found


def transformer_folder(folder: Path) -> Path:
    """Where the encoder and its tokenizer are: the folder of the first module, or the folder itself."""
    modules = _listed(folder) if (folder / MODULES).exists() else []
    path = modules[0]["path"] if modules else ""
    return _inner(folder, path) if path else folder


def read_modules(folder: Path, hidden: int) -> Modules:
    """What modules.json and the files it leads to say; nothing where there is none.

    hidden  values of a token's vector

    Raises ModelError for what is not run, with all that is wrong.
    """
    if not (folder / MODULES).exists():
        return Modules()
    listed = _listed(folder)
    faults: list[str] = []
    settings = read_json(folder, SETTINGS, ModelError) if (folder / SETTINGS).exists() else {}
    kind = settings.get("model_type", SENTENCES)
    if not isinstance(kind, str) or kind not in TASKS:
        raise ModelError(f"{folder / SETTINGS}: model_type is {kind!r}; {SENTENCES} and {PAIRS} are run")
    kinds = [_kind(module["type"]) for module in listed]
    wanted = kinds == ["Transformer"] if kind == PAIRS else kinds[:2] == ["Transformer", "Pooling"]
    if not wanted or len(kinds) > MOST_MODULES or any(name not in BEHIND for name in kinds[2:]):
        shape = "one Transformer" if kind == PAIRS else f"Transformer, Pooling, and then {', '.join(BEHIND)}"
        raise ModelError(f"{folder / MODULES}: has modules {', '.join(kinds)}; of a {kind} {shape} are run")
    sentence = SentenceVectors(pooling=("mean",) if kind == SENTENCES else (), **_settings(settings, faults))
    sentence = replace(sentence, **_transformer(transformer_folder(folder), kind, faults))
    stages: list[tuple[Stage, Path]] = []
    for name, module in zip(kinds[1:], listed[1:], strict=True):
        place = _inner(folder, module["path"])
        has_none = name in ("Normalize", "Dropout") and not (place / "config.json").exists()
        config = {} if has_none else read_json(place, "config.json", ModelError)
        where = f"{module['path']}/config.json"
        if name == "Pooling":
            sentence = replace(sentence, **_pooling(config, where, faults))
        elif name != "Dropout":  # which does nothing but in training
            stage = {"Dense": _dense, "Normalize": _normalize, "LayerNorm": _layer_norm}[name](config, where, faults)
            stages.append((stage, place))
    normalize = bool(stages) and stages[-1][0].kind == "normalize"
    stages = stages[: len(stages) - normalize]
    sentence = replace(sentence, normalize=normalize, stages=tuple(stage for stage, _ in stages))
    if not faults:
        faults = pooling.width_faults(sentence, hidden)
    if faults:
        raise ModelError(fault_list(f"{folder}: as sentence-transformers has it", faults))
    activation = settings.get("activation_fn") if kind == PAIRS else None
    return Modules(sentence, tuple(place for _, place in stages), kind == PAIRS, activation)


def _listed(folder: Path) -> list[dict[str, Any]]:
    """modules.json: a list of objects with a type and a path each."""
    where = str(folder / MODULES)
    text = b'{"modules":' + read_file(folder, MODULES, ModelError, JSON_LIMIT) + b"}"  # the document is a list
    modules = parse_json(text, where, ModelError)["modules"]
    if not isinstance(modules, list) or not all(
        isinstance(m, dict) and all(isinstance(m.get(key), str) for key in ("type", "path")) for m in modules
    ):
        raise ModelError(f"{where}: should list modules, each with its type and its path")
    names = [str(module["name"]) for module in modules if "name" in module]
    if len({*names}) < len(names):
        raise ModelError(f"{where}: has modules of the same name, of which only one would count: {', '.join(names)}")
    return modules


def _kind(type: str) -> str:
    """The last part of a class name of sentence-transformers; of another, the whole."""
    return type.rpartition(".")[2] if type.startswith("sentence_transformers.") else type


def _inner(folder: Path, name: str) -> Path:
    if name in ("", ".", "..") or any(c in name for c in "/\\\0") or (folder / name).is_symlink():
        raise ModelError(f"{folder / MODULES}: {name!r} is not the name of a folder in this folder")
    return folder / name


def _settings(config: Mapping[str, Any], faults: list[str]) -> dict[str, Any]:
    """Of config_sentence_transformers.json: prompts, similarity and truncate_dim."""
    prompts = config.get("prompts", {})
    if not isinstance(prompts, dict) or not all(text is None or isinstance(text, str) for text in prompts.values()):
        faults.append(f"{SETTINGS}: prompts is {prompts!r}, should be an object of strings")
        prompts = {}
    prompts = {name: text or "" for name, text in prompts.items()}
    default = config.get("default_prompt_name")
    known = [*pooling.known_prompts(prompts)]
    if default is not None and default not in known:
        faults.append(f"{SETTINGS}: default_prompt_name is {default!r}, which is none of {known}")
    similarity, similarities = config.get("similarity_fn_name"), pooling.SIMILARITIES
    if similarity not in (None, *similarities):
        faults.append(f"{SETTINGS}: similarity_fn_name is {similarity!r}, should be one of {', '.join(similarities)}")
    most = config.get("truncate_dim")
    if most is not None and (type(most) is not int or most < 1):
        faults.append(f"{SETTINGS}: truncate_dim is {most!r}, should be a whole number from 1")
    return {"prompts": prompts, "default_prompt": default, "similarity": similarity or "cosine", "truncate_dim": most}


def _transformer(folder: Path, kind: str, faults: list[str]) -> dict[str, Any]:
    """Of sentence_bert_config.json, under whichever of its names: lowercase and max_tokens."""
    name, config = TRANSFORMER_FILES[0], dict[str, Any]()
    for name in TRANSFORMER_FILES:
        if (folder / name).exists() and read_file(folder, name, ModelError, JSON_LIMIT).strip() != b"null":
            config = read_json(folder, name, ModelError)
        if config:
            break
    task, output, module = TASKS[kind]
    wanted: dict[str, Any] = {
        "transformer_task": task,
        "modality_config": {"text": {"method": "forward", "method_output_name": output}},
        "module_output_name": module,
    }
    if kind == PAIRS and "transformer_task" not in config:
        faults.append(f"{name}: transformer_task is not given; of a {PAIRS}, only {task!r} is run")
    for key, value in wanted.items():
        if config.get(key, value) != value:
            faults.append(f"{name}: {key} is {config[key]!r}; only {value!r} is run")
    most = config.get("max_seq_length")
    for loader, neutral in NEUTRAL.items():
        for key in (f"{loader}_kwargs", OLDER_NAMES[loader]):
            given = config.get(key) or {}
            if not isinstance(given, dict) or given.keys() - neutral:
                faults.append(f"{name}: {key} is {given!r}; only {', '.join(sorted(neutral))} may be in it")
            elif loader == "processor" and "model_max_length" in given:
                most = given["model_max_length"]
    if most is not None and (type(most) is not int or most < pooling.FEWEST_TOKENS):
        faults.append(f"{name}: max_seq_length is {most!r}, should be a whole number from {pooling.FEWEST_TOKENS}")
    lowercase = _flag(config, "do_lower_case", False, name, faults)
    known = {*wanted, "max_seq_length", "do_lower_case", "unpad_inputs"}
    known |= {f"{loader}_kwargs" for loader in NEUTRAL} | {*OLDER_NAMES.values()}
    faults += [
        f"{name}: {key} is {config[key]!r}, which is not run" for key in config if key not in known and config[key]
    ]
    return {"max_tokens": most, "lowercase": lowercase}


def _pooling(config: Mapping[str, Any], where: str, faults: list[str]) -> dict[str, Any]:
    modes = config.get("pooling_mode") or [mode for flag, mode in FLAGS.items() if config.get(flag)] or "mean"
    modes = modes if isinstance(modes, list) else [modes]
    if len(modes) > pooling.MOST_POOLINGS or not all(
        isinstance(mode, str) and mode in pooling.POOLINGS for mode in modes
    ):
        faults.append(f"{where}: pools by {modes!r}, should be one or some of {', '.join(pooling.POOLINGS)}")
    known = {"pooling_mode", "include_prompt", "embedding_dimension", "word_embedding_dimension", *FLAGS}
    faults += [f"{where}: {key} is {config[key]!r}, which is not known" for key in config if key not in known]
    return {"pooling": tuple(modes), "include_prompt": _flag(config, "include_prompt", True, where, faults)}


def _dense(config: Mapping[str, Any], where: str, faults: list[str]) -> Stage:
    _of_sentences(config, where, faults)
    named = config.get("activation_function", "torch.nn.modules.activation.Tanh")
    activation = pooling.class_of_torch(named)
    if activation not in pooling.ACTIVATIONS:
        faults.append(
            f"{where}: activation_function is {named!r}; of torch.nn {', '.join(pooling.ACTIVATIONS)} are run"
        )
    return Stage(
        "dense",
        _width(config, "in_features", where, faults),
        _width(config, "out_features", where, faults),
        _flag(config, "bias", True, where, faults),
        activation,
        _flag(config, "use_residual", False, where, faults),
    )


def _layer_norm(config: Mapping[str, Any], where: str, faults: list[str]) -> Stage:
    width = _width(config, "dimension", where, faults)
    return Stage("layer_norm", width, width)


def _normalize(config: Mapping[str, Any], where: str, faults: list[str]) -> Stage:
    _of_sentences(config, where, faults)
    return Stage("normalize", bias=False)


def _of_sentences(config: Mapping[str, Any], where: str, faults: list[str]) -> None:
    """A module that reads or writes anything but the vector of a text is a fault."""
    for key in ("module_input_name", "module_output_name"):
        if config.get(key) not in (None, "sentence_embedding"):
            faults.append(f"{where}: {key} is {config[key]!r}; only 'sentence_embedding' is run")


def _flag(config: Mapping[str, Any], key: str, default: bool, where: str, faults: list[str]) -> bool:
    value = config.get(key, default)
    if not isinstance(value, bool):
        faults.append(f"{where}: {key} is {value!r}, should be true or false")
    return bool(value)


def _width(config: Mapping[str, Any], key: str, where: str, faults: list[str]) -> int:
    value = config.get(key)
    if type(value) is not int or not 1 <= value <= pooling.MOST_WIDTH:
        faults.append(f"{where}: {key} is {value!r}, should be a whole number from 1 to {pooling.MOST_WIDTH}")
        return 1
    return value
