"""The files of a tokenizer in a converted folder: all of them as they came, or what is read of them, packed."""

from collections.abc import Mapping
from pathlib import Path

from subbyte.errors import ModelError
from subbyte.folders.compressed_file import is_there, read_plain, smallest
from subbyte.models import marian
from subbyte.models.model import Model

LIMIT = 1 << 26  # bytes of a file, unpacked
PIECES = (marian.SOURCE, marian.TARGET)
WHOLE, PARTS = "tokenizer.json", ("vocab.json", "vocab.txt", "merges.txt")  # of encoders: one file, or those before it
SETTINGS = ("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")
FILES = (*PIECES, "vocab.json", "target_vocab.json", WHOLE, *SETTINGS, *PARTS[1:])


def copied(model: Model) -> dict[str, bytes]:
    """Name -> content of every file of the tokenizer that is in the model's folder, packed there or not."""
    if pieces := marian.sentencepiece_files(model.config):
        return _read(model.folder, {name: name for name in pieces})
    own = dict(zip(PIECES, marian.piece_files(model.config), strict=True)) if model.task == "translate" else {}
    return _read(model.folder, {name: own.get(name, name) for name in FILES})


def packed(model: Model) -> tuple[dict[str, bytes], dict[str, str]]:
    """The same, but only what our tokenizers read, each vocabulary in its smallest form.

    And which file is the source's and which the target's, where MarianMT's two are the same bytes and lie there once.
    """
    files = copied(model)
    named: dict[str, str] = {}
    if model.task == "encode":
        unread = {*PIECES, "target_vocab.json", *(PARTS if WHOLE in files else ())}
    elif marian.sentencepiece_files(model.config):
        unread = set()
    else:
        unread = {WHOLE, *PARTS[1:]}
        if marian.TARGET in files and files[marian.TARGET] == files.get(marian.SOURCE):
            unread.add(marian.TARGET)
            named = {"source": marian.SOURCE, "target": marian.SOURCE}
    kept = {name: content for name, content in files.items() if name not in unread}
    return dict((name, kept[name]) if name in SETTINGS else smallest(name, kept[name]) for name in kept), named


def _read(folder: Path, names: Mapping[str, str]) -> dict[str, bytes]:
    """What is there of the files, under the names that are keys."""
    there = {name: own for name, own in names.items() if is_there(folder, own)}
    return {name: read_plain(folder, own, ModelError, LIMIT) for name, own in there.items()}
