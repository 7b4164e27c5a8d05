"""The files with which Hugging Face folders describe tokens, and adding those of an encoder to its tokenizer.

A token is a string, an object of JSON with one, or the library's own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from subbyte.errors import ModelError
from subbyte.folders.files import read_json

if TYPE_CHECKING:
    from tokenizers import AddedToken, Tokenizer

OPTIONS, SPECIAL_MAP, ADDED = "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"
# the special tokens that transformers knows by name, in its order
NAMED = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
MOST_ADDED = 1 << 16  # tokens
MOST_CONTENT = 1 << 10  # characters of one


def optional(folder: Path, name: str) -> dict[str, Any]:
    """What a file of a folder holds; nothing where there is no such file."""
    return read_json(folder, name, ModelError) if (folder / name).exists() else {}


def token_names(options: Mapping[str, Any]) -> list[str]:
    """Options that are special tokens: the named ones in transformers' order, then those of a model's own."""
    own = [name for name in options if name.endswith("_token") and name not in NAMED]
    return [name for name in NAMED if name in options] + [n for n in own if not isinstance(options[n], bool | None)]


def content_of(token: object, name: str, folder: Path) -> str:
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
    return AddedToken(content_of(token, "an added token", folder), **fields)


def extra_tokens(options: Mapping[str, Any], folder: Path) -> list[Any]:
    """Special tokens without names."""
    listed = options.get("extra_special_tokens") or options.get("additional_special_tokens") or []
    listed = [*listed.values()] if isinstance(listed, dict) else listed
    if not isinstance(listed, list) or len(listed) > MOST_ADDED:
        raise ModelError(f"{folder / OPTIONS}: extra_special_tokens is {listed!r}, should be a list of tokens")
    return [_token(token, folder) if isinstance(token, dict) else token for token in listed]


def with_added(
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
        for name, token in optional(folder, SPECIAL_MAP).items():
            named = isinstance(token, dict) and name != "extra_special_tokens"
            options[name] = _token(token, folder, special=True) if named else token
        special = {content_of(options[name], name, folder) for name in NAMED if options.get(name)}
        special |= {content_of(token, "", folder) for token in extra_tokens(options, folder)}
        for content, id in _added_ids(folder).items():
            is_special = content in special
            declared[id] = _token({"content": content}, folder, normalized=not is_special, special=is_special)
        if loaded is not None:
            declared |= loaded.get_added_tokens_decoder()
    if len(declared) > MOST_ADDED:
        raise ModelError(f"{folder}: has {len(declared):,} added tokens, more than {MOST_ADDED:,}")
    by_content = {token.content: token for token in declared.values()}
    for name in token_names(options):
        if isinstance(options[name], dict):
            options[name] = _token(options[name], folder)
        if name in NAMED and options[name] is not None:
            options[name] = by_content.get(content_of(options[name], name, folder), options[name])
    return options, [declared[id] for id in sorted(declared)]


def _added_ids(folder: Path) -> dict[str, int]:
    """added_tokens.json: content -> id."""
    listed = optional(folder, ADDED)
    if wrong := [content for content, id in listed.items() if type(id) is not int or not 0 <= id < 1 << 31]:
        raise ModelError(f"{folder / ADDED}: {wrong[0]!r} has the id {listed[wrong[0]]!r}, should be a whole number")
    return listed


def add(tokenizer: Tokenizer, added: Sequence[AddedToken], named: Mapping[str, Any], extra: Iterable[Any]) -> None:
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
