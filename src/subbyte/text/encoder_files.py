"""The tokenizer that an encoder's folder describes, put together as transformers 5.24 does.

tokenizer_config.json names a class (encoder_classes.py), which makes a tokenizer of the files. Then added tokens come
in, from the files that count (added_tokens.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from subbyte.errors import ModelError, fault_list
from subbyte.folders.compressed_file import is_there, read_plain
from subbyte.text.added_tokens import OPTIONS, add, content_of, extra_tokens, optional, token_names, with_added
from subbyte.text.encoder_classes import BACKEND, BYTES, FILE, KINDS, LIMIT, MERGES, WORD_PIECES, WORDS, Kind, Source

if TYPE_CHECKING:
    from tokenizers import Tokenizer

ANY_LENGTH = 1 << 40  # tokens; a limit above it is none

# option -> (type, may be null)
TYPES: Mapping[str, tuple[type, bool]] = {
    "do_lower_case": (bool, False), "tokenize_chinese_chars": (bool, False), "strip_accents": (bool, True),
    "add_prefix_space": (bool, False), "split_special_tokens": (bool, False), "truncation_side": (str, False),
    "padding_side": (str, False), "model_input_names": (list, False),
}  # fmt: skip
# what would be loaded from elsewhere, or run
REFUSED = ("auto_map", "fast_tokenizer_files", "init_inputs", "processor_class", "vocab", "merges", "tokenizer_object")


@dataclass(frozen=True)
class FolderTokenizer:
    """A tokenizer and what its folder says of its use."""

    tokenizer: Tokenizer
    longest: int | None  # tokens that a text is cut to; None: no limit is given
    cut_side: str
    typed: bool  # whether the model is told types of tokens
    special: frozenset[int]  # ids of special tokens


def read_tokenizer(folder: Path, config: Mapping[str, Any]) -> FolderTokenizer:
    """The tokenizer in a folder; `config` is its config.json, which may name a class too.

    Raises ModelError for what is damaged, strange, or of a class that is not run.
    """
    options = _options(folder)
    kind = _kind(options, config, folder)
    import tokenizers  # takes long, and translation does without

    loaded = None
    if is_there(folder, FILE):
        content = read_plain(folder, FILE, ModelError, LIMIT)
        loaded = _made(folder / FILE, lambda: tokenizers.Tokenizer.from_buffer(content))
    options, added = with_added(folder, options, loaded)
    given = {**kind.special, **{name: options[name] for name in token_names(options)}}
    if kind is BACKEND and loaded is not None and loaded.padding:
        given.setdefault("pad_token", loaded.padding["pad_token"])
    names = {name: content_of(token, name, folder) for name, token in given.items() if token is not None}
    if missing := [
        name for name in ("unk_token", "sep_token", "cls_token") if name in kind.special and name not in names
    ]:
        raise ModelError(f"{folder / OPTIONS}: {', '.join(missing)} should be a token, not null")
    place = folder / (FILE if loaded is not None else MERGES if kind is BYTES else WORDS)
    source = Source(folder, options, names, loaded, tokenizers)
    extra = extra_tokens(options, folder)

    def make() -> Tokenizer:
        made = kind.make(source)
        add(made, added, {name: given[name] for name in names}, extra)
        if kind.finish:
            kind.finish(made, names, options)
        elif made.post_processor is None:
            made.post_processor = tokenizers.processors.TemplateProcessing(single="$A:0", pair="$A:0 $B:1")
        made.encode_special_tokens = options.get("split_special_tokens", False)
        return made

    made = _made(place, make)
    truncation = loaded.truncation if loaded is not None else None
    listed = options.get("model_input_names")
    ids = (
        made.token_to_id(content) for content in (*names.values(), *(content_of(token, "", folder) for token in extra))
    )
    return FolderTokenizer(
        tokenizer=made,
        longest=_longest(options, folder),
        cut_side=options.get("truncation_side") or (truncation or {}).get("direction", "right"),
        typed=kind.typed if listed is None else "token_type_ids" in listed,
        special=frozenset(id for id in ids if id is not None),
    )


def lowercase(tokenizer: Tokenizer) -> None:
    """Have texts lowercased first of all, as sentence-transformers does, unless they already are in so many words."""
    from tokenizers.normalizers import Lowercase, Sequence

    normalizer = tokenizer.normalizer
    steps: list[Any] = [] if normalizer is None else [normalizer]
    if isinstance(normalizer, Sequence):
        steps = list(normalizer)  # type: ignore[call-overload]  # its stub does not know it
    if not any(isinstance(step, Lowercase) for step in steps):
        tokenizer.normalizer = Sequence([Lowercase(), *steps])


def _made(file: Path, make: Callable[[], Tokenizer]) -> Tokenizer:
    try:
        return make()
    except (KeyboardInterrupt, SystemExit):
        raise
    except ModelError as error:
        raise error if str(error).startswith(str(file.parent)) else ModelError(f"{file}: {error}") from None
    except BaseException as error:  # the library's own panics are no Exception
        raise ModelError(f"{file}: is no tokenizer that can be read: {error}") from None


def _options(folder: Path) -> dict[str, Any]:
    """tokenizer_config.json, with what it says of our concern checked."""
    options = optional(folder, OPTIONS)
    faults = [f"{name} is {options[name]!r}, which is not supported" for name in REFUSED if options.get(name)]
    for name, (type, nullable) in TYPES.items():
        value = options.get(name)
        if name in options and not isinstance(value, type) and not (value is None and nullable):
            faults.append(f"{name} is {value!r}, should be a {type.__name__}{' or null' if nullable else ''}")
    for name in ("truncation_side", "padding_side"):
        if isinstance(options.get(name), str) and options[name] not in ("left", "right"):
            faults.append(f"{name} is {options[name]!r}, should be left or right")
    if faults:
        raise ModelError(fault_list(f"{folder / OPTIONS}", faults))
    if options.get("additional_special_tokens") and not options.get("extra_special_tokens"):  # its older name
        options["extra_special_tokens"] = options.pop("additional_special_tokens")
    return options


def _kind(options: Mapping[str, Any], config: Mapping[str, Any], folder: Path) -> Kind:
    """The class that transformers takes: that which is named, or the one of the model's family."""
    named = options.get("tokenizer_class") or config.get("tokenizer_class")
    if named is None:
        return BYTES if config.get("model_type") == "roberta" else WORD_PIECES
    kind = KINDS.get(named.removesuffix("Fast")) if isinstance(named, str) else None
    if kind is None:
        raise ModelError(
            f"{folder / OPTIONS}: tokenizer_class is {named!r}; run are {', '.join(KINDS)}, each also with Fast"
        )
    return kind


def _longest(options: Mapping[str, Any], folder: Path) -> int | None:
    """Tokens of a text as model_max_length has it, or max_len, its older name."""
    most = options.get("model_max_length", options.get("max_len"))
    if most is None or (isinstance(most, int | float) and not isinstance(most, bool) and most > ANY_LENGTH):
        return None
    if type(most) is not int or most < 3:
        raise ModelError(f"{folder / OPTIONS}: model_max_length is {most!r}, should be a whole number from 3")
    return most
