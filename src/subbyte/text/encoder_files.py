"""The tokenizer that an encoder's folder describes, put together as transformers 5.24 does.

tokenizer_config.json names a class (encoder_classes.py), which makes a tokenizer of the files. Then added tokens come
in, from the files that count.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from subbyte.errors import ModelError, fault_list
from subbyte.folders.files import read_file, read_json
from subbyte.text.encoder_classes import (
    BACKEND,
    BYTES,
    FILE,
    KINDS,
    LIMIT,
    MERGES,
    NAMED,
    WORD_PIECES,
    WORDS,
    Kind,
    Source,
)

if TYPE_CHECKING:
    from tokenizers import AddedToken, Tokenizer

OPTIONS, SPECIAL_MAP, ADDED = "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"
MOST_ADDED = 1 << 16  # tokens
MOST_CONTENT = 1 << 10  # characters of one
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
    """A tokenizer and what its folder says of its use.

    longest  tokens that a text is cut to; None: no limit is given
    typed    whether the model is told types of tokens
    special  ids of special tokens
    """

    tokenizer: Tokenizer
    longest: int | None
    cut_side: str
    typed: bool
    special: frozenset[int]


def read_tokenizer(folder: Path, config: Mapping[str, Any]) -> FolderTokenizer:
    """The tokenizer in a folder; `config` is its config.json, which may name a class too.

    Raises ModelError for what is damaged, strange, or of a class that is not run.
    """
    options = _options(folder)
    kind = _kind(options, config, folder)
    import tokenizers  # takes long, and translation does without

    loaded = None
    if (folder / FILE).exists():
        content = read_file(folder, FILE, ModelError, LIMIT)
        loaded = _made(folder / FILE, lambda: tokenizers.Tokenizer.from_buffer(content))
    options, added = _with_added(folder, options, loaded)
    given = {**kind.special, **{name: options[name] for name in _token_names(options)}}
    if kind is BACKEND and loaded is not None and loaded.padding:
        given.setdefault("pad_token", loaded.padding["pad_token"])
    names = {name: _text(token, name, folder) for name, token in given.items() if token is not None}
    if missing := [
        name for name in ("unk_token", "sep_token", "cls_token") if name in kind.special and name not in names
    ]:
        raise ModelError(f"{folder / OPTIONS}: {', '.join(missing)} should be a token, not null")
    place = folder / (FILE if loaded is not None else MERGES if kind is BYTES else WORDS)
    source = Source(folder, options, names, loaded, tokenizers)
    extra = _extra(options, folder)

    def make() -> Tokenizer:
        made = kind.make(source)
        _add(made, added, {name: given[name] for name in names}, extra)
        if kind.finish:
            kind.finish(made, names, options)
        elif made.post_processor is None:
            made.post_processor = tokenizers.processors.TemplateProcessing(single="$A:0", pair="$A:0 $B:1")
        made.encode_special_tokens = options.get("split_special_tokens", False)
        return made

    made = _made(place, make)
    truncation = loaded.truncation if loaded is not None else None
    listed = options.get("model_input_names")
    ids = (made.token_to_id(content) for content in (*names.values(), *(_text(token, "", folder) for token in extra)))
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
    options = _optional(folder, OPTIONS)
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


def _optional(folder: Path, name: str) -> dict[str, Any]:
    return read_json(folder, name, ModelError) if (folder / name).exists() else {}


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


# --- tokens


def _token_names(options: Mapping[str, Any]) -> list[str]:
    """Options that are special tokens: the named ones in transformers' order, then those of a model's own."""
    own = [name for name in options if name.endswith("_token") and name not in NAMED]
    return [name for name in NAMED if name in options] + [n for n in own if not isinstance(options[n], bool | None)]


def _text(token: object, name: str, folder: Path) -> str:
    """The content of a token, which is a string, an object with one, or the library's."""
    content = token.get("content") if isinstance(token, dict) else getattr(token, "content", token)
    if not isinstance(content, str) or not 0 < len(content) <= MOST_CONTENT:
        raise ModelError(f"{folder / OPTIONS}: {name or 'a special token'} is {token!r}, which is no token")
    return content


def _token(token: object, folder: Path, **flags: bool) -> AddedToken:
    """What an object in a file describes; `flags` stand in for its own."""
    from tokenizers import AddedToken

    keys = ("single_word", "lstrip", "rstrip", "normalized", "special")
    fields = {key: token[key] for key in keys if key in token} | flags if isinstance(token, dict) else flags
    if not all(isinstance(value, bool) for value in fields.values()):
        raise ModelError(f"{folder}: the added token {token!r} has a flag that is neither true nor false")
    return AddedToken(_text(token, "an added token", folder), **fields)


def _extra(options: Mapping[str, Any], folder: Path) -> list[Any]:
    """Special tokens without names."""
    listed = options.get("extra_special_tokens") or options.get("additional_special_tokens") or []
    listed = [*listed.values()] if isinstance(listed, dict) else listed
    if not isinstance(listed, list) or len(listed) > MOST_ADDED:
        raise ModelError(f"{folder / OPTIONS}: extra_special_tokens is {listed!r}, should be a list of tokens")
    return [_token(token, folder) if isinstance(token, dict) else token for token in listed]


def _with_added(
    folder: Path, options: dict[str, Any], loaded: Tokenizer | None
) -> tuple[dict[str, Any], list[AddedToken]]:
    """The options with special tokens as tokens, and the added tokens in the order of their ids.

    added_tokens_decoder in tokenizer_config.json is all there is; without it special_tokens_map.json,
    added_tokens.json and tokenizer.json count, later ones for more.
    """
    declared: dict[int, Any] = {}
    if "added_tokens_decoder" in options:
        listed = options["added_tokens_decoder"]
        if not isinstance(listed, dict) or not all(
            re.fullmatch(r"[0-9]{1,9}", id) and isinstance(token, dict) for id, token in listed.items()
        ):
            raise ModelError(f"{folder / OPTIONS}: added_tokens_decoder should have an object for each number")
        declared = {int(id): _token(token, folder) for id, token in listed.items()}
    else:
        for name, token in _optional(folder, SPECIAL_MAP).items():
            named = isinstance(token, dict) and name != "extra_special_tokens"
            options[name] = _token(token, folder, special=True) if named else token
        special = {_text(options[name], name, folder) for name in NAMED if options.get(name)}
        special |= {_text(token, "", folder) for token in _extra(options, folder)}
        for content, id in _added_ids(folder).items():
            is_special = content in special
            declared[id] = _token({"content": content}, folder, normalized=not is_special, special=is_special)
        if loaded is not None:
            declared |= loaded.get_added_tokens_decoder()
    if len(declared) > MOST_ADDED:
        raise ModelError(f"{folder}: has {len(declared):,} added tokens, more than {MOST_ADDED:,}")
    by_content = {token.content: token for token in declared.values()}
    for name in _token_names(options):
        if isinstance(options[name], dict):
            options[name] = _token(options[name], folder)
        if name in NAMED and options[name] is not None:
            options[name] = by_content.get(_text(options[name], name, folder), options[name])
    return options, [declared[id] for id in sorted(declared)]


def _added_ids(folder: Path) -> dict[str, int]:
    """added_tokens.json: content -> id."""
    listed = _optional(folder, ADDED)
    if wrong := [content for content, id in listed.items() if type(id) is not int or not 0 <= id < 1 << 31]:
        raise ModelError(f"{folder / ADDED}: {wrong[0]!r} has the id {listed[wrong[0]]!r}, should be a whole number")
    return listed


def _add(tokenizer: Tokenizer, added: Sequence[AddedToken], named: Mapping[str, Any], extra: Iterable[Any]) -> None:
    """Add to a tokenizer the tokens that it lacks, in transformers' order: new ones get the ids after its own."""
    from tokenizers import AddedToken

    there = {repr(token) for token in tokenizer.get_added_tokens_decoder().values()}
    adding: list[Any] = [token for token in added if repr(token) not in there]
    contents = {token.content for token in tokenizer.get_added_tokens_decoder().values()}
    contents |= {token.content for token in adding}
    for token in (*(named[name] for name in (*NAMED, *(n for n in named if n not in NAMED)) if name in named), *extra):
        content = token if isinstance(token, str) else token.content
        if content not in contents:
            contents.add(content)
            adding.append(token)
    special = {token if isinstance(token, str) else token.content for token in named.values()}
    tokens = [AddedToken(token, special=True) if isinstance(token, str) else token for token in adding]
    for token in tokens:
        if not token.special and token.content in special:
            token.special = True
    if not tokens:
        return
    vocabulary = tokenizer.get_vocab(with_added_tokens=False)
    tokenizer.add_tokens(tokens)
    owners = {id: word for word, id in vocabulary.items()}
    for token in tokens:
        owner = owners.get(tokenizer.token_to_id(token.content) or 0)
        if token.content not in vocabulary and owner is not None:
            raise ModelError(f"the token {token.content!r} is not in the vocabulary, and would get the id of {owner!r}")
