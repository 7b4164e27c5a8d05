"""Texts to ids for encoders, on Hugging Face's tokenizers alone: one text, or a pair of two."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from subbyte.errors import ModelError, SubbyteError, UsageError
from subbyte.models import encoder
from subbyte.models.families import encoder_of
from subbyte.models.model import SentenceVectors
from subbyte.text.batches import in_batches
from subbyte.text.encoder_files import FolderTokenizer, lowercase, read_tokenizer
from subbyte.text.given import Text, checked


class EncoderTokenizer:
    """Ids and token types of texts, special tokens included; what is longer than the model reads is cut."""

    def __init__(self, read: FolderTokenizer, settings: encoder.Settings, longest: int) -> None:
        """`longest`: tokens of a text, special ones included; of a pair, the longer one is cut first."""
        self.longest = longest
        self._settings = settings
        self._special = read.special
        self._typed = read.typed and settings.types > 0  # DistilBERT is never told types
        self._tokenizer = read.tokenizer
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(longest, direction=read.cut_side)

    def encode(self, texts: Sequence[tuple[str, ...]]) -> tuple[list[list[int]], list[list[int]]]:
        """Ids and types of each text, which is one string or a pair of strings.

        Raises UsageError for what is neither, ModelError where the tokenizer's own file makes it fail, or makes ids
        that the model does not have.
        """
        if not all(len(text) in (1, 2) for text in texts):
            raise UsageError("a text is one string, or a pair of two")
        found = self._encoded([text[0] if len(text) == 1 else text for text in texts])
        ids = [one.ids for one in found]
        types = [one.type_ids if self._typed else [0] * len(one.ids) for one in found]
        for text, tokens, kinds in zip(texts, ids, types, strict=True):
            self._check(text, tokens, kinds)
        return ids, types

    def check_special(self) -> None:
        """Raise ModelError if what the tokenizer puts around every text is not of the model."""
        most = max((id for one in self._encoded(["", ("", "")]) for id in one.ids), default=0)
        if most >= self._settings.vocab_size:
            raise ModelError(
                f"the model's tokenizer makes the id {most} around every text; the model has "
                f"{self._settings.vocab_size:,} words"
            )

    def _encoded(self, texts: list[Any]) -> list[Any]:
        try:
            return list(self._tokenizer.encode_batch(texts))
        except TypeError:
            raise UsageError("a text should be a string of whole characters, or a pair of two") from None
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # its own panics are no Exception
            raise ModelError(f"the model's tokenizer fails: {error}") from None

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

    def prompt_tokens(self, prompt: str) -> int:
        """Tokens that a prompt has at the start of a text, as sentence-transformers counts them."""
        (ids,), _ = self.encode([(prompt,)])
        return len(ids) - (ids[-1] in self._special)

    def tokens(self, ids: Sequence[int]) -> list[str]:
        """The piece that each id stands for."""
        return [self._tokenizer.id_to_token(id) or "" for id in ids]


def load_encoder_tokenizer(
    folder: Path, config: Mapping[str, Any], max_tokens: int | None = None, sentence: SentenceVectors | None = None
) -> EncoderTokenizer:
    """The tokenizer in a folder, whose config.json is `config`.

    max_tokens  a text is cut to so many, if the model itself does not read fewer
    sentence    what sentence-transformers' files say; their limit stands in for that of tokenizer_config.json
    """
    settings = encoder_of(config)
    read = read_tokenizer(folder, config)
    words = read.tokenizer.get_vocab_size(with_added_tokens=False)
    if words > settings.vocab_size:
        raise ModelError(f"{folder}: the tokenizer has {words:,} words, the model {settings.vocab_size:,}")
    if sentence and sentence.lowercase:
        lowercase(read.tokenizer)
    limits = [max_tokens, (sentence and sentence.max_tokens) or read.longest, settings.longest]
    made = EncoderTokenizer(read, settings, min(limit for limit in limits if limit is not None))
    made.check_special()
    return made


def encoded_batches(
    tokenizer: EncoderTokenizer, texts: Iterable[Text], size: int, prompt: str
) -> Iterator[tuple[list[list[int]], list[list[int]]]]:
    """Ids and types of `size` texts at a time, `prompt` before each.

    Where one cannot be read, those before it come first, then the fault.
    """
    for batch in in_batches(checked(texts, pairs=True), size):
        texts_of_one = ((text,) if isinstance(text, str) else text for text in batch)
        parts = [(prompt + first, *second) for first, *second in texts_of_one]
        try:
            encoded = tokenizer.encode(parts)
        except SubbyteError as error:
            fault = error
        else:
            yield encoded
            continue
        for number in range(len(parts)):
            try:
                tokenizer.encode(parts[number : number + 1])
            except SubbyteError:
                if number:
                    yield tokenizer.encode(parts[:number])
                break
        raise fault
