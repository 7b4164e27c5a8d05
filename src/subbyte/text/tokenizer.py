"""What a translator needs of a tokenizer, and the one of a model folder."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import sentencepiece

from subbyte.models import marian
from subbyte.text import marian_files, student_tokenizer


class Tokenizer(Protocol):
    """One sentence at a time, text <-> ids."""

    @property
    def separate(self) -> bool:
        """Whether the two sides have vocabularies of their own."""

    @property
    def source(self) -> sentencepiece.SentencePieceProcessor:
        """The pieces of the source side."""

    @property
    def languages(self) -> tuple[str, ...]:
        """The tokens that name a target language at the start of a text, as >>deu<<; of most models there are none."""

    def encode(self, text: str, max_length: int | None = None) -> list[int]:
        """The ids of a sentence, the end-of-sentence id last; at most `max_length` of them, that one included."""

    def encode_target(self, text: str) -> list[int]:
        """The ids of a translation, the end-of-sentence id last."""

    def decode(self, ids: Iterable[int]) -> str:
        """The text that ids stand for, without special tokens."""

    def target_piece(self, id: int) -> str:
        """The piece that an id of a translation stands for."""

    def unknown(self, ids: Sequence[int]) -> bool:
        """Whether one of these ids of a translation stands for text that has no piece."""


def load_tokenizer(folder: Path, config: Mapping[str, Any]) -> Tokenizer:
    """The tokenizer of a model folder; `config` is its config.json, which bounds the ids.

    Safe to use from several threads: nothing changes once it is there.
    """
    if files := marian.sentencepiece_files(config):
        return student_tokenizer.read_tokenizer(folder, config, *files)
    return marian_files.read_tokenizer(folder, config)
