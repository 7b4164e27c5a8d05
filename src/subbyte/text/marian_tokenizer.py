"""Text to ids and back, on sentencepiece alone.

For MarianMT equal to MarianTokenizer of transformers 5, for students (`models/bergamot.py`) to Marian itself.
Safe to use from several threads: nothing changes after `load_tokenizer`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import sentencepiece

from subbyte.errors import ModelError, fault_list
from subbyte.folders.files import JSON_LIMIT, MOST_VALUES, read_json
from subbyte.text.pieces import SPACE, _languages, _sentencepiece

VOCABULARY_BYTES = 256  # of vocab.json for a word, escapes included
MOST_ADDED = 1 << 16  # characters of all tokens outside sentencepiece together: a pattern is made of them

# the special tokens of transformers, and what those that Marian needs are called if tokenizer_config.json does not say
NAMED = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
DEFAULTS: Mapping[str, str] = {"eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}

# what transformers changes in decoded text under clean_up_tokenization_spaces, in this order
CLEAN_UP = [(" .", "."), (" ?", "?"), (" !", "!"), (" ,", ","), (" ' ", "'")]
CLEAN_UP += [(f" {end}", end) for end in ("n't", "'m", "'s", "'ve", "'re")]


@dataclass(frozen=True)
class AddedToken:
    """A token that is cut out of the text before sentencepiece sees it."""

    id: int
    content: str
    lstrip: bool = False  # takes the white space on its left with it
    rstrip: bool = False
    special: bool = False  # left out of decoded text


@dataclass(frozen=True)
class MarianTokenizer:
    """The tokenizer of MarianMT folders.

    source, target      the sentencepiece models
    source_ids          piece -> id, for text that goes in
    target_pieces       id -> piece, for ids that come out
    added               content -> token; their ids are those of the source vocabulary, as in transformers
    eos, unk            two of them
    separate            whether the two sides have vocabularies of their own
    clean_up            whether decoded text loses the space before punctuation
    """

    source: sentencepiece.SentencePieceProcessor
    target: sentencepiece.SentencePieceProcessor
    source_ids: Mapping[str, int]
    target_pieces: Mapping[int, str]
    added: Mapping[str, AddedToken]
    eos: AddedToken
    unk: AddedToken
    separate: bool
    clean_up: bool

    def encode(self, text: str, max_length: int | None = None) -> list[int]:
        """The ids of a sentence, the end-of-sentence id last; at most `max_length` of them, that one included."""
        ids = [self._id(piece) for piece in self._pieces(text)]
        return [*(ids if max_length is None else ids[: max(max_length - 1, 0)]), self.eos.id]

    def encode_target(self, text: str) -> list[int]:
        """The ids of a translation, the end-of-sentence id last."""
        pieces = self.target.encode(text, out_type=str)
        return [*(self._target_ids.get(piece, self.unk.id) for piece in pieces), self.eos.id]

    def decode(self, ids: Iterable[int]) -> str:
        """The text that ids stand for, without special tokens."""
        processor = self._decoder
        text: str = ""
        pieces: list[str] = []
        for id in ids:
            if id in self._special_ids:
                continue
            piece = self._piece(int(id))
            if piece in self.added and self.added[piece].special:  # the other vocabulary has another id for it
                text += processor.decode_pieces(pieces) + piece + " "
                pieces = []
            else:
                pieces.append(piece)
        text += processor.decode_pieces(pieces)
        text = text.replace(SPACE, " ").strip()
        for old, new in CLEAN_UP if self.clean_up else ():
            text = text.replace(old, new)
        return text

    def target_piece(self, id: int) -> str:
        """The piece that an id of a translation stands for."""
        return self._piece(id)

    def unknown(self, ids: Sequence[int]) -> bool:
        """Whether one of these ids of a translation stands for text that has no piece."""
        return self.unk.id in ids

    @cached_property
    def languages(self) -> tuple[str, ...]:
        """The tokens that name a target language at the start of a text, as >>deu<<."""
        return _languages({**self.source_ids, **self.added})

    @cached_property
    def _splitter(self) -> re.Pattern[str]:
        """Cuts text at added tokens, the longest first. An alternation of literals has nothing to backtrack into."""
        longest_first = sorted(self.added, key=len, reverse=True)
        return re.compile("(" + "|".join(map(re.escape, longest_first)) + ")")

    @cached_property
    def _target_ids(self) -> Mapping[str, int]:
        return {piece: id for id, piece in self.target_pieces.items()}

    @cached_property
    def _special_ids(self) -> frozenset[int]:
        return frozenset(token.id for token in self.added.values() if token.special)

    @cached_property
    def _added_pieces(self) -> Mapping[int, str]:
        return {token.id: token.content for token in self.added.values()}

    @property
    def _decoder(self) -> sentencepiece.SentencePieceProcessor:
        return self.target if self.separate else self.source  # yes: so does transformers

    def _pieces(self, text: str) -> list[str]:
        parts = list(filter(None, self._splitter.split(text)))
        for i, part in enumerate(parts):
            if part in self.added:
                if self.added[part].rstrip and i + 1 < len(parts):
                    parts[i + 1] = parts[i + 1].lstrip()
                if self.added[part].lstrip and i > 0:
                    parts[i - 1] = parts[i - 1].rstrip()
        pieces = []
        for part in parts:
            if part in self.added:
                pieces.append(part)
                continue
            if part.startswith(">>") and (end := part.find("<<")) != -1:  # a target language, as in >>fr<<
                pieces.append(part[: end + 2])
                part = part[end + 2 :]
            pieces += self.source.encode(part, out_type=str)
        return pieces

    def _id(self, piece: str) -> int:
        return self.added[piece].id if piece in self.added else self.source_ids.get(piece, self.unk.id)

    def _piece(self, id: int) -> str:
        piece = self._added_pieces.get(id) or self.target_pieces.get(id)
        if piece is None and 0 <= id < self._decoder.get_piece_size():
            piece = self._decoder.id_to_piece(id)
        return piece or self.unk.content


def _marian_tokenizer(folder: Path, config: Mapping[str, Any]) -> MarianTokenizer:
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
    return MarianTokenizer(
        source=_sentencepiece(folder, "source.spm"),
        target=_sentencepiece(folder, "target.spm"),
        source_ids=source_ids,
        target_pieces={id: piece for piece, id in target_ids.items()},
        added=added,
        eos=added[_content(options["eos_token"])],
        unk=added[_content(options["unk_token"])],
        separate=separate,
        clean_up=options.get("clean_up_tokenization_spaces") is True,
    )


def _optional(folder: Path, name: str) -> dict[str, Any]:
    return read_json(folder, name, ModelError) if (folder / name).exists() else {}


def source_language(folder: Path) -> object:
    """What tokenizer_config.json calls the language that is read, as it is there; None if it says nothing."""
    return _optional(folder, "tokenizer_config.json").get("source_lang")


def _options(folder: Path) -> dict[str, Any]:
    """tokenizer_config.json with the defaults filled in; what transformers would act on and we would not is refused."""
    where = folder / "tokenizer_config.json"
    options = _optional(folder, where.name)
    named = options.get("tokenizer_class") or "MarianTokenizer"
    if named != "MarianTokenizer":
        raise ModelError(f"{where}: tokenizer_class is {named!r}; only MarianTokenizer is supported")
    for name in ("sp_model_kwargs", "split_special_tokens"):
        if options.get(name):
            raise ModelError(f"{where}: {name} is {options[name]!r}, which is not supported")
    if "added_tokens_decoder" not in options:  # written before transformers 4.34
        options |= _optional(folder, "special_tokens_map.json")
    return options | {name: options.get(name) or token for name, token in DEFAULTS.items()}


def _vocabulary(folder: Path, name: str, words: int) -> dict[str, int]:
    """Piece -> id, every id below `words`."""
    # Bounded by the words of the model, which its tensors have proved; pieces may hold commas and brackets themselves.
    vocabulary = read_json(folder, name, ModelError, JSON_LIMIT + VOCABULARY_BYTES * words, MOST_VALUES + 2 * words)
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
        declared = {str(id): content for content, id in _optional(folder, "added_tokens.json").items()}
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
