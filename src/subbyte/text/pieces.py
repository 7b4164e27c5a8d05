"""sentencepiece models, read with care."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sentencepiece

from subbyte.errors import ModelError
from subbyte.folders.compressed_file import read_plain

PIECES_LIMIT = 1 << 26  # bytes
SPACE = "\u2581"  # what a blank is in a piece


def read_pieces(folder: Path, name: str) -> sentencepiece.SentencePieceProcessor:
    """The model in a file of a folder. Raises ModelError for what is none, or has pieces that are no text."""
    data = read_plain(folder, name, ModelError, PIECES_LIMIT)
    processor = _Processor()
    try:
        processor.LoadFromSerializedProto(data)
        processor.id_to_piece(list(range(processor.get_piece_size())))
    except UnicodeDecodeError:
        raise ModelError(f"{folder / name}: holds a piece that is not UTF-8") from None
    except RuntimeError:
        raise ModelError(f"{folder / name}: is not a sentencepiece model") from None
    return processor


@contextmanager
def _damaged() -> Iterator[None]:
    try:
        yield
    except (RuntimeError, UnicodeError) as e:
        raise ModelError(f"a sentencepiece model is damaged: {e}") from None


class _Processor(sentencepiece.SentencePieceProcessor):
    """sentencepiece, but what it raises where a model that it took is damaged inside is an error of ours."""

    encode = _damaged()(sentencepiece.SentencePieceProcessor.encode)
    decode = _damaged()(sentencepiece.SentencePieceProcessor.decode)
    decode_pieces = _damaged()(sentencepiece.SentencePieceProcessor.decode_pieces)
