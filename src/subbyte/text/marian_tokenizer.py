"""The tokenizer of MarianMT folders, on sentencepiece alone, equal to MarianTokenizer of transformers 5."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import sentencepiece

from subbyte.text.pieces import SPACE
from subbyte.text.target_languages import languages_among

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
    """The `Tokenizer` of MarianMT folders."""

    source: sentencepiece.SentencePieceProcessor
    target: sentencepiece.SentencePieceProcessor
    source_ids: Mapping[str, int]  # piece -> id, for text that goes in
    target_pieces: Mapping[int, str]  # id -> piece, for ids that come out
    # content -> token; their ids are those of the source vocabulary, as in transformers
    added: Mapping[str, AddedToken]
    eos: AddedToken  # this and `unk` are two of them
    unk: AddedToken
    separate: bool  # whether the two sides have vocabularies of their own
    clean_up: bool  # whether decoded text loses the space before punctuation

    def encode(self, text: str, max_length: int | None = None) -> list[int]:
        ids = [self._id(piece) for piece in self._pieces(text)]
        return [*(ids if max_length is None else ids[: max(max_length - 1, 0)]), self.eos.id]

    def encode_target(self, text: str) -> list[int]:
        pieces = self.target.encode(text, out_type=str)
        return [*(self._target_ids.get(piece, self.unk.id) for piece in pieces), self.eos.id]

    def decode(self, ids: Iterable[int]) -> str:
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
        return self._piece(id)

    def unknown(self, ids: Sequence[int]) -> bool:
        return self.unk.id in ids

    @cached_property
    def languages(self) -> tuple[str, ...]:
        return languages_among({**self.source_ids, **self.added})

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
