"""The tokenizer classes of transformers 5.24 that are run: what each makes of a folder's files.

BERT's, RoBERTa's and XLM-RoBERTa's take only the vocabulary from tokenizer.json, or from the files of the time before
it, and everything else from tokenizer_config.json and their own defaults: a cased tokenizer.json is lowercased where
do_lower_case is not said to be false. PreTrainedTokenizerFast and TokenizersBackend run tokenizer.json as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from subbyte.errors import ModelError
from subbyte.folders.compressed_file import read_plain, read_plain_json
from subbyte.text.added_tokens import NAMED

if TYPE_CHECKING:
    from tokenizers import Tokenizer

FILE, WORDS, MERGES, VOCABULARY = "tokenizer.json", "vocab.txt", "merges.txt", "vocab.json"
LIMIT = 1 << 25  # bytes of a tokenizer's file

OF_WORDS = dict(zip(NAMED[2:], ("[UNK]", "[SEP]", "[PAD]", "[CLS]", "[MASK]"), strict=True))
OF_PIECES = dict(zip(NAMED, ("<s>", "</s>", "<unk>", "</s>", "<pad>", "<s>", "<mask>"), strict=True))
NO_WORD = "\U0010fffd"  # a character that no vocabulary has


@dataclass(frozen=True)
class Kind:
    """A class of transformers: what it makes of a folder, its special tokens, and whether it tells types of tokens."""

    make: Callable[[Source], Tokenizer]
    special: Mapping[str, str]
    typed: bool
    finish: Callable[[Tokenizer, Mapping[str, str], Mapping[str, Any]], None] | None = None


@dataclass(frozen=True)
class Source:
    """The files of a folder, and what they say."""

    folder: Path
    options: Mapping[str, Any]
    special: Mapping[str, str]  # name -> content, defaults filled in
    loaded: Tokenizer | None  # tokenizer.json
    library: Any


def _backend(source: Source) -> Tokenizer:
    """tokenizer.json as it is."""
    if source.loaded is None:
        raise ModelError(f"{source.folder / FILE}: the file is missing, which this tokenizer_class needs")
    return source.loaded


def _word_pieces(source: Source) -> Tokenizer:
    """BERT's: only the vocabulary of tokenizer.json counts, or else vocab.txt."""
    library, options = source.library, source.options
    if source.loaded is not None:
        vocabulary = source.loaded.get_vocab(with_added_tokens=False)
    else:
        words = read_plain(source.folder, WORDS, ModelError, LIMIT).decode("utf-8", errors="replace").split("\n")
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


def _template(made: Tokenizer, first: str, last: str, single: list[str], pair: list[str]) -> None:
    """Put special tokens around every text, and every pair of two."""
    from tokenizers.processors import TemplateProcessing

    special = [(token, made.token_to_id(token)) for token in {first, last}]
    made.post_processor = TemplateProcessing(single=single, pair=pair, special_tokens=special)


def _finish_word_pieces(made: Tokenizer, special: Mapping[str, str], options: Mapping[str, Any]) -> None:
    cls, sep = special["cls_token"], special["sep_token"]
    single = [f"{cls}:0", "$A:0", f"{sep}:0"]
    _template(made, cls, sep, single, [*single, "$B:1", f"{sep}:1"])


def _byte_pairs(source: Source) -> Tokenizer:
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
        vocabulary = read_plain_json(source.folder, VOCABULARY, ModelError, LIMIT, most_values=1 << 20)
        lines = read_plain(source.folder, MERGES, ModelError, LIMIT).decode("utf-8", errors="replace").split("\n")
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


def _pieces(source: Source) -> Tokenizer:
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
    bos, eos = special["bos_token"], special["eos_token"]
    _template(made, bos, eos, [bos, "$A", eos], [bos, "$A", eos, eos, "$B", eos])


WORD_PIECES = Kind(_word_pieces, OF_WORDS, True, _finish_word_pieces)
BYTES = Kind(_byte_pairs, OF_PIECES, False, _finish_byte_pairs)
PIECES = Kind(_pieces, OF_PIECES, False, _finish_pieces)
BACKEND = Kind(_backend, {}, False)
# tokenizer_class, without Fast; transformers has several names for some of them
KINDS: Mapping[str, Kind] = {
    "BertTokenizer": WORD_PIECES,
    "ElectraTokenizer": WORD_PIECES,
    "MobileBertTokenizer": WORD_PIECES,
    "DistilBertTokenizer": replace(WORD_PIECES, typed=False),
    "RobertaTokenizer": BYTES,
    "LongformerTokenizer": BYTES,
    "XLMRobertaTokenizer": PIECES,
    "PreTrainedTokenizer": BACKEND,
    "TokenizersBackend": BACKEND,
}
