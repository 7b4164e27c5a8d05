"""The tokenizer of Firefox Translations students: sentencepiece vocabularies as Marian reads them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import sentencepiece

from subbyte.errors import ModelError, fault_list
from subbyte.text.pieces import read_pieces
from subbyte.text.target_languages import languages_among


@dataclass(frozen=True)
class StudentTokenizer:
    """The `Tokenizer` of students: ids are those of the sentencepiece models, of which there is one, or one a side."""

    source: sentencepiece.SentencePieceProcessor
    target: sentencepiece.SentencePieceProcessor
    eos: int
    separate: bool

    def encode(self, text: str, max_length: int | None = None) -> list[int]:
        ids = self.source.encode(text)
        return [*(ids if max_length is None else ids[: max(max_length - 1, 0)]), self.eos]

    def encode_target(self, text: str) -> list[int]:
        return [*self.target.encode(text), self.eos]

    def decode(self, ids: Iterable[int]) -> str:
        """The text that ids stand for; ids for which there is no piece stand for nothing."""
        pieces = self.target.get_piece_size()
        text: str = self.target.decode([int(id) for id in ids if id != self.eos and 0 <= id < pieces])
        return text

    def target_piece(self, id: int) -> str:
        return str(self.target.id_to_piece(id)) if 0 <= id < self.target.get_piece_size() else ""

    def unknown(self, ids: Sequence[int]) -> bool:
        return self.target.unk_id() in ids

    @cached_property
    def languages(self) -> tuple[str, ...]:
        return languages_among(self.source.id_to_piece(id) for id in range(self.source.get_piece_size()))


def read_tokenizer(folder: Path, config: Mapping[str, Any], source: str, target: str) -> StudentTokenizer:
    """The tokenizer of two files in a folder, often the same one. Raises ModelError if they are not the model's."""
    joint = source == target
    processors = [read_pieces(folder, name) for name in ([source] if joint else [source, target])]
    faults = []
    for name, processor, size in zip((source, target), processors, ("vocab_size", "decoder_vocab_size"), strict=False):
        if processor.get_piece_size() > config[size]:
            faults.append(f"{name} has {processor.get_piece_size()} pieces, more than {size}, {config[size]}")
        for key, id in (("eos_token_id", processor.eos_id()), ("unk_token_id", processor.unk_id())):
            if id != config.get(key):
                faults.append(f"{name}: the id is {id}, should be {config.get(key)}, {key}")
    if faults:
        raise ModelError(fault_list(f"{folder}: vocabularies that are not the model's", faults))
    return StudentTokenizer(processors[0], processors[-1], processors[0].eos_id(), separate=not joint)
