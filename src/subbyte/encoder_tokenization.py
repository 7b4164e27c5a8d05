"""Texts to ids for encoders, on Hugging Face's tokenizers alone: one text, or a pair of two."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from subbyte.errors import ModelError, UsageError
from subbyte.files import read_file, read_json
from subbyte.models import bert

if TYPE_CHECKING:
    from tokenizers import Tokenizer

FILE, WORDS, MERGES = "tokenizer.json", "vocab.txt", "merges.txt"
LIMIT = 1 << 25  # bytes of a tokenizer's file


class EncoderTokenizer:
    """Ids and token types of texts, special tokens included; what is longer than the model reads is cut."""

    def __init__(self, tokenizer: Tokenizer, settings: bert.Settings, longest: int) -> None:
        """`longest`: tokens of a text, special ones included; of a pair, the longer one is cut first."""
        tokenizer.no_padding()
        tokenizer.enable_truncation(longest)
        self.longest = longest
        self._settings = settings
        self._tokenizer = tokenizer

    def encode(self, texts: Sequence[tuple[str, ...]]) -> tuple[list[list[int]], list[list[int]]]:
        """Ids and types of each text, which is one string or a pair of strings.

        Raises UsageError for what is neither, ModelError where the tokenizer's own file makes it fail, or makes ids
        that the model does not have.
        """
        if not all(len(text) in (1, 2) for text in texts):
            raise UsageError("a text is one string, or a pair of two")
        try:
            found = self._tokenizer.encode_batch([text[0] if len(text) == 1 else text for text in texts])
        except TypeError:
            raise UsageError("a text should be a string of whole characters, or a pair of two") from None
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # its own panics are no Exception
            raise ModelError(f"the model's tokenizer fails: {error}") from None
        ids = [one.ids for one in found]
        typed = self._settings.family == "bert"  # the others are never told types
        types = [one.type_ids if typed else [0] * len(one.ids) for one in found]
        for text, tokens, kinds in zip(texts, ids, types, strict=True):
            self._check(text, tokens, kinds)
        return ids, types

    def _check(self, text: tuple[str, ...], ids: list[int], types: list[int]) -> None:
        if not 0 < len(ids) <= self.longest:
            raise ModelError(
                f"the model's tokenizer makes {len(ids)} tokens of {text[0][:40]!r}, should make 1 to {self.longest}"
            )
        if max(ids) >= self._settings.vocab_size or max(types) >= max(1, self._settings.types):
            raise ModelError(
                f"the model's tokenizer makes the id {max(ids)} and the type {max(types)} of {text[0][:40]!r}; the "
                f"model has {self._settings.vocab_size:,} words and {self._settings.types} types"
            )

    def tokens(self, ids: Sequence[int]) -> list[str]:
        """The piece that each id stands for."""
        return [self._tokenizer.id_to_token(id) or "" for id in ids]


def load_encoder_tokenizer(folder: Path, config: Mapping[str, Any], max_tokens: int | None = None) -> EncoderTokenizer:
    """The tokenizer in a folder: tokenizer.json, or else what the model's family had before there was one.

    max_tokens  a text is cut to so many, if the model itself does not read fewer
    """
    settings = bert.settings(config)
    if (folder / FILE).exists():
        content = read_file(folder, FILE, ModelError, LIMIT)
        made = _made(folder / FILE, lambda library: library.Tokenizer.from_buffer(content))
    elif settings.family == "roberta":
        made = _byte_pairs(folder)
    else:
        made = _word_pieces(folder)
    if made.get_vocab_size() > settings.vocab_size:
        raise ModelError(
            f"{folder}: the tokenizer has {made.get_vocab_size():,} words, the model {settings.vocab_size:,}"
        )
    return EncoderTokenizer(made, settings, min(settings.longest, max_tokens or settings.longest))


def _made(file: Path, make: Callable[[Any], Tokenizer]) -> Tokenizer:
    import tokenizers  # takes long, and translation does without

    try:
        made: Tokenizer = make(tokenizers)
        return made
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # its own panics are no Exception
        raise ModelError(f"{file}: is no tokenizer that can be read: {error}") from None


def _word_pieces(folder: Path) -> Tokenizer:
    """BERT's, of vocab.txt."""
    words = read_file(folder, WORDS, ModelError, LIMIT).decode("utf-8", errors="replace").split("\n")
    options = _options(folder)
    vocabulary = {word.rstrip("\r"): i for i, word in enumerate(words) if word}
    return _made(
        folder / WORDS,
        lambda library: (
            library.implementations.BertWordPieceTokenizer(
                vocabulary,
                lowercase=options.get("do_lower_case", True),
                strip_accents=options.get("strip_accents"),
                handle_chinese_chars=options.get("tokenize_chinese_chars", True),
            )._tokenizer
        ),
    )


def _byte_pairs(folder: Path) -> Tokenizer:
    """RoBERTa's, of vocab.json and merges.txt."""
    vocabulary = read_json(folder, "vocab.json", ModelError, LIMIT, most_values=1 << 20)
    lines = read_file(folder, MERGES, ModelError, LIMIT).decode("utf-8", errors="replace").split("\n")
    merges = [tuple(line.split(" ")) for line in lines if line and not line.startswith("#version")]

    def make(library: Any) -> Tokenizer:
        tokenizer: Tokenizer = library.implementations.ByteLevelBPETokenizer(
            vocabulary, merges, add_prefix_space=_options(folder).get("add_prefix_space", False)
        )._tokenizer
        special = [(name, vocabulary[name]) for name in ("</s>", "<s>")]
        tokenizer.post_processor = library.processors.RobertaProcessing(*special, add_prefix_space=False)
        tokenizer.add_special_tokens(
            [name for name in ("<s>", "<pad>", "</s>", "<unk>", "<mask>") if name in vocabulary]
        )
        return tokenizer

    return _made(folder / MERGES, make)


def _options(folder: Path) -> dict[str, Any]:
    name = "tokenizer_config.json"
    return read_json(folder, name, ModelError) if (folder / name).exists() else {}
