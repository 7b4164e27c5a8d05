"""The tokenizer that a MarianMT folder describes: its vocabularies, and the tokens beside them."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from subbyte.errors import ModelError, fault_list
from subbyte.folders.compressed_file import read_plain_json
from subbyte.folders.files import JSON_LIMIT, MOST_VALUES
from subbyte.models import marian
from subbyte.text.added_tokens import ADDED, NAMED, OPTIONS, SPECIAL_MAP, optional
from subbyte.text.marian_tokenizer import AddedToken, MarianTokenizer
from subbyte.text.pieces import read_pieces

VOCABULARY_BYTES = 256  # of vocab.json for a word, escapes included
MOST_ADDED = 1 << 16  # characters of all tokens outside sentencepiece together: a pattern is made of them
# special tokens that Marian needs, where tokenizer_config.json does not name them
DEFAULTS: Mapping[str, str] = {"eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}


def read_tokenizer(folder: Path, config: Mapping[str, Any]) -> MarianTokenizer:
    """The tokenizer in a folder. Raises ModelError for files that are damaged, or do not fit `config`."""
    options = _options(folder)
    separate = options.get("separate_vocabs") is True
    words = config["vocab_size"]
    source_ids = _vocabulary(folder, "vocab.json", words)
    target_words = config.get("decoder_vocab_size") or words
    target_ids = _vocabulary(folder, "target_vocab.json", target_words) if separate else source_ids
    if _content(options["unk_token"]) not in source_ids:
        raise ModelError(f"{folder / 'vocab.json'}: has no unknown token {_content(options['unk_token'])!r}")
    added = _added_tokens(folder, options, source_ids)
    if beyond := [f"{token.content!r} has the id {token.id}" for token in added.values() if token.id >= words]:
        raise ModelError(fault_list(f"{folder}: special tokens that are not among the {words} words", beyond))
    names = marian.piece_files(config)
    pieces = {name: read_pieces(folder, name) for name in dict.fromkeys(names)}
    return MarianTokenizer(
        source=pieces[names[0]],
        target=pieces[names[1]],
        source_ids=source_ids,
        target_pieces={id: piece for piece, id in target_ids.items()},
        added=added,
        eos=added[_content(options["eos_token"])],
        unk=added[_content(options["unk_token"])],
        separate=separate,
        clean_up=options.get("clean_up_tokenization_spaces") is True,
    )


def source_language(folder: Path) -> object:
    """What tokenizer_config.json calls the language that is read, as it is there; None if it says nothing."""
    return optional(folder, OPTIONS).get("source_lang")


def _options(folder: Path) -> dict[str, Any]:
    """tokenizer_config.json with the defaults filled in; what transformers would act on and we would not is refused."""
    where = folder / OPTIONS
    options = optional(folder, OPTIONS)
    named = options.get("tokenizer_class") or "MarianTokenizer"
    if named != "MarianTokenizer":
        raise ModelError(f"{where}: tokenizer_class is {named!r}; only MarianTokenizer is supported")
    for name in ("sp_model_kwargs", "split_special_tokens"):
        if options.get(name):
            raise ModelError(f"{where}: {name} is {options[name]!r}, which is not supported")
    if "added_tokens_decoder" not in options:  # written before transformers 4.34
        options |= optional(folder, SPECIAL_MAP)
    return options | {name: options.get(name) or token for name, token in DEFAULTS.items()}


def _vocabulary(folder: Path, name: str, words: int) -> dict[str, int]:
    """Piece -> id, every id below `words`."""
    # Bounded by the words of the model, which its tensors have proved; pieces may hold commas and brackets themselves.
    most = JSON_LIMIT + VOCABULARY_BYTES * words
    vocabulary = read_plain_json(folder, name, ModelError, most, MOST_VALUES + 2 * words)
    faults = [
        f"{piece!r} has the id {id!r}, should be a whole number below {words}"
        for piece, id in vocabulary.items()
        if type(id) is not int or not 0 <= id < words
    ]
    if faults:
        raise ModelError(fault_list(f"{folder / name}: does not fit config.json", faults))
    return vocabulary


def _content(token: object) -> str:
    """The text of a token that a JSON file gives as a string or as an object."""
    content = token.get("content") if isinstance(token, dict) else token
    if not isinstance(content, str) or not content:
        raise ModelError(f"tokenizer configuration: {token!r} is not a token")
    return content


def _added_token(token: object, id: int, special: bool) -> AddedToken:
    fields = token if isinstance(token, dict) else {}
    if fields.get("single_word"):
        raise ModelError(f"tokenizer configuration: token {token!r} has single_word, which is not supported")
    return AddedToken(id, _content(token), fields.get("lstrip") is True, fields.get("rstrip") is True, special)


def _special_tokens(options: Mapping[str, Any]) -> Iterator[object]:
    """The tokens that decoding leaves out, as strings or objects."""
    yield from (options[name] for name in NAMED if options.get(name))
    extra = options.get("extra_special_tokens") or options.get("additional_special_tokens") or []
    if not isinstance(extra, dict | list):
        raise ModelError(f"tokenizer configuration: extra_special_tokens is {extra!r}, should be a list or an object")
    yield from extra.values() if isinstance(extra, dict) else extra
    yield from (token for name, token in options.items() if name.endswith("_token") and name not in NAMED and token)


def _added_tokens(folder: Path, options: Mapping[str, Any], vocabulary: Mapping[str, int]) -> dict[str, AddedToken]:
    """Content -> token. Special tokens that the vocabulary lacks get the ids after it, as in transformers."""
    special = list(dict.fromkeys(map(_content, _special_tokens(options))))
    declared = options.get("added_tokens_decoder")
    if declared is None:
        declared = {str(id): content for content, id in optional(folder, ADDED).items()}
    if not isinstance(declared, dict):
        raise ModelError(f"tokenizer configuration: added_tokens_decoder is {declared!r}, should be an object")
    added: dict[str, AddedToken] = {}
    for id, token in declared.items():
        if not re.fullmatch(r"[0-9]{1,9}", id):
            raise ModelError(f"{folder}: the added token {token!r} has the id {id!r}, should be a whole number")
        content = _content(token)
        added[content] = _added_token(token, int(id), special=content in special)
    after = len({*vocabulary, *added})
    for content in special:  # only declared tokens take white space with them, as in transformers
        if content not in added:
            added[content] = AddedToken(vocabulary.get(content, after), content, special=True)
            after += content not in vocabulary
    if (characters := sum(map(len, added))) > MOST_ADDED:
        raise ModelError(f"{folder}: its added tokens have {characters:,} characters, more than {MOST_ADDED:,}")
    return added
