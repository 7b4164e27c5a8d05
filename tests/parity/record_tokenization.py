"""Record what MarianTokenizer makes of tricky sentences, for tests/text/test_marian_tokenizer.py. Needs transformers.

    python tests/parity/record_tokenization.py            # rewrites tests/recordings/tokenization.json
    python tests/parity/record_tokenization.py --train    # also trains the tiny sentencepiece models again

Without --train the models stay as they are, so that recordings of other tests, which depend on them, stay valid.
"""

from __future__ import annotations

import io
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import sentencepiece
import transformers

sys.path.insert(0, str(Path(__file__).parents[1]))

from builders.tiny_marian import RECORDINGS, edit_json, tiny_marian_folder
from builders.tokenization_cases import CASES, IDS, SENTENCES

MULTI30K = Path(__file__).resolve().parents[3] / "shared" / "models" / "multi30k-en-de"

SOURCE_TEXT = """a dog runs across the snow .
two men in blue shirts are standing on a ladder , cleaning a window .
the little girl is playing with a red ball in the park !
why is the cat sleeping under the old table ?
a woman with a large hat sells fruit at the market .
many people are waiting for the train in the rain ."""

TARGET_TEXT = """ein hund rennt durch den schnee .
zwei männer in blauen hemden stehen auf einer leiter und putzen ein fenster .
das kleine mädchen spielt im park mit einem roten ball !
warum schläft die katze unter dem alten tisch ?
eine frau mit einem großen hut verkauft obst auf dem markt .
viele menschen warten im regen auf den zug ."""


def train(text: str) -> bytes:
    """A sentencepiece model of about 90 pieces. It normalizes nothing but spaces: tables for more would be 240 kB."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(text.split("\n")),
        model_writer=model,
        vocab_size=90,
        hard_vocab_limit=False,
        normalization_rule_name="identity",
        num_threads=1,
        minloglevel=2,
    )
    return model.getvalue()


def record(folder: Path) -> dict[str, Any]:
    """What transformers makes of every sentence and of every list of ids."""
    tokenizer = transformers.MarianTokenizer.from_pretrained(folder)
    ids = [tokenizer(sentence)["input_ids"] for sentence in SENTENCES]
    return {
        "encoded": ids,
        "cut": [tokenizer(sentence, truncation=True, max_length=5)["input_ids"] for sentence in SENTENCES],
        "decoded": [tokenizer.decode(one, skip_special_tokens=True) for one in [*ids, *IDS]],
    }


def main() -> None:
    """Write the recordings."""
    if "--train" in sys.argv:
        (RECORDINGS / "tiny_source.spm").write_bytes(train(SOURCE_TEXT))
        (RECORDINGS / "tiny_target.spm").write_bytes(train(TARGET_TEXT))
    recorded: dict[str, Any] = {"transformers": transformers.__version__, "cases": {}}
    for name, (overrides, options) in CASES.items():
        with tempfile.TemporaryDirectory() as home:
            folder = tiny_marian_folder(Path(home) / "tiny", **overrides)
            edit_json(folder / "tokenizer_config.json", **options)
            recorded["cases"][name] = record(folder)
    recorded["cases"]["multi30k"] = record(MULTI30K)
    (RECORDINGS / "tokenization.json").write_text(json.dumps(recorded, separators=(",", ":")), "utf-8")


if __name__ == "__main__":
    main()
