"""The tokenizer that an encoder's folder describes, put together as transformers 5.24 does.

tokenizer_config.json names a class. BERT's, RoBERTa's and XLM-RoBERTa's take only the vocabulary from tokenizer.json,
or from the files of the time before it, and everything else from tokenizer_config.json and their own defaults: a cased
tokenizer.json is lowercased where do_lower_case is not said to be false. PreTrainedTokenizerFast and TokenizersBackend
run tokenizer.json as it is. Then added tokens come in, from the files that count.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from subbyte.errors import ModelError
from subbyte.files import fault_list, read_file, read_json

if TYPE_CHECKING:
    from tokenizers import AddedToken, Tokenizer

FILE, WORDS, MERGES, VOCABULARY = "tokenizer.json", "vocab.txt", "merges.txt", "vocab.json"
OPTIONS, SPECIAL_MAP, ADDED = "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"
LIMIT = 1 << 25  # bytes of a tokenizer's file
MOST_ADDED = 1 << 16  # tokens
MOST_CONTENT = 1 << 10  # characters of one
ANY_LENGTH = 1 << 40  # tokens; a limit above it is none

NAMED = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
OF_WORDS = dict(zip(NAMED[2:], ("[UNK]", "[SEP]", "[PAD]", "[CLS]", "[MASK]"), strict=True))
OF_PIECES = dict(zip(NAMED, ("<s>", "</s>", "<unk>", "</s>", "<pad>", "<s>", "<mask>"), strict=True))
NO_WORD = "\U0010fffd"  # a character that no vocabulary has
# of a class: (type, may be null)
TYPES: Mapping[str, tuple[type, bool]] = {
    "do_lower_case": (bool, False), "tokenize_chinese_chars": (bool, False), "strip_accents": (bool, True),
    "add_prefix_space": (bool, False), "split_special_tokens": (bool, False), "truncation_side": (str, False),
    "padding_side": (str, False), "model_input_names": (list, False),
}  # fmt: skip
# what would be loaded from elsewhere, or run
REFUSED = ("auto_map", "fast_tokenizer_files", "init_inputs", "processor_class", "vocab", "merges", "tokenizer_object")


@dataclass(frozen=True)
class Kind:
    """A class of transformers: what it makes of a folder, its special tokens, and whether it tells types of tokens."""

    make: Callable[[_Source], Tokenizer]
    special: Mapping[str, str]
    typed: bool
    finish: Callable[[Tokenizer, Mapping[str, str], Mapping[str, Any]], None] | None = None


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


@dataclass(frozen=True)
class _Source:
    """The files of a folder, and what they say."""

    folder: Path
    options: Mapping[str, Any]
    special: Mapping[str, str]  # name -> content, defaults filled in
    loaded: Tokenizer | None  # tokenizer.json
    library: Any


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
    source = _Source(folder, options, names, loaded, tokenizers)
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


# --- classes


def _backend(source: _Source) -> Tokenizer:
    """tokenizer.json as it is."""
    if source.loaded is None:
        raise ModelError(f"{source.folder / FILE}: the file is missing, which this tokenizer_class needs")
    return source.loaded


def _word_pieces(source: _Source) -> Tokenizer:
    """BERT's: only the vocabulary of tokenizer.json counts, or else vocab.txt."""
    library, options = source.library, source.options
    if source.loaded is not None:
        vocabulary = source.loaded.get_vocab(with_added_tokens=False)
    else:
        words = read_file(source.folder, WORDS, ModelError, LIMIT).decode("utf-8", errors="replace").split("\n")
        vocabulary = {word.rstrip(): i for i, word in enumerate(words) if word.rstrip()}
    if source.special["unk_token"] not in vocabulary:
        raise ModelError(f"the unknown token {source.special['unk_token']!r} is not in the vocabulary")
    made: Tokenizer = library.Tokenizer(library.models.WordPiece(vocabulary, unk_token=source.special["unk_token"]))
    made.normalizer = library.normalizers.BertNormalizer(
        clean_text=True,
        handle_chinese_chars=options.get("tokenize_chinese_chars", True),
        strip_accents=options.get("strip_accents"),
        lowercase=options.get("do_lower_case", True),
    )
    made.pre_tokenizer = library.pre_tokenizers.BertPreTokenizer()
    return made


def _finish_word_pieces(made: Tokenizer, special: Mapping[str, str], options: Mapping[str, Any]) -> None:
    from tokenizers.processors import TemplateProcessing

    cls, sep = special["cls_token"], special["sep_token"]
    made.post_processor = TemplateProcessing(
        single=[f"{cls}:0", "$A:0", f"{sep}:0"],
        pair=[f"{cls}:0", "$A:0", f"{sep}:0", "$B:1", f"{sep}:1"],
        special_tokens=[(token, made.token_to_id(token)) for token in {cls, sep}],
    )


def _byte_pairs(source: _Source) -> Tokenizer:
    """RoBERTa's: only vocabulary and merges of tokenizer.json count, or else vocab.json and merges.txt."""
    library = source.library
    if source.loaded is not None:
        model = source.loaded.model
        if not isinstance(model, library.models.BPE):
            raise ModelError(
                f"{source.folder / FILE}: holds a {type(model).__name__}, RoBERTa's tokenizer is of byte pairs"
            )
        model.dropout = model.unk_token = None
        model.continuing_subword_prefix = model.end_of_word_suffix = ""
        model.fuse_unk = model.byte_fallback = model.ignore_merges = False
    else:
        vocabulary = read_json(source.folder, VOCABULARY, ModelError, LIMIT, most_values=1 << 20)
        lines = read_file(source.folder, MERGES, ModelError, LIMIT).decode("utf-8", errors="replace").split("\n")
        merges = [tuple(line.split(" ")) for line in lines if line and not line.startswith("#version")]
        model = library.models.BPE(vocabulary, merges)
    made: Tokenizer = library.Tokenizer(model)
    space = source.options.get("add_prefix_space", False)
    made.pre_tokenizer = library.pre_tokenizers.ByteLevel(add_prefix_space=space)
    return made


def _finish_byte_pairs(made: Tokenizer, special: Mapping[str, str], options: Mapping[str, Any]) -> None:
    from tokenizers.processors import RobertaProcessing

    sep, cls = special["sep_token"], special["cls_token"]
    ids = made.token_to_id(sep), made.token_to_id(cls)
    assert ids[0] is not None and ids[1] is not None  # all special tokens were added
    made.post_processor = RobertaProcessing((sep, ids[0]), (cls, ids[1]), True, options.get("add_prefix_space", False))


def _pieces(source: _Source) -> Tokenizer:
    """XLM-RoBERTa's: of tokenizer.json only the pieces count, and the table of its normalizer."""
    library = source.library
    if source.loaded is None:
        raise ModelError(f"{source.folder / FILE}: the file is missing; sentencepiece models of encoders are not read")
    model = source.loaded.model
    if not isinstance(model, library.models.Unigram):
        raise ModelError(
            f"{source.folder / FILE}: holds a {type(model).__name__}, XLM-RoBERTa's tokenizer is a Unigram"
        )
    if [token.id for token in model.tokenize(NO_WORD)] != [3]:
        raise ModelError(
            f"{source.folder / FILE}: the unknown piece should have the id 3, as XLM-RoBERTa's tokenizer has it"
        )
    made: Tokenizer = library.Tokenizer(model)
    normalizer = source.loaded.normalizer
    steps = [*normalizer] if isinstance(normalizer, library.normalizers.Sequence) else [normalizer]
    for step in steps:
        if isinstance(step, library.normalizers.Precompiled):
            made.normalizer = step
            break
    scheme = "always" if source.options.get("add_prefix_space", True) else "never"
    spaces = library.pre_tokenizers.Metaspace(replacement="▁", prepend_scheme=scheme)
    made.pre_tokenizer = library.pre_tokenizers.Sequence([library.pre_tokenizers.WhitespaceSplit(), spaces])
    return made


def _finish_pieces(made: Tokenizer, special: Mapping[str, str], options: Mapping[str, Any]) -> None:
    from tokenizers.processors import TemplateProcessing

    bos, eos = special["bos_token"], special["eos_token"]
    made.post_processor = TemplateProcessing(
        single=[bos, "$A", eos],
        pair=[bos, "$A", eos, eos, "$B", eos],
        special_tokens=[(token, made.token_to_id(token)) for token in {bos, eos}],
    )


WORD_PIECES = Kind(_word_pieces, OF_WORDS, True, _finish_word_pieces)
UNTYPED_WORD_PIECES = Kind(_word_pieces, OF_WORDS, False, _finish_word_pieces)
BYTES = Kind(_byte_pairs, OF_PIECES, False, _finish_byte_pairs)
PIECES = Kind(_pieces, OF_PIECES, False, _finish_pieces)
BACKEND = Kind(_backend, {}, False)
# tokenizer_class, without Fast; transformers has several names for some of them
KINDS: Mapping[str, Kind] = {
    "BertTokenizer": WORD_PIECES,
    "ElectraTokenizer": WORD_PIECES,
    "MobileBertTokenizer": WORD_PIECES,
    "DistilBertTokenizer": UNTYPED_WORD_PIECES,
    "RobertaTokenizer": BYTES,
    "LongformerTokenizer": BYTES,
    "XLMRobertaTokenizer": PIECES,
    "PreTrainedTokenizer": BACKEND,
    "TokenizersBackend": BACKEND,
}
